//! Part files: bytes of a download that is not complete, each with a record
//! beside it (`FILE.part` and `FILE.part.state`).
//!
//! A part file without a record belongs to another program and is left alone.
//! A part file or record of another user, or with further names, is refused:
//! in a folder that others may write to, either could be planted there.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Error, Kind, Result};
use rustix::fs::FlockOperation;

use super::deliver::hex;
use super::names::{beside, local, part_name, rename_new};
use crate::policy::resume;

/// Never a symlink, and not a pipe, which would block until it is read.
const NOTHING_ODD: i32 = rustix::fs::OFlags::NOFOLLOW
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
const OWN: u32 = 0o600;

/// The permissions of a file without setuid, setgid and the sticky bit.
pub(super) fn permissions(meta: &Metadata) -> Permissions {
    Permissions::from_mode(meta.mode() & PERMISSIONS)
}

/// A part file that this process has locked.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: PathBuf,
    pub(super) file: File,
    /// The record that this process has read or written: nothing else under its
    /// name is replaced or removed.
    record: Mutex<Option<Id>>,
}

/// What tells a file from others: device and inode, which a later file may get
/// again, with the time of the last write and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id(u64, u64, i64, i64, u64);

impl Id {
    fn of(meta: &Metadata) -> Self {
        let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
        Self(meta.dev(), meta.ino(), seconds, nanoseconds, meta.len())
    }
}

/// What stands under the name of a part file.
enum Found {
    /// Nothing did: it has been created.
    Created(File),
    Earlier(File),
    /// Another process writes it.
    Busy,
}

impl Part {
    /// Opens the part file of `path`: the first of FILE.part, FILE.part.1 and so
    /// on that is free, or that an earlier run left. `None` if another process
    /// writes it. It gets `mode` before its first byte.
    pub(super) fn open(path: &Path, mode: Option<&Permissions>) -> Result<Option<Self>> {
        let mode = mode.map(|mode| Permissions::from_mode(mode.mode() | OWN));
        for number in 0..NAMES_MAX {
            let name = part_name(path, number);
            let (file, is_new) = match open(&name, mode.as_ref())? {
                Found::Busy => return Ok(None),
                Found::Created(file) => (file, true),
                Found::Earlier(file) => (file, false),
            };
            let state = read_state(&beside(&name, ".state"));
            let is_ours = match &state {
                Ok(Some(state)) => resume::is_state(&state.text),
                // A part without a record is another program's.
                Ok(None) => is_new,
                Err(_) => false,
            };
            if is_new && !is_ours {
                std::fs::remove_file(&name).map_err(|e| local(&e, &name))?;
            }
            let state = state?;
            if is_ours {
                let record = Mutex::new(state.map(|state| state.id));
                return Ok(Some(Self { name, file, record }));
            }
        }
        Err(Error::new(Kind::System, "too many part files beside it")
            .with_subject(path.display().to_string()))
    }

    /// The text of its record.
    pub(super) fn state(&self) -> Result<Option<String>> {
        let state = read_state(&beside(&self.name, ".state"))?;
        Ok(state.map(|state| state.text))
    }

    /// Writes its record, at once or not at all.
    pub(super) fn write_state(&self, text: &str) -> Result<()> {
        let path = beside(&self.name, ".state");
        let mut record = self.record();
        if id_of(&path).is_some_and(|id| *record != Some(id)) {
            let message = "is not the record of this download";
            return Err(refused(&path, message));
        }
        let (name, mut file) = temporary(&path)?;
        let outcome = file.write_all(text.as_bytes()).and_then(|()| {
            let meta = file.metadata()?;
            match *record {
                Some(_) => std::fs::rename(&name, &path)?,
                None => rename_new(&name, &path)?,
            }
            *record = Some(Id::of(&meta));
            Ok(())
        });
        outcome.map_err(|e| {
            // The error is what there is to tell.
            let _ = std::fs::remove_file(&name);
            local(&e, &path)
        })
    }

    /// Removes its record.
    pub(super) fn forget_state(&self) {
        let path = beside(&self.name, ".state");
        if let Some(id) = self.record().take()
            && id_of(&path) == Some(id)
        {
            let _ = std::fs::remove_file(path);
        }
    }

    fn record(&self) -> MutexGuard<'_, Option<Id>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<()> {
        std::fs::remove_file(&self.name).map_err(|e| local(&e, &self.name))
    }
}

fn refused(name: &Path, message: &str) -> Error {
    Error::new(Kind::System, message)
        .with_subject(name.display().to_string())
        .hint("remove it")
}

