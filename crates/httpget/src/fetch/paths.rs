//! Paths of downloaded files: the target of a symlink, the names of partial files, and
//! free names.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use common::{Error, Kind, Result};

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The longest file name in bytes on most file systems.
const NAME_MAX: usize = 255;
/// The longest suffix of a file name in bytes: `.part.999.state.0123456789ab`.
const SUFFIX_MAX: usize = 28;

/// Returns the path of the partial file with this number: `FILE.part`, `FILE.part.1`
/// and so on. If the name would be too long, the start of FILE and a digest of it are
/// used.
pub(super) fn partial_path(path: &Path, number: u32) -> PathBuf {
    let suffix = match number {
        0 => ".part".to_owned(),
        number => format!(".part.{number}"),
    };
    let name = path.file_name().map_or(&[][..], OsStrExt::as_bytes);
    if name.len() + SUFFIX_MAX <= NAME_MAX {
        return with_suffix(path, &suffix);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, name);
    let hex = crate::hex::encode(&digest.as_ref()[..8]);
    let mut end = NAME_MAX - SUFFIX_MAX - hex.len() - 1;
    // Do not split a character.
    while end > 0 && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    let mut short = OsString::from(OsStr::from_bytes(&name[..end]));
    short.push(format!("-{hex}"));
    with_suffix(&path.with_file_name(short), &suffix)
}

pub(super) fn file_error(error: &io::Error, path: &Path) -> Error {
    if error.kind() == ErrorKind::NotFound
        && let Some(directory) = missing_directory(path)
    {
        return Error::new(Kind::System, "no such directory")
            .with_subject(directory.display().to_string())
            .hint("use --create-dirs to create it");
    }
    Error::local(error).with_subject(path.display().to_string())
}

/// Returns the directory of a path if it is missing.
fn missing_directory(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| *parent != Path::new("") && !parent.exists())
}

/// Returns the target of a symlink, and its metadata if it exists.
pub(super) fn resolve_target(path: &Path) -> Result<(PathBuf, Option<Metadata>)> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => return Ok((path.to_owned(), Some(meta))),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok((path.to_owned(), None)),
        Err(e) => return Err(file_error(&e, path)),
    }
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            let real = std::fs::canonicalize(path).map_err(|e| file_error(&e, path))?;
            Ok((real, Some(meta)))
        }
        Ok(meta) if meta.is_dir() => Err(Error::new(Kind::System, "is a directory")
            .with_subject(path.display().to_string())
            .hint(format!(
                "use -O --output-dir {} to save into it",
                path.display()
            ))),
        Ok(meta) => Ok((path.to_owned(), Some(meta))),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // The symlink may point to a file that does not exist yet, perhaps
            // through other symlinks: that file will be created. A loop of symlinks
            // fails above with another error.
            let mut path = path.to_owned();
            while let Ok(end) = std::fs::read_link(&path) {
                path = path.parent().unwrap_or(Path::new("")).join(end);
            }
            Ok((path, None))
        }
        Err(e) => Err(file_error(&e, path)),
    }
}

/// Renames a file; fails if the new name exists.
pub(super) fn rename_exclusive(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system lacks this flag.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            outcome => return outcome.map_err(io::Error::from),
        }
    }
    // A hard link is exclusive as well.
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

/// Renames a file to the first free name, and returns that name.
pub(super) fn rename_to_free(from: &Path, to: &Path) -> io::Result<PathBuf> {
    loop {
        let name = free_path(to);
        match rename_exclusive(from, &name) {
            Ok(()) => return Ok(name),
            // Another process has just created the file.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// Returns the first free name: `FILE`, `FILE.1`, `FILE.2` and so on.
pub(super) fn free_path(path: &Path) -> PathBuf {
    free_paths(path).next().unwrap_or_else(|| path.to_owned())
}

/// Returns all free names.
pub(super) fn free_paths(path: &Path) -> impl Iterator<Item = PathBuf> {
    let numbered = |n: u64| match n {
        0 => path.to_owned(),
        n => with_suffix(path, &format!(".{n}")),
    };
    (0..=u64::from(u32::MAX))
        .map(numbered)
        .filter(|path| !exists(path))
}

/// Whether a path exists, even as a dangling symlink.
pub(super) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
