//! Which file a body goes to, and what of a name that is taken.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use common::{Error, Kind, Result};

use super::{Place, Transfer, names};
use crate::config;
use crate::http::disposition;
use crate::http::head::Head;
use crate::policy::filename;

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is replaced.
    Replace,
    /// It stays, and there is an error: a server chose the name.
    Refuse,
    /// It stays, and the next free name is taken (`--no-clobber`).
    Next,
}

/// The names that the transfers of one run are saved under: of two that have
/// the same, one would be lost. Hashes of them, since a list may be long.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<u64, Owner>>);

/// A transfer: the number of its URL and that of its page.
pub(crate) type Owner = (usize, u32);

impl Claims {
    /// This name, and that of its part file, is for this transfer alone.
    fn claim(&self, path: &Path, owner: Owner) -> Result<()> {
        let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let part = names::part_name(&name, 0);
        let mut claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = [&name, &part].iter().all(|name| {
            let claim = claimed.entry(hash(name)).or_insert(owner);
            *claim == owner
        });
        drop(claimed);
        // A device or a pipe is written to, and nothing is lost.
        if free || names::target(path)?.1.is_some_and(|meta| !meta.is_file()) {
            return Ok(());
        }
        let message = "another URL of this run is saved under this name";
        Err(Error::new(Kind::System, message)
            .with_subject(path.display().to_string())
            .hint("-o names it, --no-clobber takes a free name"))
    }
}

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

impl Transfer<'_, '_> {
    /// Whether a bar may be drawn: not beside a body on the same terminal.
    pub(super) fn shows_bar(&self) -> bool {
        self.job.place != Place::Stdout || !self.context.config.stdout_is_terminal
    }

    /// What the bar is called: the file, or the URL if there is none.
    pub(super) fn bar_name(&self) -> String {
        let name = match &self.job.place {
            Place::Stdout => None,
            Place::File(path) => path.file_name().map(|name| name.display().to_string()),
            Place::Remote => filename::of_url(&self.job.target.url),
        };
        name.unwrap_or_else(|| self.job.url.clone())
    }

    /// The file's path, taken for this transfer, and what of one that is there.
    pub(super) fn claimed(&self, head: Option<&Head>) -> Result<(PathBuf, Taken)> {
        let (path, taken) = self.path(head)?;
        if taken == Taken::Replace {
            let owner = (self.job.index, self.job.page);
            self.context.claims.claim(&path, owner)?;
        }
        Ok((path, taken))
    }

    /// The file's path, and what of one that is there.
    pub(super) fn path(&self, head: Option<&Head>) -> Result<(PathBuf, Taken)> {
        let config = self.context.config;
        let name = if let Place::File(path) = &self.job.place {
            Some((path.clone(), Taken::Replace))
        } else {
            let head = head.filter(|_| config.saving.remote_header_name);
            let chosen = head
                .and_then(|head| head.get("content-disposition"))
                .and_then(disposition::filename)
                .and_then(|name| filename::safe(&name));
            // The URL that a redirect led to is chosen by the server as well.
            let led_to = || {
                let is_elsewhere = head.is_some() && self.final_url != self.job.target.url;
                is_elsewhere.then(|| filename::of_url(&self.final_url))?
            };
            match chosen.or_else(|| led_to().and_then(|name| filename::safe(&name))) {
                Some(name) => Some((PathBuf::from(name), Taken::Refuse)),
                None => filename::of_url(&self.job.target.url)
                    .map(|name| (PathBuf::from(name), Taken::Replace)),
            }
        };
        let Some((name, taken)) = name else {
            return Err(
                Error::new(Kind::Input, "no file name in the URL").hint("-o names the file")
            );
        };
        let path = config::in_dir(&config.saving, &name);
        if config.saving.no_clobber {
            return Ok((path, Taken::Next));
        }
        Ok((path, taken))
    }
}
