//! The file names that the transfers of a run reserve, so that no two of them write to
//! the same file.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use common::{Error, Kind, Result};

use super::paths;

/// The file names of all transfers of a run, which must all differ. Stores hashes,
/// since a list may be long.
#[derive(Debug, Default)]
pub(crate) struct ReservedNames(Mutex<HashMap<u64, TransferId>>);

/// The index of a transfer's URL, and the number of its page.
pub(crate) type TransferId = (usize, u32);

impl ReservedNames {
    /// Reserves a name and the name of its partial file for one transfer.
    pub(super) fn reserve(&self, path: &Path, transfer: TransferId) -> Result<()> {
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
