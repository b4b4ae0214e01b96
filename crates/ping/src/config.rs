//! What a command line comes to: which face, which plan, with all defaults
//! filled in and all contradictions found. No I/O.

use std::net::IpAddr;
use std::time::Duration;

use common::address::Family;
use common::{Error, Kind, Result};

use crate::books::Rules;
use crate::cli::{Cli, Pmtu};
use crate::clock::Nanos;
use crate::feed;
use crate::operand::{self, Operand};
use crate::plan::list::Goal;
use crate::plan::steady::{Mode, Steady};
use crate::plan::{DataSizes, Until};
use crate::socket::Options;

/// The shortest interval for other users than root, as in iputils.
const USER_INTERVAL: Nanos = 2_000_000;

/// The shortest interval to broadcast and multicast addresses for other users
/// than root, as in iputils.
pub(crate) const GROUP_INTERVAL: Nanos = 1_000_000_000;

/// The most preload for other users than root, as in iputils.
const USER_PRELOAD: u32 = 3;

/// How long a probe has in a list.
const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// Limits of how long a probe has in a list with a count.
const LEAST_TIMEOUT: Nanos = 500_000_000;
const MOST_TIMEOUT: Nanos = 2_000_000_000;

/// From one probe to the next of a host in a list.
const PERIOD: Duration = Duration::from_secs(1);

/// Retries in a list.
const RETRIES: u32 = 3;

/// Bytes of data in the largest packet there is: an IPv6 one.
const LARGEST: u16 = u16::MAX - 8;

/// Probes sent at once when a list is swept as fast as it goes.
const BATCH: usize = 16;

/// Bytes of probes that are preloaded in one go.
const PRELOAD_BYTES: usize = 4 << 20;

/// One target or several.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// A name or an address.
    One {
        /// It.
        operand: Operand,
        /// The plan.
        plan: Steady,
    },
    /// The path MTU of whatever the operands hold.
    Mtu {
        /// How long a probe has.
        timeout: Nanos,
        /// When all ends.
        deadline: Option<Nanos>,
    },
    /// Whatever the operands hold.
    Many {
        /// What for.
        goal: Goal,
        /// Pause between any two probes.
        gap: Nanos,
        /// How long a probe has.
        timeout: Nanos,
        /// When all ends.
        deadline: Option<Nanos>,
    },
}

/// Everything decided.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What to do.
    pub(crate) job: Job,
    /// Address families taken.
    pub(crate) family: Family,
    /// Options of the sockets.
    pub(crate) socket: Options,
    /// Bytes of data.
    pub(crate) sizes: DataSizes,
    /// The data, as long as the longest probe's.
    pub(crate) data: Vec<u8>,
    /// Probes sent at once.
    pub(crate) batch: usize,
    /// What is waited for.
    pub(crate) until: Option<Until>,
    /// The rules for answers that count.
    pub(crate) rules: Rules,
    /// The shortest time between two probes to one address of a list.
    pub(crate) floor: Nanos,
}

/// Nanoseconds; a thousand years and more are the same as for ever.
pub(crate) fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos())
        .unwrap_or(u64::MAX / 4)
        .min(u64::MAX / 4)
}

