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
