//! The command `grep`, which prints the lines that contain an address of a set.

use std::io;
use std::sync::Arc;

use common::app::Io;
use common::{Error, Exit, Result};

use crate::cli::GrepArgs;
use crate::grep::long::{LongLine, PartOutcome, too_long};
use crate::grep::pipeline::{self, Failure, Work};
use crate::grep::select::{OutputMode, SelectRules, Selection, Selector};
use crate::input::{self, Content, LineBuffer, LineReader, Stdin};
use crate::ipset::{IpSet, option_words};
use crate::members::{Keep, Members};
use crate::operand::Rules;

use super::grep_records as records;

/// The size of the buffers for text: large enough that threads seldom wait for each
/// other.
const BUFFER_SIZE: usize = 1 << 20;

/// The largest buffer for output that is reused. Larger ones are needed only for long
/// lines, which are rare.
const MAX_OUTPUT_KEPT: usize = 4 * BUFFER_SIZE;

/// The result of the search of one buffer.
#[derive(Default)]
struct BufferResult {
    /// The text to print.
    output: Vec<u8>,
    /// The number of selected lines.
    selected: u64,
    /// The number of lines that end in the buffer, if lines are printed.
    ended: u64,
    /// Whether a line was selected that is too long to be printed.
    too_long: bool,
}

/// Selects the lines of a buffer.
struct SelectLines {
    selector: Arc<Selector>,
    mode: OutputMode,
    prefix: Vec<u8>,
}

impl Work for SelectLines {
    type Result = BufferResult;
    type Line = LongLine;

    fn lines(&self, text: &[u8], result: &mut BufferResult) {
        let Self { mode, prefix, .. } = self;
        let output = &mut result.output;
        output.clear();
        let count = self.selector.select_lines(text, *mode, prefix, output);
        result.selected = count.selected;
        result.ended = count.examined;
        result.too_long = false;
    }

    fn part(&self, line: &mut LongLine, part: &[u8], last: bool, result: &mut BufferResult) {
        let Self { mode, prefix, .. } = self;
        let output = &mut result.output;
        output.clear();
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        let outcome = line.add_part(&self.selector, part, last, *mode, prefix, output);
        result.selected = u64::from(outcome != PartOutcome::Nothing);
        result.ended = u64::from(last);
        result.too_long = outcome == PartOutcome::TooLong;
    }
}

/// A search with the same options for each file.
struct Search<'a> {
    selector: Arc<Selector>,
    args: &'a GrepArgs,
    mode: OutputMode,
    /// Whether output lines start with the name of the file.
    with_names: bool,
}

/// Runs `subnetcalc grep --in SET [FILE...]`.
pub(super) fn grep(args: &GrepArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let implied = ["-".to_owned()];
    let files = if args.files.is_empty() {
        // This fails if stdin is a terminal.
        let _ = io.operands_or_stdin(&[], "a file or -")?;
        &implied[..]
    } else {
        &args.files[..]
    };
    let dashes = files.iter().filter(|file| *file == "-").count();
    let words = option_words(&args.set);
    let stdin = dashes + words.iter().filter(|word| input::is_stdin(word)).count();
    if stdin > 1 {
        return Err(Error::usage("stdin can be read only once"));
    }
    let set: IpSet = Members::from_option(io, &args.set, Keep::Union, rules)?.into();
    let select = SelectRules {
        selection: if args.no_address {
            Selection::NoAddress
        } else if args.invert_match {
            Selection::NoMember
        } else {
            Selection::Member
        },
        first_field: args.first_field,
        unmap: args.unmap,
        dot_port: args.dot_port,
        family: rules.family,
    };
    let search = Search {
        selector: Arc::new(Selector::new(&set, select)),
        args,
        mode: if args.count || args.quiet || args.files_with_matches {
            OutputMode::Nothing
        } else if args.only_matching {
            OutputMode::Addresses
        } else {
            OutputMode::Line
        },
        with_names: args.with_filename || files.len() > 1 && !args.no_filename,
    };
    let mut stdin = Some(io.stdin());
    let (mut any, mut fault) = (false, false);
    for file in files {
        // Opening or reading a file may block.
        io.out.flush()?;
        let (found, error) = search.file(file, &mut stdin, io)?;
        any |= found;
        if let Some(error) = error {
            let error = Error::local(&error).with_subject(file);
            if args.quiet {
                // As in grep, a selected line is status 0 even after an error.
                io.report.line(&error);
                fault = true;
            } else {
                io.fail(&error)?;
            }
        }
        if any && args.quiet {
            return Ok(Exit::Success);
        }
    }
    Ok(match (any, fault) {
        (true, _) => Exit::Success,
        (false, true) => Exit::LocalError,
        (false, false) => Exit::Negative,
    })
}

