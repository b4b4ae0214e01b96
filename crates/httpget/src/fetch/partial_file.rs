//! Partial files: the bytes of an incomplete download in `FILE.part`, with a state
//! file `FILE.part.state` next to it.
//!
//! A partial file without a state file belongs to another program and is not
//! touched. A partial file or a state file that another user owns, or that has
//! several hard links, is refused: in a directory that others may write to, it
//! could have been planted.
//!
//! Two runs never write the same partial file: each locks the state file, which
//! other users cannot open. A lock on the partial file itself is ignored.

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

/// Open flags that refuse symlinks and do not block on a pipe.
const SAFE_OPEN: i32 = rustix::fs::OFlags::NOFOLLOW
    .union(rustix::fs::OFlags::NONBLOCK)
    .bits()
    .cast_signed();

/// The maximum size of a state file in bytes; it has only a few short lines.
const STATE_MAX: u64 = 64 * 1024;

/// The maximum number of names that are tried for one file.
const NAMES_MAX: u32 = 1000;

/// The mode bits that are kept: the permissions without setuid, setgid and the
/// sticky bit.
const PERMISSIONS: u32 = 0o777;

/// The owner's permissions on a partial file, so that it can be continued regardless of
/// the mode of the file that it replaces.
const OWNER_ACCESS: u32 = 0o600;

/// Returns the permissions of a file without setuid, setgid and the sticky bit.
pub(super) fn permissions(meta: &Metadata) -> Permissions {
    Permissions::from_mode(meta.mode() & PERMISSIONS)
}

/// A partial file with a state file that this process has locked.
#[derive(Debug)]
pub(super) struct PartialFile {
    pub(super) name: PathBuf,
    pub(super) file: File,
    state: Mutex<Option<StateFile>>,
}

/// A state file that this process has read or written. No other file with its name is
/// replaced or removed.
#[derive(Debug)]
struct StateFile {
    id: FileId,
    /// The locked file. Only a run of this user can lock a state file, since other
    /// users cannot open it.
    lock: File,
}

/// The identity of a file: device and inode, and, since an inode can be reused, the time
/// of the last write and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64, i64, i64, u64);

impl FileId {
    fn of(meta: &Metadata) -> Self {
        let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
        Self(meta.dev(), meta.ino(), seconds, nanoseconds, meta.len())
    }
}

/// The result of claiming a name for a partial file.
enum Claim {
    /// An existing state file has been locked.
    Locked(StateFile),
    /// Neither file existed, and the state file has been created and locked.
    Created(StateFile),
    /// Another process writes the partial file.
    Busy,
    /// One of the names belongs to another program.
    Foreign,
}

impl PartialFile {
    /// Opens the partial file of `path`: the first of FILE.part, FILE.part.1 and so on
    /// that is free or left by an earlier run. Returns `None` if another process is
    /// writing it. A new partial file gets `mode` before its first byte, and a state file with
    /// this `text`.
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
                // Another program has just created a file with this name.
                state.remove(&with_suffix(&name, ".state"));
                continue;
            };
            return Ok(Some(Self {
                name,
                file,
                state: Mutex::new(Some(state)),
            }));
        }
        let message = format!("has more than {NAMES_MAX} partial files");
        Err(Error::new(Kind::System, message)
            .with_subject(path.display().to_string())
            .hint("remove those that are not needed"))
    }

    /// Returns the text of the state file.
    pub(super) fn state(&self) -> Result<Option<String>> {
        let path = with_suffix(&self.name, ".state");
        let Some(file) = open_existing(&path, OpenOptions::new().read(true))? else {
            return Ok(None);
        };
        read_state(&file, &path).map(|state| Some(state.text))
    }

    /// Replaces the state file atomically.
    pub(super) fn write_state(&self, text: &str) -> Result<()> {
        let path = with_suffix(&self.name, ".state");
        let mut state = self.locked_state();
        let own = state.as_ref().map(|state| state.id);
        if file_id(&path).is_some_and(|id| own != Some(id)) {
            let message = "belongs to another download";
            return Err(refused(&path, message));
        }
        let replace = |name: &Path| match own {
            Some(_) => std::fs::rename(name, &path),
            None => rename_exclusive(name, &path),
        };
        let written = write_locked(&path, text, replace).map_err(|e| file_error(&e, &path))?;
        *state = Some(written);
        Ok(())
    }

    /// Removes the state file.
    pub(super) fn remove_state(&self) {
        if let Some(state) = self.locked_state().take() {
            state.remove(&with_suffix(&self.name, ".state"));
        }
    }

    fn locked_state(&self) -> MutexGuard<'_, Option<StateFile>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the partial file.
    pub(super) fn remove(&self) -> Result<()> {
        std::fs::remove_file(&self.name).map_err(|e| file_error(&e, &self.name))
    }
}

