//! The books: what was sent to whom, and what every answer means for it. No
//! sockets here; the engine brings what it received, read but not judged.
//!
//! An answer is ours if its cookie is, or, where the data is too short or
//! spoiled, if sequence number and address fit a probe in the window.

use std::net::{IpAddr, Ipv4Addr};

use crate::clock::Nanos;
use crate::cookie::Cookies;
use crate::event::{Damage, Overdue};
use crate::packet::{COOKIE, Echo};
use crate::plan::Settled;
use crate::probes::{Probe, Probes, State};
use crate::target::{TargetId, Targets};

/// Probes remembered while answers to them may decide their targets.
const WANTED: usize = 1 << 17;

/// Targets, probes, and the key to recognise them.
#[derive(Debug)]
pub(crate) struct Books {
    /// Everybody being probed.
    pub(crate) targets: Targets,
    /// Every probe that is remembered.
    pub(crate) probes: Probes,
    /// Makes and checks cookies.
    pub(crate) cookies: Cookies,
    /// Probes of all targets that wait for an answer.
    pub(crate) in_flight: u64,
    /// The rules that the user set.
    pub(crate) rules: Rules,
}

/// The rules for answers that count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// The timeout that the user gave to probes.
    pub(crate) wait: Option<Nanos>,
    /// An answer to any probe of a target that is not decided counts, however
    /// late it comes.
    pub(crate) any_answer: bool,
    /// An answer from another address than the one asked does not count.
    pub(crate) strict_source: bool,
}

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// Whose.
    pub(crate) target: TargetId,
    /// To which probe of that target.
    pub(crate) seq: u64,
    /// How long it took, where that is known.
    pub(crate) rtt: Option<Nanos>,
    /// Whether the probe's time had passed.
    pub(crate) late: bool,
    /// Whether the probe had been answered.
    pub(crate) duplicate: bool,
    /// Whether a later probe had been answered.
    pub(crate) reordered: bool,
    /// Whether it came from another address than the one that was asked.
    pub(crate) foreign: bool,
    /// What is wrong with it.
    pub(crate) damage: Option<Damage<'a>>,
    /// What the plan has to be told.
    pub(crate) settled: Option<Settled>,
}

impl Books {
    /// Empty books that remember `memory` settled probes.
    pub(crate) fn new(cookies: Cookies, memory: usize) -> Self {
        Self {
            targets: Targets::default(),
            probes: Probes::new(memory),
            cookies,
            in_flight: 0,
            rules: Rules::default(),
        }
    }

    /// Opens the account of a probe about to be sent; returns its number.
    pub(crate) fn open(&mut self, target: TargetId, size: u16) -> u64 {
        let number = self.probes.next_number();
        let seq = match self.targets.get_mut(target) {
            Some(target) => {
                target.sent += 1;
                target.last_probe = number;
                target.sent
            }
            None => 0,
        };
        self.probes.push(Probe {
            sent: Nanos::MAX,
            target,
            size,
            state: State::Pending,
            seen: false,
            is_out: false,
            seq,
        })
    }

    /// A probe goes out now.
    pub(crate) fn sent(&mut self, number: u64, at: Nanos) -> Option<TargetId> {
        let probe = self.probes.get(number)?;
        probe.sent = at;
        probe.is_out = true;
        let id = probe.target;
        let target = self.targets.get_mut(id)?;
        target.pending += 1;
        self.in_flight += 1;
        target.stats.sent(at);
        Some(id)
    }

    /// Whose a probe is, and its number there.
    pub(crate) fn probe(&mut self, number: u64) -> Option<(TargetId, u64)> {
        let probe = self.probes.get(number)?;
        Some((probe.target, probe.seq))
    }

    /// When a probe was sent.
    pub(crate) fn sent_at(&mut self, number: u64) -> Option<Nanos> {
        Some(self.probes.get(number)?.sent)
    }

    /// When a probe that does not count as sent yet was handed to the system.
    pub(crate) fn is_going_out(&mut self, number: u64) -> Option<Nanos> {
        let probe = self.probes.get(number)?;
        (!probe.is_out).then_some(probe.sent)
    }

