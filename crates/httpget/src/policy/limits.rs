//! Limits that the user sets for a transfer.

use std::time::Duration;

/// Bounds on the size and the speed of a body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The maximum size of a body in bytes, both as received and as decoded.
    pub max_bytes: Option<u64>,
    /// The highest speed in bytes per second.
    pub max_rate: Option<u64>,
    /// The lowest speed in bytes per second, and the time over which it is
    /// measured.
    pub min_speed: Option<(u64, Duration)>,
}
