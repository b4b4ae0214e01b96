//! A list that is watched: a line or record for each target and interval, with
//! the statistics of the probes that were sent in that interval.
//!
//! An interval is reported when all of its probes are settled, so that a reply
//! counts in the interval of its probe. The inner output format prints the
//! intervals and everything else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::BorrowedFd;

use common::Result;
use common::app::Io;

use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, OverdueCounts, RejectedOperand};
use crate::stats::Stats;
use crate::target::{Target, TargetId, Targets};

/// The statistics of one target in an interval that has not been reported.
#[derive(Debug, Default)]
struct OpenInterval {
    stats: Box<Stats>,
    /// The lost probes. A correct reply to them may still come.
    lost: HashSet<u64>,
    /// The number of probes that are not settled.
    in_flight: u64,
    /// The sequence number of the first probe after the interval, if it is over.
    end: Option<u64>,
}

impl OpenInterval {
    fn record_sent(&mut self, now: Nanos) {
        self.stats.record_sent(now);
        self.in_flight += 1;
    }

    /// Counts a probe as lost, unless it is lost already.
    fn record_loss(&mut self, seq: u64, now: Nanos) {
        if self.lost.insert(seq) {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.stats.record_loss(now);
        }
    }

    fn record_reply(&mut self, seq: u64, rtt: Nanos, now: Nanos) {
        if self.lost.remove(&seq) {
            self.stats.retract_loss();
        } else {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.stats.record_reply(seq, rtt, now);
    }
}

/// An observer that divides a run into intervals and passes every call on to the
/// output format.
pub(crate) struct Watch {
    inner: Box<dyn Observer>,
    interval: Nanos,
    /// When the current interval ends.
    end: Nanos,
    open: HashMap<TargetId, VecDeque<OpenInterval>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("interval", &self.interval)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Creates a watch in front of an output format.
    pub(crate) fn new(inner: Box<dyn Observer>, interval: Nanos) -> Self {
        Self {
            inner,
            interval,
            end: interval,
            open: HashMap::new(),
        }
    }

    /// Returns the interval in which a probe was sent, unless it has been
    /// reported.
    fn interval_of(&mut self, target: &Target, seq: u64) -> Option<&mut OpenInterval> {
        let open = self.open.get_mut(&target.id)?;
        open.iter_mut()
            .find(|open| open.end.is_none_or(|end| seq < end))
            .filter(|open| open.stats.sent > 0)
    }

    /// Updates the statistics of an interval.
    fn record(&mut self, now: Nanos, target: &Target, event: &Event<'_>) {
        match event {
            Event::Sent => {
                let open = self.open.entry(target.id).or_default();
                if open.back().is_none_or(|open| open.end.is_some()) {
                    open.push_back(OpenInterval::default());
                }
                if let Some(open) = open.back_mut() {
                    open.record_sent(now);
                }
            }
            Event::Reply(reply) => {
                let Some(open) = self.interval_of(target, reply.seq) else {
                    return;
                };
                if reply.corruption.is_some() {
                    open.stats.corrupt += 1;
                    open.record_loss(reply.seq, now);
                } else if reply.is_duplicate {
                    open.stats.duplicates += 1;
                } else {
                    open.stats.foreign += u64::from(reply.is_foreign);
                    open.record_reply(reply.seq, reply.rtt.unwrap_or(0), now);
                }
            }
            Event::LateReply(reply) => {
                if let Some(open) = self.interval_of(target, reply.seq) {
                    open.stats.late += 1;
                }
            }
            Event::Timeout { seq } => {
                if let Some(open) = self.interval_of(target, *seq) {
                    open.record_loss(*seq, now);
                }
            }
            Event::Icmp { seq, .. } => {
                if let Some(open) = self.interval_of(target, *seq) {
                    open.stats.errors += 1;
                    open.record_loss(*seq, now);
                }
            }
            Event::Unsent { seq, .. } => {
                // The probe counts as sent, without an event of its own.
                self.record(now, target, &Event::Sent);
                if let Some(open) = self.interval_of(target, *seq) {
                    open.stats.errors += 1;
                    open.record_loss(*seq, now);
                }
            }
            Event::Outstanding { .. } | Event::Notice { .. } => {}
        }
    }

    /// Reports the intervals of a target that are over and have no probe in
    /// flight.
    fn report_settled(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        let Some(open) = self.open.get_mut(&target.id) else {
            return Ok(());
        };
        while let Some(first) = open.front()
            && first.end.is_some()
            && first.in_flight == 0
        {
            self.inner.interval_ended(io, clock, target, &first.stats)?;
            open.pop_front();
        }
        Ok(())
    }
}

/// Returns when the interval after `now` ends. If the process was stopped, the
/// phase of the intervals stays the same.
fn next_end(end: Nanos, interval: Nanos, now: Nanos) -> Nanos {
    end + (now - end) / interval * interval + interval
}

impl Observer for Watch {
    fn target_started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.inner.target_started(io, clock, target)
    }

    fn operand_rejected(
        &mut self,
        io: &mut Io,
        clock: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        self.inner.operand_rejected(io, clock, rejected)
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        self.record(clock.now(), target, event);
        self.inner.event(io, clock, target, event)?;
        self.report_settled(io, clock, target)
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.inner.target_decided(io, clock, target)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &OverdueCounts) -> Result<()> {
        self.inner.snapshot(io, targets, overdue)
    }

    fn release_deadline(&self) -> Option<Nanos> {
        Some(self.end)
    }

    fn is_holding(&self) -> bool {
        self.inner.is_holding()
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.wake_fd()
    }

