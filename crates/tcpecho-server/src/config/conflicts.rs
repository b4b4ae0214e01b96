//! Options that would have no effect, each with the error that says why.

use common::address::Family;
use common::{Error, Result};

use crate::cli::Cli;
use crate::listen::ListenAddr;

/// Returns the usage error `OPTION requires WHAT` if the option was given.
fn require(is_given: bool, option: &str, what: &str) -> Result<()> {
    if is_given {
        return Err(Error::usage(format!("{option} requires {what}")));
    }
    Ok(())
}

/// Rejects options that no operand and no other option has a use for.
/// `inherits` is whether sockets may be inherited, of any kind.
pub(super) fn check(cli: &Cli, addrs: &[(String, ListenAddr)], inherits: bool) -> Result<()> {
    let is_inet = |addr: &ListenAddr| matches!(addr, ListenAddr::Inet(..));
    // Without an operand, the default address has a port.
    if !addrs.is_empty() && !addrs.iter().any(|(_, addr)| is_inet(addr)) {
        let port = "an operand with a port";
        require(cli.port_file.is_some(), "--port-file", port)?;
        require(cli.udp, "--udp", port)?;
        require(cli.sockets.interface.is_some(), "--interface", port)?;
        require(cli.sockets.reuse_port, "--reuse-port", port)?;
        let family = cli.family.family();
        require(family == Family::V4, "-4", port)?;
        require(family == Family::V6, "-6", port)?;
        if !inherits {
            require(cli.limits.max_per_ip.is_some(), "--max-per-ip", port)?;
        }
    }
    if !addrs
        .iter()
        .any(|(_, addr)| matches!(addr, ListenAddr::Unix(_)))
    {
        let path = "a unix:PATH operand";
        require(cli.sockets.mode.is_some(), "--mode", path)?;
    }
    if !cli.udp && !inherits {
        require(cli.broadcast, "--broadcast", "--udp")?;
        require(cli.udp_rate.is_some(), "--udp-rate", "--udp")?;
    }
    let faults = &cli.faults;
    let probabilities = [faults.drop, faults.corrupt, faults.truncate, faults.reset];
    let has_fault = faults.delay.is_some() || probabilities.iter().any(Option::is_some);
    let fault = "a fault, such as --drop";
    require(faults.seed.is_some() && !has_fault, "--seed", fault)
}
