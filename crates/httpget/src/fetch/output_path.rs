//! The path that a body is saved to, and the names that transfers reserve.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use common::{Error, Kind, Result};

use super::{Transfer, paths};
use crate::config::{Destination, ExistingFile};
use crate::http::disposition;
use crate::http::head::Head;
use crate::policy::filename;

/// What to do if the file exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnExists {
    Replace,
    /// Fail, since the server chose the name.
    Refuse,
    /// Use the next free name (`--no-clobber`).
    NextFree,
}

/// The file names of all transfers of a run, of which no two may be equal. Stores
/// hashes, since a list may be long.
#[derive(Debug, Default)]
pub(crate) struct ReservedNames(Mutex<HashMap<u64, TransferId>>);

/// The index of a transfer's URL, and the number of its page.
pub(crate) type TransferId = (usize, u32);

impl ReservedNames {
    /// Reserves a name and the name of its partial file for one transfer.
    fn reserve(&self, path: &Path, transfer: TransferId) -> Result<()> {
        let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let partial = paths::partial_path(&name, 0);
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = [&name, &partial].iter().all(|name| {
            let holder = reserved.entry(hash(name)).or_insert(transfer);
            *holder == transfer
        });
        drop(reserved);
        // Several transfers may write to a device or a pipe.
        if is_free
            || paths::resolve_target(path)?
                .1
                .is_some_and(|meta| !meta.is_file())
        {
            return Ok(());
        }
        let message = "another URL of this run is saved under this name";
        Err(Error::new(Kind::System, message)
            .with_subject(path.display().to_string())
            .hint("use -o FILE, or --no-clobber for a free name"))
    }
}

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

impl Transfer<'_, '_> {
    /// Whether a progress bar may be shown: not if the body is on the terminal, too.
    pub(super) fn shows_progress(&self) -> bool {
        self.job.destination != Destination::Stdout
            || !self.context.config.output.stdout_is_terminal
    }

    /// Returns the label of the progress bar: the file name, or the URL.
    pub(super) fn progress_label(&self) -> String {
        let name = match &self.job.destination {
            Destination::Stdout => None,
            Destination::File(path) => path.file_name().map(|name| name.display().to_string()),
            Destination::Remote => filename::from_url(&self.job.request.url),
        };
        name.unwrap_or_else(|| self.job.display_url.clone())
    }

    /// Returns the path of the file and reserves it for this transfer.
    pub(super) fn reserve_path(&self, head: Option<&Head>) -> Result<(PathBuf, OnExists)> {
        let (path, on_exists) = self.output_path(head)?;
        if on_exists == OnExists::Replace {
            let transfer = (self.job.index, self.job.page);
            self.context.reserved_names.reserve(&path, transfer)?;
        }
        Ok((path, on_exists))
    }

    /// Returns the path of the file, and what to do if it exists.
    pub(super) fn output_path(&self, head: Option<&Head>) -> Result<(PathBuf, OnExists)> {
        let config = self.context.config;
        let name = if let Destination::File(path) = &self.job.destination {
            Some((path.clone(), OnExists::Replace))
        } else {
            let head = head.filter(|_| config.saving.remote_header_name);
            let chosen = head
                .and_then(|head| head.get("content-disposition"))
                .and_then(disposition::filename)
                .and_then(|name| filename::sanitize(&name));
            // The server also chooses the URL of a redirect.
            let redirected = || {
                let is_redirected = head.is_some() && self.final_url != self.job.request.url;
                is_redirected.then(|| filename::from_url(&self.final_url))?
            };
            match chosen.or_else(|| redirected().and_then(|name| filename::sanitize(&name))) {
                Some(name) => Some((PathBuf::from(name), OnExists::Refuse)),
                None => filename::from_url(&self.job.request.url)
                    .map(|name| (PathBuf::from(name), OnExists::Replace)),
            }
        };
        let Some((name, on_exists)) = name else {
            return Err(
                Error::new(Kind::Input, "the URL contains no file name").hint("use -o FILE")
            );
        };
        let path = match &config.saving.directory {
            Some(directory) => directory.join(&name),
            None => name,
        };
        if config.saving.existing == ExistingFile::Number {
            return Ok((path, OnExists::NextFree));
        }
        Ok((path, on_exists))
    }
}
