//! Short bodies, held in memory until they are complete.
//!
//! A body of known length that fits into one read is written to an unnamed
//! temporary file, which is then linked to the final name. Like a renamed partial
//! file, it appears completely or not at all, but with half the work on the
//! directory and without a lock. If that fails (a file or an earlier partial file
//! exists, or the file system does not support it), [`OutputFile`] takes over and
//! reports the errors.

use std::fs::File;
use std::io::{self, Write};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use common::Result;
#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::output_file::{OutputFile, set_modified};
use super::output_path::OnExists;
use super::paths::{exists, free_path, partial_path};
use crate::http::date::Seconds;
use crate::policy::resume::PartialDownload;

/// The maximum size of a body that is held in memory, in bytes.
pub(super) const LENGTH_MAX: u64 = 64 * 1024;

/// A body in memory that will become a new file.
#[derive(Debug)]
pub(super) struct MemoryFile {
    path: PathBuf,
    on_exists: OnExists,
    create_dirs: bool,
    partial: PartialDownload,
    url: String,
    bytes: Vec<u8>,
}

impl MemoryFile {
    /// Returns an empty body for `path`; the other parameters are those of
    /// [`OutputFile`].
    pub(super) fn new(
        path: PathBuf,
        on_exists: OnExists,
        create_dirs: bool,
        partial: PartialDownload,
        url: String,
    ) -> Self {
        let length = partial.total.unwrap_or(0);
        Self {
            path,
            on_exists,
            create_dirs,
            partial,
            url,
            bytes: Vec::with_capacity(length.min(LENGTH_MAX) as usize),
        }
    }

    /// Appends bytes to the body.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes the complete and verified body to its file.
    pub(super) fn finish(self, modified: Option<Seconds>) -> Result<PathBuf> {
        if self.on_exists != OnExists::NextFree {
            return match self.link(&self.path, modified) {
                Ok(()) => Ok(self.path),
                Err(_) => self.into_output_file()?.finish(modified),
            };
        }
        loop {
            let path = free_path(&self.path);
            match self.link(&path, modified) {
                Ok(()) => return Ok(path),
                // Another process has just created the file.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && exists(&path) => {}
                Err(_) => return self.into_output_file()?.finish(modified),
            }
        }
    }

    /// Moves the body into a partial file.
    pub(super) fn into_output_file(self) -> Result<OutputFile> {
        let mut file = OutputFile::open(&self.path, self.on_exists, self.create_dirs, &self.url)?;
        let partial = self.partial;
        file.begin(
            partial.validator,
            partial.total,
            partial.coding.unwrap_or_default(),
        )?;
        match file.write(&self.bytes) {
            Ok(()) => Ok(file),
            // This error, such as a full disk, is the one to report.
            Err(error) => {
                let _ = file.abandon(false);
                Err(error)
            }
        }
    }

    /// Creates the file with its whole content, or not at all.
    fn link(&self, path: &Path, modified: Option<Seconds>) -> io::Result<()> {
        // An existing file must be replaced, and a partial file removed.
        if exists(path) || exists(&partial_path(path, 0)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mut file = open_unnamed(directory)?;
        file.write_all(&self.bytes)?;
        if let Some(at) = modified {
            set_modified(&file, at)?;
        }
        link_unnamed(&file, path)
    }
}

/// Creates a file without a name. Only Linux has them; elsewhere the body goes to a
/// partial file.
#[cfg(target_os = "linux")]
fn open_unnamed(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::from(0o666))?;
    Ok(File::from(file))
}

/// Gives a file without a name its name, which must be free.
#[cfg(target_os = "linux")]
fn link_unnamed(file: &File, path: &Path) -> io::Result<()> {
    // Linking a descriptor needs a privilege on older kernels.
    if rustix::fs::linkat(file, "", CWD, path, AtFlags::EMPTY_PATH).is_err() {
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, name, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open_unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn link_unnamed(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::super::output_file::EarlierDownload;
    use super::super::paths::with_suffix;
    use super::*;
    use crate::policy::resume::Validator;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn memory_file(path: &Path, bytes: &[u8]) -> MemoryFile {
        let partial = PartialDownload {
            bytes: 0,
            validator: Some(Validator::Tag("\"1\"".into())),
            total: Some(3),
            coding: Some(String::new()),
            ..PartialDownload::default()
        };
        let mut file = MemoryFile::new(
            path.to_owned(),
            OnExists::Replace,
            false,
            partial,
            "id".to_owned(),
        );
        file.write(bytes);
        file
    }

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_appears_with_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let body = memory_file(&path, b"abc");
        assert_eq!(names(dir.path()), [""; 0]);
        body.link(&path, Some(784_111_777)).unwrap();
        assert_eq!(names(dir.path()), ["f"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().mtime(), 784_111_777);
        // With the permissions of any new file.
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
    }

    #[test]
    fn existing_files_are_replaced_through_a_partial_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let mode = std::fs::Permissions::from_mode(0o604);
        std::fs::set_permissions(&path, mode).unwrap();
        assert!(memory_file(&path, b"abc").link(&path, None).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        memory_file(&path, b"abc").finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o604);
        // A partial file of an earlier run is removed.
        let path = dir.path().join("g");
        std::fs::write(with_suffix(&path, ".part"), "longer than that").unwrap();
        std::fs::write(
            with_suffix(&path, ".part.state"),
            "url-sha256: id\netag: \"0\"\nend: record\n",
        )
        .unwrap();
        assert!(memory_file(&path, b"abc").link(&path, None).is_err());
        memory_file(&path, b"abc").finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(names(dir.path()), ["f", "g"]);
        let error = memory_file(&dir.path().join("no/f"), b"abc").finish(None);
        assert!(error.unwrap_err().to_string().contains("--create-dirs"));
    }

    #[test]
    fn a_failed_transfer_leaves_a_partial_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        memory_file(&path, b"ab")
            .into_output_file()
            .unwrap()
            .abandon(false)
            .unwrap();
        assert_eq!(names(dir.path()), ["f.part", "f.part.state"]);
        let file = OutputFile::open(&path, OnExists::Replace, false, "id").unwrap();
        let EarlierDownload::Found(partial) = file.find_earlier(false).unwrap() else {
            panic!("no partial file");
        };
        assert_eq!((partial.bytes, partial.total), (2, Some(3)));
    }
}
