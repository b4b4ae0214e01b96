//! Files that are either whole or not there.
//!
//! A body is written to a part file ([`super::part`]) and renamed when it is
//! complete and verified. The record beside it keeps the validator by which a
//! later run may go on. A target that is not a regular file (a device, a pipe)
//! is written directly.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Error, Kind, Result};

use super::names::{free_names, is_taken, local, part_name, rename_free, rename_new, target};
use super::naming::Taken;
use super::part::{self, Part};
use crate::http::date::Seconds;
use crate::policy::resume::{self, Had, Validator};

/// Where a body is being saved.
#[derive(Debug)]
pub(crate) struct Saver {
    /// The final name, if it stays free.
    path: PathBuf,
    /// The first name that would do.
    first: PathBuf,
    output: Output,
    /// What of a file that is there.
    taken: Taken,
    /// The id of the URL, for the record.
    url: String,
    /// What is there, by which validator it can be continued.
    had: Had,
    /// The permissions of the file that will be replaced.
    mode: Option<Permissions>,
}

/// What an earlier run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Something that can be continued.
    There(Had),
    /// A part file, and no proof that a rest belongs to it.
    Unproved,
    Nothing,
}

/// The file that is written.
#[derive(Debug)]
enum Output {
    /// The target itself, which is not a regular file.
    Direct(File),
    Part(Part),
}

impl Saver {
    /// Opens the part file of `path`, with what is in it; `taken` says what to
    /// do with a name that is taken, `url` is the id of the URL.
    pub(super) fn open(path: &Path, taken: Taken, create_dirs: bool, url: &str) -> Result<Self> {
        if taken == Taken::Next {
            // A process that writes beside a name will take it.
            for name in free_names(path) {
                if let Some(mut saver) = Self::open_as(&name, taken, create_dirs, url)? {
                    path.clone_into(&mut saver.first);
                    return Ok(saver);
                }
            }
        } else if let Some(saver) = Self::open_as(path, taken, create_dirs, url)? {
            return Ok(saver);
        }
        let error = Error::new(Kind::System, "is being written by another process");
        Err(error.with_subject(part_name(path, 0).display().to_string()))
    }

    /// The same under this name; `None` if another process writes it.
    fn open_as(path: &Path, taken: Taken, create_dirs: bool, url: &str) -> Result<Option<Self>> {
        // Only a symlink that the user named is followed.
        let (path, meta) = match taken {
            Taken::Replace => target(path)?,
            Taken::Refuse | Taken::Next => (path.to_owned(), None),
        };
        if taken == Taken::Refuse && is_taken(&path) {
            return Err(Error::new(
                Kind::System,
                "exists already, and a name the server chose overwrites nothing",
            )
            .with_subject(path.display().to_string())
            .hint("-o names the file"));
        }
        if let Some(parent) = path.parent()
            && create_dirs
        {
            std::fs::create_dir_all(parent).map_err(|e| local(&e, parent))?;
        }
        let mode = meta.as_ref().map(part::permissions);
        let output = if meta.as_ref().is_some_and(|meta| !meta.is_file()) {
            let file = OpenOptions::new().write(true).open(&path);
            Output::Direct(file.map_err(|e| local(&e, &path))?)
        } else {
            let nothing = resume::to_state(&Had::default(), url, None);
            match Part::open(&path, mode.as_ref(), &nothing)? {
                Some(part) => Output::Part(part),
                None => return Ok(None),
            }
        };
        let saver = Self {
            first: path.clone(),
            path,
            output,
            taken,
            url: url.to_owned(),
            had: Had::default(),
            mode,
        };
        // A part file without a record would be left alone by later runs.
        if saver.length()? == 0 {
            saver.keep_state()?;
        }
        Ok(Some(saver))
    }

    fn file(&self) -> &File {
        match &self.output {
            Output::Direct(file) => file,
            Output::Part(part) => &part.file,
        }
    }

