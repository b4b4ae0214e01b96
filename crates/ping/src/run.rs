//! From the command line to the status: sockets, privileges, plan and face put
//! together.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use common::address::Family;
use common::app::Io;
use common::signal::{self, Signals};
use common::{Error, Exit, Kind, Result};

use crate::books::Books;
use crate::cli::Cli;
use crate::clock::Clock;
use crate::config::{Config, Job};
use crate::cookie::Cookies;
use crate::engine::{End, Engine, Line, Sizes};
use crate::event::Observer;
use crate::face::classic::{Classic, Style};
use crate::face::csv::Csv;
use crate::face::graph::Graph;
use crate::face::json::Json;
use crate::face::list::{Lines, List};
use crate::face::metrics::Metrics;
use crate::face::mtu::Mtu;
use crate::feed::{self, Feed, Reading};
use crate::names::Names;
use crate::operand::Operand;
use crate::packet::{HEADER, Template, Version};
use crate::plan::Plan;
use crate::plan::floor::Floor;
use crate::plan::list::{Goal, ListPlan, Pace};
use crate::plan::mtu::MtuPlan;
use crate::plan::steady::{Steady, SteadyPlan};
use crate::privilege;
use crate::socket::{self, IcmpSocket, Route};
use crate::sys;
use crate::tally::{Condition, Tally};
use crate::target::Target;

/// Settled probes remembered, to tell late answers and duplicates: for one
/// target, and for many.
const MEMORY: (usize, usize) = (1 << 16, 1 << 12);

/// Room for IP options and for what a host might add.
const HEADROOM: usize = 60 + 64;

/// Runs the tool.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli, rustix::process::getuid().is_root())?;
    match config.job.clone() {
        Job::One { operand, plan } => one(cli, io, &config, &operand, plan),
        Job::Many {
            goal,
            gap,
            timeout,
            deadline,
        } => many(cli, io, &config, |feed| {
            let (pace, sizes) = (Pace::new(gap), config.sizes);
            let floor = Floor::new(config.floor);
            Box::new(ListPlan::new(
                feed, goal, pace, floor, timeout, deadline, sizes,
            ))
        }),
        Job::Mtu { timeout, deadline } => many(cli, io, &config, |feed| {
            let floor = Floor::new(config.floor);
            Box::new(MtuPlan::new(feed, floor, timeout, deadline))
        }),
    }
}

/// The IP versions that a name or a list may need.
fn versions(family: Family) -> &'static [Version] {
    match family {
        Family::V4 => &[Version::V4],
        Family::V6 => &[Version::V6],
        Family::Any => &[Version::V4, Version::V6],
    }
}

