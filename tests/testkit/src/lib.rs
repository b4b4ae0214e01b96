//! What the workspace's tests stand on: a process runner with exact
//! assertions, servers and peers that can misbehave on purpose, and network
//! namespaces.
//!
//! Everything here lives on 127.0.0.1, picks free ports, and is taken down
//! when its value is dropped. A helper that cannot do its job panics with the
//! whole story (command, status, both streams), because a test has no better
//! use for an error than to show it.
//!
//! | module | what it gives |
//! |---|---|
//! | [`cmd`] | [`Tool`]: run one program in a clean environment |
//! | [`running`] | [`Running`]: talk to it while it runs |
//! | [`output`] | [`Output`]: what it left, and assertions on that |
//! | [`bins`] | all six tools on one `PATH`, for shell scripts |
//! | [`console`] | the console blocks of a README, run |
//! | [`peer`] | TCP peers, from a plain echo to a reset in the middle |
//! | [`udp`] | the same over UDP |
//! | [`http`] | an HTTP and HTTPS server that answers as it is told |
//! | [`tls`] | a private certificate authority with good and bad leaves |
//! | [`dns`] | a DNS server with a table of records and bad manners on demand |
//! | [`netns`] | networks of namespaces and veth pairs |
//! | [`icmp`] | a host that answers pings as it is told |
//! | [`privilege`] | what this process may do |
//! | [`skipped`] | [`skip`]: say that a test cannot run here |
//! | [`pty`] | a terminal, and what stands on it |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

mod acceptor;
pub mod bins;
pub mod cmd;
mod conn;
pub mod console;
pub mod dns;
pub mod http;
pub mod icmp;
mod memory;
pub mod netns;
pub mod output;
pub mod peer;
pub mod privilege;
pub mod pty;
pub mod running;
pub mod schema;
pub mod skipped;
mod sys;
pub mod tls;
pub mod udp;

pub use cmd::Tool;
pub use output::Output;
pub use running::Running;
pub use skipped::skip;
