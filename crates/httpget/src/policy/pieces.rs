//! How one body is had in pieces over several connections (`--segments`):
//! which piece is next, and how far the body is there without a gap.
//!
//! Pieces are handed out from the front, so that what is there without a gap
//! trails what has been asked for by a few pieces only: that much is lost when
//! a download is interrupted, since only what has no gap can be continued.

use std::collections::BTreeMap;

use crate::http::content_range;
use crate::http::head::Head;
use crate::policy::resume::Validator;

/// The length of the piece that is asked for first, when nothing is known.
pub const FIRST: u64 = 1 << 20;
/// The longest piece.
const LONGEST: u64 = 16 << 20;

/// Bytes from `at` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub at: u64,
    /// Behind the last one.
    pub end: u64,
}

impl Span {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.end - self.at
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.end <= self.at
    }

    /// The headers that ask for it, of the state that `validator` names.
    pub fn ask(&self, validator: Option<&Validator>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Range", format!("bytes={}-{}", self.at, self.end - 1))];
        if let Some(validator) = validator {
            headers.push(("If-Range", validator.value().to_owned()));
        }
        headers
    }

    /// What a response to that brings: the span it is (shorter only where the
    /// body ends), and the length of the whole. `None` where it is not
    /// exactly what was asked for.
    pub fn answered(&self, head: &Head) -> Option<(Self, u64)> {
        let range = head.get("content-range").and_then(content_range::parse)?;
        let ((first, last), total) = (range.span?, range.total?);
        let span = Self {
            at: first,
            end: last.checked_add(1)?,
        };
        let wanted = Self {
            at: self.at,
            end: self.end.min(total),
        };
        (head.status == 206 && span == wanted).then_some((span, total))
    }
}

/// The pieces of a body.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// From here on nothing has been handed out.
    next: u64,
    end: u64,
    size: u64,
    /// Handed out: by their start, what of them is missing.
    open: BTreeMap<u64, Span>,
    /// Given back, by where they start now.
    back: BTreeMap<u64, u64>,
}

impl Pieces {
    /// The pieces of `span` for so many at once.
    pub fn new(span: Span, at_once: u64) -> Self {
        // Several each, so that a slow connection does not hold up the end.
        let size = (span.len() / (at_once.max(1) * 4)).clamp(FIRST, LONGEST);
        Self {
            next: span.at,
            end: span.end,
            size,
            open: BTreeMap::new(),
            back: BTreeMap::new(),
        }
    }

    /// Hands out the foremost piece of at most `most` bytes.
    fn hand_out(&mut self, most: u64) -> Option<Span> {
        let span = match self.back.pop_first() {
            Some((at, end)) => Span { at, end },
            None => Span {
                at: self.next,
                end: self.next.saturating_add(most).min(self.end),
            },
        };
        if span.is_empty() {
            return None;
        }
        self.next = self.next.max(span.end);
        self.open.insert(span.at, span);
        Some(span)
    }

    /// Hands out the foremost piece; `None` while there is none.
    pub fn take(&mut self) -> Option<Span> {
        self.hand_out(self.size)
    }

    /// Hands out a first piece of a given length.
    pub fn take_first(&mut self, length: u64) -> Option<Span> {
        self.hand_out(length)
    }

    /// So many more bytes are there of the piece that started at `start`.
    pub fn advance(&mut self, start: u64, bytes: u64) {
        if let Some(span) = self.open.get_mut(&start) {
            span.at += bytes;
            if span.is_empty() {
                self.open.remove(&start);
            }
        }
    }

    /// What is missing of that piece may be handed out again.
    pub fn give_back(&mut self, start: u64) {
        if let Some(span) = self.open.remove(&start) {
            self.back.insert(span.at, span.end);
        }
    }

    /// Up to here everything is there.
    pub fn without_gap(&self) -> u64 {
        let open = self.open.first_key_value().map(|(_, span)| span.at);
        let back = self.back.first_key_value().map(|(&at, _)| at);
        [open, back].into_iter().flatten().fold(self.next, u64::min)
    }

