//! Latencies: least, mean, greatest exactly; percentiles exactly while they
//! are few, then from a histogram whose error is below a tenth of a percent
//! however many there are.

use std::time::Duration;

use common::{Error, Kind, Result};
use hdrhistogram::Histogram;

/// The longest latency kept apart, an hour; longer ones count as this.
const LONGEST: u64 = 3_600_000_000_000;

/// So many are kept as they are: a person who counts the lines of a short run
/// finds each percentile among them.
const EXACT: usize = 512;

/// The variation of round trips in order of arrival, smoothed as in RFC 3550,
/// section 6.4.1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Jitter {
    last: Option<Duration>,
    nanos: f64,
    several: bool,
}

impl Jitter {
    /// Takes the next round trip.
    pub(crate) fn record(&mut self, rtt: Duration) {
        if let Some(last) = self.last {
            let difference = rtt.abs_diff(last).as_nanos() as f64;
            self.nanos += (difference - self.nanos) / 16.0;
            self.several = true;
        }
        self.last = Some(rtt);
    }

    /// The jitter; `None` before the second round trip.
    pub(crate) fn get(&self) -> Option<Duration> {
        self.several
            .then(|| Duration::from_nanos(self.nanos.round() as u64))
    }
}

/// Recorded latencies.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    /// All of them, as long as there are no more than [`EXACT`].
    few: Vec<u64>,
    sum: u128,
    min: u64,
    max: u64,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3)
            .map_err(|e| Error::new(Kind::System, e.to_string()))?;
        Ok(Self {
            histogram,
            few: Vec::new(),
            sum: 0,
            min: u64::MAX,
            max: 0,
        })
    }

    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_nanos(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds one in nanoseconds.
    pub(crate) fn record_nanos(&mut self, nanos: u64) {
        self.record_equal(nanos, 1);
    }

    /// Adds `count` that are equal, at least one.
    pub(crate) fn record_equal(&mut self, nanos: u64, count: u64) {
        self.histogram.saturating_record_n(nanos, count);
        if self.count() <= EXACT as u64 {
            self.few.resize(self.count() as usize, nanos);
        }
        self.sum += u128::from(nanos) * u128::from(count);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    fn some(&self, nanos: impl FnOnce() -> u64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(nanos()))
    }

    /// The least.
    pub(crate) fn min(&self) -> Option<Duration> {
        self.some(|| self.min)
    }

    /// The greatest.
    pub(crate) fn max(&self) -> Option<Duration> {
        self.some(|| self.max)
    }

    /// The arithmetic mean.
    pub(crate) fn mean(&self) -> Option<Duration> {
        self.some(|| (self.sum / u128::from(self.count())) as u64)
    }

    /// The latency that `quantile` (0 to 1) of all do not exceed, by the
    /// nearest rank.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.some(|| {
            if self.count() <= EXACT as u64 {
                let mut few = self.few.clone();
                few.sort_unstable();
                let rank = (quantile * few.len() as f64).ceil() as usize;
                return few[rank.clamp(1, few.len()) - 1];
            }
            let value = self.histogram.value_at_quantile(quantile);
            // The histogram answers with the upper end of a bucket.
            value.clamp(self.min, self.max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn jitter_is_that_of_the_rfc() {
        let mut jitter = Jitter::default();
        assert_eq!(jitter.get(), None);
        let micros = Duration::from_micros;
        jitter.record(micros(10));
        assert_eq!(jitter.get(), None);
        jitter.record(micros(30));
        assert_eq!(jitter.get(), Some(Duration::from_nanos(1250)));
        jitter.record(micros(20));
        // 1.25 + (10 - 1.25) / 16 microseconds.
        assert_eq!(jitter.get(), Some(Duration::from_nanos(1797)));
    }

    #[test]
    fn nothing_has_no_latency() {
        let none = Latencies::new().unwrap();
        assert_eq!((none.min(), none.mean(), none.max()), (None, None, None));
        assert_eq!(none.quantile(0.5), None);
    }

    #[test]
    fn longer_than_an_hour() {
        let mut latencies = Latencies::new().unwrap();
        let day = Duration::from_secs(86_400);
        latencies.record(day);
        assert_eq!(latencies.max(), Some(day));
        assert_eq!(latencies.quantile(0.99), Some(day));
        // The histogram has them as an hour.
        latencies.record_equal(day.as_nanos() as u64, 2 * EXACT as u64);
        assert_eq!(latencies.quantile(0.99), Some(day));
    }

    #[test]
    fn of_a_few_the_middle_one() {
        let mut latencies = Latencies::new().unwrap();
        // Of these the histogram has only the upper ends of their buckets.
        for nanos in [52_345_678, 12_345_678, 92_345_678] {
            latencies.record_nanos(nanos);
        }
        let nanos = |q| latencies.quantile(q).unwrap().as_nanos();
        assert_eq!(nanos(0.5), 52_345_678);
        assert_eq!((nanos(0.3), nanos(0.9)), (12_345_678, 92_345_678));
    }

    proptest! {
        #[test]
        fn quantiles_are_close(
            mut all in prop::collection::vec(1u64..10_000_000_000, 1..2 * EXACT), q in 0.01f64..1.0,
        ) {
            let mut latencies = Latencies::new().unwrap();
            for &nanos in &all {
                latencies.record_nanos(nanos);
            }
            all.sort_unstable();
            let rank = (q * all.len() as f64).ceil() as usize;
            let exact = all[rank.clamp(1, all.len()) - 1] as f64;
            let got = latencies.quantile(q).unwrap().as_nanos() as f64;
            let tolerance = if all.len() <= EXACT { 0.0 } else { exact * 0.001 + 1.0 };
            prop_assert!((got - exact).abs() <= tolerance, "{got} {exact}");
            prop_assert_eq!(latencies.min(), Some(Duration::from_nanos(all[0])));
            prop_assert_eq!(latencies.max(), Some(Duration::from_nanos(all[all.len() - 1])));
        }
    }
}
