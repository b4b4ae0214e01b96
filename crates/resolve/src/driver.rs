//! The loop over the operands: keeps as many lookups pending as the backend has
//! room for, and passes the results of every operand to a [`Sink`] exactly once,
//! in the order of the operands if that is required.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use common::operands::Operand;
use common::{Error, Result};
use slab::Slab;

use crate::backend::Backend;
use crate::lookup::Lookup;
use crate::operand_reader::{OperandReader, Poll};

/// The maximum number of operands that are pending or wait for an earlier one.
const MAX_PENDING: usize = 20_000;

/// The maximum size of the results that wait to be shown, in bytes. Above it, no operand
/// is read.
const MAX_BUFFERED: usize = 32 << 20;

/// How long the result for one type waits for that of an earlier type, so that
/// both are shown in the order in which they were requested.
const REORDER_WAIT: Duration = Duration::from_millis(50);

/// A renderer of results.
pub(crate) trait Sink {
    /// Shows one of an operand's lookups.
    fn show_lookup(&mut self, operand: &str, lookup: &Lookup) -> Result<()>;

    /// Is called after the last lookup of an operand. The records of `lookups` may have
    /// been dropped.
    fn finish_operand(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()>;

    /// Reports an operand that was never looked up.
    fn report_rejected(&mut self, error: &Error) -> Result<()>;

    /// Flushes the output before the loop waits.
    fn flush(&mut self) -> Result<()>;
}

/// An operand that has been read but not yet shown completely.
enum Entry {
    Pending(PendingOperand),
    Rejected(Error),
}

/// An operand with its lookups, one per type.
struct PendingOperand {
    text: String,
    lookups: Vec<Option<Lookup>>,
    /// Whether each of the lookups has been shown.
    shown: Vec<bool>,
    unfinished: usize,
    /// The time at which lookups that arrived out of order are shown anyway.
    reorder_deadline: Option<Instant>,
}

/// The pending operands and the order in which they are shown.
struct OperandQueue {
    entries: Slab<Entry>,
    /// The slab keys in the order of the operands, if it matters.
    order: Option<VecDeque<usize>>,
    /// Bytes of the results that wait to be shown.
    buffered: usize,
    /// Reorder deadlines, in order, with the slab keys of their operands.
    reorder_deadlines: VecDeque<(Instant, usize)>,
}

/// Looks up all operands and returns their number. `to_questions` converts
/// an operand to its questions, or returns the error for which it is rejected.
pub(crate) fn drive<B: Backend>(
    backend: &mut B,
    reader: &mut OperandReader,
    is_ordered: bool,
    to_questions: impl Fn(&str) -> Result<Vec<B::Question>>,
    sink: &mut dyn Sink,
) -> Result<u64> {
    let mut queue = OperandQueue {
        entries: Slab::new(),
        order: is_ordered.then(VecDeque::new),
        buffered: 0,
        reorder_deadlines: VecDeque::new(),
    };
    let mut count = 0;
    let mut has_ended = false;
    loop {
        let mut must_wait = false;
        while !has_ended && !must_wait && backend.has_room() && queue.has_room() {
            match reader.poll() {
                Poll::Ready(operand) => {
                    count += 1;
                    queue.submit(operand, backend, &to_questions, sink)?;
                }
                Poll::Pending => must_wait = true,
                Poll::End => has_ended = true,
            }
        }
        if has_ended && backend.is_idle() {
            return Ok(count);
        }
        let extra_fd = if must_wait { reader.wake_fd() } else { None };
        let until = queue.reorder_deadlines.front().map(|(at, _)| *at);
        backend.turn(extra_fd, until, &mut || sink.flush())?;
        for (token, lookup) in backend.take_finished() {
            queue.add_result(token, lookup, sink)?;
        }
        queue.show_overdue(sink)?;
    }
}

impl OperandQueue {
    fn has_room(&self) -> bool {
        self.entries.len() < MAX_PENDING && self.buffered < MAX_BUFFERED
    }

    /// Submits the lookups of an operand, or reports that it is rejected.
    fn submit<B: Backend>(
        &mut self,
        operand: Result<Operand>,
        backend: &mut B,
        to_questions: impl Fn(&str) -> Result<Vec<B::Question>>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let questions = operand.and_then(|operand| match to_questions(&operand.text) {
            Ok(questions) => Ok((operand.text, questions)),
            Err(error) => Err(operand.error(error)),
        });
        match questions {
            Ok((text, questions)) => {
                let key = self.entries.insert(Entry::Pending(PendingOperand {
                    text,
                    lookups: questions.iter().map(|_| None).collect(),
                    shown: vec![false; questions.len()],
                    unfinished: questions.len(),
                    reorder_deadline: None,
                }));
                for (number, question) in questions.into_iter().enumerate() {
                    backend.submit((key as u64) << 16 | number as u64, question);
                }
                if let Some(order) = &mut self.order {
                    order.push_back(key);
                }
                Ok(())
            }
            Err(error) => match &mut self.order {
                Some(order) => {
                    order.push_back(self.entries.insert(Entry::Rejected(error)));
                    self.show_in_order(sink)
                }
                None => sink.report_rejected(&error),
            },
        }
    }

