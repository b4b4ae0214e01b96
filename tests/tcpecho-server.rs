//! Black-box tests of `tcpecho-server`, by subject.
#![allow(
    clippy::unwrap_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

#[path = "tcpecho-server/cli.rs"]
mod cli;
#[path = "tcpecho-server/echo.rs"]
mod echo;
#[path = "tcpecho-server/end.rs"]
mod end;
#[path = "tcpecho-server/kit.rs"]
mod kit;
#[path = "tcpecho-server/log.rs"]
mod log;
#[path = "tcpecho-server/places.rs"]
mod places;
