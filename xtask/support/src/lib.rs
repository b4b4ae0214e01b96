//! The code that `xtask` and the programs below it, `bench`, `interop` and `pictures`,
//! share.
//!
//! - [`exec`]: runs other programs, with a timeout or in the background.
//! - [`workspace`]: the root directory, cargo and the built tools.
//! - [`ports`], [`nginx`], [`nameservers`]: real servers on loopback.
//! - [`random`]: pseudo-random numbers that are the same in every run.
//!
//! An error is a message for the user, as a string.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task prints its results"
)]
#![allow(
    clippy::format_push_string,
    reason = "a few more allocations do not matter for a task"
)]

pub mod exec;
pub mod nameservers;
pub mod nginx;
pub mod ports;
pub mod random;
pub mod workspace;

use std::process::ExitCode;

/// The result of a task; the error is a message for the user.
pub type TaskResult<T = ()> = Result<T, String>;

/// Prints the error of a task, if there is one, with the name of the program, and
/// returns the exit status of the process.
pub fn exit_code(program: &str, outcome: TaskResult) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{program}: {message}");
            ExitCode::FAILURE
        }
    }
}
