//! The command `match`, which finds the most specific network of each address.
//!
//! Lines that consist of an address are looked up in batches, which hides the latency
//! of memory. Their answers are formatted before the first lookup.

use std::io::Read;
use std::net::IpAddr;

use common::app::Io;
use common::operands::Origin;
use common::{Error, Exit, Kind, Out, Result, address, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::MatchArgs;
use crate::input::{self, Content, LineBuffer, LineReader, MAX_LINE_LEN};
use crate::interval::{Interval, sort_intervals};
use crate::ipset::option_words;
use crate::lookup::SegmentTable;
use crate::members::{FamilyMembers, Keep, Members};
use crate::operand::{self, Rules};
use crate::output::{push_member, push_range};
use crate::parse;

/// The number of addresses that are looked up together.
const BATCH_SIZE: usize = 256;
/// The size of a formatted answer is a multiple of this. An answer has a TAB, the network
/// and a newline. Its last byte is the length of the text.
const ANSWER_ALIGNMENT: usize = 32;
/// The longest text of an address.
const MAX_ADDRESS_LEN: usize = 39;

/// The networks of one family and the answers for each of them.
struct FamilyTable<N> {
    table: SegmentTable<N>,
    /// An answer of `answer_size` bytes for each network, and one for no network.
    answers: Vec<u8>,
    answer_size: usize,
}

impl<N: Bits> FamilyTable<N> {
    fn new(members: FamilyMembers<N>) -> Self {
        let (mut members, mut ranges, _) = members.into_lists();
        members.extend_from_slice(&ranges);
        let table = SegmentTable::new(members);
        sort_intervals(&mut ranges);
        let key = |range: &Interval<N>| N::pair(range.first, !range.last);
        let is_range = |member: Interval<N>| {
            let found = ranges.binary_search_by_key(&key(&member), key);
            found.is_ok()
        };
        let mut text = Vec::new();
        let answer = |text: &mut Vec<u8>, member: Option<&Interval<N>>| {
            text.clear();
            text.push(b'\t');
            match member {
                None => text.push(b'-'),
                Some(&member) if is_range(member) => push_range(text, member),
                Some(&member) => push_member(text, member),
            }
            text.push(b'\n');
        };
        // Networks need less room than ranges, and there can be millions.
        let longest = table.members().iter().map(|member| {
            answer(&mut text, Some(member));
            text.len()
        });
        let answer_size = (longest.max().unwrap_or(0) + 1).next_multiple_of(ANSWER_ALIGNMENT);
        let mut answers = Vec::with_capacity((table.members().len() + 1) * answer_size);
        let mut text = Vec::new();
        for member in table.members().iter().map(Some).chain([None]) {
            answer(&mut text, member);
            let start = answers.len();
            answers.extend_from_slice(&text);
            answers.resize(start + answer_size - 1, 0);
            answers.push(text.len() as u8);
        }
        Self {
            table,
            answers,
            answer_size,
        }
    }

    /// Returns whether this is the index of a network.
    fn is_network(&self, id: usize) -> bool {
        id < self.table.members().len()
    }

    /// Returns the answer for the network with this index: TAB, network or `-`, newline,
    /// and in the last byte the number of bytes before it that count.
    #[inline]
    fn answer(&self, id: usize) -> &[u8] {
        &self.answers[id * self.answer_size..(id + 1) * self.answer_size]
    }

    /// Returns the network that contains an address, if any, and the formatted answer.
    fn find(&self, address: N) -> (Option<String>, Vec<u8>) {
        let id = self.table.find(address);
        let answer = self.answer(id);
        let answer = &answer[..usize::from(answer[answer.len() - 1])];
        let network = self
            .is_network(id)
            .then(|| String::from_utf8_lossy(answer.trim_ascii()).into_owned());
        (network, answer.to_vec())
    }
}

/// Addresses that are looked up together.
struct Batch<N> {
    addresses: Vec<N>,
    /// The start and the length of each address in the input.
    positions: Vec<(usize, usize)>,
    /// The results: the index of the network and the length of its answer.
    found: Vec<(u32, u32)>,
    /// Room for the output of a batch.
    output: Vec<u8>,
}

impl<N> Default for Batch<N> {
    fn default() -> Self {
        Self {
            addresses: Vec::with_capacity(BATCH_SIZE),
            positions: Vec::with_capacity(BATCH_SIZE),
            found: Vec::with_capacity(BATCH_SIZE),
            output: Vec::new(),
        }
    }
}

impl<N> Batch<N> {
    fn push(&mut self, address: N, start: usize, length: usize) {
        self.addresses.push(address);
        self.positions.push((start, length));
    }
}

/// Looks up addresses and prints the answers.
struct Matcher {
    v4: FamilyTable<u32>,
    v6: FamilyTable<u128>,
    batch4: Batch<u32>,
    batch6: Batch<u128>,
    rules: Rules,
    /// Whether a v4-mapped address is treated as its IPv4 address.
    unmap: bool,
    quiet: bool,
    /// The exit status so far.
    exit: Exit,
}

#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    address: &'a str,
    network: Option<String>,
    time: String,
}

