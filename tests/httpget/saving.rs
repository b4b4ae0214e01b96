//! Saved files: complete or absent, continued only with proof, and never overwritten by
//! a name from the server.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Tool;
use testkit::http::{Gate, HttpServer, Reply};

use crate::support::{always, files, httpget};

/// A body that is long enough to be continued.
fn large() -> Vec<u8> {
    (0..600_000u32).map(|n| (n ^ (n >> 8)) as u8).collect()
}

fn in_dir(dir: &Path) -> Tool {
    httpget().cwd(dir)
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn bodies_are_saved_to_files() {
    let server = HttpServer::start(|request| Reply::text(request.path().to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    in_dir(dir)
        .args([
            "-o",
            "one",
            "-O",
            &server.url("/a"),
            &server.url("/b/two?x"),
            &server.url("/c%20d"),
        ])
        .run()
        .code(0)
        .stdout("")
        .stderr("");
    assert_eq!(files(dir), ["c%20d", "one", "two"]);
    assert_eq!(read(dir.join("one")), b"/a");
    in_dir(dir)
        .args(["-O", "--output-dir", "sub", "--create-dirs", "-"])
        .stdin(format!("{}\n{}\n", server.url("/x"), server.url("/y")))
        .run()
        .code(0);
    assert_eq!(files(&dir.join("sub")), ["x", "y"]);
    in_dir(dir)
        .args(["-o", "-", &server.url("/z")])
        .run()
        .code(0)
        .stdout("/z");
    in_dir(dir)
        .args(["-O", &server.url("/")])
        .run()
        .code(2)
        .stderr_contains("the URL contains no file name");
    in_dir(dir)
        .args(["-o", "no/dir/f", &server.url("/a")])
        .run()
        .code(2)
        .stderr_contains("--create-dirs");
    in_dir(dir)
        .args(["-o", "sub", &server.url("/a")])
        .run()
        .code(2)
        .stderr_contains("is a directory");
    let record = in_dir(dir)
        .args(["--json", "-o", "j", &server.url("/a")])
        .run()
        .json();
    assert_eq!(record[0]["file"], "j");
    assert!(record[0]["body"].is_null());
    assert_eq!(record[0]["bytes"], 2);
}

#[test]
fn error_pages_are_not_saved() {
    let server = HttpServer::start(|request| match request.path() {
        "/404" => Reply::new(404).body("no\n"),
        "/cut" => Reply::ok("abc").header("Content-Length", "9").close(),
        _ => Reply::text("x"),
    });
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("f"), "old").unwrap();
    in_dir(dir)
        .args(["-o", "f", &server.url("/404")])
        .run()
        .code(1)
        .stdout("");
    assert_eq!(files(dir), ["f"]);
    in_dir(dir)
        .args(["-o", "f", "--remove-on-error", &server.url("/cut")])
        .run()
        .code(3);
    assert_eq!(
        (files(dir), read(dir.join("f"))),
        (vec!["f".to_owned()], b"old".to_vec())
    );
    in_dir(dir)
        .args(["-o", "f", &server.url("/cut")])
        .run()
        .code(3);
    assert_eq!(files(dir), ["f", "f.part", "f.part.state"]);
    in_dir(dir)
        .args(["-o", "f", "--no-fail", &server.url("/404")])
        .run()
        .code(0);
    assert_eq!(
        (files(dir), read(dir.join("f"))),
        (vec!["f".to_owned()], b"no\n".to_vec())
    );
}

#[test]
fn permissions_and_symlinks_are_kept() {
    let server = always(Reply::text("new"));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("real"), "old").unwrap();
    std::fs::set_permissions(dir.join("real"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("real", dir.join("link")).unwrap();
    in_dir(dir)
        .args(["-o", "link", &server.url("/")])
        .run()
        .code(0);
    assert!(dir.join("link").is_symlink());
    assert_eq!(read(dir.join("real")), b"new");
    assert_eq!(dir.join("real").metadata().unwrap().mode() & 0o777, 0o640);
    in_dir(dir)
        .args(["-o", "/dev/null", &server.url("/")])
        .run()
        .code(0);
    in_dir(dir)
        .args(["-o", "/dev/full", &server.url("/")])
        .run()
        .code(2)
        .stderr_contains("no space left");
    assert_eq!(files(dir), ["link", "real"]);
}

#[test]
fn names_from_the_server_are_safe() {
    let server = HttpServer::start(|request| {
        let value = match request.path() {
            "/plain" => "attachment; filename=\"a b.txt\"",
            "/utf8" => "attachment; filename=x; filename*=UTF-8''na%C3%AFve.txt",
            "/path" => "attachment; filename=\"../../evil\"",
            "/hidden" => "attachment; filename=.bashrc",
            _ => "attachment",
        };
        Reply::text("x").header("Content-Disposition", value)
    });
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let get = |path: &str| in_dir(dir).args(["-OJ", &server.url(path)]).run();
    for (path, name) in [
        ("/plain", "a b.txt"),
        ("/utf8", "naïve.txt"),
        ("/path", "evil"),
        ("/hidden", "bashrc"),
        ("/fallback", "fallback"),
    ] {
        let said = format!("httpget: {}: saved as {name}\n", server.url(path));
        get(path).code(0).stderr(&said);
    }
    let expected = ["a b.txt", "bashrc", "evil", "fallback", "naïve.txt"];
    assert_eq!(files(dir), expected);
    get("/plain")
        .code(2)
        .stderr_contains("refusing to overwrite it");
    in_dir(dir)
        .args(["-OJ", "--no-clobber", &server.url("/plain")])
        .run()
        .code(0);
    assert!(dir.join("a b.txt.1").exists());
    assert!(!dir.parent().unwrap().join("evil").exists());
}

#[test]
fn a_missing_file_is_not_a_missing_directory() {
    let server = always(
        Reply::new(206)
            .header("Content-Range", "bytes 5-8/9")
            .body("abcd"),
    );
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    in_dir(dir.path())
        .args(["-C", "5", "-o", "cc", &url])
        .run()
        .code(2)
        .stderr(&format!("httpget: {url}: cc: no such file or directory\n"));
    let server = always(Reply::text("x"));
    in_dir(dir.path())
        .args(["-o", "no/cc", &server.url("/")])
        .run()
        .code(2)
        .stderr_contains("--create-dirs");
}

#[test]
fn existing_files_are_skipped_or_kept() {
    let server = always(Reply::text("new"));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("f"), "old").unwrap();
    in_dir(dir)
        .args(["--skip-existing", "-o", "f", &server.url("/")])
        .run()
        .code(0);
    assert_eq!(server.requests().len(), 0);
    for _ in 0..2 {
        in_dir(dir)
            .args(["--no-clobber", "-o", "f", &server.url("/")])
            .run()
            .code(0);
    }
    assert_eq!(files(dir), ["f", "f.1", "f.2"]);
    assert_eq!(read(dir.join("f")), b"old");
}

#[test]
fn times_and_digests_are_honoured() {
    let server =
        always(Reply::text("hello\n").header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let right = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    in_dir(dir)
        .args([
            "-R",
            "-o",
            "f",
            "--sha256",
            &right.to_uppercase(),
            &server.url("/"),
        ])
        .run()
        .code(0);
    assert_eq!(dir.join("f").metadata().unwrap().mtime(), 784_111_777);
    std::fs::remove_file(dir.join("f")).unwrap();
    let wrong = "0".repeat(64);
    let out = in_dir(dir)
        .args(["--json", "-o", "f", "--sha256", &wrong, &server.url("/")])
        .run();
    out.code(1).stderr_contains(right);
    assert_eq!(out.json()[0]["error"]["kind"], "mismatch");
    assert_eq!(files(dir), [""; 0]);
    in_dir(dir)
        .args(["--sha256", &wrong, &server.url("/")])
        .run()
        .code(1)
        .stdout("hello\n");
}

#[test]
fn sizes_are_limited() {
    let server = HttpServer::start(|request| match request.path() {
        "/known" => Reply::ok("0123456789"),
        _ => Reply::new(200).chunked(["01234", "56789"]),
    });
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for path in ["/known", "/unknown"] {
        let get = |size: &str| {
            let url = server.url(path);
            in_dir(dir)
                .args(["-o", "f", "--max-filesize", size, &url])
                .run()
        };
        get("10").code(0);
        std::fs::remove_file(dir.join("f")).unwrap();
        get("9").code(1).stderr_contains("larger than 9 bytes");
        assert_eq!(files(dir), [""; 0]);
    }
}

/// A server that cuts its first `cuts` responses in the middle.
fn cutting(body: Vec<u8>, tag: Option<&'static str>, cuts: usize) -> HttpServer {
    let count = AtomicUsize::new(0);
    HttpServer::start(move |request| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let mut reply = match tag {
            Some(tag) => Reply::ranged(request, &body, tag),
            None => Reply::ok(body.clone()),
        };
        if n < cuts {
            let part = &body[..body.len() / 2];
            let tag = tag
                .map(|tag| format!("ETag: {tag}\r\n"))
                .unwrap_or_default();
            let head = format!(
                "HTTP/1.1 200 OK\r\n{tag}Content-Length: {}\r\n\r\n",
                body.len()
            );
            reply = Reply::raw([head.as_bytes(), part].concat()).close();
        }
        reply
    })
}

#[test]
fn a_later_run_continues_a_download() {
    let body = large();
    let server = cutting(body.clone(), Some("\"1\""), 1);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let url = server.url("/");
    in_dir(dir).args(["-o", "f", &url]).run().code(3);
    assert_eq!(files(dir), ["f.part", "f.part.state"]);
    in_dir(dir)
        .args(["-C", "-", "-o", "f", &url])
        .run()
        .code(0)
        .stderr("");
    assert_eq!(
        (files(dir), read(dir.join("f"))),
        (vec!["f".to_owned()], body.clone())
    );
    let last = server.requests().pop().unwrap();
    assert_eq!(last.header("range"), Some("bytes=300000-"));
    assert_eq!(last.header("if-range"), Some("\"1\""));
    // A 416 shows that the file is complete.
    let out = in_dir(dir)
        .args(["--json", "-C", "-", "-o", "f", &url])
        .run();
    out.code(0).stderr("");
    assert_eq!(out.json()[0]["file"], "f");
    assert_eq!(
        (files(dir), read(dir.join("f"))),
        (vec!["f".to_owned()], body)
    );
}

#[test]
fn a_changed_file_is_downloaded_from_the_beginning() {
    let old = large();
    let new: Vec<u8> = old.iter().map(|b| !b).collect();
    let (first, second) = (old.clone(), new.clone());
    let count = AtomicUsize::new(0);
    let server = HttpServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n",
                first.len()
            );
            Reply::raw([head.as_bytes(), &first[..300_000]].concat()).close()
        }
        _ => Reply::ranged(request, &second, "\"2\""),
    });
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    in_dir(dir)
        .args(["-o", "f", &server.url("/")])
        .run()
        .code(3);
    in_dir(dir)
        .args(["-C", "-", "-o", "f", &server.url("/")])
        .run()
        .code(0);
    assert_eq!(
        (files(dir), read(dir.join("f"))),
        (vec!["f".to_owned()], new)
    );
}

