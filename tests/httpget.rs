//! Black-box tests of `httpget`, by subject.
#![allow(
    clippy::unwrap_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

#[path = "httpget/attacks.rs"]
mod attacks;
#[path = "httpget/auth.rs"]
mod auth;
#[path = "httpget/basics.rs"]
mod basics;
#[path = "httpget/charsets.rs"]
mod charsets;
#[path = "httpget/edge_cases.rs"]
mod edge_cases;
#[path = "httpget/faults.rs"]
mod faults;
#[path = "httpget/kit.rs"]
mod kit;
#[path = "httpget/limits.rs"]
mod limits;
#[path = "httpget/many.rs"]
mod many;
#[path = "httpget/output.rs"]
mod output;
#[path = "httpget/part.rs"]
mod part;
#[path = "httpget/planted.rs"]
mod planted;
#[path = "httpget/proxies.rs"]
mod proxies;
#[path = "httpget/race.rs"]
mod race;
#[path = "httpget/redirects.rs"]
mod redirects;
#[path = "httpget/rest.rs"]
mod rest;
#[path = "httpget/retries.rs"]
mod retries;
#[path = "httpget/saving.rs"]
mod saving;
#[path = "httpget/secrets.rs"]
mod secrets;
#[path = "httpget/segments.rs"]
mod segments;
#[path = "httpget/shared.rs"]
mod shared;
#[path = "httpget/terminal.rs"]
mod terminal;
#[path = "httpget/tls.rs"]
mod tls;
#[path = "httpget/wire.rs"]
mod wire;
