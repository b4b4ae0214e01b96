//! One target: the classic face, or its records.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use common::address::Family;
use common::app::Io;
use common::{Error, Exit, Kind, Result};

use super::{
    Faces, MEMORY, check_interface, condition, engine, finish, is_graph, open, refused, versions,
};
use crate::books::Books;
use crate::cli::Cli;
use crate::clock::{Clock, Nanos};
use crate::config::{self, Config};
use crate::cookie::Cookies;
use crate::engine::Line;
use crate::event::Refusal;
use crate::face::classic::{Classic, Style};
use crate::names::Names;
use crate::operand::{self, Operand};
use crate::packet::Version;
use crate::plan::Until;
use crate::plan::steady::{Steady, SteadyPlan};
use crate::privilege;
use crate::socket::{self, Route};
use crate::target::Target;
use crate::{feed, lookup, sys};

/// The interface that an address is meant on: that of its zone, or of `-I`.
fn scope(operand: &Operand, address: IpAddr, interface: Option<&str>) -> Result<u32> {
    let given = match interface {
        Some(name) if address.is_ipv6() => socket::interface_index(name)?,
        _ => 0,
    };
    match operand {
        Operand::Zoned(address, zone) => feed::index(zone, given)
            .map_err(|error| error.with_subject(format!("{address}%{zone}"))),
        _ => Ok(given),
    }
}

/// Why there is no source address for a target. That this system has none of
/// its family, or no way to it, is no mistake of the user's.
fn no_way(error: &std::io::Error) -> Error {
    let plain = Error::network(error);
    let absent = [Some(libc::EADDRNOTAVAIL), Some(libc::EAFNOSUPPORT)];
    if absent.contains(&error.raw_os_error()) || error.kind() == std::io::ErrorKind::Unsupported {
        return Error::new(Kind::Unreachable, plain.message());
    }
    plain
}

/// Sockets that need privileges, opened before these are dropped.
struct Opened {
    lines: Vec<Line>,
    /// The error of the family that has no line.
    failed: Option<Error>,
    routes: Vec<(Version, std::io::Result<Route>)>,
}

/// The classic face, or records of one target.
pub(super) fn one(
    cli: &Cli,
    io: &mut Io,
    config: &Config,
    operand: &Operand,
    plan: Steady,
) -> Result<Exit> {
    let text = cli.targets.first().map(String::as_str).unwrap_or_default();
    let interface = config.socket.interface.as_deref();
    let about = |e: Error| {
        if e.operand().is_some() {
            e
        } else {
            e.with_subject(text)
        }
    };
    // Mistakes first: they are the same for those who may not send ICMP.
    check_interface(interface)?;
    let literal = literal(operand);
    if let Some(address) = literal {
        scope(operand, address, interface).map_err(about)?;
        if address.is_ipv4() {
            feed::fits_v4(config.sizes.max).map_err(about)?;
        }
    }
    let cookies = Cookies::default();
    let mut opened = open_all(config, operand, &cookies).map_err(about)?;
    privilege::drop_all()?;

    let address = match address(text, operand, config, plan.deadline) {
        Ok(address) => address,
        Err(error) => return refused(cli, io, config, &Refusal::new(error)),
    };
    let scope = scope(operand, address, interface).map_err(about)?;
    if address.is_ipv4() {
        feed::fits_v4(config.sizes.max).map_err(about)?;
    }
    let label = (text != address.to_string()).then(|| Rc::from(text));
    let mut target = Target::new(label, address, scope);
    opened
        .lines
        .retain(|line| line.version() == target.version());
    if let (true, Some(error)) = (opened.lines.is_empty(), opened.failed) {
        return Err(about(error));
    }
    let route = route(opened.routes, &mut target, cli.broadcast, interface);
    if target.is_group() {
        config::check_group(&plan, config.floor == 0).map_err(about)?;
    }
    if let (Err(e), None) = (&route, config.until) {
        let refusal = Refusal {
            error: unreachable(e, &target).with_subject(text),
            address: Some(address),
        };
        return refused(cli, io, config, &refusal);
    }
    if target.is_broadcast {
        io.report.raw(b"WARNING: pinging broadcast address\n");
    }

    let source = config.socket.source.or(route.ok());
    let from = source
        .filter(|_| !cli.interface.is_empty())
        .map(|source| match interface {
            Some(interface) => format!("{source} {interface}"),
            // As iputils has it, with the place of the interface left empty.
            None => format!("{source} "),
        });
    let mut names = Names::new(!cli.numeric && matches!(operand, Operand::Name(_)) && !io.json)?;
    names.ask(address);
    let style = style(cli, config, &plan, is_graph(cli, io), from, scope);
    let mut classic = Classic::new(style, names);
    let mut faces = Faces::new(cli, config);
    let face = faces.choose(cli, io, &mut classic);
    let condition = condition(cli, config, plan.deadline.and(plan.count));

    let clock = Clock::start();
    let mut books = Books::new(cookies, MEMORY.0);
    books.rules = config.rules;
    let id = books.targets.add(target);
    let mut engine = engine(config, clock, opened.lines, books)?;
    // The run began when the clock did, and so does its deadline.
    let mut plan = SteadyPlan::new(plan, id);
    finish(io, clock, &mut engine, &mut plan, face, condition, true)
}

