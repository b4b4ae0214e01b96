//! The `httpget` program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    httpget::main()
}
