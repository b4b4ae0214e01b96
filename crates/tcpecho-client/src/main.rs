//! The `tcpecho-client` binary; the library crate contains the tool.

use std::process::ExitCode;

fn main() -> ExitCode {
    tcpecho_client::main()
}
