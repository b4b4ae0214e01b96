//! `match`: the longest network of a set around each address.

use std::io::Read;
use std::net::IpAddr;

use common::app::Io;
use common::operands::Origin;
use common::{Error, Exit, Kind, Out, Result, address, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::MatchArgs;
use crate::ipset::option_words;
use crate::lookup::Table;
use crate::members::{Keep, List, Members};
use crate::network::{self, Rules};
use crate::output::{push_member, push_range};
use crate::parse;
use crate::set::{Interval, in_order};
use crate::source::{self, Chunks, Filled, LINE_MAX, Piece};

/// How many addresses are looked up together.
const BATCH: usize = 256;
/// Bytes of an answer are a multiple of this: TAB, network, newline, and last
/// how many of them count.
const ANSWER: usize = 32;

/// A table and the answers for each of its members.
struct Family<N> {
    table: Table<N>,
    /// A record of `size` bytes for each member, and for none.
    answers: Vec<u8>,
    size: usize,
}

impl<N: Bits> Family<N> {
    fn new(members: List<N>) -> Self {
        let (mut members, mut ranges, _) = members.into_parts();
        members.extend_from_slice(&ranges);
        let table = Table::new(members);
        in_order(&mut ranges);
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
        // A network is shorter than a range, and there may be millions.
        let longest = table.members().iter().map(|member| {
            answer(&mut text, Some(member));
            text.len()
        });
        let size = (longest.max().unwrap_or(0) + 1).next_multiple_of(ANSWER);
        let mut answers = Vec::with_capacity((table.members().len() + 1) * size);
        let mut text = Vec::new();
        for member in table.members().iter().map(Some).chain([None]) {
            answer(&mut text, member);
            let start = answers.len();
            answers.extend_from_slice(&text);
            answers.resize(start + size - 1, 0);
            answers.push(text.len() as u8);
        }
        Self {
            table,
            answers,
            size,
        }
    }

    /// Whether this is the number of a member.
    fn is_found(&self, id: usize) -> bool {
        id < self.table.members().len()
    }

    /// TAB, the member with this number or `-`, newline; the last byte says
    /// how many bytes that is.
    #[inline]
    fn record(&self, id: usize) -> &[u8] {
        &self.answers[id * self.size..(id + 1) * self.size]
    }

    /// The member that holds an address, if one does, and the answer.
    fn one(&self, address: N) -> (Option<String>, Vec<u8>) {
        let id = self.table.find(address);
        let record = self.record(id);
        let answer = &record[..usize::from(record[record.len() - 1])];
        let network = self
            .is_found(id)
            .then(|| String::from_utf8_lossy(answer.trim_ascii()).into_owned());
        (network, answer.to_vec())
    }
}

/// Addresses waiting for their answers.
struct Batch<N> {
    addresses: Vec<N>,
    /// Where in the input each stands: start and length.
    places: Vec<(usize, usize)>,
    found: Vec<(u32, u32)>,
}

impl<N> Default for Batch<N> {
    fn default() -> Self {
        Self {
            addresses: Vec::with_capacity(BATCH),
            places: Vec::with_capacity(BATCH),
            found: Vec::with_capacity(BATCH),
        }
    }
}

impl<N> Batch<N> {
    fn push(&mut self, address: N, start: usize, length: usize) {
        self.addresses.push(address);
        self.places.push((start, length));
    }
}

/// What a run is about, and its status so far.
struct Run {
    v4: Family<u32>,
    v6: Family<u128>,
    batch4: Batch<u32>,
    batch6: Batch<u128>,
    rules: Rules,
    /// A v4-mapped address counts as the IPv4 one.
    unmap: bool,
    quiet: bool,
    exit: Exit,
}

#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    address: &'a str,
    network: Option<String>,
    time: String,
}

/// `match --in SET [ADDRESS...]`
pub(super) fn longest(args: &MatchArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let reads_stdin =
        args.addresses.is_empty() || args.addresses.iter().any(|word| source::is_stdin(word));
    if reads_stdin
        && option_words(&args.set)
            .iter()
            .any(|word| source::is_stdin(word))
    {
        return Err(Error::usage(
            "stdin cannot be both the set of --in and the addresses",
        ));
    }
    let members = Members::of_option(io, &args.set, Keep::Distinct, rules)?;
    let mut run = Run {
        v4: Family::new(members.v4),
        v6: Family::new(members.v6),
        batch4: Batch::default(),
        batch6: Batch::default(),
        rules,
        unmap: args.unmap,
        quiet: args.quiet,
        exit: Exit::Yes,
    };
    if args.addresses.is_empty() {
        // Says so where stdin is a terminal.
        let _ = io.operands_or_stdin(&[], "an address")?;
        run.lines("-", io.stdin(), io)?;
    }
    let mut stdin = Some(io.stdin());
    for word in &args.addresses {
        let file = if word == "-" {
            Some("-")
        } else {
            word.strip_prefix('@')
        };
        if let Some(name) = file {
            match source::open(name, &mut stdin) {
                Ok(reader) => run.lines(name, reader, io)?,
                Err(error) => io.fail(&Error::local(&error).with_subject(name))?,
            }
        } else if let Err(error) = run.text(word, io)? {
            io.fail(&error)?;
        }
    }
    Ok(run.exit)
}

