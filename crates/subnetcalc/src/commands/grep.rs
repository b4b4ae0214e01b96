//! `grep`: lines by the addresses in them.

use std::io;
use std::sync::Arc;

use common::app::Io;
use common::operands::Origin;
use common::{Error, Exit, Kind, Result};
use serde::{Serialize, Serializer};

use crate::cli::GrepArgs;
use crate::grep::long::{HELD_MAX, LongLine, Outcome};
use crate::grep::pipeline::{self, Failure, Work};
use crate::grep::scan::Found;
use crate::grep::select::{Selector, Shown, Wanted};
use crate::ipset::IpSet;
use crate::members::{Keep, Members};
use crate::parse::Rules;
use crate::source::{self, Chunks, Filled, Piece, Stdin};

/// Pieces of files: large enough that threads seldom meet.
const PIECE: usize = 1 << 20;

/// Larger buffers are not used again: a long line is rare.
const TEXT_KEPT: usize = 4 * PIECE;

/// What a line of a file becomes in JSON.
#[derive(Serialize)]
struct LineRecord<'a> {
    r#type: &'static str,
    file: &'a str,
    line: u64,
    text: &'a str,
    addresses: Addresses<'a>,
}

/// The addresses that were found in a line, as they are written.
struct Addresses<'a> {
    line: &'a [u8],
    selector: &'a Selector,
}

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An address is ASCII.
        let text = |found: Found| String::from_utf8_lossy(&self.line[found.start..found.end]);
        serializer.collect_seq(self.selector.addresses(self.line).map(text))
    }
}

#[derive(Serialize)]
struct CountRecord<'a> {
    r#type: &'static str,
    file: &'a str,
    count: u64,
}

/// The result of one piece.
#[derive(Default)]
struct Part {
    /// What is printed of it.
    text: Vec<u8>,
    /// How many lines of it are selected.
    selected: u64,
    /// How many lines end in it.
    ended: u64,
    /// Whether a line ends or goes on here that is too long to be printed.
    too_long: bool,
}

/// Selects lines and writes what is shown of them.
struct Selecting {
    selector: Arc<Selector>,
    shown: Shown,
    prefix: Vec<u8>,
}

impl Work for Selecting {
    type Result = Part;
    type Line = LongLine;

    fn lines(&self, piece: &[u8], part: &mut Part) {
        part.text.clear();
        let (shown, prefix) = (self.shown, &self.prefix);
        part.selected = self.selector.piece(piece, shown, prefix, &mut part.text);
        part.ended = memchr::memchr_iter(b'\n', piece).count() as u64;
        part.too_long = false;
    }

    fn part(&self, line: &mut LongLine, bytes: &[u8], last: bool, part: &mut Part) {
        part.text.clear();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (shown, prefix) = (self.shown, &self.prefix);
        let outcome = line.part(&self.selector, bytes, last, shown, prefix, &mut part.text);
        part.selected = u64::from(outcome != Outcome::Nothing);
        part.ended = u64::from(last);
        part.too_long = outcome == Outcome::TooLong;
    }
}

/// The error about a selected line that is too long to be printed.
fn too_long(file: &str, line: u64) -> Error {
    let message = format!("line selected, but longer than {HELD_MAX} bytes and so not printed");
    let origin = Origin {
        file: file.to_owned(),
        line,
    };
    Error::new(Kind::Input, message)
        .hint("-o, -c and -q have no limit")
        .at(origin.to_string())
}

/// How files are searched.
struct Search<'a> {
    selector: Arc<Selector>,
    args: &'a GrepArgs,
    shown: Shown,
    with_names: bool,
}

/// `grep --in SET [FILE...]`
pub(super) fn grep(args: &GrepArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let implied = ["-".to_owned()];
    let files = if args.files.is_empty() {
        &implied[..]
    } else {
        &args.files[..]
    };
    let stdin = files.iter().filter(|file| *file == "-").count()
        + args
            .set
            .iter()
            .filter(|word| source::is_stdin(word))
            .count();
    if stdin > 1 {
        return Err(Error::usage("stdin cannot be read twice"));
    }
    let set: IpSet = Members::of_option(io, &args.set, Keep::Union, rules)?.into();
    let wanted = if args.no_address {
        Wanted::NoAddress
    } else if args.invert_match {
        Wanted::NoMember
    } else {
        Wanted::Member
    };
    let search = Search {
        selector: Arc::new(Selector::new(
            &set,
            wanted,
            args.first_field,
            args.unmap,
            rules.family,
        )),
        args,
        shown: if args.count || args.quiet {
            Shown::Nothing
        } else if args.only_matching {
            Shown::Addresses
        } else {
            Shown::Line
        },
        with_names: args.with_filename || files.len() > 1 && !args.no_filename,
    };
    let mut stdin = Some(io.stdin());
    let (mut any, mut fault) = (false, false);
    for file in files {
        // What was printed is out before anything is waited for.
        io.out.flush()?;
        let (found, failed) = search.file(file, &mut stdin, io)?;
        any |= found;
        if let Some(error) = failed {
            let error = Error::local(&error).about(file);
            if args.quiet {
                // Like grep: a line that is found is the answer, whatever
                // else went wrong.
                io.report.line(&error);
                fault = true;
            } else {
                io.fail(&error)?;
            }
        }
        if any && args.quiet {
            return Ok(Exit::Yes);
        }
    }
    Ok(match (any, fault) {
        (true, _) => Exit::Yes,
        (false, true) => Exit::Fault,
        (false, false) => Exit::No,
    })
}

