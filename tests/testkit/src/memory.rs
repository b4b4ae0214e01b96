//! [`PeakMemory`]: the peak resident memory of a child process.
//!
//! A thread reads `VmHWM` in `/proc/PID/status` every millisecond until the
//! process ends. The value is the high-water mark of the kernel, so a short peak
//! between two reads is not missed; only growth within the last millisecond of
//! the process can be. (`ru_maxrss` would include that, but it starts with the
//! memory of the test program that forked the child.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The time between two reads.
const PERIOD: Duration = Duration::from_millis(1);

/// A running measurement of one process.
#[derive(Debug)]
pub(crate) struct PeakMemory {
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl PeakMemory {
    /// Measures the child `pid` until it ends. The child must not be reaped
    /// before [`PeakMemory::finish`] has returned.
    pub(crate) fn start(pid: u32) -> Self {
        wait_for_exec(pid);
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

    /// Returns the peak so far, in bytes.
    pub(crate) fn so_far(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Waits for the end of the process and returns the peak in bytes, or `None`
    /// if the process ended before the first read.
    pub(crate) fn finish(self) -> Option<u64> {
        self.thread
            .join()
            .expect("join the thread that reads the peak memory");
        Some(self.peak.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// Waits until the child `pid` no longer runs the test program. `posix_spawn` returns
/// when the child gives up the memory that it shares with its parent, which is shortly
/// before the child has memory of its own.
fn wait_for_exec(pid: u32) {
    let own = std::fs::read_link("/proc/self/exe").expect("read /proc/self/exe");
    let child = format!("/proc/{pid}/exe");
    // A zombie has no program, which ends the loop.
    while std::fs::read_link(&child).is_ok_and(|program| program == own) {
        std::thread::yield_now();
    }
}

/// Returns `VmHWM` of a process in bytes, or `None` after its end.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
