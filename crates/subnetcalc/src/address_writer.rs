//! Lists of addresses, written as fast as a pipe accepts them.
//!
//! The addresses of a block of 256 differ only in the text of their last octet. A
//! [`AddressWriter`] formats the start of a block once. For each line it copies this start
//! and an entry of a table of endings, in copies of a fixed size. The lines fill one
//! buffer, so memory does not depend on the length of the list.

use common::{Out, Result, time};

use crate::bits::Bits;
use crate::format::{Block, BlockPrefix};
use crate::interval::Interval;

/// The number of bytes after which the buffer is written.
const BUFFER_SIZE: usize = 64 * 1024;
/// The longest line of a block, and the extra room for it in the buffer.
const MAX_LINE_LEN: usize = 128;
/// The size of an ending in the table. All of it is copied, and its last byte is the
/// length of the text.
const ENDING_SIZE: usize = 16;

/// The end of a record with a time.
const RECORD_END: &str = "\"}";

/// An arithmetic sequence of addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<N> {
    start: N,
    /// The number of addresses after the first.
    more: u128,
    step: N,
    descending: bool,
}

impl<N: Bits> Sequence<N> {
    /// Creates the sequence of every `step`th address of an interval, starting with its
    /// first address, or with its last if `descending`. It has at most `limit`
    /// addresses. Returns `None` if that is 0.
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
            // With a single address the step may exceed the address space; it is not used.
            step: if more == 0 { N::ONE } else { N::narrow(step) },
            descending,
        })
    }

    /// Returns the address at an index, which is at most `more`.
    fn at(&self, index: u128) -> N {
        let distance = N::narrow(index.wrapping_mul(self.step.widen()));
        if self.descending {
            self.start - distance
        } else {
            self.start + distance
        }
    }
}

/// Writes lines that consist of a fixed text, an address and another fixed text.
#[derive(Debug)]
pub(crate) struct AddressWriter {
    buffer: Vec<u8>,
    filled: usize,
    /// The text before each address.
    before: Vec<u8>,
    /// The text after each address, with the newline.
    after: Vec<u8>,
    /// Whether each line ends with the time of its buffer and [`RECORD_END`].
    has_time: bool,
    /// The endings of lines for each octet, unless they are too long for a table.
    decimal: Option<Box<[[u8; ENDING_SIZE]; 256]>>,
    hex: Option<Box<[[u8; ENDING_SIZE]; 256]>>,
}

impl AddressWriter {
    /// Creates a writer of lines with `before` and `after` around the address.
    pub(crate) fn new(before: &str, after: &str) -> Self {
        let after = format!("{after}\n").into_bytes();
        // An octet has at most three digits.
        let fits = after.len() + 3 < ENDING_SIZE && before.len() <= 32;
        let table = |text: fn(usize) -> String| {
            fits.then(|| {
                let ending = |octet| {
                    let mut entry = [0; ENDING_SIZE];
                    let text = [text(octet).as_bytes(), &after].concat();
                    entry[..text.len()].copy_from_slice(&text);
                    entry[ENDING_SIZE - 1] = text.len() as u8;
                    entry
                };
                Box::new(std::array::from_fn(ending))
            })
        };
        Self {
            buffer: vec![0; BUFFER_SIZE + MAX_LINE_LEN],
            filled: 0,
            before: before.as_bytes().to_vec(),
            has_time: false,
            decimal: table(|octet| octet.to_string()),
            hex: table(|octet| format!("{octet:02x}")),
            after,
        }
    }

    /// Creates a writer of JSON records with this type, the address and the time,
    /// which is the same for all records of a buffer.
    pub(crate) fn json(tag: &str) -> Self {
        Self {
            has_time: true,
            ..Self::new(&format!("{{\"type\":\"{tag}\",\"address\":\""), RECORD_END)
        }
    }

    /// Writes the addresses of a sequence.
    pub(crate) fn sequence<N: Bits>(
        &mut self,
        sequence: &Sequence<N>,
        out: &mut Out,
    ) -> Result<()> {
        let low = N::narrow(0xff);
        let mut done = 0;
        loop {
            let address = sequence.at(done);
            // The number of further addresses in the same block of 256.
            let room = if sequence.descending {
                address & low
            } else {
                low - (address & low)
            };
            let run = (room.widen() / sequence.step.widen()).min(sequence.more - done);
            match address.block() {
                _ if run == 0 => self.line(address, out)?,
                Block::Decimal(prefix) if self.decimal.is_some() && !self.has_time => {
                    self.block(&prefix, sequence, address, run as usize, true, out)?;
                }
                Block::Hex(prefix) if self.hex.is_some() && !self.has_time => {
                    self.block(&prefix, sequence, address, run as usize, false, out)?;
                }
                _ => {
                    for index in 0..=run {
                        self.line(sequence.at(done + index), out)?;
                    }
                }
            }
            if sequence.more - done == run {
                return self.flush_to(out);
            }
            done += run + 1;
        }
    }

