//! How many connections this process can have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections: standard streams, signals,
/// listeners, and what libraries open for a moment.
const RESERVE: u64 = 24;

/// Descriptors of a worker: poller, event and timer.
const PER_WORKER: u64 = 3;

/// Raises the soft limit of descriptors as far as it goes, and says how many
/// connections may be open at once: as many as asked, or as many as fit.
pub(crate) fn connections(asked: Option<usize>, workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Only ever upwards, so a refusal changes nothing.
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    asked.unwrap_or_else(|| fitting(current, workers))
}

fn fitting(limit: Option<u64>, workers: usize) -> usize {
    let kept = RESERVE + PER_WORKER * workers as u64;
    match limit {
        None => usize::MAX / 4,
        Some(limit) => usize::try_from(limit.saturating_sub(kept).max(1)).unwrap_or(usize::MAX / 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_stays_below_the_limit() {
        assert_eq!(fitting(Some(1024), 1), 997);
        assert_eq!(fitting(Some(64), 4), 28);
        assert_eq!(fitting(Some(8), 1), 1);
        assert!(fitting(None, 1) > 1_000_000);
    }
}
