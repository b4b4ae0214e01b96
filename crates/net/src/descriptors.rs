//! The limit on open descriptors of this process (RLIMIT_NOFILE).

use std::io;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to `wanted`, or as far as the hard limit allows; to the hard
/// limit if `wanted` is `None`. Never lowers it. Returns the soft limit in effect
/// afterwards, `None` for no limit. After an error the limit is as before.
pub fn raise_limit(wanted: Option<u64>) -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    let soft = soft_limit(&limit, wanted);
    let raised = Rlimit {
        current: soft,
        maximum: limit.maximum,
    };
    if soft == limit.current {
        return Ok(soft);
    }
    setrlimit(Resource::Nofile, raised)?;
    Ok(soft)
}

/// Returns the soft limit, `None` for no limit.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Lets the kernel allocate its table of descriptors for at least `count` of them, or
/// as many as the limit allows. Without this the table doubles whenever it is full, and
/// in a process with several threads each time waits for an RCU grace period of all
/// CPUs, about 10 ms. Call it before the first thread starts. Does nothing if the
/// system refuses.
pub fn preallocate(count: usize) {
    let count = limit().map_or(count, |limit| {
        count.min(usize::try_from(limit).unwrap_or(usize::MAX))
    });
    let Ok(highest) = i32::try_from(count.saturating_sub(1)) else {
        return;
    };
    // The table only grows, so the descriptor itself is closed at once.
    drop(fcntl_dupfd_cloexec(io::stdin(), highest));
}

/// Returns the soft limit to set.
fn soft_limit(limit: &Rlimit, wanted: Option<u64>) -> Option<u64> {
    let target = match (wanted, limit.maximum) {
        (Some(wanted), Some(maximum)) => Some(wanted.min(maximum)),
        (wanted, maximum) => wanted.or(maximum),
    };
    match (target, limit.current) {
        (Some(target), Some(current)) => Some(target.max(current)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_rises_as_far_as_the_hard_limit_allows() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (current, maximum, wanted, expected) in [
            (Some(1024), Some(4096), None, Some(4096)),
            (Some(1024), Some(4096), Some(2000), Some(2000)),
            (Some(1024), Some(4096), Some(5000), Some(4096)),
            (Some(1024), Some(4096), Some(100), Some(1024)),
            (Some(1024), None, Some(5000), Some(5000)),
            (Some(1024), None, None, None),
            (None, None, Some(5000), None),
        ] {
            assert_eq!(soft_limit(&limit(current, maximum), wanted), expected);
        }
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raise_limit(Some(1)).unwrap(), limit.current);
    }
}