impl Run {
    /// The lines of a file; each read's answers are out before the next read.
    fn lines(&mut self, name: &str, reader: Box<dyn Read + Send>, io: &mut Io) -> Result<()> {
        let mut chunks = Chunks::new(reader);
        let mut piece = Piece::default();
        let mut number = 0;
        loop {
            io.out.flush()?;
            match chunks.fill(&mut piece) {
                Ok(Filled::End) => return Ok(()),
                Ok(_) => {}
                Err(error) => return io.fail(&Error::local(&error).with_subject(name)),
            }
            let mut rest = piece.bytes();
            while !rest.is_empty() {
                let quick = self.quickly(rest, io)?;
                number += quick.0;
                rest = &rest[quick.1..];
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

    /// Answers the lines at the start that are an address and nothing else,
    /// as nearly all are: how many lines and bytes that were.
    fn quickly(&mut self, text: &[u8], io: &mut Io) -> Result<(u64, usize)> {
        if io.json || self.unmap || self.rules.family != address::Family::Any {
            return Ok((0, 0));
        }
        let (mut lines, mut at) = (0, 0);
        loop {
            let rest = &text[at..];
            let ends = |end: usize| rest.get(end) == Some(&b'\n');
            let length = match parse::v4(rest) {
                Some((bits, length)) if ends(length) => {
                    if !self.batch6.addresses.is_empty() {
                        self.answer_v6(text, io)?;
                    }
                    self.batch4.push(bits, at, length);
                    if self.batch4.addresses.len() == BATCH {
                        self.answer_v4(text, io)?;
                    }
                    length
                }
                _ => {
                    let Some((bits, length)) = parse::v6(rest, ends) else {
                        break;
                    };
                    if !self.batch4.addresses.is_empty() {
                        self.answer_v4(text, io)?;
                    }
                    self.batch6.push(bits, at, length);
                    if self.batch6.addresses.len() == BATCH {
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

    fn answer_v4(&mut self, text: &[u8], io: &mut Io) -> Result<()> {
        let all = answers(&self.v4, &mut self.batch4, text, self.quiet, &mut io.out)?;
        self.found(all);
        Ok(())
    }

    fn answer_v6(&mut self, text: &[u8], io: &mut Io) -> Result<()> {
        let all = answers(&self.v6, &mut self.batch6, text, self.quiet, &mut io.out)?;
        self.found(all);
        Ok(())
    }

    fn found(&mut self, found: bool) {
        if !found {
            self.exit = self.exit.and(Exit::No);
        }
    }

    /// Any line.
    #[cold]
    fn line(&mut self, line: &[u8], name: &str, number: u64, io: &mut Io) -> Result<()> {
        let outcome = if line.len() > LINE_MAX {
            Err(source::too_long())
        } else {
            let line = source::value(line);
            if line.is_empty() {
                return Ok(());
            }
            self.word(line, io)?
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

    fn word(&mut self, line: &[u8], io: &mut Io) -> Result<Result<()>> {
        match std::str::from_utf8(line) {
            Ok(text) => self.text(text, io),
            Err(_) => Ok(Err(Error::new(Kind::Input, "line is not UTF-8"))),
        }
    }

    /// One address as text; the inner error is about the text.
    fn text(&mut self, text: &str, io: &mut Io) -> Result<Result<()>> {
        let parsed = match network::address(text) {
            Ok(parsed) => parsed,
            Err(_) if text.contains('/') && network::network(text, self.rules).is_ok() => {
                return Ok(Err(Error::input(text, "a network; match takes addresses")));
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
            IpAddr::V4(address) => self.v4.one(address.to_bits()),
            IpAddr::V6(address) => self.v6.one(address.to_bits()),
        };
        self.found(network.is_some());
        let shown = parsed.to_string();
        if self.quiet {
            return Ok(Ok(()));
        }
        if io.json {
            io.out.json(&Record {
                r#type: "match",
                address: &shown,
                network,
                time: time::now(),
            })?;
        } else {
            io.out.bytes(&[shown.as_bytes(), &answer].concat())?;
        }
        Ok(Ok(()))
    }
}

/// Looks a batch up, prints its answers and empties it; whether every
/// address was in a network. `text` is where the addresses stand.
fn answers<N: Bits>(
    family: &Family<N>,
    batch: &mut Batch<N>,
    text: &[u8],
    quiet: bool,
    out: &mut Out,
) -> Result<bool> {
    family.table.find_all(&batch.addresses, &mut batch.found);
    // The answers are far apart: their lengths are read for all before the
    // first is copied, so that the processor can wait for many at once.
    for (id, length) in &mut batch.found {
        let record = family.record(*id as usize);
        *length = u32::from(record[record.len() - 1]);
    }
    let mut all = true;
    for (at, &(id, length)) in batch.found.iter().enumerate() {
        let id = id as usize;
        all &= family.is_found(id);
        if quiet {
            continue;
        }
        let buffer = out.buffer();
        if N::FAMILY == 4 {
            // Strict text has one form, so the address is as it was written.
            let (start, length) = batch.places[at];
            push::<16>(buffer, &text[start..], length);
        } else {
            buffer.extend_from_slice(batch.addresses[at].text().as_bytes());
        }
        push::<ANSWER>(buffer, family.record(id), length as usize);
    }
    batch.addresses.clear();
    batch.places.clear();
    out.flush_if_full()?;
    Ok(all)
}

/// Adds the first `length` bytes; short ones by a copy of a fixed size, of
/// which the rest is cut off again.
#[inline]
fn push<const FIXED: usize>(buffer: &mut Vec<u8>, bytes: &[u8], length: usize) {
    match bytes.first_chunk::<FIXED>() {
        Some(chunk) if length <= FIXED => {
            let end = buffer.len() + length;
            buffer.extend_from_slice(chunk);
            buffer.truncate(end);
        }
        _ => buffer.extend_from_slice(&bytes[..length]),
    }
}
