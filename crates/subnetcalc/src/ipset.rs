//! Sets of both families, and how they are read: operands, `@FILE`, `-`.
//!
//! [`Members`] collects words as they were given, which is what `sort` and
//! `overlap` work on; [`IpSet`] is their union.

use common::address::Family;
use common::app::Io;
use common::operands::Origin;
use common::{Error, Kind, Result};

use crate::bits::Bits;
use crate::parse::{self, AnyItem, Item, Rules};
use crate::set::{Interval, IntervalSet};
use crate::source::{self, Chunks, LINE_MAX, Piece, Stdin};

/// Intervals of both families as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// IPv4.
    pub(crate) v4: Vec<Interval<u32>>,
    /// IPv6.
    pub(crate) v6: Vec<Interval<u128>>,
}

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpSet {
    /// IPv4.
    pub(crate) v4: IntervalSet<u32>,
    /// IPv6.
    pub(crate) v6: IntervalSet<u128>,
}

impl From<Members> for IpSet {
    fn from(members: Members) -> Self {
        Self {
            v4: IntervalSet::new(members.v4),
            v6: IntervalSet::new(members.v6),
        }
    }
}

impl Members {
    /// Adds a word's addresses; `false` if the rules refuse its host bits.
    fn add(&mut self, item: AnyItem, rules: Rules) -> bool {
        fn push<N: Bits>(list: &mut Vec<Interval<N>>, item: Item<N>, strict: bool) -> bool {
            let interval = item.interval(strict);
            list.extend(interval);
            interval.is_some()
        }
        match item {
            AnyItem::V4(_) if rules.family == Family::V6 => true,
            AnyItem::V6(_) if rules.family == Family::V4 => true,
            AnyItem::V4(item) => push(&mut self.v4, item, rules.strict),
            AnyItem::V6(item) => push(&mut self.v6, item, rules.strict),
        }
    }

    /// Adds a word, or says what is wrong with it.
    fn add_text(&mut self, text: &str, rules: Rules) -> Result<(), String> {
        if !rules.wildcard
            && let Some(item) = parse::item(text.as_bytes())
            && self.add(item, rules)
        {
            return Ok(());
        }
        // The careful way knows more forms, and what to say of bad ones.
        let item = parse::member(text, rules)?;
        if self.add(item, rules) {
            Ok(())
        } else {
            Err("host bits are set".to_owned())
        }
    }

    /// Adds the words of a file, one a line; each bad one is handed to `fail`.
    fn add_file(
        &mut self,
        name: &str,
        mut chunks: Chunks,
        rules: Rules,
        fail: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<()> {
        let mut number = 0;
        let mut piece = Piece::default();
        loop {
            match chunks.fill(&mut piece) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return fail(Error::local(&error).about(name)),
            }
            for mut line in source::lines(piece.bytes()) {
                number += 1;
                // A long line goes as it is to be refused, whatever is in it.
                if line.len() <= LINE_MAX {
                    line = line.trim_ascii();
                    if line.is_empty() || line[0] == b'#' {
                        continue;
                    }
                }
                if !rules.wildcard
                    && let Some(item) = parse::item(line)
                    && self.add(item, rules)
                {
                    continue;
                }
                if let Err(error) = self.add_line(line, rules) {
                    let origin = Origin {
                        file: name.to_owned(),
                        line: number,
                    };
                    fail(error.at(origin.to_string()))?;
                }
            }
        }
    }

    fn add_line(&mut self, line: &[u8], rules: Rules) -> Result<()> {
        if line.len() > LINE_MAX {
            return Err(source::too_long());
        }
        let text =
            std::str::from_utf8(line).map_err(|_| Error::new(Kind::Input, "line is not UTF-8"))?;
        self.add_text(text, rules)
            .map_err(|why| Error::input(text, why))
    }

    /// Reads the words of a SET: networks, addresses, ranges, `@FILE`, `-`.
    /// Each bad one goes to `fail`, whose error ends the reading.
    fn read(
        mut stdin: Stdin,
        words: &[String],
        rules: Rules,
        fail: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<Self> {
        let mut members = Self::default();
        for word in words {
            let name = match word.strip_prefix('@') {
                Some("") => {
                    fail(Error::input(word, "the name of a file is missing"))?;
                    continue;
                }
                Some(name) => name,
                None if word == "-" => "-",
                None => {
                    if let Err(why) = members.add_text(word, rules) {
                        fail(Error::input(word, why))?;
                    }
                    continue;
                }
            };
            match source::open(name, &mut stdin) {
                Ok(reader) => members.add_file(name, Chunks::new(reader), rules, fail)?,
                Err(error) => fail(Error::local(&error).about(name))?,
            }
        }
        Ok(members)
    }

    /// The members among the operands. Bad ones are reported, the rest goes
    /// on. With none, stdin is read if it is not a terminal.
    pub(crate) fn of_operands(io: &mut Io, words: &[String], rules: Rules) -> Result<Self> {
        let implied = ["-".to_owned()];
        let words = match words {
            [] => {
                // Says so where stdin is a terminal.
                let _ = io.operands_or_stdin(&[], "a network, address, range, @FILE or -")?;
                &implied[..]
            }
            words => words,
        };
        let stdin = Some(io.stdin());
        Self::read(stdin, words, rules, &mut |error| {
            io.fail(&error)?;
            // Input may be waited for next.
            io.out.flush()
        })
    }

    /// The members that an option names. A bad one ends the run before
    /// anything was printed.
    pub(crate) fn of_option(io: &Io, words: &[String], rules: Rules) -> Result<Self> {
        Self::read(Some(io.stdin()), words, rules, &mut Err)
    }
}

impl IpSet {
    /// [`IntervalSet::combine`], family by family.
    pub(crate) fn combine(&self, other: &Self, keep: impl Fn(bool, bool) -> bool) -> Self {
        Self {
            v4: self.v4.combine(&other.v4, &keep),
            v6: self.v6.combine(&other.v6, &keep),
        }
    }
}