/// Opens what can be opened, beside the first failure; an error only if
/// nothing can.
fn open(
    config: &Config,
    versions: &[Version],
    cookies: &Cookies,
) -> Result<(Vec<Line>, Option<Error>)> {
    let mut lines = Vec::new();
    let mut failed = None;
    for &version in versions {
        let id = cookies.identifier();
        match IcmpSocket::open(version, &config.socket) {
            Ok(socket) => {
                let template = Template::new(version, id, config.data.clone())?;
                lines.push(Line::new(version, socket, id, template));
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if lines.is_empty() => Err(error),
        failed => Ok((lines, failed)),
    }
}

fn engine(config: &Config, clock: Clock, lines: Vec<Line>, books: Books) -> Result<Engine> {
    let catch = Signals::catch(&[signal::SIGINT, signal::SIGTERM, signal::SIGQUIT]);
    let signals = catch.map_err(|e| Error::local(&e))?;
    // Wake when asked to, not up to 50 us later. Where it cannot be set, waits
    // are less exact and nothing else.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let sizes = Sizes {
        batch: config.batch,
        largest: HEADER + config.data.len() + HEADROOM,
    };
    Ok(Engine::new(clock, lines, signals, books, sizes))
}

/// An error if an interface of this name does not exist.
fn check_interface(name: Option<&str>) -> Result<()> {
    match name {
        Some(name) => socket::check_interface(name),
        None => Ok(()),
    }
}

/// The interface that an address is meant on: that of its zone, or of `-I`.
fn scope(operand: &Operand, address: IpAddr, interface: Option<&str>) -> Result<u32> {
    let given = match interface {
        Some(name) if address.is_ipv6() => socket::interface_index(name)?,
        _ => 0,
    };
    match operand {
        Operand::Zoned(address, zone) => {
            feed::index(zone, given).map_err(|error| error.about(format!("{address}%{zone}")))
        }
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

/// The classic face, or records of one target.
fn one(cli: &Cli, io: &mut Io, config: &Config, operand: &Operand, plan: Steady) -> Result<Exit> {
    let text = cli.targets.first().cloned().unwrap_or_default();
    let interface = config.socket.interface.as_deref();
    let cookies = Cookies::default();
    let about = |e: Error| {
        if e.operand().is_some() {
            e
        } else {
            e.about(&text)
        }
    };
    let wanted = match operand {
        Operand::Address(IpAddr::V4(_)) => versions(Family::V4),
        Operand::Address(IpAddr::V6(_)) | Operand::Zoned(..) => versions(Family::V6),
        _ => versions(config.family),
    };
    // Mistakes first: they are the same for those who may not send ICMP.
    check_interface(interface)?;
    let literal = literal(operand);
    let zone = match literal {
        Some(address) => Some(scope(operand, address, interface).map_err(about)?),
        None => None,
    };
    if literal.is_some_and(|address| address.is_ipv4()) {
        feed::fits_v4(config.sizes.max).map_err(about)?;
    }
    // What needs rights, for every family that the name may turn out to have.
    let (mut lines, failed) = open(config, wanted, &cookies).map_err(about)?;
    let routes: Vec<_> = wanted
        .iter()
        .map(|&version| (version, Route::open(version, interface)))
        .collect();
    privilege::drop_all()?;

    let address = if let Some(address) = literal {
        address
    } else {
        let limit = plan.deadline.map_or(Duration::MAX, Duration::from_nanos);
        feed::lookup(&text, config.family, limit)?
    };
    let scope = match zone {
        Some(zone) => zone,
        None => scope(operand, address, interface).map_err(about)?,
    };
    if address.is_ipv4() {
        feed::fits_v4(config.sizes.max).map_err(about)?;
    }
    let label = (text != address.to_string()).then(|| Rc::from(text.as_str()));
    let target = Target::new(label, address, scope);
    let to = match address {
        IpAddr::V4(_) => SocketAddr::new(address, 0),
        IpAddr::V6(v6) => std::net::SocketAddrV6::new(v6, 0, 0, scope).into(),
    };
    lines.retain(|line| line.version() == target.version());
    if let (true, Some(error)) = (lines.is_empty(), failed) {
        return Err(about(error));
    }
    let route = routes
        .into_iter()
        .find(|(version, _)| *version == target.version())
        .map_or_else(
            || Err(std::io::ErrorKind::Unsupported.into()),
            |(_, route)| route.and_then(|route| route.source(to)),
        );
    if let (Err(e), None) = (&route, config.until) {
        let error = no_way(e).about(&text);
        return Err(match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() && scope == 0 => error.hint(format!(
                "a link-local address needs its interface: {address}%IFACE, or add -I IFACE"
            )),
            _ => error,
        });
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
    books.wait = config.wait;
    let id = books.targets.add(target);
    let mut engine = engine(config, clock, lines, books)?;
    // The run began when the clock did, and so does its deadline.
    let mut plan = SteadyPlan::new(plan, id);
    finish(io, clock, &mut engine, &mut plan, face, condition, true)
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

/// The list face, or records of many targets.
fn many(
    cli: &Cli,
    io: &mut Io,
    config: &Config,
    plan: impl FnOnce(Feed) -> Box<dyn Plan>,
) -> Result<Exit> {
    let operands = io.operands(&cli.targets, "a target")?;
    check_interface(config.socket.interface.as_deref())?;
    let scope = match &config.socket.interface {
        Some(name) => socket::interface_index(name)?,
        None => 0,
    };
    let cookies = Cookies::default();
    let reading = Reading {
        family: config.family,
        scope,
        size: config.sizes.max,
        shuffle: cli.shuffle.then(|| cookies.seed()),
    };
    // Mistakes first: they are the same for those who may not send ICMP.
    let mistakes: Vec<Error> = cli
        .targets
        .iter()
        .filter_map(|text| feed::mistake(text, &reading))
        .collect();
    let lines = if !mistakes.is_empty() && mistakes.len() == cli.targets.len() {
        Vec::new()
    } else {
        match open(config, versions(config.family), &cookies) {
            Ok((lines, _)) => lines,
            Err(error) => {
                for mistake in &mistakes {
                    io.fail(mistake)?;
                }
                return Err(error);
            }
        }
    };
    privilege::drop_all()?;

    let feed = Feed::start(operands, reading)?;
    let kind = match config.job {
        _ if cli.alive => Lines::Alive,
        _ if cli.unreachable => Lines::Unreachable,
        Job::Many {
            goal: Goal::Count { .. },
            ..
        } => Lines::Counts,
        _ if cli.quiet => Lines::None,
        _ => Lines::Both,
    };
    let mut list = List::new(kind, config.until, cli.verbose);
    let mut faces = Faces::new(cli, config);
    let face = faces.choose(cli, io, &mut list);

    let clock = Clock::start();
    let mut books = Books::new(cookies, MEMORY.1);
    books.wait = config.wait;
    let mut engine = engine(config, clock, lines, books)?;
    let mut plan = plan(feed);
    let condition = condition(cli, config, None);
    finish(
        io,
        clock,
        &mut engine,
        plan.as_mut(),
        face,
        condition,
        false,
    )
}

/// Whether the round trips are drawn.
fn is_graph(cli: &Cli, io: &Io) -> bool {
    cli.graph && io.terminal.stdout
}

/// The faces that are no lines of text.
#[derive(Debug)]
struct Faces<'a> {
    json: Json,
    csv: Csv,
    metrics: Metrics,
    mtu: Mtu,
    graph: Option<Graph<'a>>,
}

impl<'a> Faces<'a> {
    fn new(cli: &Cli, config: &Config) -> Self {
        Self {
            json: Json::new(cli.quiet, config.sizes.min),
            csv: Csv::new(cli.quiet, config.sizes.min),
            metrics: Metrics::default(),
            mtu: Mtu,
            graph: None,
        }
    }

    /// The face that was asked for; `text` if it was none of these.
    fn choose(&mut self, cli: &Cli, io: &Io, text: &'a mut dyn Observer) -> &mut dyn Observer {
        match () {
            () if cli.mtu => &mut self.mtu,
            () if io.json => &mut self.json,
            () if cli.csv => &mut self.csv,
            () if cli.metrics => &mut self.metrics,
            () if is_graph(cli, io) => self.graph.insert(Graph::new(text)),
            () => text,
        }
    }
}

fn condition(cli: &Cli, config: &Config, answers: Option<u64>) -> Condition {
    match (cli.max_loss, cli.reachable, config.until, answers) {
        (Some(percent), _, _, _) => Condition::MaxLoss(percent),
        (_, Some(least), _, _) => Condition::Reachable(least),
        (_, _, Some(until), _) => Condition::Until(until),
        (_, _, _, Some(count)) => Condition::Answers(count),
        _ => Condition::All,
    }
}

fn finish(
    io: &mut Io,
    clock: Clock,
    engine: &mut Engine,
    plan: &mut dyn Plan,
    face: &mut dyn Observer,
    condition: Condition,
    single: bool,
) -> Result<Exit> {
    let mut tally = Tally::new(face, condition, single);
    let end = engine.run(plan, &mut tally, io)?;
    let now = clock.now();
    engine.books.close(now);
    for id in engine.books.undecided() {
        let Some(target) = engine.books.targets.get_mut(id) else {
            continue;
        };
        target.stats.end_run(now);
        // The time that was given is over: that decides whoever is left.
        if end == End::Deadline && !single {
            target.ended = true;
            tally.ended(io, clock, target)?;
        }
    }
    if end == End::Deadline && !plan.is_complete() {
        tally.unasked();
        io.report
            .line("-w ended the run before every target was asked");
    }
    let drops = engine.dropped();
    tally.finish(io, clock, &engine.books.targets, drops)?;
    Ok(tally.exit())
}
