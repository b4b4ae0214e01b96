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
    let setup = Setup {
        cli,
        config,
        operand,
        options,
        text: cli.targets.first().map(String::as_str).unwrap_or_default(),
    };
    setup.check_operand()?;
    let cookies = Cookies::default();
    let sockets = open_sockets(config, operand, &cookies);
    let mut sockets = sockets.map_err(|error| setup.with_subject(error))?;
    privilege::drop_all()?;

    let (target, source) = match setup.find_target(&mut sockets) {
        Ok(found) => found,
        Err(SetupError::Rejected(rejected)) => return reject(cli, io, config, &rejected),
        Err(SetupError::Fatal(error)) => return Err(setup.with_subject(error)),
    };
    if target.is_broadcast {
        io.report.raw(b"WARNING: pinging broadcast address\n");
    }
    let mut output = create_output(cli, io, config, || {
        let is_graph = format(cli, io) == Format::Graph;
        Ok(Box::new(setup.classic_format(&target, source, is_graph)?))
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

/// Why a run has no target.
enum SetupError {
    /// The output format reports the operand.
    Rejected(Box<RejectedOperand>),
    /// The run ends with this error.
    Fatal(Error),
}

impl From<Error> for SetupError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl SetupError {
    fn rejected(operand: RejectedOperand) -> Self {
        Self::Rejected(Box::new(operand))
    }
}

/// The inputs of a run, and the steps that lead from them to its target.
struct Setup<'a> {
    cli: &'a Cli,
    config: &'a Config,
    operand: &'a Operand,
    options: PeriodicOptions,
    /// The operand as typed.
    text: &'a str,
}

impl Setup<'_> {
    fn with_subject(&self, error: Error) -> Error {
        match error.subject() {
            Some(_) => error,
            None => error.with_subject(self.text),
        }
    }

    fn interface(&self) -> Option<&str> {
        self.config.socket.interface.as_deref()
    }

    /// Reports mistakes before a missing permission to send ICMP, so that they
    /// are the same for all users.
    fn check_operand(&self) -> Result<()> {
        check_interface(self.interface())?;
        if let Some(address) = literal_address(self.operand) {
            let checked = self.check_address(address);
            checked.map_err(|error| self.with_subject(error))?;
        }
        Ok(())
    }

    /// Checks that the address can be probed, and returns its interface index.
    fn check_address(&self, address: IpAddr) -> Result<u32> {
        let scope = scope(self.operand, address, self.interface())?;
        if address.is_ipv4() {
            operands::check_ipv4_size(self.config.sizes.max)?;
        }
        Ok(scope)
    }

    /// Returns the target, and the source address that routing chooses for it.
    /// A run that waits for the target to be up may have none yet. Keeps only
    /// the channel of the target's IP version.
    fn find_target(
        &self,
        sockets: &mut OpenedSockets,
    ) -> std::result::Result<(Target, Option<IpAddr>), SetupError> {
        let address = resolve(self.text, self.operand, self.config, self.options.deadline)
            .map_err(|error| SetupError::rejected(RejectedOperand::new(error)))?;
        let scope = self.check_address(address)?;
        let typed = (self.text != address.to_string()).then(|| Rc::from(self.text));
        let mut target = Target::new(typed, address, scope);
        let channels = &mut sockets.channels;
        channels.retain(|channel| channel.version() == target.version());
        if let (true, Some(error)) = (channels.is_empty(), sockets.error.take()) {
            return Err(error.into());
        }
        let routes = std::mem::take(&mut sockets.routes);
        let source = find_source(routes, &mut target, self.cli.broadcast, self.interface());
        if target.is_group() {
            let is_root = self.config.min_interval == 0;
            config::check_group_interval(&self.options, is_root)?;
        }
        match source {
            Err(e) if self.config.wait_for.is_none() => {
                Err(SetupError::rejected(RejectedOperand {
                    error: explain_route_error(&e, &target).with_subject(self.text),
                    address: Some(address),
                }))
            }
            source => Ok((target, source.ok())),
        }
    }

    /// Creates the classic format. `source` is the source address that routing
    /// chooses.
    fn classic_format(
        &self,
        target: &Target,
        source: Option<IpAddr>,
        is_graph: bool,
    ) -> Result<Classic> {
        let (cli, config) = (self.cli, self.config);
        let has_names = !cli.numeric && matches!(self.operand, Operand::Name(_));
        let mut names = ReverseDns::new(has_names)?;
        names.request(target.address);
        let source = config.socket.source.or(source);
        let from =
            source
                .filter(|_| !cli.interface.is_empty())
                .map(|source| match self.interface() {
                    Some(interface) => format!("{source} {interface}"),
                    // iputils also prints the space of the missing interface.
                    None => format!("{source} "),
                });
        let options = ClassicOptions {
            quiet: cli.quiet || is_graph,
            verbose: cli.verbose,
            percentiles: cli.verbose || cli.percentiles,
            timestamps: cli.timestamps,
            audible: cli.audible,
            precise: cli.precise,
            flood: cli.flood,
            has_pace: cli.flood || cli.adaptive || self.options.interval == 0,
            pattern: cli.pattern.as_ref().map(|pattern| {
                let digits = pattern.0.iter().map(|byte| format!("{byte:02x}"));
                digits.collect()
            }),
            size: config.sizes.max,
            from,
            zone: sys::interface_name(target.scope),
        };
        Ok(Classic::new(options, names))
    }
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
