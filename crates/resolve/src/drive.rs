//! The loop over the operands: as many lookups under way as there is room
//! for, every operand accounted for exactly once, in order if that matters.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use common::operands::Operand;
use common::{Error, Result};

use crate::engine::Slab;
use crate::lookup::Lookup;
use crate::source::{Next, Source};

/// Operands that may wait for an earlier one when order matters.
const AHEAD: usize = 20_000;

/// Bytes of outcomes that wait to be shown, beyond which no further operand is
/// taken.
const HELD_MAX: usize = 32 << 20;

/// Something that makes lookups, many at once.
pub(crate) trait Backend {
    /// What it is asked.
    type Question;

    /// Whether it has room for more.
    fn wants(&self) -> bool;

    /// Begins a lookup; its outcome comes back under `ticket`.
    fn submit(&mut self, ticket: u64, question: Self::Question);

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool;

    /// Goes on, waiting for an outcome, for `extra` or until a moment if there
    /// is nothing else to do; `idle` is called before it waits.
    fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// The outcomes since the last call.
    fn done(&mut self) -> Vec<(u64, Lookup)>;
}

/// Where outcomes go.
pub(crate) trait Sink {
    /// One of an operand's lookups.
    fn lookup(&mut self, operand: &str, lookup: &Lookup) -> Result<()>;

    /// The end of an operand: all its lookups, whose records may be gone.
    fn end(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()>;

    /// An operand that was never asked.
    fn refused(&mut self, error: &Error) -> Result<()>;

    /// Nothing more for a while.
    fn flush(&mut self) -> Result<()>;
}

/// How long the answer of a further type waits for that of an earlier one, so
/// that both come in the order in which they were asked for.
const GRACE: Duration = Duration::from_millis(50);

/// An operand under way.
enum Item {
    Asked(Asked),
    Refused(Error),
}

/// The lookups of an operand.
struct Asked {
    text: String,
    lookups: Vec<Option<Lookup>>,
    /// Which of them have been shown.
    shown: Vec<bool>,
    missing: usize,
    /// When those that came out of order are shown.
    grace: Option<Instant>,
}

/// Operands under way, and the order of those that must wait.
struct Items {
    slab: Slab<Item>,
    /// Places in order, if it matters.
    order: Option<VecDeque<u32>>,
    /// Bytes of the outcomes that wait.
    held: usize,
    /// The ends of graces, in order, and whose they are.
    graces: VecDeque<(Instant, u32)>,
}

/// Looks all operands up; `plan` says what an operand asks. Returns their
/// number.
pub(crate) fn drive<B: Backend>(
    backend: &mut B,
    source: &mut Source,
    ordered: bool,
    plan: impl Fn(&str) -> Result<Vec<B::Question>>,
    sink: &mut dyn Sink,
) -> Result<u64> {
    let mut items = Items {
        slab: Slab::new(),
        order: ordered.then(VecDeque::new),
        held: 0,
        graces: VecDeque::new(),
    };
    let mut count = 0;
    let mut ended = false;
    loop {
        let mut later = false;
        let room = |items: &Items| items.slab.len() < AHEAD && items.held < HELD_MAX;
        while !ended && !later && backend.wants() && room(&items) {
            match source.next() {
                Next::Operand(operand) => {
                    count += 1;
                    items.admit(operand, backend, &plan, sink)?;
                }
                Next::Later => later = true,
                Next::End => ended = true,
            }
        }
        if ended && backend.is_idle() {
            return Ok(count);
        }
        let extra = if later { source.wake() } else { None };
        let until = items.graces.front().map(|(at, _)| *at);
        backend.turn(extra, until, &mut || sink.flush())?;
        for (ticket, lookup) in backend.done() {
            items.arrived(ticket, lookup, sink)?;
        }
        items.end_graces(sink)?;
    }
}

impl Items {
    fn admit<B: Backend>(
        &mut self,
        operand: Result<Operand>,
        backend: &mut B,
        plan: impl Fn(&str) -> Result<Vec<B::Question>>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let planned = operand.and_then(|operand| match plan(&operand.text) {
            Ok(questions) => Ok((operand.text, questions)),
            Err(error) => Err(operand.error(error)),
        });
        match planned {
            Ok((text, questions)) => {
                let slot = self.slab.insert(Item::Asked(Asked {
                    text,
                    lookups: questions.iter().map(|_| None).collect(),
                    shown: vec![false; questions.len()],
                    missing: questions.len(),
                    grace: None,
                }));
                for (number, question) in questions.into_iter().enumerate() {
                    backend.submit(u64::from(slot) << 16 | number as u64, question);
                }
                if let Some(order) = &mut self.order {
                    order.push_back(slot);
                }
                Ok(())
            }
            Err(error) => match &mut self.order {
                Some(order) => {
                    order.push_back(self.slab.insert(Item::Refused(error)));
                    self.advance(sink)
                }
                None => sink.refused(&error),
            },
        }
    }