#[test]
fn wrong_ranges_are_refused() {
    let body = large();
    for content_range in [
        "bytes 0-599999/600000",
        "bytes 300001-599999/600000",
        "bytes 300000-599999/700000",
        "items 3",
    ] {
        let (body, whole) = (body.clone(), body.clone());
        let count = AtomicUsize::new(0);
        let server = HttpServer::start(move |request| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            if n == 0 {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                return Reply::raw([head.as_bytes(), &body[..300_000]].concat()).close();
            }
            match request.header("range") {
                Some(_) => Reply::new(206)
                    .header("Content-Range", content_range)
                    .header("ETag", "\"1\"")
                    .body(vec![b'!'; 300_000]),
                None => Reply::ok(body.clone()),
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        in_dir(dir)
            .args(["-o", "f", &server.url("/")])
            .run()
            .code(3);
        in_dir(dir)
            .args(["-C", "-", "-o", "f", &server.url("/")])
            .run()
            .code(0);
        assert!(read(dir.join("f")) == whole, "{content_range}");
        assert_eq!(server.requests().len(), 3, "{content_range}");
    }
}

#[test]
fn an_existing_file_without_a_validator_is_compared() {
    let body = large();
    let server = {
        let body = body.clone();
        HttpServer::start(move |request| Reply::ranged(request, &body, "\"x\""))
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("f"), &body[..100_000]).unwrap();
    let go_on = || {
        in_dir(dir)
            .args(["-C", "-", "-o", "f", &server.url("/")])
            .run()
    };
    go_on().code(0).stderr("");
    assert!(read(dir.join("f")) == body);
    // The last 64 KiB are compared.
    assert_eq!(server.requests()[0].header("range"), Some("bytes=34464-"));
    assert_eq!(server.requests()[0].header("if-range"), None);
    // A complete file stays, and another file is not continued.
    go_on().code(0).stderr("");
    assert!(read(dir.join("f")) == body);
    std::fs::write(dir.join("f"), vec![b'!'; 100_000]).unwrap();
    go_on().code(0).stderr_contains(
        "starting over: the end of the partial file differs from the server's file",
    );
    assert!(read(dir.join("f")) == body);
    let earlier = server.requests().len();
    // A partial file of another program is not used.
    std::fs::remove_file(dir.join("f")).unwrap();
    std::fs::write(dir.join("f.part"), "precious").unwrap();
    in_dir(dir)
        .args(["-C", "-", "-o", "f", &server.url("/")])
        .run()
        .code(0);
    assert!(read(dir.join("f")) == body);
    assert_eq!(server.requests()[earlier].header("range"), None);
    assert_eq!(read(dir.join("f.part")), b"precious");
    assert_eq!(files(dir), ["f", "f.part"]);
}

#[test]
fn a_killed_run_leaves_a_partial_file() {
    let body = large();
    let gate = Gate::new();
    let server = {
        let (body, gate) = (body.clone(), gate.clone());
        let count = AtomicUsize::new(0);
        HttpServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                Reply::raw([head.as_bytes(), &body[..400_000]].concat()).wait(&gate)
            }
            _ => Reply::ranged(request, &body, "\"1\""),
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let running = in_dir(dir).args(["-o", "f", &server.url("/")]).spawn();
    // Wait until the partial file has the bytes that were sent.
    let part = dir.join("f.part");
    while part.metadata().map_or(0, |meta| meta.len()) < 400_000 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.signal(libc::SIGKILL);
    let _ = running.wait();
    gate.open();
    assert_eq!(files(dir), ["f.part", "f.part.state"]);
    in_dir(dir)
        .args(["-C", "-", "-o", "f", &server.url("/")])
        .run()
        .code(0);
    assert!(read(dir.join("f")) == body);
    let last = server.requests().pop().unwrap();
    assert_eq!(last.header("range"), Some("bytes=400000-"));
}
