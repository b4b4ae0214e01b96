//! Tests of the command line: an error is one line, with status 2.

use crate::harness::{Server, tool};

#[test]
fn invalid_arguments_are_errors() {
    let cases: [(&[&str], &str); 29] = [
        (
            &["65536"],
            "65536: the port is out of range; use 0 to 65535",
        ),
        (
            &["tcp://127.0.0.1:7"],
            "tcp://127.0.0.1:7: this is a URL; use ADDR:PORT",
        ),
        (&["%:80"], "%:80: missing interface after '%'"),
        (
            &["--mode", "8", "unix:s"],
            "must be octal digits from 0 to 777",
        ),
        (
            &["::1:80"],
            "::1:80: an IPv6 address needs brackets; use [ADDR]:PORT",
        ),
        (
            &["127.1:80"],
            "127.1:80: not an address: IPv4 needs four numbers, this has 2",
        ),
        (
            &["a:65536"],
            "a:65536: the port is out of range; use 0 to 65535",
        ),
        (&["unix:"], "unix:: missing path; use unix:PATH"),
        (&["--count", "0", ":0"], "invalid value '0' for '--count"),
        (&["--idle-timeout", "5x", ":0"], "not a duration"),
        (&["--max-bytes", "0", ":0"], "must be at least 1"),
        (&["--drop", "1.5", ":0"], "must be from 0 to 1"),
        (&["--delay", "1:", ":0"], "not a duration"),
        (&["--once", "--count", "2", ":0"], "cannot be used with"),
        (
            &["--ready-fd", "1", ":0"],
            "invalid value '1' for '--ready-fd",
        ),
        (
            &["--ready-fd", "250", ":0"],
            "--ready-fd 250: bad file descriptor",
        ),
        (
            &["--port-file", "p", "unix:s"],
            "--port-file requires an operand with a port",
        ),
        (&[""], ": '': the address is empty; use ADDR:PORT or PORT\n"),
        (&["-I", "", ":0"], "missing value for '-I'"),
        (
            &["--udp", "unix:s"],
            "--udp requires an operand with a port",
        ),
        (&["-I", "lo", "unix:s"], "--interface requires an operand"),
        (&["--reuse-port", "unix:s"], "--reuse-port requires an "),
        (&["-4", "unix:s"], "-4 requires an operand with a port"),
        (&["-6", "unix:s"], "-6 requires an operand with a port"),
        (&["--max-per-ip", "2", "unix:s"], "--max-per-ip requires an"),
        (&["--broadcast", ":0"], ": --broadcast requires --udp"),
        (&["--udp-rate", "5", ":0"], ": --udp-rate requires --udp"),
        (
            &["--seed", "5", ":0"],
            ": --seed requires a fault, such as --drop",
        ),
        (&["--mode", "600", ":0"], "--mode requires a unix:PATH"),
    ];
    for (args, message) in cases {
        let out = tool().args(args).run();
        out.code(2).stdout("").stderr_contains(message);
        let stderr = out.stderr_str();
        assert!(stderr.starts_with("tcpecho-server: "), "{}", out.report());
        assert_eq!(stderr.lines().count(), 1, "{}", out.report());
    }
}

#[test]
fn all_invalid_operands_are_reported() {
    let out = tool().args(["x", "127.0.0.1:0", "y"]).run();
    out.code(2).stdout("").stderr(
        "tcpecho-server: x: missing port; use HOST:PORT\n\
         tcpecho-server: y: missing port; use HOST:PORT\n",
    );
    let out = tool().args(["--json", "x"]).run();
    out.code(2);
    let mut record = out.json().remove(0);
    assert!(record["time"].take().is_string(), "{}", out.report());
    assert_eq!(
        record,
        serde_json::json!({
            "type": "error", "target": "x", "kind": "input",
            "message": "missing port; use HOST:PORT", "time": null,
        })
    );
}

#[test]
fn operands_can_come_from_standard_input() {
    let out = tool()
        .args(["--for", "1ms", "-"])
        .stdin("# an address\n\n  127.0.0.1:0 \n")
        .run();
    out.code(0);
    assert!(out.stdout_str().starts_with("listening\t127.0.0.1:"));
    let out = tool().arg("-").stdin("127.0.0.1:0\nbad\n").run();
    out.code(2)
        .stdout("")
        .stderr("tcpecho-server: -:2: bad: missing port; use HOST:PORT\n");
}

#[test]
fn a_reply_that_is_too_long_is_an_error() {
    let out = tool().args(["--reply", &"x".repeat(65_537)]).run();
    out.code(2).stderr(
        "tcpecho-server: the text of --reply is too long: 65537 bytes; \
         at most 65536 are allowed; see 'tcpecho-server --help'\n",
    );
    let longest = "x".repeat(65_536);
    let server = Server::start(&["--reply", &longest]);
    let mut client = server.connect();
    client.send(b"?");
    client.expect(longest.as_bytes());
}

#[test]
fn options_of_nc_get_a_hint() {
    for (args, option, hint) in [
        (&["-l", "7"][..], "-l", "always listens"),
        (&["-lk", "7"], "-l", "always listens"),
        (&["-p", "7"], "-p", "as one operand, ADDR:PORT"),
        (&["-k"], "-k", "unless --once is given"),
        (&["-u"], "-u", "use --udp"),
    ] {
        let out = tool().args(args).run();
        out.code(2)
            .stdout("")
            .stderr_contains(&format!("tcpecho-server: {option} is not supported"))
            .stderr_contains(hint);
    }
}

#[test]
fn help_describes_exit_statuses_and_events() {
    let out = tool().arg("--help").run();
    out.code(0).stderr("");
    for part in [
        "Exit status:",
        "closed PEER BYTES_RECEIVED BYTES_SENT MS REASON",
        "SIGUSR1",
        "error      target kind message",
    ] {
        out.stdout_contains(part);
    }
    assert!(tool().arg("-h").run().lines().len() < out.lines().len());
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_reports_that() {
    let out = tool().args(["--cert", "a", "--key", "b"]).run();
    out.code(2).stdout("").stderr(
        "tcpecho-server: this build has no TLS; it was made with \
         '--no-default-features'; see 'tcpecho-server --help'\n",
    );
}