    fn arrived(&mut self, ticket: u64, lookup: Lookup, sink: &mut dyn Sink) -> Result<()> {
        let slot = (ticket >> 16) as u32;
        let single = |item: &Item| matches!(item, Item::Asked(asked) if asked.lookups.len() == 1);
        if self.order.is_none() && self.slab.get(slot).is_some_and(single) {
            // The usual case of a long list.
            if let Some(Item::Asked(asked)) = self.slab.remove(slot) {
                sink.lookup(&asked.text, &lookup)?;
                sink.end(&asked.text, std::slice::from_ref(&lookup))?;
            }
            return Ok(());
        }
        let Some(Item::Asked(asked)) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        if let Some(place) = asked.lookups.get_mut((ticket & 0xffff) as usize) {
            asked.missing -= usize::from(place.is_none());
            self.held += lookup.size();
            *place = Some(lookup);
        }
        if self.order.is_some() {
            self.advance(sink)
        } else {
            self.show(slot, false, sink).map(drop)
        }
    }

    /// Shows what may be shown, up to the first operand that is not complete.
    fn advance(&mut self, sink: &mut dyn Sink) -> Result<()> {
        while let Some(&slot) = self.order.as_ref().and_then(VecDeque::front) {
            if !self.show(slot, false, sink)? {
                return Ok(());
            }
            if let Some(order) = &mut self.order {
                order.pop_front();
            }
        }
        Ok(())
    }

    /// Shows what did not come in order and has waited for long enough.
    fn end_graces(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let now = Instant::now();
        while let Some((at, slot)) = self.graces.front().copied().filter(|(at, _)| *at <= now) {
            self.graces.pop_front();
            // The place may be another operand's by now.
            let same = |item: &Item| matches!(item, Item::Asked(a) if a.grace == Some(at));
            if self.slab.get(slot).is_some_and(same) {
                self.show(slot, true, sink)?;
            }
        }
        Ok(())
    }

