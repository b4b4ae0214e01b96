//! `-c` and `-i`: messages that are sent and timed one by one.

use std::io::{Read, Write};

use testkit::peer::{TcpPeer, refused_addr};
use testkit::udp::UdpPeer;

use crate::{TEST_TIMEOUT, client, client_to, is_ms};

#[test]
fn each_echo_has_a_line_and_the_run_a_summary() {
    let peer = TcpPeer::echo();
    let addr = peer.addr();
    let out = client_to(&peer).args(["-c", "3", "-i", "10ms"]).run();
    let lines = out.code(0).stderr("").lines();
    for (line, seq) in lines.iter().zip(1..=3) {
        let start = format!("64 bytes from {addr}: seq={seq} time=");
        assert!(line.strip_prefix(&start).is_some_and(is_ms), "{line}");
    }
    assert_eq!(lines[3], "");
    assert_eq!(lines[4], format!("--- {addr} echo statistics ---"));
    assert!(
        lines[5].starts_with("3 sent, 3 received, 0% loss, time "),
        "{}",
        lines[5]
    );
    assert!(
        lines[6].starts_with("rtt min/avg/p50/p90/p99/max = "),
        "{}",
        lines[6]
    );
    assert!(lines[7].starts_with("jitter = ") && lines[7].contains(" ms, interval = "));
    assert_eq!(lines.len(), 8);
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn with_reconnect_each_message_has_its_connection() {
    let peer = TcpPeer::echo();
    let out = client_to(&peer)
        .args(["-c", "3", "-i", "0", "--reconnect", "-q"])
        .run();
    out.code(0)
        .stderr("")
        .stdout_contains("3 sent, 3 received, 0% loss");
    assert_eq!(out.lines().len(), 5);
    assert_eq!(peer.accepted(), 3);
}

#[test]
fn each_echo_has_a_record() {
    let peer = TcpPeer::echo();
    let out = client_to(&peer)
        .args(["-c", "2", "-i", "0", "--json", "--size", "100:200"])
        .run();
    let records = out.code(0).stderr("").json();
    assert_eq!(records.len(), 3);
    for (record, seq) in records.iter().zip(1..=2) {
        assert_eq!(record["type"], "reply");
        assert_eq!(record["seq"], seq);
        assert!((100..=200).contains(&record["bytes"].as_u64().unwrap()));
        assert!(record["rtt_ms"].as_f64().unwrap() > 0.0);
        assert!(record["time"].as_str().unwrap().ends_with('Z'));
    }
    let summary = &records[2];
    let keys: Vec<&str> = summary
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = vec![
        "type",
        "target",
        "address",
        "sent",
        "received",
        "lost",
        "in_flight",
        "loss_percent",
        "corrupt",
        "duplicates",
        "reordered",
        "strays",
        "jitter_ms",
        "min_ms",
        "avg_ms",
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "max_ms",
        "interval_ms",
        "duration_ms",
        "time",
    ];
    expected.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, expected);
    crate::consistency::check_echoes(&records);
    assert_eq!(
        (&summary["sent"], &summary["received"]),
        (&2.into(), &2.into())
    );
    assert_eq!(summary["loss_percent"], 0.0);
}

#[test]
fn a_given_message_is_sent_each_time() {
    let peer = TcpPeer::start(|mut stream| {
        let mut got = [0; 3];
        while stream.read_exact(&mut got).is_ok() {
            assert_eq!(&got, b"abc");
            stream.write_all(&got)?;
        }
        std::io::Result::Ok(())
    });
    let out = client_to(&peer).args(["abc", "-c", "2", "-i", "0"]).run();
    out.code(0)
        .stdout_contains("3 bytes from ")
        .stdout_contains("2 sent, 2 received");
    client_to(&peer)
        .args(["", "-c", "2"])
        .run()
        .code(2)
        .stdout("")
        .stderr_contains("empty message");
}

#[test]
fn a_run_without_echoes_has_a_summary() {
    let peer = TcpPeer::silent();
    let out = client_to(&peer)
        .args(["-c", "2", "-i", "1ms", "--timeout", "1s"])
        .run();
    let addr = peer.addr();
    let lines = out.code(1).stderr("").lines();
    assert_eq!(lines[0], format!("no echo from {addr}: seq=1: timed out"));
    assert_eq!(lines[1], format!("no echo from {addr}: seq=2: timed out"));
    assert!(
        lines[4].starts_with("2 sent, 0 received, 100% loss, time "),
        "{}",
        lines[4]
    );
    assert!(lines[5].starts_with("interval = "));
    assert_eq!(lines.len(), 6);
    let out = client_to(&peer)
        .args(["-j", "-c", "1", "--timeout", "1s"])
        .run();
    let records = out.code(1).stderr("").json();
    assert_eq!(records[0]["type"], "timeout");
    assert_eq!(records[0]["seq"], 1);
    let summary = &records[1];
    assert_eq!(summary["loss_percent"], 100.0);
    for key in ["min_ms", "avg_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"] {
        assert!(summary[key].is_null(), "{key}: {summary}");
    }
}

