//! `--segments`: one file over several connections, and never a wrong one.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::Tool;
use testkit::http::{Gate, HttpServer, Reply};

use crate::kit::{body_of, files, httpget, serving, start};

const MIB: usize = 1 << 20;

/// Seven pieces: six of 1 MiB and a short one.
fn large() -> Vec<u8> {
    body_of(6 * MIB + 123)
}

fn saving(dir: &Path) -> Tool {
    httpget().cwd(dir).args(["--segments", "3", "-o", "f"])
}

fn read(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("f")).unwrap()
}

#[test]
fn in_pieces_at_once() {
    let body = large();
    // The pieces wait until three are asked for: they come side by side.
    let (gate, asked) = (Gate::new(), AtomicUsize::new(0));
    let whole = body.clone();
    let server = serving(&body, move |number, request| {
        if number == 0 {
            return None;
        }
        if asked.fetch_add(1, Ordering::SeqCst) == 2 {
            gate.open();
        }
        let at = start(request).unwrap();
        let end = (at + MIB).min(whole.len());
        let head = format!(
            "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes {at}-{}/{}\r\nContent-Length: {}\r\n\r\n",
            end - 1,
            whole.len(),
            end - at
        );
        Some(Reply::raw(head).wait(&gate).then(&whole[at..end]))
    });
    let dir = tempfile::tempdir().unwrap();
    let out = saving(dir.path()).args(["--json", &server.url("/")]).run();
    out.code(0).stderr("");
    assert!(read(dir.path()) == body);
    assert_eq!(files(dir.path()), ["f"]);
    let record = &out.json()[0];
    assert_eq!(record["bytes"], body.len());
    assert_eq!(record["wire_bytes"], body.len());
    let requests = server.requests();
    assert_eq!(requests.len(), 7);
    assert_eq!(requests[0].header("range"), Some("bytes=0-1048575"));
    assert_eq!(requests[0].header("if-range"), None);
    assert!(
        requests[1..]
            .iter()
            .all(|request| request.header("if-range") == Some("\"1\""))
    );
    let mut starts: Vec<usize> = requests.iter().filter_map(start).collect();
    starts.sort_unstable();
    assert_eq!(starts, (0..7).map(|n| n * MIB).collect::<Vec<_>>());
    assert_eq!(server.accepted(), 3);
}

#[test]
fn digests_hold_for_the_whole() {
    let body = large();
    let server = serving(&body, |_, _| None);
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    // Not by the tool itself.
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    let hex = digest.as_ref().iter().map(|b| format!("{b:02x}"));
    let digest = hex.collect::<Vec<_>>().concat();
    let out = saving(dir.path()).args(["--json", &url]).run();
    assert_eq!(out.json()[0]["sha256"], digest.as_str());
    saving(dir.path())
        .args(["--sha256", &digest, &url])
        .run()
        .code(0);
    std::fs::remove_file(dir.path().join("f")).unwrap();
    saving(dir.path())
        .args(["--sha256", &"0".repeat(64), &url])
        .run()
        .code(1)
        .stderr_contains(&digest);
    assert_eq!(files(dir.path()), [""; 0]);
    saving(dir.path())
        .args(["--max-filesize", "6M", &url])
        .run()
        .code(1)
        .stderr_contains("larger than");
    assert_eq!(files(dir.path()), [""; 0]);
    // As long as is allowed.
    let exact = body.len().to_string();
    saving(dir.path())
        .args(["--max-filesize", &exact, &url])
        .run()
        .code(0);
    assert!(read(dir.path()) == body);
}

#[test]
fn one_stream_where_pieces_cannot_be_had() {
    let body = large();
    let dir = tempfile::tempdir().unwrap();
    let whole = body.clone();
    let ignores = HttpServer::start(move |_| Reply::ok(whole.clone()));
    saving(dir.path())
        .arg(ignores.url("/"))
        .run()
        .code(0)
        .stderr("");
    assert!(read(dir.path()) == body);
    assert_eq!(ignores.requests().len(), 1);
    // Ranges without a validator prove nothing.
    let whole = body.clone();
    let bare = HttpServer::start(move |request| match start(request) {
        Some(at) => Reply::new(206)
            .header(
                "Content-Range",
                &format!("bytes {at}-{}/{}", at + MIB - 1, whole.len()),
            )
            .body(&whole[at..at + MIB]),
        None => Reply::ok(whole.clone()),
    });
    saving(dir.path())
        .arg(bare.url("/"))
        .run()
        .code(0)
        .stderr("");
    assert!(read(dir.path()) == body);
    assert_eq!(bare.requests().len(), 2);
    for small in ["", "small\n"] {
        let server = serving(small.as_bytes(), |_, _| None);
        saving(dir.path()).arg(server.url("/")).run().code(0);
        assert_eq!(read(dir.path()), small.as_bytes());
    }
    let missing = HttpServer::start(|_| Reply::new(404).body("no"));
    saving(dir.path()).arg(missing.url("/")).run().code(1);
    assert_eq!(read(dir.path()), b"small\n");
    // What is no file is written in one stream.
    let server = serving(&body, |_, _| None);
    httpget()
        .args(["--segments", "3", "-o", "/dev/null", &server.url("/")])
        .run()
        .code(0)
        .stderr("");
}

