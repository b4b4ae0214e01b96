//! The configuration of a run: the meaning of the command line, with all defaults
//! filled in and all contradictions reported. No I/O.

use std::net::IpAddr;
use std::time::Duration;

use common::address::Family;
use common::{Error, Kind, Result};

use crate::cli::{Cli, Pmtu};
use crate::clock::Nanos;
use crate::operand::{self, Operand};
use crate::packet::IpVersion;
use crate::schedule::min_interval::MIN_GROUP_INTERVAL;
use crate::schedule::periodic::{Mode, PeriodicOptions};
use crate::schedule::sweep::StopCondition;
use crate::schedule::{DataSizes, WaitFor};
use crate::socket::SocketOptions;
use crate::source::item;
use crate::tracker::ReplyRules;

/// The shortest interval for users other than root, as in iputils.
const MIN_USER_INTERVAL: Nanos = 2_000_000;

/// The largest preload for users other than root, as in iputils.
const MAX_USER_PRELOAD: u32 = 3;

/// The timeout of a probe in a list without a count.
const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// The minimum timeout of a probe in a list with a count.
const MIN_COUNT_TIMEOUT: Nanos = 500_000_000;

/// The largest default timeout of a probe in a list with a count.
const MAX_COUNT_TIMEOUT: Nanos = 2_000_000_000;

/// The time from one probe to the next of the same target, and the interval of a
/// single target.
const PERIOD: Duration = Duration::from_secs(1);

/// The number of retries in a list.
const RETRIES: u32 = 3;

/// The number of probes that are sent in one call if a list is swept without a
/// pause.
const BATCH: usize = 16;

/// The maximum number of bytes of preloaded probes that are sent in one call.
const PRELOAD_BYTES: usize = 4 << 20;

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

/// The configuration of a run.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The kind of run, with its options.
    pub(crate) mode: RunMode,
    /// The address families that are accepted.
    pub(crate) family: Family,
    /// The options of the sockets.
    pub(crate) socket: SocketOptions,
    /// The data sizes of the probes.
    pub(crate) sizes: DataSizes,
    /// The data of the longest probe.
    pub(crate) data: Vec<u8>,
    /// The maximum number of probes that one call sends.
    pub(crate) batch: usize,
    /// The state of the targets to wait for.
    pub(crate) wait_for: Option<WaitFor>,
    /// The rules for replies that count.
    pub(crate) rules: ReplyRules,
    /// The minimum time between two probes to one address of a list.
    pub(crate) min_interval: Nanos,
}

/// Converts a duration to nanoseconds. A very long one is capped so that sums do
/// not overflow.
pub(crate) fn to_nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos())
        .unwrap_or(u64::MAX / 4)
        .min(u64::MAX / 4)
}

impl Config {
    /// Resolves the command line. `is_root` lifts the limits for ordinary users.
    pub(crate) fn new(cli: &Cli, is_root: bool) -> Result<Self> {
        let mut socket = socket_options(cli)?;
        if cli.broadcast {
            socket.pmtu = Some(broadcast_pmtu(socket.pmtu)?);
        }
        let family = family(cli, socket.source)?;
        let sizes = cli.sweep.unwrap_or(DataSizes::fixed(cli.size));
        let wait_for = match (cli.until_up, cli.until_down) {
            (true, _) => Some(WaitFor::Up),
            (_, true) => Some(WaitFor::Down),
            _ => None,
        };
        check_numeric(cli)?;
        let mode = run_mode(cli, family, wait_for, sizes, is_root)?;
        check_reachable(cli, family)?;
        if family == Family::V4 && !cli.mtu {
            item::check_ipv4_size(sizes.max)?;
        }
        if cli.mtu {
            // Forbids fragmentation, whatever path MTU the system has cached.
            socket.pmtu = Some(libc::IP_PMTUDISC_PROBE);
        }
        let is_sweep = matches!(
            mode,
            RunMode::List {
                stop: StopCondition::FirstReply { .. },
                ..
            }
        );
        let batch = match &mode {
            RunMode::List { gap: 0, .. } if is_sweep => BATCH,
            // As in iputils, preloaded probes are sent before any reply is read.
            RunMode::Single { options, .. } => {
                let max = PRELOAD_BYTES / (64 + usize::from(sizes.max));
                max.min(options.preload as usize)
            }
            _ => 1,
        };
        let rules = ReplyRules {
            timeout: timeout(cli, wait_for)?.map(to_nanos),
            accept_any_reply: is_sweep,
            strict_source: cli.strict_source,
        };
        let data_size = if cli.mtu {
            IpVersion::V6.max_data()
        } else {
            sizes.max
        };
        Ok(Self {
            mode,
            family,
            socket,
            sizes,
            data: data(cli, data_size),
            batch,
            wait_for,
            rules,
            min_interval: if is_root { 0 } else { MIN_USER_INTERVAL },
        })
    }
}