impl Search<'_> {
    /// Searches one file; whether a line was selected, and why it was not read
    /// to its end.
    fn file(
        &self,
        name: &str,
        stdin: &mut Stdin,
        io: &mut Io,
    ) -> Result<(bool, Option<io::Error>)> {
        let reader = match source::open(name, stdin) {
            Ok(reader) => reader,
            Err(error) => return Ok((false, Some(error))),
        };
        let chunks = Chunks::of_text(reader, PIECE);
        // What grep calls it.
        let shown_name = if name == "-" {
            "(standard input)"
        } else {
            name
        };
        let mut count = 0;
        let outcome = if io.json && self.shown != Shown::Nothing {
            self.records(name, chunks, &mut count, io)
        } else {
            let prefix = if self.with_names {
                format!("{shown_name}:").into_bytes()
            } else {
                Vec::new()
            };
            self.lines(name, prefix, chunks, &mut count, io)
        };
        // What was found before a read failed counts.
        let failed = match outcome {
            Err(Failure::HandOn(error)) => return Err(error),
            Err(Failure::Read(error)) => Some(error),
            Ok(()) => None,
        };
        if self.args.count && !self.args.quiet {
            self.show_count(name, shown_name, count, io)?;
        }
        Ok((count > 0, failed))
    }

    fn show_count(&self, name: &str, shown_name: &str, count: u64, io: &mut Io) -> Result<()> {
        if io.json {
            return io.out.json(&CountRecord {
                r#type: "grep",
                file: name,
                count,
            });
        }
        if self.with_names {
            io.out.bytes(format!("{shown_name}:").as_bytes())?;
        }
        io.out.line(count)
    }

    /// Selected lines as they are, by all cores.
    fn lines(
        &self,
        name: &str,
        prefix: Vec<u8>,
        chunks: Chunks,
        count: &mut u64,
        io: &mut Io,
    ) -> Result<(), Failure> {
        let work = Selecting {
            selector: Arc::clone(&self.selector),
            shown: self.shown,
            prefix,
        };
        let mut number = 0;
        pipeline::run(chunks, work, &mut |part: &mut Part| {
            *count += part.selected;
            if part.too_long {
                io.fail(&too_long(name, number + 1))?;
            }
            number += part.ended;
            if !part.text.is_empty() {
                io.out.bytes(&part.text)?;
                // Before the next read, which may wait.
                io.out.flush()?;
            }
            if part.text.capacity() > TEXT_KEPT {
                part.text = Vec::new();
            }
            Ok(!(self.args.quiet && *count > 0))
        })
    }

    /// Selected lines as records, with their numbers.
    fn records(
        &self,
        name: &str,
        mut chunks: Chunks,
        count: &mut u64,
        io: &mut Io,
    ) -> Result<(), Failure> {
        let mut piece = Piece::default();
        let mut number = 0;
        let mut long = Held::default();
        loop {
            match chunks.fill(&mut piece).map_err(Failure::Read)? {
                Filled::End => return Ok(()),
                Filled::Lines => {
                    for line in source::lines(piece.bytes()) {
                        number += 1;
                        if self
                            .record(name, number, line, io)
                            .map_err(Failure::HandOn)?
                        {
                            *count += 1;
                        }
                    }
                }
                Filled::Part { last } => {
                    let bytes = piece.bytes();
                    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                    let selected = long.part(&self.selector, bytes, last);
                    *count += u64::from(selected);
                    if last {
                        number += 1;
                        let held = std::mem::take(&mut long);
                        self.long_record(name, number, &held, io)
                            .map_err(Failure::HandOn)?;
                    }
                }
            }
            io.out.flush().map_err(Failure::HandOn)?;
        }
    }

    /// The record of a line; whether it is selected.
    fn record(&self, name: &str, number: u64, line: &[u8], io: &mut Io) -> Result<bool> {
        if !self.selector.selects(line) {
            return Ok(false);
        }
        let record = LineRecord {
            r#type: "grep",
            file: name,
            line: number,
            text: &String::from_utf8_lossy(line),
            addresses: Addresses {
                line,
                selector: &self.selector,
            },
        };
        // Not by way of the buffer, which would grow with the line.
        common::json::write_line(&mut io.out, &record)?;
        Ok(true)
    }

    /// The record of a line that came in parts, if it is selected.
    fn long_record(&self, name: &str, number: u64, line: &Held, io: &mut Io) -> Result<()> {
        if !line.selected {
            return Ok(());
        }
        if line.overflowed {
            return io.fail(&too_long(name, number));
        }
        self.record(name, number, &line.text, io).map(drop)
    }
}

/// A line that comes in parts and becomes a record.
#[derive(Default)]
struct Held {
    line: LongLine,
    text: Vec<u8>,
    overflowed: bool,
    selected: bool,
}

impl Held {
    /// Adds a part; whether the line has been selected by it.
    fn part(&mut self, selector: &Selector, part: &[u8], last: bool) -> bool {
        let mut nothing = Vec::new();
        let outcome = self
            .line
            .part(selector, part, last, Shown::Nothing, b"", &mut nothing);
        let selected = outcome != Outcome::Nothing;
        self.selected |= selected;
        self.overflowed |= self.text.len() + part.len() > HELD_MAX;
        if self.overflowed {
            self.text = Vec::new();
        } else {
            self.text.extend_from_slice(part);
        }
        selected
    }
}
