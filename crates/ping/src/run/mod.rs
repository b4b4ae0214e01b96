//! A run of the tool, from the command line to the exit status: opens the
//! sockets, drops privileges, chooses the schedule and the output format, and
//! runs the engine. This file has the parts that are common to a run of one
//! target ([`single`]) and of a list ([`list`]).

mod list;
mod single;

use common::address::Family;
use common::app::Io;
use common::{Error, Exit, Result};
use net::signal::{self, Signals};

use crate::cli::Cli;
use crate::clock::Clock;
use crate::config::{Config, RunMode};
use crate::cookie::Cookies;
use crate::engine::{BufferSizes, Channel, Engine, StopReason};
use crate::event::{Observer, RejectedOperand};
use crate::exit_status::{Condition, ExitTracker};
use crate::output::list::{List, ListLines};
use crate::output::record_stream::{Selection, Summaries};
use crate::output::{self, Format, FormatOptions};
use crate::packet::{HEADER, IpVersion, Template};
use crate::platform;
use crate::schedule::Schedule;
use crate::schedule::min_interval::MinInterval;
use crate::schedule::mtu::MtuSchedule;
use crate::schedule::sweep::{Pacer, SweepSchedule};
use crate::socket::{self, IcmpSocket};
use crate::target::Targets;
use crate::tracker::ProbeTracker;

/// Room for IP options and for data that a host might add, in bytes.
const HEADROOM: usize = 60 + 64;

/// Runs the tool and returns its exit status.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli, rustix::process::getuid().is_root())?;
    let min_interval = MinInterval::new(config.min_interval);
    match config.mode.clone() {
        RunMode::Single { operand, options } => single::run(cli, io, &config, &operand, options),
        RunMode::List {
            stop,
            gap,
            timeout,
            deadline,
        } => list::run(cli, io, &config, |source| {
            let (pacer, sizes) = (Pacer::new(gap), config.sizes);
            Box::new(SweepSchedule::new(
                source,
                stop,
                pacer,
                min_interval,
                timeout,
                deadline,
                sizes,
            ))
        }),
        RunMode::Mtu { timeout, deadline } => list::run(cli, io, &config, |source| {
            Box::new(MtuSchedule::new(source, min_interval, timeout, deadline))
        }),
    }
}

/// Returns the IP versions that a name or a list may need.
fn versions(family: Family) -> &'static [IpVersion] {
    match family {
        Family::V4 => &[IpVersion::V4],
        Family::V6 => &[IpVersion::V6],
        Family::Any => &[IpVersion::V4, IpVersion::V6],
    }
}