/// Runs `subnetcalc match --in SET [ADDRESS...]`.
pub(super) fn match_addresses(args: &MatchArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let reads_stdin =
        args.addresses.is_empty() || args.addresses.iter().any(|word| input::is_stdin(word));
    if reads_stdin
        && option_words(&args.set)
            .iter()
            .any(|word| input::is_stdin(word))
    {
        return Err(Error::usage(
            "stdin cannot be read for both the operands and '--in'",
        ));
    }
    let members = Members::from_option(io, &args.set, Keep::Distinct, rules)?;
    let mut matcher = Matcher {
        v4: FamilyTable::new(members.v4),
        v6: FamilyTable::new(members.v6),
        batch4: Batch::default(),
        batch6: Batch::default(),
        rules,
        unmap: args.unmap,
        quiet: args.quiet,
        exit: Exit::Success,
    };
    if args.addresses.is_empty() {
        // This fails if stdin is a terminal.
        let _ = io.operands_or_stdin(&[], "an address")?;
        matcher.file("-", io.stdin(), io)?;
    }
    let mut stdin = Some(io.stdin());
    for word in &args.addresses {
        let file = if word == "-" {
            Some("-")
        } else {
            word.strip_prefix('@')
        };
        if let Some(name) = file {
            match input::open(name, &mut stdin) {
                Ok(reader) => matcher.file(name, reader, io)?,
                Err(error) => io.fail(&Error::local(&error).with_subject(name))?,
            }
        } else if let Err(error) = matcher.operand(word, io)? {
            io.fail(&error)?;
        }
    }
    Ok(matcher.exit)
}

impl Matcher {
    /// Answers the lines of a file. Flushes the output before each read.
    fn file(&mut self, name: &str, reader: Box<dyn Read + Send>, io: &mut Io) -> Result<()> {
        let mut reader = LineReader::for_list(reader);
        let mut buffer = LineBuffer::default();
        let mut number = 0;
        loop {
            io.out.flush()?;
            match reader.fill(&mut buffer) {
                Ok(Content::End) => return Ok(()),
                Ok(_) => {}
                Err(error) => return io.fail(&Error::local(&error).with_subject(name)),
            }
            let mut rest = buffer.bytes();
            while !rest.is_empty() {
                let (lines, bytes) = self.plain_lines(rest, io)?;
                number += lines;
                rest = &rest[bytes..];
                if rest.is_empty() {
                    break;
                }
                number += 1;
                let end = memchr::memchr(b'\n', rest);
                self.line(&rest[..end.unwrap_or(rest.len())], name, number, io)?;
                rest = end.map_or(&[][..], |end| &rest[end + 1..]);
            }
        }
    }

    /// Answers the lines at the start of the text that consist of an address, as nearly
    /// all do. Returns the number of these lines and of their bytes.
    fn plain_lines(&mut self, text: &[u8], io: &mut Io) -> Result<(u64, usize)> {
        if io.json || self.unmap || self.rules.family != address::Family::Any {
            return Ok((0, 0));
        }
        let (mut lines, mut at) = (0, 0);
        loop {
            let rest = &text[at..];
            let may_end = |end: usize| rest.get(end) == Some(&b'\n');
            let length = match parse::v4(rest) {
                Some((bits, length)) if may_end(length) => {
                    if !self.batch6.addresses.is_empty() {
                        self.answer_v6(text, io)?;
                    }
                    self.batch4.push(bits, at, length);
                    if self.batch4.addresses.len() == BATCH_SIZE {
                        self.answer_v4(text, io)?;
                    }
                    length
                }
                _ => {
                    let Some((bits, length)) = parse::v6(rest, may_end) else {
                        break;
                    };
                    if !self.batch4.addresses.is_empty() {
                        self.answer_v4(text, io)?;
                    }
                    self.batch6.push(bits, at, length);
                    if self.batch6.addresses.len() == BATCH_SIZE {
                        self.answer_v6(text, io)?;
                    }
                    length
                }
            };
            lines += 1;
            at += length + 1;
        }
        self.answer_v4(text, io)?;
        self.answer_v6(text, io)?;
        Ok((lines, at))
    }

    /// Answers the batch of IPv4 addresses, which are part of the text.
    fn answer_v4(&mut self, text: &[u8], io: &mut Io) -> Result<()> {
        let all_found = answer_batch(&self.v4, &mut self.batch4, text, self.quiet, &mut io.out)?;
        self.record_match(all_found);
        Ok(())
    }

