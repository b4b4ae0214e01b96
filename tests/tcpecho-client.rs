//! Black-box tests of `tcpecho-client`, against peers of every manner.
#![allow(
    clippy::unwrap_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

#[path = "tcpecho-client/attacks.rs"]
mod attacks;
#[path = "tcpecho-client/bench.rs"]
mod bench;
#[path = "tcpecho-client/connect.rs"]
mod connect;
#[path = "tcpecho-client/datagrams.rs"]
mod datagrams;
#[path = "tcpecho-client/echoes.rs"]
mod echoes;
#[path = "tcpecho-client/figures.rs"]
mod figures;
#[path = "tcpecho-client/load_figures.rs"]
mod load_figures;
#[path = "tcpecho-client/message.rs"]
mod message;
#[path = "tcpecho-client/relay.rs"]
mod relay;
#[path = "tcpecho-client/targets.rs"]
mod targets;
#[cfg(feature = "tls")]
#[path = "tcpecho-client/tls.rs"]
mod tls;
#[path = "tcpecho-client/tries.rs"]
mod tries;

use std::time::Duration;

use testkit::Tool;
use testkit::peer::TcpPeer;

/// Long enough for a busy machine; no test waits so long in good order.
const SOON: Duration = Duration::from_secs(15);

fn client() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_tcpecho-client"))
}

/// The client with the address of a peer.
fn to(peer: &TcpPeer) -> Tool {
    client().arg(peer.addr().to_string())
}

/// Bytes of every value, without a short period.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// The bounds of a time are the machine's; that it is one is ours.
fn is_ms(text: &str) -> bool {
    text.strip_suffix(" ms").is_some_and(|number| {
        number.parse::<f64>().is_ok() && number.split('.').nth(1).is_some_and(|d| d.len() == 3)
    })
}
