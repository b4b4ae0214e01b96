//! The graph: a row for each target that draws its last round trips. It is
//! updated in place on a terminal and never larger than that. Errors and results
//! are printed above the graph by the inner output format.

use std::collections::VecDeque;
use std::fmt::Write;

use common::Result;
use common::app::Io;

use super::list::{display_name, format_millis};
use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, OverdueCounts, RejectedOperand};
use crate::target::{Target, TargetId, Targets};

/// The maximum number of round trips in a row.
const MAX_BARS: usize = 40;

/// The maximum number of characters of a name.
const NAME_WIDTH: usize = 28;

/// The width of the last time, in characters.
const TIME_WIDTH: usize = 12;

/// The minimum time between two drawings, in nanoseconds.
const FRAME: Nanos = 50_000_000;

/// The size that is assumed if the terminal reports none: columns and lines.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// Bars from one eighth to the full height of a line.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The mark of a lost probe.
const LOST: char = '!';

/// The mark of a probe that is in flight.
const PENDING: char = '.';

/// The state of a probe that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Pending,
    Time(Nanos),
    Lost,
}

/// The last probes of a target, with their sequence numbers.
#[derive(Debug)]
struct Row {
    id: TargetId,
    name: String,
    marks: VecDeque<(u64, Mark)>,
}

impl Row {
    fn push(&mut self, seq: u64, mark: Mark) {
        if self.marks.len() == MAX_BARS {
            self.marks.pop_front();
        }
        self.marks.push_back((seq, mark));
    }

    fn set(&mut self, seq: u64, mark: Mark) {
        let drawn = self.marks.iter_mut().rev().find(|(drawn, _)| *drawn == seq);
        if let Some((_, drawn)) = drawn {
            *drawn = mark;
        }
    }

    /// Draws the name, the bars and the last time in `columns` columns, without a
    /// line feed.
    fn draw(&self, columns: usize, color: bool) -> String {
        let name = NAME_WIDTH.min(columns / 3);
        let bars = MAX_BARS.min(columns.saturating_sub(name + 1 + TIME_WIDTH));
        let hidden = self.marks.len().saturating_sub(bars);
        let visible = || self.marks.iter().skip(hidden).map(|(_, mark)| *mark);
        let times = visible().filter_map(|mark| match mark {
            Mark::Time(time) => Some(time),
            _ => None,
        });
        let (low, high) = times.clone().fold((Nanos::MAX, 0), |(low, high), time| {
            (time.min(low), time.max(high))
        });
        let mut line = format!("{:<name$.name$} ", self.name);
        for mark in visible() {
            match mark {
                Mark::Time(time) => line.push(bar(time, low, high)),
                Mark::Pending => line.push(PENDING),
                Mark::Lost if color => {
                    line.push_str("\x1b[31m");
                    line.push(LOST);
                    line.push_str("\x1b[0m");
                }
                Mark::Lost => line.push(LOST),
            }
        }
        if let Some(last) = { times }
            .next_back()
            .filter(|_| columns > name + TIME_WIDTH)
        {
            // Writing to a String cannot fail.
            let _ = write!(line, " {} ms", format_millis(last));
        }
        line
    }
}

/// Returns the bar of a time between the shortest and the longest in the row.
fn bar(time: Nanos, low: Nanos, high: Nanos) -> char {
    let span = (high - low).max(1) as f64;
    let eighth = (time - low) as f64 / span * 7.0;
    BARS[(eighth.round() as usize).min(7)]
}

/// Returns the columns and lines of the terminal.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => DEFAULT_SIZE,
    }
}

/// An observer that draws round trips and passes other events on to the output
/// format.
pub(super) struct Graph {
    inner: Box<dyn Observer>,
    /// Whether there is one target. Its row stays above its summary.
    is_single: bool,
    rows: Vec<Row>,
    /// The number of lines that are drawn.
    drawn: usize,
    /// When the next drawing is due, if something has changed.
    due: Option<Nanos>,
    /// When the last drawing was made.
    last: Nanos,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Creates a graph in front of an output format.
    pub(super) fn new(inner: Box<dyn Observer>, is_single: bool) -> Self {
        Self {
            inner,
            is_single,
            rows: Vec::new(),
            drawn: 0,
            due: None,
            last: 0,
        }
    }

    fn row(&mut self, target: &Target) -> &mut Row {
        let found = self.rows.iter().position(|row| row.id == target.id);
        let index = found.unwrap_or(self.rows.len());
        if found.is_none() {
            self.rows.push(Row {
                id: target.id,
                name: display_name(target),
                marks: VecDeque::new(),
            });
        }
        &mut self.rows[index]
    }