    fn release(&mut self, io: &mut Io, clock: Clock, targets: &Targets) -> Result<()> {
        let now = clock.now();
        if now < self.end {
            return Ok(());
        }
        self.end = next_end(self.end, self.interval, now);
        let mut ids: Vec<TargetId> = self.open.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(target) = targets.get(id) else {
                continue;
            };
            if let Some(last) = self.open.get_mut(&id).and_then(VecDeque::back_mut) {
                last.end.get_or_insert(target.stats.sent + 1);
            }
            self.report_settled(io, clock, target)?;
        }
        io.out.flush()
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        self.inner.finish(io, clock, targets, drops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Corruption, Reply};
    use crate::output::test_io::TestIo;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Collects the statistics of the intervals that are reported.
    #[derive(Clone, Default)]
    struct Intervals(Rc<RefCell<Vec<Stats>>>);

    impl Observer for Intervals {
        fn interval_ended(
            &mut self,
            _: &mut Io,
            _: Clock,
            _: &Target,
            stats: &Stats,
        ) -> Result<()> {
            self.0.borrow_mut().push(stats.clone());
            Ok(())
        }
    }

    /// A watch of one target with an interval of a nanosecond.
    struct Fixture {
        watch: Watch,
        io: TestIo,
        clock: Clock,
        targets: Targets,
        id: TargetId,
    }

    impl Fixture {
        fn new(intervals: &Intervals) -> Self {
            let mut targets = Targets::default();
            let id = targets.add(Target::new(None, [10, 0, 0, 1].into(), 0));
            Self {
                watch: Watch::new(Box::new(intervals.clone()), 1),
                io: TestIo::new(),
                clock: Clock::start(),
                targets,
                id,
            }
        }

        fn notify(&mut self, event: Event<'_>) {
            let target = self.targets.get_mut(self.id).unwrap();
            target.stats.sent += u64::from(matches!(event, Event::Sent));
            let io = &mut self.io.io;
            self.watch.event(io, self.clock, target, &event).unwrap();
        }

        /// Ends the current interval.
        fn end_interval(&mut self) {
            let io = &mut self.io.io;
            self.watch.release(io, self.clock, &self.targets).unwrap();
        }
    }

    fn reply(seq: u64) -> Reply<'static> {
        Reply {
            seq,
            from: [10, 0, 0, 1].into(),
            is_foreign: false,
            identifier: 7,
            bytes: 64,
            ttl: None,
            rtt: Some(5),
            is_duplicate: false,
            is_reordered: false,
            corruption: None,
        }
    }

    #[test]
    fn a_probe_belongs_to_the_interval_it_was_sent_in() {
        let intervals = Intervals::default();
        let mut fixture = Fixture::new(&intervals);
        for event in [
            Event::Sent,
            Event::Reply(reply(1)),
            Event::Sent,
            Event::Sent,
        ] {
            fixture.notify(event);
        }
        fixture.end_interval();
        // The first interval has two probes in flight.
        for event in [Event::Sent, Event::Reply(reply(4))] {
            fixture.notify(event);
        }
        fixture.end_interval();
        fixture.notify(Event::Reply(reply(3)));
        fixture.notify(Event::Timeout { seq: 2 });
        let counts = |stats: &Stats| (stats.sent, stats.received, stats.lost);
        let counts: Vec<_> = intervals.0.borrow().iter().map(counts).collect();
        assert_eq!(counts, [(3, 2, 1), (1, 1, 0)]);
    }

    #[test]
    fn every_kind_of_reply_is_counted() {
        let intervals = Intervals::default();
        let mut fixture = Fixture::new(&intervals);
        let corrupt = Reply {
            corruption: Some(Corruption::Truncated),
            ..reply(1)
        };
        let foreign = Reply {
            is_foreign: true,
            ..reply(2)
        };
        let duplicate = Reply {
            is_duplicate: true,
            ..reply(2)
        };
        for event in [
            Event::Sent,
            Event::Sent,
            Event::Sent,
            Event::Reply(corrupt),
            Event::Reply(foreign),
            Event::Reply(duplicate),
            Event::Timeout { seq: 3 },
            Event::LateReply(reply(3)),
        ] {
            fixture.notify(event);
        }
        fixture.end_interval();
        // A correct reply after the corrupt one would take its loss back.
        fixture.notify(Event::Sent);
        fixture.notify(Event::Reply(Reply {
            corruption: Some(Corruption::Truncated),
            ..reply(4)
        }));
        fixture.notify(Event::Reply(reply(4)));
        fixture.end_interval();
        let intervals = intervals.0.borrow();
        let [first, second] = &intervals[..] else {
            panic!("{} intervals", intervals.len());
        };
        assert_eq!((first.sent, first.received, first.lost), (3, 1, 2));
        assert_eq!((first.corrupt, first.foreign), (1, 1));
        assert_eq!((first.duplicates, first.late), (1, 1));
        assert_eq!((second.sent, second.received, second.lost), (1, 1, 0));
    }

    #[test]
    fn a_probe_that_is_not_sent_counts_as_sent_and_lost() {
        let intervals = Intervals::default();
        let mut fixture = Fixture::new(&intervals);
        fixture.targets.get_mut(fixture.id).unwrap().stats.sent = 1;
        fixture.notify(Event::Unsent {
            seq: 1,
            errno: libc::ENETUNREACH,
            mtu: None,
        });
        fixture.end_interval();
        let stats = &intervals.0.borrow()[0];
        assert_eq!((stats.sent, stats.lost, stats.errors), (1, 1, 1));
    }

    #[test]
    fn intervals_keep_their_phase() {
        assert_eq!(next_end(100, 100, 100), 200);
        assert_eq!(next_end(100, 100, 199), 200);
        assert_eq!(next_end(100, 100, 350), 400);
    }
}
