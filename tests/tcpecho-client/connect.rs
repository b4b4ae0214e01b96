//! The connect: names, families, source addresses, retries, and
//! `--connect-only`.

use std::os::unix::net::UnixListener;

use testkit::netns::{self, Lab};
use testkit::peer::{TcpPeer, refused_addr};
use testkit::privilege;

use crate::{TEST_TIMEOUT, client, client_to, consistency, is_ms};

#[test]
fn a_connect_is_timed() {
    let peer = TcpPeer::echo();
    let addr = peer.addr();
    let out = client_to(&peer).arg("--connect-only").run();
    let start = format!("connected\t{addr}\t");
    let lines = out.code(0).stderr("").lines();
    assert!(
        lines[0].strip_prefix(&start).is_some_and(is_ms),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 1);
    let out = client_to(&peer).args(["--connect-only", "-q"]).run();
    out.code(0).stdout("").stderr("");
    let out = client_to(&peer)
        .args(["--connect-only", "--json", "-c", "2", "-i", "0"])
        .run();
    let records = out.code(0).stderr("").json();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["type"], "connect");
    assert_eq!(records[0]["target"], addr.to_string());
    assert_eq!(records[0]["address"], addr.to_string());
    assert!(records[0]["connect_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(records[2]["type"], "summary");
    assert_eq!(records[2]["received"], 2);
}

#[test]
fn a_refused_connect_is_status_1_with_connect_only() {
    let refused = refused_addr();
    let addr = refused.addr().to_string();
    let line = format!("tcpecho-client: {addr}: connection refused\n");
    let out = client().args(["--connect-only", &addr]).run();
    out.code(1).stdout("").stderr(&line);
    let records = client()
        .args(["--connect-only", "-j", &addr])
        .run()
        .code(1)
        .json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["kind"], "refused");
    let out = client()
        .args(["--connect-only", "-c", "2", "-i", "0", &addr])
        .run();
    out.code(1)
        .stdout_contains("2 tried, 0 connected, 100% failed");
    // Each failure has its number and time.
    for (line, seq) in out.stderr_str().lines().zip(1..=2) {
        let start = format!("tcpecho-client: {addr}: connection refused; seq={seq} at 2");
        assert!(line.starts_with(&start) && line.ends_with('Z'), "{line}");
    }
    let out = client()
        .args(["--connect-only", "-j", "-c", "3", "-i", "1ms", &addr])
        .run();
    let records = out.code(1).json();
    for (record, seq) in records.iter().zip(1..=3) {
        assert_eq!(
            (&record["type"], &record["kind"]),
            (&"error".into(), &"refused".into())
        );
        assert_eq!(
            (&record["target"], &record["seq"]),
            (&addr.clone().into(), &seq.into())
        );
        assert!(record["time"].is_string() && record["address"].is_null());
    }
    consistency::check_summary(consistency::summary(&records));
    assert!(records[3]["corrupt"].is_null() && records[3]["strays"].is_null());
}

#[test]
fn timeouts_and_missing_routes_are_status_1_with_connect_only() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_tcpecho-client"));
    let script = "
        net a b; link a b 10.1.0.1/24 10.1.0.2/24
        at a ip neigh add 10.1.0.3 lladdr 02:00:00:00:00:01 dev to-b
        at a tcpecho-client --connect-only --timeout 100ms 10.1.0.3:7 2>&1; echo $?
        at a tcpecho-client --timeout 100ms 10.1.0.3:7 x 2>&1; echo $?
        at a tcpecho-client --connect-only 10.2.0.1:7 2>&1; echo $?
        at a tcpecho-client 10.2.0.1:7 x 2>&1; echo $?";
    let out = lab.script(script);
    out.stdout(
        "tcpecho-client: 10.1.0.3:7: connect timed out\n1\n\
         tcpecho-client: 10.1.0.3:7: connect timed out\n3\n\
         tcpecho-client: 10.2.0.1:7: network is unreachable\n1\n\
         tcpecho-client: 10.2.0.1:7: network is unreachable\n3\n",
    );
}