    fn add_result(&mut self, token: u64, lookup: Lookup, sink: &mut dyn Sink) -> Result<()> {
        let key = (token >> 16) as usize;
        let is_single =
            |entry: &Entry| matches!(entry, Entry::Pending(operand) if operand.lookups.len() == 1);
        if self.order.is_none() && self.entries.get(key).is_some_and(is_single) {
            // The common case in a long list: a single lookup is shown immediately.
            if let Some(Entry::Pending(operand)) = self.entries.try_remove(key) {
                sink.show_lookup(&operand.text, &lookup)?;
                sink.finish_operand(&operand.text, std::slice::from_ref(&lookup))?;
            }
            return Ok(());
        }
        let Some(Entry::Pending(operand)) = self.entries.get_mut(key) else {
            return Ok(());
        };
        if let Some(slot) = operand.lookups.get_mut((token & 0xffff) as usize) {
            operand.unfinished -= usize::from(slot.is_none());
            self.buffered += lookup.memory_size();
            *slot = Some(lookup);
        }
        if self.order.is_some() {
            self.show_in_order(sink)
        } else {
            self.show(key, false, sink).map(drop)
        }
    }

    /// Shows operands in order, up to the first that is not complete.
    fn show_in_order(&mut self, sink: &mut dyn Sink) -> Result<()> {
        while let Some(&key) = self.order.as_ref().and_then(VecDeque::front) {
            if !self.show(key, false, sink)? {
                return Ok(());
            }
            if let Some(order) = &mut self.order {
                order.pop_front();
            }
        }
        Ok(())
    }

    /// Shows the lookups that have reached their reorder deadline.
    fn show_overdue(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let now = Instant::now();
        let front = |queue: &Self| queue.reorder_deadlines.front().copied();
        while let Some((deadline, key)) = front(self).filter(|(at, _)| *at <= now) {
            self.reorder_deadlines.pop_front();
            // The key may belong to another operand by now.
            let is_same = |entry: &Entry| matches!(entry, Entry::Pending(o) if o.reorder_deadline == Some(deadline));
            if self.entries.get(key).is_some_and(is_same) {
                self.show(key, true, sink)?;
            }
        }
        Ok(())
    }

