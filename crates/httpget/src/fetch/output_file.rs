//! Files that are either whole or not there.
//!
//! A body is written to a partial_file file ([`super::partial_file`]) and renamed when it is
//! complete and verified. The record with_suffix it keeps the validator by which a
//! later run may go on. A target that is not a regular file (a device, a pipe)
//! is written directly.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Error, Kind, Result};

use super::output_path::OnExists;
use super::partial_file::{self, PartialFile};
use super::paths::{
    exists, file_error, free_paths, partial_path, rename_exclusive, rename_to_free, resolve_target,
};
use crate::http::date::Seconds;
use crate::policy::resume::{PartialDownload, Validator};
use crate::policy::state_file;

/// Where a body is being saved.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// The final name, if it stays free.
    path: PathBuf,
    /// The first name that would do.
    first: PathBuf,
    target: Target,
    /// What of a file that is there.
    on_exists: OnExists,
    /// The id of the URL, for the record.
    url_id: String,
    /// What is there, by which validator it can be continued.
    partial: PartialDownload,
    /// The permissions of the file that will be replaced.
    mode: Option<Permissions>,
}

/// What an earlier run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EarlierDownload {
    /// Something that can be continued.
    Found(PartialDownload),
    /// A partial_file file, and no proof that a rest belongs to it.
    Unproved,
    None,
}

/// The file that is written.
#[derive(Debug)]
enum Target {
    /// The target itself, which is not a regular file.
    Direct(File),
    PartialFile(PartialFile),
}

impl OutputFile {
    /// Opens the partial_file file of `path`, with what is in it; `on_exists` says what to
    /// do with a name that is on_exists, `url` is the id of the URL.
    pub(super) fn open(
        path: &Path,
        on_exists: OnExists,
        create_dirs: bool,
        url_id: &str,
    ) -> Result<Self> {
        if on_exists == OnExists::NextFree {
            // A process that writes with_suffix a name will take it.
            for name in free_paths(path) {
                if let Some(mut file) = Self::open_path(&name, on_exists, create_dirs, url_id)? {
                    path.clone_into(&mut file.first);
                    return Ok(file);
                }
            }
        } else if let Some(file) = Self::open_path(path, on_exists, create_dirs, url_id)? {
            return Ok(file);
        }
        let error = Error::new(Kind::System, "is being written by another process");
        Err(error.with_subject(partial_path(path, 0).display().to_string()))
    }

    /// The same under this name; `None` if another process writes it.
    fn open_path(
        path: &Path,
        on_exists: OnExists,
        create_dirs: bool,
        url_id: &str,
    ) -> Result<Option<Self>> {
        // Only a symlink that the user named is followed.
        let (path, meta) = match on_exists {
            OnExists::Replace => resolve_target(path)?,
            OnExists::Refuse | OnExists::NextFree => (path.to_owned(), None),
        };
        if on_exists == OnExists::Refuse && exists(&path) {
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
            std::fs::create_dir_all(parent).map_err(|e| file_error(&e, parent))?;
        }
        let mode = meta.as_ref().map(partial_file::permissions);
        let target = if meta.as_ref().is_some_and(|meta| !meta.is_file()) {
            let file = OpenOptions::new().write(true).open(&path);
            Target::Direct(file.map_err(|e| file_error(&e, &path))?)
        } else {
            let nothing = state_file::format(&PartialDownload::default(), url_id, None);
            match PartialFile::open(&path, mode.as_ref(), &nothing)? {
                Some(partial_file) => Target::PartialFile(partial_file),
                None => return Ok(None),
            }
        };
        let file = Self {
            first: path.clone(),
            path,
            target,
            on_exists,
            url_id: url_id.to_owned(),
            partial: PartialDownload::default(),
            mode,
        };
        // A partial_file file without a record would be left alone by later runs.
        if file.length()? == 0 {
            file.save_state()?;
        }
        Ok(Some(file))
    }

    fn file(&self) -> &File {
        match &self.target {
            Target::Direct(file) => file,
            Target::PartialFile(partial_file) => &partial_file.file,
        }
    }

    /// The partial_file file; `None` if the target is written directly.
    fn partial_file(&self) -> Option<&PartialFile> {
        match &self.target {
            Target::Direct(_) => None,
            Target::PartialFile(partial_file) => Some(partial_file),
        }
    }

