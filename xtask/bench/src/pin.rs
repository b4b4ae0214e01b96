//! Assigns a processor to each of two processes and, if permitted, a real-time
//! priority.

use std::path::Path;
use std::process::{Command, Stdio};

use support::exec::which;

/// The means that this machine provides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    /// Whether `taskset` and two processors are available.
    pinned: bool,
    /// Whether `chrt` is available and permitted. Real-time priority avoids stalls
    /// of milliseconds, each of which delays a hundred messages.
    realtime: bool,
}

impl Pin {
    /// Checks for the programs and the permissions.
    pub(super) fn find() -> Self {
        let has_two = std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2);
        let allowed = || {
            Command::new("chrt")
                .args(["-f", "1", "true"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let pinned = has_two && which("taskset").is_some();
        Self {
            pinned,
            // On a single processor it would starve the other process.
            realtime: pinned && which("chrt").is_some() && allowed(),
        }
    }

    /// Whether each process has its own processor.
    pub(super) fn is_pinned(self) -> bool {
        self.pinned
    }

    /// Returns a program and its arguments that run the command on processor `cpu`.
    pub(super) fn command(
        self,
        cpu: u32,
        program: &Path,
        args: impl IntoIterator<Item = String>,
    ) -> (String, Vec<String>) {
        let cpu = cpu.to_string();
        let mut words: Vec<String> = Vec::new();
        if self.realtime {
            words.extend(["chrt", "-f", "1"].map(str::to_owned));
        }
        if self.pinned {
            words.extend(["taskset", "-c", &cpu].map(str::to_owned));
        }
        words.push(program.display().to_string());
        words.extend(args);
        let program = words.remove(0);
        (program, words)
    }
}
