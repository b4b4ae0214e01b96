//! Servers that try to exhaust memory or time. Neither may grow with the bytes that
//! they send.

use std::io::Write;
use std::time::Duration;

use testkit::Tool;
use testkit::http::{HttpServer, Reply};
use testkit::pty::Pty;

use crate::support::{always, httpget};

const MIB: u64 = 1 << 20;

/// The tool with its memory measured, and a timeout that only a hang exceeds.
fn measured() -> Tool {
    httpget().measure_memory().timeout(Duration::from_secs(180))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(bytes).unwrap();
    coder.finish().unwrap()
}

/// Returns a zstd frame with this window descriptor and a number of blocks that each
/// repeat a NUL 131,072 times.
fn zstd_rle(window: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for number in 1..=blocks {
        frame.extend([2 | u8::from(number == blocks), 0, 0x10, 0]);
    }
    frame
}

fn coded(coding: &'static str, body: Vec<u8>) -> HttpServer {
    always(Reply::text(body).header("Content-Encoding", coding))
}

#[test]
fn windows_of_content_codings_are_limited() {
    // 8 MiB is allowed, and the body decodes to 256 MiB.
    let server = coded("zstd", zstd_rle(13 << 3, 2_000));
    measured()
        .args(["--compressed", "-o", "/dev/null", &server.url("/")])
        .run()
        .code(0)
        .peak_memory_below(40 * MIB);
    measured()
        .args(["--compressed", "--max-filesize", "100M", "-o", "/dev/null"])
        .arg(server.url("/"))
        .run()
        .code(1)
        .stderr_contains("larger than 104857600 bytes")
        .peak_memory_below(40 * MIB);
    let large = zstd_rle(248, 2_000);
    let mut single = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    single.extend((1_u64 << 40).to_le_bytes());
    single.extend(&large[6..]);
    for (coding, body) in [
        ("zstd", large.clone()),
        ("zstd", zstd_rle(136, 2_000)),
        ("zstd", single),
        ("zstd", [zstd_rle(80, 1), large.clone()].concat()),
        (
            "zstd",
            [b"\x50\x2a\x4d\x18\x01\0\0\0x", &large[..]].concat(),
        ),
        ("gzip, zstd", large),
        ("br", b"\x91\x1e\x00\x00".to_vec()),
    ] {
        let server = coded(coding, body);
        let out = measured()
            .args(["--compressed", "--json", &server.url("/")])
            .run();
        out.code(3)
            .stderr_contains("larger than 8 MiB")
            .peak_memory_below(40 * MIB);
        assert_eq!(out.json()[0]["error"]["kind"], "protocol");
    }
}

#[test]
fn invalid_content_codings_are_failures() {
    let good = zstd::stream::encode_all(&b"hello"[..], 1).unwrap();
    let with_sum = |flip: usize| {
        let mut coder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        coder.include_checksum(true).unwrap();
        coder.write_all(b"hello").unwrap();
        let mut bytes = coder.finish().unwrap();
        let last = bytes.len() - 1;
        bytes[last - flip] ^= 1;
        bytes
    };
    let announced = |length: u64| {
        let mut frame = b"\x28\xb5\x2f\xfd\xc0\x58".to_vec();
        frame.extend(length.to_le_bytes());
        frame.extend(b"\x19\0\0abc");
        frame
    };
    let mut bad_gzip = gzip(b"hello");
    let at = bad_gzip.len() - 5;
    bad_gzip[at] ^= 1;
    for (coding, body) in [
        ("zstd", with_sum(0)),
        ("zstd", [with_sum(3), good.clone()].concat()),
        ("zstd", announced(1000)),
        ("zstd", announced(100_000_000_000_000)),
        ("zstd", [&good[..], b"trailing"].concat()),
        ("zstd", good[..good.len() - 1].to_vec()),
        ("gzip", bad_gzip),
        ("gzip", [&gzip(b"hello")[..], b"trailing"].concat()),
        ("br", b"\x0b\x01\x80hi\n\x03trailing".to_vec()),
    ] {
        let server = coded(coding, body);
        let dir = tempfile::tempdir().unwrap();
        let out = httpget()
            .cwd(dir.path())
            .args(["--compressed", "-o", "f", &server.url("/")])
            .run();
        out.code(3);
        // Plain words, without the types of a library.
        assert!(
            !out.stderr_str().contains(['{', '(']),
            "{}",
            out.stderr_str()
        );
        assert!(!dir.path().join("f").exists());
    }
    let skippable = [b"\x5a\x2a\x4d\x18\x02\0\0\0ab", &good[..], &good].concat();
    httpget()
        .args(["--compressed", &coded("zstd", skippable).url("/")])
        .run()
        .code(0)
        .stdout("hellohello");
}

