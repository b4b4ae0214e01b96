//! Statistics of latencies, in constant memory. Minimum, mean and maximum are
//! exact; percentiles are those of [`Percentiles`].

use std::time::Duration;

use common::latency::Percentiles;

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
    percentiles: Percentiles<3>,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            percentiles: Percentiles::default(),
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_nanos(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds a latency in nanoseconds.
    pub(crate) fn record_nanos(&mut self, nanos: u64) {
        self.record_n(nanos, 1);
    }

    /// Adds `count` equal latencies in nanoseconds; `count` must not be zero.
    pub(crate) fn record_n(&mut self, nanos: u64, count: u64) {
        self.percentiles.record(nanos, count);
        self.sum += u128::from(nanos) * u128::from(count);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Returns the number of latencies.
    pub(crate) fn count(&self) -> u64 {
        self.percentiles.count()
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
        let [nanos] = self.percentiles.quantiles([quantile])?;
        Some(Duration::from_nanos(nanos.clamp(self.min, self.max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::latency::MAX_EXACT;

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
        let empty = Latencies::default();
        assert_eq!((empty.min(), empty.mean(), empty.max()), (None, None, None));
        assert_eq!(empty.quantile(0.5), None);
    }

    #[test]
    fn a_latency_above_an_hour_is_reported_as_it_is() {
        let mut latencies = Latencies::default();
        let day = Duration::from_secs(86_400);
        latencies.record(day);
        assert_eq!(latencies.max(), Some(day));
        assert_eq!(latencies.quantile(0.99), Some(day));
        // The histogram counts them as one hour.
        latencies.record_n(day.as_nanos() as u64, 2 * MAX_EXACT as u64);
        assert_eq!(latencies.quantile(0.99), Some(day));
    }
}
