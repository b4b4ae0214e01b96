//! PartialFile files: bytes of a download that is not complete, each with a record
//! with_suffix it (`FILE.part` and `FILE.part.state`).
//!
//! A part file without a record belongs to another program and is left alone.
//! A part file or record of another user, or with further names, is refused:
//! in a folder that others may write to, either could be planted there.
//!
//! Two runs do not write one part file: each locks the state file, which no
//! other user can open. A lock on the part file itself says nothing.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Error, Kind, Result};
use rustix::fs::FlockOperation;

use super::paths::{exists, file_error, partial_path, rename_exclusive, with_suffix};
use crate::hex;
use crate::policy::state_file;

/// Never a symlink, and not a pipe, which would block until it is read.
const SAFE_OPEN: i32 = rustix::fs::OFlags::NOFOLLOW
    .union(rustix::fs::OFlags::NONBLOCK)
    .bits()
    .cast_signed();

/// A record has a few short lines.
const STATE_MAX: u64 = 64 * 1024;

/// Names that are tried for one file.
const NAMES_MAX: u32 = 1000;

/// Bits of a mode that are kept: permissions, without setuid and setgid.
const PERMISSIONS: u32 = 0o777;

/// What the owner may do with a part file, to continue it whatever the mode of
/// the file that it will replace.
const OWNER_ACCESS: u32 = 0o600;

/// The permissions of a file without setuid, setgid and the sticky bit.
pub(super) fn permissions(meta: &Metadata) -> Permissions {
    Permissions::from_mode(meta.mode() & PERMISSIONS)
}

/// A part file whose state file this process has locked.
#[derive(Debug)]
pub(super) struct PartialFile {
    pub(super) name: PathBuf,
    pub(super) file: File,
    state: Mutex<Option<StateFile>>,
}

/// The state file that this process has read or written: nothing else under its
/// name is replaced or removed.
#[derive(Debug)]
struct StateFile {
    id: FileId,
    /// Holds the lock. Only this user can open a state file, so only a run of
    /// this user can lock it; a part file may be readable by others.
    lock: File,
}

/// What tells a file from others: device and inode, which a later file may get
/// again, with the time of the last write and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64, i64, i64, u64);

impl FileId {
    fn of(meta: &Metadata) -> Self {
        let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
        Self(meta.dev(), meta.ino(), seconds, nanoseconds, meta.len())
    }
}

/// Whether this process may use a name for its part file.
enum Claim {
    /// The state file was there and is locked now.
    Locked(StateFile),
    /// Neither the part file nor its state file was there: the state file has
    /// been created and locked.
    Created(StateFile),
    /// Another process writes the part file.
    Busy,
    /// A file of another program has one of the two names.
    Foreign,
}

impl PartialFile {
    /// Opens the part file of `path`: the first of FILE.part, FILE.part.1 and so
    /// on that is free, or that an earlier run left. `None` if another process
    /// writes it. It gets `mode` before its first byte; a new one gets a state
    /// file with this `text` first.
    pub(super) fn open(
        path: &Path,
        mode: Option<&Permissions>,
        text: &str,
    ) -> Result<Option<Self>> {
        let mode = mode.map(|mode| Permissions::from_mode(mode.mode() | OWNER_ACCESS));
        for number in 0..NAMES_MAX {
            let name = partial_path(path, number);
            let (state, file) = match claim(&name, text)? {
                Claim::Busy => return Ok(None),
                Claim::Foreign => continue,
                Claim::Locked(state) => (state, Some(open_partial(&name, mode.as_ref())?)),
                Claim::Created(state) => match create(&name, mode.as_ref()) {
                    Ok(file) => (state, file),
                    Err(e) => {
                        state.remove(&with_suffix(&name, ".state"));
                        return Err(file_error(&e, &name));
                    }
                },
            };
            let Some(file) = file else {
                // Another program has just taken the name.
                state.remove(&with_suffix(&name, ".state"));
                continue;
            };
            return Ok(Some(Self {
                name,
                file,
                state: Mutex::new(Some(state)),
            }));
        }
        Err(
            Error::new(Kind::System, "too many part files with_suffix it")
                .with_subject(path.display().to_string()),
        )
    }

    /// The text of its record.
    pub(super) fn state(&self) -> Result<Option<String>> {
        let path = with_suffix(&self.name, ".state");
        let Some(file) = open_existing(&path, OpenOptions::new().read(true))? else {
            return Ok(None);
        };
        read_state(&file, &path).map(|state| Some(state.text))
    }

    /// Writes its record, at once or not at all.
    pub(super) fn write_state(&self, text: &str) -> Result<()> {
        let path = with_suffix(&self.name, ".state");
        let mut state = self.locked_state();
        let own = state.as_ref().map(|state| state.id);
        if file_id(&path).is_some_and(|id| own != Some(id)) {
            let message = "is not the record of this download";
            return Err(refusal(&path, message));
        }
        let replace = |name: &Path| match own {
            Some(_) => std::fs::rename(name, &path),
            None => rename_exclusive(name, &path),
        };
        let written = write_locked(&path, text, replace).map_err(|e| file_error(&e, &path))?;
        *state = Some(written);
        Ok(())
    }

    /// Removes its record.
    pub(super) fn remove_state(&self) {
        if let Some(state) = self.locked_state().take() {
            state.remove(&with_suffix(&self.name, ".state"));
        }
    }

    fn locked_state(&self) -> MutexGuard<'_, Option<StateFile>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<()> {
        std::fs::remove_file(&self.name).map_err(|e| file_error(&e, &self.name))
    }
}

