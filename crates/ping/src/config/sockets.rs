//! The options of the sockets, and the address families that they admit.

use std::net::IpAddr;

use common::address::Family;
use common::{Error, Result};

use crate::cli::{Cli, Pmtu};
use crate::socket::SocketOptions;

/// Returns the path MTU discovery mode of broadcast probes, which are never
/// fragmented, as in iputils.
pub(super) fn broadcast_pmtu(pmtu: Option<Pmtu>) -> Result<Pmtu> {
    match pmtu {
        None | Some(Pmtu::Do) => Ok(Pmtu::Do),
        Some(_) => Err(Error::usage(
            "broadcast probes cannot be fragmented; -b allows only '-M do'",
        )),
    }
}

/// Returns the address families of `-4`, `-6` and the source address.
pub(super) fn family(cli: &Cli, source: Option<IpAddr>) -> Result<Family> {
    let requested = cli.family.family();
    match source {
        Some(source) if !requested.admits(&source) => {
            let option = match requested {
                Family::V6 => "-6",
                Family::V4 | Family::Any => "-4",
            };
            let text = format!("-I {source}: not an {requested} address, but {option} is given");
            Err(Error::usage(text))
        }
        Some(IpAddr::V4(_)) => Ok(Family::V4),
        Some(IpAddr::V6(_)) => Ok(Family::V6),
        None => Ok(requested),
    }
}

pub(super) fn socket_options(cli: &Cli) -> Result<SocketOptions> {
    let mut options = SocketOptions {
        ttl: cli.ttl,
        tos: cli.tos,
        mark: cli.mark,
        broadcast: cli.broadcast,
        no_loop: cli.no_loop,
        no_gateway: cli.no_gateway,
        pmtu: cli.pmtudisc,
        ..SocketOptions::default()
    };
    for text in &cli.interface {
        // An address with its zone is both.
        let (address, interface) = match text.parse() {
            Ok(address) => (Some(address), None),
            Err(_) => match text.split_once('%') {
                Some((address, zone)) => (address.parse().ok(), Some(zone)),
                None => (None, Some(text.as_str())),
            },
        };
        // The name of an interface may contain a percent sign.
        let interface = interface.map(|zone| if address.is_some() { zone } else { text });
        if address.is_some() && options.source.is_some()
            || interface.is_some() && options.interface.is_some()
        {
            return Err(Error::usage(
                "-I accepts at most one address and one interface",
            ));
        }
        options.source = options.source.or(address);
        options.interface = options.interface.or(interface.map(str::to_owned));
    }
    Ok(options)
}
