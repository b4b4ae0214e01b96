//! Standard output, shared by transfers that may run side by side.
//!
//! Alone, a transfer writes through and flushes at once, since it waits for
//! the network next. Side by side, whole lines only are written, so that two
//! bodies never meet within a line; and with `--ordered` each transfer waits
//! for its turn before it writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use common::{Out, Result};
use serde::Serialize;

/// What a transfer may hold back while it waits for its turn.
const HOLD: usize = 1 << 20;

/// Standard output and whose turn it is.
#[derive(Debug)]
pub(crate) struct Shared {
    out: Mutex<Out>,
    turn: Mutex<u64>,
    turned: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(out: Out) -> Self {
        Self {
            out: Mutex::new(out),
            turn: Mutex::new(0),
            turned: Condvar::new(),
        }
    }

    /// Gives the output back.
    pub(crate) fn into_out(self) -> Out {
        self.out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One transfer's way to standard output.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    shared: &'a Shared,
    /// Write whole lines only.
    lines: bool,
    /// The place in the order, where there is one.
    ticket: Option<u64>,
    held: Vec<u8>,
}

impl<'a> Stage<'a> {
    /// For a transfer that runs alone.
    pub(crate) fn alone(shared: &'a Shared) -> Self {
        Self {
            shared,
            lines: false,
            ticket: None,
            held: Vec::new(),
        }
    }

    /// For one of several; `ticket` counts from 0 where order is kept.
    pub(crate) fn beside(shared: &'a Shared, ticket: Option<u64>) -> Self {
        Self {
            lines: true,
            ticket,
            ..Self::alone(shared)
        }
    }

    /// Writes bytes, at once where that is allowed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.lines && self.ticket.is_none() {
            let mut out = lock(&self.shared.out);
            out.bytes(bytes)?;
            return out.flush();
        }
        self.held.extend_from_slice(bytes);
        if self.is_my_turn() || self.held.len() >= HOLD {
            self.wait_for_turn();
            let whole = match self.held.iter().rposition(|&b| b == b'\n') {
                Some(at) => at + 1,
                None => 0,
            };
            self.spill(whole)?;
        }
        Ok(())
    }

    /// Writes one JSON record.
    pub(crate) fn record(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = Vec::new();
        common::json::write_line(&mut line, record)?;
        self.write(&line)
    }

    /// Writes what is left and passes the turn on.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.wait_for_turn();
        let outcome = self.spill(self.held.len());
        self.pass();
        outcome
    }

    /// Says nothing, and passes the turn on.
    pub(crate) fn skip(self) {
        self.wait_for_turn();
        self.pass();
    }

    fn spill(&mut self, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let mut out = lock(&self.shared.out);
        let outcome = out.bytes(&self.held[..count]).and_then(|()| out.flush());
        self.held.drain(..count);
        outcome
    }

    fn is_my_turn(&self) -> bool {
        self.ticket
            .is_none_or(|ticket| *lock(&self.shared.turn) >= ticket)
    }

    fn wait_for_turn(&self) {
        if let Some(ticket) = self.ticket {
            let turn = lock(&self.shared.turn);
            drop(
                self.shared
                    .turned
                    .wait_while(turn, |turn| *turn < ticket)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    fn pass(&self) {
        if let Some(ticket) = self.ticket {
            let mut turn = lock(&self.shared.turn);
            *turn = (*turn).max(ticket + 1);
            self.shared.turned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn alone_everything_goes_at_once() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())));
        Stage::alone(&shared).write(b"half a li").unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"half a li");
    }

    #[test]
    fn side_by_side_lines_stay_whole() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())));
        let mut a = Stage::beside(&shared, None);
        let mut b = Stage::beside(&shared, None);
        a.write(b"a1\na").unwrap();
        b.write(b"b1\n").unwrap();
        a.write(b"2\n").unwrap();
        b.write(b"b2").unwrap();
        b.finish().unwrap();
        a.finish().unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"a1\nb1\na2\nb2");
    }

    #[test]
    fn in_order() {
        let sink = Sink::default();
        let shared = Shared::new(Out::new(Box::new(sink.clone())));
        std::thread::scope(|scope| {
            for ticket in (0..20u64).rev() {
                let mut stage = Stage::beside(&shared, Some(ticket));
                scope.spawn(move || {
                    stage.write(format!("{ticket}\n").as_bytes()).unwrap();
                    stage.finish().unwrap();
                });
            }
        });
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().collect::<Vec<_>>(), expected);
    }
}
