//! The loop over the operands: as many lookups under way as there is room
//! for, every operand accounted for exactly once, in order if that matters.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

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

    /// Goes on, waiting for an outcome or for `extra` if there is nothing
    /// else to do; `idle` is called before it waits.
    fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// The outcomes since the last call.
    fn done(&mut self) -> Vec<(u64, Lookup)>;
}

/// Where outcomes go.
pub(crate) trait Sink {
    /// All lookups of one operand.
    fn lookups(&mut self, operand: &str, lookups: &[Lookup]) -> Result<()>;

    /// An operand that was never asked.
    fn refused(&mut self, error: &Error) -> Result<()>;

    /// Nothing more for a while.
    fn flush(&mut self) -> Result<()>;
}

/// An operand under way.
enum Item {
    Asked {
        text: String,
        lookups: Vec<Option<Lookup>>,
        missing: usize,
    },
    Refused(Error),
}

/// Operands under way, and the order of those that must wait.
struct Items {
    slab: Slab<Item>,
    /// Places in order, if it matters.
    order: Option<VecDeque<u32>>,
    /// Bytes of the outcomes that wait.
    held: usize,
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
        backend.turn(extra, &mut || sink.flush())?;
        for (ticket, lookup) in backend.done() {
            items.arrived(ticket, lookup, sink)?;
        }
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
                let slot = self.slab.insert(Item::Asked {
                    text,
                    lookups: questions.iter().map(|_| None).collect(),
                    missing: questions.len(),
                });
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
        if self.order.is_none()
            && matches!(self.slab.get(slot), Some(Item::Asked { lookups, .. }) if lookups.len() == 1)
        {
            // The usual case of a long list.
            if let Some(Item::Asked { text, .. }) = self.slab.remove(slot) {
                sink.lookups(&text, std::slice::from_ref(&lookup))?;
            }
            return Ok(());
        }
        let Some(Item::Asked {
            lookups, missing, ..
        }) = self.slab.get_mut(slot)
        else {
            return Ok(());
        };
        if let Some(place) = lookups.get_mut((ticket & 0xffff) as usize) {
            *missing -= usize::from(place.is_none());
            self.held += lookup.size();
            *place = Some(lookup);
        }
        if *missing > 0 {
            return Ok(());
        }
        if self.order.is_some() {
            return self.advance(sink);
        }
        self.show(slot, sink)
    }

    /// Shows what is complete up to the first that is not.
    fn advance(&mut self, sink: &mut dyn Sink) -> Result<()> {
        while let Some(&slot) = self.order.as_ref().and_then(VecDeque::front) {
            if matches!(self.slab.get(slot), Some(Item::Asked { missing, .. }) if *missing > 0) {
                return Ok(());
            }
            if let Some(order) = &mut self.order {
                order.pop_front();
            }
            self.show(slot, sink)?;
        }
        Ok(())
    }

    fn show(&mut self, slot: u32, sink: &mut dyn Sink) -> Result<()> {
        match self.slab.remove(slot) {
            Some(Item::Asked { text, lookups, .. }) => {
                let lookups: Vec<Lookup> = lookups.into_iter().flatten().collect();
                let shown: usize = lookups.iter().map(Lookup::size).sum();
                self.held = self.held.saturating_sub(shown);
                sink.lookups(&text, &lookups)
            }
            Some(Item::Refused(error)) => sink.refused(&error),
            None => Ok(()),
        }
    }
}