#[test]
fn the_addresses_of_a_name_are_raced() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    // The IPv6 address does not respond; the IPv4 address refuses or accepts.
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_tcpecho-client"));
    let script = "
        net a b; link a b 10.1.0.1/24 10.1.0.2/24 fd00::1/64 fd00::2/64
        at a ip neigh add fd00::3 lladdr 02:00:00:00:00:01 dev to-b
        printf 'fd00::3 both.test\\n10.1.0.2 both.test\\n' > hosts
        mount --bind hosts /etc/hosts
        at a tcpecho-client --connect-only --timeout 5s both.test:7 2>&1; echo $?
        at b socat TCP-LISTEN:7,fork,reuseaddr EXEC:cat &
        at a tcpecho-client --retry 100 --retry-delay 20ms -4 both.test:7 hello 2>&1; echo \" $?\"
        at a tcpecho-client both.test:7 hello; echo \" $?\"
        at a tcpecho-client -6 --timeout 100ms both.test:7 hello 2>&1; echo $?
        kill %1 $!";
    let out = lab.timeout(TEST_TIMEOUT * 2).script(script);
    out.stdout(
        "tcpecho-client: both.test:7: connection refused\n1\n\
         hello 0\n\
         hello 0\n\
         tcpecho-client: both.test:7: connect timed out\n3\n",
    );
}

#[test]
fn names_are_restricted_to_a_family() {
    let peer = TcpPeer::echo();
    let port = peer.addr().port();
    let run = |args: &[&str]| client().args(args).arg("hello").run();
    let name = format!("localhost:{port}");
    run(&["-4", &name]).code(0).stdout("hello").stderr("");
    run(&[&format!(":{port}")])
        .code(0)
        .stdout("hello")
        .stderr("");
    let addr = peer.addr().to_string();
    run(&["-6", &addr])
        .code(2)
        .stderr(
            "tcpecho-client: 127.0.0.1: not an IPv6 address; -6 or a source address selects IPv6 only\n",
        );
    // This label is too long to be sent to a name server.
    let unknown = "n".repeat(64);
    let out = run(&[&format!("{unknown}:7")]);
    out.code(3).stdout("");
    let start = format!("tcpecho-client: {unknown}: ");
    assert!(out.stderr_str().starts_with(&start), "{}", out.report());
    // An unknown name is status 3 with --connect-only, too.
    let unknown = format!("{unknown}:7");
    let out = client().args(["--connect-only", &unknown]).run();
    out.code(3).stdout("");
    if privilege::has_ipv6() {
        let peer = TcpPeer::start_on("[::1]:0", |stream| {
            std::io::copy(&mut &stream, &mut &stream)
        });
        run(&[&peer.addr().to_string()]).code(0).stdout("hello");
        run(&["::1", &peer.addr().port().to_string()])
            .code(0)
            .stdout("hello");
    }
}

#[test]
fn a_source_address_and_an_interface_are_used() {
    let peer = TcpPeer::start(|stream| {
        use std::io::Write;
        let from = stream.peer_addr()?;
        (&stream).write_all(format!("{}\n", from.ip()).as_bytes())
    });
    let run = |args: &[&str]| client_to(&peer).args(args).run();
    run(&["--no-verify", "", "--source", "127.0.0.9"])
        .code(0)
        .stdout("127.0.0.9\n");
    run(&["x", "--source", "192.0.2.1"])
        .code(2)
        .stdout("")
        .stderr(
            "tcpecho-client: 192.0.2.1: cannot assign requested address; \
             no network interface of this host has this address\n",
        );
    run(&["x", "-6", "--source", "127.0.0.1"])
        .code(2)
        .stderr_contains("--source 127.0.0.1 is not an IPv6 address");
    run(&["--no-verify", "", "--interface", "lo"])
        .code(0)
        .stdout("127.0.0.1\n");
    run(&["x", "--source", "fe80::1"])
        .code(2)
        .stderr_contains("a link-local address requires an interface, as in fe80::1%IFACE");
    run(&["x", "--interface", "no-such-if"])
        .code(2)
        .stderr("tcpecho-client: --interface: no network interface named no-such-if\n");
}