impl Search<'_> {
    /// Searches a file. Returns whether a line was selected, and the error if the file
    /// could not be read to its end.
    fn file(
        &self,
        name: &str,
        stdin: &mut Stdin,
        io: &mut Io,
    ) -> Result<(bool, Option<io::Error>)> {
        let reader = match input::open(name, stdin) {
            Ok(reader) => reader,
            Err(error) => return Ok((false, Some(error))),
        };
        let reader = LineReader::for_text(reader, BUFFER_SIZE);
        // The name that grep prints.
        let printed_name = if name == "-" {
            "(standard input)"
        } else {
            name
        };
        let prefix = if self.with_names {
            format!("{printed_name}:").into_bytes()
        } else {
            Vec::new()
        };
        let mut count = 0;
        let outcome = if self.mode == OutputMode::Nothing {
            self.lines(name, prefix, reader, &mut count, io)
        } else if io.json {
            records::lines(&self.selector, name, reader, &mut count, io)
        } else if self.args.line_number {
            self.numbered_lines(name, &prefix, reader, &mut count, io)
        } else {
            self.lines(name, prefix, reader, &mut count, io)
        };
        // Lines that were selected before a read error count.
        let error = match outcome {
            Err(Failure::Emit(error)) => return Err(error),
            Err(Failure::Read(error)) => Some(error),
            Ok(()) => None,
        };
        if self.args.quiet {
        } else if self.args.files_with_matches {
            if count > 0 && io.json {
                records::file(name, None, io)?;
            } else if count > 0 {
                io.out.line(printed_name)?;
            }
        } else if self.args.count && io.json {
            records::file(name, Some(count), io)?;
        } else if self.args.count {
            let name = if self.with_names { printed_name } else { "" };
            let colon = if self.with_names { ":" } else { "" };
            io.out.line(format_args!("{name}{colon}{count}"))?;
        }
        Ok((count > 0, error))
    }

    /// Returns whether the search of a file ends with its first selected line.
    fn needs_one_line(&self) -> bool {
        self.args.quiet || self.args.files_with_matches
    }

    /// Prints the selected lines of a file, which is searched by several threads.
    fn lines(
        &self,
        name: &str,
        prefix: Vec<u8>,
        reader: LineReader,
        count: &mut u64,
        io: &mut Io,
    ) -> Result<(), Failure> {
        let work = SelectLines {
            selector: Arc::clone(&self.selector),
            mode: self.mode,
            prefix,
        };
        let mut number = 0;
        pipeline::run(reader, work, &mut |result: &mut BufferResult| {
            *count += result.selected;
            if result.too_long {
                io.fail(&too_long(name, number + 1))?;
            }
            number += result.ended;
            if !result.output.is_empty() {
                io.out.bytes(&result.output)?;
                // The next read may block.
                io.out.flush()?;
            }
            if result.output.capacity() > MAX_OUTPUT_KEPT {
                result.output = Vec::new();
            }
            Ok(!(self.needs_one_line() && *count > 0))
        })
    }

    /// Prints the selected lines of a file with their numbers. One thread searches it.
    fn numbered_lines(
        &self,
        name: &str,
        prefix: &[u8],
        mut reader: LineReader,
        count: &mut u64,
        io: &mut Io,
    ) -> Result<(), Failure> {
        let mut buffer = LineBuffer::default();
        let mut output = Vec::new();
        let mut number = 1_u64;
        let mut long = LongLine::default();
        let numbered_prefix = |number: u64| [prefix, format!("{number}:").as_bytes()].concat();
        loop {
            match reader.fill(&mut buffer).map_err(Failure::Read)? {
                Content::End => return Ok(()),
                Content::Lines => {
                    for line in input::lines(buffer.bytes()) {
                        if self.selector.selects(line) {
                            // Without a newline, an empty line would not be a line.
                            let line = [line, b"\n"].concat();
                            let prefix = numbered_prefix(number);
                            let lines =
                                self.selector
                                    .select_lines(&line, self.mode, &prefix, &mut output);
                            *count += lines.selected;
                        }
                        number += 1;
                    }
                }
                Content::LinePart { last } => {
                    let part = buffer.bytes();
                    let part = part.strip_suffix(b"\n").unwrap_or(part);
                    let (prefix, mode) = (numbered_prefix(number), self.mode);
                    let outcome =
                        long.add_part(&self.selector, part, last, mode, &prefix, &mut output);
                    *count += u64::from(outcome != PartOutcome::Nothing);
                    if outcome == PartOutcome::TooLong {
                        io.fail(&too_long(name, number)).map_err(Failure::Emit)?;
                    }
                    if last {
                        number += 1;
                        long = LongLine::default();
                    }
                }
            }
            io.out.bytes(&output).map_err(Failure::Emit)?;
            // The next read may block.
            io.out.flush().map_err(Failure::Emit)?;
            output.clear();
            if output.capacity() > MAX_OUTPUT_KEPT {
                output = Vec::new();
            }
        }
    }
}