fn run_mode(
    cli: &Cli,
    family: Family,
    wait_for: Option<WaitFor>,
    sizes: DataSizes,
    is_root: bool,
) -> Result<RunMode> {
    let single = match &cli.targets[..] {
        [text] if text != "-" && !text.starts_with('@') => match item::parse(text, family)? {
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

/// Checks that `-n` is not used with a count, as it is on Windows.
fn check_numeric(cli: &Cli) -> Result<()> {
    if cli.numeric
        && let [count, _, ..] = &cli.targets[..]
        && count.bytes().all(|byte| byte.is_ascii_digit())
    {
        let text = format!("-n takes no value; -c {count} sends {count} probes");
        return Err(Error::usage(text));
    }
    Ok(())
}

/// Checks the interval to a broadcast or multicast address. Users other than
/// root may send one probe per second, as in iputils.
pub(crate) fn check_group_interval(options: &PeriodicOptions, is_root: bool) -> Result<()> {
    if is_root || options.interval >= MIN_GROUP_INTERVAL {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        "minimal interval for broadcast ping for user must be >= 1000 ms, use -i 1 (or higher)",
    ))
}

/// Returns the path MTU discovery mode of broadcast probes, which are never
/// fragmented, as in iputils.
fn broadcast_pmtu(pmtu: Option<i32>) -> Result<i32> {
    match pmtu {
        None | Some(libc::IP_PMTUDISC_DO) => Ok(libc::IP_PMTUDISC_DO),
        Some(_) => Err(Error::usage(
            "broadcast probes cannot be fragmented; -b allows only '-M do'",
        )),
    }
}

/// Returns the address families of `-4`, `-6` and the source address.
fn family(cli: &Cli, source: Option<IpAddr>) -> Result<Family> {
    let requested = cli.family.family();
    match source {
        Some(source) if !requested.admits(&source) => Err(Error::usage(format!(
            "-I {source} is not an {requested} address"
        ))),
        Some(IpAddr::V4(_)) => Ok(Family::V4),
        Some(IpAddr::V6(_)) => Ok(Family::V6),
        None => Ok(requested),
    }
}

/// Checks that `--reachable` does not require more targets than there are, if
/// their number is known before anything is read.
fn check_reachable(cli: &Cli, family: Family) -> Result<()> {
    let Some(least) = cli.reachable.filter(|_| !cli.targets.is_empty()) else {
        return Ok(());
    };
    let mut count = 0u64;
    for text in &cli.targets {
        count = count.saturating_add(match operand::parse(text, family) {
            _ if text == "-" || text.starts_with('@') => return Ok(()),
            // The name may have several addresses.
            Ok(Operand::Name(_)) if cli.all_addresses => return Ok(()),
            Ok(Operand::Range(range)) => range.count(),
            Ok(_) => 1,
            // The operand itself will be reported.
            Err(_) => return Ok(()),
        });
    }
    if least <= count {
        return Ok(());
    }
    let targets = if count == 1 { "target" } else { "targets" };
    let text = format!("--reachable {least} cannot be met by {count} {targets}");
    Err(Error::usage(text))
}

/// Returns the timeout of a probe: `-W`, or `--timeout` unless that limits a wait
/// for a state.
fn timeout(cli: &Cli, wait_for: Option<WaitFor>) -> Result<Option<Duration>> {
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
                "cannot set preload to value greater than {MAX_USER_PRELOAD}: {}",
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
                "cannot flood, minimal interval for user must be >= 2 ms, use -i 0.002 (or higher)",
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

fn socket_options(cli: &Cli) -> Result<SocketOptions> {
    let mut options = SocketOptions {
        ttl: cli.ttl,
        tos: cli.tos,
        mark: cli.mark,
        broadcast: cli.broadcast,
        no_loop: cli.no_loop,
        no_gateway: cli.no_gateway,
        pmtu: cli.pmtudisc.map(|mode| match mode {
            Pmtu::Do => libc::IP_PMTUDISC_DO,
            Pmtu::Want => libc::IP_PMTUDISC_WANT,
            Pmtu::Dont => libc::IP_PMTUDISC_DONT,
            Pmtu::Probe => libc::IP_PMTUDISC_PROBE,
        }),
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

/// Returns the data of a probe: the pattern, or the offset of each byte.
fn data(cli: &Cli, size: u16) -> Vec<u8> {
    match &cli.pattern {
        Some(pattern) => {
            let bytes = pattern.0.iter().copied().cycle();
            bytes.take(usize::from(size)).collect()
        }
        None => (0..size).map(|offset| offset as u8).collect(),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
