//! Faults during a download: a kill signal, a full disk, a server that restarts or sends
//! slowly. None of them may leave a wrong file under the final name.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::http::{Gate, HttpServer, Reply};
use testkit::netns;
use testkit::{Tool, privilege};

use crate::support::{files, httpget, state_file};

fn body(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n ^ (n >> 8)) as u8).collect()
}

fn head(tag: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn saving(dir: &Path) -> Tool {
    httpget().cwd(dir).args(["-o", "f"])
}

/// Kills a download of `whole` when `sent` bytes are in the partial file, and returns
/// the `Range` of the run that continues it. That run must end with `later` in the
/// file.
fn kill_and_resume(whole: &[u8], sent: usize, later: &[u8], tag: &'static str) -> Option<String> {
    let gate = Gate::new();
    let server = {
        let (start, gate) = (
            [head("\"1\"", whole.len()), whole[..sent].to_vec()].concat(),
            gate.clone(),
        );
        let (later, count) = (later.to_vec(), AtomicUsize::new(0));
        HttpServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::raw(start.clone()).wait(&gate),
            _ => Reply::ranged(request, &later, tag),
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let url = server.url("/");
    let running = saving(dir).arg(&url).spawn();
    let part = dir.join("f.part");
    while part.metadata().map_or(0, |meta| meta.len()) < sent as u64 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.signal(libc::SIGKILL);
    running.wait().killed_by(libc::SIGKILL);
    gate.open();
    assert!(!dir.join("f").exists());
    let out = saving(dir).args(["-C", "-", &url]).run();
    if whole == later {
        out.code(0).stderr("");
    } else {
        out.code(0)
            .stderr_contains("starting over: the file on the server has changed");
    }
    assert!(std::fs::read(dir.join("f")).unwrap() == later);
    assert_eq!(files(dir), ["f"]);
    let last = server.requests().pop().unwrap();
    last.header("range").map(str::to_owned)
}

#[test]
fn a_killed_download_is_continued_at_any_size() {
    let whole = body(600_000);
    let on = |sent| kill_and_resume(&whole, sent, &whole, "\"1\"");
    assert_eq!(on(1).as_deref(), Some("bytes=1-"));
    assert_eq!(on(100_000).as_deref(), Some("bytes=100000-"));
    assert_eq!(on(400_000).as_deref(), Some("bytes=400000-"));
}

#[test]
fn a_killed_download_of_a_changed_file_starts_over() {
    let whole = body(600_000);
    let changed: Vec<u8> = whole.iter().map(|b| !b).collect();
    for sent in [1000, 400_000] {
        kill_and_resume(&whole, sent, &changed, "\"2\"");
    }
}

#[test]
fn a_validator_is_not_kept_for_another_version() {
    // A short partial file of a later version, after an earlier run.
    let whole = body(200_000);
    let gate = Gate::new();
    let server = {
        let gate = gate.clone();
        let start = [head("\"2\"", whole.len()), whole[..1000].to_vec()].concat();
        let (whole, count) = (whole.clone(), AtomicUsize::new(0));
        HttpServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::raw(start.clone()).wait(&gate),
            _ => Reply::ranged(request, &whole, "\"1\""),
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let state = state_file(&server.url("/"), "etag: \"1\"\nlength: 200000\n");
    std::fs::write(dir.join("f.part.state"), state).unwrap();
    let running = saving(dir).arg(server.url("/")).spawn();
    let part = dir.join("f.part");
    while part.metadata().map_or(0, |meta| meta.len()) < 1000 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.signal(libc::SIGKILL);
    let _ = running.wait();
    gate.open();
    saving(dir)
        .args(["-C", "-", &server.url("/")])
        .run()
        .code(0);
    assert!(std::fs::read(dir.join("f")).unwrap() == whole);
    let later = server.requests().pop().unwrap();
    assert_ne!(later.header("if-range"), Some("\"1\""));
}

#[test]
fn a_full_disk_is_reported() {
    let probe = "mount -t tmpfs -o size=1m tmpfs /mnt && df /mnt >/dev/null";
    let lab = || {
        let tool = Tool::new("unshare");
        let tool = if privilege::is_root() {
            tool
        } else {
            tool.args(["--user", "--map-root-user"])
        };
        tool.args(["--mount", "sh", "-c"])
    };
    if lab().arg(probe).run().code != Some(0) {
        return netns::skip("no tmpfs in a mount namespace");
    }
    let whole = body(3 << 20);
    let known = whole.clone();
    let server = HttpServer::start(move |request| match request.path() {
        // With a known length, the space is checked at the start.
        "/known" => Reply::ranged(request, &known, "\"1\""),
        "/small" => Reply::ok("small\n"),
        _ => Reply::new(200)
            .header("ETag", "\"1\"")
            .chunked(known.chunks(100_000).map(<[u8]>::to_vec)),
    });
    let tool = env!("CARGO_BIN_EXE_httpget");
    for (path, options) in [("/known", ""), ("/known", "--segments 2"), ("/unknown", "")] {
        let url = server.url(path);
        let small = server.url("/small");
        let script = format!(
            "{probe} && cd /mnt || exit 99\n\
             printf old > f\n\
             {tool} {options} -o f {url}\n\
             echo $?; cat f; echo; ls\n\
             rm -f f.part f.part.state\n\
             {tool} -o f {small}; echo $?; cat f"
        );
        let out = lab().arg(script).run();
        out.code(0).stderr_contains("no space left");
        let lines = out.lines();
        assert_eq!(lines[..2], ["2", "old"], "{}", out.report());
        assert_eq!(lines[lines.len() - 2..], ["0", "small"], "{}", out.report());
        if path == "/unknown" {
            // The received bytes are kept for a later run.
            assert!(lines.contains(&"f.part".to_owned()), "{}", out.report());
        }
    }
}

#[test]
fn a_server_that_restarts_during_a_resume() {
    let whole = body(900_000);
    let cut = |request: &testkit::http::Request, whole: &[u8], upto: usize| {
        let from: usize = request
            .header("range")
            .and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        let head = match from {
            0 => String::from_utf8(head("\"1\"", whole.len())).unwrap(),
            _ => format!(
                "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {from}-{}/{}\r\n\
                 Content-Length: {}\r\n\r\n",
                whole.len() - 1,
                whole.len(),
                whole.len() - from
            ),
        };
        let reply = Reply::raw([head.as_bytes(), &whole[from..upto]].concat());
        // A reset may discard bytes in transit.
        if from == 0 {
            reply.close()
        } else {
            reply.reset()
        }
    };
    let first = {
        let (whole, count) = (whole.clone(), AtomicUsize::new(0));
        HttpServer::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
            0 => cut(request, &whole, 300_000),
            _ => cut(request, &whole, 600_000),
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let address = first.addr();
    let url = first.url("/");
    // It stops during the first download, and again during the second one.
    saving(dir).arg(&url).run().code(3);
    saving(dir).args(["-C", "-", &url]).run().code(3);
    assert!(!dir.join("f").exists());
    let received = dir.join("f.part").metadata().unwrap().len();
    assert!(received >= 300_000, "{received}");
    drop(first);
    // While it is stopped, the partial file is kept.
    saving(dir)
        .args(["-C", "-", &url])
        .run()
        .code(3)
        .stderr_contains("refused");
    assert_eq!(dir.join("f.part").metadata().unwrap().len(), received);
    // It starts again at its address, with the same file.
    let again = whole.clone();
    let second = HttpServer::start_on(address, None, move |request| {
        Reply::ranged(request, &again, "\"1\"")
    });
    saving(dir).args(["-C", "-", &url]).run().code(0).stderr("");
    assert!(std::fs::read(dir.join("f")).unwrap() == whole);
    assert_eq!(files(dir), ["f"]);
    let range = format!("bytes={received}-");
    assert_eq!(second.requests()[0].header("range"), Some(range.as_str()));
}

#[test]
fn the_total_time_limits_a_slow_head() {
    let server = HttpServer::start(|request| {
        let start = match request.path() {
            "/head" => "HTTP/1.1 200 OK\r\nX: ",
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
        };
        // One byte at a time, for much longer than the test may take.
        (0..6000).fold(Reply::raw(start), |reply, _| {
            reply.pause(Duration::from_millis(50)).then("a")
        })
    });
    for path in ["/head", "/chunk"] {
        httpget()
            .args(["-m", "0.5", &server.url(path)])
            .run()
            .code(3)
            .stderr_contains("--max-time");
    }
}
