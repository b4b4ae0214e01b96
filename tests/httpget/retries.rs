//! `--retry`: the received bytes are continued, and no byte is printed twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::http::{HttpServer, Reply};

use crate::support::{always, body_of, httpget, range_start, ranged_server};

const RETRY: [&str; 4] = ["--retry", "3", "--retry-delay", "0"];
const LENGTH: usize = 600_000;
const CUT: usize = 300_000;

/// Returns the whole body, cut in the middle, with or without a tag.
fn cut(body: &[u8], tag: Option<&str>) -> Reply {
    let reply = Reply::ok(&body[..CUT]).header("Content-Length", &body.len().to_string());
    match tag {
        Some(tag) => reply.header("ETag", tag).close(),
        None => reply.close(),
    }
}

/// A server that cuts its first response, and answers the second request with `then`.
fn cut_and(body: &[u8], then: Option<Reply>) -> HttpServer {
    let first = cut(body, Some("\"1\""));
    ranged_server(body, move |number, _| match number {
        0 => Some(first.clone()),
        1 => then.clone(),
        _ => None,
    })
}

#[test]
fn retries_continue_the_body() {
    let body = body_of(LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let in_dir = || httpget().cwd(dir.path());
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let server = cut_and(&body, None);
    in_dir()
        .args(RETRY)
        .args(["-o", "f", &server.url("/")])
        .run()
        .code(0)
        .stderr_contains("retrying");
    assert!(read("f") == body);
    assert_eq!(server.requests()[1].header("if-range"), Some("\"1\""));
    // No byte is printed twice on standard output.
    let server = cut_and(&body, None);
    let out = httpget().args(RETRY).args(["-s", &server.url("/")]).run();
    out.code(0);
    assert!(out.stdout == body);
    // A short body is continued as well.
    let few = body_of(1000);
    let short = Reply::ok(&few[..10])
        .header("ETag", "\"1\"")
        .header("Content-Length", "1000");
    let server = ranged_server(&few, move |number, _| {
        (number == 0).then(|| short.clone().close())
    });
    in_dir()
        .args(RETRY)
        .args(["-s", "-o", "few", &server.url("/")])
        .run()
        .code(0);
    assert!(read("few") == few);
    assert_eq!(range_start(&server.requests()[1]), Some(10));
}

#[test]
fn without_a_validator_printed_bytes_are_not_continued() {
    let body = body_of(LENGTH);
    let serving = |tag: Option<&'static str>| {
        let body = body.clone();
        always(cut(&body, tag))
    };
    for tag in [None, Some("W/\"1\"")] {
        let server = serving(tag);
        let url = server.url("/");
        let out = httpget().args(RETRY).arg(&url).run();
        out.code(3).stderr(&format!(
            "httpget: {url}: the body was cut short: 300000 of 600000 bytes received; not retried: \
             the output already printed can be neither undone nor continued\n"
        ));
        assert!(out.stdout == body[..CUT]);
        assert_eq!(server.requests().len(), 1);
    }
    // A file is started over.
    let (count, whole) = (AtomicUsize::new(0), body.clone());
    let server = HttpServer::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => cut(&whole, None),
        _ => Reply::ok(whole.clone()),
    });
    let dir = tempfile::tempdir().unwrap();
    httpget()
        .cwd(dir.path())
        .args(RETRY)
        .args(["-s", "-o", "g", &server.url("/")])
        .run()
        .code(0);
    assert!(std::fs::read(dir.path().join("g")).unwrap() == body);
}

