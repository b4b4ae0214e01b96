//! Listings at the speed of the pipe.
//!
//! 256 neighbours share their text but for the last octet, so a [`Lister`]
//! formats the beginning of a block once and then only copies: sixteen bytes
//! or more of it, sixteen of a table of endings, for each line. Lines gather
//! in one buffer that goes out whole; memory does not depend on how much is
//! listed.

use common::{Out, Result, time};

use crate::bits::Bits;
use crate::format::{Block, Head};
use crate::set::Interval;

/// What is written at once.
const BUFFER: usize = 64 * 1024;
/// Longest line that is copied, and the room behind the buffer for it.
const LINE: usize = 128;
/// Bytes of an ending that are copied whatever its length; its last byte is
/// the length.
const ENDING: usize = 16;

/// The end of a record with a time.
const STAMPED: &str = "\"}";

/// Which addresses to list, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<N> {
    start: N,
    /// How many follow the first one.
    more: u128,
    step: N,
    descending: bool,
}

impl<N: Bits> Walk<N> {
    /// Every `step`th address of an interval from its first, or backwards
    /// from its last, `limit` of them at most. `None` when there is none.
    pub(crate) fn new(
        interval: Interval<N>,
        step: u128,
        limit: Option<u128>,
        descending: bool,
    ) -> Option<Self> {
        let more = (interval.last - interval.first).widen() / step;
        let more = match limit {
            Some(limit) => more.min(limit.checked_sub(1)?),
            None => more,
        };
        Some(Self {
            start: if descending {
                interval.last
            } else {
                interval.first
            },
            more,
            // A step beyond the space is never taken.
            step: if more == 0 { N::ONE } else { N::narrow(step) },
            descending,
        })
    }

    /// The address after the first by that many steps, at most `more`.
    fn at(&self, steps: u128) -> N {
        let distance = N::narrow(steps.wrapping_mul(self.step.widen()));
        if self.descending {
            self.start - distance
        } else {
            self.start + distance
        }
    }
}

/// Writes addresses as lines that all begin and end alike.
#[derive(Debug)]
pub(crate) struct Lister {
    buffer: Vec<u8>,
    filled: usize,
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether each line ends with the time of its buffer and [`STAMPED`].
    stamped: bool,
    decimal: Option<Box<[[u8; ENDING]; 256]>>,
    hex: Option<Box<[[u8; ENDING]; 256]>>,
}

impl Lister {
    /// Lines of `before`, the address, `after` and a newline.
    pub(crate) fn new(before: &str, after: &str) -> Self {
        let after = format!("{after}\n").into_bytes();
        // An octet takes three bytes at most.
        let fits = after.len() + 3 < ENDING && before.len() <= 32;
        let table = |text: fn(usize) -> String| {
            fits.then(|| {
                let ending = |octet| {
                    let mut entry = [0; ENDING];
                    let text = [text(octet).as_bytes(), &after].concat();
                    entry[..text.len()].copy_from_slice(&text);
                    entry[ENDING - 1] = text.len() as u8;
                    entry
                };
                Box::new(std::array::from_fn(ending))
            })
        };
        Self {
            buffer: vec![0; BUFFER + LINE],
            filled: 0,
            before: before.as_bytes().to_vec(),
            stamped: false,
            decimal: table(|octet| octet.to_string()),
            hex: table(|octet| format!("{octet:02x}")),
            after,
        }
    }

    /// JSON records of this type that have the address and the time. The time
    /// is taken once for each buffer.
    pub(crate) fn records(tag: &str) -> Self {
        Self {
            stamped: true,
            ..Self::new(&format!("{{\"type\":\"{tag}\",\"address\":\""), STAMPED)
        }
    }

