//! The limit on open connections that the descriptor limit implies.

/// Descriptors reserved for everything but connections: standard streams,
/// signals, listeners, and descriptors that libraries open temporarily.
const RESERVED: u64 = 24;

/// Descriptors of a worker: the poller and its waker, and one to spare.
const PER_WORKER: u64 = 3;

/// The maximum number of descriptors that the kernel allocates space for at the start,
/// 8 bytes each.
const PREALLOCATED: usize = 16_384;

/// The number of connections if descriptors are not limited.
const UNLIMITED: usize = usize::MAX / 4;

/// Raises the soft limit of descriptors to the hard limit and returns the
/// number of connections that may be open at the same time: `requested`, or as
/// many as the descriptor limit allows.
pub(crate) fn max_connections(requested: Option<usize>, workers: usize) -> usize {
    // A limit that cannot be raised is only lower.
    let limit = net::descriptors::raise_limit(None).unwrap_or_else(|_| net::descriptors::limit());
    requested.unwrap_or_else(|| connections_within(limit, workers))
}

/// Raises the limit of descriptors and allocates the kernel's table of them, so that
/// accepting many connections at once does not wait for it to grow. Call it before the
/// first thread starts.
pub(crate) fn preallocate(requested: Option<usize>) {
    // A limit that cannot be raised is only lower.
    let _ = net::descriptors::raise_limit(None);
    let reserved = usize::try_from(RESERVED).unwrap_or(0);
    let descriptors = requested.unwrap_or(UNLIMITED).saturating_add(reserved);
    net::descriptors::preallocate(descriptors.min(PREALLOCATED));
}

/// Returns how many connections fit within a limit of descriptors, at least 1.
fn connections_within(limit: Option<u64>, workers: usize) -> usize {
    let reserved = RESERVED + PER_WORKER * workers as u64;
    match limit {
        None => UNLIMITED,
        Some(limit) => usize::try_from(limit.saturating_sub(reserved).max(1)).unwrap_or(UNLIMITED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_leaves_descriptors_for_other_uses() {
        assert_eq!(connections_within(Some(1024), 1), 997);
        assert_eq!(connections_within(Some(64), 4), 28);
        assert_eq!(connections_within(Some(8), 1), 1);
        assert!(connections_within(None, 1) > 1_000_000);
    }
}