    /// Writes the line of one address.
    pub(crate) fn line<N: Bits>(&mut self, address: N, out: &mut Out) -> Result<()> {
        if self.filled + self.before.len() + self.after.len() + 64 > self.buffer.len() {
            self.flush_to(out)?;
        }
        if self.has_time && self.filled == 0 {
            self.after = format!("\",\"time\":\"{}{RECORD_END}\n", time::now()).into_bytes();
        }
        let text = address.text();
        for part in [&self.before[..], text.as_bytes(), &self.after] {
            // Texts around an address that are too long for a table fit as well:
            // they are much shorter than the buffer.
            self.buffer[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
        }
        if self.filled >= BUFFER_SIZE {
            self.flush_to(out)?;
        }
        Ok(())
    }

    /// Writes the lines of `run` + 1 addresses of one block.
    fn block<N: Bits>(
        &mut self,
        prefix: &BlockPrefix,
        sequence: &Sequence<N>,
        address: N,
        run: usize,
        decimal: bool,
        out: &mut Out,
    ) -> Result<()> {
        let mut line_start = [0; 96];
        let length = self.before.len() + prefix.as_bytes().len();
        line_start[..self.before.len()].copy_from_slice(&self.before);
        line_start[self.before.len()..length].copy_from_slice(prefix.as_bytes());
        let octet = (address & N::narrow(0xff)).widen() as usize;
        let octets = Octets {
            octet,
            // A step within the block is below 256.
            step: sequence.step.widen() as usize,
            descending: sequence.descending,
            remaining: run + 1,
        };
        match length {
            0..=16 => self.copy::<16>(&line_start, length, octets, decimal, out),
            17..=48 => self.copy::<48>(&line_start, length, octets, decimal, out),
            _ => self.copy::<96>(&line_start, length, octets, decimal, out),
        }
    }

    /// Writes a line for each octet: the first `length` of `W` copied bytes, and an
    /// ending of the table.
    fn copy<const W: usize>(
        &mut self,
        line_start: &[u8; 96],
        length: usize,
        mut octets: Octets,
        decimal: bool,
        out: &mut Out,
    ) -> Result<()> {
        let mut fixed = [0; W];
        fixed.copy_from_slice(&line_start[..W]);
        while octets.remaining > 0 {
            let table = if decimal { &self.decimal } else { &self.hex };
            let Some(table) = table else { return Ok(()) };
            // At least this number of lines fits.
            let fit = (BUFFER_SIZE - self.filled.min(BUFFER_SIZE)) / MAX_LINE_LEN;
            if fit == 0 {
                self.flush_to(out)?;
                continue;
            }
            let mut at = self.filled;
            let lines = fit.min(octets.remaining);
            if octets.step == 1 && !octets.descending {
                for ending in &table[octets.octet..octets.octet + lines] {
                    at = copy_line(&mut self.buffer, at, &fixed, length, ending);
                }
                octets.octet += lines;
                octets.remaining -= lines;
            } else {
                for _ in 0..lines {
                    at = copy_line(&mut self.buffer, at, &fixed, length, &table[octets.octet]);
                    octets.advance();
                }
            }
            self.filled = at;
        }
        if self.filled >= BUFFER_SIZE - MAX_LINE_LEN {
            self.flush_to(out)?;
        }
        Ok(())
    }

    /// Writes the buffered lines after the last call of [`AddressWriter::line`].
    pub(crate) fn finish(&mut self, out: &mut Out) -> Result<()> {
        self.flush_to(out)
    }

    /// Writes the buffered lines to the output.
    fn flush_to(&mut self, out: &mut Out) -> Result<()> {
        let filled = std::mem::take(&mut self.filled);
        out.bytes(&self.buffer[..filled])
    }
}

/// The last octets of the addresses of a block that are not written yet.
struct Octets {
    octet: usize,
    step: usize,
    descending: bool,
    remaining: usize,
}

impl Octets {
    /// Moves to the next octet, if there is one.
    fn advance(&mut self) {
        self.remaining -= 1;
        if self.remaining == 0 {
            return;
        }
        if self.descending {
            self.octet -= self.step;
        } else {
            self.octet += self.step;
        }
    }
}

/// Copies one line to `at` and returns its end. It copies more bytes than the line has;
/// the next line overwrites the excess.
#[inline]
fn copy_line<const W: usize>(
    buffer: &mut [u8],
    at: usize,
    line_start: &[u8; W],
    length: usize,
    ending: &[u8; ENDING_SIZE],
) -> usize {
    buffer[at..at + W].copy_from_slice(line_start);
    let at = at + length;
    buffer[at..at + ENDING_SIZE].copy_from_slice(ending);
    at + usize::from(ending[ENDING_SIZE - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedBuffer {
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
        let written = SharedBuffer::default();
        let mut out = Out::new(Box::new(written.clone()));
        if let Some(sequence) = Sequence::new(interval, step, limit, descending) {
            AddressWriter::new(before, after)
                .sequence(&sequence, &mut out)
                .unwrap();
        }
        out.flush().unwrap();
        let bytes = written.0.lock().unwrap().clone();
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
                "a long start, longer than any entry of the table",
                " and an end of similar length",
            ),
        };
        let descending = form & 4 != 0;
        assert_eq!(
            listed(interval, step, limit, descending, around),
            expected(interval, step, limit, descending, around)
        );
    }

    #[test]
    fn sequences_reach_the_ends_of_the_address_space() {
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
        fn lines_equal_addresses_formatted_one_by_one(
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
