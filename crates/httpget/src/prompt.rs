//! Password prompts on the terminal, never on standard input.

use std::fs::OpenOptions;
use std::io::{Read, Write};

use common::{Error, Result};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// The maximum length of a password in bytes.
const LENGTH_MAX: usize = 4096;

/// Prompts for the password of a user.
pub(crate) fn password(user: &str) -> Result<String> {
    let no_terminal = || {
        Error::usage("missing password for --user, and no terminal to ask for it")
            .hint("use USER:PASSWORD, or --netrc-file")
    };
    let mut terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| no_terminal())?;
    let before = tcgetattr(&terminal).map_err(|_| no_terminal())?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let failed = |e: std::io::Error| Error::local(&e).with_subject("/dev/tty");
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).map_err(|e| failed(e.into()))?;
    let user = common::text::escape(user.as_bytes()).into_owned();
    let line = terminal
        .write_all(format!("Password for user {user}: ").as_bytes())
        .and_then(|()| read_line(&mut terminal));
    // Also after a failure, so that the terminal echoes again.
    let restored = tcsetattr(&terminal, OptionalActions::Flush, &before);
    let line = line.map_err(failed)?;
    restored.map_err(|e| failed(e.into()))?;
    terminal.write_all(b"\n").map_err(failed)?;
    String::from_utf8(line)
        .map_err(|_| Error::usage("the password is not valid UTF-8").with_subject("--user"))
}

/// Reads a line without its line end.
fn read_line(terminal: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LENGTH_MAX && terminal.read(&mut byte)? == 1 && byte != [b'\n'] {
        line.push(byte[0]);
    }
    Ok(line)
}
