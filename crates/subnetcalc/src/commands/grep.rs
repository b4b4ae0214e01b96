//! `grep`: lines by the addresses in them.

use std::io;
use std::sync::Arc;

use common::app::Io;
use common::{Error, Exit, Result};
use serde::Serialize;

use crate::cli::GrepArgs;
use crate::grep::pipeline::{self, Failure};
use crate::grep::scan::Found;
use crate::grep::select::{Selector, Shown, Wanted};
use crate::ipset::{IpSet, Members};
use crate::parse::Rules;
use crate::source::{self, Chunks, Piece, Stdin};

/// Pieces of files: large enough that threads seldom meet.
const PIECE: usize = 1 << 20;

/// What a line of a file becomes in JSON.
#[derive(Serialize)]
struct LineRecord<'a> {
    r#type: &'static str,
    file: &'a str,
    line: u64,
    text: &'a str,
    addresses: &'a [String],
}

#[derive(Serialize)]
struct CountRecord<'a> {
    r#type: &'static str,
    file: &'a str,
    count: u64,
}

/// What one piece gives.
#[derive(Default)]
struct Part {
    text: Vec<u8>,
    lines: u64,
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
    let set: IpSet = Members::of_option(io, &args.set, rules)?.into();
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
        let chunks = Chunks::with_size(reader, PIECE);
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
            self.lines(&prefix, chunks, &mut count, io)
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
        prefix: &[u8],
        chunks: Chunks,
        count: &mut u64,
        io: &mut Io,
    ) -> Result<(), Failure> {
        let out = &mut io.out;
        let (selector, shown) = (Arc::clone(&self.selector), self.shown);
        let prefix = prefix.to_vec();
        pipeline::run(
            chunks,
            move |piece, part: &mut Part| {
                part.text.clear();
                part.lines = selector.piece(piece, shown, &prefix, &mut part.text);
            },
            &mut |part: &mut Part| {
                *count += part.lines;
                if !part.text.is_empty() {
                    out.bytes(&part.text)?;
                    // Before the next read, which may wait.
                    out.flush()?;
                }
                Ok(!(self.args.quiet && *count > 0))
            },
        )
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
        while chunks.fill(&mut piece).map_err(Failure::Read)? {
            for line in source::lines(piece.bytes()) {
                number += 1;
                let Some(found) = self.selector.line(line) else {
                    continue;
                };
                *count += 1;
                record(name, number, line, &found, io).map_err(Failure::HandOn)?;
            }
            io.out.flush().map_err(Failure::HandOn)?;
        }
        Ok(())
    }
}

/// One selected line.
fn record(name: &str, number: u64, line: &[u8], found: &[Found], io: &mut Io) -> Result<()> {
    let text = |from: usize, to: usize| String::from_utf8_lossy(&line[from..to]).into_owned();
    let addresses: Vec<String> = found.iter().map(|f| text(f.start, f.end)).collect();
    io.out.json(&LineRecord {
        r#type: "grep",
        file: name,
        line: number,
        text: &text(0, line.len()),
        addresses: &addresses,
    })
}
