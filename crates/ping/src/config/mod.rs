//! The configuration of a run: the meaning of the command line, with all defaults
//! filled in and all contradictions reported. It does no I/O.

mod mode;
mod sockets;

use std::time::Duration;

use common::address::Family;
use common::{Error, Result};

use self::mode::{MIN_USER_INTERVAL, run_mode, timeout};
pub(crate) use self::mode::{RunMode, check_group_interval};
use self::sockets::{broadcast_pmtu, family, socket_options};
use crate::cli::{Cli, Pmtu};
use crate::clock::Nanos;
use crate::operand::{self, Operand};
use crate::packet::IpVersion;
use crate::schedule::sweep::StopCondition;
use crate::schedule::{DataSizes, WaitFor};
use crate::socket::SocketOptions;
use crate::source::operands;
use crate::tracker::ReplyRules;

/// The number of probes that are sent in one call if a list is swept without a
/// pause.
const BATCH: usize = 16;

/// The maximum number of bytes of preloaded probes that are sent in one call.
const PRELOAD_BYTES: usize = 4 << 20;

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
            operands::check_ipv4_size(sizes.max)?;
        }
        if cli.mtu {
            // Forbids fragmentation, whatever path MTU the system has cached.
            socket.pmtu = Some(Pmtu::Probe);
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

/// Checks that `-n` is not used with a count, as it is on Windows.
fn check_numeric(cli: &Cli) -> Result<()> {
    if cli.numeric
        && let [count, _, ..] = &cli.targets[..]
        && count.bytes().all(|byte| byte.is_ascii_digit())
    {
        let text = format!("-n takes no value; use -c {count} to send {count} probes");
        return Err(Error::usage(text));
    }
    Ok(())
}

/// Checks that `--reachable` does not require more targets than there are, if
/// their number is known before anything is read.
fn check_reachable(cli: &Cli, family: Family) -> Result<()> {
    let Some(required) = cli.reachable.filter(|_| !cli.targets.is_empty()) else {
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
    if required <= count {
        return Ok(());
    }
    let text = format!("--reachable {required} requires at least {required} targets, not {count}");
    Err(Error::usage(text))
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
mod tests;
