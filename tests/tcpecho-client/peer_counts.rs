//! The counts of a load test agree with those of the peer: connections, bytes,
//! messages, wrong echoes, and failures.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::netns::{self, Lab};
use testkit::peer::{TcpPeer, refused_addr};

use crate::bench::{load, number, summary};
use crate::{TEST_TIMEOUT, client, client_to, consistency};

/// The size of the messages, unless a test varies it.
const SIZE: usize = 64;

/// The counters of a peer. It adds to them before it sends or closes, so they are
/// complete when the client has ended.
#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    right: AtomicU64,
    wrong: AtomicU64,
    /// The connections that the client closed in order.
    closed: AtomicU64,
    reset: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, n: u64) -> u64 {
        counter.fetch_add(n, Ordering::SeqCst) + n
    }

    fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::SeqCst)
    }
}

/// Returns counters and another reference to them, for a peer.
fn counters() -> (Arc<Counters>, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    (Arc::clone(&counters), counters)
}

#[test]
fn connections_and_bytes_are_those_of_the_peer() {
    for (args, connections, sizes) in [
        (&["--connections", "7"][..], 7, 64..=64),
        (&["--connections", "3", "--pipeline", "16"], 3, 64..=64),
        (&["--pipeline", "5", "--size", "1:3000"], 1, 1..=3000),
        (
            &["--connections", "2", "--rate", "999", "--size", "9"],
            2,
            9..=9,
        ),
    ] {
        let (counters, shared) = counters();
        let peer = TcpPeer::start(move |mut stream| {
            let mut chunk = [0; 4096];
            loop {
                let n = stream.read(&mut chunk)?;
                if n == 0 {
                    return std::io::Result::Ok(());
                }
                Counters::add(&shared.bytes, n as u64);
                stream.write_all(&chunk[..n])?;
            }
        });
        let args = [args, &["--duration", "150ms", "--timeout", "15s"]].concat();
        let records = load(&peer, &args, 0);
        let summary = summary(&records);
        assert_eq!(number(summary, "connections"), connections, "{summary}");
        assert_eq!(peer.accepted() as u64, connections, "{summary}");
        let bytes = Counters::get(&counters.bytes);
        assert_eq!(number(summary, "bytes"), bytes, "{summary}");
        let messages = number(summary, "messages");
        let possible = messages * sizes.start()..=messages * sizes.end();
        assert!(possible.contains(&bytes), "{bytes}: {summary}");
    }
}

#[test]
fn wrong_echoes_are_those_of_the_peer() {
    for args in [
        &["--connections", "3"][..],
        &["--connections", "2", "--pipeline", "9"],
        &["--connections", "2", "--rate", "2000"],
    ] {
        let (counters, shared) = counters();
        let peer = TcpPeer::start(move |mut stream| {
            let mut message = [0; SIZE];
            for n in 1.. {
                stream.read_exact(&mut message)?;
                if n % 7 == 0 {
                    message[n % SIZE] ^= 0x10;
                    Counters::add(&shared.wrong, 1);
                } else {
                    Counters::add(&shared.right, 1);
                }
                stream.write_all(&message)?;
            }
            std::io::Result::Ok(())
        });
        let args = [args, &["--duration", "150ms", "--timeout", "15s"]].concat();
        let records = load(&peer, &args, 1);
        let summary = summary(&records);
        let right = Counters::get(&counters.right);
        assert_eq!(
            number(summary, "corrupt"),
            Counters::get(&counters.wrong),
            "{summary}"
        );
        assert_eq!(number(summary, "messages"), right, "{summary}");
        assert_eq!(number(summary, "bytes"), right * SIZE as u64, "{summary}");
        assert_eq!(number(summary, "errors"), 0, "{summary}");
    }
}

/// The peer resets every third connection instead of sending the echo.
#[test]
fn failed_connections_are_those_of_the_peer() {
    let (counters, shared) = counters();
    let accepted = AtomicU64::new(0);
    let peer = TcpPeer::start(move |mut stream| {
        let number = Counters::add(&accepted, 1);
        let mut message = [0; SIZE];
        stream.read_exact(&mut message)?;
        if number.is_multiple_of(3) {
            Counters::add(&shared.reset, 1);
            // With this setting a close is a reset.
            socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))?;
            return std::io::Result::Ok(());
        }
        stream.write_all(&message)?;
        if stream.read(&mut message)? == 0 {
            Counters::add(&shared.closed, 1);
        }
        Ok(())
    });
    let args = [
        "--bench",
        "--json",
        "--reconnect",
        "--connections",
        "4",
        "--duration",
        "400ms",
        "--timeout",
        "15s",
    ];
    let out = client_to(&peer).args(args).timeout(TEST_TIMEOUT * 2).run();
    let records = out.code(1).json();
    let summary = consistency::check_load(&records);
    let (closed, reset) = (
        Counters::get(&counters.closed),
        Counters::get(&counters.reset),
    );
    assert_eq!(number(summary, "connections"), closed, "{summary}");
    assert_eq!(number(summary, "messages"), closed, "{summary}");
    assert_eq!(number(summary, "errors"), reset, "{summary}");
    assert_eq!(closed + reset, peer.accepted() as u64, "{summary}");
    assert!(closed > 0 && reset > 0, "{summary}");
    out.stderr_contains(&format!("{reset} connection"))
        .stderr_contains("failed: connection reset by peer");
}

