//! Files that are either whole or not there.
//!
//! A body is written to `FILE.part` and renamed when it is complete and
//! verified. Beside it, `FILE.part.state` keeps the validator by which a later
//! run may go on; it is written once a download is long enough to be worth
//! it. A target that is no regular file (a device, a pipe) is written
//! directly.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Error, Kind, Result};
use rustix::fs::FallocateFlags;

use super::names::{
    beside, free_names, is_taken, local, open_part, read_state, rename_free, rename_new, target,
    write_state,
};
use super::naming::Taken;
use crate::http::date::Seconds;
use crate::policy::resume::{self, Had, Validator};

/// From here on the validator is kept beside the part file while it grows.
const WORTH_KEEPING: u64 = 256 * 1024;

/// Where a body is being saved.
#[derive(Debug)]
pub(crate) struct Saver {
    /// The final name, if it stays free.
    path: PathBuf,
    /// The first name that would do.
    first: PathBuf,
    file: File,
    /// Whether `path` itself is being written.
    direct: bool,
    /// What of a file that is there.
    taken: Taken,
    /// What is there, by which validator it can be continued.
    had: Had,
    state_kept: bool,
    /// The permissions of the file that will be replaced.
    mode: Option<Permissions>,
    /// Whether the part file may be longer than what is written.
    longer: bool,
}

impl Saver {
    /// Opens the part file of `path`, with whatever is in it; `taken` says what
    /// of a name that is taken.
    pub(super) fn open(path: &Path, taken: Taken, create_dirs: bool) -> Result<Self> {
        if taken == Taken::Next {
            // Whoever writes beside a name will take it.
            for name in free_names(path) {
                if let Some(mut saver) = Self::open_as(&name, taken, create_dirs)? {
                    path.clone_into(&mut saver.first);
                    return Ok(saver);
                }
            }
        } else if let Some(saver) = Self::open_as(path, taken, create_dirs)? {
            return Ok(saver);
        }
        let error = Error::new(Kind::System, "is being written by another process");
        let (path, _) = target(path)?;
        Err(error.about(beside(&path, ".part").display().to_string()))
    }

    /// The same under this name; `None` where another process writes it.
    fn open_as(path: &Path, taken: Taken, create_dirs: bool) -> Result<Option<Self>> {
        let (path, meta) = target(path)?;
        if taken == Taken::Refuse && is_taken(&path) {
            return Err(Error::new(
                Kind::System,
                "exists already, and a name the server chose overwrites nothing",
            )
            .about(path.display().to_string())
            .hint("-o names the file"));
        }
        if let Some(parent) = path.parent()
            && create_dirs
        {
            std::fs::create_dir_all(parent).map_err(|e| local(&e, parent))?;
        }
        let direct = meta.as_ref().is_some_and(|meta| !meta.is_file());
        let name = if direct {
            path.clone()
        } else {
            beside(&path, ".part")
        };
        let file = if direct {
            let file = OpenOptions::new().write(true).open(&name);
            Some(file.map_err(|e| local(&e, &name))?)
        } else {
            open_part(&name)?
        };
        Ok(file.map(|file| Self {
            first: path.clone(),
            path,
            file,
            direct,
            taken,
            had: Had::default(),
            state_kept: false,
            mode: meta.map(|meta| meta.permissions()),
            longer: true,
        }))
    }

    /// What an earlier run left: the part file with its validator, or, where
    /// there is none, the final file without one.
    pub(crate) fn earlier(&mut self) -> Result<Option<Had>> {
        if self.direct {
            return Ok(None);
        }
        let part = self.file.metadata().map_err(|e| self.error(&e))?.len();
        let state = read_state(&beside(&self.path, ".part.state"));
        let had = state
            .as_deref()
            .and_then(|state| resume::from_state(state, part));
        if had.is_some() {
            return Ok(had);
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => Ok(Some(Had {
                bytes: meta.len(),
                ..Had::default()
            })),
            _ => Ok(None),
        }
    }

    /// What this run has written so far.
    pub(crate) fn had(&self) -> &Had {
        &self.had
    }

    /// Whether what is written can be gone on with at all.
    pub(crate) fn is_seekable(&self) -> bool {
        !self.direct
    }