#[test]
fn a_peer_that_does_not_read_ends_the_run() {
    let peer = TcpPeer::unresponsive();
    let addr = peer.addr();
    let args = ["-c", "3", "-i", "0.1", "--timeout", "1s", "--size", "32M"];
    let out = client_to(&peer).args(args).run();
    out.code(1)
        .stdout_contains(&format!("no echo from {addr}: seq=1: timed out\n"))
        .stdout_contains("1 sent, 0 received, 100% loss");
    let line = format!("tcpecho-client: {addr}: the peer stopped reading after ");
    out.stderr_contains(&line)
        .stderr_contains(" of 33554432 bytes of the last message\n");
}

#[test]
fn an_echo_that_differs_is_corrupt() {
    let peer = TcpPeer::corrupt_at(70);
    let out = client_to(&peer).args(["-c", "3", "-i", "0"]).run();
    out.code(1)
        .stderr("")
        .stdout_contains("seq=2 time=")
        .stdout_contains(" ms differs at offset 6\n")
        .stdout_contains("3 sent, 2 received, 0% loss, 1 corrupt, time ");
    let peer = TcpPeer::corrupt_at(70);
    let records = client_to(&peer)
        .args(["-c", "2", "-i", "0", "-j"])
        .run()
        .code(1)
        .json();
    assert_eq!(
        (&records[1]["type"], &records[1]["corrupt"]),
        (&"reply".into(), &true.into())
    );
    assert_eq!(
        (&records[1]["seq"], &records[1]["offset"]),
        (&2.into(), &6.into())
    );
    assert_eq!(records[2]["corrupt"], 1);
    crate::consistency::check_echoes(&records);
}

#[test]
fn a_lost_connection_ends_the_run_without_reconnect() {
    let peer = TcpPeer::reset_after(64);
    let addr = peer.addr();
    let out = client_to(&peer).args(["-c", "5", "-i", "10ms"]).run();
    out.code(1)
        .stdout_contains("seq=1 time=")
        .stdout_contains(" echo statistics ---\n")
        .stderr_contains(&format!("tcpecho-client: {addr}: "));
    let out = client_to(&peer)
        .args(["-c", "3", "-i", "10ms", "--reconnect"])
        .run();
    out.code(0).stderr("").stdout_contains("3 sent, 3 received");
    let peer = TcpPeer::close_immediately();
    let out = client_to(&peer)
        .args(["-c", "2", "-i", "10ms", "--reconnect"])
        .run();
    out.code(1).stdout_contains("2 sent, 0 received, 100% loss");
}

#[test]
fn a_refused_connect_is_status_3() {
    let refused = refused_addr();
    let addr = refused.addr().to_string();
    let line = format!("tcpecho-client: {addr}: connection refused\n");
    client()
        .args([&addr, "-c", "3"])
        .run()
        .code(3)
        .stdout("")
        .stderr(&line);
    let out = client()
        .args([&addr, "-c", "2", "-i", "0", "--reconnect"])
        .run();
    out.code(3)
        .stderr(&line)
        .stdout_contains(&format!("no echo from {addr}: seq=1: connection refused\n"))
        .stdout_contains("2 sent, 0 received, 100% loss");
}

