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

use common::{Error, Kind, Result};
use rustix::fs::FlockOperation;

use super::names::{beside, is_taken, local};
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

/// The permissions of a file without setuid, setgid and the sticky bit.
pub(super) fn permissions(meta: &Metadata) -> Permissions {
    Permissions::from_mode(meta.mode() & PERMISSIONS)
}

/// A part file that this process has locked.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: PathBuf,
    pub(super) file: File,
    /// The permissions of the file that it will replace.
    mode: Option<Permissions>,
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
        for number in 0..NAMES_MAX {
            let name = match number {
                0 => beside(path, ".part"),
                number => beside(path, &format!(".part.{number}")),
            };
            let file = match open(&name, mode)? {
                Found::Busy => return Ok(None),
                Found::Created(file) => file,
                Found::Earlier(file) => {
                    let text = read_state(&beside(&name, ".state"))?;
                    if text.is_none_or(|text| !resume::is_state(&text)) {
                        continue;
                    }
                    file
                }
            };
            return Ok(Some(Self {
                name,
                file,
                mode: mode.cloned(),
            }));
        }
        Err(Error::new(Kind::System, "too many part files beside it")
            .about(path.display().to_string()))
    }

    /// The text of its record.
    pub(super) fn state(&self) -> Result<Option<String>> {
        read_state(&beside(&self.name, ".state"))
    }

    /// Writes its record.
    pub(super) fn write_state(&self, text: &str) -> Result<()> {
        write_state(&beside(&self.name, ".state"), text, self.mode.as_ref())
    }

    /// Removes its record.
    pub(super) fn forget_state(&self) {
        let path = beside(&self.name, ".state");
        if is_taken(&path) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<()> {
        std::fs::remove_file(&self.name).map_err(|e| local(&e, &self.name))
    }
}

fn refused(name: &Path, message: &str) -> Error {
    Error::new(Kind::System, message)
        .about(name.display().to_string())
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
        let mode = mode.cloned().unwrap_or_else(|| permissions(&meta));
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

/// The text of a record; `None` if there is none, or it is too long for one.
fn read_state(path: &Path) -> Result<Option<String>> {
    let Some(file) = open_existing(path, OpenOptions::new().read(true))? else {
        return Ok(None);
    };
    check(&file.metadata().map_err(|e| local(&e, path))?, path)?;
    let mut text = Vec::new();
    let read = file.take(STATE_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| local(&e, path))?;
    let text = String::from_utf8(text).ok();
    Ok(text.filter(|text| text.len() as u64 <= STATE_MAX))
}

fn write_state(path: &Path, text: &str, mode: Option<&Permissions>) -> Result<()> {
    let failed = |e: std::io::Error| local(&e, path);
    let mut file = loop {
        if let Some(file) = create(path, mode)? {
            break file;
        }
        if let Some(file) = open_existing(path, OpenOptions::new().write(true))? {
            check(&file.metadata().map_err(failed)?, path)?;
            file.set_len(0).map_err(failed)?;
            break file;
        }
    };
    file.write_all(text.as_bytes()).map_err(failed)
}
