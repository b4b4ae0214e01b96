//! How one body is had in pieces over several connections (`--segments`):
//! which piece is next, and how far the body is there without a gap.
//!
//! SegmentMap are handed out from the front, so that what is there without a gap
//! trails what has been asked for by a few pieces only: that much is lost when
//! a download is interrupted, since only what has no gap can be continued.

use std::collections::BTreeMap;

use crate::http::content_range;
use crate::http::head::Head;
use crate::policy::resume::Validator;

/// The length of the piece that is asked for first, when nothing is known.
pub const FIRST_LENGTH: u64 = 1 << 20;
/// The longest piece.
const LENGTH_MAX: u64 = 16 << 20;

/// Bytes from `at` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// Behind the last one.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// The headers that ask for it, of the state that `validator` names.
    pub fn range_headers(&self, validator: Option<&Validator>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Range", format!("bytes={}-{}", self.start, self.end - 1))];
        if let Some(validator) = validator {
            headers.push(("If-Range", validator.value().to_owned()));
        }
        headers
    }

    /// What a response to that brings: the range it is (shorter only where the
    /// body ends), and the length of the whole. `None` where it is not
    /// exactly what was asked for.
    pub fn matched_by(&self, head: &Head) -> Option<(Self, u64)> {
        let range = head.get("content-range").and_then(content_range::parse)?;
        let ((first, last), total) = (range.span?, range.total?);
        let range = Self {
            start: first,
            end: last.checked_add(1)?,
        };
        let wanted = Self {
            start: self.start,
            end: self.end.min(total),
        };
        (head.status == 206 && range == wanted).then_some((range, total))
    }
}

/// The pieces of a body.
#[derive(Clone, Debug)]
pub struct SegmentMap {
    /// From here on nothing has been handed out.
    next: u64,
    end: u64,
    size: u64,
    /// Handed out: by their start, what of them is missing.
    active: BTreeMap<u64, ByteRange>,
    /// Given back, by where they start now.
    released: BTreeMap<u64, u64>,
}

impl SegmentMap {
    /// The pieces of `range` for so many at once.
    pub fn new(range: ByteRange, connections: u64) -> Self {
        // Several each, so that a slow connection does not hold up the end.
        let size = (range.len() / (connections.max(1) * 4)).clamp(FIRST_LENGTH, LENGTH_MAX);
        Self {
            next: range.start,
            end: range.end,
            size,
            active: BTreeMap::new(),
            released: BTreeMap::new(),
        }
    }

    /// Hands out the foremost piece of at most `most` bytes.
    fn hand_out(&mut self, most: u64) -> Option<ByteRange> {
        let range = match self.released.pop_first() {
            Some((start, end)) => ByteRange { start, end },
            None => ByteRange {
                start: self.next,
                end: self.next.saturating_add(most).min(self.end),
            },
        };
        if range.is_empty() {
            return None;
        }
        self.next = self.next.max(range.end);
        self.active.insert(range.start, range);
        Some(range)
    }

    /// Hands out the foremost piece; `None` while there is none.
    pub fn next_segment(&mut self) -> Option<ByteRange> {
        self.hand_out(self.size)
    }

    /// Hands out a first piece of a given length.
    pub fn first_segment(&mut self, length: u64) -> Option<ByteRange> {
        self.hand_out(length)
    }

    /// So many more bytes are there of the piece that started at `start`.
    pub fn advance(&mut self, start: u64, bytes: u64) {
        if let Some(range) = self.active.get_mut(&start) {
            range.start += bytes;
            if range.is_empty() {
                self.active.remove(&start);
            }
        }
    }

    /// What is missing of that piece may be handed out again.
    pub fn release(&mut self, start: u64) {
        if let Some(range) = self.active.remove(&start) {
            self.released.insert(range.start, range.end);
        }
    }

    /// Up to here everything is there.
    pub fn contiguous(&self) -> u64 {
        let active = self.active.first_key_value().map(|(_, range)| range.start);
        let released = self.released.first_key_value().map(|(&start, _)| start);
        [active, released]
            .into_iter()
            .flatten()
            .fold(self.next, u64::min)
    }