    /// What an earlier run left: the partial_file file, or, if there is none, the final
    /// file. A partial_file file without a validator counts only if the body has a
    /// `digest`.
    pub(crate) fn find_earlier(&self, digest: bool) -> Result<EarlierDownload> {
        let Some(partial_file) = self.partial_file() else {
            return Ok(EarlierDownload::None);
        };
        let length = self.length()?;
        let state = partial_file.state()?;
        let partial = state
            .as_deref()
            .and_then(|state| state_file::parse(state, &self.url_id, length));
        let mut is_unproved = false;
        match partial {
            Some(partial) if partial.validator.is_some() || digest => {
                return Ok(EarlierDownload::Found(partial));
            }
            Some(_) => is_unproved = true,
            None => {}
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => {
                Ok(EarlierDownload::Found(PartialDownload {
                    bytes: meta.len(),
                    in_final_file: true,
                    ..PartialDownload::default()
                }))
            }
            _ if is_unproved => Ok(EarlierDownload::Unproved),
            _ => Ok(EarlierDownload::None),
        }
    }

    /// The last `length` bytes of what is there.
    pub(crate) fn read_tail(&self, length: u64) -> Result<Vec<u8>> {
        let mut tail = vec![0; length as usize];
        let read = self
            .file()
            .read_exact_at(&mut tail, self.partial.bytes - length);
        read.map_err(|e| self.file_error(&e))?;
        Ok(tail)
    }

    /// What this run has written so far.
    pub(crate) fn partial(&self) -> &PartialDownload {
        &self.partial
    }

    /// Whether what is written can be gone on with at all.
    pub(crate) fn is_seekable(&self) -> bool {
        self.partial_file().is_some()
    }

    /// The length of the file that is written.
    fn length(&self) -> Result<u64> {
        let meta = self.file().metadata().map_err(|e| self.file_error(&e))?;
        Ok(meta.len())
    }

    /// Starts from nothing. There must be room for `expected` bytes; `coding` is
    /// the Content-Encoding of what will be written.
    pub(crate) fn begin(
        &mut self,
        validator: Option<Validator>,
        expected: Option<u64>,
        coding: String,
    ) -> Result<()> {
        self.partial = PartialDownload {
            bytes: 0,
            validator,
            total: expected,
            coding: Some(coding),
            ..PartialDownload::default()
        };
        if self.partial_file().is_none() {
            return Ok(());
        }
        if self.length()? > 0 {
            self.truncate()?;
        }
        self.save_state()?;
        self.check_free_space(expected.unwrap_or(0))
    }

