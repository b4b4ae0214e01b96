//! The events of a run, and the [`Observer`] trait of the output formats that
//! render them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::app::Io;
use common::{Error, Kind, Result};

use crate::clock::{Clock, Nanos};
use crate::icmp::IcmpError;
use crate::stats::Stats;
use crate::target::{Target, TargetId, Targets};

/// An echo reply to one of the probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    /// The sequence number of the probe within its target, from 1.
    pub(crate) seq: u64,
    /// The source address of the reply.
    pub(crate) from: IpAddr,
    /// Whether the source is not the target's address, although it should be.
    pub(crate) is_foreign: bool,
    /// The ICMP identifier. The kernel chooses it for a datagram socket.
    pub(crate) identifier: u16,
    /// The length of the ICMP message in bytes.
    pub(crate) bytes: usize,
    /// The TTL or hop limit with which it arrived.
    pub(crate) ttl: Option<u8>,
    /// The time from just before the send to the kernel's receive timestamp.
    /// `None` if it is not certain which probe was answered.
    pub(crate) rtt: Option<Nanos>,
    /// Whether the probe had been answered before.
    pub(crate) is_duplicate: bool,
    /// Whether a later probe had been answered before.
    pub(crate) is_reordered: bool,
    /// How its content differs from the correct reply.
    pub(crate) corruption: Option<Corruption<'a>>,
}

/// Why a reply is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corruption<'a> {
    /// The checksum is wrong.
    Checksum,
    /// The data is shorter than the probe's.
    Truncated,
    /// The data differs from the probe's.
    Data {
        /// The offset of the first difference.
        offset: usize,
        /// The byte that was sent.
        expected: u8,
        /// All data bytes of the reply.
        data: &'a [u8],
    },
}

/// An event of a probe. `seq` is its sequence number within its target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The probe was sent.
    Sent,
    /// A reply arrived within the timeout, or is a duplicate or corrupt.
    Reply(Reply<'a>),
    /// The first reply arrived after the timeout.
    LateReply(Reply<'a>),
    /// The timeout has passed.
    Timeout { seq: u64 },
    /// The probe has no reply, and the next one is due.
    Outstanding { seq: u64 },
    /// An ICMP error about the probe arrived.
    Icmp {
        seq: u64,
        /// The time from the send to the arrival of the error.
        rtt: Option<Nanos>,
        error: IcmpError,
    },
    /// A router sent a redirect or a source quench (RFC 792) about the probe.
    /// The reply may still arrive.
    Notice { seq: u64, error: IcmpError },
    /// The system refused to send the probe.
    Unsent {
        seq: u64,
        /// The error number (`errno`).
        errno: i32,
        /// The MTU that the probe exceeds, if the system reports one.
        mtu: Option<u32>,
    },
}

/// An operand that cannot be probed.
#[derive(Debug)]
pub(crate) struct RejectedOperand {
    pub(crate) error: Error,
    /// The address, if it is known.
    pub(crate) address: Option<IpAddr>,
}

impl RejectedOperand {
    /// Creates a rejected operand without a known address.
    pub(crate) fn new(error: Error) -> Self {
        Self {
            error,
            address: None,
        }
    }

    /// Returns the target that is not probed. An invalid operand is not a
    /// target.
    pub(crate) fn target(&self) -> Option<&str> {
        let is_target = matches!(self.error.kind(), Kind::Name | Kind::Unreachable);
        self.error.subject().filter(|_| is_target)
    }
}

/// The number of probes in flight that count as lost now, per target.
pub(crate) type OverdueCounts = HashMap<TargetId, u64>;

/// Returns the kind of a failure to send with this `errno`, which decides the
/// exit status.
pub(crate) fn send_error_kind(errno: i32) -> Kind {
    match errno {
        libc::EPERM | libc::EACCES => Kind::Permission,
        libc::ENOBUFS | libc::ENOMEM | libc::EINVAL => Kind::System,
        // The route does not take packets of this size or family.
        _ => Kind::Unreachable,
    }
}

/// Renders the events of a run.
pub(crate) trait Observer {
    /// The first probe of a target is about to be sent.
    fn target_started(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    /// An operand cannot be probed.
    fn operand_rejected(
        &mut self,
        io: &mut Io,
        _: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        io.fail(&rejected.error)
    }

    /// An event of one of the target's probes happened.
    fn event(&mut self, _: &mut Io, _: Clock, _: &Target, _: &Event<'_>) -> Result<()> {
        Ok(())
    }

    /// The result of a target is final.
    fn target_decided(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    /// Whether the result of the run is final before all targets are decided.
    fn is_satisfied(&self) -> bool {
        false
    }

    /// SIGQUIT asks for the state of the run. By default the number of
    /// undecided targets is reported.
    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &OverdueCounts) -> Result<()> {
        let undecided = targets.iter().filter(|(_, target)| !target.is_decided);
        let count = undecided.count();
        let noun = if count == 1 { "host" } else { "hosts" };
        io.report.line(format_args!("{count} {noun} undecided"));
        Ok(())
    }

    /// Returns the time by which [`Observer::release`] must be called.
    fn release_deadline(&self) -> Option<Nanos> {
        None
    }

    /// Whether held output must be written before the run may end.
    fn is_holding(&self) -> bool {
        false
    }

    /// Returns a descriptor that becomes readable when held output can be
    /// written.
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Writes the held output that has become due.
    fn release(&mut self, _: &mut Io, _: Clock, _: &Targets) -> Result<()> {
        Ok(())
    }

    /// An interval of a watched target ended; `stats` holds its statistics.
    fn interval_ended(&mut self, _: &mut Io, _: Clock, _: &Target, _: &Stats) -> Result<()> {
        Ok(())
    }

    /// The run ended. `targets` holds the targets that are not decided, and
    /// `drops` is the number of replies that found the receive buffer full.
    fn finish(&mut self, _: &mut Io, _: Clock, _: &Targets, _: u64) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_number_of_a_send_decides_the_status() {
        for (errno, kind) in [
            (libc::EPERM, Kind::Permission),
            (libc::EACCES, Kind::Permission),
            (libc::EINVAL, Kind::System),
            (libc::ENOBUFS, Kind::System),
            (libc::ENOMEM, Kind::System),
            (libc::ENETUNREACH, Kind::Unreachable),
            (libc::EMSGSIZE, Kind::Unreachable),
        ] {
            assert_eq!(send_error_kind(errno), kind, "{errno}");
        }
    }
}