    /// How many bytes of the whole are there, those before the first piece
    /// included.
    pub fn received(&self) -> u64 {
        let open: u64 = self.open.values().map(Span::len).sum();
        let back: u64 = self.back.iter().map(|(at, end)| end - at).sum();
        self.next - open - back
    }

    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.without_gap() == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(at: u64, end: u64) -> Span {
        Span { at, end }
    }

    #[test]
    fn answers() {
        let head = |text: &str| Head::parse(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes()).unwrap();
        let asked = span(5, 10);
        for (text, answered) in [
            (
                "206 P\r\nContent-Range: bytes 5-9/20",
                Some((span(5, 10), 20)),
            ),
            ("206 P\r\nContent-Range: bytes 5-7/8", Some((span(5, 8), 8))),
            ("206 P\r\nContent-Range: bytes 5-8/20", None),
            ("206 P\r\nContent-Range: bytes 5-10/20", None),
            ("206 P\r\nContent-Range: bytes 4-9/20", None),
            ("206 P\r\nContent-Range: bytes 5-9/*", None),
            ("206 P", None),
            ("200 OK\r\nContent-Range: bytes 5-9/20", None),
        ] {
            assert_eq!(asked.answered(&head(text)), answered, "{text}");
        }
        let tag = Validator::Tag("\"1\"".into());
        let expected = [("Range", "bytes=5-9".into()), ("If-Range", "\"1\"".into())];
        assert_eq!(asked.ask(Some(&tag)), expected);
        assert_eq!(asked.ask(None).len(), 1);
    }

    #[test]
    fn what_is_given_back_comes_first() {
        let mut pieces = Pieces::new(span(0, 3 * FIRST), 1);
        let (a, b) = (pieces.take().unwrap(), pieces.take().unwrap());
        assert_eq!((a.at, b.at), (0, FIRST));
        pieces.advance(a.at, 10);
        assert_eq!((pieces.without_gap(), pieces.received()), (10, 10));
        pieces.advance(b.at, b.len());
        pieces.give_back(a.at);
        assert_eq!(pieces.without_gap(), 10);
        assert_eq!(pieces.take(), Some(span(10, FIRST)));
        pieces.advance(10, FIRST - 10);
        assert_eq!(pieces.without_gap(), 2 * FIRST);
        let c = pieces.take().unwrap();
        assert_eq!(pieces.take(), None);
        assert!(!pieces.is_complete());
        pieces.advance(c.at, c.len());
        assert!(pieces.is_complete());
    }

    proptest! {
        /// Whatever happens to the pieces: what is said to be there is there,
        /// and in the end each byte was had once.
        #[test]
        fn no_gap_is_overlooked(start in 0..FIRST, length in 1..9 * FIRST, steps in prop::collection::vec((0..3u8, 1..FIRST), 0..60)) {
            let end = start + length;
            let mut pieces = Pieces::new(span(start, end), 3);
            let mut open: Vec<(u64, Span)> = Vec::new();
            let mut missing = length;
            let mut steps = steps.into_iter();
            while !pieces.is_complete() {
                let (what, bytes) = steps.next().unwrap_or((1, u64::MAX));
                match what {
                    0 if !open.is_empty() => {
                        let (key, _) = open.swap_remove(0);
                        pieces.give_back(key);
                    }
                    1 if !open.is_empty() => {
                        let (key, mut left) = open.pop().unwrap();
                        let bytes = bytes.min(left.len());
                        pieces.advance(key, bytes);
                        missing -= bytes;
                        left.at += bytes;
                        if !left.is_empty() {
                            open.push((key, left));
                        }
                    }
                    _ => {
                        if let Some(span) = pieces.take() {
                            open.push((span.at, span));
                        }
                    }
                }
                let first = open.iter().map(|(_, left)| left.at).min();
                prop_assert!(first.is_none_or(|first| pieces.without_gap() <= first));
            }
            prop_assert_eq!(missing, 0);
            prop_assert!(open.is_empty());
        }
    }
}
