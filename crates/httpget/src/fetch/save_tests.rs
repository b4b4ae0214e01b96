//! What the files of a download may not become.

use super::super::names::{beside, free_name};
use super::*;

fn there(saver: &Saver) -> Had {
    match saver.earlier(false).unwrap() {
        Earlier::There(had) => had,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
    saver
        .start(Some(Validator::Tag("\"1\"".into())), Some(6), String::new())
        .unwrap();
    saver.write(b"abc").unwrap();
    assert!(!path.exists());
    saver.abandon(false).unwrap();
    assert_eq!(std::fs::read(beside(&path, ".part")).unwrap(), b"abc");

    let mut saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
    let had = there(&saver);
    assert_eq!((had.bytes, had.total), (3, Some(6)));
    let mut seen = Vec::new();
    saver
        .resume(&had, |piece| seen.extend_from_slice(piece))
        .unwrap();
    assert_eq!(seen, b"abc");
    saver.write(b"def").unwrap();
    saver.finish(Some(784_111_777)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let modified = path.metadata().unwrap().modified().unwrap();
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), 784_111_777);
}

#[test]
fn the_final_file_is_gone_on_with_as_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, "abc").unwrap();
    let mut saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
    let had = there(&saver);
    assert_eq!((had.bytes, &had.validator), (3, &None));
    saver.resume(&had, |_| ()).unwrap();
    saver.write(b"d").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    saver.finish(None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
}

fn open(path: &Path) -> Result<Saver> {
    Saver::open(path, Taken::Replace, false, "id")
}

#[test]
fn a_record_is_a_file_and_of_its_part() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (part, state) = (beside(&path, ".part"), beside(&path, ".part.state"));
    std::fs::write(&path, "abc").unwrap();
    std::fs::write(&part, "abcdef").unwrap();
    let refused = |message: &str| {
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    // A pipe is not waited for.
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
    let had = || there(&open(&path).unwrap()).bytes;
    assert_eq!(had(), 6);
    // Of another URL it says nothing.
    std::fs::write(&state, "url-sha256: other\netag: \"1\"\nend: record\n").unwrap();
    assert_eq!(had(), 3);
    // One that does not fit is not left beside the copy, which it might.
    std::fs::write(
        &state,
        "url-sha256: id\netag: \"1\"\nbytes: 9\nend: record\n",
    )
    .unwrap();
    let mut saver = open(&path).unwrap();
    let three = there(&saver);
    saver.resume(&three, |_| ()).unwrap();
    saver.abandon(false).unwrap();
    assert_eq!(
        std::fs::read_to_string(&state).unwrap(),
        "url-sha256: id\nend: record\n"
    );
    assert_eq!(std::fs::read(&part).unwrap(), b"abc");
}

#[test]
fn a_part_without_a_record_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let names = [".part", ".part.1", ".part.2"].map(|name| beside(&path, name));
    std::fs::write(&names[0], "precious").unwrap();
    std::fs::write(&names[1], "").unwrap();
    std::fs::write(beside(&names[1], ".state"), "x".repeat(1 << 17)).unwrap();
    let mut saver = open(&path).unwrap();
    assert_eq!(saver.part().unwrap().name, names[2]);
    saver
        .start(Some(Validator::Tag("\"1\"".into())), None, String::new())
        .unwrap();
    saver.write(b"abc").unwrap();
    saver.abandon(false).unwrap();
    // A later run finds it again.
    let mut saver = open(&path).unwrap();
    let had = there(&saver);
    saver.resume(&had, |_| ()).unwrap();
    saver.write(b"def").unwrap();
    saver.finish(None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    assert_eq!(std::fs::read(&names[0]).unwrap(), b"precious");
    assert!(names[1].exists() && !names[2].exists());
    assert!(!beside(&names[2], ".state").exists());
}

#[test]
fn permissions_from_the_first_byte_on() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mode_of = |suffix: &str| {
        let meta = beside(&path, suffix).metadata().unwrap();
        meta.permissions().mode() & 0o7777
    };
    for (mode, kept) in [(0o600, 0o600), (0o6755, 0o755), (0o1666, 0o666)] {
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let mut saver = open(&path).unwrap();
        assert_eq!(mode_of(".part"), kept);
        saver.start(None, None, String::new()).unwrap();
        assert_eq!(mode_of(".part.state"), 0o600);
        saver.write(b"new").unwrap();
        saver.abandon(false).unwrap();
        assert_eq!((mode_of(".part"), mode_of(".part.state")), (kept, 0o600));
        // Those of an earlier part file are mended.
        let part = beside(&path, ".part");
        std::fs::set_permissions(&part, PermissionsExt::from_mode(0o4777)).unwrap();
        let mut saver = open(&path).unwrap();
        assert_eq!(mode_of(".part"), kept);
        saver.start(None, None, String::new()).unwrap();
        saver.finish(None).unwrap();
        assert_eq!(mode_of(""), kept);
    }
}

#[test]
fn one_writer_at_a_time_and_no_overwriting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut first = open(&path).unwrap();
    first.start(None, None, String::new()).unwrap();
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    // Another part file than the one that was opened is not this one's.
    let part = beside(&path, ".part");
    std::fs::remove_file(&part).unwrap();
    for dangling in ["/etc/passwd", "/nowhere/at/all"] {
        std::os::unix::fs::symlink(dangling, &part).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.to_string().contains("is a symlink"), "{error}");
        std::fs::remove_file(&part).unwrap();
    }
    std::fs::create_dir(&part).unwrap();
    assert!(open(&path).is_err());
    std::fs::remove_dir(&part).unwrap();
    let linked = dir.path().join("linked");
    std::fs::write(&linked, "x").unwrap();
    std::fs::hard_link(&linked, &part).unwrap();
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("hard links"), "{error}");
    assert_eq!(std::fs::read(&linked).unwrap(), b"x");
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&path, "x").unwrap();
    assert!(Saver::open(&path, Taken::Refuse, false, "id").is_err());
    assert_eq!(free_name(&path), beside(&path, ".1"));
    assert_eq!(free_name(&dir.path().join("g")), dir.path().join("g"));
}

#[test]
fn names_of_a_server_follow_no_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (dir.path().join("f"), dir.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let error = Saver::open(&path, Taken::Refuse, false, "id").unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    let mut saver = Saver::open(&path, Taken::Next, false, "id").unwrap();
    saver.start(None, None, String::new()).unwrap();
    assert_eq!(saver.finish(None).unwrap(), beside(&path, ".1"));
    // One that the user named is followed.
    let mut saver = open(&path).unwrap();
    saver.start(None, None, String::new()).unwrap();
    saver.finish(None).unwrap();
    assert!(elsewhere.exists() && path.is_symlink());
}

#[test]
fn a_free_name_is_taken_when_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let begin = |bytes: &[u8]| {
        let mut saver = Saver::open(&path, Taken::Next, false, "id").unwrap();
        saver.start(None, None, String::new()).unwrap();
        saver.write(bytes).unwrap();
        saver
    };
    let (one, two) = (begin(b"1"), begin(b"2"));
    std::fs::write(&path, "0").unwrap();
    assert_eq!(two.finish(None).unwrap(), beside(&path, ".1"));
    assert_eq!(one.finish(None).unwrap(), beside(&path, ".2"));
    for (suffix, body) in [("", "0"), (".1", "2"), (".2", "1")] {
        let name = beside(&path, suffix);
        assert_eq!(std::fs::read_to_string(name).unwrap(), body);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}
