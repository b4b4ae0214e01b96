//! A processor for each side, and nobody else on it while that is possible.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::exec::which;

/// What this machine allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    /// `taskset`, and two processors.
    pinned: bool,
    /// `chrt`, and the right to use it: what else the machine does waits, for
    /// a stall of milliseconds is a hundred messages late.
    first: bool,
}

impl Pin {
    /// Looks for the programs and the rights.
    pub(super) fn find() -> Self {
        let two = std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2);
        let allowed = || {
            Command::new("chrt")
                .args(["-f", "1", "true"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let pinned = two && which("taskset").is_some();
        Self {
            pinned,
            // On the one processor there is it would starve the other side.
            first: pinned && which("chrt").is_some() && allowed(),
        }
    }

    /// Whether each side has a processor to itself.
    pub(super) fn is_pinned(self) -> bool {
        self.pinned
    }

    /// The command, on processor `cpu`.
    pub(super) fn command(
        self,
        cpu: u32,
        program: &Path,
        args: impl IntoIterator<Item = String>,
    ) -> (String, Vec<String>) {
        let cpu = cpu.to_string();
        let mut words: Vec<String> = Vec::new();
        if self.first {
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