    /// Shows the lookups of an operand as far as they arrived in order, or all
    /// that arrived if `show_all`. Returns whether the operand is complete and
    /// has been removed.
    fn show(&mut self, key: usize, show_all: bool, sink: &mut dyn Sink) -> Result<bool> {
        let operand = match self.entries.get_mut(key) {
            Some(Entry::Pending(operand)) => operand,
            Some(Entry::Rejected(_)) => {
                if let Some(Entry::Rejected(error)) = self.entries.try_remove(key) {
                    sink.report_rejected(&error)?;
                }
                return Ok(true);
            }
            None => return Ok(true),
        };
        let deadline = operand.reorder_deadline;
        let show_all = show_all || deadline.is_some_and(|at| at <= Instant::now());
        let mut is_in_order = true;
        let mut any_waits = false;
        for (lookup, shown) in operand.lookups.iter_mut().zip(&mut operand.shown) {
            let Some(lookup) = lookup else {
                is_in_order = false;
                continue;
            };
            if *shown {
                continue;
            }
            if !is_in_order && !show_all {
                any_waits = true;
                continue;
            }
            self.buffered = self.buffered.saturating_sub(lookup.memory_size());
            sink.show_lookup(&operand.text, lookup)?;
            lookup.clear_records();
            self.buffered += lookup.memory_size();
            *shown = true;
        }
        if operand.unfinished > 0 {
            if any_waits && operand.reorder_deadline.is_none() {
                let deadline = Instant::now() + REORDER_WAIT;
                operand.reorder_deadline = Some(deadline);
                self.reorder_deadlines.push_back((deadline, key));
            }
            return Ok(false);
        }
        if let Some(Entry::Pending(operand)) = self.entries.try_remove(key) {
            let lookups: Vec<Lookup> = operand.lookups.into_iter().flatten().collect();
            let size: usize = lookups.iter().map(Lookup::memory_size).sum();
            self.buffered = self.buffered.saturating_sub(size);
            sink.finish_operand(&operand.text, &lookups)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Status;
    use crate::lookup::QueryType;
    use crate::operand_reader::Inputs;
    use common::operands::Operands;
    use domain::base::iana::Rtype;
    use std::os::fd::BorrowedFd;

    /// A backend that is asked for A and AAAA of each operand. A script gives the
    /// batches in which results arrive, as numbers of questions in the order of
    /// their submission. An empty batch waits until the time it is given.
    struct ScriptedBackend {
        tokens: Vec<u64>,
        script: VecDeque<Vec<usize>>,
        finished: Vec<(u64, Lookup)>,
        pending: usize,
    }

    impl Backend for ScriptedBackend {
        type Question = ();

        fn has_room(&self) -> bool {
            true
        }

        fn submit(&mut self, token: u64, (): ()) {
            self.tokens.push(token);
            self.pending += 1;
        }

        fn is_idle(&self) -> bool {
            self.pending == 0
        }

        fn turn(
            &mut self,
            _: Option<BorrowedFd<'_>>,
            until: Option<Instant>,
            _: &mut dyn FnMut() -> Result<()>,
        ) -> Result<()> {
            let batch = self.script.pop_front().expect("another batch");
            if batch.is_empty() {
                let until = until.expect("a time to wait for");
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            for number in batch {
                let rtype = [Rtype::A, Rtype::AAAA][number % 2];
                let lookup = Lookup::failed(QueryType::Type(rtype), Status::NoData, None);
                self.finished.push((self.tokens[number], lookup));
                self.pending -= 1;
            }
            Ok(())
        }

        fn take_finished(&mut self) -> Vec<(u64, Lookup)> {
            std::mem::take(&mut self.finished)
        }
    }

    /// A sink that records the calls.
    #[derive(Default)]
    struct RecordingSink(Vec<String>);

    impl Sink for RecordingSink {
        fn show_lookup(&mut self, operand: &str, lookup: &Lookup) -> Result<()> {
            self.0.push(format!("{operand} {}", lookup.query_type));
            Ok(())
        }

        fn finish_operand(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
            self.0.push(format!("{operand} {}", lookups.len()));
            Ok(())
        }

        fn report_rejected(&mut self, error: &Error) -> Result<()> {
            self.0.push(error.to_string());
            Ok(())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// Looks up the operands `x` and `y` and compares the calls of the sink.
    #[track_caller]
    fn assert_shown(is_ordered: bool, script: &[&[usize]], expected: &[&str]) {
        let mut backend = ScriptedBackend {
            tokens: Vec::new(),
            script: script.iter().map(|batch| batch.to_vec()).collect(),
            finished: Vec::new(),
            pending: 0,
        };
        let names = vec!["x".to_owned(), "y".to_owned()];
        let operands = Operands::new(names, Box::new(std::io::empty()));
        let operands = Inputs::new(operands, &[]);
        let mut reader = OperandReader::new(operands, false).unwrap();
        let mut sink = RecordingSink::default();
        let questions = |_: &str| Ok(vec![(), ()]);
        let count = drive(&mut backend, &mut reader, is_ordered, questions, &mut sink).unwrap();
        assert_eq!((count, backend.script.len()), (2, 0));
        assert_eq!(sink.0, expected);
    }

    #[test]
    fn types_are_shown_in_order_unless_one_is_late() {
        // All results arrive together.
        assert_shown(
            true,
            &[&[3, 1, 0, 2]],
            &["x A", "x AAAA", "x 2", "y A", "y AAAA", "y 2"],
        );
        // The first type is shown without waiting for the second.
        assert_shown(
            true,
            &[&[0], &[1], &[2], &[3]],
            &["x A", "x AAAA", "x 2", "y A", "y AAAA", "y 2"],
        );
        // The second type waits for the first, for a limited time.
        assert_shown(
            true,
            &[&[1], &[], &[0], &[2, 3]],
            &["x AAAA", "x A", "x 2", "y A", "y AAAA", "y 2"],
        );
        // If order matters, an operand waits for the one before it without limit.
        assert_shown(
            true,
            &[&[2, 3], &[0], &[1]],
            &["x A", "x AAAA", "x 2", "y A", "y AAAA", "y 2"],
        );
        assert_shown(
            false,
            &[&[2, 3], &[0], &[1]],
            &["y A", "y AAAA", "y 2", "x A", "x AAAA", "x 2"],
        );
    }
}
