//! A list that is watched: a line or record for each target and interval, with
//! the figures of the probes that were sent in that interval.
//!
//! An interval is reported once each of its probes has been decided, so that a
//! reply counts where its probe does. Everything else is told by the face
//! behind, to which the reports go, too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::BorrowedFd;

use common::Result;
use common::app::Io;

use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, Overdue, Refusal};
use crate::stats::Stats;
use crate::target::{Target, TargetId, Targets};

/// The figures of one target in one interval.
#[derive(Debug, Default)]
struct Open {
    stats: Box<Stats>,
    /// Probes that are lost so far; a right answer may still come to them.
    failed: HashSet<u64>,
    /// Probes without an answer of any kind.
    pending: u64,
    /// The first probe sent after the interval, once that is over.
    end: Option<u64>,
}

impl Open {
    fn sent(&mut self, now: Nanos) {
        self.stats.sent(now);
        self.pending += 1;
    }

    /// A probe is lost, unless it counts as lost already.
    fn lost(&mut self, seq: u64, now: Nanos) {
        if self.failed.insert(seq) {
            self.pending = self.pending.saturating_sub(1);
            self.stats.lost(now);
        }
    }

    fn received(&mut self, seq: u64, rtt: Nanos, now: Nanos) {
        if self.failed.remove(&seq) {
            self.stats.found();
        } else {
            self.pending = self.pending.saturating_sub(1);
        }
        self.stats.received(seq, rtt, now);
    }
}

/// The face.
pub(crate) struct Watch<'a> {
    behind: &'a mut dyn Observer,
    interval: Nanos,
    /// When the current interval ends.
    end: Nanos,
    open: HashMap<TargetId, VecDeque<Open>>,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("interval", &self.interval)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl<'a> Watch<'a> {
    /// A watch before another face.
    pub(crate) fn new(behind: &'a mut dyn Observer, interval: Nanos) -> Self {
        Self {
            behind,
            interval,
            end: interval,
            open: HashMap::new(),
        }
    }

    /// The interval that a probe was sent in, unless that is reported.
    fn of(&mut self, target: &Target, seq: u64) -> Option<&mut Open> {
        let open = self.open.get_mut(&target.id)?;
        open.iter_mut()
            .find(|open| open.end.is_none_or(|end| seq < end))
            .filter(|open| open.stats.sent > 0)
    }

    /// Takes an event into account.
    fn count(&mut self, now: Nanos, target: &Target, event: &Event<'_>) {
        match event {
            Event::Sent => {
                let open = self.open.entry(target.id).or_default();
                if open.back().is_none_or(|open| open.end.is_some()) {
                    open.push_back(Open::default());
                }
                if let Some(open) = open.back_mut() {
                    open.sent(now);
                }
            }
            Event::Reply(reply) => {
                let Some(open) = self.of(target, reply.seq) else {
                    return;
                };
                if reply.damage.is_some() {
                    open.stats.corrupt += 1;
                    open.lost(reply.seq, now);
                } else if reply.duplicate {
                    open.stats.duplicates += 1;
                } else {
                    open.stats.foreign += u64::from(reply.foreign);
                    open.received(reply.seq, reply.rtt.unwrap_or(0), now);
                }
            }
            Event::Late(reply) => {
                if let Some(open) = self.of(target, reply.seq) {
                    open.stats.late += 1;
                }
            }
            Event::Timeout { seq } => {
                if let Some(open) = self.of(target, *seq) {
                    open.lost(*seq, now);
                }
            }
            Event::Icmp { seq, .. } => {
                if let Some(open) = self.of(target, *seq) {
                    open.stats.errors += 1;
                    open.lost(*seq, now);
                }
            }
            Event::Unsent { seq, .. } => {
                // It counts as sent and was not told as such.
                self.count(now, target, &Event::Sent);
                if let Some(open) = self.of(target, *seq) {
                    open.stats.errors += 1;
                    open.lost(*seq, now);
                }
            }
            Event::Outstanding { .. } | Event::Advice { .. } => {}
        }
    }

    /// Reports the intervals of a target that are over and decided.
    fn report(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        let Some(open) = self.open.get_mut(&target.id) else {
            return Ok(());
        };
        while let Some(first) = open.front()
            && first.end.is_some()
            && first.pending == 0
        {
            self.behind.interval(io, clock, target, &first.stats)?;
            open.pop_front();
        }
        Ok(())
    }
}

