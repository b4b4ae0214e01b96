//! [`IpSet`]: a set of addresses of both families. The functions that read the
//! members of a SET from operands, files and standard input are also here.

use std::path::Path;

use common::app::Io;
use common::operands::Origin;
use common::{Error, Kind, Result};

use crate::input::{self, Content, LineBuffer, LineReader, MAX_LINE_LEN, Stdin};
use crate::members::{Keep, Members};
use crate::operand::{self, Rules};
use crate::parse;
use crate::set::IntervalSet;

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpSet {
    pub(crate) v4: IntervalSet<u32>,
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
    /// Parses and adds a member. The error is the reason.
    fn add_text(&mut self, text: &str) -> Result<(), String> {
        if !self.rules.wildcard
            && let Some(member) = parse::fast_member(text.as_bytes())
            && self.add(member)
        {
            return Ok(());
        }
        // The slow parser accepts more forms and explains its errors.
        let member = operand::parse_member(text, self.rules)?;
        if self.add(member) {
            Ok(())
        } else {
            Err("host bits are set".to_owned())
        }
    }

    /// Adds the members of a file, one per line. Passes the error about each invalid
    /// line to `fail`, which may end the reading.
    pub(crate) fn add_file(
        &mut self,
        name: &str,
        mut reader: LineReader,
        fail: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<()> {
        let mut number = 0;
        let mut buffer = LineBuffer::default();
        loop {
            match reader.fill(&mut buffer) {
                Ok(Content::End) => return Ok(()),
                Ok(_) => {}
                Err(error) => return fail(Error::local(&error).with_subject(name)),
            }
            for mut line in input::lines(buffer.bytes()) {
                number += 1;
                if !self.rules.wildcard
                    && let Some(member) = parse::fast_member(line.trim_ascii_end())
                    && self.add(member)
                {
                    continue;
                }
                // An overlong line is an error, even if it is blank.
                if line.len() <= MAX_LINE_LEN {
                    line = input::line_operand(line);
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

    /// Parses and adds the operand of a line.
    fn add_line(&mut self, line: &[u8]) -> Result<()> {
        if line.len() > MAX_LINE_LEN {
            return Err(input::line_too_long());
        }
        let text = std::str::from_utf8(line)
            .map_err(|_| Error::new(Kind::Input, "the line is not valid UTF-8"))?;
        self.add_text(text).map_err(|why| Error::input(text, why))
    }

    /// Reads the words of a SET: networks, addresses, ranges, `@FILE`, `-`. Passes
    /// the error about each invalid one to `fail`, which may end the reading.
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
                    fail(Error::input(word, "missing file name after '@'"))?;
                    continue;
                }
                Some(name) => name,
                None if word == "-" => "-",
                None => {
                    if let Err(why) = members.add_text(word) {
                        fail(with_operand_hint(Error::input(word, why), word))?;
                    }
                    continue;
                }
            };
            match input::open(name, &mut stdin) {
                Ok(reader) => members.add_file(name, LineReader::for_list(reader), fail)?,
                Err(error) => fail(Error::local(&error).with_subject(name))?,
            }
        }
        Ok(members)
    }

    /// Reads the operands of a command. Reports invalid ones and continues. Without
    /// operands it reads standard input, unless that is a terminal.
    pub(crate) fn from_operands(
        io: &mut Io,
        words: &[String],
        keep: Keep,
        rules: Rules,
    ) -> Result<Self> {
        let words = match words {
            [] => {
                // This fails if stdin is a terminal.
                let _ = io.operands_or_stdin(&[], "a network, address, range, @FILE or -")?;
                vec!["-".to_owned()]
            }
            words => operand::join_ranges(words),
        };
        let stdin = Some(io.stdin());
        Self::read(stdin, &words, keep, rules, &mut |error| {
            io.fail(&error)?;
            // The next read may block.
            io.out.flush()
        })
    }

    /// Reads the values of an option, each of which is a word or a comma-separated
    /// list. An invalid member ends the run before anything is printed.
    pub(crate) fn from_option(
        io: &Io,
        values: &[String],
        keep: Keep,
        rules: Rules,
    ) -> Result<Self> {
        let words = option_words(values);
        Self::read(Some(io.stdin()), &words, keep, rules, &mut Err)
    }
}

/// Splits the values of an option at commas. `@FILE` is not split if a file of that
/// name exists.
pub(crate) fn option_words(values: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for value in values {
        let file = value.strip_prefix('@');
        if file.is_some_and(|name| Path::new(name).exists()) {
            words.push(value.clone());
        } else {
            let parts = value.split(',').map(str::trim);
            // A list may have a trailing comma, but commas alone are not a list.
            let parts = parts.filter(|part| !part.is_empty() || value.trim_matches(',').is_empty());
            words.extend(parts.map(str::to_owned));
        }
    }
    words
}

/// Adds a hint to an error about an operand that is the name of a file or a prefix
/// length on its own.
pub(crate) fn with_operand_hint(error: Error, operand: &str) -> Error {
    if Path::new(operand).is_file() {
        return error.hint(format!("use @{operand} to read the file with that name"));
    }
    if let Ok(length @ 0..=128) = operand.parse::<u8>() {
        return error.hint(format!(
            "write a prefix length after its address, as in ADDR/{length}"
        ));
    }
    error
}

impl IpSet {
    /// Combines each family as [`IntervalSet::combine`] does.
    pub(crate) fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        Self {
            v4: self.v4.combine(&other.v4, keep),
            v6: self.v6.combine(&other.v6, keep),
        }
    }
}
