//! Files that appear completely or not at all.
//!
//! A body is written to a partial file ([`super::partial_file`]) and renamed when it
//! is complete and verified. The state file next to it keeps the validator with which
//! a later run can continue. A target that is not a regular file (a device, a pipe)
//! is written directly.

mod resume;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub(crate) use resume::EarlierDownload;

use common::{Error, Kind, Result};

use super::output_path::OnExists;
use super::partial_file::{self, PartialFile};
use super::paths::{
    exists, file_error, free_paths, partial_path, rename_exclusive, rename_to_free, resolve_target,
};
use crate::http::date::Seconds;
use crate::policy::resume::{PartialDownload, Validator};
use crate::policy::state_file;

/// The file that a body is saved to.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// The final name, if it stays free.
    path: PathBuf,
    /// The first name to try for `--no-clobber`.
    first: PathBuf,
    target: Target,
    /// What to do if the file exists.
    on_exists: OnExists,
    /// The identifier of the URL in the state file.
    url_id: String,
    /// The bytes that have been written, and how they can be continued.
    partial: PartialDownload,
    /// The permissions of the file that will be replaced.
    mode: Option<Permissions>,
}

/// The file that is written.
#[derive(Debug)]
enum Target {
    /// The target itself, which is not a regular file.
    Direct(File),
    PartialFile(PartialFile),
}

impl OutputFile {
    /// Opens the partial file of `path` without changing its content. `url_id`
    /// identifies the URL in the state file.
    pub(super) fn open(
        path: &Path,
        on_exists: OnExists,
        create_dirs: bool,
        url_id: &str,
    ) -> Result<Self> {
        if on_exists == OnExists::NextFree {
            // If another process writes the partial file, the name counts as taken.
            for name in free_paths(path) {
                if let Some(mut file) = Self::open_path(&name, on_exists, create_dirs, url_id)? {
                    path.clone_into(&mut file.first);
                    return Ok(file);
                }
            }
        } else if let Some(file) = Self::open_path(path, on_exists, create_dirs, url_id)? {
            return Ok(file);
        }
        let error = Error::new(Kind::System, "another process is writing it");
        Err(error.with_subject(partial_path(path, 0).display().to_string()))
    }

    /// Opens the partial file of this path; `None` if another process writes it.
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
                "already exists; refusing to overwrite it with a name chosen by the server",
            )
            .with_subject(path.display().to_string())
            .hint("use -o FILE"));
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
        // Later runs would not touch a partial file without a state file.
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

    /// Returns the partial file; `None` if the target is written directly.
    fn partial_file(&self) -> Option<&PartialFile> {
        match &self.target {
            Target::Direct(_) => None,
            Target::PartialFile(partial_file) => Some(partial_file),
        }
    }

    /// Returns the bytes that have been written so far.
    pub(crate) fn partial(&self) -> &PartialDownload {
        &self.partial
    }

    /// Whether writing can be continued at an offset.
    pub(crate) fn is_seekable(&self) -> bool {
        self.partial_file().is_some()
    }

    /// Returns the length of the file that is written.
    fn length(&self) -> Result<u64> {
        let meta = self.file().metadata().map_err(|e| self.file_error(&e))?;
        Ok(meta.len())
    }

    /// Starts an empty file. Fails if there is no space for `expected` bytes;
    /// `coding` is the Content-Encoding of the body.
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

    /// Removes the content of the file that is written.
    fn truncate(&self) -> Result<()> {
        let mut file = self.file();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)).map(drop))
            .map_err(|e| self.file_error(&e))
    }

    /// Fails if the file system has no space for `length` more bytes, so that a full
    /// disk is reported at the start. No space is reserved, since a server may
    /// announce any length.
    fn check_free_space(&self, length: u64) -> Result<()> {
        let Ok(room) = rustix::fs::fstatvfs(self.file()) else {
            return Ok(());
        };
        // Includes the blocks reserved for root. A file system that does not report
        // its size has no blocks.
        if room.f_blocks > 0 && length > room.f_bfree.saturating_mul(room.f_frsize) {
            return Err(self.file_error(&rustix::io::Errno::NOSPC.into()));
        }
        Ok(())
    }

    /// Starts writing segments. The state file is updated first, so that a later run
    /// continues at the first gap even after a crash.
    pub(crate) fn begin_segments(&mut self) -> Result<()> {
        self.save_progress(self.partial.bytes)
    }

    /// Writes bytes at an offset.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file()
            .write_all_at(bytes, at)
            .map_err(|e| self.file_error(&e))
    }

    /// Records in the state file that there is no gap up to this offset.
    pub(crate) fn save_progress(&self, contiguous: u64) -> Result<()> {
        self.write_state(Some(contiguous))
    }

    /// Ends the writing of segments: keeps the contiguous start only.
    pub(crate) fn end_segments(&mut self, contiguous: u64) -> Result<()> {
        let cut = self.file().set_len(contiguous);
        cut.map_err(|e| self.file_error(&e))?;
        self.partial.bytes = contiguous;
        if contiguous < self.partial.total.unwrap_or(0) {
            self.save_progress(contiguous)?;
        }
        Ok(())
    }

    /// Appends bytes to the file.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file()
            .write_all(bytes)
            .map_err(|e| self.file_error(&e))?;
        self.partial.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the state file for the whole length of the partial file.
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

    /// Renames the complete and verified file; returns its final name.
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

    /// Keeps the partial file for a later run, or removes it.
    pub(crate) fn abandon(self, remove: bool) -> Result<()> {
        let Some(partial_file) = self.partial_file() else {
            return Ok(());
        };
        if remove || self.partial.bytes == 0 {
            // The state file is removed last, since it holds the lock.
            partial_file.remove()?;
            partial_file.remove_state();
            return Ok(());
        }
        // Bytes after a gap must not look like content.
        let cut = partial_file.file.set_len(self.partial.bytes);
        cut.map_err(|e| self.file_error(&e))?;
        self.save_state()
    }

    /// Removes an unused partial file, unless an earlier run has written it.
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

/// Sets the time of the last modification of a file.
pub(super) fn set_modified(file: &File, at: Seconds) -> io::Result<()> {
    let since = Duration::from_secs(at.max(0).unsigned_abs());
    file.set_modified(SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests;