#[test]
fn decoding_ends_with_the_time_limit() {
    // 128 GB from 4 MB.
    let server = coded("zstd", zstd_rle(13 << 3, 1_000_000));
    measured()
        .args(["--compressed", "-m", "1", "-o", "/dev/null"])
        .arg(server.url("/"))
        .run()
        .code(3)
        .stderr_contains("--max-time")
        .peak_memory_below(40 * MIB);
}

#[test]
fn deep_json_on_a_terminal_needs_little_memory() {
    for (open, close, depth) in [
        ("[", "]", 20_000),
        ("{\"a\":", "}", 200_000),
        ("[", "]", 400_000),
        ("[0,", "]", 100_000),
    ] {
        let inner = if close == "}" { "{}" } else { "1" };
        let body = [&open.repeat(depth), inner, &close.repeat(depth)].concat();
        let length = body.len();
        let server = always(Reply::json(body));
        let pty = Pty::new();
        measured()
            .env("TERM", "xterm")
            .stdout_to(pty.end())
            .arg(server.url("/"))
            .run()
            .code(0)
            .stderr("")
            .peak_memory_below(2 * length as u64 + 20 * MIB);
        let seen = pty.finish();
        assert!(seen.len() < 100 * length, "{open} {depth}: {}", seen.len());
    }
}

#[test]
fn long_json_on_a_terminal_needs_little_memory() {
    let item = format!("\"{}\",", "x".repeat(1000));
    let bodies = [
        format!("[{}1]", item.repeat(15_000)),
        format!("\"{}\"", "y".repeat(15_000_000)),
        format!("[{}", item.repeat(15_000)),
    ];
    for body in bodies {
        let server = always(Reply::json(body));
        let pty = Pty::new();
        measured()
            .env("TERM", "xterm")
            .stdout_to(pty.end())
            .arg(server.url("/"))
            .run()
            .code(0)
            .peak_memory_below(25 * MIB);
        assert!(pty.finish().len() > 15_000_000);
    }
}

#[test]
fn bodies_in_memory_are_limited() {
    // Zeros are the worst case: six bytes each in JSON.
    let server = coded("zstd", zstd_rle(80, 800));
    for how in [
        &["--json"][..],
        &["--pointer", "/a"],
        &["--json", "--pointer", "/a"],
    ] {
        let out = measured()
            .args(["--compressed"])
            .args(how)
            .arg(server.url("/"))
            .run();
        out.code(1)
            .stderr_contains("bytes in memory; use --max-filesize")
            .peak_memory_below(100 * MIB);
        assert!(out.stdout.len() < 5_000, "{}", out.stdout.len());
        if how[0] == "--json" {
            let record = &out.json()[0];
            assert_eq!(record["error"]["kind"], "size");
            assert!(record["body"].is_null() && record["body_base64"].is_null());
        }
    }
    // If the user allows more, the body is not copied for the record.
    let server = coded("zstd", zstd_rle(80, 560));
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("out")).unwrap();
    measured()
        .args(["--compressed", "--json", "--max-filesize", "80M"])
        .stdout_to(file)
        .arg(server.url("/"))
        .run()
        .code(0)
        .peak_memory_below(95 * MIB);
    assert!(dir.path().join("out").metadata().unwrap().len() > 420 << 20);
}

#[test]
fn pointers_skip_other_values_without_memory() {
    let server = always(Reply::json(format!("[{}9]", "0,".repeat(5_000_000))));
    for (pointer, shown) in [("/5", "0\n"), ("/5000000", "9\n")] {
        measured()
            .args(["--pointer", pointer, &server.url("/")])
            .run()
            .code(0)
            .stdout(shown)
            .peak_memory_below(35 * MIB);
    }
    // The value itself is not copied, either.
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("out")).unwrap();
    measured()
        .args(["--pointer", "", &server.url("/")])
        .stdout_to(file)
        .run()
        .code(0)
        .peak_memory_below(35 * MIB);
}

#[test]
fn endless_lines_of_parallel_transfers_need_little_memory() {
    let server = HttpServer::start(|request| match request.path() {
        "/long" => Reply::ok(vec![b'x'; 60 << 20]),
        _ => Reply::ok("short\n"),
    });
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    measured()
        .arg("-Z")
        .args([server.url("/long"), server.url("/a"), server.url("/b")])
        .stdout_to(std::fs::File::create(&out).unwrap())
        .run()
        .code(0)
        .peak_memory_below(30 * MIB);
    let text = std::fs::read(out).unwrap();
    let whole = text
        .split(|&b| b == b'\n')
        .any(|line| line.ends_with(&vec![b'x'; 60 << 20]));
    assert!(whole && text.len() == (60 << 20) + 12);
}

