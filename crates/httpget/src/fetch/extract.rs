//! `--pointer`: replaces a JSON body with one of its values.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use common::Error;

use super::Transfer;
use super::output_file::OutputFile;
use super::sink::Sink;
use crate::config::{Config, Destination};
use crate::http::charset;
use crate::http::head::Head;
use crate::json::{pointer::Pointer, text};
use crate::policy::resume::{self, PartialDownload};
use crate::report::{AttemptError, FetchError};

/// The size of the buffer for the output of a value, in bytes.
const BUFFER: usize = 64 * 1024;

impl Transfer<'_, '_> {
    /// Replaces the body with the value that a pointer refers to.
    pub(super) fn extract(&mut self, pointer: &Pointer, head: &Head) -> Result<(), AttemptError> {
        let config = self.context.config;
        let Sink::Memory { bytes, .. } = &mut self.sink else {
            return Ok(());
        };
        let mut body = std::mem::take(bytes);
        if let Some(charset) = self.report.charset.take()
            && let Some(text) = charset::decode(charset, &body)
        {
            body = text.into_bytes();
        }
        let value =
            find_value(pointer, &body).map_err(|error| hint_if_compressed(error, head, config))?;
        if self.job.destination != Destination::Stdout {
            let (path, on_exists) = self.reserve_path(Some(head))?;
            let mut file =
                OutputFile::open(&path, on_exists, config.saving.create_dirs, &self.url_id)?;
            file.begin(None, None, String::new())?;
            self.sink = Sink::File {
                file,
                is_started: true,
                keeps_offsets: false,
            };
        } else if config.output.json {
            self.report.is_pointer_value = true;
            body.truncate(value.end);
            body.drain(..value.start);
            *bytes = body;
            return Ok(());
        } else {
            self.sink = Sink::Stdout {
                written: PartialDownload::default(),
                keeps_offsets: false,
            };
        }
        // Writes through the sink, so that the file is removed if a write fails.
        let mut writer = SinkWriter {
            transfer: self,
            error: None,
        };
        let mut out = BufWriter::with_capacity(BUFFER, &mut writer);
        let value = std::str::from_utf8(&body[value]).unwrap_or_default();
        let outcome = text::write_compact(value, &mut out)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        drop(out.into_parts());
        match (writer.error, outcome) {
            (Some(error), _) => Err(error),
            (None, outcome) => Ok(outcome.map_err(Error::from)?),
        }
    }
}

/// Adds a hint if the body is compressed although that was not requested.
fn hint_if_compressed(error: FetchError, head: &Head, config: &Config) -> FetchError {
    match error {
        FetchError::Error(error)
            if !config.request.compressed && !resume::coding(head).is_empty() =>
        {
            FetchError::Error(error.hint(COMPRESSED_HINT))
        }
        other => other,
    }
}

/// The hint for a body that is compressed although that was not requested.
pub(super) const COMPRESSED_HINT: &str = "the server compressed it; use --compressed to decode it";

/// Returns the byte range of the value that a pointer refers to.
fn find_value(pointer: &Pointer, body: &[u8]) -> Result<Range<usize>, FetchError> {
    let text = std::str::from_utf8(body)
        .map_err(|_| FetchError::protocol("the body is not JSON: it is not UTF-8"))?;
    match pointer.find(text.trim_start_matches('\u{feff}')) {
        Ok(Some(value)) => {
            let start = value.as_ptr().addr() - body.as_ptr().addr();
            Ok(start..start + value.len())
        }
        Ok(None) => Err(FetchError::negative("missing", "no such value in the body")),
        Err(e) => Err(FetchError::protocol(format!("the body is not JSON: {e}"))),
    }
}

/// Writes the value of `--pointer` to the sink.
struct SinkWriter<'a, 'b, 'c> {
    transfer: &'a mut Transfer<'b, 'c>,
    error: Option<AttemptError>,
}

impl Write for SinkWriter<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let transfer = &mut *self.transfer;
        match transfer.sink.write(bytes, transfer.output) {
            Ok(_) => Ok(bytes.len()),
            Err(error) => {
                self.error = Some(error.into());
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
