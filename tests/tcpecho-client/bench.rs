//! `--bench`: verification, counts and errors. `cargo xtask bench` measures the
//! speed.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use serde_json::Value;
use testkit::peer::TcpPeer;

use crate::{TEST_TIMEOUT, client, client_to, consistency};

/// Runs a load test with `--json` and returns its records, which are checked.
#[track_caller]
pub(crate) fn load(peer: &TcpPeer, args: &[&str], code: i32) -> Vec<Value> {
    let tool = client_to(peer).args(["--bench", "--json"]).args(args);
    let out = tool.timeout(TEST_TIMEOUT * 2).run();
    out.code(code);
    let records = out.json();
    consistency::check_load(&records);
    records
}

pub(crate) fn summary(records: &[Value]) -> &Value {
    consistency::check_load(records)
}

pub(crate) fn number(record: &Value, key: &str) -> u64 {
    consistency::count(record, key)
}

#[test]
fn all_echoes_are_verified() {
    let peer = TcpPeer::echo();
    for args in [
        &["--duration", "100ms"][..],
        &["--duration", "100ms", "--connections", "20"],
        &[
            "--duration",
            "100ms",
            "--connections",
            "5",
            "--pipeline",
            "16",
            "--size",
            "1:3000",
        ],
        &[
            "--duration",
            "100ms",
            "--connections",
            "2",
            "--size",
            "1M",
            "--pipeline",
            "3",
        ],
        &[
            "--duration",
            "100ms",
            "--connections",
            "5",
            "--rate",
            "2000",
        ],
        &[
            "--duration",
            "100ms",
            "--connections",
            "5",
            "--size",
            "1",
            "--seed",
            "99",
        ],
    ] {
        let records = load(&peer, args, 0);
        let summary = summary(&records);
        assert!(number(summary, "messages") > 0, "{args:?}: {summary}");
        assert!(number(summary, "bytes") >= number(summary, "messages"));
        assert_eq!(
            (number(summary, "corrupt"), number(summary, "errors")),
            (0, 0)
        );
    }
}

#[test]
fn the_summary_has_all_figures() {
    let peer = TcpPeer::echo();
    let args = ["--connections", "3", "--duration", "300ms", "--size", "10"];
    let records = load(&peer, &args, 0);
    let summary = summary(&records);
    let addr = peer.addr().to_string();
    assert_eq!(
        (&summary["target"], &summary["address"]),
        (&addr.clone().into(), &addr.clone().into())
    );
    assert_eq!(number(summary, "connections"), 3);
    assert_eq!(number(summary, "bytes"), number(summary, "messages") * 10);
    assert!(summary["connections_per_second"].is_null());
    assert!(summary["messages_per_second"].as_f64() > Some(0.0));
    for key in ["target", "address", "time"] {
        assert!(summary[key].is_string(), "{key}");
    }
    if cfg!(target_os = "linux") {
        assert!(summary["tcp_rtt_ms"].as_f64() > Some(0.0));
        assert!(summary["tcp_retransmits"].is_u64());
    }
    let out = client_to(&peer).arg("--bench").args(args).run();
    let lines = out.code(0).stderr("").lines();
    assert_eq!(lines[0], format!("--- {addr} bench statistics ---"));
    assert!(lines[1].starts_with("3 connections, "), "{lines:?}");
    assert!(lines[2].contains(" messages/s, ") && lines[2].ends_with(" MB/s each way"));
    assert_eq!(lines[3], "0 corrupt, 0 errors");
    let latency = "latency min/avg/p50/p90/p99/p99.9/p99.99/max = ";
    let latency = lines[4]
        .strip_prefix(latency)
        .and_then(|l| l.strip_suffix(" ms"));
    let latency: Vec<f64> = latency
        .unwrap()
        .split('/')
        .map(|n| n.parse().unwrap())
        .collect();
    assert_eq!(latency.len(), 8);
    let without_mean = [&latency[..1], &latency[2..]].concat();
    assert!(without_mean.is_sorted(), "{latency:?}");
    assert!(latency[0] <= latency[1] && latency[1] <= latency[7]);
    // The statistics of the lines agree with each other.
    let words = |line: usize| {
        lines[line]
            .split(' ')
            .map(|w| w.parse::<f64>().unwrap_or(0.0))
    };
    let (first, second): (Vec<f64>, Vec<f64>) = (words(1).collect(), words(2).collect());
    let (messages, bytes, seconds) = (first[2], first[4], first[8]);
    assert!((bytes - messages * 10.0).abs() < 0.5, "{lines:?}");
    assert!(
        // The rate is rounded to a whole number.
        (second[0] * seconds - messages).abs() <= messages * 0.01 + seconds,
        "{lines:?}"
    );
    assert!(
        (second[2] * 1e6 * seconds - bytes).abs() <= bytes * 0.01 + 1000.0,
        "{lines:?}"
    );
    if cfg!(target_os = "linux") {
        assert!(lines[5].starts_with("tcp rtt = ") && lines[5].contains(" ms, "));
        assert_eq!(lines.len(), 6);
    }
    let out = client_to(&peer)
        .args(["--bench", "--rate", "100", "--duration", "200ms"])
        .run();
    out.code(0).stdout_contains("\nsend lateness p99/max = ");
}

