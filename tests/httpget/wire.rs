//! Servers that violate the protocol or use its rare forms, each with the expected
//! outcome. If curl's manual defines an outcome, this one is the same or stricter.

use testkit::http::Reply;

use crate::support::{always, httpget};

/// The way in which the server ends the connection.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
    /// The connection stays open.
    Open,
}

struct Case {
    name: &'static str,
    reply: Vec<u8>,
    end: End,
    code: i32,
    stdout: &'static str,
    /// The kind of the error in the JSON record.
    kind: Option<&'static str>,
}

fn case(
    name: &'static str,
    reply: impl Into<Vec<u8>>,
    end: End,
    outcome: Result<&'static str, (&'static str, &'static str)>,
) -> Case {
    let (code, stdout, kind) = match outcome {
        Ok(stdout) => (0, stdout, None),
        Err((kind, stdout)) => (3, stdout, Some(kind)),
    };
    Case {
        name,
        reply: reply.into(),
        end,
        code,
        stdout,
        kind,
    }
}

/// Returns a response with these header lines and this body.
fn response(headers: &str, body: &str) -> String {
    let mut text = "HTTP/1.1 200 OK\r\n".to_owned();
    for line in headers.lines() {
        text.extend([line, "\r\n"]);
    }
    text + "\r\n" + body
}

/// The kind of most errors, in one letter so that a case fits on a line.
const P: &str = "protocol";