/// Opens a channel for each version for which that is possible. Returns them
/// with the first error, or only the error if no channel can be opened.
fn open_channels(
    config: &Config,
    versions: &[IpVersion],
    cookies: &Cookies,
) -> Result<(Vec<Channel>, Option<Error>)> {
    let mut channels = Vec::new();
    let mut first_error = None;
    for &version in versions {
        let identifier = cookies.identifier();
        match IcmpSocket::open(version, &config.socket) {
            Ok(socket) => {
                let template = Template::new(version, identifier, config.data.clone())?;
                channels.push(Channel::new(version, socket, identifier, template));
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if channels.is_empty() => Err(error),
        first_error => Ok((channels, first_error)),
    }
}

fn new_engine(
    config: &Config,
    clock: Clock,
    channels: Vec<Channel>,
    tracker: ProbeTracker,
) -> Result<Engine> {
    let signals = Signals::catch(&[signal::SIGINT, signal::SIGTERM, signal::SIGQUIT]);
    let signals = signals.map_err(|e| Error::local(&e))?;
    platform::reduce_timer_slack();
    let sizes = BufferSizes {
        batch: config.batch,
        max_message: HEADER + config.data.len() + HEADROOM,
    };
    Ok(Engine::new(clock, channels, signals, tracker, sizes))
}

/// Checks that the interface exists, if there is one.
fn check_interface(name: Option<&str>) -> Result<()> {
    match name {
        Some(name) => socket::check_interface(name),
        None => Ok(()),
    }
}

/// Ends a run before its first probe: the output format that the user has chosen
/// reports the operand.
fn reject(cli: &Cli, io: &mut Io, config: &Config, rejected: &RejectedOperand) -> Result<Exit> {
    let mut observer = create_output(cli, io, config, || {
        Ok(Box::new(List::new(ListLines::None, None, false, false)))
    })?;
    let clock = Clock::start();
    observer.operand_rejected(io, clock, rejected)?;
    observer.finish(io, clock, &Targets::default(), 0)?;
    Ok(rejected.error.exit())
}

/// Returns the output format. A graph is drawn on terminals only.
fn format(cli: &Cli, io: &Io) -> Format {
    match cli.format() {
        Format::Graph if !io.terminal.stdout => Format::Text,
        format => format,
    }
}

/// Creates the output format. `text` creates the format of lines of text.
fn create_output(
    cli: &Cli,
    io: &Io,
    config: &Config,
    text: impl FnOnce() -> Result<Box<dyn Observer>>,
) -> Result<Box<dyn Observer>> {
    let options = FormatOptions {
        selection: Selection {
            is_quiet: cli.quiet,
            summaries: match (cli.alive, cli.unreachable) {
                (true, _) => Summaries::Alive,
                (_, true) => Summaries::Unreachable,
                _ => Summaries::All,
            },
        },
        size: config.sizes.min,
        is_single: matches!(config.mode, RunMode::Single { .. }),
    };
    output::create(format(cli, io), options, text)
}

/// Returns the condition for exit status 0. `replies` is the number of replies to
/// wait for.
fn condition(cli: &Cli, config: &Config, replies: Option<u64>) -> Condition {
    match (cli.max_loss, cli.reachable, config.wait_for, replies) {
        _ if cli.mtu => Condition::Mtu,
        (Some(percent), _, _, _) => Condition::MaxLoss(percent),
        (_, Some(least), _, _) => Condition::Reachable(least),
        (_, _, Some(wait_for), _) => Condition::StateChange(wait_for),
        (_, _, _, Some(count)) => Condition::Replies(count),
        _ => Condition::All,
    }
}

/// Runs the engine and finishes the output.
fn run_engine(
    io: &mut Io,
    clock: Clock,
    engine: &mut Engine,
    schedule: &mut dyn Schedule,
    observer: &mut dyn Observer,
    condition: Condition,
    is_single: bool,
) -> Result<Exit> {
    let mut exit_tracker = ExitTracker::new(observer, condition, is_single);
    let reason = engine.run(schedule, &mut exit_tracker, io)?;
    let now = clock.now();
    engine.tracker.lose_overdue(now);
    for id in engine.tracker.undecided() {
        let Some(target) = engine.tracker.targets.get_mut(id) else {
            continue;
        };
        target.stats.end_outage(now);
        // The deadline decides the targets of a list that are left.
        if reason == StopReason::Deadline && !is_single {
            target.is_decided = true;
            exit_tracker.target_decided(io, clock, target)?;
        }
    }
    if reason == StopReason::Deadline {
        for error in schedule.unresolved_names() {
            exit_tracker.operand_rejected(io, clock, &RejectedOperand::new(error))?;
        }
    }
    if reason == StopReason::Deadline && !schedule.has_probed_all() {
        exit_tracker.record_unprobed();
        io.report
            .line("-w ended the run before every target was probed");
    }
    let drops = engine.dropped_replies();
    exit_tracker.finish(io, clock, &engine.tracker.targets, drops)?;
    if let Some(lag) = schedule.excessive_lag() {
        io.report.line(format_args!(
            "the period was not kept: probes were sent {} ms late on average",
            lag / 1_000_000
        ));
    }
    let has_no_operands = exit_tracker.has_no_targets() && io.report.worst() == Exit::Success;
    if reason == StopReason::Done && has_no_operands {
        io.report.line("the list is empty");
        return Ok(Exit::Negative);
    }
    Ok(exit_tracker.exit())
}
