//! Black-box tests of `tcpecho-server`, by subject.
#![allow(
    clippy::unwrap_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

#[path = "tcpecho-server/activation.rs"]
mod activation;
#[path = "tcpecho-server/attacks.rs"]
mod attacks;
#[path = "tcpecho-server/cli.rs"]
mod cli;
#[path = "tcpecho-server/crowd.rs"]
mod crowd;
#[path = "tcpecho-server/echo.rs"]
mod echo;
#[path = "tcpecho-server/end.rs"]
mod end;
#[path = "tcpecho-server/faults.rs"]
mod faults;
#[path = "tcpecho-server/kit.rs"]
mod kit;
#[path = "tcpecho-server/limits.rs"]
mod limits;
#[path = "tcpecho-server/log.rs"]
mod log;
#[path = "tcpecho-server/networks.rs"]
mod networks;
#[path = "tcpecho-server/places.rs"]
mod places;
#[cfg(feature = "tls")]
#[path = "tcpecho-server/tls.rs"]
mod tls;
#[path = "tcpecho-server/udp.rs"]
mod udp;