impl Config {
    /// Decides; `root` says whether the user may do what only root may.
    pub(crate) fn new(cli: &Cli, root: bool) -> Result<Self> {
        let mut socket = options(cli)?;
        if cli.broadcast {
            socket.pmtu = Some(not_fragmented(socket.pmtu)?);
        }
        let family = family(cli, socket.source)?;
        let sizes = cli.sweep.unwrap_or(DataSizes::fixed(cli.size));
        let until = match (cli.until_up, cli.until_down) {
            (true, _) => Some(Until::Up),
            (_, true) => Some(Until::Down),
            _ => None,
        };
        if cli.numeric
            && let [count, _, ..] = &cli.targets[..]
            && count.bytes().all(|byte| byte.is_ascii_digit())
        {
            // As on Windows.
            let text = format!("-n takes no value; -c {count} sends {count} probes");
            return Err(Error::usage(text));
        }
        let one = match &cli.targets[..] {
            [one] if one != "-" && !one.starts_with('@') => match feed::parse(one, family)? {
                Operand::Range(_) => None,
                operand => Some(operand),
            },
            _ => None,
        };
        // A single address with an option of the list face belongs there.
        let of_list = cli.alive
            || cli.unreachable
            || cli.retries.is_some()
            || cli.watch.is_some()
            || cli.all_addresses;
        let one = one.filter(|_| !of_list);
        let job = match one {
            _ if cli.mtu => Job::Mtu {
                timeout: nanos(timeout(cli, until)?.unwrap_or(PERIOD)),
                deadline: deadline(cli, until),
            },
            Some(operand) => Job::One {
                operand,
                plan: steady(cli, until, sizes, root)?,
            },
            None => many(cli, until)?,
        };
        reachable(cli, family)?;
        if family == Family::V4 && !cli.mtu {
            feed::fits_v4(sizes.max)?;
        }
        if cli.mtu {
            // Fragmentation forbidden, whatever is known of the path.
            socket.pmtu = Some(libc::IP_PMTUDISC_PROBE);
        }
        let batch = match &job {
            Job::Many {
                goal: Goal::Answer { .. },
                gap: 0,
                ..
            } => BATCH,
            // As iputils has it: what is preloaded goes out before anybody
            // listens.
            Job::One { plan, .. } => {
                let most = PRELOAD_BYTES / (64 + usize::from(sizes.max));
                most.min(plan.preload as usize)
            }
            _ => 1,
        };
        let rules = Rules {
            wait: timeout(cli, until)?.map(nanos),
            any_answer: matches!(
                job,
                Job::Many {
                    goal: Goal::Answer { .. },
                    ..
                }
            ),
            strict_source: cli.strict_source,
        };
        Ok(Self {
            job,
            family,
            socket,
            sizes,
            data: data(cli, if cli.mtu { LARGEST } else { sizes.max }),
            batch,
            until,
            rules,
            floor: if root { 0 } else { USER_INTERVAL },
        })
    }
}

/// Users other than root send a group a probe each second at most, as in
/// iputils.
pub(crate) fn check_group(plan: &Steady, root: bool) -> Result<()> {
    if root || plan.interval >= GROUP_INTERVAL {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        "minimal interval for broadcast ping for user must be >= 1000 ms, use -i 1 (or higher)",
    ))
}

/// A broadcast is never fragmented, as in iputils.
fn not_fragmented(pmtu: Option<i32>) -> Result<i32> {
    match pmtu {
        None | Some(libc::IP_PMTUDISC_DO) => Ok(libc::IP_PMTUDISC_DO),
        Some(_) => Err(Error::usage(
            "a broadcast is not fragmented; with -b only -M do",
        )),
    }
}

/// The families taken: that of `-4` or `-6`, and that of a source address.
fn family(cli: &Cli, source: Option<IpAddr>) -> Result<Family> {
    let asked = cli.family.family();
    match source {
        Some(source) if !asked.admits(&source) => Err(Error::usage(format!(
            "-I {source} is not an {asked} address"
        ))),
        Some(IpAddr::V4(_)) => Ok(Family::V4),
        Some(IpAddr::V6(_)) => Ok(Family::V6),
        None => Ok(asked),
    }
}

