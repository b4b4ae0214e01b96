//! Text in a declared charset, and bodies that are compressed although that was not
//! requested.

use std::io::Write;

use testkit::http::{HttpServer, Reply};
use testkit::pty::Pty;

use crate::support::{always, httpget};

/// Returns the output of a URL on a terminal, and the result of the run.
fn on_terminal(url: &str) -> (String, testkit::Output) {
    let pty = Pty::new();
    let out = httpget()
        .env("TERM", "xterm")
        .stdout_to(pty.end())
        .args(["--color", "never", url])
        .run();
    (String::from_utf8(pty.finish()).unwrap(), out)
}

#[test]
fn text_is_decoded_from_its_declared_charset() {
    for (content_type, body, text) in [
        (
            "text/html; charset=iso-8859-1",
            &b"caf\xe9\n"[..],
            "caf\u{e9}\n",
        ),
        (
            "text/plain; charset=\"Shift_JIS\"",
            b"\x93\xfa\x96\x7b\x8c\xea\n",
            "\u{65e5}\u{672c}\u{8a9e}\n",
        ),
        ("text/plain; charset=utf-16", b"\xff\xfea\0\n\0", "a\n"),
        (
            "text/plain; charset=koi8-r",
            b"\xc4\xc1\n",
            "\u{434}\u{430}\n",
        ),
        ("text/plain; charset=windows-1252", b"\x80\n", "\u{20ac}\n"),
        // A byte order mark overrides the declaration.
        (
            "text/plain; charset=iso-8859-1",
            b"\xef\xbb\xbf\xc3\xa9\n",
            "\u{e9}\n",
        ),
        ("text/plain; charset=utf-8", b"\xc3\xa9\n", "\u{e9}\n"),
    ] {
        let server = always(Reply::ok(body).header("Content-Type", content_type));
        let url = server.url("/");
        let (shown, out) = on_terminal(&url);
        out.code(0).stderr("");
        assert_eq!(shown, text.replace('\n', "\r\n"), "{content_type}");
        let out = httpget().args(["--json", &url]).run();
        out.code(0);
        assert_eq!(out.json()[0]["body"], text, "{content_type}");
        assert!(out.json()[0]["body_base64"].is_null(), "{content_type}");
        // A pipe gets the bytes unchanged.
        assert_eq!(httpget().arg(&url).run().stdout, body, "{content_type}");
    }
}

#[test]
fn decoded_text_stays_harmless() {
    // A C1 control character, and U+202E in UTF-16.
    for (content_type, body, shown) in [
        (
            "text/html; charset=iso-8859-5",
            &b"\x9b2J\x1b[m\n"[..],
            "\\u{9b}2J\\x1b[m\r\n",
        ),
        (
            "text/plain; charset=utf-16le",
            b"\x2e\x20x\0\n\0",
            "\\u{202e}x\r\n",
        ),
        // An invalid sequence.
        ("text/plain; charset=shift_jis", b"a\xff\n", "a\u{fffd}\r\n"),
    ] {
        let server = always(Reply::ok(body).header("Content-Type", content_type));
        let (seen, out) = on_terminal(&server.url("/"));
        out.code(0);
        assert_eq!(seen, shown, "{content_type}");
    }
}

#[test]
fn invalid_text_is_base64_in_the_record() {
    let bytes = b"a\xff\n";
    let server =
        always(Reply::ok(&bytes[..]).header("Content-Type", "text/plain; charset=shift_jis"));
    let out = httpget().args(["--json", &server.url("/")]).run();
    out.code(0);
    let record = &out.json()[0];
    assert!(record["body"].is_null());
    assert_eq!(record["body_base64"], "Yf8K");
}

#[test]
fn json_in_another_charset_is_decoded() {
    let server = always(
        Reply::ok(&b"{\"a\":\"\xe9\"}"[..])
            .header("Content-Type", "application/json; charset=iso-8859-1"),
    );
    let url = server.url("/");
    let out = httpget().args(["--json", &url]).run();
    assert_eq!(out.json()[0]["body"]["a"], "\u{e9}");
    httpget()
        .args(["--pointer", "/a", &url])
        .run()
        .code(0)
        .stdout("\"\u{e9}\"\n");
    assert_eq!(on_terminal(&url).0, "{\r\n  \"a\": \"\u{e9}\"\r\n}\r\n");
}

#[test]
fn a_compressed_body_gets_a_hint() {
    let gzip = {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        coder.write_all(b"{\"a\":1}").unwrap();
        coder.finish().unwrap()
    };
    let server = HttpServer::start(move |_| {
        Reply::json(gzip.clone())
            .header("Content-Type", "application/json; charset=iso-8859-1")
            .header("Content-Encoding", "gzip")
    });
    let url = server.url("/");
    let hint = "the server compressed it; use --compressed to decode it";
    httpget()
        .args(["--pointer", "/a", &url])
        .run()
        .code(3)
        .stdout("")
        .stderr(&format!(
            "httpget: {url}: the body is not JSON: it is not valid UTF-8; {hint}\n"
        ));
    let (shown, out) = on_terminal(&url);
    out.code(2).stderr(&format!(
        "httpget: {url}: the body is binary and is not printed to a terminal; {hint}\n"
    ));
    assert_eq!(shown, "");
    let out = httpget().args(["--json", &url]).run();
    assert!(out.json()[0]["body_base64"].is_string());
    httpget()
        .args(["--compressed", "--pointer", "/a", &url])
        .run()
        .code(0)
        .stdout("1\n");
    // Some servers send the coding "none", which curl accepts, too.
    let server = always(Reply::text("x\n").header("Content-Encoding", "none"));
    httpget()
        .args(["--compressed", &server.url("/")])
        .run()
        .code(0)
        .stdout("x\n")
        .stderr("");
}