#[test]
fn missing_echoes_are_those_of_the_peer() {
    let (counters, shared) = counters();
    let peer = TcpPeer::start(move |mut stream| {
        let mut chunk = [0; 4096];
        loop {
            let n = stream.read(&mut chunk)?;
            if n == 0 {
                return std::io::Result::Ok(());
            }
            Counters::add(&shared.bytes, n as u64);
        }
    });
    let args = [
        "--bench",
        "--json",
        "--connections",
        "3",
        "--pipeline",
        "16",
        "--duration",
        "200ms",
        "--timeout",
        "2s",
    ];
    let out = client_to(&peer).args(args).run();
    let records = out.code(1).json();
    let summary = consistency::check_load(&records);
    let received = Counters::get(&counters.bytes) / SIZE as u64;
    assert_eq!(received, 48);
    assert_eq!(number(summary, "errors"), received, "{summary}");
    out.stderr(&format!(
        "tcpecho-client: {}: {received} echoes did not arrive before the end of the run\n",
        peer.addr()
    ));
}

#[test]
fn connects_are_those_of_the_peer() {
    let peer = TcpPeer::echo();
    let started = std::time::Instant::now();
    let args = ["--connect-only", "-j", "-c", "20", "-i", "0"];
    let out = client_to(&peer).args(args).run();
    let elapsed = started.elapsed().as_secs_f64() * 1000.0;
    let records = out.code(0).json();
    let (summary, connects) = records.split_last().unwrap();
    consistency::check_summary(summary);
    let count = |key| consistency::count(summary, key);
    assert_eq!(peer.accepted(), 20);
    assert_eq!(
        (count("sent"), count("received"), count("lost")),
        (20, 20, 0)
    );
    // They were made one after another.
    let times = connects
        .iter()
        .map(|r| consistency::number(r, "connect_ms"));
    let total: f64 = times.sum();
    assert!(total <= elapsed, "{total}: {summary}");
    let mean = consistency::number(summary, "avg_ms");
    assert!((mean * 20.0 - total).abs() < 1e-3 * total, "{summary}");
    client_to(&peer)
        .args(["--connect-only", "-c", "3", "-i", "0"])
        .run()
        .code(0)
        .stdout_contains("\n3 tried, 3 connected, 0% failed, time ");
    let refused = refused_addr();
    client()
        .arg(refused.addr().to_string())
        .args(["--connect-only", "-c", "3", "-i", "0"])
        .run()
        .code(1)
        .stdout_contains("\n3 tried, 0 connected, 100% failed, time ");
}

/// The network drops every twentieth segment with data of the client. Only the
/// client sends from its namespace, so the kernel counts its retransmits alone.
#[test]
fn retransmits_are_those_of_the_kernel() {
    if let Err(reason) = netns::available() {
        return netns::skip(&reason);
    }
    let script = "
        net a b; link a b 10.9.0.1/24 10.9.0.2/24
        at b nft add table inet t
        at b nft 'add chain inet t i { type filter hook input priority 0; }'
        at b nft add rule inet t i 'tcp dport 7001 tcp flags & psh == psh \
            numgen inc mod 20 == 0 counter drop' || exit 9
        at b socat TCP4-LISTEN:7001,reuseaddr,fork EXEC:cat &
        at a tcpecho-client --connect-only -q --retry 500 --retry-delay 20ms 10.9.0.2:7001
        at a tcpecho-client --bench -j --duration 1s --connections 3 --timeout 15s \
            10.9.0.2:7001 | tail -n 1
        at a cat /proc/net/snmp | grep '^Tcp: [0-9]' | cut -d ' ' -f 13
        at b nft list ruleset | grep -o 'packets [0-9]*'
        kill $!";
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_tcpecho-client"));
    let out = lab.timeout(TEST_TIMEOUT * 3).script(script);
    let lines = out.code(0).lines();
    let summary: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let retransmits = consistency::count(&summary, "tcp_retransmits");
    assert_eq!(retransmits.to_string(), lines[1], "{}", out.report());
    // A dropped segment is sent again.
    let dropped: u64 = lines[2].replace("packets ", "").parse().unwrap();
    assert!(dropped > 0 && retransmits >= dropped, "{}", out.report());
}