/// Opens sockets for every family that the operand may have.
fn open_all(config: &Config, operand: &Operand, cookies: &Cookies) -> Result<Opened> {
    let wanted = match operand {
        Operand::Address(IpAddr::V4(_)) => versions(Family::V4),
        Operand::Address(IpAddr::V6(_)) | Operand::Zoned(..) => versions(Family::V6),
        _ => versions(config.family),
    };
    let interface = config.socket.interface.as_deref();
    let (lines, failed) = open(config, wanted, cookies)?;
    let routes = wanted
        .iter()
        .map(|&version| (version, Route::open(version, interface)))
        .collect();
    Ok(Opened {
        lines,
        failed,
        routes,
    })
}

/// The address of the operand; a name is looked up, within the deadline.
fn address(
    text: &str,
    operand: &Operand,
    config: &Config,
    deadline: Option<Nanos>,
) -> Result<IpAddr> {
    let Operand::Name(name) = operand else {
        let error = || Error::usage("not a single target");
        return literal(operand).ok_or_else(error);
    };
    let limit = deadline.map_or(Duration::MAX, Duration::from_nanos);
    let found = if config.until == Some(Until::Up) {
        lookup::addresses_patiently(text, name, config.family, limit)
    } else {
        lookup::addresses(text, name, config.family, limit)
    };
    let none = || Error::new(Kind::Name, "no address").with_subject(text);
    found?.first().copied().ok_or_else(none)
}

/// The source address that routing chooses for a target. Where it says that
/// this is a broadcast address, and that is permitted, the target becomes one.
fn route(
    routes: Vec<(Version, std::io::Result<Route>)>,
    target: &mut Target,
    broadcast: bool,
    interface: Option<&str>,
) -> std::io::Result<IpAddr> {
    let to = match target.address {
        IpAddr::V4(_) => SocketAddr::new(target.address, 0),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, target.scope).into(),
    };
    let found = routes
        .into_iter()
        .find(|(version, _)| *version == target.version())
        .map_or_else(
            || Err(std::io::ErrorKind::Unsupported.into()),
            |(_, route)| route.and_then(|route| route.source(to)),
        );
    match found {
        Err(e) if broadcast && e.raw_os_error() == Some(libc::EACCES) => {
            target.is_broadcast = true;
            Route::open(target.version(), interface).and_then(|route| route.broadcast_source(to))
        }
        found => found,
    }
}

/// Why routing has no source address for a target, and what to do.
fn unreachable(e: &std::io::Error, target: &Target) -> Error {
    let address = target.address;
    let error = no_way(e);
    match address {
        IpAddr::V6(v6) if operand::has_scope(v6) && target.scope == 0 => error.hint(format!(
            "a link-local address needs its interface: {address}%IFACE, or add -I IFACE"
        )),
        IpAddr::V4(_) if e.raw_os_error() == Some(libc::EACCES) => {
            error.hint("a broadcast address needs -b")
        }
        _ => error,
    }
}

/// The address of an operand that is not a name.
fn literal(operand: &Operand) -> Option<IpAddr> {
    match operand {
        Operand::Address(address) => Some(*address),
        Operand::Zoned(address, _) => Some((*address).into()),
        Operand::Name(_) | Operand::Range(_) => None,
    }
}

/// The options of the classic face. `from` is the source address and interface
/// of the header.
fn style(
    cli: &Cli,
    config: &Config,
    plan: &Steady,
    is_graph: bool,
    from: Option<String>,
    scope: u32,
) -> Style {
    Style {
        quiet: cli.quiet || is_graph,
        verbose: cli.verbose,
        percentiles: cli.verbose || cli.percentiles,
        stamped: cli.timestamps,
        audible: cli.audible,
        precise: cli.precise,
        flood: cli.flood,
        paced: cli.flood || cli.adaptive || plan.interval == 0,
        pattern: cli.pattern.as_ref().map(|pattern| {
            let digits = pattern.0.iter().map(|byte| format!("{byte:02x}"));
            digits.collect()
        }),
        size: config.sizes.max,
        from,
        zone: sys::interface_name(scope),
    }
}
