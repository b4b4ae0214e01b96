//! A run of several targets: a list, a network, a range, or the search for path
//! MTUs.

use common::app::Io;
use common::{Error, Exit, Result};

use super::{
    check_interface, condition, create_output, new_engine, open_channels, run_engine, versions,
};
use crate::cli::Cli;
use crate::clock::Clock;
use crate::config::{self, Config, RunMode};
use crate::cookie::Cookies;
use crate::engine::Channel;
use crate::output::list::{List, ListLines};
use crate::output::watch::Watch;
use crate::privilege;
use crate::schedule::sweep::StopCondition;
use crate::schedule::{Schedule, WaitFor};
use crate::socket;
use crate::source::TargetSource;
use crate::source::operands::{self, SourceOptions};
use crate::tracker::ProbeTracker;

/// The number of settled probes to remember, so that late and duplicate replies
/// are recognised.
const RETAINED: usize = 1 << 12;

/// Probes the operands by the schedule that `new_schedule` creates.
pub(super) fn run(
    cli: &Cli,
    io: &mut Io,
    config: &Config,
    new_schedule: impl FnOnce(TargetSource) -> Box<dyn Schedule>,
) -> Result<Exit> {
    let operands = io.operands(&cli.targets, "a target")?.with_files();
    check_interface(config.socket.interface.as_deref())?;
    let scope = match &config.socket.interface {
        Some(name) => socket::interface_index(name)?,
        None => 0,
    };
    let cookies = Cookies::default();
    let options = SourceOptions {
        family: config.family,
        scope,
        max_data: config.sizes.max,
        shuffle: cli.shuffle.then(|| cookies.seed()),
        all_addresses: cli.all_addresses,
        retries_lookups: config.wait_for == Some(WaitFor::Up),
    };
    let channels = open(cli, io, config, &options, &cookies)?;
    privilege::drop_all()?;

    let source = TargetSource::start(operands, options)?;
    let mut output = create_output(cli, io, config, || {
        Ok(Box::new(List::new(
            list_lines(cli, config),
            config.wait_for,
            cli.verbose,
            cli.all_addresses,
        )))
    })?;
    if let Some(interval) = cli.watch {
        output = Box::new(Watch::new(output, config::to_nanos(interval)));
    }

    let clock = Clock::start();
    let mut tracker = ProbeTracker::new(cookies, RETAINED);
    tracker.rules = config.rules;
    let mut engine = new_engine(config, clock, channels, tracker)?;
    let mut schedule = new_schedule(source);
    let condition = condition(cli, config, None);
    run_engine(
        io,
        clock,
        &mut engine,
        schedule.as_mut(),
        output.as_mut(),
        condition,
        false,
    )
}

/// Opens the channels. Mistakes in operands come before a missing permission to
/// send ICMP, so that they are the same for all users.
fn open(
    cli: &Cli,
    io: &mut Io,
    config: &Config,
    options: &SourceOptions,
    cookies: &Cookies,
) -> Result<Vec<Channel>> {
    let mistakes: Vec<Error> = cli
        .targets
        .iter()
        .filter_map(|text| operands::check_operand(text, options))
        .collect();
    if !mistakes.is_empty() && mistakes.len() == cli.targets.len() {
        return Ok(Vec::new());
    }
    match open_channels(config, versions(config.family), cookies) {
        Ok((channels, _)) => Ok(channels),
        Err(error) => {
            for mistake in &mistakes {
                io.fail(mistake)?;
            }
            Err(error)
        }
    }
}

/// Returns the lines that the list format prints.
fn list_lines(cli: &Cli, config: &Config) -> ListLines {
    match config.mode {
        _ if cli.alive => ListLines::Alive,
        _ if cli.unreachable => ListLines::Unreachable,
        RunMode::List {
            stop: StopCondition::Count { .. },
            ..
        } => ListLines::Counts,
        _ if cli.watch.is_some() => ListLines::Totals,
        _ if cli.quiet => ListLines::None,
        _ => ListLines::Both,
    }
}
