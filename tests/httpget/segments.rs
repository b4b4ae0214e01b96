//! `--segments`: one file over several connections, and never a wrong one.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Tool;
use testkit::http::{Gate, HttpServer, Reply};

use crate::support::{body_of, files, httpget, range_start, ranged_server};

pub(crate) const MIB: usize = 1 << 20;

/// A body of seven segments: six of 1 MiB and a short one.
pub(crate) fn large() -> Vec<u8> {
    body_of(6 * MIB + 123)
}

pub(crate) fn saving(dir: &Path) -> Tool {
    httpget().cwd(dir).args(["--segments", "3", "-o", "f"])
}

pub(crate) fn read(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("f")).unwrap()
}

#[test]
fn segments_are_requested_in_parallel() {
    let body = large();
    // The segments wait until three of them have been requested.
    let (gate, count) = (Gate::new(), AtomicUsize::new(0));
    let whole = body.clone();
    let server = ranged_server(&body, move |number, request| {
        if number == 0 {
            return None;
        }
        if count.fetch_add(1, Ordering::SeqCst) == 2 {
            gate.open();
        }
        let at = range_start(request).unwrap();
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
    let mut starts: Vec<usize> = requests.iter().filter_map(range_start).collect();
    starts.sort_unstable();
    assert_eq!(starts, (0..7).map(|n| n * MIB).collect::<Vec<_>>());
    assert_eq!(server.accepted(), 3);
}

#[test]
fn digests_and_limits_apply_to_the_whole_file() {
    let body = large();
    let server = ranged_server(&body, |_, _| None);
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/");
    // Computed without the tool.
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
    // The largest allowed size.
    let exact = body.len().to_string();
    saving(dir.path())
        .args(["--max-filesize", &exact, &url])
        .run()
        .code(0);
    assert!(read(dir.path()) == body);
}

#[test]
fn one_connection_is_used_without_ranges() {
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
    let bare = HttpServer::start(move |request| match range_start(request) {
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
        let server = ranged_server(small.as_bytes(), |_, _| None);
        saving(dir.path()).arg(server.url("/")).run().code(0);
        assert_eq!(read(dir.path()), small.as_bytes());
    }
    let missing = HttpServer::start(|_| Reply::new(404).body("no"));
    saving(dir.path()).arg(missing.url("/")).run().code(1);
    assert_eq!(read(dir.path()), b"small\n");
    // A device is written over one connection.
    let server = ranged_server(&body, |_, _| None);
    httpget()
        .args(["--segments", "3", "-o", "/dev/null", &server.url("/")])
        .run()
        .code(0)
        .stderr("");
}

#[test]
fn wrong_segments_cause_one_request_for_the_whole_file() {
    let body = large();
    let part = |range: &str, tag: &str, length: usize| {
        Reply::new(206)
            .header("Content-Range", range)
            .header("ETag", tag)
            .body(vec![b'!'; length])
    };
    let right = format!("bytes 2097152-3145727/{}", body.len());
    let wrong_replies = [
        (
            "another start",
            part(&format!("bytes 0-1048575/{}", body.len()), "\"1\"", MIB),
        ),
        (
            "another length",
            part("bytes 2097152-3145727/9999999", "\"1\"", MIB),
        ),
        (
            "shorter than requested",
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
        (
            "without a Content-Range",
            Reply::new(206).body(vec![b'!'; MIB]),
        ),
        ("the whole file", Reply::ok(vec![b'!'; MIB])),
        (
            "out of range",
            Reply::new(416).header("Content-Range", "bytes */7"),
        ),
    ];
    for (case, reply) in wrong_replies {
        let server = ranged_server(&body, move |_, request| {
            (range_start(request) == Some(2 * MIB)).then(|| reply.clone())
        });
        let dir = tempfile::tempdir().unwrap();
        let out = saving(dir.path()).arg(server.url("/")).run();
        out.code(0).stderr("");
        assert!(read(dir.path()) == body, "{case}");
        assert_eq!(files(dir.path()), ["f"], "{case}");
        let last = server
            .requests()
            .into_iter()
            .find(|r| range_start(r).is_none());
        assert!(last.is_some(), "{case}");
    }
}

#[test]
fn a_file_that_changes_is_downloaded_again() {
    let old = large();
    let new: Vec<u8> = old.iter().map(|b| !b).collect();
    for after in 1..6 {
        let changed = new.clone();
        let server = ranged_server(&old, move |number, request| {
            (number >= after).then(|| Reply::ranged(request, &changed, "\"2\""))
        });
        let dir = tempfile::tempdir().unwrap();
        saving(dir.path()).arg(server.url("/")).run().code(0);
        assert!(read(dir.path()) == new, "{after}");
        assert_eq!(files(dir.path()), ["f"]);
    }
}

#[test]
fn a_slow_segment_does_not_delay_the_end() {
    let body = large();
    let of = |at: usize, tag: &str| {
        format!(
            "HTTP/1.1 206 P\r\nETag: \"{tag}\"\r\nContent-Range: bytes {at}-{}/{}\r\n\
             Content-Length: {MIB}\r\n\r\n",
            at + MIB - 1,
            body.len()
        )
    };
    // One segment stops within its head or its body, and never continues.
    for sent in [0, 1000] {
        let (never, stuck) = (Gate::new(), Gate::new());
        let mut start_of = of(MIB, "1").into_bytes();
        start_of.extend(&body[MIB..MIB + sent]);
        start_of.truncate(start_of.len() - usize::from(sent == 0));
        let changed = of(2 * MIB, "2");
        let server = {
            let never = never.clone();
            ranged_server(&body, move |_, request| match range_start(request) {
                Some(MIB) => {
                    stuck.open();
                    Some(Reply::raw(start_of.clone()).wait(&never))
                }
                // Another segment has changed: the whole file is requested.
                Some(at) if at == 2 * MIB => {
                    Some(Reply::raw("").wait(&stuck).then(changed.clone()).close())
                }
                _ => None,
            })
        };
        let dir = tempfile::tempdir().unwrap();
        // Otherwise the slow connection would be waited for without end.
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
fn a_lost_connection_leaves_its_segment_to_the_others() {
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
    for (case, reply) in [("cut", cut.close()), ("busy", busy)] {
        let once = AtomicUsize::new(0);
        let server = ranged_server(&body, move |_, request| {
            let here =
                range_start(request) == Some(2 * MIB) && once.fetch_add(1, Ordering::SeqCst) == 0;
            here.then(|| reply.clone())
        });
        let dir = tempfile::tempdir().unwrap();
        saving(dir.path())
            .arg(server.url("/"))
            .run()
            .code(0)
            .stderr("");
        assert!(read(dir.path()) == body, "{case}");
        let again = 2 * MIB + if case == "cut" { 1000 } else { 0 };
        assert!(
            server
                .requests()
                .iter()
                .any(|r| range_start(r) == Some(again))
        );
        assert!(server.requests().iter().all(|r| range_start(r).is_some()));
    }
}

#[test]
fn incompatible_options_are_refused() {
    let refused = |args: &[&str], part: &str| {
        httpget()
            .args(args)
            .arg("http://127.0.0.1:1/")
            .run()
            .code(2)
            .stderr_contains(part);
    };
    refused(&["--segments", "2"], "--segments requires -o or -O");
    refused(&["--segments", "0", "-O"], "must be from 1 to 64");
    refused(&["--segments", "2", "-O", "-r", "0-9"], "--range");
    refused(&["--segments", "2", "-O", "--compressed"], "--compressed");
}