#[test]
fn unix_sockets_work_in_every_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    let target = format!("unix:{}", path.display());
    // A missing file is a local fault; a socket without a listener is a refusal.
    for more in [&["x"][..], &[], &["-c", "1"], &["--bench"]] {
        let out = client().arg(&target).args(more).run();
        out.code(2).stdout("").stderr(&format!(
            "tcpecho-client: {target}: the socket does not exist\n"
        ));
    }
    client().args(["--connect-only", &target]).run().code(1);
    drop(UnixListener::bind(&path).unwrap());
    let out = client().args([&target, "x"]).run();
    out.code(3).stderr_contains("connection refused");
    client().args(["--connect-only", &target]).run().code(1);
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::copy(&mut &stream, &mut &stream);
        }
    });
    client()
        .args([&target, "hello"])
        .run()
        .code(0)
        .stdout("hello")
        .stderr("");
    client()
        .arg(&target)
        .stdin("as nc")
        .run()
        .code(0)
        .stdout("as nc");
    let out = client().args(["-c", "2", "-i", "0", &target]).run();
    out.code(0)
        .stdout_contains(&format!("64 bytes from {target}: seq=2 time="));
    for option in [
        &["--udp"][..],
        &["-4"],
        &["-6"],
        &["--source", "127.0.0.1"],
        &["-I", "lo"],
    ] {
        let out = client().args(option).args([&target, "x"]).run();
        out.code(2)
            .stdout("")
            .stderr_contains("cannot be used with a unix: target");
    }
}

#[test]
fn retries_wait_for_a_port() {
    let refused = refused_addr();
    let addr = refused.addr();
    let out = client().args([
        &addr.to_string(),
        "x",
        "--retry",
        "2",
        "--retry-delay",
        "1ms",
        "-v",
    ]);
    out.run().code(3).stderr(&format!(
        "tcpecho-client: {addr}: connection refused; 2 retries left\n\
         tcpecho-client: {addr}: connection refused; 1 retry left\n\
         tcpecho-client: {addr}: connection refused\n"
    ));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later");
    let target = format!("unix:{}", path.display());
    let running = client()
        .args([
            &target,
            "--connect-only",
            "--retry",
            "100000",
            "--retry-delay",
            "1ms",
            "-v",
        ])
        .spawn();
    running.read_stderr_line(TEST_TIMEOUT);
    let _listener = UnixListener::bind(&path).unwrap();
    running.wait().code(0).stdout_contains("connected\tunix:");
}

