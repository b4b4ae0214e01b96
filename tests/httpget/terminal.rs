//! The output on a real terminal.

use std::time::Duration;

use testkit::Tool;
use testkit::http::{Gate, HttpServer, Reply};
use testkit::pty::{Pty, screen};

use crate::support::{always, files, httpget};

fn on_terminal(pty: &Pty) -> Tool {
    httpget().env("TERM", "xterm").stdout_to(pty.end())
}

#[test]
fn json_is_indented_and_coloured() {
    let server = always(Reply::json("{\"a\":1,\"b\":[\"x\\u001b\",null]}"));
    let shown = |env: (&str, &str), how: &[&str]| {
        let pty = Pty::new();
        on_terminal(&pty)
            .env(env.0, env.1)
            .args(how)
            .arg(server.url("/"))
            .run()
            .code(0)
            .stderr("");
        String::from_utf8(pty.finish()).unwrap()
    };
    let plain = "{\r\n  \"a\": 1,\r\n  \"b\": [\r\n    \"x\\u001b\",\r\n    null\r\n  ]\r\n}\r\n";
    let coloured = shown(("X", ""), &[]);
    assert_eq!(
        coloured,
        "{\r\n  \x1b[34m\"a\"\x1b[0m: \x1b[36m1\x1b[0m,\r\n  \x1b[34m\"b\"\x1b[0m: [\r\n    \
         \x1b[32m\"x\\u001b\"\x1b[0m,\r\n    \x1b[33mnull\x1b[0m\r\n  ]\r\n}\r\n"
    );
    let lines: Vec<&str> = plain.trim_end().split("\r\n").collect();
    assert_eq!(screen(coloured.as_bytes()), lines);
    assert_eq!(shown(("NO_COLOR", "1"), &[]), plain);
    assert_eq!(shown(("TERM", "dumb"), &[]), plain);
    assert_eq!(shown(("X", ""), &["--color", "never"]), plain);
}

#[test]
fn no_text_from_the_network_moves_the_cursor() {
    let evil = "\x1b[2J\x1b]0;title\x07caf\u{e9}\u{202e}\u{9b}1A\r\n\ttab\n";
    let server = HttpServer::start(move |request| match request.path() {
        "/binary" => Reply::ok(b"\x7fELF\0\0".to_vec()),
        _ => Reply::text(evil).header("X-Evil", "a\u{9b}2Jb"),
    });
    let pty = Pty::new();
    on_terminal(&pty)
        .args(["-i", &server.url("/")])
        .run()
        .code(0)
        .stderr("");
    let seen = pty.finish();
    assert!(!seen.contains(&0x1b) && !seen.contains(&7), "{seen:?}");
    let seen = String::from_utf8(seen).unwrap();
    assert!(!seen.contains(['\u{9b}', '\u{202e}']), "{seen:?}");
    for part in ["HTTP/1.1 200 OK\r\n", "\\x1b[2J", "café", "\r\n\ttab\r\n"] {
        assert!(seen.contains(part), "no {part:?} in {seen:?}");
    }
    let pty = Pty::new();
    on_terminal(&pty)
        .arg(server.url("/binary"))
        .run()
        .code(2)
        .stderr_contains("binary");
    assert_eq!(pty.finish(), b"");
}

/// A body of 1,000 bytes: the first half is sent slowly, since a bar moves with the
/// body, and the rest when the gate opens.
fn slow(gate: &Gate) -> Reply {
    let start = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").then([b'x'; 484]);
    (0..16)
        .fold(start, |reply, _| {
            reply.then("x").pause(Duration::from_millis(100))
        })
        .wait(gate)
        .then([b'x'; 500])
}

