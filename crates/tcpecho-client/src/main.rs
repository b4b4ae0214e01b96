//! `tcpecho-client`: see the library half for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    tcpecho_client::main()
}