impl Observer for Watch<'_> {
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.behind.started(io, clock, target)
    }

    fn refused(&mut self, io: &mut Io, clock: Clock, refusal: &Refusal) -> Result<()> {
        self.behind.refused(io, clock, refusal)
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        self.count(clock.now(), target, event);
        self.behind.event(io, clock, target, event)?;
        self.report(io, clock, target)
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.behind.ended(io, clock, target)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &Overdue) -> Result<()> {
        self.behind.snapshot(io, targets, overdue)
    }

    fn held(&self) -> Option<Nanos> {
        Some(self.end)
    }

    fn is_holding(&self) -> bool {
        self.behind.is_holding()
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.behind.wake()
    }

    fn release(&mut self, io: &mut Io, clock: Clock, targets: &Targets) -> Result<()> {
        let now = clock.now();
        if now < self.end {
            return Ok(());
        }
        // After a stop the grid goes on.
        self.end += (now - self.end) / self.interval * self.interval + self.interval;
        let mut ids: Vec<TargetId> = self.open.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(target) = targets.get(id) else {
                continue;
            };
            if let Some(last) = self.open.get_mut(&id).and_then(VecDeque::back_mut) {
                last.end.get_or_insert(target.stats.sent + 1);
            }
            self.report(io, clock, target)?;
        }
        io.out.flush()
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        self.behind.finish(io, clock, targets, drops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reply;
    use common::Out;
    use common::app::Reporter;

    /// Notes sent, received and lost of every interval reported.
    #[derive(Default)]
    struct Notes(Vec<(u64, u64, u64)>);

    impl Observer for Notes {
        fn started(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
            Ok(())
        }

        fn event(&mut self, _: &mut Io, _: Clock, _: &Target, _: &Event<'_>) -> Result<()> {
            Ok(())
        }

        fn interval(&mut self, _: &mut Io, _: Clock, _: &Target, stats: &Stats) -> Result<()> {
            self.0.push((stats.sent, stats.received, stats.lost));
            Ok(())
        }

        fn ended(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
            Ok(())
        }

        fn snapshot(&mut self, _: &mut Io, _: &Targets, _: &Overdue) -> Result<()> {
            Ok(())
        }

        fn finish(&mut self, _: &mut Io, _: Clock, _: &Targets, _: u64) -> Result<()> {
            Ok(())
        }
    }

    fn reply(seq: u64) -> Event<'static> {
        Event::Reply(Reply {
            seq,
            from: [10, 0, 0, 1].into(),
            foreign: false,
            ident: 7,
            bytes: 64,
            ttl: None,
            rtt: Some(5),
            duplicate: false,
            reordered: false,
            damage: None,
        })
    }

    #[test]
    fn a_probe_belongs_to_the_interval_it_was_sent_in() {
        let mut notes = Notes::default();
        let mut watch = Watch::new(&mut notes, 1);
        let report = Reporter::new("ping", Box::new(std::io::sink()));
        let mut io = Io::over(Out::new(Box::new(std::io::sink())), report);
        let clock = Clock::start();
        let mut targets = Targets::default();
        let id = targets.add(Target::new(None, [10, 0, 0, 1].into(), 0));
        let mut tell = |watch: &mut Watch<'_>, targets: &mut Targets, event: Event<'_>| {
            let target = targets.get_mut(id).unwrap();
            target.stats.sent += u64::from(matches!(event, Event::Sent));
            watch.event(&mut io, clock, target, &event).unwrap();
        };
        let next = |watch: &mut Watch<'_>, targets: &Targets| {
            let report = Reporter::new("ping", Box::new(std::io::sink()));
            let mut io = Io::over(Out::new(Box::new(std::io::sink())), report);
            // The interval is a nanosecond, so one is always over.
            watch.release(&mut io, clock, targets).unwrap();
        };
        for event in [Event::Sent, reply(1), Event::Sent, Event::Sent] {
            tell(&mut watch, &mut targets, event);
        }
        next(&mut watch, &targets);
        // Of the next interval; the two before are still open.
        for event in [Event::Sent, reply(4)] {
            tell(&mut watch, &mut targets, event);
        }
        next(&mut watch, &targets);
        tell(&mut watch, &mut targets, reply(3));
        tell(&mut watch, &mut targets, Event::Timeout { seq: 2 });
        assert_eq!(notes.0, [(3, 2, 1), (1, 1, 0)]);
    }
}
