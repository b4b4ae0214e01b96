//! A run of one target, in the classic format or as records.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use common::address::Family;
use common::app::Io;
use common::{Error, Exit, Kind, Result};

use super::{
    check_interface, condition, create_output, format, new_engine, open_channels, reject,
    run_engine, versions,
};
use crate::cli::Cli;
use crate::clock::{Clock, Nanos};
use crate::config::{self, Config};
use crate::cookie::Cookies;
use crate::engine::Channel;
use crate::event::RejectedOperand;
use crate::operand::{self, Operand};
use crate::output::classic::{Classic, ClassicOptions};
use crate::output::{BROADCAST_HINT, Format};
use crate::packet::IpVersion;
use crate::privilege;
use crate::reverse_dns::ReverseDns;
use crate::schedule::WaitFor;
use crate::schedule::periodic::{PeriodicOptions, PeriodicSchedule};
use crate::socket::{self, RouteLookup};
use crate::source::{lookup, operands};
use crate::sys;
use crate::target::Target;
use crate::tracker::ProbeTracker;

/// The number of settled probes to remember, so that late and duplicate replies
/// are recognised.
const RETAINED: usize = 1 << 16;

/// Probes one target until its schedule is done.
pub(super) fn run(
    cli: &Cli,
    io: &mut Io,
    config: &Config,
    operand: &Operand,
    options: PeriodicOptions,
) -> Result<Exit> {
    let text = cli.targets.first().map(String::as_str).unwrap_or_default();
    let interface = config.socket.interface.as_deref();
    let with_subject = |error: Error| match error.operand() {
        Some(_) => error,
        None => error.with_subject(text),
    };
    // Mistakes come before a missing permission to send ICMP, so that they are
    // the same for all users.
    check_interface(interface)?;
    if let Some(address) = literal_address(operand) {
        scope(operand, address, interface).map_err(with_subject)?;
        if address.is_ipv4() {
            operands::check_ipv4_size(config.sizes.max).map_err(with_subject)?;
        }
    }
    let cookies = Cookies::default();
    let mut sockets = open_sockets(config, operand, &cookies).map_err(with_subject)?;
    privilege::drop_all()?;

    let address = match resolve(text, operand, config, options.deadline) {
        Ok(address) => address,
        Err(error) => return reject(cli, io, config, &RejectedOperand::new(error)),
    };
    let scope = scope(operand, address, interface).map_err(with_subject)?;
    if address.is_ipv4() {
        operands::check_ipv4_size(config.sizes.max).map_err(with_subject)?;
    }
    let typed = (text != address.to_string()).then(|| Rc::from(text));
    let mut target = Target::new(typed, address, scope);
    sockets
        .channels
        .retain(|channel| channel.version() == target.version());
    if let (true, Some(error)) = (sockets.channels.is_empty(), sockets.error) {
        return Err(with_subject(error));
    }
    let source = find_source(sockets.routes, &mut target, cli.broadcast, interface);
    if target.is_group() {
        let is_root = config.min_interval == 0;
        config::check_group_interval(&options, is_root).map_err(with_subject)?;
    }
    if let (Err(e), None) = (&source, config.wait_for) {
        let rejected = RejectedOperand {
            error: explain_route_error(e, &target).with_subject(text),
            address: Some(address),
        };
        return reject(cli, io, config, &rejected);
    }
    if target.is_broadcast {
        io.report.raw(b"WARNING: pinging broadcast address\n");
    }

    let source = config.socket.source.or(source.ok());
    let from = source
        .filter(|_| !cli.interface.is_empty())
        .map(|source| match interface {
            Some(interface) => format!("{source} {interface}"),
            // iputils also prints the space of the missing interface.
            None => format!("{source} "),
        });
    let mut output = create_output(cli, io, config, || {
        let has_names = !cli.numeric && matches!(operand, Operand::Name(_));
        let mut names = ReverseDns::new(has_names)?;
        names.request(address);
        let is_graph = format(cli, io) == Format::Graph;
        let format = classic_options(cli, config, &options, is_graph, from, scope);
        Ok(Box::new(Classic::new(format, names)))
    })?;
    let condition = condition(cli, config, options.deadline.and(options.count));

    let clock = Clock::start();
    let mut tracker = ProbeTracker::new(cookies, RETAINED);
    tracker.rules = config.rules;
    let id = tracker.targets.add(target);
    let mut engine = new_engine(config, clock, sockets.channels, tracker)?;
    let mut schedule = PeriodicSchedule::new(options, id);
    run_engine(
        io,
        clock,
        &mut engine,
        &mut schedule,
        output.as_mut(),
        condition,
        true,
    )
}

/// Returns the interface index of an address, from its zone or from `-I`, or 0
/// without either.
fn scope(operand: &Operand, address: IpAddr, interface: Option<&str>) -> Result<u32> {
    let given = match interface {
        Some(name) if address.is_ipv6() => socket::interface_index(name)?,
        _ => 0,
    };
    match operand {
        Operand::Zoned(address, zone) => operands::zone_index(zone, given)
            .map_err(|error| error.with_subject(format!("{address}%{zone}"))),
        _ => Ok(given),
    }
}