fn refusal(name: &Path, message: &str) -> Error {
    Error::new(Kind::System, message)
        .with_subject(name.display().to_string())
        .hint("remove it")
}

/// Refuses what another user may have put there.
fn check_ownership(meta: &Metadata, name: &Path) -> Result<()> {
    if !meta.is_file() {
        return Err(refusal(name, "is not a regular file"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(refusal(name, "belongs to another user"));
    }
    if meta.nlink() > 1 {
        return Err(refusal(name, "has several hard links"));
    }
    Ok(())
}

/// Opens a file that exists, unless it is a symlink.
fn open_existing(name: &Path, options: &mut OpenOptions) -> Result<Option<File>> {
    match options.custom_flags(SAFE_OPEN).open(name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(refusal(name, "is a symlink"))
        }
        Err(e) => Err(file_error(&e, name)),
    }
}

/// Creates a file, unless its name is taken.
fn create(name: &Path, mode: Option<&Permissions>) -> io::Result<Option<File>> {
    let bits = mode.map_or(0o666, PermissionsExt::mode);
    let created = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(bits)
        .open(name);
    let file = match created {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(e) => return Err(e),
    };
    // Bits that the umask has taken away.
    if let Some(mode) = mode {
        file.set_permissions(mode.clone())?;
    }
    Ok(Some(file))
}

impl StateFile {
    /// Removes the file of this name, if it is this one.
    fn remove(self, path: &Path) {
        if file_id(path) == Some(self.id) {
            let _ = std::fs::remove_file(path);
        }
        // Not before: another run would lock what is about to be removed.
        drop(self.lock);
    }
}

/// Locks the state file of a part file, or creates it if neither is there.
fn claim(name: &Path, text: &str) -> Result<Claim> {
    let path = with_suffix(name, ".state");
    loop {
        let Some(file) = open_existing(&path, OpenOptions::new().read(true).write(true))? else {
            // A part file without a record is another program's.
            if exists(name) {
                return Ok(Claim::Foreign);
            }
            match write_locked(&path, text, |temporary| rename_exclusive(temporary, &path)) {
                Ok(state) => return Ok(Claim::Created(state)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                // What the user knows of is the part file.
                Err(e) => return Err(file_error(&e, name)),
            }
        };
        let state = read_state(&file, &path)?;
        if !state_file::is_state_file(&state.text) {
            return Ok(Claim::Foreign);
        }
        if !lock(&file) {
            return Ok(Claim::Busy);
        }
        // Before the lock, another run may have replaced or removed it.
        if file_id(&path) == Some(state.id) {
            let id = state.id;
            return Ok(Claim::Locked(StateFile { id, lock: file }));
        }
    }
}

/// Locks a file; false if another process holds the lock. Not every file system
/// has locks, and only a lock that is held is a reason to stop.
fn lock(file: &File) -> bool {
    let outcome = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    outcome != Err(rustix::io::Errno::WOULDBLOCK)
}

/// Writes a state file under another name, locks it, and gives it its name by
/// `rename`, so that it is never there unlocked or in part.
fn write_locked(
    path: &Path,
    text: &str,
    rename: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<StateFile> {
    let (name, mut lock_file) = temporary(path)?;
    lock(&lock_file);
    let outcome = lock_file
        .write_all(text.as_bytes())
        .and_then(|()| rename(&name))
        .and_then(|()| lock_file.metadata());
    match outcome {
        Ok(meta) => Ok(StateFile {
            id: FileId::of(&meta),
            lock: lock_file,
        }),
        Err(e) => {
            // The error is what there is to tell.
            let _ = std::fs::remove_file(&name);
            Err(e)
        }
    }
}

/// Opens a part file whose state file is locked, or creates it.
fn open_partial(name: &Path, mode: Option<&Permissions>) -> Result<File> {
    let (file, meta) = loop {
        if let Some(file) = create(name, mode).map_err(|e| file_error(&e, name))? {
            return Ok(file);
        }
        if let Some(file) = open_existing(name, OpenOptions::new().read(true).write(true))? {
            let meta = file.metadata().map_err(|e| file_error(&e, name))?;
            check_ownership(&meta, name)?;
            break (file, meta);
        }
    };
    let mode = mode
        .cloned()
        .unwrap_or_else(|| Permissions::from_mode(meta.mode() & PERMISSIONS | OWNER_ACCESS));
    if meta.permissions() != mode {
        let set = file.set_permissions(mode);
        set.map_err(|e| file_error(&e, name))?;
    }
    Ok(file)
}

/// A file under the name of a record.
struct State {
    /// Empty if it is too long for a record, or not text.
    text: String,
    id: FileId,
}

/// Reads the file under the name of a record.
fn read_state(file: &File, path: &Path) -> Result<State> {
    let meta = file.metadata().map_err(|e| file_error(&e, path))?;
    check_ownership(&meta, path)?;
    let mut text = Vec::new();
    let read = file.take(STATE_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| file_error(&e, path))?;
    text.truncate(if text.len() as u64 > STATE_MAX {
        0
    } else {
        text.len()
    });
    Ok(State {
        text: String::from_utf8(text).unwrap_or_default(),
        id: FileId::of(&meta),
    })
}

/// What has this name, be it a symlink.
fn file_id(path: &Path) -> Option<FileId> {
    std::fs::symlink_metadata(path)
        .ok()
        .map(|meta| FileId::of(&meta))
}

/// Creates a file with_suffix `path`, for this user alone.
fn temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    let mode = Permissions::from_mode(OWNER_ACCESS);
    loop {
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = with_suffix(path, &format!(".{}", hex::encode(&random)));
        if let Some(file) = create(&name, Some(&mode))? {
            return Ok((name, file));
        }
    }
}
