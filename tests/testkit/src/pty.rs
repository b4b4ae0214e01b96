//! [`Pty`]: a terminal for a program that looks whether it has one.
//!
//! What the program prints is read all the while, so that it never waits, and
//! [`screen`] tells what a person would see of it at the end.
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

/// How wide and how high it is.
pub const SIZE: (u16, u16) = (80, 24);

/// What has been printed so far, and the bell that rings with more of it.
type Printed = Arc<(Mutex<Vec<u8>>, Condvar)>;

/// A terminal of 80 columns and 24 lines.
#[derive(Debug)]
pub struct Pty {
    /// The program's end.
    slave: File,
    printed: Printed,
    reader: JoinHandle<()>,
}

impl Default for Pty {
    fn default() -> Self {
        Self::new()
    }
}

impl Pty {
    /// A new one.
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
            .expect("open the other end of a pseudo-terminal");
        let size = Winsize {
            ws_row: SIZE.1,
            ws_col: SIZE.0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).expect("size a pseudo-terminal");
        let printed = Printed::default();
        let reader = std::thread::spawn({
            let printed = Arc::clone(&printed);
            move || drain(master.into(), &printed)
        });
        Self {
            slave,
            printed,
            reader,
        }
    }

    /// The program's end, for [`crate::Tool::stdout_to`] and the like.
    pub fn end(&self) -> File {
        self.slave.try_clone().expect("share a pseudo-terminal")
    }

    /// Waits until this was printed.
    #[track_caller]
    pub fn wait_for(&self, wanted: &str) {
        let (printed, bell) = &*self.printed;
        let lock = printed.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |printed: &mut Vec<u8>| {
            !printed
                .windows(wanted.len())
                .any(|w| w == wanted.as_bytes())
        };
        let (printed, late) = bell
            .wait_timeout_while(lock, Duration::from_secs(15), missing)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !late.timed_out(),
            "no {wanted:?} on the terminal, but {:?}",
            String::from_utf8_lossy(&printed)
        );
    }

    /// All that was printed, once all programs on it have ended.
    pub fn finish(self) -> Vec<u8> {
        drop(self.slave);
        self.reader.join().expect("read a pseudo-terminal");
        let mut printed = self
            .printed
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut printed)
    }
}

/// Reads until nobody holds the other end, which is an error here.
fn drain(mut master: File, printed: &Printed) {
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = master.read(&mut piece) {
        let mut all = printed.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(&piece[..n]);
        printed.1.notify_all();
    }
}

/// What stands on a terminal after some bytes: lines without blanks at their
/// ends, and without empty lines at the end. Panics on a sequence that it does
/// not know.
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
                assert_eq!(chars.next(), Some('['), "an escape in {text:?}");
                let mut number = String::new();
                let kind = loop {
                    match chars.next().expect("the rest of an escape") {
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
    fn what_stands_on_the_screen() {
        let wide = [b'x'; 81];
        assert_eq!(screen(&wide)[1], "x");
        assert_eq!(screen(b"abc\rX\r\ndef\r\n"), ["Xbc", "def"]);
        assert_eq!(screen(b"one\r\ntwo\x1b[1A\r\x1b[2Kx"), ["x", "two"]);
        assert_eq!(screen(b"\x1b[31mred\x1b[0m\r\x1b[K"), [""; 0]);
    }
}