    /// Whether something has become of a probe.
    pub(crate) fn is_settled(&mut self, number: u64) -> bool {
        let probe = self.probes.get(number);
        probe.is_none_or(|probe| probe.state != State::Pending)
    }

    /// Whether a probe's time is up and [`Books::expire`] has something to say.
    pub(crate) fn is_due(&self, now: Nanos, timeout: Nanos) -> bool {
        let next = self.probes.next_expiry(timeout);
        self.in_flight > 0 && next.is_some_and(|at| at <= now)
    }

    /// The number of a target's last probe, if it has not been answered.
    pub(crate) fn unanswered(&mut self, id: TargetId) -> Option<u64> {
        let last = self.targets.get(id)?.last_probe;
        let probe = self.probes.get(last)?;
        (probe.state != State::Answered).then_some(probe.seq)
    }

    /// A probe met an error, from the network or, with `local`, already here.
    /// Returns the target, the probe's number there, and whether this settles
    /// it.
    pub(crate) fn failed(&mut self, number: u64, local: bool) -> Option<(TargetId, u64, bool)> {
        let probe = self.probes.get(number)?;
        let target = self.targets.get_mut(probe.target)?;
        target.stats.errors += 1;
        target.stats.unsent += u64::from(local);
        if !local {
            target.stats.acknowledge(probe.seq);
        }
        let settles = probe.state == State::Pending;
        if settles {
            probe.state = State::Failed;
            target.pending = target.pending.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_sub(1);
            target.stats.lost(probe.sent);
        }
        Some((probe.target, probe.seq, settles))
    }

    /// The next probe whose time is up: its target, its number there, and
    /// whether that is news.
    pub(crate) fn expire(
        &mut self,
        now: Nanos,
        timeout: Nanos,
    ) -> Option<(TargetId, u64, Settled)> {
        let (_, probe) = self.probes.expire(now, timeout)?;
        let (id, seq, sent) = (probe.target, probe.seq, probe.sent);
        if probe.state != State::Pending {
            return Some((id, seq, Settled::Expired));
        }
        probe.state = State::Lost;
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(target) = self.targets.get_mut(id) {
            target.pending = target.pending.saturating_sub(1);
            target.stats.lost(sent);
        }
        Some((id, seq, Settled::Lost))
    }

    /// Whether an answer to the oldest probe may still decide its target.
    fn is_wanted(&self) -> bool {
        self.rules.any_answer
            && self.probes.len() <= WANTED
            && self.probes.oldest().is_some_and(|probe| {
                let target = self.targets.get(probe.target);
                target.is_some_and(|target| !target.ended)
            })
    }

    /// Forgets what is old: probes beyond what is remembered, and decided
    /// targets with their last probe.
    pub(crate) fn forget(&mut self) {
        while !self.is_wanted()
            && let Some((number, probe)) = self.probes.retire()
        {
            let over = self
                .targets
                .get(probe.target)
                .is_some_and(|target| target.ended && target.last_probe == number);
            if over {
                self.targets.remove(probe.target);
            }
        }
    }

    /// The probes that wait for an answer and count as lost if the run ends now.
    fn overdue(&self, now: Nanos) -> impl Iterator<Item = (u64, TargetId)> {
        let pending = self.probes.pending();
        let overdue = pending.filter(move |(_, probe)| self.is_overdue(probe, now));
        overdue.map(|(number, probe)| (number, probe.target))
    }

    /// Whether a probe without an answer counts as lost if the run ends now: it
    /// is no younger than [`Rules::wait`] or, if that is `None`, than twice the
    /// longest round trip of its target. If nothing was received from the
    /// target, every probe counts.
    fn is_overdue(&self, probe: &Probe, now: Nanos) -> bool {
        let Some(target) = self.targets.get(probe.target) else {
            return false;
        };
        let limit = match self.rules.wait {
            _ if target.stats.received == 0 => 0,
            Some(wait) => wait,
            None => target.stats.max().saturating_mul(2),
        };
        now.saturating_sub(probe.sent) >= limit
    }

