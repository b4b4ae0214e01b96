//! `--bench`: the statistics agree with those of the peer, and a stall is reported
//! in the right interval.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::peer::TcpPeer;
use testkit::pty::Pty;

use crate::bench::{load, number, summary};
use crate::{TEST_TIMEOUT, client, client_to, consistency};

#[test]
fn the_live_line_is_never_wider_than_the_terminal() {
    for (columns, width) in [(40, 40), (80, 80), (0, 80)] {
        let pty = Pty::new();
        let size = rustix::termios::Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(pty.end(), size).unwrap();
        let peer = TcpPeer::echo();
        let args = ["--bench", "--reconnect", "--duration", "1500ms"];
        let running = client_to(&peer).args(args).stderr_to(pty.end()).spawn();
        let _ = running.wait().code(0);
        let shown = String::from_utf8(pty.finish()).unwrap();
        let lines: Vec<&str> = shown.split("\r\x1b[K").collect();
        assert!(lines.iter().any(|line| line.contains(" s: ")), "{shown:?}");
        assert!(
            lines.iter().all(|line| line.chars().count() < width),
            "{shown:?}"
        );
    }
}

/// The peer echoes slowly, so most echoes arrive after the duration of the run.
#[test]
fn counts_and_rates_agree_with_the_peer() {
    let echoed = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&echoed);
    let started = std::time::Instant::now();
    let peer = TcpPeer::start(move |mut stream| {
        let mut chunk = [0; 6400];
        loop {
            // This limits the peer to 64 KB per second.
            std::thread::sleep(std::time::Duration::from_millis(100));
            let n = stream.read(&mut chunk)?;
            if n == 0 {
                return std::io::Result::Ok(());
            }
            stream.write_all(&chunk[..n])?;
            counted.fetch_add(n as u64, Ordering::SeqCst);
        }
    });
    let args = ["--rate", "3000", "--duration", "1s", "--timeout", "15s"];
    let records = load(&peer, &args, 0);
    let elapsed = started.elapsed().as_secs_f64();
    let summary = summary(&records);
    assert_eq!(number(summary, "messages"), 3000);
    assert_eq!(number(summary, "bytes"), echoed.load(Ordering::SeqCst));
    // 192,000 bytes take at least three seconds.
    assert!(
        consistency::number(summary, "duration_ms") > 2900.0,
        "{summary}"
    );
    assert!(consistency::number(summary, "duration_ms") / 1000.0 <= elapsed);
    assert!(
        consistency::number(summary, "messages_per_second") < 1050.0,
        "{summary}"
    );
}

#[test]
fn the_send_lateness_of_the_client_is_reported() {
    let peer = TcpPeer::echo();
    let args = ["--bench", "-j", "--rate", "500", "--duration", "3s"];
    let running = client_to(&peer).args(args).spawn();
    assert!(
        running
            .read_line(TEST_TIMEOUT)
            .starts_with(r#"{"type":"interval""#)
    );
    running.signal(19);
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal(18);
    let out = running.wait();
    let records = out.code(0).json();
    let summary = summary(&records);
    let late = consistency::number(summary, "send_late_max_ms");
    assert!(late > 250.0, "{summary}");
    assert!(
        consistency::number(summary, "max_ms") >= late - 50.0,
        "{summary}"
    );
    // A closed loop has no due times.
    let records = load(&peer, &["--duration", "100ms"], 0);
    assert!(self::summary(&records)["send_late_max_ms"].is_null());
}

#[test]
fn a_stall_affects_the_latencies_of_its_interval_only() {
    let peer = TcpPeer::start(|mut stream| {
        let mut message = [0; 64];
        let mut count = 0;
        while stream.read_exact(&mut message).is_ok() {
            count += 1;
            if count == 50 {
                std::thread::sleep(std::time::Duration::from_millis(1200));
            }
            stream.write_all(&message)?;
        }
        std::io::Result::Ok(())
    });
    let records = load(&peer, &["--rate", "100", "--duration", "5500ms"], 0);
    let stalled = records
        .iter()
        .filter(|r| r["type"] == "interval" && r["max_ms"].as_f64() > Some(1000.0));
    // Some of the delayed echoes may be in the next interval.
    assert!((1..=2).contains(&stalled.count()), "{records:?}");
}

#[test]
fn a_slot_reconnects_soon_after_a_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
    });
    let args = [
        "--bench",
        "-j",
        "--reconnect",
        "--duration",
        "2s",
        "--timeout",
        "1s",
    ];
    let out = client().args(args).arg(&addr).run();
    peer.join().unwrap();
    let records = out.code(1).json();
    // An idle machine makes a hundred attempts per second. With one attempt
    // per interval there would be three in all.
    assert!(number(summary(&records), "errors") > 5, "{records:?}");
}