#[test]
fn progress_bars_appear_late_and_are_removed() {
    let gate = Gate::new();
    let server = HttpServer::start({
        let gate = gate.clone();
        move |request| match request.path() {
            "/missing" => Reply::new(404),
            _ => slow(&gate),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let pty = Pty::new();
    let urls = ["/one", "/two", "/missing"].map(|path| server.url(path));
    let running = httpget()
        .cwd(dir.path())
        .env("TERM", "xterm")
        .stderr_to(pty.end())
        .args(["-Z", "-O"])
        .args(&urls)
        .spawn();
    // Each bar has its own line, with the name of its file.
    for name in ["one ", "two "] {
        pty.wait_for(name);
    }
    pty.wait_for("/1000 B");
    gate.open();
    let _ = running.wait().code(1).stdout("");
    let seen = pty.finish();
    // Only the message is left.
    let said = format!("httpget: {}: 404 Not Found", urls[2]);
    assert_eq!(screen(&seen), [said]);
    // A hidden cursor is shown again, and no bar has two lines.
    let count = |text: &str| String::from_utf8_lossy(&seen).matches(text).count();
    assert_eq!(count("\x1b[3A"), 0);
    assert_eq!(count("\x1b[?25l"), count("\x1b[?25h"));
    assert_eq!(files(dir.path()), ["one", "two"]);
}

#[test]
fn a_progress_bar_is_shown_while_saving() {
    let gate = Gate::new();
    let server = HttpServer::start({
        let gate = gate.clone();
        move |_| slow(&gate)
    });
    let dir = tempfile::tempdir().unwrap();
    let pty = Pty::new();
    let running = on_terminal(&pty)
        .cwd(dir.path())
        .stderr_to(pty.end())
        .args(["-o", "saved.bin", &server.url("/")])
        .spawn();
    pty.wait_for("saved.bin");
    pty.wait_for("/1000 B");
    gate.open();
    running.wait().code(0);
    assert_eq!(screen(&pty.finish()), [""; 0]);
    // Not together with a body on the same terminal.
    let gate = Gate::new();
    gate.open();
    let server = HttpServer::start(move |_| slow(&gate));
    let pty = Pty::new();
    on_terminal(&pty)
        .stderr_to(pty.end())
        .arg(server.url("/"))
        .run()
        .code(0);
    assert!(!String::from_utf8_lossy(&pty.finish()).contains("/1000 B"));
}

#[test]
fn values_of_a_json_stream_are_shown_when_complete() {
    let gate = Gate::new();
    let server = {
        let gate = gate.clone();
        always(
            Reply::raw(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\n{\"b\"",
            )
            .wait(&gate)
            .then(":2}\n")
            .close(),
        )
    };
    let pty = Pty::new();
    let running = on_terminal(&pty)
        .args(["--color", "never", &server.url("/")])
        .spawn();
    pty.wait_for("\"a\": 1\r\n}");
    gate.open();
    running.wait().code(0);
    assert!(String::from_utf8_lossy(&pty.finish()).ends_with("{\r\n  \"b\": 2\r\n}\r\n"));
}

#[test]
fn progress_bars_can_be_disabled() {
    let server = HttpServer::start(|_| {
        let gate = Gate::new();
        gate.open();
        slow(&gate)
    });
    let url = server.url("/");
    for how in ["-s", "--no-progress-meter"] {
        let pty = Pty::new();
        httpget()
            .env("TERM", "xterm")
            .stderr_to(pty.end())
            .args([how, "-o", "f", &url])
            .run()
            .code(0);
        assert_eq!(pty.finish(), b"", "{how}");
    }
}

#[test]
fn a_list_typed_on_the_terminal_is_announced() {
    let pty = Pty::new();
    let running = httpget().stdin_from(pty.end()).args(["-O", "-"]).spawn();
    assert_eq!(
        running.read_stderr_line(Duration::from_secs(15)),
        "httpget: warning: - reads URLs from standard input; use -o - to print the body"
    );
    // It waits for the first URL.
    assert!(running.is_running());
    running.signal(15);
}

#[test]
fn truncated_json_is_shown() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let server = always(Reply::raw(format!("{head}{{\"a\": [1,\n2")).close());
    let pty = Pty::new();
    on_terminal(&pty)
        .arg(server.url("/"))
        .run()
        .code(3)
        .stderr_contains("was cut short");
    assert_eq!(pty.finish(), b"{\"a\": [1,\r\n2");
    // The body of a silent server.
    let server = always(Reply::raw(format!("{head}{{\"a\": [1,\n2")).hang());
    let pty = Pty::new();
    on_terminal(&pty)
        .args(["--stall-timeout", "1", &server.url("/")])
        .run()
        .code(3);
    assert_eq!(pty.finish(), b"{\"a\": [1,\r\n2");
}

#[test]
fn slow_json_is_shown_as_it_is_received() {
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1003\r\n\r\n";
    let reply = Reply::raw(head).then("[1");
    let reply = (0..40).fold(reply, |reply, _| {
        reply.then(" ").pause(Duration::from_millis(100))
    });
    let reply = reply.wait(&gate).then(vec![b' '; 960]).then("]");
    let server = always(reply);
    let pty = Pty::new();
    let running = on_terminal(&pty).arg(server.url("/")).spawn();
    pty.wait_for("1");
    gate.open();
    let _ = running.wait().code(0);
    assert_eq!(screen(&pty.finish()), ["[", "  1", "]"]);
}

#[test]
fn a_byte_order_mark_before_json_is_skipped() {
    let server = always(Reply::json(&b"\xef\xbb\xbf{\"a\":1}"[..]));
    let pty = Pty::new();
    on_terminal(&pty).arg(server.url("/")).run().code(0);
    assert_eq!(screen(&pty.finish()), ["{", "  \"a\": 1", "}"]);
}
