//! Files that look like those of a download but are not, and unusual names.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use testkit::http::{Gate, HttpServer, Reply};
use testkit::{Tool, privilege};

use crate::support::{always, body_of, files, httpget, ranged_server, state_file};

#[test]
fn a_server_cannot_name_a_partial_file_or_a_state_file() {
    for name in [
        "f.part",
        "f.PART",
        "f.part.1",
        "f.part.state",
        "f.Part.2.State",
    ] {
        let disposition = format!("attachment; filename=\"{name}\"");
        let reply = Reply::ok("x").header("Content-Disposition", &disposition);
        let server = always(reply);
        let dir = tempfile::tempdir().unwrap();
        let tool = || httpget().cwd(dir.path());
        tool().args(["-OJ", &server.url("/a")]).run().code(0);
        assert_eq!(files(dir.path()), [format!("{name}_")]);
        // The URL of a redirect names the file as well.
        let to = format!("/{name}");
        let server = HttpServer::start(move |request| match request.path() {
            "/a" => Reply::new(302).header("Location", &to),
            _ => Reply::ok("x"),
        });
        let dir = tempfile::tempdir().unwrap();
        let tool = httpget().cwd(dir.path());
        tool.args(["-OJ", &server.url("/a")]).run().code(0);
        assert_eq!(files(dir.path()), [format!("{name}_")]);
    }
}

/// Saves `url` as `f`.
fn saving(dir: &Path, url: &str) -> Tool {
    httpget().cwd(dir).args(["-o", "f", url])
}

/// A server that cuts its body.
fn cutting() -> HttpServer {
    always(
        Reply::raw("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 400000\r\n\r\nstart").close(),
    )
}

#[test]
fn a_file_that_is_not_a_state_file_is_not_touched() {
    let body = body_of(300_000);
    let (good, cut) = (ranged_server(&body, |_, _| None), cutting());
    for text in ["precious", "", &"x".repeat(100_000)] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let state = dir.join("f.part.state");
        std::fs::write(&state, text).unwrap();
        for how in [&[][..], &["-C", "-"], &["--segments", "2"]] {
            let out = saving(dir, &cut.url("/")).args(how).run();
            out.code(3);
            assert_eq!(
                files(dir),
                ["f.part.1", "f.part.1.state", "f.part.state"],
                "{how:?}"
            );
            saving(dir, &good.url("/")).args(how).run().code(0);
            assert_eq!(files(dir), ["f", "f.part.state"]);
            assert_eq!(std::fs::read_to_string(&state).unwrap(), text);
            std::fs::remove_file(dir.join("f")).unwrap();
        }
    }
    // A refused file is not removed, either.
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    symlink("elsewhere", dir.join("f.part.state")).unwrap();
    for url in [cut.url("/"), good.url("/")] {
        let out = saving(dir, &url).run();
        out.code(2).stderr_contains("is a symlink");
        assert_eq!(files(dir), ["f.part.state"]);
    }
}

#[test]
fn a_state_file_that_is_replaced_during_a_download_is_kept() {
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 400000\r\n\r\nstart";
    let server = always(Reply::raw(head).wait(&gate).close());
    let dir = tempfile::tempdir().unwrap();
    let [part, state] = ["f.part", "f.part.state"].map(|name| dir.path().join(name));
    let running = saving(dir.path(), &server.url("/")).spawn();
    while part.metadata().map_or(0, |meta| meta.len()) < 5 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    std::fs::remove_file(&state).unwrap();
    std::fs::write(&state, "precious").unwrap();
    gate.open();
    assert_ne!(running.wait().code, Some(0));
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "precious");
}