    /// How many probes of each target count as lost now and have not been
    /// given up.
    pub(crate) fn count_overdue(&self, now: Nanos) -> Overdue {
        let mut counts = Overdue::new();
        for (_, id) in self.overdue(now) {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    /// The run ends: what counts as lost is lost, and the rest stays in
    /// flight.
    pub(crate) fn close(&mut self, now: Nanos) {
        let overdue = self.overdue(now).collect();
        self.lose(overdue);
    }

    /// [`Books::close`] for one target.
    pub(crate) fn close_target(&mut self, id: TargetId, now: Nanos) {
        let pending = self.targets.get(id).map_or(0, |target| target.pending);
        // From the newest, and no further than needed: a sweep decides
        // hundreds of thousands of targets, and the window is as long.
        let own = self.probes.pending().rev();
        let own = own.filter(|(_, probe)| probe.target == id);
        let overdue = own
            .take(pending as usize)
            .filter(|(_, probe)| self.is_overdue(probe, now))
            .map(|(number, _)| (number, id))
            .collect();
        self.lose(overdue);
    }

    fn lose(&mut self, overdue: Vec<(u64, TargetId)>) {
        for (number, id) in overdue {
            let Some(probe) = self.probes.get(number) else {
                continue;
            };
            probe.state = State::Lost;
            self.in_flight = self.in_flight.saturating_sub(1);
            if let Some(target) = self.targets.get_mut(id) {
                target.pending = target.pending.saturating_sub(1);
                target.stats.lost(probe.sent);
            }
        }
    }

    /// The targets that were asked and are not decided, in the order in which
    /// they were begun.
    pub(crate) fn undecided(&self) -> Vec<TargetId> {
        let open = self.targets.undecided();
        let mut open: Vec<_> = open
            .map(|(id, target)| (target.stats.first_sent, id))
            .collect();
        open.sort_unstable();
        open.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether a probe's answer may come from this address.
    fn is_from(&self, probe: &Probe, from: IpAddr) -> bool {
        self.targets
            .get(probe.target)
            .is_some_and(|target| target.address == from || target.is_shared())
    }

    /// The number of the probe that an ICMP error about a packet to `to` is
    /// about. A router need not quote the cookie (RFC 792 asks for eight bytes
    /// after the IP header), but what it quotes of it has to be right.
    pub(crate) fn quoted(&mut self, echo: &Echo<'_>, to: IpAddr) -> Option<u64> {
        let mut settled = None;
        for number in self.probes.numbers_of(echo.seq) {
            let Some(probe) = self.probes.get(number).copied() else {
                continue;
            };
            let target = self.targets.get(probe.target);
            if target.is_none_or(|target| target.address != to) {
                continue;
            }
            let size = usize::from(probe.size);
            let length = COOKIE.min(size).min(echo.data.len());
            if echo.data[..length] != self.cookies.make(number, size)[..length] {
                continue;
            }
            if probe.state == State::Pending || length == COOKIE {
                return Some(number);
            }
            settled.get_or_insert(number);
        }
        settled
    }

    /// Judges an echo reply from `from`, given the data that goes out in every
    /// probe, how long a probe has, and when a packet sent at some time came
    /// in. `None` if it is not ours.
    pub(crate) fn reply<'a>(
        &mut self,
        echo: &Echo<'a>,
        from: IpAddr,
        data: &[u8],
        timeout: Nanos,
        arrival: impl Fn(Nanos) -> Nanos,
    ) -> Option<Answer<'a>> {
        let mut foreign = false;
        let (number, damage, believed) = match self.cookies.number(echo.data) {
            Some(number) if number as u16 == echo.seq => {
                let Some(probe) = self.probes.get(number).copied() else {
                    return self.ancient(number, from);
                };
                if !self.is_from(&probe, from) {
                    foreign = true;
                    let target = self.targets.get_mut(probe.target)?;
                    target.stats.foreign += 1;
                    // A unicast host answers from a unicast address.
                    if self.rules.strict_source || !is_unicast(from) {
                        return None;
                    }
                }
                let damage = self.damage(number, &probe, echo, data);
                (number, damage, true)
            }
            _ => {
                let candidates = self.probes.numbers_of(echo.seq);
                let number = candidates.into_iter().find(|number| {
                    let probe = self.probes.get(*number).copied();
                    probe.is_some_and(|probe| self.is_from(&probe, from))
                })?;
                let probe = self.probes.get(number).copied()?;
                let damage = self.damage(number, &probe, echo, data);
                // Without a whole cookie the time says something only if
                // nothing else is wrong.
                (number, damage, damage.is_none())
            }
        };
        let mut answer = self.enter(number, damage, believed, timeout, arrival)?;
        answer.foreign = foreign;
        Some(answer)
    }

    /// Enters an answer that belongs to a probe.
    fn enter<'a>(
        &mut self,
        number: u64,
        damage: Option<Damage<'a>>,
        believed: bool,
        timeout: Nanos,
        arrival: impl Fn(Nanos) -> Nanos,
    ) -> Option<Answer<'a>> {
        let probe = self.probes.get(number)?;
        let at = arrival(probe.sent);
        let rtt = at.saturating_sub(probe.sent);
        let target = self.targets.get_mut(probe.target)?;
        let stats = &mut target.stats;
        let mut answer = Answer {
            target: probe.target,
            seq: probe.seq,
            rtt: believed.then_some(rtt),
            late: false,
            duplicate: false,
            reordered: false,
            foreign: false,
            damage,
            settled: None,
        };
        stats.acknowledge(probe.seq);
        if damage.is_some() {
            stats.corrupt += 1;
            if probe.state == State::Pending {
                probe.state = State::Spoiled;
                target.pending = target.pending.saturating_sub(1);
                self.in_flight = self.in_flight.saturating_sub(1);
                stats.lost(probe.sent);
                answer.settled = Some(Settled::Failed);
            }
            return Some(answer);
        }
        if probe.seen {
            answer.duplicate = true;
            stats.duplicates += 1;
            return Some(answer);
        }
        probe.seen = true;
        let counts = self.rules.any_answer && !target.ended;
        if (probe.state == State::Lost || rtt > timeout) && !counts {
            answer.late = true;
            stats.late();
            return Some(answer);
        }
        match probe.state {
            State::Pending => {
                target.pending = target.pending.saturating_sub(1);
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            // An error or something corrupt came before the right answer, or
            // it was given up.
            _ => stats.found(),
        }
        probe.state = State::Answered;
        answer.reordered = stats.received(probe.seq, rtt, at);
        target.answered = true;
        answer.settled = Some(Settled::Answered);
        Some(answer)
    }