    /// The part file; `None` if the target is written directly.
    fn part(&self) -> Option<&Part> {
        match &self.output {
            Output::Direct(_) => None,
            Output::Part(part) => Some(part),
        }
    }

    /// What an earlier run left: the part file, or, if there is none, the final
    /// file. A part file without a validator counts only if the body has a
    /// `digest`.
    pub(crate) fn earlier(&self, digest: bool) -> Result<Earlier> {
        let Some(part) = self.part() else {
            return Ok(Earlier::Nothing);
        };
        let length = self.length()?;
        let state = part.state()?;
        let had = state
            .as_deref()
            .and_then(|state| resume::from_state(state, &self.url, length));
        let mut unproved = false;
        match had {
            Some(had) if had.validator.is_some() || digest => return Ok(Earlier::There(had)),
            Some(_) => unproved = true,
            None => {}
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => Ok(Earlier::There(Had {
                bytes: meta.len(),
                of_file: true,
                ..Had::default()
            })),
            _ if unproved => Ok(Earlier::Unproved),
            _ => Ok(Earlier::Nothing),
        }
    }

    /// The last `length` bytes of what is there.
    pub(crate) fn tail(&self, length: u64) -> Result<Vec<u8>> {
        let mut tail = vec![0; length as usize];
        let read = self
            .file()
            .read_exact_at(&mut tail, self.had.bytes - length);
        read.map_err(|e| self.error(&e))?;
        Ok(tail)
    }

    /// What this run has written so far.
    pub(crate) fn had(&self) -> &Had {
        &self.had
    }

    /// Whether what is written can be gone on with at all.
    pub(crate) fn is_seekable(&self) -> bool {
        self.part().is_some()
    }

    /// The length of the file that is written.
    fn length(&self) -> Result<u64> {
        let meta = self.file().metadata().map_err(|e| self.error(&e))?;
        Ok(meta.len())
    }

