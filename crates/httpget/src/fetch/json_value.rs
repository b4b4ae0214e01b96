//! `--pointer`: finds one value of a JSON body, and writes it.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use common::Error;

use super::sink::Sink;
use super::stdout::TransferOutput;
use crate::json::{pointer::Pointer, text};
use crate::report::{AttemptError, FetchError};

/// The size of the buffer for the output of a value, in bytes.
const BUFFER: usize = 64 * 1024;

/// The hint for a body that is compressed although that was not requested.
const COMPRESSED_HINT: &str = "the server compressed it; use --compressed to decode it";

/// Returns the byte range of the value that a pointer refers to. `is_coded` is true if
/// the body has a content coding, which is the likely reason of an error.
pub(super) fn find(
    pointer: &Pointer,
    body: &[u8],
    is_coded: bool,
) -> Result<Range<usize>, FetchError> {
    find_value(pointer, body).map_err(|error| match error {
        FetchError::Error(error) if is_coded => FetchError::Error(error.hint(COMPRESSED_HINT)),
        other => other,
    })
}

fn find_value(pointer: &Pointer, body: &[u8]) -> Result<Range<usize>, FetchError> {
    let text = std::str::from_utf8(body)
        .map_err(|_| FetchError::protocol("the body is not JSON: it is not valid UTF-8"))?;
    match pointer.find(text.trim_start_matches('\u{feff}')) {
        Ok(Some(value)) => {
            let start = value.as_ptr().addr() - body.as_ptr().addr();
            Ok(start..start + value.len())
        }
        Ok(None) => Err(FetchError::negative(
            "missing",
            format!("the JSON body has no value at {pointer}"),
        )),
        Err(e) => Err(FetchError::protocol(format!(
            "the body is not valid JSON (line {}, column {})",
            e.line(),
            e.column()
        ))),
    }
}

/// Writes a JSON value on one line.
pub(super) fn write(
    value: &[u8],
    sink: &mut Sink,
    output: &mut TransferOutput<'_>,
) -> Result<(), AttemptError> {
    let mut writer = SinkWriter {
        sink,
        output,
        error: None,
    };
    let mut out = BufWriter::with_capacity(BUFFER, &mut writer);
    let value = std::str::from_utf8(value).unwrap_or_default();
    let outcome = text::write_compact(value, &mut out)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    drop(out.into_parts());
    match (writer.error, outcome) {
        (Some(error), _) => Err(error.into()),
        (None, outcome) => Ok(outcome.map_err(Error::from)?),
    }
}

/// Writes to a sink, and keeps the error that [`Write`] cannot carry.
struct SinkWriter<'a, 'b> {
    sink: &'a mut Sink,
    output: &'a mut TransferOutput<'b>,
    error: Option<Error>,
}

impl Write for SinkWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.sink.write(bytes, self.output) {
            Ok(_) => Ok(bytes.len()),
            Err(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
