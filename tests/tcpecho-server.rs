//! Black-box tests of `tcpecho-server`, by subject.
#![allow(
    clippy::unwrap_used,
    reason = "a panic in a helper fails the test and reports why"
)]

#[path = "tcpecho-server/activation.rs"]
mod activation;
#[path = "tcpecho-server/attacks.rs"]
mod attacks;
#[path = "tcpecho-server/cli.rs"]
mod cli;
#[path = "tcpecho-server/echo.rs"]
mod echo;
#[path = "tcpecho-server/faults.rs"]
mod faults;
#[path = "tcpecho-server/harness.rs"]
mod harness;
#[path = "tcpecho-server/limits.rs"]
mod limits;
#[path = "tcpecho-server/listen.rs"]
mod listen;
#[path = "tcpecho-server/log.rs"]
mod log;
#[path = "tcpecho-server/many_clients.rs"]
mod many_clients;
#[path = "tcpecho-server/networks.rs"]
mod networks;
#[path = "tcpecho-server/shutdown.rs"]
mod shutdown;
#[cfg(feature = "tls")]
#[path = "tcpecho-server/tls.rs"]
mod tls;
#[path = "tcpecho-server/udp.rs"]
mod udp;
