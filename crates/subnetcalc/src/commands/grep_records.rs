//! The JSON records of `grep`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::app::Io;
use common::{Result, time};
use serde::{Serialize, Serializer};

use crate::grep::found::Found;
use crate::grep::long::{LongLine, MAX_KEPT, PartOutcome, too_long};
use crate::grep::pipeline::Failure;
use crate::grep::select::{OutputMode, Selector};
use crate::grep::suffix::written_length;
use crate::input::{self, Content, LineBuffer, LineReader};

/// The record of a selected line or of a file.
#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    file: &'a str,
    line: Option<u64>,
    /// The line if it is UTF-8.
    text: Option<&'a str>,
    /// The line if it is not UTF-8.
    text_base64: Option<String>,
    addresses: Option<Addresses<'a>>,
    count: Option<u64>,
    time: String,
}

/// The addresses for which a line was selected, each with the prefix length that
/// follows it. They are found while they are serialized, because a line can have
/// millions of them.
struct Addresses<'a> {
    line: &'a [u8],
    selector: &'a Selector,
}

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |found: Found| {
            let address = &self.line[found.start..found.end];
            let length = written_length(self.line, found);
            String::from_utf8_lossy(&[address, length].concat()).into_owned()
        };
        serializer.collect_seq(self.selector.addresses(self.line).map(text))
    }
}

/// Prints the record of a file with selected lines, or with their count.
pub(super) fn file(file: &str, count: Option<u64>, io: &mut Io) -> Result<()> {
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

/// Prints the records of the selected lines of a file.
pub(super) fn lines(
    selector: &Selector,
    file: &str,
    mut reader: LineReader,
    count: &mut u64,
    io: &mut Io,
) -> Result<(), Failure> {
    let mut buffer = LineBuffer::default();
    let mut number = 0;
    let mut long = PartialLine::default();
    loop {
        match reader.fill(&mut buffer).map_err(Failure::Read)? {
            Content::End => return Ok(()),
            Content::Lines => {
                for line in input::lines(buffer.bytes()) {
                    number += 1;
                    if selector.selects(line) {
                        *count += 1;
                        selected_line(selector, file, number, line, io).map_err(Failure::Emit)?;
                    }
                }
            }
            Content::LinePart { last } => {
                let part = buffer.bytes();
                long.add_part(selector, part.strip_suffix(b"\n").unwrap_or(part), last);
                if last {
                    number += 1;
                    let line = std::mem::take(&mut long);
                    *count += u64::from(line.selected);
                    let outcome = match (line.selected, line.overflowed) {
                        (false, _) => Ok(()),
                        (true, true) => io.fail(&too_long(file, number)),
                        (true, false) => selected_line(selector, file, number, &line.text, io),
                    };
                    outcome.map_err(Failure::Emit)?;
                }
            }
        }
        io.out.flush().map_err(Failure::Emit)?;
    }
}

/// Prints the record of a selected line.
fn selected_line(
    selector: &Selector,
    file: &str,
    number: u64,
    line: &[u8],
    io: &mut Io,
) -> Result<()> {
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
    // The buffer of the output would grow with the line.
    common::json::write_line(&mut io.out, &record)?;
    Ok(())
}

/// A line that is read in parts.
#[derive(Default)]
struct PartialLine {
    search: LongLine,
    text: Vec<u8>,
    /// Whether the line was too long to be kept.
    overflowed: bool,
    selected: bool,
}

impl PartialLine {
    fn add_part(&mut self, selector: &Selector, part: &[u8], last: bool) {
        let mut nothing = Vec::new();
        let mode = OutputMode::Nothing;
        let outcome = self
            .search
            .add_part(selector, part, last, mode, b"", &mut nothing);
        self.selected |= outcome != PartOutcome::Nothing;
        self.overflowed |= self.text.len() + part.len() > MAX_KEPT;
        if self.overflowed {
            self.text = Vec::new();
        } else {
            self.text.extend_from_slice(part);
        }
    }
}
