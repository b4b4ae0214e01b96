//! The `subnetcalc` program. The library has all of its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    subnetcalc::main()
}
