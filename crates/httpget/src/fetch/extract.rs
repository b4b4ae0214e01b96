//! `--pointer`: one value of a JSON body in the place of the body.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use common::Error;

use super::report::{Stop, Trouble};
use super::save::Saver;
use super::sink::Sink;
use super::{Place, Transfer};
use crate::config::Config;
use crate::http::charset;
use crate::http::head::Head;
use crate::json::{pointer::Pointer, text};
use crate::policy::resume::{self, Had};

/// Bytes of a value that are written at a time.
const PIECE: usize = 64 * 1024;

impl Transfer<'_, '_> {
    /// Puts the value that a pointer names in the place of the body.
    pub(super) fn extract(&mut self, pointer: &Pointer, head: &Head) -> Result<(), Stop> {
        let config = self.context.config;
        let Sink::Memory { bytes, .. } = &mut self.sink else {
            return Ok(());
        };
        let mut body = std::mem::take(bytes);
        if let Some(charset) = self.report.charset.take()
            && let Some(text) = charset::decode(charset, &body)
        {
            body = text.into_owned().into_bytes();
        }
        let value = point(pointer, &body).map_err(|trouble| coded(trouble, head, config))?;
        if self.job.place != Place::Stdout {
            let (path, taken) = self.claimed(Some(head))?;
            let mut saver = Saver::open(&path, taken, config.saving.create_dirs, &self.id)?;
            saver.start(None, None, String::new())?;
            self.sink = Sink::File {
                saver,
                used: true,
                plain: false,
            };
        } else if config.json {
            self.report.pointed = true;
            body.truncate(value.end);
            body.drain(..value.start);
            *bytes = body;
            return Ok(());
        } else {
            self.sink = Sink::Stdout {
                had: Had::default(),
                plain: false,
            };
        }
        // Through the sink, so that a file that fails is cleared away.
        let mut line = Line {
            transfer: self,
            stop: None,
        };
        let mut out = BufWriter::with_capacity(PIECE, &mut line);
        let value = std::str::from_utf8(&body[value]).unwrap_or_default();
        let outcome = text::write_compact(value, &mut out)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        drop(out.into_parts());
        match (line.stop, outcome) {
            (Some(stop), _) => Err(stop),
            (None, outcome) => Ok(outcome.map_err(Error::from)?),
        }
    }
}

/// Adds what helps if the body is coded and was not asked to be.
fn coded(trouble: Trouble, head: &Head, config: &Config) -> Trouble {
    match trouble {
        Trouble::Error(error) if !config.request.compressed && !resume::coding(head).is_empty() => {
            Trouble::Error(error.hint(CODED))
        }
        other => other,
    }
}

/// The hint for a body that is coded though that was not asked for.
pub(super) const CODED: &str = "the server sent it compressed; --compressed decodes it";

/// The text of the value that a pointer names, by its place in the body.
fn point(pointer: &Pointer, body: &[u8]) -> Result<Range<usize>, Trouble> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Trouble::protocol("the body is not JSON: it is not UTF-8"))?;
    match pointer.find(text.trim_start_matches('\u{feff}')) {
        Ok(Some(value)) => {
            let start = value.as_ptr().addr() - body.as_ptr().addr();
            Ok(start..start + value.len())
        }
        Ok(None) => Err(Trouble::no("missing", "no such value in the body")),
        Err(e) => Err(Trouble::protocol(format!("the body is not JSON: {e}"))),
    }
}

/// The value of `--pointer` on its way to the sink.
struct Line<'a, 'b, 'c> {
    transfer: &'a mut Transfer<'b, 'c>,
    stop: Option<Stop>,
}

impl Write for Line<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let transfer = &mut *self.transfer;
        match transfer.sink.write(bytes, transfer.stage) {
            Ok(_) => Ok(bytes.len()),
            Err(error) => {
                self.stop = Some(error.into());
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
