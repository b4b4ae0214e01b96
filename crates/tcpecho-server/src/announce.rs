//! Announces that the server is ready: a file with the port (`--port-file`) and
//! a newline on a descriptor (`--ready-fd`).

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use common::{Error, Result};

/// The file of `--port-file`. It is created under a temporary name before
/// anything is announced, so that errors are found in time.
#[derive(Debug)]
pub(crate) struct PortFile<'a> {
    path: &'a Path,
    temporary: PathBuf,
    file: fs::File,
    is_renamed: bool,
}

impl<'a> PortFile<'a> {
    /// Creates the file under a temporary name in the same directory.
    pub(crate) fn prepare(path: &'a Path) -> Result<Self> {
        let fail = |e: io::Error| Error::local(&e).with_subject(path.display().to_string());
        let mut name = path
            .file_name()
            .ok_or_else(|| Error::usage("--port-file must name a file"))?
            .to_owned();
        name.push(format!(".{}.part", std::process::id()));
        if path.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let temporary = path.with_file_name(name);
        let file = fs::File::create(&temporary).map_err(fail)?;
        Ok(Self {
            path,
            temporary,
            file,
            is_renamed: false,
        })
    }

    /// Writes the port and a newline, then renames the file, so that a reader
    /// never sees a partial one.
    pub(crate) fn write(mut self, port: u16) -> Result<()> {
        writeln!(self.file, "{port}")
            .and_then(|()| fs::rename(&self.temporary, self.path))
            .map_err(|e| Error::local(&e).with_subject(self.path.display().to_string()))?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for PortFile<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            // A failed clean-up is not reported as another error.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a newline to the descriptor of `--ready-fd` and closes it.
pub(crate) fn write_newline(fd: OwnedFd) -> Result<()> {
    fs::File::from(fd)
        .write_all(b"\n")
        .map_err(|e| Error::local(&e).with_subject("--ready-fd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_file_is_complete_and_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let path = dir.join("port");
        PortFile::prepare(&path).unwrap().write(8080).unwrap();
        PortFile::prepare(&path).unwrap().write(81).unwrap();
        // The temporary file is removed if the port is never written.
        drop(PortFile::prepare(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "81\n");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
        let error = PortFile::prepare(&dir.join("no/port")).unwrap_err();
        assert!(error.to_string().contains("no/port"), "{error}");
        let error = PortFile::prepare(dir).unwrap_err();
        assert!(error.to_string().contains("is a directory"), "{error}");
    }
}
