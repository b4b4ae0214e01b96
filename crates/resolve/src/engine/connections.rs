//! The engine's connections: what comes over them, and how they end.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use super::failure;
use super::{Engine, Protocol};

/// Connections that may end under one lookup. Servers end them after some
/// queries; as long as each has answered something, that is progress.
const RECONNECTS_MAX: u8 = 100;

/// Connections that may end under one lookup without an answer to anybody,
/// where there is no other server to ask.
const BARREN_MAX: u8 = 2;

impl Engine {
    /// Moves a connection on and reads what came over it.
    pub(super) fn drive(&mut self, index: usize, number: usize, now: Instant) {
        let protocol = match self.upstreams[index].server.protocol() {
            Protocol::Udp => Protocol::Tcp,
            other => other,
        };
        let Some(stream) = self.upstreams[index].streams[number].as_mut() else {
            return;
        };
        // What comes now is heard now, after what was sent this turn.
        let moved = stream.drive(Instant::now());
        while let Some(message) = self.upstreams[index].streams[number]
            .as_mut()
            .and_then(super::stream::Stream::next)
        {
            let id = message.first_chunk::<2>().map(|b| u16::from_be_bytes(*b));
            let stream = self.upstreams[index].streams[number].as_ref();
            match id.and_then(|id| stream?.flight(id)) {
                Some((flight, sent)) => {
                    self.upstreams[index].heard = Some(Instant::now());
                    // The wait for its turn is no part of the round trip.
                    if let Some(flight) = self.flights.get_mut(flight) {
                        flight.sent = sent;
                    }
                    self.heard(flight, &message, false, protocol, Instant::now());
                }
                None => self.figures.ignored += 1,
            }
        }
        if let Err(error) = moved {
            self.close(index, number, &error, now);
        }
    }

    /// The end of a connection. A server may close one that has served for a
    /// while, or where one query of many took it too long; the others are then
    /// asked again, the oldest first.
    pub(super) fn close(&mut self, index: usize, number: usize, error: &io::Error, now: Instant) {
        let peer = &mut self.upstreams[index];
        let Some(stream) = peer.streams[number].take() else {
            return;
        };
        let broken = stream.is_established()
            && matches!(
                error.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
            );
        let preferred = stream.answered == 0 && peer.heard.is_none() && peer.refused_stream();
        // It has answered on one before, and serves no more of them at a time.
        let crowded = stream.answered == 0 && peer.parallel > 1 && peer.open() > 0;
        if crowded {
            peer.parallel_max = peer.open();
            peer.parallel = peer.parallel_max;
        } else {
            peer.at_once = stream.next_limit();
            if broken && stream.answered > 0 && peer.at_once != usize::MAX {
                peer.parallel = peer.parallel_max;
            }
        }
        let servers = self.upstreams.len();
        let peer = &self.upstreams[index];
        let label = Arc::clone(&peer.server.label);
        let answers = peer.heard.is_some();
        let mut cut: Vec<(u32, u32, bool)> = stream
            .all()
            .into_iter()
            .filter_map(|held| {
                let serial = self.flights.get(held.flight)?.serial;
                Some((serial, held.flight, held.sent.is_some()))
            })
            .collect();
        cut.sort_unstable();
        // All of them leave before any is asked again: ids and places of this
        // connection must not be mistaken for those of the next one.
        let mut slots: Vec<(u32, bool)> = Vec::with_capacity(cut.len());
        let mut seen = HashSet::new();
        for (_, at, sent) in cut {
            let Some(slot) = self.flights.get(at).map(|f| f.job) else {
                continue;
            };
            self.release(at);
            if let Some(job) = self.jobs.get_mut(slot) {
                job.flights.retain(|f| *f != at);
                if seen.insert(slot) {
                    slots.push((slot, sent));
                }
            }
        }
        for (slot, sent) in slots {
            let Some(job) = self.jobs.get_mut(slot) else {
                continue;
            };
            let over_udp = preferred && job.stream & 1 << index == 0;
            let again = if over_udp {
                true
            } else if stream.answered > 0 {
                job.reconnects += u8::from(sent);
                job.reconnects <= RECONNECTS_MAX
            } else if crowded {
                // No more often than there are connections.
                true
            } else {
                job.barren += u8::from(sent);
                (broken || answers) && job.left(servers) == 1 && job.barren <= BARREN_MAX
            };
            if again {
                if !sent {
                    // It never went out.
                    self.figures.queries -= 1;
                    self.figures.repeated -= u64::from(job.round > 1);
                    job.tries -= 1;
                    job.round -= 1;
                }
                self.transmit(slot, index, now);
            } else {
                self.fail(slot, index, failure::of_io(error, &label), None, now);
            }
        }
    }
}