    /// Starts from nothing. There must be room for `expected` bytes; `coding` is
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
            ..Had::default()
        };
        if self.part().is_none() {
            return Ok(());
        }
        if self.length()? > 0 {
            self.restart()?;
        }
        self.keep_state()?;
        self.check_room(expected.unwrap_or(0))
    }

    /// Empties the file that is written.
    fn restart(&self) -> Result<()> {
        let mut file = self.file();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)).map(drop))
            .map_err(|e| self.error(&e))
    }

    /// Fails if the file system has no room for so many more bytes, so that a
    /// full one is known at the start. Nothing is reserved: a server announces
    /// whatever length it wants.
    fn check_room(&self, length: u64) -> Result<()> {
        let Ok(room) = rustix::fs::fstatvfs(self.file()) else {
            return Ok(());
        };
        // Blocks that only root may use count for all; a file system that says
        // nothing of its size has none.
        if room.f_blocks > 0 && length > room.f_bfree.saturating_mul(room.f_frsize) {
            return Err(self.error(&rustix::io::Errno::NOSPC.into()));
        }
        Ok(())
    }

    /// Goes on behind what an earlier run, or an earlier try, left. Each
    /// piece of what is there is shown to `see`, for the digest.
    pub(crate) fn resume(&mut self, had: &Had, mut see: impl FnMut(&[u8])) -> Result<()> {
        if had.of_file {
            // The final file is what is there: the part begins as its copy,
            // of which a record that is left says nothing.
            let mut whole = File::open(&self.path).map_err(|e| local(&e, &self.path))?;
            let meta = whole.metadata().map_err(|e| local(&e, &self.path))?;
            if meta.len() < had.bytes {
                let message = format!("has only {} of {} bytes", meta.len(), had.bytes);
                return Err(
                    Error::new(Kind::System, message).with_subject(self.path.display().to_string())
                );
            }
            if let Some(part) = self.part() {
                let nothing = Had::default();
                part.write_state(&resume::to_state(&nothing, &self.url, None))?;
            }
            self.restart()?;
            let copied = io::copy(&mut (&mut whole).take(had.bytes), &mut self.file())
                .map_err(|e| self.error(&e))?;
            if copied != had.bytes {
                return Err(Error::new(Kind::System, "became shorter meanwhile")
                    .with_subject(self.path.display().to_string()));
            }
        } else if self.length()? < had.bytes {
            return Err(Error::new(Kind::System, "became shorter meanwhile")
                .with_subject(part_name(&self.path, 0).display().to_string()));
        }
        self.file().set_len(had.bytes).map_err(|e| self.error(&e))?;
        self.read_back(&mut see)?;
        self.had = Had {
            of_file: false,
            exact: false,
            ..had.clone()
        };
        self.keep_state()?;
        let total = had.total.unwrap_or(0);
        self.check_room(total.saturating_sub(had.bytes))
    }

    /// Shows what is there, for the digest, and goes to its end.
    pub(crate) fn read_back(&mut self, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(0)).map_err(|e| self.error(&e))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
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
        self.file()
            .write_all_at(bytes, at)
            .map_err(|e| self.error(&e))
    }

    /// Up to here there is no gap: notes it for a later run.
    pub(crate) fn keep_gaps(&self, without_gap: u64) -> Result<()> {
        self.write_state(Some(without_gap))
    }

    /// Done with gaps: this much is there, the rest is of no use.
    pub(crate) fn end_gaps(&mut self, without_gap: u64) -> Result<()> {
        let cut = self.file().set_len(without_gap);
        cut.map_err(|e| self.error(&e))?;
        self.had.bytes = without_gap;
        if without_gap < self.had.total.unwrap_or(0) {
            self.keep_gaps(without_gap)?;
        }
        Ok(())
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file().write_all(bytes).map_err(|e| self.error(&e))?;
        self.had.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the record, with as many bytes as the part file has.
    fn keep_state(&self) -> Result<()> {
        self.write_state(None)
    }

    fn write_state(&self, bytes: Option<u64>) -> Result<()> {
        match self.part() {
            Some(part) => part.write_state(&resume::to_state(&self.had, &self.url, bytes)),
            None => Ok(()),
        }
    }

    /// The body is complete and right: it takes its name.
    pub(crate) fn finish(mut self, modified: Option<Seconds>) -> Result<PathBuf> {
        let part = match &self.output {
            Output::Direct(file) => {
                let mut file = file;
                file.flush().map_err(|e| self.error(&e))?;
                return Ok(self.path);
            }
            Output::Part(part) => part,
        };
        if let Some(mode) = self.mode.take() {
            let now = part.file.metadata().map_err(|e| self.error(&e))?;
            if now.permissions() != mode {
                let set = part.file.set_permissions(mode);
                set.map_err(|e| self.error(&e))?;
            }
        }
        if let Some(at) = modified {
            set_modified(&part.file, at).map_err(|e| self.error(&e))?;
        }
        let path = self.path.clone();
        let outcome = match self.taken {
            Taken::Replace => std::fs::rename(&part.name, &path).map(|()| path),
            Taken::Refuse => rename_new(&part.name, &path).map(|()| path),
            Taken::Next => rename_free(&part.name, &self.first),
        };
        let path = outcome.map_err(|e| local(&e, &self.path))?;
        part.forget_state();
        Ok(path)
    }

    /// What is there is left for a later run, or removed.
    pub(crate) fn abandon(self, remove: bool) -> Result<()> {
        let Some(part) = self.part() else {
            return Ok(());
        };
        if remove || self.had.bytes == 0 {
            // The state file goes last, for it has the lock.
            part.remove()?;
            part.forget_state();
            return Ok(());
        }
        // What is behind a gap must not look like content.
        let cut = part.file.set_len(self.had.bytes);
        cut.map_err(|e| self.error(&e))?;
        self.keep_state()
    }

    /// The part file is of no use, but an earlier run's is left as it was.
    pub(crate) fn leave(self) -> Result<()> {
        if self.length()? == 0
            && let Some(part) = self.part()
        {
            part.remove()?;
            part.forget_state();
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
#[path = "save_tests.rs"]
mod tests;
