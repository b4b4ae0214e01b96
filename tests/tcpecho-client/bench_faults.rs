//! `--bench`: peers that corrupt, close, refuse or do not read, and limits of
//! this machine.

use std::io::{Read, Write};

use testkit::peer::{TcpPeer, refused_addr};

use crate::bench::{load, number, summary};
use crate::{TEST_TIMEOUT, client, client_to};

/// Starts a peer that keeps its connections open and never reads.
fn peer_that_never_reads() -> TcpPeer {
    let kept = std::sync::Mutex::new(Vec::new());
    TcpPeer::start(move |stream| {
        if let Ok(mut kept) = kept.lock() {
            kept.push(stream);
        }
        std::io::Result::Ok(())
    })
}

#[test]
fn a_message_that_was_due_and_not_sent_is_an_error() {
    let peer = peer_that_never_reads();
    let args = ["--rate", "200", "--size", "1M", "--duration", "500ms"];
    let out = client_to(&peer)
        .args(["--bench", "--json", "--timeout", "1s"])
        .args(args)
        .run();
    let out = out.code(1);
    out.stderr_contains(" were due but not sent at the end of the run\n");
    let records = out.json();
    // Either the echo is missing or the message is unsent.
    assert_eq!(number(summary(&records), "errors"), 100);
    assert_eq!(number(summary(&records), "messages"), 0);
}

#[test]
fn a_peer_that_does_not_read_does_not_delay_the_end() {
    let peer = peer_that_never_reads();
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
fn bad_peers_are_reported() {
    let line = |peer: &TcpPeer, what: &str| format!("tcpecho-client: {}: {what}\n", peer.addr());
    // A run ends when its last connection has failed. With a connection that
    // stays open, it lasts for its duration.
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

    let peer = TcpPeer::close_immediately();
    run(&peer)
        .code(1)
        .stderr(&line(
            &peer,
            "1 connection failed: the peer closed the connection",
        ))
        .stdout_contains("1 connection, 0 messages, 0 bytes verified");

    let peer = TcpPeer::greeting("220 ready");
    run(&peer)
        .code(1)
        .stderr_contains("1 connection failed: the peer sent more bytes than it received");

    let peer = TcpPeer::silent();
    lasting(&peer, "100ms")
        .code(1)
        .stderr(&line(
            &peer,
            "1 echo did not arrive before the end of the run",
        ))
        .stdout_contains("0 messages/s");
}

#[test]
fn swapped_echoes_are_detected() {
    // The echoes of two connections are swapped. Every byte was sent by this
    // client, but on the other connection.
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
fn a_refused_connect_ends_the_run() {
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
fn too_many_connections_for_the_limit_of_files_are_refused() {
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
