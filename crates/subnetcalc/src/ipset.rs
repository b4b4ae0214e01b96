//! Sets of both families, and how they are read: operands, `@FILE`, `-`.
//!
//! [`IpSet`] is the union of [`Members`], whose reading is here as well.

use std::path::Path;

use common::app::Io;
use common::operands::Origin;
use common::{Error, Kind, Result};

use crate::members::{Keep, Members};
use crate::network::{self, Rules};
use crate::parse;
use crate::set::IntervalSet;
use crate::source::{self, Chunks, Filled, LINE_MAX, Piece, Stdin};

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
            v4: members.v4.into_set(),
            v6: members.v6.into_set(),
        }
    }
}

impl Members {
    /// Adds a word, or says what is wrong with it.
    fn add_text(&mut self, text: &str) -> Result<(), String> {
        if !self.rules.wildcard
            && let Some(item) = parse::item(text.as_bytes())
            && self.add(item)
        {
            return Ok(());
        }
        // The careful way knows more forms, and what to say of bad ones.
        let item = network::member(text, self.rules)?;
        if self.add(item) {
            Ok(())
        } else {
            Err("host bits are set".to_owned())
        }
    }

    /// Adds the words of a file, one a line; each bad one is handed to `fail`.
    pub(crate) fn add_file(
        &mut self,
        name: &str,
        mut chunks: Chunks,
        fail: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<()> {
        let mut number = 0;
        let mut piece = Piece::default();
        loop {
            match chunks.fill(&mut piece) {
                Ok(Filled::End) => return Ok(()),
                Ok(_) => {}
                Err(error) => return fail(Error::local(&error).with_subject(name)),
            }
            for mut line in source::lines(piece.bytes()) {
                number += 1;
                if !self.rules.wildcard
                    && let Some(item) = parse::item(line.trim_ascii_end())
                    && self.add(item)
                {
                    continue;
                }
                // A long line is refused, whatever it holds.
                if line.len() <= LINE_MAX {
                    line = source::value(line);
                    if line.is_empty() {
                        continue;
                    }
                }
                if let Err(error) = self.add_line(line) {
                    let origin = Origin {
                        file: name.to_owned(),
                        line: number,
                    };
                    fail(error.with_origin(origin.to_string()))?;
                }
            }
        }
    }

    fn add_line(&mut self, line: &[u8]) -> Result<()> {
        if line.len() > LINE_MAX {
            return Err(source::too_long());
        }
        let text =
            std::str::from_utf8(line).map_err(|_| Error::new(Kind::Input, "line is not UTF-8"))?;
        self.add_text(text).map_err(|why| Error::input(text, why))
    }

    /// Reads the words of a SET: networks, addresses, ranges, `@FILE`, `-`.
    /// Each bad one goes to `fail`, whose error ends the reading.
    fn read(
        mut stdin: Stdin,
        words: &[String],
        keep: Keep,
        rules: Rules,
        fail: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<Self> {
        let mut members = Self::new(keep, rules);
        for word in words {
            let name = match word.strip_prefix('@') {
                Some("") => {
                    fail(Error::input(word, "the name of a file is missing"))?;
                    continue;
                }
                Some(name) => name,
                None if word == "-" => "-",
                None => {
                    if let Err(why) = members.add_text(word) {
                        fail(with_file_hint(Error::input(word, why), word))?;
                    }
                    continue;
                }
            };
            match source::open(name, &mut stdin) {
                Ok(reader) => members.add_file(name, Chunks::new(reader), fail)?,
                Err(error) => fail(Error::local(&error).with_subject(name))?,
            }
        }
        Ok(members)
    }

    /// The members among the operands. Bad ones are reported, the rest goes
    /// on. With none, stdin is read if it is not a terminal.
    pub(crate) fn of_operands(
        io: &mut Io,
        words: &[String],
        keep: Keep,
        rules: Rules,
    ) -> Result<Self> {
        let words = match words {
            [] => {
                // An error if stdin is a terminal.
                let _ = io.operands_or_stdin(&[], "a network, address, range, @FILE or -")?;
                vec!["-".to_owned()]
            }
            words => network::joined_ranges(words),
        };
        let stdin = Some(io.stdin());
        Self::read(stdin, &words, keep, rules, &mut |error| {
            io.fail(&error)?;
            // Input may be waited for next.
            io.out.flush()
        })
    }

    /// The members that an option names; each value is a word or a list of
    /// words joined by commas. A bad one ends the run before anything was
    /// printed.
    pub(crate) fn of_option(io: &Io, values: &[String], keep: Keep, rules: Rules) -> Result<Self> {
        let words = option_words(values);
        Self::read(Some(io.stdin()), &words, keep, rules, &mut Err)
    }
}

/// The words of an option's values. The name of a file may have commas, if
/// there is such a file.
pub(crate) fn option_words(values: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for value in values {
        let file = value.strip_prefix('@');
        if file.is_some_and(|name| Path::new(name).exists()) {
            words.push(value.clone());
        } else {
            let parts = value.split(',').map(str::trim);
            // `A,B,` is a list with a comma too many, `,` is none.
            let parts = parts.filter(|part| !part.is_empty() || value.trim_matches(',').is_empty());
            words.extend(parts.map(str::to_owned));
        }
    }
    words
}

/// Adds a hint to the error about an operand that is the name of a file.
pub(crate) fn with_file_hint(error: Error, operand: &str) -> Error {
    if Path::new(operand).is_file() {
        return error.hint(format!("@{operand} reads the file of that name"));
    }
    error
}

impl IpSet {
    /// [`IntervalSet::combine`], family by family.
    pub(crate) fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        Self {
            v4: self.v4.combine(&other.v4, keep),
            v6: self.v6.combine(&other.v6, keep),
        }
    }
}
