//! The `subnetcalc` tool: facts of IPv4 and IPv6 networks, lists of their
//! hosts, and work on sets of addresses.
//!
//! [`fuzz`] is public for the fuzz targets; nothing else is.

mod bits;
mod cli;
mod commands;
mod count;
mod facts;
mod fewest;
mod format;
pub mod fuzz;
mod grep;
mod interface;
mod ipset;
mod list;
mod lookup;
mod lossy;
mod members;
mod network;
mod output;
mod parse;
mod plan;
mod prefix;
mod random;
mod reverse;
mod set;
mod source;
mod special;
mod value;

use std::process::ExitCode;

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("subnetcalc", commands::run)
}
