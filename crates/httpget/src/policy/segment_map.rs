//! The segments of a file that is downloaded over several connections (`--segments`).
//!
//! Segments are handed out from the start of the file, so that the contiguous part ends
//! only a few segments before the last one requested. The bytes after the first gap are
//! lost when a download is interrupted, since only the contiguous part can be continued.

use std::collections::BTreeMap;

use crate::http::content_range;
use crate::http::head::Head;
use crate::policy::resume::Validator;

/// The length of the first segment, which is requested before the total is known.
pub const FIRST_LENGTH: u64 = 1 << 20;
/// The length of the longest segment.
const LENGTH_MAX: u64 = 16 << 20;

/// The bytes from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset after the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Returns the number of bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether the range contains no byte.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Returns the headers that request the range of the version of `validator`.
    pub fn range_headers(&self, validator: Option<&Validator>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Range", format!("bytes={}-{}", self.start, self.end - 1))];
        if let Some(validator) = validator {
            headers.push(("If-Range", validator.value().to_owned()));
        }
        headers
    }

    /// Returns the range of a response to that request, which is shorter only at the end of
    /// the file, and the total length. `None` if it is not the requested range.
    pub fn matched_by(&self, head: &Head) -> Option<(Self, u64)> {
        let range = head.get("content-range").and_then(content_range::parse)?;
        let ((first, last), total) = (range.span?, range.total?);
        let range = Self {
            start: first,
            end: last.checked_add(1)?,
        };
        let requested = Self {
            start: self.start,
            end: self.end.min(total),
        };
        (head.status == 206 && range == requested).then_some((range, total))
    }
}

/// The segments of a file and their progress.
#[derive(Clone, Debug)]
pub struct SegmentMap {
    /// The offset after the last segment that was handed out.
    next: u64,
    end: u64,
    size: u64,
    /// The missing bytes of active segments, by the start of the segment.
    active: BTreeMap<u64, ByteRange>,
    /// The ends of released segments, by the start of their missing bytes.
    released: BTreeMap<u64, u64>,
}

impl SegmentMap {
    /// Returns the segments of `range` for a number of connections.
    pub fn new(range: ByteRange, connections: u64) -> Self {
        // Several segments per connection, so that a slow one does not delay the end.
        let size = (range.len() / (connections.max(1) * 4)).clamp(FIRST_LENGTH, LENGTH_MAX);
        Self {
            next: range.start,
            end: range.end,
            size,
            active: BTreeMap::new(),
            released: BTreeMap::new(),
        }
    }

    /// Hands out the first segment that is free, with at most `most` bytes.
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

    /// Hands out the next segment; `None` if all are active or complete.
    pub fn next_segment(&mut self) -> Option<ByteRange> {
        self.hand_out(self.size)
    }

    /// Hands out a segment of this length.
    pub fn first_segment(&mut self, length: u64) -> Option<ByteRange> {
        self.hand_out(length)
    }

    /// Records that `bytes` more bytes of a segment have been received.
    pub fn advance(&mut self, start: u64, bytes: u64) {
        if let Some(range) = self.active.get_mut(&start) {
            range.start += bytes;
            if range.is_empty() {
                self.active.remove(&start);
            }
        }
    }

    /// Releases a segment: its missing bytes may be handed out again.
    pub fn release(&mut self, start: u64) {
        if let Some(range) = self.active.remove(&start) {
            self.released.insert(range.start, range.end);
        }
    }

    /// Returns the length of the contiguous part.
    pub fn contiguous(&self) -> u64 {
        let active = self.active.first_key_value().map(|(_, range)| range.start);
        let released = self.released.first_key_value().map(|(&start, _)| start);
        [active, released]
            .into_iter()
            .flatten()
            .fold(self.next, u64::min)
    }

    /// Returns the number of bytes received, including those before the range.
    pub fn received(&self) -> u64 {
        let active: u64 = self.active.values().map(ByteRange::len).sum();
        let released: u64 = self.released.iter().map(|(start, end)| end - start).sum();
        self.next - active - released
    }

    /// Whether all segments are complete.
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
    fn responses_must_match_the_request() {
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
    fn released_segments_are_handed_out_first() {
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
        /// Whatever happens to the segments, the contiguous part has no gap, and each byte
        /// is received once.
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
