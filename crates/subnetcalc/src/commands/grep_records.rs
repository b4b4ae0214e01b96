//! The JSON records of `grep`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::app::Io;
use common::{Result, time};
use serde::{Serialize, Serializer};

use crate::grep::long::{HELD_MAX, LongLine, Outcome};
use crate::grep::pipeline::Failure;
use crate::grep::scan::{Found, written_length};
use crate::grep::select::{Selector, Shown};
use crate::source::{self, Chunks, Filled, Piece};

use super::grep::too_long;

/// A selected line, or the count of a file.
#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    file: &'a str,
    line: Option<u64>,
    /// The line, if it is UTF-8.
    text: Option<&'a str>,
    /// The line, if it is not.
    text_base64: Option<String>,
    addresses: Option<Addresses<'a>>,
    count: Option<u64>,
    time: String,
}

/// The addresses a line was selected for, as they are written, with the prefix
/// length that follows.
struct Addresses<'a> {
    line: &'a [u8],
    selector: &'a Selector,
}

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // They are not collected: a line can have millions.
        let text = |found: Found| {
            let address = &self.line[found.start..found.end];
            let length = written_length(self.line, found);
            String::from_utf8_lossy(&[address, length].concat()).into_owned()
        };
        serializer.collect_seq(self.selector.addresses(self.line).map(text))
    }
}

/// A file: how many lines are selected, or that some are.
pub(super) fn of_file(file: &str, count: Option<u64>, io: &mut Io) -> Result<()> {
    io.out.json(&Record {
        r#type: "grep",
        file,
        line: None,
        text: None,
        text_base64: None,
        addresses: None,
        count,
        time: time::now(),
    })
}

/// Selected lines as records.
pub(super) fn of_lines(
    selector: &Selector,
    file: &str,
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
                    if selector.selects(line) {
                        *count += 1;
                        of_line(selector, file, number, line, io).map_err(Failure::HandOn)?;
                    }
                }
            }
            Filled::Part { last } => {
                let bytes = piece.bytes();
                long.part(selector, bytes.strip_suffix(b"\n").unwrap_or(bytes), last);
                if last {
                    number += 1;
                    let line = std::mem::take(&mut long);
                    *count += u64::from(line.selected);
                    let outcome = match (line.selected, line.overflowed) {
                        (false, _) => Ok(()),
                        (true, true) => io.fail(&too_long(file, number)),
                        (true, false) => of_line(selector, file, number, &line.text, io),
                    };
                    outcome.map_err(Failure::HandOn)?;
                }
            }
        }
        io.out.flush().map_err(Failure::HandOn)?;
    }
}

fn of_line(selector: &Selector, file: &str, number: u64, line: &[u8], io: &mut Io) -> Result<()> {
    let text = std::str::from_utf8(line).ok();
    let record = Record {
        r#type: "grep",
        file,
        line: Some(number),
        text,
        text_base64: text.is_none().then(|| STANDARD.encode(line)),
        addresses: Some(Addresses { line, selector }),
        count: None,
        time: time::now(),
    };
    // Not by way of the buffer, which would grow with the line.
    common::json::write_line(&mut io.out, &record)?;
    Ok(())
}

/// A line that comes in parts.
#[derive(Default)]
struct Held {
    line: LongLine,
    text: Vec<u8>,
    overflowed: bool,
    selected: bool,
}

impl Held {
    fn part(&mut self, selector: &Selector, part: &[u8], last: bool) {
        let mut nothing = Vec::new();
        let outcome = self
            .line
            .part(selector, part, last, Shown::Nothing, b"", &mut nothing);
        self.selected |= outcome != Outcome::Nothing;
        self.overflowed |= self.text.len() + part.len() > HELD_MAX;
        if self.overflowed {
            self.text = Vec::new();
        } else {
            self.text.extend_from_slice(part);
        }
    }
}