/// `--reachable` must not ask for more targets than there are, where that is
/// known before anything is read.
fn reachable(cli: &Cli, family: Family) -> Result<()> {
    let Some(least) = cli.reachable.filter(|_| !cli.targets.is_empty()) else {
        return Ok(());
    };
    let mut count = 0u64;
    for text in &cli.targets {
        count = count.saturating_add(match operand::parse(text, family) {
            _ if text == "-" || text.starts_with('@') => return Ok(()),
            // It may have several addresses.
            Ok(Operand::Name(_)) if cli.all_addresses => return Ok(()),
            Ok(Operand::Range(range)) => range.count(),
            Ok(_) => 1,
            // It will be reported as what it is.
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

/// `-W`, or `--timeout` where that means the same.
fn timeout(cli: &Cli, until: Option<Until>) -> Result<Option<Duration>> {
    match (cli.wait, cli.timeout) {
        (wait, _) if until.is_some() => Ok(wait),
        (Some(_), Some(_)) => Err(Error::usage("--timeout is -W here; give one of them")),
        (wait, timeout) => Ok(wait.or(timeout)),
    }
}

/// `-c`; a sweep of sizes ends by itself.
fn count(cli: &Cli, until: Option<Until>) -> Option<u64> {
    let sweep = cli.sweep.filter(|_| until.is_none());
    cli.count.or(sweep.map(DataSizes::count))
}

/// `-w`, or `--timeout` where that bounds the whole.
fn deadline(cli: &Cli, until: Option<Until>) -> Option<Nanos> {
    let whole = cli.timeout.filter(|_| until.is_some());
    [cli.deadline, whole].into_iter().flatten().min().map(nanos)
}

fn steady(cli: &Cli, until: Option<Until>, sizes: DataSizes, root: bool) -> Result<Steady> {
    for (given, option) in [
        (cli.rate.is_some(), "--rate"),
        (cli.period.is_some(), "--period"),
    ] {
        if given {
            let text = format!("{option} is for several targets; -i is the pause for one");
            return Err(Error::usage(text));
        }
    }
    if !root && cli.preload > USER_PRELOAD {
        return Err(Error::new(
            Kind::Permission,
            format!(
                "cannot set preload to value greater than {USER_PRELOAD}: {}",
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
        (Some(interval), Mode::Interval) => nanos(interval),
        (None, Mode::Interval) => nanos(PERIOD),
        _ => 0,
    };
    if !root && interval < USER_INTERVAL {
        if mode != Mode::Adaptive {
            return Err(Error::new(
                Kind::Permission,
                "cannot flood, minimal interval for user must be >= 2 ms, use -i 0.002 (or higher)",
            ));
        }
        interval = USER_INTERVAL;
    }
    Ok(Steady {
        mode,
        interval,
        count: count(cli, until),
        preload: u64::from(cli.preload),
        timeout: timeout(cli, until)?.map(nanos),
        deadline: deadline(cli, until),
        sizes,
        outstanding: cli.outstanding,
        until,
    })
}

fn many(cli: &Cli, until: Option<Until>) -> Result<Job> {
    for (given, option) in [
        (cli.flood, "-f"),
        (cli.adaptive, "-A"),
        (cli.preload > 1, "-l"),
        (cli.timestamps, "-D"),
        (cli.outstanding, "-O"),
        (cli.audible, "-a"),
        (cli.percentiles, "--percentiles"),
    ] {
        if given {
            return Err(Error::usage(format!("{option} is for a single target")));
        }
    }
    let period = nanos(cli.period.unwrap_or(PERIOD));
    let given = timeout(cli, until)?;
    let goal = match (until, count(cli, until)) {
        _ if cli.watch.is_some() => Goal::Watch { period },
        (Some(until), _) => Goal::Until { until, period },
        (None, Some(count)) => Goal::Count { count, period },
        (None, None) => {
            if cli.period.is_some() {
                return Err(Error::usage(
                    "--period goes with -c, --watch, --until-up or --until-down",
                ));
            }
            Goal::Answer {
                retries: cli.retries.unwrap_or(RETRIES),
            }
        }
    };
    // With a count an answer has the time to the next probe, within limits.
    let usual = match goal {
        Goal::Count { period, .. } | Goal::Watch { period } => {
            period.clamp(LEAST_TIMEOUT, MOST_TIMEOUT)
        }
        _ => nanos(LIST_TIMEOUT),
    };
    let by_rate = cli.rate.map_or(0, |rate| 1_000_000_000 / rate);
    let gap = nanos(cli.interval.unwrap_or_default()).max(by_rate);
    Ok(Job::Many {
        goal,
        gap,
        timeout: given.map_or(usual, nanos),
        deadline: deadline(cli, until),
    })
}

fn options(cli: &Cli) -> Result<Options> {
    let mut options = Options {
        ttl: cli.ttl,
        tos: cli.tos,
        mark: cli.mark,
        broadcast: cli.broadcast,
        no_loop: cli.no_loop,
        no_gateway: cli.no_gateway,
        pmtu: cli.pmtudisc.map(|when| match when {
            Pmtu::Do => libc::IP_PMTUDISC_DO,
            Pmtu::Want => libc::IP_PMTUDISC_WANT,
            Pmtu::Dont => libc::IP_PMTUDISC_DONT,
            Pmtu::Probe => libc::IP_PMTUDISC_PROBE,
        }),
        ..Options::default()
    };
    let given = || Error::usage("-I takes one address and one interface at most");
    for text in &cli.interface {
        // An address with its zone is both.
        let (address, interface) = match text.parse() {
            Ok(address) => (Some(address), None),
            Err(_) => match text.split_once('%') {
                Some((address, zone)) => (address.parse().ok(), Some(zone)),
                None => (None, Some(text.as_str())),
            },
        };
        // A name may have a percent sign in it.
        let interface = interface.map(|zone| if address.is_some() { zone } else { text });
        if address.is_some() && options.source.is_some()
            || interface.is_some() && options.interface.is_some()
        {
            return Err(given());
        }
        options.source = options.source.or(address);
        options.interface = options.interface.or(interface.map(str::to_owned));
    }
    Ok(options)
}

/// The data of a probe: the pattern, or the offset of each byte.
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