    /// Starts from nothing. `expected` reserves room on the disk; `coding` is
    /// the Content-Encoding of what will be written.
    pub(crate) fn start(
        &mut self,
        validator: Option<Validator>,
        expected: Option<u64>,
        coding: String,
    ) -> Result<()> {
        self.had = Had {
            bytes: 0,
            validator,
            total: expected,
            coding: Some(coding),
        };
        self.forget_state();
        if self.direct {
            return Ok(());
        }
        let there = self.file.metadata().map_err(|e| self.error(&e))?.len();
        if there > 0 {
            self.file
                .set_len(0)
                .and_then(|()| self.file.seek(SeekFrom::Start(0)).map(drop))
                .map_err(|e| self.error(&e))?;
        }
        self.longer = false;
        if let Some(length) = expected.filter(|&length| length >= WORTH_KEEPING) {
            self.reserve(0, length)?;
            self.longer = true;
        }
        Ok(())
    }

    /// Room on the disk, so that a full one is known at the start. Where the
    /// file system cannot do that, it will be known later.
    fn reserve(&self, from: u64, length: u64) -> Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, length) {
            Err(e @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => {
                Err(self.error(&e.into()))
            }
            _ => Ok(()),
        }
    }

    /// Goes on behind what an earlier run, or an earlier try, left. Each
    /// piece of what is there is shown to `see`, for the digest.
    pub(crate) fn resume(&mut self, had: &Had, mut see: impl FnMut(&[u8])) -> Result<()> {
        let part = self.file.metadata().map_err(|e| self.error(&e))?.len();
        if had.validator.is_none() && self.had.bytes == 0 {
            // The final file is what is there: the part begins as its copy,
            // of which a state file that is left says nothing.
            self.forget_state();
            let mut whole = File::open(&self.path).map_err(|e| local(&e, &self.path))?;
            self.file.set_len(0).map_err(|e| self.error(&e))?;
            self.file
                .seek(SeekFrom::Start(0))
                .map_err(|e| self.error(&e))?;
            let copied = io::copy(&mut (&mut whole).take(had.bytes), &mut self.file)
                .map_err(|e| self.error(&e))?;
            if copied != had.bytes {
                return Err(Error::new(Kind::System, "became shorter meanwhile")
                    .about(self.path.display().to_string()));
            }
        } else if part < had.bytes {
            return Err(Error::new(Kind::System, "became shorter meanwhile")
                .about(beside(&self.path, ".part").display().to_string()));
        }
        self.file.set_len(had.bytes).map_err(|e| self.error(&e))?;
        self.read_back(&mut see)?;
        self.had = had.clone();
        // Where there is a validator, its file is there or belongs there.
        self.state_kept = false;
        self.keep_state()?;
        if let Some(total) = had.total {
            self.reserve(had.bytes, total.saturating_sub(had.bytes))?;
        }
        Ok(())
    }

    /// Shows what is there, for the digest, and goes to its end.
    pub(crate) fn read_back(&mut self, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(|e| self.error(&e))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => see(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error(&e)),
            }
        }
    }

    /// Begins to write with gaps, of which the state file knows: whatever
    /// happens, a later run goes on where the first gap is.
    pub(crate) fn begin_gaps(&mut self) -> Result<()> {
        self.keep_gaps(self.had.bytes)
    }

    /// Writes somewhere.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, at)
            .map_err(|e| self.error(&e))
    }

    /// Up to here there is no gap: notes it for a later run.
    pub(crate) fn keep_gaps(&self, without_gap: u64) -> Result<()> {
        match resume::to_state(&self.had, Some(without_gap)) {
            Some(state) => self.write_state(&state),
            None => Ok(()),
        }
    }

    /// Done with gaps: this much is there, the rest is of no use.
    pub(crate) fn end_gaps(&mut self, without_gap: u64) -> Result<()> {
        self.file.set_len(without_gap).map_err(|e| self.error(&e))?;
        self.had.bytes = without_gap;
        // Written anew, or removed, by whatever comes next.
        self.state_kept = true;
        if without_gap < self.had.total.unwrap_or(0) {
            self.keep_gaps(without_gap)?;
        }
        Ok(())
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.error(&e))?;
        self.had.bytes += bytes.len() as u64;
        if !self.state_kept && self.had.bytes >= WORTH_KEEPING {
            self.keep_state()?;
        }
        Ok(())
    }

    /// Writes the validator beside the part file, once.
    fn keep_state(&mut self) -> Result<()> {
        if !self.direct
            && !self.state_kept
            && let Some(state) = resume::to_state(&self.had, None)
        {
            self.write_state(&state)?;
            self.state_kept = true;
        }
        Ok(())
    }

    fn write_state(&self, text: &str) -> Result<()> {
        write_state(&beside(&self.path, ".part.state"), text)
    }

    fn forget_state(&mut self) {
        if !self.direct {
            // Usually there is none, and to look costs less than to remove.
            let path = beside(&self.path, ".part.state");
            if is_taken(&path) {
                let _ = std::fs::remove_file(path);
            }
            self.state_kept = false;
        }
    }

    /// The body is complete and right: it takes its name.
    pub(crate) fn finish(mut self, modified: Option<Seconds>) -> Result<PathBuf> {
        if self.direct {
            self.file.flush().map_err(|e| self.error(&e))?;
            return Ok(self.path);
        }
        if self.longer {
            // Room that was reserved and not used goes back.
            self.file
                .set_len(self.had.bytes)
                .map_err(|e| self.error(&e))?;
        }
        if let Some(mode) = self.mode.take() {
            let now = self.file.metadata().map_err(|e| self.error(&e))?;
            if now.permissions() != mode {
                self.file
                    .set_permissions(mode)
                    .map_err(|e| self.error(&e))?;
            }
        }
        if let Some(at) = modified {
            set_modified(&self.file, at).map_err(|e| self.error(&e))?;
        }
        let part = beside(&self.path, ".part");
        let path = self.path.clone();
        let outcome = match self.taken {
            Taken::Replace => std::fs::rename(&part, &path).map(|()| path),
            Taken::Refuse => rename_new(&part, &path).map(|()| path),
            Taken::Next => rename_free(&part, &self.first),
        };
        let path = outcome.map_err(|e| local(&e, &self.path))?;
        if self.state_kept {
            self.forget_state();
        }
        Ok(path)
    }

    /// What is there is left for a later run, or removed.
    pub(crate) fn abandon(mut self, remove: bool) -> Result<()> {
        if self.direct {
            return Ok(());
        }
        if remove || self.had.bytes == 0 {
            self.forget_state();
            let part = beside(&self.path, ".part");
            return std::fs::remove_file(&part).map_err(|e| local(&e, &part));
        }
        // Reserved room must not look like content.
        self.file
            .set_len(self.had.bytes)
            .map_err(|e| self.error(&e))?;
        self.keep_state()
    }

    /// The part file is of no use, but an earlier run's is left as it was.
    pub(crate) fn leave(self) -> Result<()> {
        if self.direct {
            return Ok(());
        }
        let empty = self.file.metadata().map_err(|e| self.error(&e))?.len() == 0;
        if empty {
            let part = beside(&self.path, ".part");
            std::fs::remove_file(&part).map_err(|e| local(&e, &part))?;
        }
        Ok(())
    }

    fn error(&self, error: &io::Error) -> Error {
        local(error, &self.path)
    }
}

