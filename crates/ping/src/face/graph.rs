//! The graph: a line for each target that draws its last round trips, updated
//! in place on a terminal and never larger than that. Everything but replies is
//! told by the face behind, whose lines go above the graph.

use std::collections::VecDeque;
use std::fmt::Write;

use common::Result;
use common::app::Io;

use super::list::{milli, named};
use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, Overdue, Refusal};
use crate::target::{Target, TargetId, Targets};

/// Round trips drawn, at most.
const COLUMNS: usize = 40;

/// Characters of a name shown, at most.
const NAME: usize = 28;

/// Characters for the last time.
const LAST: usize = 12;

/// Between two drawings at least.
const FRAME: Nanos = 50_000_000;

/// The size of a terminal that does not tell: columns and lines.
const USUAL: (usize, usize) = (80, 24);

/// Eighths of a line's height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Marks of a lost probe and of one that has not been answered yet.
const LOST: char = '!';
const PENDING: char = '.';

/// The state of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Pending,
    Time(Nanos),
    Lost,
}

/// The last probes of a target, by their numbers.
#[derive(Debug)]
struct Row {
    id: TargetId,
    name: String,
    marks: VecDeque<(u64, Mark)>,
}

impl Row {
    fn push(&mut self, seq: u64, mark: Mark) {
        if self.marks.len() == COLUMNS {
            self.marks.pop_front();
        }
        self.marks.push_back((seq, mark));
    }

    fn set(&mut self, seq: u64, mark: Mark) {
        let known = self.marks.iter_mut().rev().find(|(of, _)| *of == seq);
        if let Some((_, known)) = known {
            *known = mark;
        }
    }

    /// Name, bars and the last time in this number of columns, without the end
    /// of the line.
    fn draw(&self, columns: usize, color: bool) -> String {
        let name = NAME.min(columns / 3);
        let bars = COLUMNS.min(columns.saturating_sub(name + 1 + LAST));
        let shown = self.marks.len().saturating_sub(bars);
        let shown = || self.marks.iter().skip(shown).map(|(_, mark)| *mark);
        let times = shown().filter_map(|mark| match mark {
            Mark::Time(time) => Some(time),
            _ => None,
        });
        let (low, high) = times.clone().fold((Nanos::MAX, 0), |(low, high), time| {
            (time.min(low), time.max(high))
        });
        let mut line = format!("{:<name$.name$} ", self.name);
        for mark in shown() {
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
        if let Some(last) = { times }.next_back().filter(|_| columns > name + LAST) {
            // Writing to a String cannot fail.
            let _ = write!(line, " {} ms", milli(last));
        }
        line
    }
}

/// The bar of a time between the shortest and the longest shown.
fn bar(time: Nanos, low: Nanos, high: Nanos) -> char {
    let span = (high - low).max(1) as f64;
    let eighth = (time - low) as f64 / span * 7.0;
    BARS[(eighth.round() as usize).min(7)]
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => USUAL,
    }
}

/// The face.
pub(crate) struct Graph<'a> {
    behind: &'a mut dyn Observer,
    /// Whether there is one target, whose row stays above its summary.
    single: bool,
    rows: Vec<Row>,
    /// Lines on the screen.
    drawn: usize,
    /// When the next drawing may be, if one is due.
    due: Option<Nanos>,
    last: Nanos,
}

impl std::fmt::Debug for Graph<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<'a> Graph<'a> {
    /// A graph before another face.
    pub(crate) fn new(behind: &'a mut dyn Observer, single: bool) -> Self {
        Self {
            behind,
            single,
            rows: Vec::new(),
            drawn: 0,
            due: None,
            last: 0,
        }
    }

    fn row(&mut self, target: &Target) -> &mut Row {
        let known = self.rows.iter().position(|row| row.id == target.id);
        let place = known.unwrap_or(self.rows.len());
        if known.is_none() {
            self.rows.push(Row {
                id: target.id,
                name: named(target),
                marks: VecDeque::new(),
            });
        }
        &mut self.rows[place]
    }

