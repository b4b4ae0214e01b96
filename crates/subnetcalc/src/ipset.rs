//! Sets of both families, and how they are read: operands, `@FILE`, `-`.
//!
//! [`IpSet`] is the union of [`Members`], whose reading is here as well.

use common::app::Io;
use common::operands::{Origin, trimmed};
use common::{Error, Kind, Result};

use crate::members::{Keep, Members};
use crate::parse::{self, Rules};
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
        let item = parse::member(text, self.rules)?;
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
                Err(error) => return fail(Error::local(&error).about(name)),
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
                    line = trimmed(line);
                    if line.is_empty() {
                        continue;
                    }
                }
                if let Err(error) = self.add_line(line) {
                    let origin = Origin {
                        file: name.to_owned(),
                        line: number,
                    };
                    fail(error.at(origin.to_string()))?;
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
                        fail(Error::input(word, why))?;
                    }
                    continue;
                }
            };
            match source::open(name, &mut stdin) {
                Ok(reader) => members.add_file(name, Chunks::new(reader), fail)?,
                Err(error) => fail(Error::local(&error).about(name))?,
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
        Self::read(stdin, words, keep, rules, &mut |error| {
            io.fail(&error)?;
            // Input may be waited for next.
            io.out.flush()
        })
    }

    /// The members that an option names. A bad one ends the run before
    /// anything was printed.
    pub(crate) fn of_option(io: &Io, words: &[String], keep: Keep, rules: Rules) -> Result<Self> {
        Self::read(Some(io.stdin()), words, keep, rules, &mut Err)
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
