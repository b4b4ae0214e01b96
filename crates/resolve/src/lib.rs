//! The `resolve` tool.

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
