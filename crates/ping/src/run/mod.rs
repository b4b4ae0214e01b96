//! From the command line to the status: sockets, privileges, plan and face put
//! together.

use std::num::NonZeroU64;

use common::address::Family;
use common::app::Io;
use common::signal::{self, Signals};
use common::{Error, Exit, Result};

use crate::books::Books;
use crate::cli::Cli;
use crate::clock::Clock;
use crate::config::{self, Config, Job};
use crate::cookie::Cookies;
use crate::engine::{End, Engine, Line, Sizes};
use crate::event::{Observer, Refusal};
use crate::face::csv::Csv;
use crate::face::graph::Graph;
use crate::face::json::{Json, Selection};
use crate::face::list::{Lines, List};
use crate::face::metrics::Metrics;
use crate::face::mtu::Mtu;
use crate::face::watch::Watch;
use crate::feed::{self, Feed, Reading};
use crate::packet::{HEADER, Template, Version};
use crate::plan::floor::Floor;
use crate::plan::list::{Goal, ListPlan, Pace};
use crate::plan::mtu::MtuPlan;
use crate::plan::{Plan, Until};
use crate::privilege;
use crate::socket::{self, IcmpSocket};
use crate::tally::{Condition, Tally};
use crate::target::Targets;

mod single;

/// Settled probes remembered, to tell late answers and duplicates: for one
/// target, and for many.
const MEMORY: (usize, usize) = (1 << 16, 1 << 12);

/// Room for IP options and for what a host might add.
const HEADROOM: usize = 60 + 64;

/// Runs the tool.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli, rustix::process::getuid().is_root())?;
    match config.job.clone() {
        Job::One { operand, plan } => single::one(cli, io, &config, &operand, plan),
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

/// The list face, or records of many targets.
fn many(
    cli: &Cli,
    io: &mut Io,
    config: &Config,
    plan: impl FnOnce(Feed) -> Box<dyn Plan>,
) -> Result<Exit> {
    let operands = io.operands(&cli.targets, "a target")?.with_files();
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
        all_addresses: cli.all_addresses,
        patient: config.until == Some(Until::Up),
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
        _ if cli.watch.is_some() => Lines::Totals,
        _ if cli.quiet => Lines::None,
        _ => Lines::Both,
    };
    let mut list = List::new(kind, config.until, cli.verbose, cli.all_addresses);
    let mut faces = Faces::new(cli, config);
    let face = faces.choose(cli, io, &mut list);
    let mut watch;
    let face = match cli.watch {
        Some(interval) => {
            watch = Watch::new(face, config::nanos(interval));
            &mut watch
        }
        None => face,
    };

    let clock = Clock::start();
    let mut books = Books::new(cookies, MEMORY.1);
    books.rules = config.rules;
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

/// A run that ends before its first probe, told by the face that was asked for.
fn refused(cli: &Cli, io: &mut Io, config: &Config, refusal: &Refusal) -> Result<Exit> {
    let mut list = List::new(Lines::None, None, false, false);
    let mut faces = Faces::new(cli, config);
    let face = faces.choose(cli, io, &mut list);
    let clock = Clock::start();
    face.refused(io, clock, refusal)?;
    face.finish(io, clock, &Targets::default(), 0)?;
    Ok(refusal.error.exit())
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
    single: bool,
}

impl<'a> Faces<'a> {
    fn new(cli: &Cli, config: &Config) -> Self {
        let selection = Selection {
            quiet: cli.quiet,
            answered: (cli.alive || cli.unreachable).then_some(cli.alive),
        };
        Self {
            json: Json::new(selection, config.sizes.min),
            csv: Csv::new(selection, config.sizes.min),
            metrics: Metrics::default(),
            mtu: Mtu,
            graph: None,
            single: matches!(config.job, Job::One { .. }),
        }
    }

    /// The face that was asked for; `text` if it was none of these.
    fn choose(&mut self, cli: &Cli, io: &Io, text: &'a mut dyn Observer) -> &mut dyn Observer {
        match () {
            () if cli.mtu => &mut self.mtu,
            () if io.json => &mut self.json,
            () if cli.csv => &mut self.csv,
            () if cli.metrics => &mut self.metrics,
            () if is_graph(cli, io) => self.graph.insert(Graph::new(text, self.single)),
            () => text,
        }
    }
}

fn condition(cli: &Cli, config: &Config, answers: Option<u64>) -> Condition {
    match (cli.max_loss, cli.reachable, config.until, answers) {
        _ if cli.mtu => Condition::Mtu,
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
    if end == End::Deadline {
        for error in plan.unresolved() {
            tally.refused(io, clock, &Refusal::new(error))?;
        }
    }
    if end == End::Deadline && !plan.is_complete() {
        tally.unasked();
        io.report
            .line("-w ended the run before every target was asked");
    }
    let drops = engine.dropped();
    tally.finish(io, clock, &engine.books.targets, drops)?;
    if let Some(lag) = plan.lag() {
        io.report.line(format_args!(
            "the period was not kept: probes went out {} ms late on average",
            lag / 1_000_000
        ));
    }
    if end == End::Done && tally.is_empty() && io.report.worst() == Exit::Yes {
        io.report.line("the list is empty");
        return Ok(Exit::No);
    }
    Ok(tally.exit())
}
