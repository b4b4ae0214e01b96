//! The `tcpecho-server` program; see the library for how it works.

use std::process::ExitCode;

fn main() -> ExitCode {
    tcpecho_server::main()
}