#[test]
fn there_is_a_record_for_each_second() {
    let peer = TcpPeer::echo();
    let records = load(&peer, &["--duration", "2.5", "--rate", "100"], 0);
    let kinds: Vec<&str> = records.iter().filter_map(|r| r["type"].as_str()).collect();
    // A busy machine may skip one.
    assert!(
        matches!(kinds[..], ["interval", .., "summary"]),
        "{kinds:?}"
    );
    assert!(records[0]["messages_per_second"].as_f64() > Some(0.0));
}

#[test]
fn the_open_loop_sends_all_messages_that_are_due() {
    let peer = TcpPeer::echo();
    let args = [
        "--connections",
        "4",
        "--rate",
        "1000",
        "--duration",
        "500ms",
    ];
    let records = load(&peer, &args, 0);
    // This does not depend on the speed of the machine.
    assert_eq!(number(summary(&records), "messages"), 500);
}

#[test]
fn a_stall_delays_all_messages_that_are_due_during_it() {
    let peer = TcpPeer::start(|mut stream| {
        let mut first = [0; 64];
        stream.read_exact(&mut first)?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        stream.write_all(&first)?;
        std::io::copy(&mut stream.try_clone()?, &mut stream)
    });
    let records = load(&peer, &["--rate", "1000", "--duration", "400ms"], 0);
    // Three quarters of the messages are due during the stall. If latencies
    // were measured from the send, only the first one would be high.
    let median = summary(&records)["p50_ms"].as_f64().unwrap();
    assert!(median > 50.0, "{median}");
}

#[test]
fn with_reconnect_each_message_has_its_connection() {
    let peer = TcpPeer::echo();
    let args = ["--reconnect", "--connections", "4", "--duration", "200ms"];
    let records = load(&peer, &args, 0);
    let summary = summary(&records);
    let connections = number(summary, "connections");
    assert!(connections > 4);
    // This includes the connections that were closed after the duration.
    assert_eq!(number(summary, "messages"), connections);
    assert!(summary["connections_per_second"].as_f64() > Some(0.0));
    assert!(peer.accepted() as u64 >= connections);
    let args = [
        "--reconnect",
        // One for each message, since a busy machine may not reuse any.
        "--connections",
        "20",
        "--rate",
        "100",
        "--duration",
        "200ms",
    ];
    let records = load(&peer, &args, 0);
    let summary = self::summary(&records);
    let messages = number(summary, "messages");
    assert!((4..=20).contains(&messages), "{messages}");
    assert_eq!(number(summary, "connections"), messages);
    // A connection that the peer does not close was not closed in order.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let peer = TcpPeer::start(move |mut stream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
        let _ = held.lock().map(|held| held.recv());
        std::io::Result::Ok(())
    });
    let args = [
        "--bench",
        "--reconnect",
        "--timeout",
        "1s",
        "--duration",
        "100ms",
    ];
    let out = client_to(&peer).args(args).run();
    out.code(1)
        .stdout_contains("0 connections, 1 message, ")
        .stderr(&format!(
            "tcpecho-client: {}: 1 connection failed: the peer did not close the connection in \
             time\n",
            peer.addr()
        ));
    drop(release);
}

#[test]
fn a_signal_ends_the_run_with_a_summary() {
    for signal in [2, 15] {
        let peer = TcpPeer::echo();
        let args = [
            "--bench",
            "--json",
            "--duration",
            "1h",
            "--connections",
            "3",
        ];
        let running = client_to(&peer).args(args).spawn();
        assert!(
            running
                .read_line(TEST_TIMEOUT)
                .starts_with(r#"{"type":"interval""#)
        );
        running.signal(signal);
        let out = running.wait();
        let records = out.code(0).stderr("").json();
        assert!(number(summary(&records), "messages") > 0);
    }
}

#[test]
fn many_connections_are_opened() {
    let peer = TcpPeer::echo();
    let args = ["--connections", "500", "--duration", "300ms"];
    let records = load(&peer, &args, 0);
    let summary = summary(&records);
    assert_eq!(number(summary, "connections"), 500);
    assert!(number(summary, "messages") >= 500);
}

#[test]
fn a_load_runs_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    let target = format!("unix:{}", path.display());
    let args = [
        "--bench",
        "--json",
        "--connections",
        "9",
        "--duration",
        "100ms",
    ];
    let records = client()
        .args(args)
        .arg(&target)
        .run()
        .code(0)
        .stderr("")
        .json();
    let summary = summary(&records);
    assert_eq!(number(summary, "connections"), 9);
    assert!(summary["tcp_rtt_ms"].is_null() && summary["tcp_retransmits"].is_null());
}

#[test]
fn options_that_cannot_be_combined_are_refused() {
    for (args, why) in [
        (&["--bench", "x"][..], "MESSAGE cannot be used with --bench"),
        (&["--bench", "-c", "3"], "-c cannot be used with --bench"),
        (
            &["--bench", "--udp"],
            "--udp cannot be used with --bench: a lost datagram would stall its connection; \
             use -c to count losses",
        ),
        (
            &["--bench", "--rate", "5", "--pipeline", "2"],
            "--pipeline cannot be used with --rate",
        ),
        (
            &["--bench", "--reconnect", "--pipeline", "2"],
            "--pipeline cannot be used with --reconnect",
        ),
        (
            &["--bench", "--rate", "0"],
            "must be from 0.001 to 100000000 messages per second",
        ),
        (&["--bench", "--rate", "nan"], "must be from 0.001"),
        (&["--connections", "3"], "--connections requires --bench"),
        (&["--rate", "3"], "--rate requires --bench"),
    ] {
        let out = client().arg("a:1").args(args).run();
        out.code(2).stdout("").stderr_contains(why);
    }
}