/// Dates a file as a server says.
pub(super) fn set_modified(file: &File, at: Seconds) -> io::Result<()> {
    let since = Duration::from_secs(at.max(0).unsigned_abs());
    file.set_modified(SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::super::names::free_name;
    use super::*;

    #[test]
    fn whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut saver = Saver::open(&path, Taken::Replace, false).unwrap();
        saver
            .start(Some(Validator::Tag("\"1\"".into())), Some(6), String::new())
            .unwrap();
        saver.write(b"abc").unwrap();
        assert!(!path.exists());
        saver.abandon(false).unwrap();
        assert_eq!(std::fs::read(beside(&path, ".part")).unwrap(), b"abc");

        let mut saver = Saver::open(&path, Taken::Replace, false).unwrap();
        let had = saver.earlier().unwrap().unwrap();
        assert_eq!((had.bytes, had.total), (3, Some(6)));
        let mut seen = Vec::new();
        saver
            .resume(&had, |piece| seen.extend_from_slice(piece))
            .unwrap();
        assert_eq!(seen, b"abc");
        saver.write(b"def").unwrap();
        saver.finish(Some(784_111_777)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let modified = path.metadata().unwrap().modified().unwrap();
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 784_111_777);
    }

    #[test]
    fn the_final_file_is_gone_on_with_as_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "abc").unwrap();
        let mut saver = Saver::open(&path, Taken::Replace, false).unwrap();
        let had = saver.earlier().unwrap().unwrap();
        assert_eq!((had.bytes, &had.validator), (3, &None));
        saver.resume(&had, |_| ()).unwrap();
        saver.write(b"d").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        saver.finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
    }

    #[test]
    fn a_state_file_is_a_file_and_of_its_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (part, state) = (beside(&path, ".part"), beside(&path, ".part.state"));
        std::fs::write(&path, "abc").unwrap();
        std::fs::write(&part, "abcdef").unwrap();
        let had = |saver: &mut Saver| saver.earlier().unwrap().unwrap().bytes;
        // A pipe that nobody writes to is not waited for.
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &state, mode).unwrap();
        let mut saver = Saver::open(&path, Taken::Replace, false).unwrap();
        assert_eq!(had(&mut saver), 3);
        assert!(saver.write_state("x").is_err());
        std::fs::remove_file(&state).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "etag: \"1\"\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
        assert_eq!(had(&mut saver), 3);
        assert!(saver.write_state("x").is_err());
        std::fs::remove_file(&state).unwrap();
        std::fs::write(&state, "etag: \"1\"\n").unwrap();
        assert_eq!(had(&mut saver), 6);
        std::fs::write(&state, format!("etag: \"{}\"\n", "1".repeat(1 << 17))).unwrap();
        assert_eq!(had(&mut saver), 3);
        // One that does not fit is not left beside the copy, which it might.
        std::fs::write(&state, "etag: \"1\"\nbytes: 9\n").unwrap();
        let three = saver.earlier().unwrap().unwrap();
        saver.resume(&three, |_| ()).unwrap();
        saver.abandon(false).unwrap();
        assert!(!state.exists());
        assert_eq!(std::fs::read(&part).unwrap(), b"abc");
    }

    #[test]
    fn one_writer_at_a_time_and_no_overwriting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let first = Saver::open(&path, Taken::Replace, false).unwrap();
        let error = Saver::open(&path, Taken::Replace, false).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(first);
        // Another part file than the one that was opened is not this one's.
        let part = beside(&path, ".part");
        std::fs::remove_file(&part).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &part).unwrap();
        let error = Saver::open(&path, Taken::Replace, false).unwrap_err();
        assert!(error.to_string().contains("is a symlink"), "{error}");
        std::fs::remove_file(&part).unwrap();
        std::fs::create_dir(&part).unwrap();
        assert!(Saver::open(&path, Taken::Replace, false).is_err());
        std::fs::remove_dir(&part).unwrap();
        std::fs::write(&path, "x").unwrap();
        assert!(Saver::open(&path, Taken::Refuse, false).is_err());
        assert_eq!(free_name(&path), beside(&path, ".1"));
        assert_eq!(free_name(&dir.path().join("g")), dir.path().join("g"));
    }

    #[test]
    fn a_free_name_is_taken_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let begin = |bytes: &[u8]| {
            let mut saver = Saver::open(&path, Taken::Next, false).unwrap();
            saver.start(None, None, String::new()).unwrap();
            saver.write(bytes).unwrap();
            saver
        };
        let (one, two) = (begin(b"1"), begin(b"2"));
        std::fs::write(&path, "0").unwrap();
        assert_eq!(two.finish(None).unwrap(), beside(&path, ".1"));
        assert_eq!(one.finish(None).unwrap(), beside(&path, ".2"));
        for (suffix, body) in [("", "0"), (".1", "2"), (".2", "1")] {
            let name = beside(&path, suffix);
            assert_eq!(std::fs::read_to_string(name).unwrap(), body);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