    /// Empties the file that is written.
    fn truncate(&self) -> Result<()> {
        let mut file = self.file();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)).map(drop))
            .map_err(|e| self.file_error(&e))
    }

    /// Fails if the file system has no room for so many more bytes, so that a
    /// full one is known at the start. None is reserved: a server announces
    /// whatever length it wants.
    fn check_free_space(&self, length: u64) -> Result<()> {
        let Ok(room) = rustix::fs::fstatvfs(self.file()) else {
            return Ok(());
        };
        // Blocks that only root may use count for all; a file system that says
        // nothing of its size has none.
        if room.f_blocks > 0 && length > room.f_bfree.saturating_mul(room.f_frsize) {
            return Err(self.file_error(&rustix::io::Errno::NOSPC.into()));
        }
        Ok(())
    }

    /// Goes on behind what an earlier run, or an earlier try, left. Each
    /// piece of what is there is shown to `observe`, for the digest.
    pub(crate) fn resume(
        &mut self,
        partial: &PartialDownload,
        mut observe: impl FnMut(&[u8]),
    ) -> Result<()> {
        if partial.in_final_file {
            // The final file is what is there: the partial_file begins as its copy,
            // of which a record that is left says nothing.
            let mut whole = File::open(&self.path).map_err(|e| file_error(&e, &self.path))?;
            let meta = whole.metadata().map_err(|e| file_error(&e, &self.path))?;
            if meta.len() < partial.bytes {
                let message = format!("has only {} of {} bytes", meta.len(), partial.bytes);
                return Err(
                    Error::new(Kind::System, message).with_subject(self.path.display().to_string())
                );
            }
            if let Some(partial_file) = self.partial_file() {
                let nothing = PartialDownload::default();
                partial_file.write_state(&state_file::format(&nothing, &self.url_id, None))?;
            }
            self.truncate()?;
            let copied = io::copy(&mut (&mut whole).take(partial.bytes), &mut self.file())
                .map_err(|e| self.file_error(&e))?;
            if copied != partial.bytes {
                return Err(Error::new(Kind::System, "became shorter meanwhile")
                    .with_subject(self.path.display().to_string()));
            }
        } else if self.length()? < partial.bytes {
            return Err(Error::new(Kind::System, "became shorter meanwhile")
                .with_subject(partial_path(&self.path, 0).display().to_string()));
        }
        self.file()
            .set_len(partial.bytes)
            .map_err(|e| self.file_error(&e))?;
        self.read_existing(&mut observe)?;
        self.partial = PartialDownload {
            in_final_file: false,
            is_exact: false,
            ..partial.clone()
        };
        self.save_state()?;
        let total = partial.total.unwrap_or(0);
        self.check_free_space(total.saturating_sub(partial.bytes))
    }

    /// Shows what is there, for the digest, and goes to its end.
    pub(crate) fn read_existing(&mut self, observe: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(0))
            .map_err(|e| self.file_error(&e))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => observe(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.file_error(&e)),
            }
        }
    }

    /// Begins to write with gaps, of which the state file knows: whatever
    /// happens, a later run goes on where the first gap is.
    pub(crate) fn begin_segments(&mut self) -> Result<()> {
        self.save_progress(self.partial.bytes)
    }

    /// Writes somewhere.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file()
            .write_all_at(bytes, at)
            .map_err(|e| self.file_error(&e))
    }

    /// Up to here there is no gap: notes it for a later run.
    pub(crate) fn save_progress(&self, contiguous: u64) -> Result<()> {
        self.write_state(Some(contiguous))
    }

    /// Done with gaps: this much is there, the rest is of no use.
    pub(crate) fn end_segments(&mut self, contiguous: u64) -> Result<()> {
        let cut = self.file().set_len(contiguous);
        cut.map_err(|e| self.file_error(&e))?;
        self.partial.bytes = contiguous;
        if contiguous < self.partial.total.unwrap_or(0) {
            self.save_progress(contiguous)?;
        }
        Ok(())
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file()
            .write_all(bytes)
            .map_err(|e| self.file_error(&e))?;
        self.partial.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the record, with as many bytes as the partial_file file has.
    fn save_state(&self) -> Result<()> {
        self.write_state(None)
    }

    fn write_state(&self, bytes: Option<u64>) -> Result<()> {
        match self.partial_file() {
            Some(partial_file) => {
                partial_file.write_state(&state_file::format(&self.partial, &self.url_id, bytes))
            }
            None => Ok(()),
        }
    }

    /// The body is complete and right: it takes its name.
    pub(crate) fn finish(mut self, modified: Option<Seconds>) -> Result<PathBuf> {
        let partial_file = match &self.target {
            Target::Direct(file) => {
                let mut file = file;
                file.flush().map_err(|e| self.file_error(&e))?;
                return Ok(self.path);
            }
            Target::PartialFile(partial_file) => partial_file,
        };
        if let Some(mode) = self.mode.take() {
            let now = partial_file
                .file
                .metadata()
                .map_err(|e| self.file_error(&e))?;
            if now.permissions() != mode {
                let set = partial_file.file.set_permissions(mode);
                set.map_err(|e| self.file_error(&e))?;
            }
        }
        if let Some(at) = modified {
            set_modified(&partial_file.file, at).map_err(|e| self.file_error(&e))?;
        }
        let path = self.path.clone();
        let outcome = match self.on_exists {
            OnExists::Replace => std::fs::rename(&partial_file.name, &path).map(|()| path),
            OnExists::Refuse => rename_exclusive(&partial_file.name, &path).map(|()| path),
            OnExists::NextFree => rename_to_free(&partial_file.name, &self.first),
        };
        let path = outcome.map_err(|e| file_error(&e, &self.path))?;
        partial_file.remove_state();
        Ok(path)
    }

    /// What is there is left for a later run, or removed.
    pub(crate) fn abandon(self, remove: bool) -> Result<()> {
        let Some(partial_file) = self.partial_file() else {
            return Ok(());
        };
        if remove || self.partial.bytes == 0 {
            // The state file goes last, for it has the lock.
            partial_file.remove()?;
            partial_file.remove_state();
            return Ok(());
        }
        // What is behind a gap must not look like content.
        let cut = partial_file.file.set_len(self.partial.bytes);
        cut.map_err(|e| self.file_error(&e))?;
        self.save_state()
    }

    /// The partial_file file is of no use, but an earlier run's is left as it was.
    pub(crate) fn discard_unused(self) -> Result<()> {
        if self.length()? == 0
            && let Some(partial_file) = self.partial_file()
        {
            partial_file.remove()?;
            partial_file.remove_state();
        }
        Ok(())
    }

    fn file_error(&self, error: &io::Error) -> Error {
        file_error(error, &self.path)
    }
}

/// Dates a file as a server says.
pub(super) fn set_modified(file: &File, at: Seconds) -> io::Result<()> {
    let since = Duration::from_secs(at.max(0).unsigned_abs());
    file.set_modified(SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
#[path = "output_file_tests.rs"]
mod tests;
