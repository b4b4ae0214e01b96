//! `--segments`: failures, retries and downloads that are continued.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::http::{Gate, HttpServer, Reply};

use crate::segments::{MIB, large, read, saving};
use crate::support::{files, httpget, range_start, ranged_server};

#[test]
fn a_temporary_status_is_retried() {
    let body = large();
    for status in [429, 503] {
        // All connections are refused once.
        let left = AtomicUsize::new(3);
        let server = ranged_server(&body, move |_, request| {
            let less = |n: usize| n.checked_sub(1);
            let order = Ordering::SeqCst;
            let late = range_start(request) >= Some(2 * MIB);
            (late && left.fetch_update(order, order, less).is_ok())
                .then(|| Reply::new(status).header("Retry-After", "0").body("busy"))
        });
        let dir = tempfile::tempdir().unwrap();
        // The delay that the server asks for keeps this test short.
        saving(dir.path())
            .args(["--retry", "1", "--retry-delay", "500", &server.url("/")])
            .run()
            .code(0)
            .stderr_contains("retrying now");
        assert!(read(dir.path()) == body, "{status}");
        assert_eq!(files(dir.path()), ["f"]);
        let requests = server.requests();
        assert!(requests.iter().all(|r| range_start(r).is_some()));
        let again = requests
            .iter()
            .filter(|r| range_start(r) == Some(0))
            .count();
        assert_eq!(again, 1, "the received bytes are kept");
    }
}

#[test]
fn refused_segments_are_downloaded_over_one_connection() {
    let body = large();
    for status in [302, 403, 503] {
        // Requests for later segments are refused.
        let server = ranged_server(&body, move |_, request| {
            (range_start(request) >= Some(MIB))
                .then(|| Reply::new(status).header("Location", "/elsewhere"))
        });
        let dir = tempfile::tempdir().unwrap();
        saving(dir.path())
            .arg(server.url("/"))
            .run()
            .code(0)
            .stderr("");
        assert!(read(dir.path()) == body, "{status}");
        assert_eq!(files(dir.path()), ["f"]);
    }
    // If the whole file is refused as well, that is the result.
    let server = ranged_server(&body, |number, _| (number > 0).then(|| Reply::new(403)));
    let dir = tempfile::tempdir().unwrap();
    saving(dir.path()).arg(server.url("/")).run().code(1);
    assert!(!dir.path().join("f").exists());
    // A later segment that has moved is fetched from its new place.
    let server = ranged_server(&body, |number, request| {
        (number > 0 && request.path() == "/").then(|| Reply::new(302).header("Location", "/new"))
    });
    saving(dir.path()).arg(server.url("/")).run().code(0);
    assert!(read(dir.path()) == body);
}

/// A server that resets `count` requests for bytes after 4 MiB.
fn failing(body: &[u8], count: &'static AtomicUsize) -> HttpServer {
    ranged_server(body, move |_, request| {
        let less = |n: usize| n.checked_sub(1);
        let late = range_start(request) >= Some(4 * MIB);
        let order = Ordering::SeqCst;
        (late && count.fetch_update(order, order, less).is_ok()).then(|| Reply::raw("").reset())
    })
}

#[test]
fn a_failed_download_is_continued() {
    let body = large();
    for how in [&["--segments", "3"][..], &[]] {
        static DOWN: AtomicUsize = AtomicUsize::new(0);
        DOWN.store(1000, Ordering::SeqCst);
        let server = failing(&body, &DOWN);
        let dir = tempfile::tempdir().unwrap();
        let url = server.url("/");
        saving(dir.path())
            .arg(&url)
            .run()
            .code(3)
            .stderr_contains(&url);
        assert_eq!(files(dir.path()), ["f.part", "f.part.state"]);
        let part = dir.path().join("f.part");
        assert_eq!(part.metadata().unwrap().len(), 4 * MIB as u64);
        DOWN.store(0, Ordering::SeqCst);
        let before = server.requests().len();
        httpget()
            .cwd(dir.path())
            .args(how)
            .args(["-C", "-", "-o", "f", &url])
            .run()
            .code(0)
            .stderr("");
        assert!(read(dir.path()) == body);
        assert_eq!(files(dir.path()), ["f"]);
        let next = &server.requests()[before];
        assert_eq!(range_start(next), Some(4 * MIB));
        assert_eq!(next.header("if-range"), Some("\"1\""));
    }
}

#[test]
fn retries_continue_the_segments() {
    static DOWN: AtomicUsize = AtomicUsize::new(0);
    let body = large();
    // Two for each connection: a pooled one is tried once more.
    DOWN.store(6, Ordering::SeqCst);
    let server = failing(&body, &DOWN);
    let dir = tempfile::tempdir().unwrap();
    saving(dir.path())
        .args(["--retry", "3", "--retry-delay", "0", &server.url("/")])
        .run()
        .code(0)
        .stderr_contains("retrying");
    assert!(read(dir.path()) == body);
    let whole = server
        .requests()
        .iter()
        .filter(|r| range_start(r) == Some(0))
        .count();
    assert_eq!(whole, 1);
}

#[test]
fn a_download_killed_with_gaps_is_continued() {
    let body = large();
    // The second segment hangs, all others are sent.
    let gate = Gate::new();
    let server = {
        let gate = gate.clone();
        let hangs = AtomicUsize::new(0);
        let part = body[MIB..MIB + 1000].to_vec();
        let head = format!(
            "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {MIB}-{}/{}\r\n\
             Content-Length: {MIB}\r\n\r\n",
            2 * MIB - 1,
            body.len()
        );
        ranged_server(&body, move |_, request| {
            let here =
                range_start(request) == Some(MIB) && hangs.fetch_add(1, Ordering::SeqCst) == 0;
            here.then(|| Reply::raw([head.as_bytes(), &part].concat()).wait(&gate))
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    let running = saving(dir.path()).arg(&url).spawn();
    // Wait until the last segment is in the file.
    let part = dir.path().join("f.part");
    while part.metadata().map_or(0, |meta| meta.len()) < body.len() as u64 {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.signal(libc::SIGKILL);
    let _ = running.wait();
    gate.open();
    assert_eq!(files(dir.path()), ["f.part", "f.part.state"]);
    let before = server.requests().len();
    httpget()
        .cwd(dir.path())
        .args(["-C", "-", "-o", "f", &url])
        .run()
        .code(0);
    assert!(read(dir.path()) == body);
    assert_eq!(range_start(&server.requests()[before]), Some(MIB));
}

#[test]
fn the_speed_of_all_connections_counts() {
    let body = large();
    let whole = body.len();
    // Every segment is sent slowly.
    let server = ranged_server(&body, move |_, request| {
        let at = range_start(request)?;
        let end = (at + MIB).min(whole);
        let head = format!(
            "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {at}-{}/{whole}\r\n\
             Content-Length: {}\r\n\r\n",
            end - 1,
            end - at
        );
        Some((0..60).fold(Reply::raw(head), |reply, _| {
            reply.then("x").pause(Duration::from_millis(50))
        }))
    });
    let dir = tempfile::tempdir().unwrap();
    saving(dir.path())
        .args(["-Y", "1000", "-y", "0.5", &server.url("/")])
        .run()
        .code(3)
        .stderr_contains("slower than 1000 bytes per second");
}
