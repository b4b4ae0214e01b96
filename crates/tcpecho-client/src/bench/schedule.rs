//! The schedule of the open loop: message `k` is due `k` intervals after the
//! start, regardless of the peer, and its latency is measured from its due time.
//! So a stall of the peer delays every message that is due during the stall, as
//! it would for independent users. This avoids "coordinated omission".

/// The due times of messages, in nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval: f64,
    connections: u64,
}

impl Schedule {
    /// Creates a schedule of `rate` messages per second, assigned to the
    /// connections in turn.
    pub(crate) fn new(rate: f64, connections: usize) -> Self {
        Self {
            interval: 1e9 / rate,
            connections: connections as u64,
        }
    }

    /// Returns the due time of message `k` of the run.
    pub(crate) fn due_time(&self, k: u64) -> u64 {
        (k as f64 * self.interval) as u64
    }

    /// Returns the number of messages that are due by `now`.
    pub(crate) fn count_due(&self, now: u64) -> u64 {
        let mut count = (now as f64 / self.interval) as u64;
        // Corrects rounding, so that the result agrees with `due_time`.
        while self.due_time(count) <= now {
            count += 1;
        }
        while count > 0 && self.due_time(count - 1) > now {
            count -= 1;
        }
        count
    }

    /// Returns the index of the connection that sends message `k`.
    pub(crate) fn connection(&self, k: u64) -> usize {
        (k % self.connections) as usize
    }

    /// Returns the due time of message `sequence` of a connection.
    pub(crate) fn due_time_on(&self, connection: u32, sequence: u64) -> u64 {
        self.due_time(sequence * self.connections + u64::from(connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn due_times_agree_with_counts_and_connections(rate in 0.1f64..1e7, connections in 1usize..10_000, k in 0u64..1 << 40) {
            let schedule = Schedule::new(rate, connections);
            let connection = schedule.connection(k);
            let sequence = k / connections as u64;
            prop_assert_eq!(schedule.due_time_on(connection as u32, sequence), schedule.due_time(k));
            prop_assert!(schedule.due_time(k + 1) >= schedule.due_time(k));
            let by = schedule.count_due(schedule.due_time(k));
            prop_assert!(by > k && schedule.due_time(by) > schedule.due_time(k));
            prop_assert_eq!(schedule.due_time(by - 1), schedule.due_time(k));
        }
    }

    #[test]
    fn due_times_do_not_drift() {
        let schedule = Schedule::new(20_000.0, 50);
        assert_eq!(schedule.due_time(0), 0);
        assert_eq!(schedule.due_time(20_000), 1_000_000_000);
        // After a year the error is still below a microsecond.
        let year = 365 * 86_400 * 20_000u64;
        assert!(
            schedule
                .due_time(year)
                .abs_diff(365 * 86_400 * 1_000_000_000)
                < 1000
        );
    }
}
