//! `match`: the longest network of a set around each address.

use common::app::Io;
use common::operands::Origin;
use common::{Error, Exit, Kind, Result, address};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::MatchArgs;
use crate::ipset::Members;
use crate::lookup::Table;
use crate::output::push_network;
use crate::parse::{self, Rules};
use crate::prefix::cover;
use crate::set::Interval;
use crate::source::{Chunks, Piece};

/// The tables of both families.
struct Tables {
    v4: Family<u32>,
    v6: Family<u128>,
}

/// A table and the text of each of its networks.
struct Family<N> {
    table: Table<N>,
    texts: Vec<u8>,
    /// Where the text of each begins, and where the last one ends.
    starts: Vec<u32>,
}

impl<N: Bits> Family<N> {
    fn new(members: Vec<Interval<N>>) -> Self {
        let table = Table::new(members.into_iter().flat_map(cover).collect());
        let mut texts = Vec::new();
        let mut starts = vec![0];
        for prefix in table.prefixes() {
            push_network(&mut texts, *prefix);
            starts.push(texts.len() as u32);
        }
        Self {
            table,
            texts,
            starts,
        }
    }

    #[inline]
    fn find(&self, address: N) -> Option<&[u8]> {
        let id = self.table.find(address)?;
        let (from, to) = (self.starts[id], self.starts[id + 1]);
        Some(&self.texts[from as usize..to as usize])
    }
}

/// What a run is about, and its status so far.
struct Run {
    tables: Tables,
    rules: Rules,
    quiet: bool,
    exit: Exit,
}

#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    address: &'a str,
    network: Option<&'a str>,
}

/// `match --in SET [ADDRESS...]`
pub(super) fn longest(args: &MatchArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let reads_stdin = args.addresses.is_empty() || args.addresses.iter().any(|word| word == "-");
    if reads_stdin && args.set.iter().any(|word| word == "-") {
        return Err(Error::usage(
            "stdin cannot be both the set of --in and the addresses",
        ));
    }
    let members = Members::of_option(io, &args.set, rules)?;
    let mut run = Run {
        tables: Tables {
            v4: Family::new(members.v4),
            v6: Family::new(members.v6),
        },
        rules,
        quiet: args.quiet,
        exit: Exit::Yes,
    };
    if args.addresses.is_empty() {
        // Says so where stdin is a terminal.
        let _ = io.operands(&[], "an address")?;
        run.stdin(io)?;
    }
    let mut stdin_left = true;
    for word in &args.addresses {
        if word == "-" {
            if std::mem::take(&mut stdin_left) {
                run.stdin(io)?;
            }
        } else if let Err(error) = run.text(word, io)? {
            io.fail(&error)?;
        }
    }
    Ok(run.exit)
}

impl Run {
    /// The lines of standard input; each read's answers are out before the
    /// next read.
    fn stdin(&mut self, io: &mut Io) -> Result<()> {
        let mut chunks = Chunks::new(io.stdin());
        let mut piece = Piece::default();
        let mut number = 0;
        loop {
            io.out.flush()?;
            match chunks.fill(&mut piece) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return io.fail(&Error::local(&error).about("-")),
            }
            let mut rest = piece.bytes();
            while !rest.is_empty() {
                number += 1;
                if let Some(length) = self.quickly(rest, io)? {
                    rest = &rest[length..];
                    continue;
                }
                let end = memchr::memchr(b'\n', rest);
                self.line(&rest[..end.unwrap_or(rest.len())], number, io)?;
                rest = end.map_or(&[][..], |end| &rest[end + 1..]);
            }
        }
    }

    /// A line that is an IPv4 address and nothing else, as nearly all are:
    /// its length with the newline, or `None` if it is another.
    #[inline]
    fn quickly(&mut self, rest: &[u8], io: &mut Io) -> Result<Option<usize>> {
        let Some((bits, length)) = parse::v4(rest) else {
            return Ok(None);
        };
        if rest.get(length) != Some(&b'\n') || io.json || !self.wants_v4() {
            return Ok(None);
        }
        // Strict text has one form, so the line is how the address is written.
        self.answer(&rest[..length], self.tables.v4.find(bits), io)?;
        if self.tables.v4.find(bits).is_none() {
            self.exit = self.exit.and(Exit::No);
        }
        Ok(Some(length + 1))
    }

    fn wants_v4(&self) -> bool {
        self.rules.family != address::Family::V6
    }

    /// Any line.
    #[cold]
    fn line(&mut self, line: &[u8], number: u64, io: &mut Io) -> Result<()> {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        let outcome = match std::str::from_utf8(line) {
            Ok(text) => self.text(text, io)?,
            Err(_) => Err(Error::new(Kind::Input, "line is not UTF-8")),
        };
        if let Err(error) = outcome {
            let origin = Origin {
                file: "-".to_owned(),
                line: number,
            };
            io.fail(&error.at(origin.to_string()))?;
        }
        Ok(())
    }

    /// One address as text; the inner error is about the text.
    fn text(&mut self, text: &str, io: &mut Io) -> Result<Result<()>> {
        let parsed = match address::parse(text) {
            Ok(parsed) => parsed,
            Err(_) if text.contains('/') && parse::network(text, self.rules).is_ok() => {
                return Ok(Err(Error::input(text, "a network; match takes addresses")));
            }
            Err(why) => return Ok(Err(Error::input(text, why))),
        };
        if !self.rules.family.admits(&parsed) {
            return Ok(Ok(()));
        }
        let found = match parsed {
            std::net::IpAddr::V4(address) => self.tables.v4.find(address.to_bits()),
            std::net::IpAddr::V6(address) => self.tables.v6.find(address.to_bits()),
        };
        let none = found.is_none();
        let shown = parsed.to_string();
        self.answer(shown.as_bytes(), found, io)?;
        if none {
            self.exit = self.exit.and(Exit::No);
        }
        Ok(Ok(()))
    }

    #[inline]
    fn answer(&self, address: &[u8], network: Option<&[u8]>, io: &mut Io) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        if io.json {
            let network = network.map(|text| String::from_utf8_lossy(text));
            return io.out.json(&Record {
                r#type: "match",
                address: &String::from_utf8_lossy(address),
                network: network.as_deref(),
            });
        }
        let buffer = io.out.buffer();
        buffer.extend_from_slice(address);
        buffer.push(b'\t');
        buffer.extend_from_slice(network.unwrap_or(b"-"));
        buffer.push(b'\n');
        io.out.spill_if_full()
    }
}
