//! The files of a download by their names: what stands behind a name, the
//! part file beside it, and a name that is free.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use common::{Error, Kind, Result};
use rustix::fs::{FlockOperation, RenameFlags};

/// For what lies beside the final name: never a symlink, and no pipe that
/// would have to be waited for.
const NOTHING_ODD: i32 = rustix::fs::OFlags::NOFOLLOW
    .union(rustix::fs::OFlags::NONBLOCK)
    .bits()
    .cast_signed();

/// A state file has a few short lines.
const STATE_MAX: u64 = 64 * 1024;

/// What a state file says; `None` where there is none, or it is none.
pub(super) fn read_state(path: &Path) -> Option<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NOTHING_ODD)
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(STATE_MAX + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= STATE_MAX).then_some(text)
}

/// Writes a state file.
pub(super) fn write_state(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(NOTHING_ODD)
        .open(path)
        .map_err(|e| local(&e, path))?;
    if !file.metadata().map_err(|e| local(&e, path))?.is_file() {
        let error = Error::new(
            Kind::System,
            "is no regular file, where a state file belongs",
        );
        return Err(error.about(path.display().to_string()).hint("remove it"));
    }
    file.write_all(text.as_bytes()).map_err(|e| local(&e, path))
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(super) fn local(error: &io::Error, path: &Path) -> Error {
    let error = Error::local(error).about(path.display().to_string());
    match error.kind() {
        Kind::System if error.message().starts_with("no such file") && lacks_folder(path) => {
            error.hint("--create-dirs makes missing folders")
        }
        _ => error,
    }
}

/// Whether the folder of this name is what is missing.
fn lacks_folder(path: &Path) -> bool {
    path.parent()
        .is_some_and(|parent| parent != Path::new("") && !parent.exists())
}

/// The file behind a symlink, and what is known of it.
pub(super) fn target(path: &Path) -> Result<(PathBuf, Option<Metadata>)> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => return Ok((path.to_owned(), Some(meta))),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok((path.to_owned(), None)),
        Err(e) => return Err(local(&e, path)),
    }
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            let real = std::fs::canonicalize(path).map_err(|e| local(&e, path))?;
            Ok((real, Some(meta)))
        }
        Ok(meta) if meta.is_dir() => Err(Error::new(Kind::System, "is a folder")
            .about(path.display().to_string())
            .hint("use --output-dir DIR with -O")),
        Ok(meta) => Ok((path.to_owned(), Some(meta))),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // A symlink to nowhere yet: its end is what shall come to be.
            match std::fs::read_link(path) {
                Ok(end) => {
                    let parent = path.parent().unwrap_or(Path::new(""));
                    Ok((parent.join(end), None))
                }
                Err(_) => Ok((path.to_owned(), None)),
            }
        }
        Err(e) => Err(local(&e, path)),
    }
}

/// Opens a part file for this process alone; `None` where another one writes
/// it. It is never a symlink: in a folder that others may write to it could
/// lead anywhere.
pub(super) fn open_part(name: &Path) -> Result<Option<File>> {
    let refused = |message: &str| {
        Err(Error::new(Kind::System, message)
            .about(name.display().to_string())
            .hint("remove it"))
    };
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(NOTHING_ODD)
            .open(name);
        let file = match file {
            Ok(file) => file,
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return refused("is a symlink, where a part file belongs");
            }
            Err(e) => return Err(local(&e, name)),
        };
        let meta = file.metadata().map_err(|e| local(&e, name))?;
        if !meta.is_file() {
            return refused("is no regular file, where a part file belongs");
        }
        // Not every file system has locks; only a held one is a reason.
        let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        if lock == Err(rustix::io::Errno::WOULDBLOCK) {
            return Ok(None);
        }
        // Between opening and locking, another process may have completed it
        // and given it its name: then this is no longer the part file.
        match std::fs::symlink_metadata(name) {
            Ok(now) if (now.dev(), now.ino()) == (meta.dev(), meta.ino()) => return Ok(Some(file)),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(local(&e, name)),
        }
    }
}

/// Renames unless the new name is taken.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // A file system without it: a hard link is as exclusive.
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        outcome => outcome.map_err(io::Error::from),
    }
}

/// Renames to the first name that is free, which it returns.
pub(super) fn rename_free(from: &Path, to: &Path) -> io::Result<PathBuf> {
    loop {
        let name = free_name(to);
        match rename_new(from, &name) {
            Ok(()) => return Ok(name),
            // Others have taken it in between.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// A name that is free: `FILE`, `FILE.1`, `FILE.2` and so on.
pub(super) fn free_name(path: &Path) -> PathBuf {
    free_names(path).next().unwrap_or_else(|| path.to_owned())
}

/// All of them.
pub(super) fn free_names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let numbered = |n: u64| match n {
        0 => path.to_owned(),
        n => beside(path, &format!(".{n}")),
    };
    (0..=u64::from(u32::MAX))
        .map(numbered)
        .filter(|path| !is_taken(path))
}

/// Whether there is anything of this name, be it a link to nowhere.
pub(super) fn is_taken(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
