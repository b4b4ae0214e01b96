//! The binary of `resolve`; the library contains the implementation.

use std::process::ExitCode;

fn main() -> ExitCode {
    resolve::main()
}