#[test]
fn a_signal_ends_the_run_with_a_summary() {
    for signal in [2, 15] {
        let peer = TcpPeer::echo();
        // With a timeout given, a younger message is in flight and not lost.
        let args = ["-i", "1ms", "--timeout", "1h"];
        let running = client_to(&peer).args(args).spawn();
        running.read_line(TEST_TIMEOUT);
        running.signal(signal);
        let out = running.wait();
        out.code(0)
            .stderr("")
            .stdout_contains(" echo statistics ---\n")
            .stdout_contains("% loss");
    }
    // Nothing was received, so the message is lost.
    let (sender, came) = std::sync::mpsc::channel();
    let peer = TcpPeer::start(move |mut stream| {
        stream.read_exact(&mut [0])?;
        let _ = sender.send(());
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    let running = client_to(&peer)
        .args(["-i", "1h", "--timeout", "1h"])
        .spawn();
    came.recv_timeout(TEST_TIMEOUT).unwrap();
    running.signal(2);
    running
        .wait()
        .code(1)
        .stdout_contains("1 sent, 0 received, 100% loss");
}

#[test]
fn a_late_echo_is_lost() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let peer = TcpPeer::start(move |mut stream| {
        let mut first = [0; 64];
        stream.read_exact(&mut first)?;
        let _ = wait.lock().map(|wait| wait.recv());
        stream.write_all(&first)?;
        std::io::copy(&mut stream.try_clone()?, &mut stream)
    });
    let running = client_to(&peer)
        .args(["-c", "3", "-i", "1.2", "--timeout", "1s"])
        .spawn();
    assert!(
        running
            .read_line(TEST_TIMEOUT)
            .ends_with("seq=1: timed out")
    );
    release.send(()).unwrap();
    let line = running.read_line(TEST_TIMEOUT);
    assert!(line.starts_with("late echo from "), "{line}");
    let out = running.wait();
    out.code(1).stdout_contains("seq=3 time=");
}

#[test]
fn echoes_over_udp_are_counted() {
    let udp_client_to =
        |peer: &UdpPeer| client().args(["--udp", "-i", "1ms", &peer.addr().to_string()]);
    let peer = UdpPeer::echo();
    udp_client_to(&peer)
        .args(["-c", "3"])
        .run()
        .code(0)
        .stdout_contains("3 sent, 3 received, 0% loss");
    let peer = UdpPeer::lossy(2);
    udp_client_to(&peer)
        .args(["-c", "4", "--timeout", "1s"])
        .run()
        .code(1)
        .stdout_contains("seq=2: timed out")
        .stdout_contains("4 sent, 2 received, 50% loss");
    // The duplicate arrives while the next echo is waited for.
    let peer = UdpPeer::start(|number, datagram| match number {
        0 => vec![datagram.to_vec(), datagram.to_vec()],
        _ => vec![datagram.to_vec()],
    });
    let out = udp_client_to(&peer).args(["-c", "3"]).run();
    out.code(0)
        .stdout_contains(": seq=1 time=")
        .stdout_contains(" ms duplicate\n")
        .stdout_contains("3 sent, 3 received, 0% loss, 1 duplicate, time ");
    let records = udp_client_to(&UdpPeer::twice())
        .args(["-c", "2", "-j"])
        .run();
    let records = records.code(0).json();
    assert_eq!(
        (&records[1]["type"], &records[1]["duplicate"]),
        (&"reply".into(), &true.into())
    );
    assert_eq!(records[1]["corrupt"], false);
    crate::consistency::check_echoes(&records);
    assert_eq!(
        (&records[1]["seq"], &records[1]["bytes"]),
        (&1.into(), &64.into())
    );
    let peer = UdpPeer::corrupt();
    udp_client_to(&peer)
        .args(["-c", "1"])
        .run()
        .code(1)
        .stdout_contains("differs at offset 63");
}

/// The peer measures how long it held each message and when it arrived.
#[test]
fn times_agree_with_the_clock_of_the_peer() {
    use std::time::{Duration, Instant};
    let (sender, seen) = std::sync::mpsc::channel();
    let peer = TcpPeer::start(move |mut stream| {
        let mut message = [0; 64];
        for n in 0_u64.. {
            if stream.read_exact(&mut message).is_err() {
                break;
            }
            let came = Instant::now();
            std::thread::sleep(Duration::from_millis(n * 7 % 20));
            let held = came.elapsed();
            stream.write_all(&message)?;
            let _ = sender.send((came, held));
        }
        std::io::Result::Ok(())
    });
    for interval in ["0", "30ms"] {
        let started = Instant::now();
        let args = ["-j", "-c", "40", "-i", interval, "--timeout", "15s"];
        let out = client_to(&peer).args(args).timeout(TEST_TIMEOUT * 2).run();
        let elapsed = started.elapsed().as_secs_f64() * 1000.0;
        let records = out.code(0).json();
        let summary = crate::consistency::check_echoes(&records);
        let of = |key| crate::consistency::number(summary, key);
        let seen = (0..40).map(|_| seen.recv_timeout(TEST_TIMEOUT).expect("a message"));
        let seen: Vec<(Instant, Duration)> = seen.collect();
        let mut held: Vec<f64> = seen
            .iter()
            .map(|(_, held)| held.as_secs_f64() * 1000.0)
            .collect();
        // No round trip is shorter than the time for which the peer held it.
        for (record, held) in records.iter().zip(&held) {
            assert!(
                crate::consistency::number(record, "rtt_ms") >= *held,
                "{record}"
            );
        }
        held.sort_by(f64::total_cmp);
        for (key, rank) in [
            ("min_ms", 0),
            ("p50_ms", 19),
            ("p90_ms", 35),
            ("max_ms", 39),
        ] {
            assert!(of(key) >= held[rank], "{key}: {} of {summary}", held[rank]);
        }
        let sum = held.iter().sum::<f64>();
        assert!(of("avg_ms") * 40.0 >= sum, "{summary}");
        // One after another, they take no longer than the run.
        if interval == "0" {
            assert!(of("avg_ms") * 40.0 <= of("duration_ms"), "{summary}");
        }
        assert!(of("duration_ms") <= elapsed && of("duration_ms") >= of("max_ms"));
        // The arrival times differ by the transfer times from the send times.
        let between = (seen[39].0 - seen[0].0).as_secs_f64() * 1000.0;
        let shown = of("interval_ms") * 39.0;
        assert!(
            (shown - between).abs() <= 2.0 * of("max_ms"),
            "{between}: {summary}"
        );
        if interval == "30ms" {
            assert!(shown >= 30.0 * 39.0 - of("max_ms"), "{summary}");
        }
    }
}
