//! The unsent tail of one connection: bytes that wait for the peer to read,
//! or for their delay to pass.
//!
//! Empty, it owns no heap. Bytes go out in the order they came in; each piece
//! may have a moment before which it is held back.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes in order, the front part of them free to go.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    /// Everything before this offset has gone.
    start: usize,
    /// How many bytes from `start` on may go now.
    free: usize,
    /// Lengths of the pieces behind those, with their moments, in order.
    held: VecDeque<(Duration, usize)>,
}

impl Tail {
    /// Bytes waiting, held back or not.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether none wait.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pieces that are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// What may go now.
    pub(crate) fn free(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.free]
    }

    /// Adds bytes that may go as soon as those before them.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.held.is_empty(), "a free piece behind a held one");
        self.bytes.extend_from_slice(bytes);
        self.free += bytes.len();
    }

    /// Adds bytes to be held back until `moment`, or until those before them
    /// go, whichever is later.
    pub(crate) fn hold(&mut self, bytes: &[u8], moment: Duration) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let last = self.held.back().map_or(moment, |(last, _)| *last);
        self.held.push_back((moment.max(last), bytes.len()));
    }

    /// Sets free what need not be held back any longer.
    pub(crate) fn release(&mut self, now: Duration) {
        while let Some(&(moment, len)) = self.held.front() {
            if moment > now {
                break;
            }
            self.free += len;
            self.held.pop_front();
        }
    }

    /// When [`Tail::release`] has something to do.
    pub(crate) fn release_at(&self) -> Option<Duration> {
        self.held.front().map(|(moment, _)| *moment)
    }

    /// Forgets the first `n` free bytes, which have gone.
    pub(crate) fn sent(&mut self, n: usize) {
        debug_assert!(n <= self.free, "more gone than was free");
        self.start += n;
        self.free -= n;
        if self.is_empty() {
            self.bytes = Vec::new();
            self.held = VecDeque::new();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Hold(Vec<u8>, u64),
        Pass(u64),
        Send(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (prop::collection::vec(any::<u8>(), 0..40), 0..50_u64)
                .prop_map(|(b, d)| Op::Hold(b, d)),
            (0..30_u64).prop_map(Op::Pass),
            (0..60_usize).prop_map(Op::Send),
        ]
    }

    proptest! {
        #[test]
        fn order_and_moments_are_kept(ops in prop::collection::vec(op(), 0..80)) {
            let mut tail = Tail::default();
            let (mut now, mut into, mut out) = (0, Vec::new(), Vec::new());
            let mut moments = Vec::new();
            for op in ops {
                match op {
                    Op::Hold(bytes, delay) => {
                        tail.hold(&bytes, Duration::from_millis(now + delay));
                        moments.extend(std::iter::repeat_n(now + delay, bytes.len()));
                        into.extend(bytes);
                    }
                    Op::Pass(ms) => now += ms,
                    Op::Send(most) => {
                        tail.release(Duration::from_millis(now));
                        let n = most.min(tail.free().len());
                        out.extend_from_slice(&tail.free()[..n]);
                        tail.sent(n);
                    }
                }
                prop_assert_eq!(tail.len(), into.len() - out.len());
                prop_assert!(into.starts_with(&out));
                prop_assert!(moments[..out.len()].iter().all(|moment| *moment <= now));
            }
            tail.release(Duration::from_secs(3600));
            prop_assert_eq!(tail.free(), &into[out.len()..]);
            prop_assert_eq!(tail.release_at(), None);
        }
    }

    #[test]
    fn empty_owns_no_heap() {
        let mut tail = Tail::default();
        tail.push(b"abc");
        tail.sent(3);
        assert_eq!(tail.bytes.capacity(), 0);
    }
}
