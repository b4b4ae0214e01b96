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
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed helper is a failed test; the panic is its report"
)]

pub mod cmd;
pub mod output;
pub mod running;
mod sys;

pub use cmd::Tool;
pub use output::Output;
pub use running::Running;
