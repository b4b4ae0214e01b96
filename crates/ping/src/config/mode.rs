//! The kind of run, and the options of its schedule.

use std::time::Duration;

use common::address::Family;
use common::{Error, Kind, Result};

use super::to_nanos;
use crate::cli::Cli;
use crate::clock::Nanos;
use crate::operand::Operand;
use crate::schedule::min_interval::MIN_GROUP_INTERVAL;
use crate::schedule::periodic::{Mode, PeriodicOptions};
use crate::schedule::sweep::StopCondition;
use crate::schedule::{DataSizes, WaitFor};
use crate::source::operands;

/// The shortest interval for users other than root, as in iputils.
pub(super) const MIN_USER_INTERVAL: Nanos = 2_000_000;

/// The largest preload for users other than root, as in iputils.
const MAX_USER_PRELOAD: u32 = 3;

/// The timeout of a probe in a list without a count.
const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// The minimum timeout of a probe in a list with a count.
const MIN_COUNT_TIMEOUT: Nanos = 500_000_000;

/// The maximum default timeout of a probe in a list with a count.
const MAX_COUNT_TIMEOUT: Nanos = 2_000_000_000;

/// The time from one probe to the next of the same target, and the interval of a
/// single target.
const PERIOD: Duration = Duration::from_secs(1);

/// The number of retries in a list.
const RETRIES: u32 = 3;

/// The kind of run, with its options.
#[derive(Clone, Debug)]
pub(crate) enum RunMode {
    /// A name or an address is probed at an interval.
    Single {
        /// The name or address of the target.
        operand: Operand,
        /// The options of its schedule.
        options: PeriodicOptions,
    },
    /// The path MTU of each target is searched.
    Mtu {
        /// The timeout of a probe.
        timeout: Nanos,
        /// When the run ends.
        deadline: Option<Nanos>,
    },
    /// The targets of a list are probed.
    List {
        /// When a target is decided.
        stop: StopCondition,
        /// The minimum time between any two probes.
        gap: Nanos,
        /// The timeout of a probe.
        timeout: Nanos,
        /// When the run ends.
        deadline: Option<Nanos>,
    },
}

pub(super) fn run_mode(
    cli: &Cli,
    family: Family,
    wait_for: Option<WaitFor>,
    sizes: DataSizes,
    is_root: bool,
) -> Result<RunMode> {
    let single = match &cli.targets[..] {
        [text] if text != "-" && !text.starts_with('@') => match operands::parse(text, family)? {
            Operand::Range(_) => None,
            operand => Some(operand),
        },
        _ => None,
    };
    // Options of lists make a list of a single address.
    let is_list = cli.alive
        || cli.unreachable
        || cli.retries.is_some()
        || cli.watch.is_some()
        || cli.all_addresses;
    match single.filter(|_| !is_list) {
        _ if cli.mtu => Ok(RunMode::Mtu {
            timeout: to_nanos(timeout(cli, wait_for)?.unwrap_or(PERIOD)),
            deadline: deadline(cli, wait_for),
        }),
        Some(operand) => Ok(RunMode::Single {
            operand,
            options: periodic_options(cli, wait_for, sizes, is_root)?,
        }),
        None => list_mode(cli, wait_for),
    }
}

/// Checks the interval to a broadcast or multicast address. Users other than
/// root may send one probe per second, as in iputils.
pub(crate) fn check_group_interval(options: &PeriodicOptions, is_root: bool) -> Result<()> {
    if is_root || options.interval >= MIN_GROUP_INTERVAL {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        "users other than root may probe a broadcast or multicast address once per second; use -i 1 or more",
    ))
}

/// Returns the timeout of a probe: `-W`, or `--timeout` unless that limits a wait
/// for a state.
pub(super) fn timeout(cli: &Cli, wait_for: Option<WaitFor>) -> Result<Option<Duration>> {
    match (cli.wait, cli.timeout) {
        (wait, _) if wait_for.is_some() => Ok(wait),
        (Some(_), Some(_)) => Err(Error::usage(
            "--timeout means the same as -W; use only one of them",
        )),
        (wait, timeout) => Ok(wait.or(timeout)),
    }
}

