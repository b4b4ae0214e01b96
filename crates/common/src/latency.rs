//! Percentiles of latencies in constant memory.
//!
//! The first [`MAX_EXACT`] latencies are kept as they are: the percentiles of a
//! short run are among its values, and each of many targets with few latencies
//! needs little memory. After that they are counted in a histogram.

use hdrhistogram::Histogram;

/// The number of latencies that are kept as they are.
pub const MAX_EXACT: usize = 512;

/// The upper bound of the histogram in nanoseconds, one hour. It counts longer
/// latencies as this one.
const MAX_LATENCY: u64 = 3_600_000_000_000;

/// The distribution of latencies in nanoseconds. The histogram has a precision
/// of `DIGITS` decimal digits: with 2 it needs 37 kB and a percentile is at most
/// 0.4 % off, with 3 it needs 270 kB and 0.05 %.
#[derive(Clone, Debug)]
pub struct Percentiles<const DIGITS: u8>(Storage);

#[derive(Clone, Debug)]
enum Storage {
    Exact(Vec<u64>),
    Histogram(Box<Histogram<u64>>),
}

impl<const DIGITS: u8> Default for Percentiles<DIGITS> {
    fn default() -> Self {
        Self(Storage::Exact(Vec::new()))
    }
}

impl<const DIGITS: u8> Percentiles<DIGITS> {
    /// Adds `count` latencies of `nanos` nanoseconds.
    pub fn record(&mut self, nanos: u64, count: u64) {
        match &mut self.0 {
            Storage::Exact(exact) => {
                let len = exact.len() as u64 + count;
                if len <= MAX_EXACT as u64 {
                    exact.resize(len as usize, nanos);
                    return;
                }
                // The bounds are valid, so this cannot fail.
                let Ok(mut histogram) = Histogram::new_with_bounds(1, MAX_LATENCY, DIGITS) else {
                    return;
                };
                for nanos in exact {
                    histogram.saturating_record(*nanos);
                }
                histogram.saturating_record_n(nanos, count);
                self.0 = Storage::Histogram(Box::new(histogram));
            }
            Storage::Histogram(histogram) => histogram.saturating_record_n(nanos, count),
        }
    }

    /// Returns the number of latencies.
    pub fn count(&self) -> u64 {
        match &self.0 {
            Storage::Exact(exact) => exact.len() as u64,
            Storage::Histogram(histogram) => histogram.len(),
        }
    }

    /// Returns the latencies that these shares (0 to 1) of all latencies do not
    /// exceed, by the nearest-rank method, or `None` without a latency. Those of a
    /// histogram may lie outside the extremes.
    pub fn quantiles<const N: usize>(&self, quantiles: [f64; N]) -> Option<[u64; N]> {
        match &self.0 {
            Storage::Exact(exact) => {
                let mut exact = exact.clone();
                exact.sort_unstable();
                let last = exact.len().checked_sub(1)?;
                let rank = |quantile: f64| (quantile * exact.len() as f64).ceil() as usize;
                Some(quantiles.map(|quantile| exact[rank(quantile).saturating_sub(1).min(last)]))
            }
            Storage::Histogram(histogram) => Some(quantiles.map(|quantile| {
                let nanos = histogram.value_at_quantile(quantile);
                histogram.median_equivalent(nanos)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_latencies_are_exact() {
        let mut percentiles = Percentiles::<2>::default();
        assert_eq!(
            (percentiles.count(), percentiles.quantiles([0.5])),
            (0, None)
        );
        for nanos in [52_345_678, 12_345_678, 92_345_678] {
            percentiles.record(nanos, 1);
        }
        assert_eq!(
            percentiles.quantiles([0.0, 0.3, 0.5, 0.9, 1.0]),
            Some([12_345_678, 12_345_678, 52_345_678, 92_345_678, 92_345_678])
        );
    }

    #[test]
    fn equal_latencies_may_be_added_at_once() {
        let mut percentiles = Percentiles::<3>::default();
        percentiles.record(1_000, 400);
        percentiles.record(5_000, 400);
        assert_eq!(percentiles.count(), 800);
        let [low, high] = percentiles.quantiles([0.5, 0.51]).unwrap();
        assert!(
            low.abs_diff(1_000) < 2 && high.abs_diff(5_000) < 4,
            "{low} {high}"
        );
    }

    /// Checks percentiles with this relative error.
    fn check<const DIGITS: u8>(all: &[u64], q: f64, error: f64) -> Result<(), TestCaseError> {
        let mut percentiles = Percentiles::<DIGITS>::default();
        for &nanos in all {
            percentiles.record(nanos, 1);
        }
        let mut sorted = all.to_vec();
        sorted.sort_unstable();
        let rank = (q * all.len() as f64).ceil() as usize;
        let exact = sorted[rank.clamp(1, all.len()) - 1] as f64;
        let [found] = percentiles.quantiles([q]).unwrap();
        let tolerance = if all.len() <= MAX_EXACT {
            0.0
        } else {
            exact * error + 1.0
        };
        prop_assert!((found as f64 - exact).abs() <= tolerance, "{found} {exact}");
        Ok(())
    }

    proptest! {
        #[test]
        fn percentiles_are_close_to_the_exact_ones(
            all in prop::collection::vec(1u64..1 << 41, 1..2 * MAX_EXACT), q in 0.01f64..1.0,
        ) {
            check::<2>(&all, q, 0.004)?;
            check::<3>(&all, q, 0.0005)?;
        }
    }
}
