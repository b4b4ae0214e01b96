//! Statistics of latencies. Minimum, mean and maximum are exact. Percentiles
//! are exact as long as there are few latencies; then they come from a
//! histogram with an error below 0.1 %, in constant memory.

use std::time::Duration;

use common::{Error, Kind, Result};
use hdrhistogram::Histogram;

/// The upper bound of the histogram in nanoseconds, one hour. It counts longer
/// latencies as this one.
const LATENCY_MAX: u64 = 3_600_000_000_000;

/// The number of latencies that are stored as they are, so that each
/// percentile of a short run is one of the values that were printed.
const EXACT_MAX: usize = 512;

/// The jitter of round-trip times in order of arrival, smoothed as in RFC 3550,
/// section 6.4.1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Jitter {
    last: Option<Duration>,
    nanos: f64,
    has_pair: bool,
}

impl Jitter {
    /// Adds the next round-trip time.
    pub(crate) fn record(&mut self, rtt: Duration) {
        if let Some(last) = self.last {
            let difference = rtt.abs_diff(last).as_nanos() as f64;
            self.nanos += (difference - self.nanos) / 16.0;
            self.has_pair = true;
        }
        self.last = Some(rtt);
    }

    /// Returns the jitter, or `None` before the second round-trip time.
    pub(crate) fn get(&self) -> Option<Duration> {
        self.has_pair
            .then(|| Duration::from_nanos(self.nanos.round() as u64))
    }
}

/// A set of latencies with its statistics.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    /// The latencies in nanoseconds, up to [`EXACT_MAX`] of them.
    exact: Vec<u64>,
    sum: u128,
    min: u64,
    max: u64,
}

impl Latencies {
    /// Creates an empty set of latencies.
    pub(crate) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX, 3)
            .map_err(|e| Error::new(Kind::System, e.to_string()))?;
        Ok(Self {
            histogram,
            exact: Vec::new(),
            sum: 0,
            min: u64::MAX,
            max: 0,
        })
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_nanos(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds a latency in nanoseconds.
    pub(crate) fn record_nanos(&mut self, nanos: u64) {
        self.record_n(nanos, 1);
    }

    /// Adds `count` equal latencies in nanoseconds; `count` must not be zero.
    pub(crate) fn record_n(&mut self, nanos: u64, count: u64) {
        self.histogram.saturating_record_n(nanos, count);
        if self.count() <= EXACT_MAX as u64 {
            self.exact.resize(self.count() as usize, nanos);
        }
        self.sum += u128::from(nanos) * u128::from(count);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Returns the number of latencies.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    fn if_any(&self, nanos: impl FnOnce() -> u64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(nanos()))
    }

    pub(crate) fn min(&self) -> Option<Duration> {
        self.if_any(|| self.min)
    }

    pub(crate) fn max(&self) -> Option<Duration> {
        self.if_any(|| self.max)
    }

    pub(crate) fn mean(&self) -> Option<Duration> {
        self.if_any(|| (self.sum / u128::from(self.count())) as u64)
    }

    /// Returns the latency that a share of `quantile` (0 to 1) of all latencies
    /// does not exceed, by the nearest-rank method.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.if_any(|| {
            if self.count() <= EXACT_MAX as u64 {
                let mut exact = self.exact.clone();
                exact.sort_unstable();
                let rank = (quantile * exact.len() as f64).ceil() as usize;
                return exact[rank.clamp(1, exact.len()) - 1];
            }
            let value = self.histogram.value_at_quantile(quantile);
            // The histogram returns the upper bound of a bucket.
            value.clamp(self.min, self.max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn jitter_follows_rfc_3550() {
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
    fn an_empty_set_has_no_statistics() {
        let empty = Latencies::new().unwrap();
        assert_eq!((empty.min(), empty.mean(), empty.max()), (None, None, None));
        assert_eq!(empty.quantile(0.5), None);
    }

    #[test]
    fn a_latency_above_an_hour_is_reported_as_it_is() {
        let mut latencies = Latencies::new().unwrap();
        let day = Duration::from_secs(86_400);
        latencies.record(day);
        assert_eq!(latencies.max(), Some(day));
        assert_eq!(latencies.quantile(0.99), Some(day));
        // The histogram counts them as one hour.
        latencies.record_n(day.as_nanos() as u64, 2 * EXACT_MAX as u64);
        assert_eq!(latencies.quantile(0.99), Some(day));
    }

    #[test]
    fn percentiles_of_few_latencies_are_exact() {
        let mut latencies = Latencies::new().unwrap();
        // The histogram would return the upper bounds of their buckets.
        for nanos in [52_345_678, 12_345_678, 92_345_678] {
            latencies.record_nanos(nanos);
        }
        let nanos = |q| latencies.quantile(q).unwrap().as_nanos();
        assert_eq!(nanos(0.5), 52_345_678);
        assert_eq!((nanos(0.3), nanos(0.9)), (12_345_678, 92_345_678));
    }

    proptest! {
        #[test]
        fn percentiles_are_close_to_the_exact_ones(
            mut all in prop::collection::vec(1u64..10_000_000_000, 1..2 * EXACT_MAX), q in 0.01f64..1.0,
        ) {
            let mut latencies = Latencies::new().unwrap();
            for &nanos in &all {
                latencies.record_nanos(nanos);
            }
            all.sort_unstable();
            let rank = (q * all.len() as f64).ceil() as usize;
            let exact = all[rank.clamp(1, all.len()) - 1] as f64;
            let got = latencies.quantile(q).unwrap().as_nanos() as f64;
            let tolerance = if all.len() <= EXACT_MAX { 0.0 } else { exact * 0.001 + 1.0 };
            prop_assert!((got - exact).abs() <= tolerance, "{got} {exact}");
            prop_assert_eq!(latencies.min(), Some(Duration::from_nanos(all[0])));
            prop_assert_eq!(latencies.max(), Some(Duration::from_nanos(all[all.len() - 1])));
        }
    }
}
