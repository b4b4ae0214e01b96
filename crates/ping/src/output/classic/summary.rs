//! The summary of the classic format, and its state while the run continues.

use std::fmt::Write;

use common::app::Io;
use common::text::escape;
use common::{Out, Result};

use super::Classic;
use super::iputils::{format_millis, format_percent};
use crate::clock::Nanos;
use crate::event::OverdueCounts;
use crate::stats::Stats;
use crate::target::{Target, Targets};

impl Classic {
    fn print_summary(&self, out: &mut Out, target: &Target) -> Result<()> {
        let stats = &target.stats;
        let mut text = String::new();
        let loss = stats.loss_percent().unwrap_or(0.0);
        write!(
            text,
            "\n--- {} ping statistics ---\n{} packets transmitted, {} received",
            escape(target.operand().as_bytes()),
            stats.sent,
            stats.received
        )
        .ok();
        for (count, noun) in [
            (stats.duplicates, "duplicates"),
            (stats.corrupt, "corrupted"),
            (stats.errors, "errors"),
        ] {
            if count > 0 {
                write!(text, ", +{count} {noun}").ok();
            }
        }
        if stats.sent > 0 {
            let millis = (stats.last_sent - stats.first_sent + 500_000) / 1_000_000;
            let loss = format_percent(loss);
            write!(text, ", {loss}% packet loss, time {millis}ms").ok();
        }
        text.push('\n');
        out.bytes(text.as_bytes())?;
        out.line(self.rtt_line(stats))
    }

    /// Prints percentiles before the summary, because scripts rely on the form of
    /// the summary.
    fn print_percentiles(&self, out: &mut Out, stats: &Stats) -> Result<()> {
        let rtts = stats.rtt_summary().filter(|_| self.is_timed());
        let Some(rtts) = rtts.filter(|_| self.options.percentiles) else {
            return Ok(());
        };
        let [p50, p90, p99, jitter] =
            [rtts.p50, rtts.p90, rtts.p99, rtts.jitter].map(|time| format_millis(time as Nanos));
        if self.options.flood && !self.options.quiet {
            // Ends the line of dots.
            out.line("")?;
        }
        out.line(format_args!(
            "p50/p90/p99/jitter = {p50}/{p90}/{p99}/{jitter} ms"
        ))
    }

    /// Reports the counters that iputils does not have and that are not zero.
    fn report_counters(io: &Io, stats: &Stats, drops: u64) {
        let counters = [
            (stats.late, "late"),
            (stats.reordered, "reordered"),
            (stats.corrupt, "corrupt"),
            (stats.foreign, "from another address"),
            (drops, "dropped by this host"),
        ];
        let texts: Vec<String> = counters
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, text)| format!("{count} {text}"))
            .collect();
        if !texts.is_empty() {
            io.report.line(texts.join(", "));
        }
    }

    /// Returns the last line of the summary, which is empty without replies.
    fn rtt_line(&self, stats: &Stats) -> String {
        let mut parts = Vec::new();
        if let Some(rtts) = stats.rtt_summary().filter(|_| self.is_timed()) {
            let [min, avg, max, mdev] =
                [rtts.min, rtts.avg, rtts.max, rtts.mdev].map(|time| format_millis(time as Nanos));
            parts.push(format!(
                "rtt min/avg/max/mdev = {min}/{avg}/{max}/{mdev} ms"
            ));
        }
        if stats.pipe > 1 {
            parts.push(format!("pipe {}", stats.pipe));
        }
        if self.options.has_pace && stats.received > 0 && stats.sent > 1 {
            let gap = (stats.last_sent - stats.first_sent) / (stats.sent - 1);
            let (gap, average) = (format_millis(gap), format_millis(stats.ewma()));
            parts.push(format!("ipg/ewma {gap}/{average} ms"));
        }
        parts.join(", ")
    }

    /// Prints the summary of every target that was probed. `drops` is the number
    /// of replies that this host has dropped.
    pub(super) fn print_summaries(&self, io: &mut Io, targets: &Targets, drops: u64) -> Result<()> {
        for (_, target) in targets.iter().filter(|(_, target)| target.allocated > 0) {
            self.print_percentiles(&mut io.out, &target.stats)?;
            self.print_summary(&mut io.out, target)?;
            // The summary comes first if both streams are one terminal.
            io.out.flush()?;
            Self::report_counters(io, &target.stats, drops);
        }
        Ok(())
    }

    /// Reports the state of the run on stderr. `overdue` are the probes
    /// in flight that count as lost.
    pub(super) fn report_snapshot(&self, io: &Io, targets: &Targets, overdue: &OverdueCounts) {
        for (id, target) in targets.iter() {
            let stats = &target.stats;
            let overdue = overdue.get(&id).copied().unwrap_or(0);
            let mut text = format!(
                "\r{}/{} packets, {}% loss",
                stats.received,
                stats.sent,
                stats.loss_percent_with(overdue).unwrap_or(0.0) as u64
            );
            if let Some(rtts) = stats.rtt_summary().filter(|_| self.is_timed()) {
                let [min, avg, max] =
                    [rtts.min, rtts.avg, rtts.max].map(|time| format_millis(time as Nanos));
                let ewma = format_millis(stats.ewma());
                write!(text, ", min/avg/ewma/max = {min}/{avg}/{ewma}/{max} ms").ok();
            }
            text.push('\n');
            io.report.raw(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::Observer;
    use crate::output::classic::ClassicOptions;
    use crate::output::test_io::TestIo;
    use crate::reverse_dns::ReverseDns;

    #[test]
    fn the_summary_is_that_of_iputils() {
        let options = ClassicOptions {
            size: 56,
            has_pace: true,
            percentiles: true,
            ..ClassicOptions::default()
        };
        let mut classic = Classic::new(options, ReverseDns::new(false).unwrap());
        let mut target = Target::new(None, [192, 0, 2, 1].into(), 0);
        target.allocated = 4;
        for at in [1_000_000, 3_000_000, 6_000_000, 7_600_000] {
            target.stats.record_sent(at);
        }
        target.stats.acknowledge(1);
        for (seq, rtt) in [(1, 2_000_999), (3, 4_000_000), (2, 3_000_000)] {
            target.stats.record_reply(seq, rtt, 0);
        }
        target.stats.record_loss(4_500_000);
        (target.stats.duplicates, target.stats.corrupt) = (1, 2);
        (target.stats.errors, target.stats.foreign) = (3, 4);
        target.stats.late = 5;
        let mut targets = Targets::default();
        targets.add(target);
        let mut io = TestIo::new();
        let clock = Clock::start();
        classic.finish(&mut io.io, clock, &targets, 6).unwrap();
        assert_eq!(
            io.text(),
            "p50/p90/p99/jitter = 3.000/4.000/4.000/0.179 ms\n\
             \n--- 192.0.2.1 ping statistics ---\n\
             4 packets transmitted, 3 received, +1 duplicates, +2 corrupted, +3 errors, \
             25% packet loss, time 7ms\n\
             rtt min/avg/max/mdev = 2.000/3.000/4.000/0.816 ms, pipe 4, ipg/ewma 2.200/2.344 ms\n\
             ping: 5 late, 1 reordered, 2 corrupt, 4 from another address, 6 dropped by this host\n"
        );
    }
}
