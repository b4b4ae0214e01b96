//! The graph: a line for each target that draws its last round trips, updated
//! in place on a terminal. Everything but replies is told by the face behind.

use std::collections::VecDeque;
use std::fmt::Write;

use common::Result;
use common::app::Io;

use super::list::{milli, named};
use crate::clock::{Clock, Nanos};
use crate::event::{Event, Observer, Overdue};
use crate::target::{Target, Targets};

/// Round trips drawn.
const COLUMNS: usize = 40;

/// Characters of a name shown.
const NAME: usize = 28;

/// Eighths of a line's height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What stands for a lost probe.
const LOST: char = '!';

/// The last round trips of a target; `None` is a loss.
#[derive(Debug)]
struct Row {
    name: String,
    times: VecDeque<Option<Nanos>>,
}

impl Row {
    fn push(&mut self, time: Option<Nanos>) {
        if self.times.len() == COLUMNS {
            self.times.pop_front();
        }
        self.times.push_back(time);
    }

    /// Name, bars and the last time, without the line's end.
    fn draw(&self, color: bool) -> String {
        let known = || self.times.iter().copied().flatten();
        let (low, high) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
        let mut line = format!("{:<NAME$.NAME$} ", self.name);
        for time in &self.times {
            match time {
                Some(time) => line.push(bar(*time, low, high)),
                None if color => {
                    line.push_str("\x1b[31m");
                    line.push(LOST);
                    line.push_str("\x1b[0m");
                }
                None => line.push(LOST),
            }
        }
        if let Some(Some(last)) = self.times.back() {
            let _ = write!(line, " {} ms", milli(*last));
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

/// The face.
pub(crate) struct Graph<'a> {
    behind: &'a mut dyn Observer,
    rows: Vec<Row>,
    /// Lines on the screen.
    drawn: usize,
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
    pub(crate) fn new(behind: &'a mut dyn Observer) -> Self {
        Self {
            behind,
            rows: Vec::new(),
            drawn: 0,
        }
    }

    fn row(&mut self, target: &Target) -> &mut Row {
        let name = named(target);
        let known = self.rows.iter().position(|row| row.name == name);
        let place = known.unwrap_or(self.rows.len());
        if known.is_none() {
            let times = VecDeque::new();
            self.rows.push(Row { name, times });
        }
        &mut self.rows[place]
    }

    fn draw(&mut self, io: &mut Io) -> Result<()> {
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\r{}\x1b[K", row.draw(io.color));
        }
        self.drawn = self.rows.len();
        io.out.bytes(text.as_bytes())
    }
}

impl Observer for Graph<'_> {
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.behind.started(io, clock, target)?;
        self.row(target);
        Ok(())
    }

    fn event(&mut self, io: &mut Io, _: Clock, target: &Target, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Reply(reply) if reply.damage.is_none() && !reply.duplicate => {
                self.row(target).push(reply.rtt);
            }
            Event::Timeout { .. } | Event::Icmp { .. } | Event::Unsent { .. } => {
                self.row(target).push(None);
            }
            _ => return Ok(()),
        }
        self.draw(io)
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        // A line of the other face goes above the graph, which starts anew.
        self.drawn = 0;
        self.behind.ended(io, clock, target)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &Overdue) -> Result<()> {
        self.behind.snapshot(io, targets, overdue)
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        self.behind.finish(io, clock, targets, drops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_losses() {
        let mut row = Row {
            name: "host".to_owned(),
            times: VecDeque::new(),
        };
        for time in [Some(1_000_000), None, Some(2_000_000), Some(1_500_000)] {
            row.push(time);
        }
        assert_eq!(row.draw(false), format!("{:<28} ▁!█▅ 1.50 ms", "host"));
        assert!(row.draw(true).contains("\x1b[31m!\x1b[0m"));
        for _ in 0..100 {
            row.push(None);
        }
        assert_eq!(
            row.draw(false),
            format!("{:<28} {}", "host", "!".repeat(40))
        );
    }
}