#[test]
fn a_signal_ends_the_wait_for_a_port() {
    let refused = refused_addr();
    let addr = refused.addr().to_string();
    let running = client()
        .args([&addr, "x", "--retry", "9", "--retry-delay", "1h", "-v"])
        .spawn();
    running.read_stderr_line(TEST_TIMEOUT);
    running.signal(2);
    running.wait().code(1).stdout("");
    // A mode with a summary prints it.
    for mode in [&["-c", "3"][..], &["--bench"]] {
        let running = client()
            .args([&addr, "--retry", "9", "--retry-delay", "1h", "-v"])
            .args(mode)
            .spawn();
        running.read_stderr_line(TEST_TIMEOUT);
        running.signal(2);
        let out = running.wait();
        out.code(1).stdout_contains(" statistics ---\n0 ");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_refuses_the_option() {
    let out = client().args(["--tls", "a:1", "x"]).run();
    out.code(2).stdout("").stderr(
        "tcpecho-client: --tls is not supported by this build, which was made with \
         '--no-default-features'; see 'tcpecho-client --help'\n",
    );
}

#[test]
fn options_of_nc_get_a_hint() {
    for (args, option, hint) in [
        (&["-z", "a", "1"][..], "-z", "use --connect-only"),
        (&["-vz", "a", "1"], "-z", "use --connect-only"),
        (&["a", "1", "-w", "3"], "-w", "use --timeout DURATION"),
        (&["-l", "1"], "-l", "use tcpecho-server to listen"),
        (&["-lk", "1"], "-l", "use tcpecho-server to listen"),
        (&["-k", "a:1"], "-k", "use tcpecho-server"),
        (
            &["-p", "2", "a:1"],
            "-p",
            "the system chooses the source port",
        ),
        (&["-C", "a:1", "x"], "-C", "the message is sent as it is"),
        (&["--ssl", "a:1"], "--ssl", "use --tls"),
    ] {
        let out = client().args(args).run();
        out.code(2)
            .stdout("")
            .stderr_contains(&format!("tcpecho-client: {option} is not supported"))
            .stderr_contains(hint);
    }
}

#[test]
fn invalid_operands_and_options_are_refused() {
    for (args, why) in [
        (&[][..], "missing argument: <"),
        (
            &[""],
            ": '': the target is empty; use HOST:PORT, or :PORT for this machine\n",
        ),
        (&["", "8080"], ": '': the target is empty; use HOST:PORT, "),
        (&["", ""], ": '': the target is empty; use HOST:PORT, "),
        (&["-I", "", "a:1"], "missing value for '-I'"),
        (
            &["a:1", "--retry-delay", "1"],
            "missing argument: --retry <N>",
        ),
        (
            &["a:1", "--connect-only", "--reconnect"],
            "--reconnect cannot be used with --connect-only, which opens",
        ),
        (
            &["a:1", "x", "--udp", "--half-close"],
            "--half-close cannot be used with --udp",
        ),
        (
            &["localhost"],
            "localhost: missing port; use HOST:PORT or HOST PORT",
        ),
        (
            &["localhost:0"],
            "localhost:0: the port must be from 1 to 65535",
        ),
        (
            &["localhost:99999"],
            "localhost:99999: the port is out of range; use 1 to 65535",
        ),
        (
            &["127.1:80"],
            "127.1:80: not an address: IPv4 needs four numbers, this has 2",
        ),
        (
            &["a:1", "b", "c"],
            "c: unexpected operand after the message; quote a message with spaces",
        ),
        (
            &["a:1", "x", "--hex", "00"],
            "MESSAGE cannot be used with --hex",
        ),
        (
            &["a:1", "--hex", "0"],
            "each byte must have two hexadecimal digits",
        ),
        (
            &["a:1", "x", "--file", "y"],
            "MESSAGE cannot be used with --file",
        ),
        (
            &["a:1", "--file", "/no/such/file"],
            "/no/such/file: no such file or directory",
        ),
        (
            &["a:1", "x", "--size", "5"],
            "--size requires -c, -i or --bench",
        ),
        (
            &["a:1", "x", "--reconnect"],
            "--reconnect requires -c, -i or --bench",
        ),
        (&["a:1", "-c", "0"], "must be at least 1"),
        (
            &["a:1", "-c", "1", "--expect", "x"],
            "--expect cannot be used with -c or -i",
        ),
        (
            &["a:1", "x", "--connect-only"],
            "MESSAGE cannot be used with --connect-only",
        ),
        (
            &["a:1", "--udp", "--connect-only"],
            "--udp cannot be used with --connect-only",
        ),
        (
            &["a:1", "--udp", "--half-close"],
            "--half-close cannot be used with --udp",
        ),
        (
            &["a:1", "--file", "/"],
            "tcpecho-client: /: is a directory\n",
        ),
        (
            &["a:1", "--udp", "--expect", "x"],
            "--expect requires a message with --udp",
        ),
        (
            &["a:1", "-c", "1", "--size", "70k", "-u"],
            "--size must be at most 65527 over UDP",
        ),
        (&["a:1", "x", "--timeout", "0"], "must be greater than 0"),
    ] {
        let out = client().args(args).run();
        out.code(2).stdout("").stderr_contains(why);
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
    }
}
