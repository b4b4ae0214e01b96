//! [`Pty`]: a pseudo-terminal for programs that behave differently on a terminal.
//!
//! A thread reads the output continuously, so that the program never blocks.
//! [`screen`] renders the output as a terminal would show it.
//!
//! ```no_run
//! use testkit::pty::Pty;
//! use testkit::Tool;
//! let pty = Pty::new();
//! Tool::new("/usr/bin/tty").stdin_from(pty.end()).stdout_to(pty.end()).run().code(0);
//! assert!(pty.finish().starts_with(b"/dev/pts/"));
//! ```

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The columns and lines of the terminal.
pub const SIZE: (u16, u16) = (80, 24);

/// The output so far, with a condition variable for more output.
type SharedOutput = Arc<(Mutex<Vec<u8>>, Condvar)>;

/// A pseudo-terminal and the thread that reads it.
#[derive(Debug)]
pub struct Pty {
    /// The side of the program.
    slave: File,
    output: SharedOutput,
    reader: JoinHandle<()>,
}

impl Default for Pty {
    fn default() -> Self {
        Self::new()
    }
}

impl Pty {
    /// Opens a terminal of 80 columns and 24 lines.
    pub fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).expect("open a pseudo-terminal");
        grantpt(&master).expect("grant a pseudo-terminal");
        unlockpt(&master).expect("unlock a pseudo-terminal");
        let name = ptsname(&master, Vec::new()).expect("name a pseudo-terminal");
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
            .expect("open the program's side of a pseudo-terminal");
        let size = Winsize {
            ws_row: SIZE.1,
            ws_col: SIZE.0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).expect("set the size of a pseudo-terminal");
        let output = SharedOutput::default();
        let reader = std::thread::spawn({
            let output = Arc::clone(&output);
            move || drain(master.into(), &output)
        });
        Self {
            slave,
            output,
            reader,
        }
    }

    /// Returns the side of the program, for [`crate::Tool::stdout_to`] and similar
    /// methods.
    pub fn end(&self) -> File {
        self.slave.try_clone().expect("duplicate a pseudo-terminal")
    }

    /// Waits until the output contains this text.
    #[track_caller]
    pub fn wait_for(&self, wanted: &str) {
        let (output, changed) = &*self.output;
        let lock = output.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |output: &mut Vec<u8>| {
            !output
                .windows(wanted.len())
                .any(|part| part == wanted.as_bytes())
        };
        let (output, waited) = changed
            .wait_timeout_while(lock, Duration::from_secs(15), is_missing)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "the terminal has no {wanted:?}, but {:?}",
            String::from_utf8_lossy(&output)
        );
    }

    /// Returns the output so far.
    pub fn so_far(&self) -> Vec<u8> {
        let output = self.output.0.lock().unwrap_or_else(PoisonError::into_inner);
        output.clone()
    }

    /// Waits until all programs on the terminal have ended, and returns their
    /// output.
    pub fn finish(self) -> Vec<u8> {
        drop(self.slave);
        self.reader.join().expect("read a pseudo-terminal");
        let mut output = self.output.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut output)
    }
}

/// Reads until the program's side is closed, which is a read error here.
fn drain(mut master: File, output: &SharedOutput) {
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = master.read(&mut chunk) {
        let mut all = output.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(&chunk[..n]);
        output.1.notify_all();
    }
}

/// Returns the lines that a terminal shows after these bytes, without trailing
/// blanks and trailing empty lines. Panics on an unknown escape sequence.
pub fn screen(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                assert_eq!(chars.next(), Some('['), "an unknown escape in {text:?}");
                let mut number = String::new();
                let kind = loop {
                    match chars.next().expect("read the end of an escape") {
                        c if c.is_ascii_digit() || c == ';' || c == '?' => number.push(c),
                        kind => break kind,
                    }
                };
                let count: usize = number.parse().unwrap_or(1);
                match (kind, number.as_str()) {
                    ('m', _) | ('l' | 'h', "?25") => {}
                    ('A', _) => row = row.saturating_sub(count),
                    ('B', _) => row += count,
                    ('C', _) => column += count,
                    ('D', _) => column = column.saturating_sub(count),
                    ('K', "2") => lines[row].clear(),
                    ('K', "" | "0") => lines[row].truncate(column),
                    ('J', "" | "0") => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    _ => panic!("ESC [ {number} {kind} in {text:?}"),
                }
            }
            c => {
                assert!(!c.is_control(), "{c:?} in {text:?}");
                if column >= usize::from(SIZE.0) {
                    (row, column) = (row + 1, 0);
                    lines.resize(lines.len().max(row + 1), Vec::new());
                }
                let line = &mut lines[row];
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = c;
                column += 1;
            }
        }
        if lines.len() <= row {
            lines.resize(row + 1, Vec::new());
        }
    }
    let mut lines: Vec<String> = lines
        .iter()
        .map(|line| line.iter().collect::<String>().trim_end().to_owned())
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tool;

    #[test]
    fn a_program_sees_a_terminal() {
        let pty = Pty::new();
        Tool::new("/bin/sh")
            .args(["-c", "test -t 0 && test -t 1 && echo yes && stty size"])
            .stdin_from(pty.end())
            .stdout_to(pty.end())
            .run()
            .code(0);
        pty.wait_for("yes");
        assert_eq!(pty.finish(), b"yes\r\n24 80\r\n");
    }

    #[test]
    fn escape_sequences_change_the_screen() {
        let wide = [b'x'; 81];
        assert_eq!(screen(&wide)[1], "x");
        assert_eq!(screen(b"abc\rX\r\ndef\r\n"), ["Xbc", "def"]);
        assert_eq!(screen(b"one\r\ntwo\x1b[1A\r\x1b[2Kx"), ["x", "two"]);
        assert_eq!(screen(b"\x1b[31mred\x1b[0m\r\x1b[K"), [""; 0]);
    }
}