    fn draw(&mut self, io: &mut Io, clock: Clock) -> Result<()> {
        self.due = None;
        self.last = clock.now();
        let (columns, lines) = size();
        // The last column stays free, since the cursor would wrap there, and
        // so does the last line, which the cursor stands on.
        let columns = columns.saturating_sub(1);
        let most = lines.saturating_sub(1).max(1);
        let shown = if self.rows.len() > most {
            most.saturating_sub(1)
        } else {
            self.rows.len()
        };
        let mut text = self.back();
        for row in &self.rows[..shown] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}\x1b[K", row.draw(columns, io.color));
        }
        self.drawn = shown;
        if shown < self.rows.len() {
            let more = format!("and {} more", self.rows.len() - shown);
            let _ = writeln!(text, "{more:.columns$}\x1b[K");
            self.drawn += 1;
        }
        text.push_str("\x1b[J");
        io.out.bytes(text.as_bytes())?;
        io.out.flush()
    }

    /// Moves to the first line of the graph.
    fn back(&self) -> String {
        match self.drawn {
            0 => String::new(),
            drawn => format!("\r\x1b[{drawn}A"),
        }
    }

    /// Takes the graph off the screen, to make room for lines above it.
    fn erase(&mut self, io: &mut Io) -> Result<()> {
        let text = self.back();
        self.drawn = 0;
        if !text.is_empty() {
            io.out.bytes(text.as_bytes())?;
            io.out.bytes(b"\x1b[J")?;
        }
        // The next line may go to standard error.
        io.out.flush()
    }
}

impl Observer for Graph<'_> {
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.erase(io)?;
        self.behind.started(io, clock, target)?;
        self.row(target);
        Ok(())
    }

    fn refused(&mut self, io: &mut Io, clock: Clock, refusal: &Refusal) -> Result<()> {
        self.erase(io)?;
        self.behind.refused(io, clock, refusal)?;
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
            // There may be a line about it.
            self.erase(io)?;
            self.behind.event(io, clock, target, event)?;
        }
        let sent = target.stats.sent;
        let row = self.row(target);
        match event {
            Event::Sent => row.push(sent, Mark::Pending),
            Event::Reply(reply) if reply.duplicate => return Ok(()),
            Event::Reply(reply) if reply.damage.is_some() => row.set(reply.seq, Mark::Lost),
            Event::Reply(reply) => {
                let mark = reply.rtt.map_or(Mark::Lost, Mark::Time);
                row.set(reply.seq, mark);
            }
            Event::Timeout { seq } | Event::Icmp { seq, .. } => row.set(*seq, Mark::Lost),
            Event::Unsent { seq, .. } => row.push(*seq, Mark::Lost),
            Event::Late(_) | Event::Outstanding { .. } | Event::Advice { .. } => return Ok(()),
        }
        let next = self.last + FRAME;
        self.due.get_or_insert(next.max(clock.now()));
        Ok(())
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.single {
            return self.behind.ended(io, clock, target);
        }
        // Its line takes the place of its row.
        self.erase(io)?;
        self.behind.ended(io, clock, target)?;
        self.rows.retain(|row| row.id != target.id);
        self.draw(io, clock)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &Overdue) -> Result<()> {
        self.erase(io)?;
        self.due = Some(self.last);
        self.behind.snapshot(io, targets, overdue)
    }

    fn held(&self) -> Option<Nanos> {
        self.due
    }

    fn release(&mut self, io: &mut Io, clock: Clock, _: &Targets) -> Result<()> {
        if self.due.is_some_and(|due| due <= clock.now()) {
            self.draw(io, clock)?;
        }
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        if !self.single {
            self.erase(io)?;
        } else if self.due.is_some() {
            self.draw(io, clock)?;
        }
        self.behind.finish(io, clock, targets, drops)
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
    fn bars_losses_and_what_is_awaited() {
        let mut row = row();
        for seq in 1..=5 {
            row.push(seq, Mark::Pending);
        }
        for (seq, time) in [(1, 1_000_000), (3, 2_000_000), (4, 1_500_000)] {
            row.set(seq, Mark::Time(time));
        }
        row.set(2, Mark::Lost);
        // Of a probe that is not shown any more.
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
    fn never_wider_than_the_terminal() {
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
