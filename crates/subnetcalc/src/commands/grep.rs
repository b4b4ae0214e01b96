//! `grep`: lines by the addresses in them.

use std::io;
use std::sync::Arc;

use common::app::Io;
use common::operands::Origin;
use common::{Error, Exit, Kind, Result};

use crate::cli::GrepArgs;
use crate::grep::long::{HELD_MAX, LongLine, Outcome};
use crate::grep::pipeline::{self, Failure, Work};
use crate::grep::select::{SelectRules, Selector, Shown, Wanted};
use crate::ipset::{IpSet, option_words};
use crate::members::{Keep, Members};
use crate::network::Rules;
use crate::source::{self, Chunks, Filled, Piece, Stdin};

use super::grep_records as records;

/// Pieces of files: large enough that threads seldom meet.
const PIECE: usize = 1 << 20;

/// Larger buffers are not used again: a long line is rare.
const TEXT_KEPT: usize = 4 * PIECE;

/// The result of one piece.
#[derive(Default)]
struct Part {
    /// The text to print.
    text: Vec<u8>,
    /// How many lines of it are selected.
    selected: u64,
    /// How many lines end in it.
    ended: u64,
    /// Whether a line ends or goes on here that is too long to be printed.
    too_long: bool,
}

/// Selects lines and writes their text, addresses or nothing.
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
pub(super) fn too_long(file: &str, line: u64) -> Error {
    let message = format!("line selected, but longer than {HELD_MAX} bytes and so not printed");
    let origin = Origin {
        file: file.to_owned(),
        line,
    };
    Error::new(Kind::Input, message)
        .hint("-o, -c and -q have no limit")
        .with_origin(origin.to_string())
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
        // An error if stdin is a terminal.
        let _ = io.operands_or_stdin(&[], "a file or -")?;
        &implied[..]
    } else {
        &args.files[..]
    };
    let dashes = files.iter().filter(|file| *file == "-").count();
    let words = option_words(&args.set);
    let stdin = dashes + words.iter().filter(|word| source::is_stdin(word)).count();
    if stdin > 1 {
        return Err(Error::usage("stdin cannot be read twice"));
    }
    let set: IpSet = Members::of_option(io, &args.set, Keep::Union, rules)?.into();
    let select = SelectRules {
        wanted: if args.no_address {
            Wanted::NoAddress
        } else if args.invert_match {
            Wanted::NoMember
        } else {
            Wanted::Member
        },
        first_field: args.first_field,
        unmap: args.unmap,
        dot_port: args.dot_port,
        family: rules.family,
    };
    let search = Search {
        selector: Arc::new(Selector::new(&set, select)),
        args,
        shown: if args.count || args.quiet || args.files_with_matches {
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
            let error = Error::local(&error).with_subject(file);
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
        let prefix = if self.with_names {
            format!("{shown_name}:").into_bytes()
        } else {
            Vec::new()
        };
        let mut count = 0;
        let outcome = if self.shown == Shown::Nothing {
            self.lines(name, prefix, chunks, &mut count, io)
        } else if io.json {
            records::of_lines(&self.selector, name, chunks, &mut count, io)
        } else if self.args.line_number {
            self.numbered(name, &prefix, chunks, &mut count, io)
        } else {
            self.lines(name, prefix, chunks, &mut count, io)
        };
        // What was found before a read failed counts.
        let failed = match outcome {
            Err(Failure::HandOn(error)) => return Err(error),
            Err(Failure::Read(error)) => Some(error),
            Ok(()) => None,
        };
        if self.args.quiet {
        } else if self.args.files_with_matches {
            if count > 0 && io.json {
                records::of_file(name, None, io)?;
            } else if count > 0 {
                io.out.line(shown_name)?;
            }
        } else if self.args.count && io.json {
            records::of_file(name, Some(count), io)?;
        } else if self.args.count {
            let name = if self.with_names { shown_name } else { "" };
            let colon = if self.with_names { ":" } else { "" };
            io.out.line(format_args!("{name}{colon}{count}"))?;
        }
        Ok((count > 0, failed))
    }

    /// Whether one selected line is all that is needed of a file.
    fn one_is_enough(&self) -> bool {
        self.args.quiet || self.args.files_with_matches
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
            Ok(!(self.one_is_enough() && *count > 0))
        })
    }

    /// Selected lines with their numbers, by one core.
    fn numbered(
        &self,
        name: &str,
        prefix: &[u8],
        mut chunks: Chunks,
        count: &mut u64,
        io: &mut Io,
    ) -> Result<(), Failure> {
        let mut piece = Piece::default();
        let mut text = Vec::new();
        let mut number = 1_u64;
        let mut long = LongLine::default();
        let numbered = |number: u64| [prefix, format!("{number}:").as_bytes()].concat();
        loop {
            match chunks.fill(&mut piece).map_err(Failure::Read)? {
                Filled::End => return Ok(()),
                Filled::Lines => {
                    for line in source::lines(piece.bytes()) {
                        if self.selector.selects(line) {
                            // A newline of its own makes an empty line one.
                            let line = [line, b"\n"].concat();
                            let prefix = numbered(number);
                            *count += self.selector.piece(&line, self.shown, &prefix, &mut text);
                        }
                        number += 1;
                    }
                }
                Filled::Part { last } => {
                    let bytes = piece.bytes();
                    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                    let (prefix, shown) = (numbered(number), self.shown);
                    let outcome = long.part(&self.selector, bytes, last, shown, &prefix, &mut text);
                    *count += u64::from(outcome != Outcome::Nothing);
                    if outcome == Outcome::TooLong {
                        io.fail(&too_long(name, number)).map_err(Failure::HandOn)?;
                    }
                    if last {
                        number += 1;
                        long = LongLine::default();
                    }
                }
            }
            io.out.bytes(&text).map_err(Failure::HandOn)?;
            // Before the next read, which may wait.
            io.out.flush().map_err(Failure::HandOn)?;
            text.clear();
            if text.capacity() > TEXT_KEPT {
                text = Vec::new();
            }
        }
    }
}
