//! `--bench`: what it counts, against peers of every manner. How fast it is,
//! is a matter of `cargo xtask bench`.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use serde_json::Value;
use testkit::peer::{TcpPeer, refused_addr};

use crate::{TEST_TIMEOUT, client, client_to, consistency};

/// Runs it with `--json` and returns the records.
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
fn every_byte_comes_back() {
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
fn the_summary() {
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
    // The figures of the lines belong together.
    let words = |line: usize| {
        lines[line]
            .split(' ')
            .map(|w| w.parse::<f64>().unwrap_or(0.0))
    };
    let (first, second): (Vec<f64>, Vec<f64>) = (words(1).collect(), words(2).collect());
    let (messages, bytes, seconds) = (first[2], first[4], first[8]);
    assert!((bytes - messages * 10.0).abs() < 0.5, "{lines:?}");
    assert!(
        // A rate is shown to the next whole number.
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
    out.code(0).stdout_contains("\nsent late p99/max = ");
}

#[test]
fn a_record_a_second() {
    let peer = TcpPeer::echo();
    let records = load(&peer, &["--duration", "2.5", "--rate", "100"], 0);
    let kinds: Vec<&str> = records.iter().filter_map(|r| r["type"].as_str()).collect();
    // A busy machine may miss one.
    assert!(
        matches!(kinds[..], ["interval", .., "summary"]),
        "{kinds:?}"
    );
    assert!(records[0]["messages_per_second"].as_f64() > Some(0.0));
}

#[test]
fn the_open_loop_sends_what_is_due() {
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
    // Exactly those, however busy the machine is.
    assert_eq!(number(summary(&records), "messages"), 500);
}

#[test]
fn a_stall_counts_for_all_that_were_due_meanwhile() {
    let peer = TcpPeer::start(|mut stream| {
        let mut first = [0; 64];
        stream.read_exact(&mut first)?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        stream.write_all(&first)?;
        std::io::copy(&mut stream.try_clone()?, &mut stream)
    });
    let records = load(&peer, &["--rate", "1000", "--duration", "400ms"], 0);
    // Three quarters of the messages were due in the stall. Counted from when
    // they could be answered, only the first would have been late.
    let median = summary(&records)["p50_ms"].as_f64().unwrap();
    assert!(median > 50.0, "{median}");
}

/// A peer that keeps its connections and never reads.
fn deaf() -> TcpPeer {
    let kept = std::sync::Mutex::new(Vec::new());
    TcpPeer::start(move |stream| {
        if let Ok(mut kept) = kept.lock() {
            kept.push(stream);
        }
        std::io::Result::Ok(())
    })
}

#[test]
fn what_was_due_and_could_not_be_sent_is_an_error() {
    let peer = deaf();
    let args = ["--rate", "200", "--size", "1M", "--duration", "500ms"];
    let out = client_to(&peer)
        .args(["--bench", "--json", "--timeout", "1s"])
        .args(args)
        .run();
    let out = out.code(1);
    out.stderr_contains(" were due but still unsent when the run ended\n");
    let records = out.json();
    // Sent and not back, or not sent: all that were due.
    assert_eq!(number(summary(&records), "errors"), 100);
    assert_eq!(number(summary(&records), "messages"), 0);
}

#[test]
fn a_peer_that_does_not_read_does_not_hold_up_the_end() {
    let peer = deaf();
    let args = ["--bench", "--json", "--timeout", "1s"];
    let rate = ["--rate", "1000000", "--size", "1000"];
    let tool = client_to(&peer)
        .args(args)
        .args(rate)
        .args(["--duration", "1s"]);
    let _ = tool.timeout(TEST_TIMEOUT).run().code(1);

    let running = client_to(&peer)
        .args(args)
        .args(rate)
        .args(["--duration", "1h"])
        .spawn();
    assert!(
        running
            .read_line(TEST_TIMEOUT)
            .starts_with(r#"{"type":"interval""#)
    );
    running.signal(2);
    let out = running.wait();
    assert!(number(summary(&out.code(1).json()), "errors") > 100_000);
}

#[test]
fn a_connection_for_each_message() {
    let peer = TcpPeer::echo();
    let args = ["--reconnect", "--connections", "4", "--duration", "200ms"];
    let records = load(&peer, &args, 0);
    let summary = summary(&records);
    let connections = number(summary, "connections");
    assert!(connections > 4);
    // Those that end after the time as well.
    assert_eq!(number(summary, "messages"), connections);
    assert!(summary["connections_per_second"].as_f64() > Some(0.0));
    assert!(peer.accepted() as u64 >= connections);
    let args = [
        "--reconnect",
        // One for each message, or a busy machine could have none free.
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
    // A connection that its peer never ends is none that was closed in order.
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
fn peers_that_spoil_cut_and_make_up() {
    let line = |peer: &TcpPeer, what: &str| format!("tcpecho-client: {}: {what}\n", peer.addr());
    // It ends as soon as no connection is left; only where one is, the time
    // passes.
    let lasting = |peer: &TcpPeer, duration: &str| {
        let args = ["--bench", "--timeout", "1s", "--duration", duration];
        client_to(peer).args(args).run()
    };
    let run = |peer: &TcpPeer| lasting(peer, "15s");

    let peer = TcpPeer::corrupt_at(10);
    lasting(&peer, "300ms")
        .code(1)
        .stderr("")
        .stdout_contains("\n1 corrupt, 0 errors\n");

    let peer = TcpPeer::reset_after(1000);
    let out = run(&peer);
    out.code(1)
        .stderr_contains("connection reset by peer")
        .stdout_contains("corrupt, 1 error");

    let peer = TcpPeer::truncate_at(1000);
    run(&peer).code(1).stderr(&line(
        &peer,
        "1 connection failed: the peer closed the connection",
    ));

    let peer = TcpPeer::close_at_once();
    run(&peer)
        .code(1)
        .stderr(&line(
            &peer,
            "1 connection failed: the peer closed the connection",
        ))
        .stdout_contains("1 connection, 0 messages, 0 bytes verified");

    let peer = TcpPeer::greeting("who goes there?");
    run(&peer)
        .code(1)
        .stderr_contains("1 connection failed: the peer sent more bytes than it received");

    let peer = TcpPeer::silent();
    lasting(&peer, "100ms")
        .code(1)
        .stderr(&line(&peer, "1 echo had not arrived when the run ended"))
        .stdout_contains("0 messages/s");
}

#[test]
fn cross_talk_is_seen() {
    // Two connections whose echoes are swapped: every byte is a good one, and
    // none is right.
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| std::sync::mpsc::channel()).unzip();
    let ends = std::sync::Mutex::new(
        receivers
            .into_iter()
            .zip(senders.into_iter().rev())
            .collect::<Vec<_>>(),
    );
    let peer = TcpPeer::start(move |mut stream| {
        let Some((receiver, sender)) = ends.lock().ok().and_then(|mut ends| ends.pop()) else {
            return Ok(());
        };
        let mut message = vec![0; 64];
        while stream.read_exact(&mut message).is_ok() {
            let Ok(other) = sender.send(message.clone()).and_then(|()| {
                receiver
                    .recv()
                    .map_err(|_| std::sync::mpsc::SendError(Vec::new()))
            }) else {
                break;
            };
            stream.write_all(&other)?;
        }
        std::io::Result::Ok(())
    });
    let args = [
        "--connections",
        "2",
        "--duration",
        "100ms",
        "--timeout",
        "15s",
    ];
    let records = load(&peer, &args, 1);
    assert_eq!(number(summary(&records), "messages"), 0);
    assert!(number(summary(&records), "corrupt") > 0);
}

#[test]
fn nobody_there() {
    let refused = refused_addr();
    let addr = refused.addr().to_string();
    let line = format!("tcpecho-client: {addr}: connection refused\n");
    client()
        .args(["--bench", &addr])
        .run()
        .code(3)
        .stdout("")
        .stderr(&line);
}

#[test]
fn a_signal_brings_the_summary() {
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
fn many_connections() {
    let peer = TcpPeer::echo();
    let args = ["--connections", "500", "--duration", "300ms"];
    let records = load(&peer, &args, 0);
    let summary = summary(&records);
    assert_eq!(number(summary, "connections"), 500);
    assert!(number(summary, "messages") >= 500);
}

#[test]
fn too_many_for_the_limit() {
    let script = format!(
        "ulimit -n 100; exec '{}' --bench --connections 200 127.0.0.1:1",
        env!("CARGO_BIN_EXE_tcpecho-client")
    );
    let out = testkit::Tool::new("/bin/sh").args(["-c", &script]).run();
    out.code(2).stdout("").stderr(
        "tcpecho-client: the connections need 264 open files, but the limit is 100; root can \
         raise the hard limit with 'ulimit -Hn 264', limits.conf or LimitNOFILE=\n",
    );
}

#[test]
fn local_domain() {
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
fn usage() {
    for (args, why) in [
        (&["--bench", "x"][..], "MESSAGE cannot be used with --bench"),
        (&["--bench", "-c", "3"], "-c cannot be used with --bench"),
        (
            &["--bench", "--udp"],
            "--udp cannot be used with --bench: a lost datagram would stall its connection; \
             -c and -i count losses",
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
            "not a rate; use messages per second, from 0.001 to 100000000",
        ),
        (&["--bench", "--rate", "nan"], "not a rate"),
        (&["--connections", "3"], "--connections requires --bench"),
        (&["--rate", "3"], "--rate requires --bench"),
    ] {
        let out = client().arg("a:1").args(args).run();
        out.code(2).stdout("").stderr_contains(why);
    }
}
