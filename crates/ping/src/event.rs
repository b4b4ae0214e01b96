//! What the engine has to tell, and the faces that listen.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::app::Io;
use common::{Error, Kind, Result};

use crate::clock::{Clock, Nanos};
use crate::icmp::IcmpError;
use crate::stats::Stats;
use crate::target::{Target, TargetId, Targets};

/// An echo reply to one of our probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    /// Which probe of its target, from 1.
    pub(crate) seq: u64,
    /// Where it came from.
    pub(crate) from: IpAddr,
    /// Whether that is not the address that was asked, although it should be.
    pub(crate) foreign: bool,
    /// The identifier in it; with a datagram socket the kernel chose it.
    pub(crate) ident: u16,
    /// Bytes of ICMP received.
    pub(crate) bytes: usize,
    /// TTL or hop limit it arrived with.
    pub(crate) ttl: Option<u8>,
    /// From just before sending to the kernel's receipt. `None` when the
    /// probe's own time is not known.
    pub(crate) rtt: Option<Nanos>,
    /// Answered before.
    pub(crate) duplicate: bool,
    /// A later probe was answered before.
    pub(crate) reordered: bool,
    /// What is wrong with it.
    pub(crate) damage: Option<Damage<'a>>,
}

/// Why a reply is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage<'a> {
    /// The checksum is wrong.
    Checksum,
    /// Less came back than was sent.
    Truncated,
    /// Other bytes came back.
    Data {
        /// The offset of the first difference.
        at: usize,
        /// The byte sent.
        expected: u8,
        /// All of the data received.
        data: &'a [u8],
    },
}

/// Something happened to a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// It was sent.
    Sent,
    /// It was answered in time; or again; or by something corrupt.
    Reply(Reply<'a>),
    /// It was answered after its time had passed.
    Late(Reply<'a>),
    /// Its time has passed.
    Timeout {
        /// Which probe.
        seq: u64,
    },
    /// The next one is due and this one is not yet answered.
    Outstanding {
        /// Which probe.
        seq: u64,
    },
    /// An ICMP error came.
    Icmp {
        /// Which probe.
        seq: u64,
        /// From sending the probe to the receipt of the error.
        rtt: Option<Nanos>,
        /// The error.
        error: IcmpError,
    },
    /// A router's advice about it came (RFC 792: redirect, source quench); the
    /// answer may still come.
    Advice {
        /// Which probe.
        seq: u64,
        /// What was said.
        error: IcmpError,
    },
    /// This machine refused to send it.
    Unsent {
        /// Which probe.
        seq: u64,
        /// The error number.
        errno: i32,
        /// The MTU that it exceeds, where the system says so.
        mtu: Option<u32>,
    },
}

/// An operand that cannot be probed.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) error: Error,
    /// The address, if that much is known.
    pub(crate) address: Option<IpAddr>,
}

impl Refusal {
    /// An operand of which no address is known.
    pub(crate) fn new(error: Error) -> Self {
        Self {
            error,
            address: None,
        }
    }

    /// The target that gets no probe, if the operand stands for one: a mistake
    /// in an operand does not.
    pub(crate) fn target(&self) -> Option<&str> {
        let is_target = matches!(self.error.kind(), Kind::Name | Kind::Unreachable);
        self.error.operand().filter(|_| is_target)
    }
}

/// How many probes of a target count as lost now and have not been given up.
pub(crate) type Overdue = HashMap<TargetId, u64>;

/// A face: it turns events into output.
pub(crate) trait Observer {
    /// The first probe of a target is about to be sent.
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()>;

    /// An operand cannot be probed. If it stands for a target, such as a name
    /// that does not resolve, `address` is what is known of it.
    fn refused(&mut self, io: &mut Io, _: Clock, refusal: &Refusal) -> Result<()> {
        io.fail(&refusal.error)
    }

    /// Something happened to a probe of a target.
    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()>;

    /// A target is decided.
    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()>;

    /// Whether what was asked for is decided before every target is.
    fn is_enough(&self) -> bool {
        false
    }

    /// SIGQUIT: where things stand.
    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &Overdue) -> Result<()>;

    /// When [`Observer::release`] is to be called, at the latest.
    fn held(&self) -> Option<Nanos> {
        None
    }

    /// Whether output waits for the name of an address, and with it the end of
    /// the run.
    fn is_holding(&self) -> bool {
        false
    }

    /// A descriptor that becomes readable when held output may go out.
    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Writes held output that need not wait any more.
    fn release(&mut self, _: &mut Io, _: Clock, _: &Targets) -> Result<()> {
        Ok(())
    }

    /// The figures of a target in one interval.
    fn interval(&mut self, _: &mut Io, _: Clock, _: &Target, _: &Stats) -> Result<()> {
        Ok(())
    }

    /// The run is over; `targets` holds those that are not decided.
    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()>;
}
