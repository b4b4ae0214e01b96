//! Matches replies and ICMP errors with probes.
//!
//! A message belongs to a probe if it holds the probe's cookie. If the data is
//! too short for a cookie or is corrupt, it belongs to the newest probe in the
//! window with its sequence number and address.

use std::net::{IpAddr, Ipv4Addr};

use super::{MatchedReply, ProbeTracker};
use crate::clock::Nanos;
use crate::event::Corruption;
use crate::packet::{COOKIE, Echo};
use crate::probes::{Probe, ProbeStatus};
use crate::schedule::ProbeOutcome;

impl ProbeTracker {
    /// Whether a reply to a probe may come from this address.
    fn may_come_from(&self, probe: &Probe, from: IpAddr) -> bool {
        self.targets
            .get(probe.target)
            .is_some_and(|target| target.address == from || target.accepts_any_source())
    }

    /// Returns the number of the probe that is quoted by an ICMP error about a
    /// packet to `to`. A router need not quote the cookie (RFC 792 asks for eight
    /// bytes after the IP header), but the bytes that it quotes must be correct.
    pub(crate) fn match_quoted(&mut self, echo: &Echo<'_>, to: IpAddr) -> Option<u64> {
        let mut settled_match = None;
        for number in self.probes.numbers_with_seq(echo.seq) {
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
            if probe.status == ProbeStatus::Pending || length == COOKIE {
                return Some(number);
            }
            settled_match.get_or_insert(number);
        }
        settled_match
    }

    /// Matches an echo reply from `from` with its probe and records it. `data`
    /// is the data that all probes share, without the cookie, `timeout` is the time
    /// after which a reply is late, and `arrival` returns when the reply to a
    /// probe sent at a given time arrived. Returns `None` if the reply belongs to no
    /// probe.
    pub(crate) fn match_reply<'a>(
        &mut self,
        echo: &Echo<'a>,
        from: IpAddr,
        data: &[u8],
        timeout: Nanos,
        arrival: impl Fn(Nanos) -> Nanos,
    ) -> Option<MatchedReply<'a>> {
        let mut is_foreign = false;
        let (number, corruption, is_certain) = match self.cookies.number(echo.data) {
            Some(number) if number as u16 == echo.seq => {
                let Some(probe) = self.probes.get(number).copied() else {
                    return self.match_retired(number, from);
                };
                if !self.may_come_from(&probe, from) {
                    is_foreign = true;
                    let target = self.targets.get_mut(probe.target)?;
                    target.stats.foreign += 1;
                    // No host replies from a broadcast or multicast address.
                    if self.rules.strict_source || !is_unicast(from) {
                        return None;
                    }
                }
                let corruption = self.find_corruption(number, &probe, echo, data);
                (number, corruption, true)
            }
            _ => {
                let candidates = self.probes.numbers_with_seq(echo.seq);
                let number = candidates.into_iter().find(|number| {
                    let probe = self.probes.get(*number).copied();
                    probe.is_some_and(|probe| self.may_come_from(&probe, from))
                })?;
                let probe = self.probes.get(number).copied()?;
                let corruption = self.find_corruption(number, &probe, echo, data);
                // Without a complete cookie the round-trip time is reliable
                // only if the rest is correct.
                (number, corruption, corruption.is_none())
            }
        };
        let mut reply = self.record_reply(number, corruption, is_certain, timeout, arrival)?;
        reply.is_foreign = is_foreign;
        Some(reply)
    }

    /// Records a reply to the probe `number`. The round-trip time is returned
    /// only if it `is_certain` that the reply belongs to this probe.
    fn record_reply<'a>(
        &mut self,
        number: u64,
        corruption: Option<Corruption<'a>>,
        is_certain: bool,
        timeout: Nanos,
        arrival: impl Fn(Nanos) -> Nanos,
    ) -> Option<MatchedReply<'a>> {
        let probe = self.probes.get(number)?;
        let at = arrival(probe.sent_at);
        let rtt = at.saturating_sub(probe.sent_at);
        let target = self.targets.get_mut(probe.target)?;
        let stats = &mut target.stats;
        let mut reply = MatchedReply {
            target: probe.target,
            seq: probe.seq,
            rtt: is_certain.then_some(rtt),
            is_late: false,
            is_duplicate: false,
            is_reordered: false,
            is_foreign: false,
            corruption,
            outcome: None,
        };
        stats.acknowledge(probe.seq);
        if corruption.is_some() {
            stats.corrupt += 1;
            if probe.status == ProbeStatus::Pending {
                probe.status = ProbeStatus::Corrupt;
                target.in_flight = target.in_flight.saturating_sub(1);
                self.in_flight = self.in_flight.saturating_sub(1);
                stats.record_loss(probe.sent_at);
                reply.outcome = Some(ProbeOutcome::Failed);
            }
            return Some(reply);
        }
        if probe.has_reply {
            reply.is_duplicate = true;
            stats.duplicates += 1;
            return Some(reply);
        }
        probe.has_reply = true;
        let accepts_late_reply = self.rules.accept_any_reply && !target.is_decided;
        let is_late = probe.status == ProbeStatus::Lost || rtt > timeout;
        if is_late && !accepts_late_reply {
            reply.is_late = true;
            stats.record_late();
            return Some(reply);
        }
        match probe.status {
            ProbeStatus::Pending => {
                target.in_flight = target.in_flight.saturating_sub(1);
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            // The probe counts as lost: an error or a corrupt reply came first,
            // or it has timed out.
            _ => stats.retract_loss(),
        }
        probe.status = ProbeStatus::Answered;
        reply.is_reordered = stats.record_reply(probe.seq, rtt, at);
        target.has_replied = true;
        reply.outcome = Some(ProbeOutcome::Answered);
        Some(reply)
    }

    /// Matches a reply to a probe that has left the window. With a single
    /// target it is certain which target was probed, and the reply is late.
    fn match_retired<'a>(&mut self, number: u64, from: IpAddr) -> Option<MatchedReply<'a>> {
        let (id, target) = self.targets.iter().next()?;
        let was_sent = number > 0 && number < self.probes.next_number();
        let is_single =
            self.targets.len() == 1 && target.allocated == self.probes.next_number() - 1;
        if !was_sent || !is_single || target.address != from {
            return None;
        }
        self.targets.get_mut(id)?.stats.record_late();
        Some(MatchedReply {
            target: id,
            seq: number,
            rtt: None,
            is_late: true,
            is_duplicate: false,
            is_reordered: false,
            is_foreign: false,
            corruption: None,
            outcome: None,
        })
    }

    /// Compares a reply with the probe; returns the first difference.
    fn find_corruption<'a>(
        &self,
        number: u64,
        probe: &Probe,
        echo: &Echo<'a>,
        data: &[u8],
    ) -> Option<Corruption<'a>> {
        if !echo.checksum_ok {
            return Some(Corruption::Checksum);
        }
        let size = usize::from(probe.size);
        if echo.data.len() < size {
            return Some(Corruption::Truncated);
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
        let (offset, (_, expected)) = echo.data.iter().zip(expected).enumerate().find(differs)?;
        Some(Corruption::Data {
            offset,
            expected: *expected,
            data: echo.data,
        })
    }
}

/// Whether this can be the address of a single host.
fn is_unicast(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !address.is_multicast() && !address.is_unspecified() && !broadcast
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
