//! Which file a body goes to, and what of a name that is taken.

use std::collections::HashMap;
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

/// The names that the URLs of one run are saved under, by the number of the
/// URL. Side by side, nobody could tell which of two would be left.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<PathBuf, usize>>);

impl Claims {
    /// This name is for this URL alone.
    fn claim(&self, path: &Path, index: usize) -> Result<()> {
        let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = *names.entry(name).or_insert(index);
        drop(names);
        // A device or a pipe is written to, and nothing is lost.
        if owner == index || names::target(path)?.1.is_some_and(|meta| !meta.is_file()) {
            return Ok(());
        }
        let message = "another URL of this run is saved under this name";
        Err(Error::new(Kind::System, message)
            .about(path.display().to_string())
            .hint("-o names it, --no-clobber takes a free name"))
    }
}

impl Transfer<'_, '_> {
    /// The file's path, taken for this transfer, and what of one that is there.
    pub(super) fn claimed(&self, head: Option<&Head>) -> Result<(PathBuf, Taken)> {
        let (path, taken) = self.path(head)?;
        if let (Some(claims), Taken::Replace) = (&self.context.claims, taken) {
            claims.claim(&path, self.job.index)?;
        }
        Ok((path, taken))
    }

    /// The file's path, and what of one that is there.
    pub(super) fn path(&self, head: Option<&Head>) -> Result<(PathBuf, Taken)> {
        let config = self.context.config;
        let name = if let Place::File(path) = &self.job.place {
            Some((path.clone(), Taken::Replace))
        } else {
            let chosen = head
                .filter(|_| config.saving.remote_header_name)
                .and_then(|head| head.get("content-disposition"))
                .and_then(disposition::filename)
                .and_then(|name| filename::safe(&name));
            let own = || filename::of_url(&self.job.target.url);
            match chosen {
                Some(name) => Some((PathBuf::from(name), Taken::Refuse)),
                None => own().map(|name| (PathBuf::from(name), Taken::Replace)),
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
