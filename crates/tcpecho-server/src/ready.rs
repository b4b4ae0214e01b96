//! Telling others that the server listens now: a file with the port, a
//! newline on a descriptor.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use common::{Error, Result};

/// Writes the port and a newline to `file`, renamed into place so that a
/// reader never sees half of it.
pub(crate) fn write_port(file: &Path, port: u16) -> Result<()> {
    let fail = |e: std::io::Error| Error::local(&e).about(file.display().to_string());
    let mut name = file
        .file_name()
        .ok_or_else(|| Error::usage("--port-file names no file"))?
        .to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(name);
    let written = fs::write(&part, format!("{port}\n")).and_then(|()| fs::rename(&part, file));
    written.map_err(|e| {
        // Nothing to be done about a file that cannot be removed either.
        let _ = fs::remove_file(&part);
        fail(e)
    })
}

/// Writes one newline to the descriptor and closes it.
pub(crate) fn write_newline(fd: OwnedFd) -> Result<()> {
    fs::File::from(fd)
        .write_all(b"\n")
        .map_err(|e| Error::local(&e).about("--ready-fd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_file_is_whole_and_alone() {
        let dir = std::env::temp_dir().join(format!("ready-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("port");
        write_port(&file, 8080).unwrap();
        write_port(&file, 81).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "81\n");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        let error = write_port(&dir.join("no/port"), 1).unwrap_err();
        assert!(error.to_string().contains("no/port"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
