//! [`PeakMemory`]: the peak resident memory of a child process.
//!
//! `VmHWM` in `/proc/PID/status` is read at once and then every millisecond
//! until the process ends. The value is the kernel's own high-water mark, so a
//! short peak between two reads is not missed; only growth within the last
//! millisecond of the process can be. (`ru_maxrss` would include that, but it
//! starts with the memory of the test program that made the child.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two reads.
const PERIOD: Duration = Duration::from_millis(1);

/// A running measurement.
#[derive(Debug)]
pub(crate) struct PeakMemory {
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl PeakMemory {
    /// Measures the child `pid` until it ends. The child must not be reaped
    /// before [`PeakMemory::finish`] has returned.
    pub(crate) fn watch(pid: u32) -> Self {
        let first = high_water_mark(pid).unwrap_or(0);
        let peak = Arc::new(AtomicU64::new(first));
        let thread = std::thread::spawn({
            let peak = Arc::clone(&peak);
            // A zombie has a status without memory, which ends the loop.
            move || {
                while let Some(bytes) = high_water_mark(pid) {
                    peak.fetch_max(bytes, Ordering::Relaxed);
                    std::thread::sleep(PERIOD);
                }
            }
        });
        Self { peak, thread }
    }

    /// The peak so far, in bytes.
    pub(crate) fn so_far(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The peak of a process that has ended, in bytes; `None` if it ended
    /// before the first read.
    pub(crate) fn finish(self) -> Option<u64> {
        self.thread.join().expect("the peak memory was read");
        Some(self.peak.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// `VmHWM` of a process in bytes, or `None` once it has ended.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
