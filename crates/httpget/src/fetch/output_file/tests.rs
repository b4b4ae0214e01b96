//! Tests of the files of a download.

use super::super::paths::{free_path, with_suffix};
use super::*;

fn found(file: &OutputFile) -> PartialDownload {
    match file.find_earlier(false).unwrap() {
        EarlierDownload::Found(partial) => partial,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_appears_only_when_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut file = OutputFile::open(&path, OnExists::Replace, false, "id").unwrap();
    file.begin(Some(Validator::Tag("\"1\"".into())), Some(6), String::new())
        .unwrap();
    file.write(b"abc").unwrap();
    assert!(!path.exists());
    file.abandon(false).unwrap();
    assert_eq!(std::fs::read(with_suffix(&path, ".part")).unwrap(), b"abc");

    let mut file = OutputFile::open(&path, OnExists::Replace, false, "id").unwrap();
    let partial = found(&file);
    assert_eq!((partial.bytes, partial.total), (3, Some(6)));
    let mut seen = Vec::new();
    file.resume(&partial, |piece| seen.extend_from_slice(piece))
        .unwrap();
    assert_eq!(seen, b"abc");
    file.write(b"def").unwrap();
    file.finish(Some(784_111_777)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let modified = path.metadata().unwrap().modified().unwrap();
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), 784_111_777);
}

#[test]
fn a_final_file_is_continued_as_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, "abc").unwrap();
    let mut file = OutputFile::open(&path, OnExists::Replace, false, "id").unwrap();
    let partial = found(&file);
    assert_eq!((partial.bytes, &partial.validator), (3, &None));
    file.resume(&partial, |_| ()).unwrap();
    file.write(b"d").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    file.finish(None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
}

fn open(path: &Path) -> Result<OutputFile> {
    OutputFile::open(path, OnExists::Replace, false, "id")
}

#[test]
fn a_state_file_must_belong_to_its_partial_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (partial_file, state) = (
        with_suffix(&path, ".part"),
        with_suffix(&path, ".part.state"),
    );
    std::fs::write(&path, "abc").unwrap();
    std::fs::write(&partial_file, "abcdef").unwrap();
    let refused = |message: &str| {
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    // Opening a pipe must not block.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &state, mode).unwrap();
    refused("f.part.state: is not a regular file");
    std::fs::remove_file(&state).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "url-sha256: id\netag: \"1\"\nend: record\n").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
    refused("f.part.state: is a symlink");
    std::fs::remove_file(&state).unwrap();
    std::fs::hard_link(&elsewhere, &state).unwrap();
    refused("f.part.state: has several hard links");
    std::fs::remove_file(&elsewhere).unwrap();
    let partial = || found(&open(&path).unwrap()).bytes;
    assert_eq!(partial(), 6);
    // The state file of another URL proves nothing.
    std::fs::write(&state, "url-sha256: other\netag: \"1\"\nend: record\n").unwrap();
    assert_eq!(partial(), 3);
    // A state file that does not match is not left next to the copy, which it might
    // match.
    std::fs::write(
        &state,
        "url-sha256: id\netag: \"1\"\nbytes: 9\nend: record\n",
    )
    .unwrap();
    let mut file = open(&path).unwrap();
    let three = found(&file);
    file.resume(&three, |_| ()).unwrap();
    file.abandon(false).unwrap();
    assert_eq!(
        std::fs::read_to_string(&state).unwrap(),
        "url-sha256: id\nend: record\n"
    );
    assert_eq!(std::fs::read(&partial_file).unwrap(), b"abc");
}

#[test]
fn a_partial_file_without_a_state_file_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let names = [".part", ".part.1", ".part.2"].map(|name| with_suffix(&path, name));
    std::fs::write(&names[0], "precious").unwrap();
    std::fs::write(&names[1], "").unwrap();
    std::fs::write(with_suffix(&names[1], ".state"), "x".repeat(1 << 17)).unwrap();
    let mut file = open(&path).unwrap();
    assert_eq!(file.partial_file().unwrap().name, names[2]);
    file.begin(Some(Validator::Tag("\"1\"".into())), None, String::new())
        .unwrap();
    file.write(b"abc").unwrap();
    file.abandon(false).unwrap();
    // A later run finds it again.
    let mut file = open(&path).unwrap();
    let partial = found(&file);
    file.resume(&partial, |_| ()).unwrap();
    file.write(b"def").unwrap();
    file.finish(None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    assert_eq!(std::fs::read(&names[0]).unwrap(), b"precious");
    assert!(names[1].exists() && !names[2].exists());
    assert!(!with_suffix(&names[2], ".state").exists());
}