    /// Lists the addresses of a walk.
    pub(crate) fn walk<N: Bits>(&mut self, walk: &Walk<N>, out: &mut Out) -> Result<()> {
        let low = N::narrow(0xff);
        let mut done = 0;
        loop {
            let address = walk.at(done);
            // How many more lie in the same block of 256.
            let room = if walk.descending {
                address & low
            } else {
                low - (address & low)
            };
            let run = (room.widen() / walk.step.widen()).min(walk.more - done);
            match address.block() {
                _ if run == 0 => self.line(address, out)?,
                Block::Decimal(head) if self.decimal.is_some() && !self.stamped => {
                    self.block(&head, walk, address, run as usize, true, out)?;
                }
                Block::Hex(head) if self.hex.is_some() && !self.stamped => {
                    self.block(&head, walk, address, run as usize, false, out)?;
                }
                _ => {
                    for steps in 0..=run {
                        self.line(walk.at(done + steps), out)?;
                    }
                }
            }
            if walk.more - done == run {
                return self.hand_over(out);
            }
            done += run + 1;
        }
    }

    /// One address, formatted by itself.
    pub(crate) fn line<N: Bits>(&mut self, address: N, out: &mut Out) -> Result<()> {
        if self.filled + self.before.len() + self.after.len() + 64 > self.buffer.len() {
            self.hand_over(out)?;
        }
        if self.stamped && self.filled == 0 {
            self.after = format!("\",\"time\":\"{}{STAMPED}\n", time::now()).into_bytes();
        }
        let text = address.text();
        for part in [&self.before[..], text.as_bytes(), &self.after] {
            // Long texts around an address have no table, but always room:
            // none comes near the buffer's size.
            self.buffer[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
        }
        if self.filled >= BUFFER {
            self.hand_over(out)?;
        }
        Ok(())
    }

    /// `run` + 1 addresses of one block.
    fn block<N: Bits>(
        &mut self,
        head: &Head,
        walk: &Walk<N>,
        address: N,
        run: usize,
        decimal: bool,
        out: &mut Out,
    ) -> Result<()> {
        let mut beginning = [0; 96];
        let length = self.before.len() + head.as_bytes().len();
        beginning[..self.before.len()].copy_from_slice(&self.before);
        beginning[self.before.len()..length].copy_from_slice(head.as_bytes());
        let octet = (address & N::narrow(0xff)).widen() as usize;
        let octets = Octets {
            octet,
            // A step that reaches another address of the block is below 256.
            step: walk.step.widen() as usize,
            descending: walk.descending,
            left: run + 1,
        };
        match length {
            0..=16 => self.copy::<16>(&beginning, length, octets, decimal, out),
            17..=48 => self.copy::<48>(&beginning, length, octets, decimal, out),
            _ => self.copy::<96>(&beginning, length, octets, decimal, out),
        }
    }

    /// Copies `W` bytes of the beginning, of which `length` count, and an
    /// ending, for each octet.
    fn copy<const W: usize>(
        &mut self,
        beginning: &[u8; 96],
        length: usize,
        mut octets: Octets,
        decimal: bool,
        out: &mut Out,
    ) -> Result<()> {
        let mut fixed = [0; W];
        fixed.copy_from_slice(&beginning[..W]);
        while octets.left > 0 {
            let table = if decimal { &self.decimal } else { &self.hex };
            let Some(table) = table else { return Ok(()) };
            // So many lines fit for certain.
            let fit = (BUFFER - self.filled.min(BUFFER)) / LINE;
            if fit == 0 {
                self.hand_over(out)?;
                continue;
            }
            let mut at = self.filled;
            let lines = fit.min(octets.left);
            if octets.step == 1 && !octets.descending {
                for ending in &table[octets.octet..octets.octet + lines] {
                    at = put(&mut self.buffer, at, &fixed, length, ending);
                }
                octets.octet += lines;
                octets.left -= lines;
            } else {
                for _ in 0..lines {
                    at = put(&mut self.buffer, at, &fixed, length, &table[octets.octet]);
                    octets.advance();
                }
            }
            self.filled = at;
        }
        if self.filled >= BUFFER - LINE {
            self.hand_over(out)?;
        }
        Ok(())
    }

    /// Ends a series of single lines.
    pub(crate) fn finish(&mut self, out: &mut Out) -> Result<()> {
        self.hand_over(out)
    }

    /// Gives all lines to the output, which writes that much at once.
    fn hand_over(&mut self, out: &mut Out) -> Result<()> {
        let filled = std::mem::take(&mut self.filled);
        out.bytes(&self.buffer[..filled])
    }
}

/// Which octets of a block are left.
struct Octets {
    octet: usize,
    step: usize,
    descending: bool,
    left: usize,
}

impl Octets {
    fn advance(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            return;
        }
        if self.descending {
            self.octet -= self.step;
        } else {
            self.octet += self.step;
        }
    }
}