    /// How many bytes of the whole are there, those before the first piece
    /// included.
    pub fn received(&self) -> u64 {
        let active: u64 = self.active.values().map(ByteRange::len).sum();
        let released: u64 = self.released.iter().map(|(start, end)| end - start).sum();
        self.next - active - released
    }

    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.contiguous() == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn answers() {
        let head = |text: &str| Head::parse(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes()).unwrap();
        let asked = range(5, 10);
        for (text, matched_by) in [
            (
                "206 P\r\nContent-Range: bytes 5-9/20",
                Some((range(5, 10), 20)),
            ),
            (
                "206 P\r\nContent-Range: bytes 5-7/8",
                Some((range(5, 8), 8)),
            ),
            ("206 P\r\nContent-Range: bytes 5-8/20", None),
            ("206 P\r\nContent-Range: bytes 5-10/20", None),
            ("206 P\r\nContent-Range: bytes 4-9/20", None),
            ("206 P\r\nContent-Range: bytes 5-9/*", None),
            ("206 P", None),
            ("200 OK\r\nContent-Range: bytes 5-9/20", None),
        ] {
            assert_eq!(asked.matched_by(&head(text)), matched_by, "{text}");
        }
        let tag = Validator::Tag("\"1\"".into());
        let expected = [("Range", "bytes=5-9".into()), ("If-Range", "\"1\"".into())];
        assert_eq!(asked.range_headers(Some(&tag)), expected);
        assert_eq!(asked.range_headers(None).len(), 1);
    }

    #[test]
    fn what_is_given_back_comes_first() {
        let mut segments = SegmentMap::new(range(0, 3 * FIRST_LENGTH), 1);
        let (a, b) = (
            segments.next_segment().unwrap(),
            segments.next_segment().unwrap(),
        );
        assert_eq!((a.start, b.start), (0, FIRST_LENGTH));
        segments.advance(a.start, 10);
        assert_eq!((segments.contiguous(), segments.received()), (10, 10));
        segments.advance(b.start, b.len());
        segments.release(a.start);
        assert_eq!(segments.contiguous(), 10);
        assert_eq!(segments.next_segment(), Some(range(10, FIRST_LENGTH)));
        segments.advance(10, FIRST_LENGTH - 10);
        assert_eq!(segments.contiguous(), 2 * FIRST_LENGTH);
        let c = segments.next_segment().unwrap();
        assert_eq!(segments.next_segment(), None);
        assert!(!segments.is_complete());
        segments.advance(c.start, c.len());
        assert!(segments.is_complete());
    }

    proptest! {
        /// Whatever happens to the pieces: what is said to be there is there,
        /// and in the end each byte was had once.
        #[test]
        fn no_gap_is_overlooked(start in 0..FIRST_LENGTH, length in 1..9 * FIRST_LENGTH, steps in prop::collection::vec((0..3u8, 1..FIRST_LENGTH), 0..60)) {
            let end = start + length;
            let mut segments = SegmentMap::new(range(start, end), 3);
            let mut open: Vec<(u64, ByteRange)> = Vec::new();
            let mut missing = length;
            let mut steps = steps.into_iter();
            while !segments.is_complete() {
                let (what, bytes) = steps.next().unwrap_or((1, u64::MAX));
                match what {
                    0 if !open.is_empty() => {
                        let (key, _) = open.swap_remove(0);
                        segments.release(key);
                    }
                    1 if !open.is_empty() => {
                        let (key, mut left) = open.pop().unwrap();
                        let bytes = bytes.min(left.len());
                        segments.advance(key, bytes);
                        missing -= bytes;
                        left.start += bytes;
                        if !left.is_empty() {
                            open.push((key, left));
                        }
                    }
                    _ => {
                        if let Some(range) = segments.next_segment() {
                            open.push((range.start, range));
                        }
                    }
                }
                let first = open.iter().map(|(_, left)| left.start).min();
                prop_assert!(first.is_none_or(|first| segments.contiguous() <= first));
            }
            prop_assert_eq!(missing, 0);
            prop_assert!(open.is_empty());
        }
    }
}