    /// Shows the lookups of an operand as far as they came in order, all that
    /// came if `all`. Whether it is complete, and gone.
    fn show(&mut self, slot: u32, all: bool, sink: &mut dyn Sink) -> Result<bool> {
        let asked = match self.slab.get_mut(slot) {
            Some(Item::Asked(asked)) => asked,
            Some(Item::Refused(_)) => {
                if let Some(Item::Refused(error)) = self.slab.remove(slot) {
                    sink.refused(&error)?;
                }
                return Ok(true);
            }
            None => return Ok(true),
        };
        let all = all || asked.grace.is_some_and(|end| end <= Instant::now());
        let mut in_order = true;
        let mut waits = false;
        for (place, shown) in asked.lookups.iter_mut().zip(&mut asked.shown) {
            let Some(lookup) = place else {
                in_order = false;
                continue;
            };
            if *shown {
                continue;
            }
            if !in_order && !all {
                waits = true;
                continue;
            }
            self.held = self.held.saturating_sub(lookup.size());
            sink.lookup(&asked.text, lookup)?;
            lookup.forget();
            self.held += lookup.size();
            *shown = true;
        }
        if asked.missing > 0 {
            if waits && asked.grace.is_none() {
                let end = Instant::now() + GRACE;
                asked.grace = Some(end);
                self.graces.push_back((end, slot));
            }
            return Ok(false);
        }
        if let Some(Item::Asked(asked)) = self.slab.remove(slot) {
            let lookups: Vec<Lookup> = asked.lookups.into_iter().flatten().collect();
            let size: usize = lookups.iter().map(Lookup::size).sum();
            self.held = self.held.saturating_sub(size);
            sink.end(&asked.text, &lookups)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Status;
    use crate::lookup::Asked as AskedFor;
    use crate::source::Inputs;
    use common::operands::Operands;
    use domain::base::iana::Rtype;

    /// A backend that is asked for A and AAAA of each operand, whose outcomes
    /// come as a script says: numbers of questions, in the order of submission.
    /// Nothing in a batch is a wait until the moment it is told.
    struct Scripted {
        tickets: Vec<u64>,
        script: VecDeque<Vec<usize>>,
        done: Vec<(u64, Lookup)>,
        pending: usize,
    }

    impl Backend for Scripted {
        type Question = ();

        fn wants(&self) -> bool {
            true
        }

        fn submit(&mut self, ticket: u64, (): ()) {
            self.tickets.push(ticket);
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
            let batch = self.script.pop_front().expect("something to come");
            if batch.is_empty() {
                let until = until.expect("a moment to wait for");
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            for number in batch {
                let rtype = [Rtype::A, Rtype::AAAA][number % 2];
                let lookup = Lookup::failed(AskedFor::Type(rtype), Status::NoData, None);
                self.done.push((self.tickets[number], lookup));
                self.pending -= 1;
            }
            Ok(())
        }

        fn done(&mut self) -> Vec<(u64, Lookup)> {
            std::mem::take(&mut self.done)
        }
    }

    #[derive(Default)]
    struct Written(Vec<String>);

    impl Sink for Written {
        fn lookup(&mut self, operand: &str, lookup: &Lookup) -> Result<()> {
            self.0.push(format!("{operand} {}", lookup.asked));
            Ok(())
        }

        fn end(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()> {
            self.0.push(format!("{operand} {}", lookups.len()));
            Ok(())
        }

        fn refused(&mut self, error: &Error) -> Result<()> {
            self.0.push(error.to_string());
            Ok(())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[track_caller]
    fn written(ordered: bool, script: &[&[usize]], expected: &[&str]) {
        let mut backend = Scripted {
            tickets: Vec::new(),
            script: script.iter().map(|batch| batch.to_vec()).collect(),
            done: Vec::new(),
            pending: 0,
        };
        let names = vec!["x".to_owned(), "y".to_owned()];
        let operands = Operands::new(names, Box::new(std::io::empty()));
        let operands = Inputs::new(operands, &[]);
        let mut source = Source::new(operands, false).unwrap();
        let mut sink = Written::default();
        let plan = |_: &str| Ok(vec![(), ()]);
        let count = drive(&mut backend, &mut source, ordered, plan, &mut sink).unwrap();
        assert_eq!((count, backend.script.len()), (2, 0));
        assert_eq!(sink.0, expected);
    }

    #[test]
    fn types_come_in_order_unless_one_is_late() {
        // Together, in whatever order.
        written(
            true,
            &[&[3, 1, 0, 2]],
            &["x A", "x AAAA", "x 2", "y A", "y AAAA", "y 2"],
        );
        // The first at once, the second whenever it comes.
        written(
            true,
            &[&[0], &[1], &[2], &[3]],
            &["x A", "x AAAA", "x 2", "y A", "y AAAA", "y 2"],
        );
        // The second waits for the first one, for a limited time.
        written(
            true,
            &[&[1], &[], &[0], &[2, 3]],
            &["x AAAA", "x A", "x 2", "y A", "y AAAA", "y 2"],
        );
        // Another operand waits as long as it takes, if order matters.
        written(
            true,
            &[&[2, 3], &[0], &[1]],
            &["x A", "x AAAA", "x 2", "y A", "y AAAA", "y 2"],
        );
        written(
            false,
            &[&[2, 3], &[0], &[1]],
            &["y A", "y AAAA", "y 2", "x A", "x AAAA", "x 2"],
        );
    }
}