#[test]
fn a_server_that_lies_is_asked_for_the_whole() {
    let body = large();
    let part = |range: &str, tag: &str, length: usize| {
        Reply::new(206)
            .header("Content-Range", range)
            .header("ETag", tag)
            .body(vec![b'!'; length])
    };
    let right = format!("bytes 2097152-3145727/{}", body.len());
    let lies = [
        (
            "another start",
            part(&format!("bytes 0-1048575/{}", body.len()), "\"1\"", MIB),
        ),
        (
            "another length",
            part("bytes 2097152-3145727/9999999", "\"1\"", MIB),
        ),
        (
            "shorter than asked",
            part(
                &format!("bytes 2097152-2097161/{}", body.len()),
                "\"1\"",
                10,
            ),
        ),
        ("another state", part(&right, "\"2\"", MIB)),
        (
            "another coding",
            part(&right, "\"1\"", MIB).header("Content-Encoding", "gzip"),
        ),
        ("fewer bytes", part(&right, "\"1\"", MIB - 1)),
        ("more bytes", part(&right, "\"1\"", MIB + 1)),
        ("no range", Reply::new(206).body(vec![b'!'; MIB])),
        ("the whole", Reply::ok(vec![b'!'; MIB])),
        (
            "out of range",
            Reply::new(416).header("Content-Range", "bytes */7"),
        ),
    ];
    for (lie, reply) in lies {
        let server = serving(&body, move |_, request| {
            (start(request) == Some(2 * MIB)).then(|| reply.clone())
        });
        let dir = tempfile::tempdir().unwrap();
        let out = saving(dir.path()).arg(server.url("/")).run();
        out.code(0).stderr("");
        assert!(read(dir.path()) == body, "{lie}");
        assert_eq!(files(dir.path()), ["f"], "{lie}");
        let last = server.requests().into_iter().find(|r| start(r).is_none());
        assert!(last.is_some(), "{lie}");
    }
}

#[test]
fn a_file_that_changes_midway_is_had_anew() {
    let old = large();
    let new: Vec<u8> = old.iter().map(|b| !b).collect();
    for after in 1..6 {
        let changed = new.clone();
        let server = serving(&old, move |number, request| {
            (number >= after).then(|| Reply::ranged(request, &changed, "\"2\""))
        });
        let dir = tempfile::tempdir().unwrap();
        saving(dir.path()).arg(server.url("/")).run().code(0);
        assert!(read(dir.path()) == new, "{after}");
        assert_eq!(files(dir.path()), ["f"]);
    }
}

#[test]
fn the_end_does_not_wait_for_a_slow_piece() {
    let body = large();
    let of = |at: usize, tag: &str| {
        format!(
            "HTTP/1.1 206 P\r\nETag: \"{tag}\"\r\nContent-Range: bytes {at}-{}/{}\r\n\
             Content-Length: {MIB}\r\n\r\n",
            at + MIB - 1,
            body.len()
        )
    };
    // One piece stops within its head, or amid its body, and never goes on.
    for sent in [0, 1000] {
        let (never, stuck) = (Gate::new(), Gate::new());
        let mut start_of = of(MIB, "1").into_bytes();
        start_of.extend(&body[MIB..MIB + sent]);
        start_of.truncate(start_of.len() - usize::from(sent == 0));
        let changed = of(2 * MIB, "2");
        let server = {
            let never = never.clone();
            serving(&body, move |_, request| match start(request) {
                Some(MIB) => {
                    stuck.open();
                    Some(Reply::raw(start_of.clone()).wait(&never))
                }
                // Another one has changed: the whole is asked for.
                Some(at) if at == 2 * MIB => {
                    Some(Reply::raw("").wait(&stuck).then(changed.clone()).close())
                }
                _ => None,
            })
        };
        let dir = tempfile::tempdir().unwrap();
        // The connection that is stuck would be waited for without end.
        saving(dir.path())
            .args(["--stall-timeout", "10m", &server.url("/")])
            .run()
            .code(0)
            .stderr("");
        assert!(read(dir.path()) == body);
        never.open();
    }
}

