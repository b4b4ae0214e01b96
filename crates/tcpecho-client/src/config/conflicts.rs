//! Options that cannot be combined, each with the error that says why.

use common::address::Family;
use common::{Error, Result};

use crate::cli::Cli;
use crate::target::Target;

/// Returns the usage error `OPTION WHY` if the option was given.
pub(super) fn refuse(given: bool, option: &str, why: &str) -> Result<()> {
    if given {
        return Err(Error::usage(format!("{option} {why}")));
    }
    Ok(())
}

/// Checks the options about the connection and returns the address family.
pub(super) fn check_connection(cli: &Cli, target: &Target) -> Result<Family> {
    let family = cli.family.family();
    if let Target::Unix(_) | Target::Abstract(_) = target {
        let no_ip = "cannot be used with a unix: target";
        refuse(cli.udp, "--udp", no_ip)?;
        refuse(cli.source.is_some(), "--source", no_ip)?;
        refuse(cli.interface.is_some(), "--interface", no_ip)?;
        refuse(family == Family::V4, "-4", no_ip)?;
        refuse(family == Family::V6, "-6", no_ip)?;
    }
    if let Some(source) = cli.source.filter(|source| !family.admits(&source.ip())) {
        return Err(Error::usage(format!(
            "--source {} is not an {family} address",
            source.ip()
        )));
    }
    Ok(family)
}

/// Refuses the options that `--connect-only` has no use for.
pub(super) fn check_connect_only(cli: &Cli, message: bool) -> Result<()> {
    let sends = "cannot be used with --connect-only, which sends nothing";
    refuse(message, "MESSAGE", sends)?;
    refuse(cli.file.is_some(), "--file", sends)?;
    refuse(cli.hex.is_some(), "--hex", sends)?;
    refuse(cli.expect.is_some(), "--expect", sends)?;
    refuse(cli.no_verify, "--no-verify", sends)?;
    refuse(cli.half_close, "--half-close", sends)?;
    refuse(cli.size.is_some(), "--size", sends)?;
    refuse(
        cli.udp,
        "--udp",
        "cannot be used with --connect-only: UDP has no handshake",
    )
}

/// Refuses the options that `--bench` has no use for.
pub(super) fn check_bench(cli: &Cli, message: bool) -> Result<()> {
    let generates = "cannot be used with --bench, which generates its messages";
    refuse(message, "MESSAGE", generates)?;
    refuse(cli.file.is_some(), "--file", generates)?;
    refuse(cli.hex.is_some(), "--hex", generates)?;
    refuse(cli.expect.is_some(), "--expect", generates)?;
    let verifies = "cannot be used with --bench, which verifies every byte";
    refuse(cli.no_verify, "--no-verify", verifies)?;
    let not = "cannot be used with --bench";
    refuse(cli.half_close, "--half-close", not)?;
    refuse(cli.connect_only, "--connect-only", not)?;
    refuse(cli.count.is_some(), "-c", not)?;
    refuse(
        cli.interval.is_some(),
        "-i",
        "cannot be used with --bench; use --rate",
    )?;
    refuse(
        cli.udp,
        "--udp",
        "cannot be used with --bench: a lost datagram would stall its connection; \
         -c and -i count losses",
    )?;
    refuse(
        cli.load.rate.is_some() && cli.load.pipeline.is_some(),
        "--pipeline",
        "cannot be used with --rate, which sends without waiting for echoes",
    )?;
    refuse(
        cli.reconnect && cli.load.pipeline.is_some(),
        "--pipeline",
        "cannot be used with --reconnect, which sends one message per connection",
    )
}