/// The sockets that need privileges, opened before these are dropped.
struct OpenedSockets {
    channels: Vec<Channel>,
    /// The error of the IP version that has no channel.
    error: Option<Error>,
    routes: Vec<(IpVersion, io::Result<RouteLookup>)>,
}

/// Opens sockets for every IP version that the operand may have.
fn open_sockets(config: &Config, operand: &Operand, cookies: &Cookies) -> Result<OpenedSockets> {
    let versions = match operand {
        Operand::Address(IpAddr::V4(_)) => versions(Family::V4),
        Operand::Address(IpAddr::V6(_)) | Operand::Zoned(..) => versions(Family::V6),
        _ => versions(config.family),
    };
    let interface = config.socket.interface.as_deref();
    let (channels, error) = open_channels(config, versions, cookies)?;
    let routes = versions
        .iter()
        .map(|&version| (version, RouteLookup::open(version, interface)))
        .collect();
    Ok(OpenedSockets {
        channels,
        error,
        routes,
    })
}

/// Returns the address of the operand. A name is looked up within the deadline.
fn resolve(
    text: &str,
    operand: &Operand,
    config: &Config,
    deadline: Option<Nanos>,
) -> Result<IpAddr> {
    let Operand::Name(name) = operand else {
        let error = || Error::usage("not a single target");
        return literal_address(operand).ok_or_else(error);
    };
    let limit = deadline.map_or(Duration::MAX, Duration::from_nanos);
    let addresses = if config.wait_for == Some(WaitFor::Up) {
        lookup::resolve_with_retries(text, name, config.family, limit)
    } else {
        lookup::resolve(text, name, config.family, limit)
    };
    let no_address = || Error::new(Kind::Name, "no address").with_subject(text);
    addresses?.first().copied().ok_or_else(no_address)
}

/// Returns the source address that routing chooses for a target. If the target is
/// a broadcast address and `-b` permits that, marks it as one.
fn find_source(
    routes: Vec<(IpVersion, io::Result<RouteLookup>)>,
    target: &mut Target,
    broadcast: bool,
    interface: Option<&str>,
) -> io::Result<IpAddr> {
    let to = match target.address {
        IpAddr::V4(_) => SocketAddr::new(target.address, 0),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, target.scope).into(),
    };
    let source = routes
        .into_iter()
        .find(|(version, _)| *version == target.version())
        .map_or_else(
            || Err(io::ErrorKind::Unsupported.into()),
            |(_, route)| route.and_then(|route| route.source(to)),
        );
    match source {
        Err(e) if broadcast && e.raw_os_error() == Some(libc::EACCES) => {
            target.is_broadcast = true;
            RouteLookup::open(target.version(), interface)
                .and_then(|route| route.broadcast_source(to))
        }
        source => source,
    }
}

/// Explains why routing has no source address for a target, and what to do.
fn explain_route_error(e: &io::Error, target: &Target) -> Error {
    let error = route_error(e);
    match target.address {
        IpAddr::V6(v6) if operand::is_scoped(v6) && target.scope == 0 => {
            let message = "a link-local or multicast address requires an interface";
            Error::new(error.kind(), message).hint(format!("use {v6}%IFACE or -I IFACE"))
        }
        IpAddr::V4(_) if e.raw_os_error() == Some(libc::EACCES) => error.hint(BROADCAST_HINT),
        _ => error,
    }
}

/// Converts the error of a route. It is not the user's mistake if this system has
/// no address of the family or no route to the target.
fn route_error(e: &io::Error) -> Error {
    let error = Error::network(e);
    let is_missing_family = matches!(
        e.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
    );
    if is_missing_family || e.kind() == io::ErrorKind::Unsupported {
        return Error::new(Kind::Unreachable, error.message());
    }
    error
}

/// Returns the address of an operand that is not a name.
fn literal_address(operand: &Operand) -> Option<IpAddr> {
    match operand {
        Operand::Address(address) => Some(*address),
        Operand::Zoned(address, _) => Some((*address).into()),
        Operand::Name(_) | Operand::Range(_) => None,
    }
}

/// Returns the options of the classic format. `from` is the source address and
/// interface in its header.
fn classic_options(
    cli: &Cli,
    config: &Config,
    options: &PeriodicOptions,
    is_graph: bool,
    from: Option<String>,
    scope: u32,
) -> ClassicOptions {
    ClassicOptions {
        quiet: cli.quiet || is_graph,
        verbose: cli.verbose,
        percentiles: cli.verbose || cli.percentiles,
        timestamps: cli.timestamps,
        audible: cli.audible,
        precise: cli.precise,
        flood: cli.flood,
        has_pace: cli.flood || cli.adaptive || options.interval == 0,
        pattern: cli.pattern.as_ref().map(|pattern| {
            let digits = pattern.0.iter().map(|byte| format!("{byte:02x}"));
            digits.collect()
        }),
        size: config.sizes.max,
        from,
        zone: sys::interface_name(scope),
    }
}