#[test]
fn a_lost_connection_leaves_its_piece_to_the_others() {
    let body = large();
    let busy = Reply::new(503).body("too many");
    let cut = Reply::raw(
        [
            format!(
                "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Range: bytes 2097152-3145727/{}\r\n\
                 Content-Length: {MIB}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
            &body[2 * MIB..2 * MIB + 1000],
        ]
        .concat(),
    );
    for (what, reply) in [("cut", cut.close()), ("busy", busy)] {
        let once = AtomicUsize::new(0);
        let server = serving(&body, move |_, request| {
            let here = start(request) == Some(2 * MIB) && once.fetch_add(1, Ordering::SeqCst) == 0;
            here.then(|| reply.clone())
        });
        let dir = tempfile::tempdir().unwrap();
        saving(dir.path())
            .arg(server.url("/"))
            .run()
            .code(0)
            .stderr("");
        assert!(read(dir.path()) == body, "{what}");
        let again = 2 * MIB + if what == "cut" { 1000 } else { 0 };
        assert!(server.requests().iter().any(|r| start(r) == Some(again)));
        assert!(server.requests().iter().all(|r| start(r).is_some()));
    }
}

#[test]
fn a_status_that_may_pass_is_retried() {
    let body = large();
    for status in [429, 503] {
        // All connections are turned away once.
        let left = AtomicUsize::new(3);
        let server = serving(&body, move |_, request| {
            let less = |n: usize| n.checked_sub(1);
            let order = Ordering::SeqCst;
            let late = start(request) >= Some(2 * MIB);
            (late && left.fetch_update(order, order, less).is_ok())
                .then(|| Reply::new(status).header("Retry-After", "0").body("busy"))
        });
        let dir = tempfile::tempdir().unwrap();
        // Only what the server says makes this a short test.
        saving(dir.path())
            .args(["--retry", "1", "--retry-delay", "500", &server.url("/")])
            .run()
            .code(0)
            .stderr_contains("retrying at once");
        assert!(read(dir.path()) == body, "{status}");
        assert_eq!(files(dir.path()), ["f"]);
        let requests = server.requests();
        assert!(requests.iter().all(|r| start(r).is_some()));
        let again = requests.iter().filter(|r| start(r) == Some(0)).count();
        assert_eq!(again, 1, "what had come was kept");
    }
}

#[test]
fn refused_pieces_are_had_as_one() {
    let body = large();
    for status in [302, 403, 503] {
        // Whoever asks for a later piece is turned away.
        let server = serving(&body, move |_, request| {
            (start(request) >= Some(MIB))
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
    // And where the whole is refused as well, that is the answer.
    let server = serving(&body, |number, _| (number > 0).then(|| Reply::new(403)));
    let dir = tempfile::tempdir().unwrap();
    saving(dir.path()).arg(server.url("/")).run().code(1);
    assert!(!dir.path().join("f").exists());
    // A later piece that has moved is had from where it is now.
    let server = serving(&body, |number, request| {
        (number > 0 && request.path() == "/").then(|| Reply::new(302).header("Location", "/new"))
    });
    saving(dir.path()).arg(server.url("/")).run().code(0);
    assert!(read(dir.path()) == body);
}

/// Resets that many requests for what is behind 4 MiB.
fn failing(body: &[u8], down: &'static AtomicUsize) -> HttpServer {
    serving(body, move |_, request| {
        let less = |n: usize| n.checked_sub(1);
        let late = start(request) >= Some(4 * MIB);
        let order = Ordering::SeqCst;
        (late && down.fetch_update(order, order, less).is_ok()).then(|| Reply::raw("").reset())
    })
}

#[test]
fn what_failed_is_continued() {
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
        assert_eq!(start(next), Some(4 * MIB));
        assert_eq!(next.header("if-range"), Some("\"1\""));
    }
}

#[test]
fn retries_continue_too() {
    static DOWN: AtomicUsize = AtomicUsize::new(0);
    let body = large();
    // Two for each connection: one that was kept is tried once more.
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
        .filter(|r| start(r) == Some(0))
        .count();
    assert_eq!(whole, 1);
}

#[test]
fn killed_with_gaps() {
    let body = large();
    // The second piece hangs, all others come.
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
        serving(&body, move |_, request| {
            let here = start(request) == Some(MIB) && hangs.fetch_add(1, Ordering::SeqCst) == 0;
            here.then(|| Reply::raw([head.as_bytes(), &part].concat()).wait(&gate))
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    let running = saving(dir.path()).arg(&url).spawn();
    // The event: the last piece is in the file.
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
    assert_eq!(start(&server.requests()[before]), Some(MIB));
}

#[test]
fn the_speed_is_that_of_all() {
    let body = large();
    let whole = body.len();
    // Every piece comes in drops.
    let server = serving(&body, move |_, request| {
        let at = start(request)?;
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

#[test]
fn what_does_not_go_together() {
    let refused = |args: &[&str], part: &str| {
        httpget()
            .args(args)
            .arg("http://127.0.0.1:1/")
            .run()
            .code(2)
            .stderr_contains(part);
    };
    refused(&["--segments", "2"], "needs a file");
    refused(&["--segments", "0", "-O"], "1..=64");
    refused(&["--segments", "2", "-O", "-r", "0-9"], "--range");
    refused(&["--segments", "2", "-O", "--compressed"], "--compressed");
}