    /// Answers the batch of IPv6 addresses, which are part of the text.
    fn answer_v6(&mut self, text: &[u8], io: &mut Io) -> Result<()> {
        let all_found = answer_batch(&self.v6, &mut self.batch6, text, self.quiet, &mut io.out)?;
        self.record_match(all_found);
        Ok(())
    }

    /// Sets the exit status to 1 unless all networks were found.
    fn record_match(&mut self, all_found: bool) {
        if !all_found {
            self.exit = self.exit.and(Exit::Negative);
        }
    }

    /// Answers a line that is not a plain address.
    #[cold]
    fn line(&mut self, line: &[u8], name: &str, number: u64, io: &mut Io) -> Result<()> {
        let outcome = if line.len() > MAX_LINE_LEN {
            Err(input::line_too_long())
        } else {
            let line = input::line_operand(line);
            if line.is_empty() {
                return Ok(());
            }
            match std::str::from_utf8(line) {
                Ok(text) => self.operand(text, io)?,
                Err(_) => Err(Error::new(Kind::Input, "the line is not valid UTF-8")),
            }
        };
        if let Err(error) = outcome {
            let origin = Origin {
                file: name.to_owned(),
                line: number,
            };
            io.fail(&error.with_origin(origin.to_string()))?;
        }
        Ok(())
    }

    /// Answers one operand. The inner error is about the operand.
    fn operand(&mut self, text: &str, io: &mut Io) -> Result<Result<()>> {
        let parsed = match operand::parse_address(text) {
            Ok(parsed) => parsed,
            Err(_) if text.contains('/') && operand::parse_network(text, self.rules).is_ok() => {
                return Ok(Err(Error::input(
                    text,
                    "a network, not an address; match looks up addresses",
                )));
            }
            Err(why) => return Ok(Err(Error::input(text, why))),
        };
        let looked_up = if self.unmap {
            parsed.to_canonical()
        } else {
            parsed
        };
        if !self.rules.family.admits(&looked_up) {
            return Ok(Ok(()));
        }
        let (network, answer) = match looked_up {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        };
        self.record_match(network.is_some());
        let address = parsed.to_string();
        if self.quiet {
            return Ok(Ok(()));
        }
        if io.json {
            io.out.json(&Record {
                r#type: "match",
                address: &address,
                network,
                time: time::now(),
            })?;
        } else {
            io.out.bytes(&[address.as_bytes(), &answer].concat())?;
        }
        Ok(Ok(()))
    }
}

/// Looks up the addresses of a batch in the text, prints the answers and empties the
/// batch. Returns whether each address is in a network.
fn answer_batch<N: Bits>(
    family: &FamilyTable<N>,
    batch: &mut Batch<N>,
    text: &[u8],
    quiet: bool,
    out: &mut Out,
) -> Result<bool> {
    family.table.find_all(&batch.addresses, &mut batch.found);
    // The answers are far apart in memory. Reading all lengths before the first answer
    // is copied lets the processor load many at a time.
    for (id, length) in &mut batch.found {
        let answer = family.answer(*id as usize);
        *length = u32::from(answer[answer.len() - 1]);
    }
    let mut all_found = true;
    let room = BATCH_SIZE * (MAX_ADDRESS_LEN + family.answer_size);
    if batch.output.len() < room {
        batch.output.resize(room, 0);
    }
    let mut end = 0;
    for (index, &(id, length)) in batch.found.iter().enumerate() {
        let id = id as usize;
        all_found &= family.is_network(id);
        if quiet {
            continue;
        }
        if N::FAMILY == 4 {
            // An IPv4 address has only one strict form, so it is copied as written.
            let (start, length) = batch.positions[index];
            put::<16>(&mut batch.output, &mut end, &text[start..], length);
        } else {
            let text = batch.addresses[index].text();
            let text = text.as_bytes();
            put::<MAX_ADDRESS_LEN>(&mut batch.output, &mut end, text, text.len());
        }
        let answer = family.answer(id);
        put::<ANSWER_ALIGNMENT>(&mut batch.output, &mut end, answer, length as usize);
    }
    out.bytes(&batch.output[..end])?;
    batch.addresses.clear();
    batch.positions.clear();
    Ok(all_found)
}

/// Copies the first `length` bytes of a text to the index `end` of the output, and
/// moves `end` after them. It is faster to copy a fixed number of bytes than few.
#[inline]
fn put<const FIXED: usize>(output: &mut [u8], end: &mut usize, text: &[u8], length: usize) {
    let room = &mut output[*end..];
    match (room.first_chunk_mut(), text.first_chunk::<FIXED>()) {
        (Some(room), Some(text)) if length <= FIXED => *room = *text,
        _ => room[..length].copy_from_slice(&text[..length]),
    }
    *end += length;
}
