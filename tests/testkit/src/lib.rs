//! Helpers of the workspace's tests: a process runner with exact assertions,
//! servers and peers that can misbehave, and network namespaces.
//!
//! Servers listen on free ports of 127.0.0.1 and stop when their value is
//! dropped. A helper that fails panics with all details (command, status, both
//! streams), since a test can only report an error.
//!
//! | module | contents |
//! |---|---|
//! | [`cmd`] | [`Tool`]: runs one program in a clean environment |
//! | [`running`] | [`Running`]: a started program, to interact with |
//! | [`output`] | [`Output`]: the result of a program, with assertions |
//! | [`bins`] | all six tools on one `PATH`, for shell scripts |
//! | [`console`] | runs the console blocks of a README |
//! | [`peer`] | TCP peers, from a plain echo to a reset in mid-stream |
//! | [`udp`] | UDP peers |
//! | [`http`] | an HTTP and HTTPS server with configurable replies |
//! | [`tls`] | a private certificate authority with valid and invalid certificates |
//! | [`tls_network`] | a TLS peer behind a network that changes bytes |
//! | [`dns`] | a DNS server with a table of records and configurable misbehaviour |
//! | [`netns`] | networks of namespaces and veth pairs |
//! | [`icmp`] | a host with configurable replies to echo requests |
//! | [`privilege`] | the permissions of this process |
//! | [`skipped`] | [`skip`]: reports that a test cannot run here |
//! | [`pty`] | a pseudo-terminal, and the text on its screen |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that fails fails the test, and the panic reports why"
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
pub mod tls_network;
pub mod udp;

pub use cmd::Tool;
pub use output::Output;
pub use running::Running;
pub use skipped::skip;
