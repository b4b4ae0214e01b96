//! The `ping` binary; the library of this crate does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    ping::main()
}