    /// An answer to a probe that is no longer remembered. With a single target
    /// it is certain whose, and then it is late.
    fn ancient<'a>(&mut self, number: u64, from: IpAddr) -> Option<Answer<'a>> {
        let (id, target) = self.targets.iter().next()?;
        let known = number > 0 && number < self.probes.next_number();
        let single = self.targets.len() == 1 && target.sent == self.probes.next_number() - 1;
        if !known || !single || target.address != from {
            return None;
        }
        self.targets.get_mut(id)?.stats.late();
        Some(Answer {
            target: id,
            seq: number,
            rtt: None,
            late: true,
            duplicate: false,
            reordered: false,
            foreign: false,
            damage: None,
            settled: None,
        })
    }

    fn damage<'a>(
        &self,
        number: u64,
        probe: &Probe,
        echo: &Echo<'a>,
        data: &[u8],
    ) -> Option<Damage<'a>> {
        if !echo.checksum_ok {
            return Some(Damage::Checksum);
        }
        let size = usize::from(probe.size);
        if echo.data.len() < size {
            return Some(Damage::Truncated);
        }
        let cookie = self.cookies.make(number, size);
        let cookie = &cookie[..COOKIE.min(size)];
        let rest = data.get(cookie.len()..size).unwrap_or_default();
        let (head, tail) = echo.data[..size].split_at(cookie.len());
        if head == cookie && tail == rest {
            return None;
        }
        let expected = cookie.iter().chain(rest);
        let differs = |(_, (a, b)): &(usize, (&u8, &u8))| a != b;
        let (at, (_, expected)) = echo.data.iter().zip(expected).enumerate().find(differs)?;
        Some(Damage::Data {
            at,
            expected: *expected,
            data: echo.data,
        })
    }
}

/// Whether a host can have this address.
fn is_unicast(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !address.is_multicast() && !address.is_unspecified() && !broadcast
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