#[test]
fn an_announced_length_reserves_no_space() {
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 50000000\r\n\r\nstart";
    let server = always(Reply::raw(head).wait(&gate).close());
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("f.part");
    let running = saving(dir.path(), &server.url("/")).spawn();
    while part.metadata().map_or(0, |meta| meta.len()) < 5 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    assert!(part.metadata().unwrap().blocks() < 2048);
    running.signal(9);
    running.wait().killed_by(9);
    assert!(part.metadata().unwrap().blocks() < 2048);
    gate.open();
    // More than any file system has.
    let server = always(
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx").close(),
    );
    let dir = tempfile::tempdir().unwrap();
    saving(dir.path(), &server.url("/"))
        .run()
        .code(2)
        .stderr_contains("no space left");
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn a_read_only_file_is_replaced_by_every_run() {
    let body = body_of(300_000);
    let whole = body.clone();
    for mode in [0o400, 0o444, 0o040, 0] {
        let whole = whole.clone();
        let server = ranged_server(&body, move |number, _| {
            let cut = || {
                Reply::ok(&whole[..200_000])
                    .header("ETag", "\"1\"")
                    .header("Content-Length", "300000")
                    .close()
            };
            (number < 2).then(cut)
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        if privilege::is_root() {
            std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
        }
        let tool = || {
            saving(dir.path(), &server.url("/")).unprivileged().args([
                "--retry",
                "1",
                "--retry-delay",
                "0",
            ])
        };
        // A run that is cut, and a run that continues it.
        tool().args(["--retry", "0"]).run().code(3);
        let meta = dir.path().join("f.part").metadata().unwrap();
        assert_eq!(meta.mode() & 0o777, mode | 0o600);
        let meta = dir.path().join("f.part.state").metadata().unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600);
        tool().run().code(0);
        assert_eq!(files(dir.path()), ["f"]);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, mode);
        // Only the owner may read it after setting its mode.
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(std::fs::read(&file).unwrap() == body);
        assert_eq!(server.requests().len(), 3);
    }
}

#[test]
fn a_run_that_was_killed_before_a_response_can_be_continued() {
    let gate = Gate::new();
    let server = {
        let gate = gate.clone();
        always(Reply::raw("").wait(&gate).close())
    };
    let dir = tempfile::tempdir().unwrap();
    let running = saving(dir.path(), &server.url("/"))
        .args(["-C", "-"])
        .spawn();
    while server.requests().is_empty() {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.signal(9);
    running.wait().killed_by(9);
    gate.open();
    let body = body_of(300_000);
    let good = ranged_server(&body, |_, _| None);
    let out = saving(dir.path(), &good.url("/")).args(["-C", "-"]).run();
    out.code(0);
    assert_eq!(files(dir.path()), ["f"]);
}

#[test]
fn an_offset_without_its_file_is_refused() {
    let body = body_of(300_000);
    let server = ranged_server(&body, |_, _| None);
    let url = server.url("/");
    let dir = tempfile::tempdir().unwrap();
    let state = state_file(&url, "etag: \"1\"\n");
    std::fs::write(dir.path().join("f.part"), &body[..1000]).unwrap();
    std::fs::write(dir.path().join("f.part.state"), &state).unwrap();
    let fails = || {
        saving(dir.path(), &url).args(["-C", "500"]).run().code(2);
        let left = std::fs::read_to_string(dir.path().join("f.part.state")).unwrap();
        assert_eq!(left, state);
        assert!(std::fs::read(dir.path().join("f.part")).unwrap() == body[..1000]);
    };
    fails();
    std::fs::write(dir.path().join("f"), "short").unwrap();
    fails();
    std::fs::remove_file(dir.path().join("f")).unwrap();
    saving(dir.path(), &url).args(["-C", "-"]).run().code(0);
    let requests = server.requests();
    assert_eq!(
        requests.last().unwrap().header("range"),
        Some("bytes=1000-")
    );
}

#[test]
fn names_may_be_as_long_as_the_file_system_allows() {
    let body = body_of(300_000);
    let cut = cutting();
    let good = ranged_server(&body, |_, _| None);
    for length in [226, 227, 228, 243, 244, 250, 255] {
        for name in [
            "n".repeat(length),
            "é".repeat(length / 2) + &"n".repeat(length % 2),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let tool = |url: &str| httpget().cwd(dir.path()).args(["-o", &name, url]);
            tool(&cut.url("/")).run().code(3);
            assert_eq!(files(dir.path()).len(), 2, "{length}");
            tool(&good.url("/")).args(["-C", "-"]).run().code(0);
            assert_eq!(files(dir.path()), [name.as_str()]);
        }
    }
}

#[test]
fn symlinks_are_followed_to_a_missing_file() {
    for length in [3, 300_000] {
        let server = always(Reply::ok(body_of(length)));
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        std::fs::create_dir(dir.join("d")).unwrap();
        symlink("d/a", dir.join("f")).unwrap();
        symlink("../b", dir.join("d/a")).unwrap();
        symlink("c", dir.join("b")).unwrap();
        saving(dir, &server.url("/")).run().code(0);
        assert_eq!(files(dir), ["b", "c", "d", "f"]);
        assert!(
            ["b", "d/a", "f"]
                .iter()
                .all(|name| dir.join(name).is_symlink())
        );
        assert_eq!(dir.join("f").metadata().unwrap().len(), length as u64);
        let loops = tempfile::tempdir().unwrap();
        symlink("g", loops.path().join("f")).unwrap();
        symlink("f", loops.path().join("g")).unwrap();
        saving(loops.path(), &server.url("/")).run().code(2);
    }
}
