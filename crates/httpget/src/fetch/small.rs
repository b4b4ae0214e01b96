//! Short bodies, held until they are whole.
//!
//! A body of known length that fits into one read is kept in memory, written
//! into a file without a name, and that file is linked to the final name: as
//! whole or not there as a renamed part file, with half the work on the folder
//! and without a lock. Whatever stands in the way of that (a file of that name,
//! a part file of an earlier run, a file system that cannot do it) is left to
//! the usual way, which also finds the words for what is wrong.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use common::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::names::{free_name, is_taken, part_name};
use super::naming::Taken;
use super::save::{Saver, set_modified};
use crate::http::date::Seconds;
use crate::policy::resume::Had;

/// The longest body that is held.
pub(super) const MOST: u64 = 64 * 1024;

/// A body on its way to a file of which nothing is there yet.
#[derive(Debug)]
pub(super) struct Small {
    path: PathBuf,
    taken: Taken,
    create_dirs: bool,
    had: Had,
    url: String,
    bytes: Vec<u8>,
}

impl Small {
    /// To be saved as `path`; the rest as for [`Saver`].
    pub(super) fn new(
        path: PathBuf,
        taken: Taken,
        create_dirs: bool,
        had: Had,
        url: String,
    ) -> Self {
        let length = had.total.unwrap_or(0);
        Self {
            path,
            taken,
            create_dirs,
            had,
            url,
            bytes: Vec::with_capacity(length.min(MOST) as usize),
        }
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The body is complete and right: it takes its name.
    pub(super) fn finish(self, modified: Option<Seconds>) -> Result<PathBuf> {
        if self.taken != Taken::Next {
            return match self.link(&self.path, modified) {
                Ok(()) => Ok(self.path),
                Err(_) => self.into_saver()?.finish(modified),
            };
        }
        loop {
            let path = free_name(&self.path);
            match self.link(&path, modified) {
                Ok(()) => return Ok(path),
                // Others have taken it in between.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_taken(&path) => {}
                Err(_) => return self.into_saver()?.finish(modified),
            }
        }
    }

    /// Goes the usual way from here on.
    pub(super) fn into_saver(self) -> Result<Saver> {
        let mut saver = Saver::open(&self.path, self.taken, self.create_dirs, &self.url)?;
        let had = self.had;
        saver.start(had.validator, had.total, had.coding.unwrap_or_default())?;
        match saver.write(&self.bytes) {
            Ok(()) => Ok(saver),
            // A full disk, say, which is what to tell.
            Err(error) => {
                let _ = saver.abandon(false);
                Err(error)
            }
        }
    }

    /// All at once, or nothing.
    fn link(&self, path: &Path, modified: Option<Seconds>) -> io::Result<()> {
        // A file is replaced the usual way, and no part file is left behind.
        if is_taken(path) || is_taken(&part_name(path, 0)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(folder, flags, Mode::from(0o666))?);
        file.write_all(&self.bytes)?;
        if let Some(at) = modified {
            set_modified(&file, at)?;
        }
        // Without a right, only newer kernels link a descriptor as such.
        if rustix::fs::linkat(&file, "", CWD, path, AtFlags::EMPTY_PATH).is_err() {
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, name, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::beside;
    use super::super::save::Earlier;
    use super::*;
    use crate::policy::resume::Validator;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn small(path: &Path, bytes: &[u8]) -> Small {
        let had = Had {
            bytes: 0,
            validator: Some(Validator::Tag("\"1\"".into())),
            total: Some(3),
            coding: Some(String::new()),
            ..Had::default()
        };
        let mut small = Small::new(path.to_owned(), Taken::Replace, false, had, "id".to_owned());
        small.write(bytes);
        small
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
    fn a_name_of_its_own_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let body = small(&path, b"abc");
        assert_eq!(names(dir.path()), [""; 0]);
        body.link(&path, Some(784_111_777)).unwrap();
        assert_eq!(names(dir.path()), ["f"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().mtime(), 784_111_777);
        // As the umask has it, like any new file.
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
    }

    #[test]
    fn what_is_there_is_left_to_the_usual_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let mode = std::fs::Permissions::from_mode(0o604);
        std::fs::set_permissions(&path, mode).unwrap();
        assert!(small(&path, b"abc").link(&path, None).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        small(&path, b"abc").finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o604);
        // A part file of an earlier run is not left behind.
        let path = dir.path().join("g");
        std::fs::write(beside(&path, ".part"), "longer than that").unwrap();
        std::fs::write(
            beside(&path, ".part.state"),
            "url-sha256: id\netag: \"0\"\nend: record\n",
        )
        .unwrap();
        assert!(small(&path, b"abc").link(&path, None).is_err());
        small(&path, b"abc").finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(names(dir.path()), ["f", "g"]);
        let error = small(&dir.path().join("no/f"), b"abc").finish(None);
        assert!(error.unwrap_err().to_string().contains("--create-dirs"));
    }

    #[test]
    fn what_came_of_a_failure_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        small(&path, b"ab")
            .into_saver()
            .unwrap()
            .abandon(false)
            .unwrap();
        assert_eq!(names(dir.path()), ["f.part", "f.part.state"]);
        let saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
        let Earlier::There(had) = saver.earlier(false).unwrap() else {
            panic!("nothing is there");
        };
        assert_eq!((had.bytes, had.total), (2, Some(3)));
    }
}
