//! What a load run counts.

use std::collections::BTreeMap;
use std::time::Duration;

use common::Result;

use crate::stats::Latencies;

/// Reasons of failure that are counted apart.
const REASONS_MAX: usize = 50;

/// What all further ones are called.
const OTHER: &str = "another reason";

/// Counts of a run so far.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Connections that were made; with `--reconnect` those that were used and
    /// closed in order.
    pub(crate) connected: u64,
    /// Echoes that came back right.
    pub(crate) messages: u64,
    /// Bytes of those.
    pub(crate) bytes: u64,
    /// Echoes that came back wrong.
    pub(crate) mismatches: u64,
    /// Connections that failed, by reason.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Echoes that had not come back at the end.
    pub(crate) missing: u64,
    /// Messages that were due by the schedule and had not been sent at the end,
    /// on connections that had not failed.
    pub(crate) unsent: u64,
    /// The latencies of those that came back right.
    pub(crate) latencies: Latencies,
    /// Equal latencies that have just come in, as those of one read are when
    /// the messages had gone out by one write.
    latest: (u64, u64),
    /// The kernel's smoothed round-trip times, summed up, and their number.
    rtt: (Duration, u32),
    /// Segments sent again.
    retransmits: Option<u64>,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            connected: 0,
            messages: 0,
            bytes: 0,
            mismatches: 0,
            errors: BTreeMap::new(),
            missing: 0,
            unsent: 0,
            latencies: Latencies::new()?,
            latest: (0, 0),
            rtt: (Duration::ZERO, 0),
            retransmits: None,
        })
    }

    /// An echo came back right, after so long. To be followed by
    /// [`Self::settle`].
    pub(crate) fn echo(&mut self, size: usize, nanos: u64) {
        self.messages += 1;
        self.bytes += size as u64;
        if self.latest.0 != nanos {
            self.settle();
            self.latest.0 = nanos;
        }
        self.latest.1 += 1;
    }

    /// Takes the latest echoes into the statistics.
    pub(crate) fn settle(&mut self) {
        let (nanos, count) = std::mem::take(&mut self.latest);
        if count > 0 {
            self.latencies.record_equal(nanos, count);
        }
    }

    /// A connection failed.
    pub(crate) fn error(&mut self, why: impl Into<String>) {
        let mut why = why.into();
        // A peer chooses the names in the errors about its certificate.
        if self.errors.len() >= REASONS_MAX && !self.errors.contains_key(&why) {
            OTHER.clone_into(&mut why);
        }
        *self.errors.entry(why).or_default() += 1;
    }

    /// Everything that went wrong besides wrong bytes.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.missing + self.unsent
    }

    /// What the kernel says of a connection.
    pub(crate) fn tcp_info(&mut self, rtt: Duration, retransmits: u32) {
        if self.rtt.1 < u32::MAX {
            self.rtt = (self.rtt.0.saturating_add(rtt), self.rtt.1 + 1);
        }
        let sum = self.retransmits.unwrap_or(0) + u64::from(retransmits);
        self.retransmits = Some(sum);
    }

    /// The mean of the kernel's round-trip times.
    pub(crate) fn tcp_rtt(&self) -> Option<Duration> {
        (self.rtt.1 > 0).then(|| self.rtt.0 / self.rtt.1)
    }

    /// Segments sent again.
    pub(crate) fn tcp_retransmits(&self) -> Option<u64> {
        self.retransmits
    }

    /// Whether something came back, all of it, and right.
    pub(crate) fn all_right(&self) -> bool {
        self.messages > 0 && self.mismatches == 0 && self.error_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded() {
        let mut tally = Tally::new().unwrap();
        for n in 0..10_000 {
            tally.error(format!("name {n}"));
        }
        tally.error("name 1");
        assert_eq!(tally.errors.len(), REASONS_MAX + 1);
        assert_eq!((tally.errors["name 1"], tally.errors[OTHER]), (2, 9950));
        assert_eq!(tally.error_count(), 10_001);
    }

    #[test]
    fn equal_latencies_are_counted_one_by_one() {
        let mut tally = Tally::new().unwrap();
        for nanos in [0, 0, 7, 7, 7, 9, 7] {
            tally.echo(10, nanos);
        }
        tally.settle();
        tally.settle();
        assert_eq!((tally.messages, tally.bytes), (7, 70));
        assert_eq!(tally.latencies.count(), 7);
        assert_eq!(tally.latencies.mean(), Some(Duration::from_nanos(37 / 7)));
        assert_eq!(tally.latencies.max(), Some(Duration::from_nanos(9)));
    }
}
