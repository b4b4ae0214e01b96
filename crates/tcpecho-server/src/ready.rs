//! Telling others that the server listens now: a file with the port, a
//! newline on a descriptor.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use common::{Error, Result};

/// The file of `--port-file`: made beside its place before anything is
/// announced, so that one that cannot be written is found in time.
#[derive(Debug)]
pub(crate) struct PortFile<'a> {
    file: &'a Path,
    part: PathBuf,
    open: fs::File,
    in_place: bool,
}

impl<'a> PortFile<'a> {
    /// Makes it, under another name.
    pub(crate) fn prepare(file: &'a Path) -> Result<Self> {
        let fail = |e: io::Error| Error::local(&e).with_subject(file.display().to_string());
        let mut name = file
            .file_name()
            .ok_or_else(|| Error::usage("--port-file names no file"))?
            .to_owned();
        name.push(format!(".{}.part", std::process::id()));
        if file.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let part = file.with_file_name(name);
        let open = fs::File::create(&part).map_err(fail)?;
        Ok(Self {
            file,
            part,
            open,
            in_place: false,
        })
    }

    /// Writes the port and a newline, and renames it into place, so that a
    /// reader never sees half of it.
    pub(crate) fn write(mut self, port: u16) -> Result<()> {
        writeln!(self.open, "{port}")
            .and_then(|()| fs::rename(&self.part, self.file))
            .map_err(|e| Error::local(&e).with_subject(self.file.display().to_string()))?;
        self.in_place = true;
        Ok(())
    }
}

impl Drop for PortFile<'_> {
    fn drop(&mut self) {
        if !self.in_place {
            // Nothing to be done about a file that cannot be removed either.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Writes one newline to the descriptor and closes it.
pub(crate) fn write_newline(fd: OwnedFd) -> Result<()> {
    fs::File::from(fd)
        .write_all(b"\n")
        .map_err(|e| Error::local(&e).with_subject("--ready-fd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_file_is_whole_and_alone() {
        let dir = std::env::temp_dir().join(format!("ready-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("port");
        PortFile::prepare(&file).unwrap().write(8080).unwrap();
        PortFile::prepare(&file).unwrap().write(81).unwrap();
        // One that is not needed after all leaves nothing behind.
        drop(PortFile::prepare(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "81\n");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        let error = PortFile::prepare(&dir.join("no/port")).unwrap_err();
        assert!(error.to_string().contains("no/port"), "{error}");
        let error = PortFile::prepare(&dir).unwrap_err();
        assert!(error.to_string().contains("is a directory"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