#[test]
fn permissions_hold_from_the_first_byte() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mode_of = |suffix: &str| {
        let meta = with_suffix(&path, suffix).metadata().unwrap();
        meta.permissions().mode() & 0o7777
    };
    for (mode, kept) in [(0o600, 0o600), (0o6755, 0o755), (0o1666, 0o666)] {
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let mut file = open(&path).unwrap();
        assert_eq!(mode_of(".part"), kept);
        file.begin(None, None, String::new()).unwrap();
        assert_eq!(mode_of(".part.state"), 0o600);
        file.write(b"new").unwrap();
        file.abandon(false).unwrap();
        assert_eq!((mode_of(".part"), mode_of(".part.state")), (kept, 0o600));
        // The permissions of an earlier partial file are corrected.
        let partial_file = with_suffix(&path, ".part");
        std::fs::set_permissions(&partial_file, PermissionsExt::from_mode(0o4777)).unwrap();
        let mut file = open(&path).unwrap();
        assert_eq!(mode_of(".part"), kept);
        file.begin(None, None, String::new()).unwrap();
        file.finish(None).unwrap();
        assert_eq!(mode_of(""), kept);
    }
}

#[test]
fn a_partial_file_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut first = open(&path).unwrap();
    first.begin(None, None, String::new()).unwrap();
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    // A partial file that was replaced by another file is refused.
    let partial_file = with_suffix(&path, ".part");
    std::fs::remove_file(&partial_file).unwrap();
    for dangling in ["/etc/passwd", "/nowhere/at/all"] {
        std::os::unix::fs::symlink(dangling, &partial_file).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.to_string().contains("is a symlink"), "{error}");
        std::fs::remove_file(&partial_file).unwrap();
    }
    std::fs::create_dir(&partial_file).unwrap();
    assert!(open(&path).is_err());
    std::fs::remove_dir(&partial_file).unwrap();
    let linked = dir.path().join("linked");
    std::fs::write(&linked, "x").unwrap();
    std::fs::hard_link(&linked, &partial_file).unwrap();
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("hard links"), "{error}");
    assert_eq!(std::fs::read(&linked).unwrap(), b"x");
    std::fs::remove_file(&partial_file).unwrap();
    std::fs::write(&path, "x").unwrap();
    assert!(OutputFile::open(&path, OnExists::Refuse, false, "id").is_err());
    assert_eq!(free_path(&path), with_suffix(&path, ".1"));
    assert_eq!(free_path(&dir.path().join("g")), dir.path().join("g"));
}

#[test]
fn names_of_the_server_follow_no_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (dir.path().join("f"), dir.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let error = OutputFile::open(&path, OnExists::Refuse, false, "id").unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    let mut file = OutputFile::open(&path, OnExists::NextFree, false, "id").unwrap();
    file.begin(None, None, String::new()).unwrap();
    assert_eq!(file.finish(None).unwrap(), with_suffix(&path, ".1"));
    // A symlink that the user named is followed.
    let mut file = open(&path).unwrap();
    file.begin(None, None, String::new()).unwrap();
    file.finish(None).unwrap();
    assert!(elsewhere.exists() && path.is_symlink());
}

#[test]
fn a_free_name_is_chosen_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let begin = |bytes: &[u8]| {
        let mut file = OutputFile::open(&path, OnExists::NextFree, false, "id").unwrap();
        file.begin(None, None, String::new()).unwrap();
        file.write(bytes).unwrap();
        file
    };
    let (one, two) = (begin(b"1"), begin(b"2"));
    std::fs::write(&path, "0").unwrap();
    assert_eq!(two.finish(None).unwrap(), with_suffix(&path, ".1"));
    assert_eq!(one.finish(None).unwrap(), with_suffix(&path, ".2"));
    for (suffix, body) in [("", "0"), (".1", "2"), (".2", "1")] {
        let name = with_suffix(&path, suffix);
        assert_eq!(std::fs::read_to_string(name).unwrap(), body);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}
