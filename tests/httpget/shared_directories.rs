//! Directories that other users may write to, and files that they may read.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use testkit::http::{Gate, HttpServer, Reply};
use testkit::{Tool, netns, privilege};

use crate::support::{always, body_of, files, httpget, state_file};

const NOBODY: u32 = 65534;

fn mode(path: impl AsRef<Path>) -> u32 {
    path.as_ref().metadata().unwrap().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn saving(dir: &Path) -> Tool {
    httpget().cwd(dir).args(["-o", "f"])
}

#[test]
fn a_replaced_file_keeps_only_its_permissions() {
    // In memory, and through a partial file.
    for length in [3, 300_000] {
        let server = always(Reply::ok(body_of(length)));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        for (before, after) in [(0o6755, 0o755), (0o2600, 0o600), (0o1644, 0o644)] {
            std::fs::write(&file, "old").unwrap();
            set_mode(&file, before);
            saving(dir.path()).arg(server.url("/")).run().code(0);
            assert_eq!(mode(&file), after, "{before:o}");
            assert_eq!(file.metadata().unwrap().len(), length as u64);
        }
    }
}

#[test]
fn a_private_file_is_private_during_the_download() {
    let gate = Gate::new();
    let server = {
        let gate = gate.clone();
        always(
            Reply::raw("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 400006\r\n\r\nsecret")
                .wait(&gate)
                .then(body_of(400_000)),
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let [file, part, state] = ["f", "f.part", "f.part.state"].map(|name| dir.path().join(name));
    std::fs::write(&file, "old").unwrap();
    set_mode(&file, 0o600);
    let running = saving(dir.path()).arg(server.url("/")).spawn();
    while part.metadata().map_or(0, |meta| meta.len()) < 6 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    assert_eq!((mode(&part), mode(&state)), (0o600, 0o600));
    gate.open();
    running.wait().code(0);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(files(dir.path()), ["f"]);
}

#[test]
fn unusual_files_are_refused() {
    let body = body_of(300_000);
    let server = {
        let body = body.clone();
        HttpServer::start(move |request| Reply::ranged(request, &body, "\"1\""))
    };
    let url = server.url("/");
    let proof = state_file(&url, "etag: \"1\"\n");
    let refused = |dir: &Path, reason: &str| {
        for how in [&[][..], &["-C", "-"], &["--segments", "2"]] {
            let out = saving(dir).args(how).arg(&url).run();
            out.code(2)
                .stderr_contains(reason)
                .stderr_contains("remove it");
            assert!(!dir.join("f").exists());
        }
    };
    let planted = |part: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f.part"), part).unwrap();
        std::fs::write(dir.path().join("f.part.state"), &proof).unwrap();
        dir
    };
    // With a hard link, another file would be overwritten.
    for name in ["f.part", "f.part.state"] {
        let dir = planted(b"EVIL");
        let other = dir.path().join("other");
        std::fs::hard_link(dir.path().join(name), &other).unwrap();
        let before = std::fs::read(&other).unwrap();
        refused(dir.path(), "has several hard links");
        assert_eq!(std::fs::read(&other).unwrap(), before);
    }
    // Symlinks, also dangling ones.
    for name in ["f.part", "f.part.state"] {
        let dir = planted(b"EVIL");
        std::fs::remove_file(dir.path().join(name)).unwrap();
        symlink(dir.path().join("other"), dir.path().join(name)).unwrap();
        refused(dir.path(), "is a symlink");
        assert!(!dir.path().join("other").exists());
    }
    if !privilege::is_root() {
        return netns::skip("only root can give files away");
    }
    for name in ["f.part", "f.part.state"] {
        let dir = planted(b"EVIL");
        chown(dir.path().join(name), Some(NOBODY), None).unwrap();
        set_mode(dir.path().join(name), 0o666);
        refused(dir.path(), "belongs to another user");
        assert_eq!(std::fs::read(dir.path().join("f.part")).unwrap(), b"EVIL");
    }
}

/// Locks a file as another program does.
fn locked(tool: Tool, file: &Path) -> testkit::Running {
    let running = tool
        .arg(file)
        .args(["sh", "-c", "echo locked; cat"])
        .piped_stdin()
        .spawn();
    assert_eq!(running.read_line(Duration::from_secs(20)), "locked");
    running
}

#[test]
fn two_runs_do_not_write_one_partial_file() {
    let body = body_of(300_000);
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o755);
    let part = dir.path().join("f.part");
    // Whatever other process locks the partial file, the runs exclude each other, and
    // nothing else stops them.
    let mut lockers = vec![None, Some(Tool::new("flock"))];
    if privilege::is_root() {
        lockers.push(Some(Tool::new("flock").unprivileged()));
    }
    for locker in lockers {
        let gate = Gate::new();
        let server = {
            let (gate, body) = (gate.clone(), body.clone());
            HttpServer::start(move |request| {
                gate.wait();
                Reply::ranged(request, &body, "\"1\"")
            })
        };
        let url = server.url("/");
        std::fs::write(&part, &body[..1000]).unwrap();
        let state = state_file(&url, "etag: \"1\"\n");
        std::fs::write(dir.path().join("f.part.state"), state).unwrap();
        let other = locker.map(|tool| locked(tool, &part));
        let running = saving(dir.path()).args(["-C", "-", &url]).spawn();
        while server.requests().is_empty() {
            assert!(running.is_running());
            std::thread::yield_now();
        }
        saving(dir.path())
            .args(["-C", "-", &url])
            .run()
            .code(2)
            .stderr_contains("f.part: another process is writing it");
        assert_eq!(std::fs::read(&part).unwrap(), &body[..1000]);
        gate.open();
        running.wait().code(0);
        drop(other);
        assert!(std::fs::read(dir.path().join("f")).unwrap() == body);
        let range = server.requests()[0].header("range").map(str::to_owned);
        assert_eq!(range.as_deref(), Some("bytes=1000-"));
        assert_eq!(files(dir.path()), ["f"]);
        std::fs::remove_file(dir.path().join("f")).unwrap();
    }
}

#[test]
fn names_of_a_server_do_not_follow_symlinks() {
    for length in [3, 300_000] {
        let server = always(
            Reply::ok(body_of(length))
                .header("Content-Disposition", "attachment; filename=\"report.txt\""),
        );
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        symlink(&elsewhere, dir.path().join("report.txt")).unwrap();
        let get = || httpget().cwd(dir.path()).args(["-O", "-J"]);
        get()
            .arg(server.url("/x"))
            .run()
            .code(2)
            .stderr_contains("already exists");
        get()
            .args(["--no-clobber", &server.url("/x")])
            .run()
            .code(0);
        assert_eq!(files(dir.path()), ["report.txt", "report.txt.1"]);
        assert!(dir.path().join("report.txt").is_symlink());
        // A symlink that the user names is followed.
        httpget()
            .cwd(dir.path())
            .args(["-o", "report.txt", &server.url("/x")])
            .run()
            .code(0);
        assert!(elsewhere.exists());
    }
}
