//! Options that cannot be combined, each with the error that says why.

use std::net::IpAddr;

use common::address::Family;
use common::endpoint::Host;
use common::{Error, Result};

use crate::cli::Cli;
use crate::target::Target;

/// Returns the usage error `OPTION WHY` if the option was given.
pub(super) fn reject_if(is_given: bool, option: &str, why: &str) -> Result<()> {
    if is_given {
        return Err(Error::usage(format!("{option} {why}")));
    }
    Ok(())
}

/// Checks the options about the connection and returns the address family.
pub(super) fn check_connection(cli: &Cli, target: &Target) -> Result<Family> {
    let family = cli.family.family();
    if let Target::Unix(_) | Target::Abstract(_) = target {
        let unix_reason = "cannot be used with a unix: target";
        reject_if(cli.udp, "--udp", unix_reason)?;
        reject_if(cli.source.is_some(), "--source", unix_reason)?;
        reject_if(cli.interface.is_some(), "--interface", unix_reason)?;
        reject_if(family == Family::V4, "-4", unix_reason)?;
        reject_if(family == Family::V6, "-6", unix_reason)?;
    }
    if let Target::Inet(endpoint, None) = target
        && let Host::Address(IpAddr::V6(address)) = endpoint.host
        && address.is_unicast_link_local()
        && cli.interface.is_none()
        && cli.source.is_none()
    {
        let why = format!(
            "a link-local address requires an interface; use [{address}%IFACE]:{} or -I IFACE",
            endpoint.port
        );
        return Err(Error::input(target.to_string(), why));
    }
    if let Some(source) = cli.source.filter(|source| !family.admits(&source.ip())) {
        return Err(Error::usage(format!(
            "--source {} is not an {family} address, as -4 or -6 requires",
            source.ip()
        )));
    }
    Ok(family)
}

/// Rejects the options that `--connect-only` has no use for.
pub(super) fn check_connect_only(cli: &Cli, has_message: bool) -> Result<()> {
    let connect_only_reason = "cannot be used with --connect-only, which sends nothing";
    reject_if(has_message, "MESSAGE", connect_only_reason)?;
    reject_if(cli.file.is_some(), "--file", connect_only_reason)?;
    reject_if(cli.hex.is_some(), "--hex", connect_only_reason)?;
    reject_if(cli.expect.is_some(), "--expect", connect_only_reason)?;
    reject_if(cli.no_verify, "--no-verify", connect_only_reason)?;
    reject_if(cli.half_close, "--half-close", connect_only_reason)?;
    reject_if(cli.size.is_some(), "--size", connect_only_reason)?;
    reject_if(
        cli.reconnect,
        "--reconnect",
        "cannot be used with --connect-only, which opens a connection each time",
    )?;
    reject_if(
        cli.udp,
        "--udp",
        "cannot be used with --connect-only: UDP has no handshake",
    )
}

/// Rejects the options that `--bench` has no use for.
pub(super) fn check_bench(cli: &Cli, has_message: bool) -> Result<()> {
    let bench_reason = "cannot be used with --bench, which generates its messages";
    reject_if(has_message, "MESSAGE", bench_reason)?;
    reject_if(cli.file.is_some(), "--file", bench_reason)?;
    reject_if(cli.hex.is_some(), "--hex", bench_reason)?;
    reject_if(cli.expect.is_some(), "--expect", bench_reason)?;
    let verify_reason = "cannot be used with --bench, which verifies every byte";
    reject_if(cli.no_verify, "--no-verify", verify_reason)?;
    let plain_reason = "cannot be used with --bench";
    reject_if(cli.half_close, "--half-close", plain_reason)?;
    reject_if(cli.connect_only, "--connect-only", plain_reason)?;
    reject_if(cli.count.is_some(), "-c", plain_reason)?;
    reject_if(
        cli.interval.is_some(),
        "-i",
        "cannot be used with --bench; use --rate",
    )?;
    reject_if(
        cli.udp,
        "--udp",
        "cannot be used with --bench: a lost datagram would stall its connection; \
         use -c to count losses",
    )?;
    reject_if(
        cli.load.rate.is_some() && cli.load.pipeline.is_some(),
        "--pipeline",
        "cannot be used with --rate, which sends without waiting for echoes",
    )?;
    reject_if(
        cli.reconnect && cli.load.pipeline.is_some(),
        "--pipeline",
        "cannot be used with --reconnect, which sends one message per connection",
    )
}