#[test]
fn another_body_is_not_printed_after_the_first_part() {
    let body = body_of(LENGTH);
    let answers = [
        (404, &[][..], 1, "404 Not Found"),
        (404, &["--no-fail"], 3, "instead of the rest"),
        (304, &[], 3, "instead of the rest"),
    ];
    for (status, how, code, lines) in answers {
        let server = cut_and(&body, Some(Reply::new(status).body("sorry")));
        let out = httpget().args(RETRY).args(how).arg(server.url("/")).run();
        out.code(code).stderr_contains(lines);
        assert!(out.stdout == body[..CUT], "{status}");
    }
    // The head of the rest is not printed, either, with -i or -D -.
    for how in [&["-i"][..], &["-D", "-"]] {
        let server = cut_and(&body, None);
        let out = httpget().args(RETRY).args(how).arg(server.url("/")).run();
        out.code(0);
        assert!(out.stdout.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(out.stdout.ends_with(&body), "{how:?}");
        let head = out.stdout.len() - body.len();
        assert!(out.stdout[..head].ends_with(b"\r\n\r\n"));
        assert_eq!(out.stdout[..head].matches_of(b"HTTP/"), 1);
    }
}

#[test]
fn a_cut_error_page_does_not_affect_the_printed_bytes() {
    let body = body_of(LENGTH);
    let sorry = Reply::new(404)
        .header("Content-Length", "100")
        .body("sorry")
        .close();
    // The whole body is not the rest.
    let (first, whole) = (cut(&body, Some("\"1\"")), Reply::ok(body.clone()));
    let error = sorry.clone();
    let server = ranged_server(&body, move |number, _| match number {
        0 => Some(first.clone()),
        1 => Some(error.clone()),
        _ => Some(whole.clone()),
    });
    let out = httpget().args(RETRY).arg(server.url("/")).run();
    out.code(3)
        .stderr_contains("the server cannot resume at byte");
    assert!(out.stdout == body[..CUT]);
    assert_eq!(server.requests().len(), 3);
    // The rest is printed, and the digest is that of all bytes.
    let record = &httpget()
        .args(["--json", &always(Reply::ok(body.clone())).url("/")])
        .run()
        .json()[0];
    let server = cut_and(&body, Some(sorry));
    let out = httpget()
        .args(RETRY)
        .args(["--sha256", record["sha256"].as_str().unwrap()])
        .arg(server.url("/"))
        .run();
    out.code(0).stderr_contains("retrying now");
    assert!(out.stdout == body);
    assert_eq!(range_start(&server.requests()[2]), Some(CUT));
}

/// Counts the occurrences of a byte string.
trait Matches {
    fn matches_of(&self, needle: &[u8]) -> usize;
}

impl Matches for [u8] {
    fn matches_of(&self, needle: &[u8]) -> usize {
        self.windows(needle.len()).filter(|w| *w == needle).count()
    }
}

#[test]
fn the_digest_covers_all_attempts() {
    let body = body_of(LENGTH);
    let server = cut_and(&body, None);
    let whole = always(Reply::ok(body.clone()));
    let record = &httpget().args(["--json", &whole.url("/")]).run().json()[0];
    let digest = record["sha256"].as_str().unwrap();
    let out = httpget()
        .args(RETRY)
        .args(["-s", "--sha256", digest, &server.url("/")])
        .run();
    out.code(0);
    assert!(out.stdout == body);
}

#[test]
fn lengths_in_messages_are_those_of_the_whole_body() {
    let body = body_of(LENGTH);
    let dir = tempfile::tempdir().unwrap();
    let whole = body.clone();
    let server = ranged_server(&body, move |number, request| {
        let at = range_start(request).unwrap_or(0);
        let end = at + 100_000;
        let head = match at {
            0 => "HTTP/1.1 200 OK\r\n".to_owned(),
            _ => format!(
                "HTTP/1.1 206 P\r\nContent-Range: bytes {at}-{}/{LENGTH}\r\n",
                LENGTH - 1
            ),
        };
        let head = format!(
            "{head}ETag: \"1\"\r\nContent-Length: {}\r\n\r\n",
            LENGTH - at
        );
        (number < 3).then(|| Reply::raw([head.as_bytes(), &whole[at..end]].concat()).close())
    });
    let out = httpget()
        .cwd(dir.path())
        .args(RETRY)
        .args(["-o", "f", &server.url("/")])
        .run();
    out.code(0);
    let lines: Vec<&str> = out.stderr_str().lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, received) in lines.iter().zip(["100000", "200000", "300000"]) {
        let part = format!("cut short: {received} of 600000 bytes received; retrying");
        assert!(line.contains(&part), "{line}");
    }
    assert!(std::fs::read(dir.path().join("f")).unwrap() == body);
}

#[test]
fn temporary_statuses_are_retried() {
    let count = AtomicUsize::new(0);
    let server = HttpServer::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503).header("Retry-After", "0").body("later"),
        1 => Reply::new(429).header("Retry-After", "0"),
        _ => Reply::text("now\n"),
    });
    httpget()
        .args(["--retry", "5", &server.url("/")])
        .run()
        .code(0)
        .stdout("now\n")
        .stderr_contains("503");
    let server = always(Reply::new(503).header("Retry-After", "0").body("never\n"));
    httpget()
        .args(["-s", "--retry", "2", &server.url("/")])
        .run()
        .code(1)
        .stdout("never\n");
    assert_eq!(server.requests().len(), 3);
    // The time limit makes this the last response.
    let server = always(Reply::new(503).header("Retry-After", "3600").body("busy\n"));
    let late = ["--retry", "2", "--retry-max-time", "5"];
    for (how, code) in [(&[][..], 1), (&["--no-fail"], 0)] {
        httpget()
            .args(late)
            .args(how)
            .arg(server.url("/"))
            .run()
            .code(code)
            .stdout("busy\n");
    }
    let out = httpget()
        .args(late)
        .args(["--json", &server.url("/")])
        .run();
    out.code(1);
    let record = &out.json()[0];
    assert_eq!(record["type"], "response");
    assert_eq!(record["status"], 503);
    assert!(record["error"].is_null());
    assert_eq!(server.requests().len(), 3);
    // An error stays an error.
    let part = Reply::ok("abc").header("Content-Length", "9").close();
    let dir = tempfile::tempdir().unwrap();
    httpget()
        .cwd(dir.path())
        .args(["--retry", "2", "--retry-delay", "9"])
        .args(["--retry-max-time", "5", "-o", "f", &always(part).url("/")])
        .run()
        .code(3)
        .stderr_contains("cut short: 3 of 9 bytes received; not retried: --retry-max-time");
    let server = always(Reply::new(404));
    httpget()
        .args(["-s", "--retry", "2", &server.url("/")])
        .run()
        .code(1);
    assert_eq!(server.requests().len(), 1);
}