fn refused(name: &Path, message: &str) -> Error {
    Error::new(Kind::System, message)
        .with_subject(name.display().to_string())
        .hint("remove it, or use another file name")
}

/// Refuses a file that another user may have created.
fn check_ownership(meta: &Metadata, name: &Path) -> Result<()> {
    if !meta.is_file() {
        return Err(refused(name, "is not a regular file"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(name, "belongs to another user"));
    }
    if meta.nlink() > 1 {
        return Err(refused(name, "has several hard links"));
    }
    Ok(())
}

/// Opens an existing file; fails if it is a symlink.
fn open_existing(name: &Path, options: &mut OpenOptions) -> Result<Option<File>> {
    match options.custom_flags(SAFE_OPEN).open(name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(refused(name, "is a symlink"))
        }
        Err(e) => Err(file_error(&e, name)),
    }
}

/// Creates a file; `None` if it exists.
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
    // Restores the bits that the umask removed.
    if let Some(mode) = mode {
        file.set_permissions(mode.clone())?;
    }
    Ok(Some(file))
}

impl StateFile {
    /// Removes the state file with this path, if it is this one.
    fn remove(self, path: &Path) {
        if file_id(path) == Some(self.id) {
            let _ = std::fs::remove_file(path);
        }
        // Unlocked last, so that no other run locks a file that is being removed.
        drop(self.lock);
    }
}

/// Locks the state file of a partial file, or creates it if neither file exists.
fn claim(name: &Path, text: &str) -> Result<Claim> {
    let path = with_suffix(name, ".state");
    loop {
        let Some(file) = open_existing(&path, OpenOptions::new().read(true).write(true))? else {
            // A partial file without a state file belongs to another program.
            if exists(name) {
                return Ok(Claim::Foreign);
            }
            match write_locked(&path, text, |temporary| rename_exclusive(temporary, &path)) {
                Ok(state) => return Ok(Claim::Created(state)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                // The error names the partial file, which the user knows.
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
        // Another run may have replaced or removed it before it was locked.
        if file_id(&path) == Some(state.id) {
            let id = state.id;
            return Ok(Claim::Locked(StateFile { id, lock: file }));
        }
    }
}

/// Locks a file; returns false if another process holds the lock. Errors are ignored,
/// since not every file system supports locks.
fn lock(file: &File) -> bool {
    let outcome = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    outcome != Err(rustix::io::Errno::WOULDBLOCK)
}

/// Writes a state file under a temporary name, locks it, and renames it, so that it is
/// always complete and locked.
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
            // Keeps the first error, which is the cause.
            let _ = std::fs::remove_file(&name);
            Err(e)
        }
    }
}

/// Opens or creates a partial file; the state file must be locked.
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

/// The content of a file with the name of a state file.
struct State {
    /// The text; empty if it is too long for a state file, or not UTF-8.
    text: String,
    id: FileId,
}

/// Reads a file with the name of a state file.
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

/// Returns the identity of a file, without following a symlink.
fn file_id(path: &Path) -> Option<FileId> {
    std::fs::symlink_metadata(path)
        .ok()
        .map(|meta| FileId::of(&meta))
}

/// Creates a file next to `path` that only this user can open.
fn temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    let mode = Permissions::from_mode(OWNER_ACCESS);
    loop {
        let mut random = [0; 6];
        getrandom::fill(&mut random)
            .map_err(|_| io::Error::other("the system returned no random bytes"))?;
        let name = with_suffix(path, &format!(".{}", hex::encode(&random)));
        if let Some(file) = create(&name, Some(&mode))? {
            return Ok((name, file));
        }
    }
}