/// Refuses what another user may have put there.
fn check(meta: &Metadata, name: &Path) -> Result<()> {
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

/// Opens a file that exists, unless it is a symlink.
fn open_existing(name: &Path, options: &mut OpenOptions) -> Result<Option<File>> {
    match options.custom_flags(NOTHING_ODD).open(name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(refused(name, "is a symlink"))
        }
        Err(e) => Err(local(&e, name)),
    }
}

/// Creates a file, unless its name is taken.
fn create(name: &Path, mode: Option<&Permissions>) -> Result<Option<File>> {
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
        Err(e) => return Err(local(&e, name)),
    };
    // Bits that the umask has taken away.
    if let Some(mode) = mode {
        let set = file.set_permissions(mode.clone());
        set.map_err(|e| local(&e, name))?;
    }
    Ok(Some(file))
}

/// Opens a part file for this process alone.
fn open(name: &Path, mode: Option<&Permissions>) -> Result<Found> {
    loop {
        let created = create(name, mode)?;
        let is_new = created.is_some();
        let file = match created {
            Some(file) => file,
            None => match open_existing(name, OpenOptions::new().read(true).write(true))? {
                Some(file) => file,
                None => continue,
            },
        };
        let meta = file.metadata().map_err(|e| local(&e, name))?;
        // Not every file system has locks; only a held one is a reason.
        let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        if meta.nlink() == 0 {
            continue;
        }
        check(&meta, name)?;
        if lock == Err(rustix::io::Errno::WOULDBLOCK) && !is_locked_by_another_user(&meta) {
            return Ok(Found::Busy);
        }
        // Between opening and locking, another process may have completed it
        // and given it its name: then this is not the part file any more.
        match std::fs::symlink_metadata(name) {
            Ok(now) if (now.dev(), now.ino()) == (meta.dev(), meta.ino()) => {}
            Ok(_) => continue,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(local(&e, name)),
        }
        if is_new {
            return Ok(Found::Created(file));
        }
        let mode = mode
            .cloned()
            .unwrap_or_else(|| Permissions::from_mode(meta.mode() & PERMISSIONS | OWN));
        if meta.permissions() != mode {
            let set = file.set_permissions(mode);
            set.map_err(|e| local(&e, name))?;
        }
        return Ok(Found::Earlier(file));
    }
}

/// Whether the lock of a file of ours is held by another user: one who may read
/// the file can lock it, but never writes a download to it.
fn is_locked_by_another_user(meta: &Metadata) -> bool {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
        return false;
    };
    let own = rustix::process::geteuid().as_raw();
    // "1: FLOCK  ADVISORY  WRITE 1234 08:01:12345 0 EOF"; the device's numbers
    // are not those of stat everywhere.
    let end = format!(":{}", meta.ino());
    let mut holders = locks.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, holder, file, ..] = words[..] else {
            return None;
        };
        file.ends_with(&end).then_some(holder)
    });
    let is_foreign = |holder: &str| {
        // Processes of other users may be hidden; those of our own are not. A
        // holder of another PID namespace has no number.
        holder.parse::<u32>().is_ok_and(|pid| pid > 0)
            && std::fs::metadata(format!("/proc/{holder}")).map_or(true, |meta| meta.uid() != own)
    };
    let mut found = false;
    let all = holders.all(|holder| {
        found = true;
        is_foreign(holder)
    });
    found && all
}

/// A file under the name of a record.
struct State {
    /// Empty if it is too long for a record, or not text.
    text: String,
    id: Id,
}

/// What stands under the name of a record; `None` if nothing does.
fn read_state(path: &Path) -> Result<Option<State>> {
    let Some(file) = open_existing(path, OpenOptions::new().read(true))? else {
        return Ok(None);
    };
    let meta = file.metadata().map_err(|e| local(&e, path))?;
    check(&meta, path)?;
    let mut text = Vec::new();
    let read = file.take(STATE_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| local(&e, path))?;
    text.truncate(if text.len() as u64 > STATE_MAX {
        0
    } else {
        text.len()
    });
    Ok(Some(State {
        text: String::from_utf8(text).unwrap_or_default(),
        id: Id::of(&meta),
    }))
}

/// What has this name, be it a symlink.
fn id_of(path: &Path) -> Option<Id> {
    std::fs::symlink_metadata(path)
        .ok()
        .map(|meta| Id::of(&meta))
}

/// Creates a file beside `path`, for this user alone.
fn temporary(path: &Path) -> Result<(PathBuf, File)> {
    let mode = Permissions::from_mode(OWN);
    loop {
        let mut random = [0; 6];
        getrandom::fill(&mut random)
            .map_err(|e| Error::new(Kind::System, format!("no random name: {e}")))?;
        let name = beside(path, &format!(".{}", hex(&random)));
        if let Some(file) = create(&name, Some(&mode))? {
            return Ok((name, file));
        }
    }
}
