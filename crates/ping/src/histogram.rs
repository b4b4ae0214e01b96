//! Percentiles of round-trip times in constant memory. The first 512 times are
//! kept as they are; after that, times are counted in logarithmic buckets. So a
//! target of a long list, which has few times, needs little memory.
//!
//! A bucket holds the times that share their highest eight bits. Its width is at
//! most 1/128 of its times, so a percentile is at most 0.4 % off. Times longer
//! than half an hour fall into the last bucket.

/// The number of times that are kept as they are.
const EXACT: usize = 512;

/// The number of buckets for each power of two.
const PER_OCTAVE: u64 = 128;

/// The number of bits of the longest time: 2^41 ns are 36 minutes.
const BITS: u32 = 41;

/// The number of buckets; the first 256 hold one nanosecond each.
const BUCKETS: usize = 256 + (BITS as usize - 8) * PER_OCTAVE as usize;

/// The distribution of a target's round-trip times, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram(Storage);

#[derive(Clone, Debug)]
enum Storage {
    Exact(Vec<u64>),
    Buckets(Box<[u64]>),
}

impl Default for Histogram {
    fn default() -> Self {
        Self(Storage::Exact(Vec::new()))
    }
}

impl Histogram {
    /// Adds a time in nanoseconds.
    pub(crate) fn add(&mut self, time: u64) {
        match &mut self.0 {
            Storage::Exact(times) if times.len() < EXACT => times.push(time),
            Storage::Exact(times) => {
                let mut counts = vec![0; BUCKETS].into_boxed_slice();
                for time in times.iter().chain([&time]) {
                    counts[bucket(*time)] += 1;
                }
                self.0 = Storage::Buckets(counts);
            }
            Storage::Buckets(counts) => counts[bucket(time)] += 1,
        }
    }

    /// Returns percentiles by the nearest-rank method, or `None` without any
    /// times.
    pub(crate) fn percentiles<const N: usize>(&self, percents: [u8; N]) -> Option<[u64; N]> {
        match &self.0 {
            Storage::Exact(times) => {
                let mut times = times.clone();
                times.sort_unstable();
                let last = times.len().checked_sub(1)?;
                let total = times.len() as u64;
                Some(percents.map(|p| times[(rank(total, p) as usize - 1).min(last)]))
            }
            Storage::Buckets(counts) => {
                let total = counts.iter().sum();
                let mut found = [0; N];
                for (percent, found) in percents.into_iter().zip(&mut found) {
                    let rank = rank(total, percent);
                    let mut seen = 0;
                    for (index, count) in counts.iter().enumerate() {
                        seen += count;
                        if seen >= rank {
                            *found = middle(index);
                            break;
                        }
                    }
                }
                Some(found)
            }
        }
    }
}

/// Returns the nearest rank of a percentage, from 1.
fn rank(total: u64, percent: u8) -> u64 {
    (total.saturating_mul(u64::from(percent)).div_ceil(100)).max(1)
}

fn bucket(time: u64) -> usize {
    let time = time.min((1 << BITS) - 1);
    let octave = (time | 0xff).ilog2() - 7;
    // For times below 256 the octave is 0 and the bucket is the time itself.
    (u64::from(octave) * PER_OCTAVE + (time >> octave)) as usize
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_OCTAVE {
        return bucket;
    }
    let octave = bucket / PER_OCTAVE - 1;
    let low = (bucket - octave * PER_OCTAVE) << octave;
    low + (1 << octave) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_times_are_exact() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles([50]), None);
        for time in [30, 10, 20] {
            histogram.add(time);
        }
        assert_eq!(histogram.percentiles([50, 90, 99]), Some([20, 30, 30]));
    }

    #[test]
    fn every_time_has_one_bucket() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(255), 255);
        assert_eq!(bucket(256), 256);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for index in 0..BUCKETS {
            assert_eq!(bucket(middle(index)), index);
        }
    }

    proptest! {
        #[test]
        fn percentiles_of_many_times_are_close(mut times in proptest::collection::vec(1u64..1 << 40, 513..2000)) {
            let mut histogram = Histogram::default();
            for time in &times {
                histogram.add(*time);
            }
            times.sort_unstable();
            let found = histogram.percentiles([50, 90, 99]).unwrap();
            for (found, percent) in found.into_iter().zip([50, 90, 99]) {
                let exact = times[rank(times.len() as u64, percent) as usize - 1];
                prop_assert!(found.abs_diff(exact) as f64 <= exact as f64 * 0.004 + 1.0);
            }
        }
    }
}
