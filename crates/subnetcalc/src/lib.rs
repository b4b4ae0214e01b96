//! `subnetcalc`, an IPv4 and IPv6 subnet calculator: details of networks, lists of
//! their addresses, operations on sets of addresses, and searches by address.
//!
//! Only [`main`] and, for the fuzz targets, [`fuzz`] are public.

mod address_writer;
mod approximate;
mod bits;
mod cli;
mod commands;
mod count;
mod embedded;
mod eui64;
mod format;
pub mod fuzz;
mod grep;
mod input;
mod interval;
mod ipset;
mod lookup;
mod mask;
mod members;
mod multicast;
mod network_info;
mod operand;
mod output;
mod parse;
mod plan;
mod prefix;
mod random;
mod reverse;
mod set;
mod special;
mod value;

use std::process::ExitCode;

/// Runs the tool with the arguments of the process.
pub fn main() -> ExitCode {
    common::app::run::<cli::Cli>("subnetcalc", commands::run)
}