    fn draw(&mut self, io: &mut Io, clock: Clock) -> Result<()> {
        self.due = None;
        self.last = clock.now();
        let (columns, lines) = terminal_size();
        // The cursor would wrap in the last column, and it is in the line after
        // the graph.
        let columns = columns.saturating_sub(1);
        let max_lines = lines.saturating_sub(1).max(1);
        let visible = if self.rows.len() > max_lines {
            max_lines.saturating_sub(1)
        } else {
            self.rows.len()
        };
        let mut text = self.move_to_start();
        for row in &self.rows[..visible] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}\x1b[K", row.draw(columns, io.color));
        }
        self.drawn = visible;
        if visible < self.rows.len() {
            let more = format!("and {} more", self.rows.len() - visible);
            let _ = writeln!(text, "{more:.columns$}\x1b[K");
            self.drawn += 1;
        }
        text.push_str("\x1b[J");
        io.out.bytes(text.as_bytes())?;
        io.out.flush()
    }

    /// Returns the control sequence that moves to the first line of the graph.
    fn move_to_start(&self) -> String {
        match self.drawn {
            0 => String::new(),
            drawn => format!("\r\x1b[{drawn}A"),
        }
    }

    /// Erases the graph, to make room for lines above it.
    fn erase(&mut self, io: &mut Io) -> Result<()> {
        let text = self.move_to_start();
        self.drawn = 0;
        if !text.is_empty() {
            io.out.bytes(text.as_bytes())?;
            io.out.bytes(b"\x1b[J")?;
        }
        // The next line may go to stderr.
        io.out.flush()
    }
}

impl Observer for Graph {
    fn target_started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.erase(io)?;
        self.inner.target_started(io, clock, target)?;
        self.row(target);
        Ok(())
    }

    fn operand_rejected(
        &mut self,
        io: &mut Io,
        clock: Clock,
        rejected: &RejectedOperand,
    ) -> Result<()> {
        self.erase(io)?;
        self.inner.operand_rejected(io, clock, rejected)?;
        self.draw(io, clock)
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        if matches!(event, Event::Icmp { .. } | Event::Unsent { .. }) {
            // The output format may print a line about it.
            self.erase(io)?;
            self.inner.event(io, clock, target, event)?;
        }
        let sent = target.stats.sent;
        let row = self.row(target);
        match event {
            Event::Sent => row.push(sent, Mark::Pending),
            Event::Reply(reply) if reply.is_duplicate => return Ok(()),
            Event::Reply(reply) if reply.corruption.is_some() => row.set(reply.seq, Mark::Lost),
            Event::Reply(reply) => {
                let mark = reply.rtt.map_or(Mark::Lost, Mark::Time);
                row.set(reply.seq, mark);
            }
            Event::Timeout { seq } | Event::Icmp { seq, .. } => row.set(*seq, Mark::Lost),
            Event::Unsent { seq, .. } => row.push(*seq, Mark::Lost),
            Event::LateReply(_) | Event::Outstanding { .. } | Event::Notice { .. } => return Ok(()),
        }
        let next = self.last + FRAME;
        self.due.get_or_insert(next.max(clock.now()));
        Ok(())
    }

    fn target_decided(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.is_single {
            return self.inner.target_decided(io, clock, target);
        }
        // The line of the result replaces the row.
        self.erase(io)?;
        self.inner.target_decided(io, clock, target)?;
        self.rows.retain(|row| row.id != target.id);
        self.draw(io, clock)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &OverdueCounts) -> Result<()> {
        self.erase(io)?;
        self.due = Some(self.last);
        self.inner.snapshot(io, targets, overdue)
    }

    fn release_deadline(&self) -> Option<Nanos> {
        self.due
    }

    fn release(&mut self, io: &mut Io, clock: Clock, _: &Targets) -> Result<()> {
        if self.due.is_some_and(|due| due <= clock.now()) {
            self.draw(io, clock)?;
        }
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        if !self.is_single {
            self.erase(io)?;
        } else if self.due.is_some() {
            self.draw(io, clock)?;
        }
        self.inner.finish(io, clock, targets, drops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: 0,
            name: "host".to_owned(),
            marks: VecDeque::new(),
        }
    }

    #[test]
    fn a_row_has_bars_losses_and_probes_in_flight() {
        let mut row = row();
        for seq in 1..=5 {
            row.push(seq, Mark::Pending);
        }
        for (seq, time) in [(1, 1_000_000), (3, 2_000_000), (4, 1_500_000)] {
            row.set(seq, Mark::Time(time));
        }
        row.set(2, Mark::Lost);
        // The probe is no longer in the row.
        row.set(99, Mark::Lost);
        assert_eq!(row.draw(80, false), format!("{:<26} ▁!█▅. 1.50 ms", "host"));
        assert!(row.draw(80, true).contains("\x1b[31m!\x1b[0m"));
        for seq in 6..100 {
            row.push(seq, Mark::Lost);
        }
        assert_eq!(
            row.draw(120, false),
            format!("{:<28} {}", "host", "!".repeat(40))
        );
    }

    #[test]
    fn a_row_is_never_wider_than_the_terminal() {
        let mut row = row();
        row.name = "a.rather.long.name.of.a.host.example (2001:db8::1)".to_owned();
        for seq in 0..100 {
            row.push(seq, Mark::Time(123_456_789 * (seq + 1)));
        }
        for columns in 0..200 {
            let line = row.draw(columns, false);
            assert!(line.chars().count() <= columns.max(1), "{columns}: {line}");
        }
    }
}