/// Writes one line; more bytes than count are copied, the next line covers
/// them. Returns where it begins.
#[inline]
fn put<const W: usize>(
    buffer: &mut [u8],
    at: usize,
    beginning: &[u8; W],
    length: usize,
    ending: &[u8; ENDING],
) -> usize {
    buffer[at..at + W].copy_from_slice(beginning);
    let at = at + length;
    buffer[at..at + ENDING].copy_from_slice(ending);
    at + usize::from(ending[ENDING - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

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

    fn listed<N: Bits>(
        interval: Interval<N>,
        step: u128,
        limit: Option<u128>,
        descending: bool,
        (before, after): (&str, &str),
    ) -> String {
        let sink = Sink::default();
        let mut out = Out::new(Box::new(sink.clone()));
        if let Some(walk) = Walk::new(interval, step, limit, descending) {
            Lister::new(before, after).walk(&walk, &mut out).unwrap();
        }
        out.flush().unwrap();
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn expected<N: Bits>(
        interval: Interval<N>,
        step: u128,
        limit: Option<u128>,
        descending: bool,
        (before, after): (&str, &str),
    ) -> String {
        let mut text = String::new();
        let mut at = Some(if descending {
            interval.last
        } else {
            interval.first
        });
        let mut left = limit.unwrap_or(u128::MAX);
        while let Some(address) =
            at.filter(|&a| interval.first <= a && a <= interval.last && left > 0)
        {
            text.extend([before, &address.ip().to_string(), after, "\n"]);
            left -= 1;
            let (next, wide) = if descending {
                (address.widen().checked_sub(step), false)
            } else {
                (address.widen().checked_add(step), true)
            };
            at = next
                .filter(|&n| !wide || n <= N::MAX.widen())
                .map(N::narrow);
        }
        text
    }

    fn check<N: Bits>(first: N, size: u16, step: u128, limit: Option<u128>, form: u8) {
        let last = first.checked_add(N::narrow(size.into())).unwrap_or(N::MAX);
        let interval = Interval { first, last };
        let around = match form % 3 {
            0 => ("", ""),
            1 => ("{\"type\":\"hosts\",\"address\":\"", "\"}"),
            _ => (
                "a rather long beginning, far longer than any",
                " and an end, just as long as this",
            ),
        };
        let descending = form & 4 != 0;
        assert_eq!(
            listed(interval, step, limit, descending, around),
            expected(interval, step, limit, descending, around)
        );
    }

    #[test]
    fn the_ends_of_the_spaces() {
        for form in 0..8 {
            check(u32::MAX - 300, 1000, 1, None, form);
            check(u128::MAX - 300, 1000, 7, None, form);
            check(0_u32, 300, 1, None, form);
            check(0_u128, 5000, 1, None, form);
            check(0xffff_ffff_ff00_u128, 600, 1, None, form);
        }
        let whole = Interval {
            first: 0_u128,
            last: u128::MAX,
        };
        assert_eq!(
            listed(whole, u128::MAX, None, false, ("", "")),
            format!("::\n{}\n", u128::MAX.ip())
        );
        assert_eq!(listed(whole, 1, Some(2), true, ("", "")).lines().count(), 2);
        assert_eq!(listed(whole, 1, Some(0), true, ("", "")), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn as_formatted_one_by_one(
            v4: u32, v6: u128, low in 0..0x2_0000_u128, size in 0..3000_u16,
            step in prop_oneof![Just(1_u128), 1..600_u128, any::<u128>().prop_map(|s| s.max(1))],
            limit in proptest::option::of(0..2000_u128), form: u8,
        ) {
            check(v4, size, step, limit, form);
            check(v6, size, step, limit, form);
            check(low, size, step, limit, form);
            check(0xffff_0000_0000 | u128::from(v4), size, step, limit, form);
        }
    }
}
