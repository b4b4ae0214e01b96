//! Black box tests of `tcpecho-client`, with peers that behave well or badly.
#![allow(
    clippy::unwrap_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

#[path = "tcpecho-client/bench.rs"]
mod bench;
#[path = "tcpecho-client/bench_accuracy.rs"]
mod bench_accuracy;
#[path = "tcpecho-client/bench_faults.rs"]
mod bench_faults;
#[path = "tcpecho-client/connect.rs"]
mod connect;
#[path = "tcpecho-client/consistency.rs"]
mod consistency;
#[path = "tcpecho-client/datagrams.rs"]
mod datagrams;
#[path = "tcpecho-client/echoes.rs"]
mod echoes;
#[path = "tcpecho-client/hostile_peers.rs"]
mod hostile_peers;
#[path = "tcpecho-client/message.rs"]
mod message;
#[path = "tcpecho-client/pass_through.rs"]
mod pass_through;
#[path = "tcpecho-client/peer_clock.rs"]
mod peer_clock;
#[path = "tcpecho-client/peer_counts.rs"]
mod peer_counts;
#[path = "tcpecho-client/retries.rs"]
mod retries;
#[path = "tcpecho-client/targets.rs"]
mod targets;
#[cfg(feature = "tls")]
#[path = "tcpecho-client/tls.rs"]
mod tls;

use std::time::Duration;

use testkit::Tool;
use testkit::peer::TcpPeer;

/// The time to wait for an event; long enough for a busy machine. A test that
/// passes ends long before.
const TEST_TIMEOUT: Duration = Duration::from_secs(15);

fn client() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_tcpecho-client"))
}

/// Returns the client with the address of `peer` as its first argument.
fn client_to(peer: &TcpPeer) -> Tool {
    client().arg(peer.addr().to_string())
}

/// Returns `size` bytes of all values, without a short period.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// Returns whether `text` is a time in milliseconds with three decimals.
fn is_ms(text: &str) -> bool {
    text.strip_suffix(" ms").is_some_and(|number| {
        number.parse::<f64>().is_ok() && number.split('.').nth(1).is_some_and(|d| d.len() == 3)
    })
}