#[test]
fn request_headers_may_have_any_length() {
    let server = always(Reply::text("ok"));
    let url = server.url("/");
    let dir = tempfile::tempdir().unwrap();
    for length in [9_000, 120_000] {
        let long = "x".repeat(length);
        httpget()
            .args(["-H", &format!("X-Long: {long}"), &url])
            .run()
            .code(0)
            .stdout("ok");
        let sent = server.requests().pop().unwrap();
        assert_eq!(sent.header("x-long"), Some(long.as_str()));
    }
    // Longer than an argument can be.
    let long = "x".repeat(1 << 20);
    let file = dir.path().join("headers");
    std::fs::write(&file, format!("X-Long: {long}\n")).unwrap();
    httpget()
        .args(["-H", &format!("@{}", file.display()), &url])
        .run()
        .code(0);
    assert_eq!(
        server.requests().pop().unwrap().header("x-long"),
        Some(long.as_str())
    );
    // Also with a long URL.
    let path = format!("/{}?{}", "p".repeat(50_000), "q".repeat(50_000));
    httpget().arg(server.url(&path)).run().code(0);
    assert_eq!(server.requests().pop().unwrap().target, path);
}

#[test]
fn cookies_of_a_server_are_limited() {
    let server = HttpServer::start(|request| {
        let reply = Reply::text("ok");
        if request.path() != "/set" {
            return reply;
        }
        (0..60).fold(reply, |reply, n| {
            reply.header("Set-Cookie", &format!("c{n}={}", "v".repeat(4000)))
        })
    });
    httpget()
        .args(["-c", "-", &server.url("/set"), &server.url("/next")])
        .run()
        .code(0);
    let sent = server.requests().pop().unwrap();
    let cookie = sent.header("cookie").unwrap().to_owned();
    assert!(cookie.len() <= 8190, "{}", cookie.len());
    for pair in cookie.split("; ") {
        assert_eq!(pair.split_once('=').unwrap().1, "v".repeat(4000));
    }
    assert_eq!(cookie.split("; ").count(), 2);
}

#[test]
fn a_long_nonce_is_answered() {
    let nonce = "n".repeat(20_000);
    let challenge = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
    let server = HttpServer::start(move |request| match request.header("authorization") {
        Some(answer) if answer.contains(&nonce) => Reply::text("ok"),
        _ => Reply::new(401).header("WWW-Authenticate", &challenge),
    });
    httpget()
        .args(["--digest", "-u", "u:p", &server.url("/")])
        .run()
        .code(0)
        .stdout("ok");
}

#[test]
fn endless_heads_are_refused() {
    let filler = "X: y\r\n".repeat(4000);
    let interim = format!("HTTP/1.1 103 Early\r\n{filler}\r\n").repeat(20);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\r\n".repeat(50_000));
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(310_000));
    for (head, reason) in [
        (interim, "interim responses"),
        ("HTTP/1.1 100 C\r\n\r\n".repeat(200), "interim responses"),
        (many, "more than 5000 header lines"),
        (long, "longer than 307200 bytes"),
    ] {
        let server = always(Reply::raw(head).close());
        let out = measured().args(["--json", &server.url("/")]).run();
        out.code(3)
            .stderr_contains(reason)
            .peak_memory_below(30 * MIB);
        assert_eq!(out.json()[0]["kind"], "protocol");
    }
    // The response of a proxy is read byte by byte.
    for answer in [
        format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(70_000)),
        "HTTP/1.1 100 C\r\n\r\n".repeat(5000),
    ] {
        let proxy = always(Reply::raw(answer).hang());
        measured()
            .args(["-x", &proxy.url(""), "https://localhost:1/"])
            .run()
            .code(3)
            .stderr_contains("the response head of the proxy is too long");
    }
}

#[test]
fn a_location_that_is_too_long_is_refused() {
    let server = always(Reply::redirect(302, &format!("/{}", "x".repeat(250_000))));
    let out = httpget().args(["--json", &server.url("/")]).run();
    out.code(3)
        .stderr_contains("redirected to a URL longer than 65536 bytes");
    assert_eq!(out.json()[0]["error"]["kind"], "protocol");
    // A line break in a value of the user is a usage error.
    for option in ["-A", "-e", "-b"] {
        httpget()
            .args([option, "a=1\r\nX-Evil: 1", &server.url("/")])
            .run()
            .code(2)
            .stderr_contains("must not contain a line break");
    }
    httpget()
        .args([
            "--digest",
            "-u",
            "a\nb:c",
            &always(Reply::new(401).header("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\""))
                .url("/"),
        ])
        .run()
        .code(2)
        .stderr_contains("line break");
}