#[allow(clippy::too_many_lines, reason = "one table")]
fn bodies() -> Vec<Case> {
    use End::{Close, Open, Reset};
    let chunked = |body: &str| response("Transfer-Encoding: chunked", body);
    let length = |n: &str, body: &str| response(&format!("Content-Length: {n}"), body);
    vec![
        case("close-delimited", response("", "abc"), Close, Ok("abc")),
        case("close-delimited, empty", response("", ""), Close, Ok("")),
        case(
            "close-delimited, reset",
            response("", "abc"),
            Reset,
            Err(("reset", "abc")),
        ),
        case("length", length("3", "abc"), Open, Ok("abc")),
        case(
            "length, body longer",
            length("3", "abcdef"),
            Close,
            Ok("abc"),
        ),
        case(
            "length, truncated",
            length("9", "abc"),
            Close,
            Err((P, "abc")),
        ),
        case(
            "length, reset",
            length("9", "abc"),
            Reset,
            Err(("reset", "abc")),
        ),
        case("length zero", length("0", ""), Open, Ok("")),
        case(
            "the same length twice",
            response("Content-Length: 3\nContent-Length: 3", "abc"),
            Open,
            Ok("abc"),
        ),
        case("length in a list", length("3, 3", "abc"), Open, Ok("abc")),
        case(
            "two lengths",
            response("Content-Length: 3\nContent-Length: 4", "abcd"),
            Open,
            Err((P, "")),
        ),
        case("negative length", length("-1", "abc"), Open, Err((P, ""))),
        case("signed length", length("+3", "abc"), Open, Err((P, ""))),
        case(
            "length in words",
            length("three", "abc"),
            Open,
            Err((P, "")),
        ),
        case(
            "length out of range",
            length("99999999999999999999999", "abc"),
            Open,
            Err((P, "")),
        ),
        case(
            "chunked",
            chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            Open,
            Ok("abcde"),
        ),
        case(
            "chunked, upper case",
            chunked("A\r\n0123456789\r\n0\r\n\r\n"),
            Open,
            Ok("0123456789"),
        ),
        case(
            "chunked, extension",
            chunked("3;name=\"a long extension, indeed\"\r\nabc\r\n0\r\n\r\n"),
            Open,
            Ok("abc"),
        ),
        case(
            "chunked, trailers",
            chunked("3\r\nabc\r\n0\r\nX: y\r\nZ: w\r\n\r\n"),
            Open,
            Ok("abc"),
        ),
        case(
            "chunked, LF only",
            chunked("3\nabc\n0\n\n"),
            Open,
            Ok("abc"),
        ),
        case(
            "chunked, leading zeros",
            chunked("0003\r\nabc\r\n000\r\n\r\n"),
            Open,
            Ok("abc"),
        ),
        case(
            "chunked and length",
            response(
                "Transfer-Encoding: chunked\nContent-Length: 99",
                "3\r\nabc\r\n0\r\n\r\n",
            ),
            Open,
            Ok("abc"),
        ),
        case(
            "chunked, cut in data",
            chunked("9\r\nabc"),
            Close,
            Err((P, "abc")),
        ),
        case(
            "chunked, cut after a chunk",
            chunked("3\r\nabc\r\n"),
            Close,
            Err((P, "abc")),
        ),
        case(
            "chunked, without an end",
            chunked("3\r\nabc\r\n0\r\n"),
            Close,
            Err((P, "abc")),
        ),
        case(
            "chunked, cut in trailers",
            chunked("3\r\nabc\r\n0\r\nX: y\r\n"),
            Close,
            Err((P, "abc")),
        ),
        case(
            "chunked, reset",
            chunked("3\r\nabc\r\n"),
            Reset,
            Err(("reset", "abc")),
        ),
        case(
            "chunked, signed size",
            chunked("+3\r\nabc\r\n0\r\n\r\n"),
            Open,
            Err((P, "")),
        ),
        case(
            "chunked, size with 0x",
            chunked("0x3\r\nabc\r\n0\r\n\r\n"),
            Open,
            Err((P, "")),
        ),
        case(
            "chunked, no size",
            chunked("\r\nabc\r\n0\r\n\r\n"),
            Open,
            Err((P, "")),
        ),
        case(
            "chunked, size too large",
            chunked("ffffffffffffffffff\r\nabc"),
            Open,
            Err((P, "")),
        ),
        case(
            "chunked, chunk too long",
            chunked("2\r\nabc\r\n0\r\n\r\n"),
            Open,
            Err((P, "ab")),
        ),
        case("chunked, not chunks", chunked("hello"), Close, Err((P, ""))),
        case(
            "coding unknown",
            response("Transfer-Encoding: x-own", "abc"),
            Close,
            Err((P, "")),
        ),
        case(
            "coding gzip",
            response("Transfer-Encoding: gzip", "abc"),
            Close,
            Err((P, "")),
        ),
        case(
            "coding after chunked",
            response(
                "Transfer-Encoding: chunked, identity",
                "3\r\nabc\r\n0\r\n\r\n",
            ),
            Close,
            Err((P, "")),
        ),
        case(
            "coding twice",
            response(
                "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
                "3\r\nabc\r\n0\r\n\r\n",
            ),
            Close,
            Err((P, "")),
        ),
        case(
            "coding identity",
            response("Transfer-Encoding: identity\nContent-Length: 3", "abc"),
            Open,
            Ok("abc"),
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "one table")]
fn heads() -> Vec<Case> {
    use End::{Close, Open, Reset};
    let ok = |head: &str| format!("{head}\r\nContent-Length: 3\r\n\r\nabc");
    let many = (0..1000).fold(String::new(), |all, n| all + &format!("X-{n}: {n}\r\n"));
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(400_000));
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    vec![
        case("nothing", "", Close, Err(("reset", ""))),
        case("immediate reset", "", Reset, Err(("reset", ""))),
        case("not HTTP", "220 ftp ready\r\n\r\n", Open, Err((P, ""))),
        case("HTTP/0.9", "<html>hi</html>\n\n", Close, Err((P, ""))),
        case("HTTP/2", ok("HTTP/2 200 OK"), Open, Err((P, ""))),
        case("HTTP/1.2", ok("HTTP/1.2 200 OK"), Open, Err((P, ""))),
        case("HTTP/1.0", ok("HTTP/1.0 200 OK"), Open, Ok("abc")),
        case("no reason", ok("HTTP/1.1 200"), Open, Ok("abc")),
        case(
            "status with two digits",
            ok("HTTP/1.1 20 OK"),
            Open,
            Err((P, "")),
        ),
        case(
            "status with four digits",
            ok("HTTP/1.1 2000 OK"),
            Open,
            Err((P, "")),
        ),
        case("status 099", ok("HTTP/1.1 099 OK"), Open, Err((P, ""))),
        case(
            "truncated head",
            "HTTP/1.1 200 OK\r\nContent-Le",
            Close,
            Err((P, "")),
        ),
        case(
            "LF only",
            "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
            Open,
            Ok("abc"),
        ),
        case(
            "folded",
            ok("HTTP/1.1 200 OK\r\nX: a\r\n b"),
            Open,
            Ok("abc"),
        ),
        case(
            "folded first",
            ok("HTTP/1.1 200 OK\r\n X: a"),
            Open,
            Err((P, "")),
        ),
        case(
            "NUL in a value",
            ok("HTTP/1.1 200 OK\r\nX: a\0b"),
            Open,
            Err((P, "")),
        ),
        case(
            "lone CR",
            ok("HTTP/1.1 200 OK\r\nX: a\rb"),
            Open,
            Err((P, "")),
        ),
        case("no colon", ok("HTTP/1.1 200 OK\r\nX"), Open, Err((P, ""))),
        case(
            "space before the colon",
            ok("HTTP/1.1 200 OK\r\nX : a\r\n folded"),
            Open,
            Ok("abc"),
        ),
        case("empty name", ok("HTTP/1.1 200 OK\r\n: a"), Open, Ok("abc")),
        case(
            "blank before the colon of a framing header",
            ok("HTTP/1.1 200 OK\r\ntransfer-Encoding : chunked"),
            Open,
            Err((P, "")),
        ),
        case(
            "a warning of PHP as a header line",
            ok("HTTP/1.1 200 OK\r\nPHP Warning: PHP Startup: x"),
            Open,
            Ok("abc"),
        ),
        case(
            "Latin-1 in a value",
            [&b"HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 3\r\n\r\nabc"[..]].concat(),
            Open,
            Ok("abc"),
        ),
        case(
            "escape in a value",
            ok("HTTP/1.1 200 OK\r\nX: \x1b[31m"),
            Open,
            Ok("abc"),
        ),
        case(
            "1000 headers",
            ok(&format!("HTTP/1.1 200 OK\r\n{}", many.trim_end())),
            Open,
            Ok("abc"),
        ),
        case("a huge head", huge, Open, Err((P, ""))),
        case(
            "100 Continue",
            format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("HTTP/1.1 200 OK")),
            Open,
            Ok("abc"),
        ),
        case(
            "100 Continue with headers",
            format!(
                "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n{}",
                ok("HTTP/1.1 200 OK")
            ),
            Open,
            Ok("abc"),
        ),
        case(
            "103 twice",
            format!("{interim}{interim}{}", ok("HTTP/1.1 200 OK")),
            Open,
            Ok("abc"),
        ),
        case("endless 1xx", interim.repeat(200), Close, Err((P, ""))),
        case("only 1xx", interim, Close, Err(("reset", ""))),
        case(
            "101",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            Open,
            Err((P, "")),
        ),
        case(
            "204 with a length",
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
            Open,
            Ok(""),
        ),
        case(
            "unrequested 304",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
            Open,
            Ok(""),
        ),
        case(
            "unrequested 206",
            ok("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-2/9"),
            Open,
            Err((P, "")),
        ),
        case(
            "TLS alert",
            "\x15\x03\x01\x00\x02\x02\x28",
            Close,
            Err((P, "")),
        ),
    ]
}

fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let reply = Reply::raw(case.reply.clone());
        let server = always(match case.end {
            End::Close => reply.close(),
            End::Reset => reply.reset(),
            End::Open => reply.hang(),
        });
        let url = server.url("/");
        let text = httpget().args(["-s", &url]).run();
        let json = httpget().args(["-s", "--json", &url]).run();
        let records = json.json();
        let kind = records[0]["error"]["kind"].as_str();
        let right = text.code == Some(case.code)
            && text.stdout == case.stdout.as_bytes()
            && text.stderr.is_empty()
            && json.code == Some(case.code)
            && records.len() == 1
            // A reset may discard the bytes sent before it.
            || matches!(case.end, End::Reset) && text.code == Some(case.code);
        if !(right && kind == case.kind) {
            wrong.push(format!(
                "{} ({:?}): expected {} {:?} {:?}, kind {kind:?}\n{}\n{}",
                case.name,
                case.end,
                case.code,
                case.stdout,
                case.kind,
                text.report(),
                json.report()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_end_of_each_body_is_found() {
    check(bodies());
}

#[test]
fn invalid_heads_are_rejected() {
    check(heads());
}

#[test]
fn the_tables_have_at_least_60_cases() {
    assert!(bodies().len() + heads().len() >= 60);
}
