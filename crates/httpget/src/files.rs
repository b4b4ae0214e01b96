//! The small files that options name: read up to a limit, and replaced
//! atomically.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use common::{Error, Kind, Result};

/// The largest file that is read, in bytes; endless ones such as /dev/zero fail.
const LENGTH_MAX: u64 = 16 << 20;

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: io::Error| Error::local(&e).with_subject(path.display().to_string());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LENGTH_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LENGTH_MAX {
        return Err(Error::new(Kind::Input, "is longer than 16 MiB")
            .with_subject(path.display().to_string()));
    }
    Ok(bytes)
}

/// Reads a whole file as UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        Error::new(Kind::Input, "is not valid UTF-8").with_subject(path.display().to_string())
    })
}

/// Replaces a file, or a symlink, with one that only its owner can read. Writes
/// directly to a device or a pipe.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|e| Error::local(&e).with_subject(path.display().to_string()))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|_| io::Error::other("the system returned no random bytes"))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.tmp", u64::from_ne_bytes(random)));
    let temporary = Path::new(&name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(temporary, path));
    if written.is_err() {
        // The file may not exist, and the error of the write is the one to report.
        let _ = std::fs::remove_file(temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn endless_files_are_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: is longer than 16 MiB");
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }

    #[test]
    fn a_replaced_file_is_private_from_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("f"), dir.path().join("other"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        replace_private(&file, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        // The target of a symlink is not changed.
        std::fs::write(&other, "other").unwrap();
        std::fs::remove_file(&file).unwrap();
        symlink(&other, &file).unwrap();
        replace_private(&file, b"new").unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"other");
        assert!(!file.is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        replace_private(Path::new("/dev/null"), b"x").unwrap();
        assert!(replace_private(&dir.path().join("no/f"), b"x").is_err());
    }
}