/// Returns the number of probes: `-c`, or one for each size of a sweep.
fn count(cli: &Cli, wait_for: Option<WaitFor>) -> Option<u64> {
    let sweep = cli.sweep.filter(|_| wait_for.is_none());
    cli.count.or(sweep.map(DataSizes::count))
}

/// Returns the deadline of the run: `-w`, or `--timeout` if that limits a wait for
/// a state.
fn deadline(cli: &Cli, wait_for: Option<WaitFor>) -> Option<Nanos> {
    let limit = cli.timeout.filter(|_| wait_for.is_some());
    [cli.deadline, limit]
        .into_iter()
        .flatten()
        .min()
        .map(to_nanos)
}

fn periodic_options(
    cli: &Cli,
    wait_for: Option<WaitFor>,
    sizes: DataSizes,
    is_root: bool,
) -> Result<PeriodicOptions> {
    for (is_given, option) in [
        (cli.rate.is_some(), "--rate"),
        (cli.period.is_some(), "--period"),
    ] {
        if is_given {
            let text = format!("{option} requires several targets; -i sets the interval of one");
            return Err(Error::usage(text));
        }
    }
    if !is_root && cli.preload > MAX_USER_PRELOAD {
        return Err(Error::new(
            Kind::Permission,
            format!(
                "invalid value '{}' for '-l': users other than root may use at most {MAX_USER_PRELOAD}",
                cli.preload
            ),
        ));
    }
    let mode = match (cli.flood, cli.adaptive) {
        (true, _) if cli.interval.is_none() => Mode::Flood,
        (_, true) => Mode::Adaptive,
        _ => Mode::Interval,
    };
    let mut interval = match (cli.interval, mode) {
        (Some(interval), Mode::Interval) => to_nanos(interval),
        (None, Mode::Interval) => to_nanos(PERIOD),
        _ => 0,
    };
    if !is_root && interval < MIN_USER_INTERVAL {
        if mode != Mode::Adaptive {
            return Err(Error::new(
                Kind::Permission,
                "users other than root may send one probe every 2 ms; use -i 0.002 or more",
            ));
        }
        interval = MIN_USER_INTERVAL;
    }
    Ok(PeriodicOptions {
        mode,
        interval,
        count: count(cli, wait_for),
        preload: u64::from(cli.preload),
        timeout: timeout(cli, wait_for)?.map(to_nanos),
        deadline: deadline(cli, wait_for),
        sizes,
        outstanding: cli.outstanding,
        wait_for,
    })
}

fn list_mode(cli: &Cli, wait_for: Option<WaitFor>) -> Result<RunMode> {
    for (is_given, option) in [
        (cli.flood, "-f"),
        (cli.adaptive, "-A"),
        (cli.preload > 1, "-l"),
        (cli.timestamps, "-D"),
        (cli.outstanding, "-O"),
        (cli.audible, "-a"),
        (cli.percentiles, "--percentiles"),
    ] {
        if is_given {
            return Err(Error::usage(format!("{option} requires a single target")));
        }
    }
    let period = to_nanos(cli.period.unwrap_or(PERIOD));
    let timeout = timeout(cli, wait_for)?;
    let stop = match (wait_for, count(cli, wait_for)) {
        _ if cli.watch.is_some() => StopCondition::Never { period },
        (Some(wait_for), _) => StopCondition::StateChange { wait_for, period },
        (None, Some(count)) => StopCondition::Count { count, period },
        (None, None) => {
            if cli.period.is_some() {
                return Err(Error::usage(
                    "--period requires -c, --watch, --until-up or --until-down",
                ));
            }
            StopCondition::FirstReply {
                retries: cli.retries.unwrap_or(RETRIES),
            }
        }
    };
    // With a count a reply has the time until the next probe, within limits.
    let default_timeout = match stop {
        StopCondition::Count { period, .. } | StopCondition::Never { period } => {
            period.clamp(MIN_COUNT_TIMEOUT, MAX_COUNT_TIMEOUT)
        }
        _ => to_nanos(LIST_TIMEOUT),
    };
    let rate_gap = cli.rate.map_or(0, |rate| 1_000_000_000 / rate);
    let gap = to_nanos(cli.interval.unwrap_or_default()).max(rate_gap);
    Ok(RunMode::List {
        stop,
        gap,
        timeout: timeout.map_or(default_timeout, to_nanos),
        deadline: deadline(cli, wait_for),
    })
}
