//! Copies a body from the network to its place: decodes it, and enforces its length
//! and its limits.

use std::io::{self, Read};
use std::time::Instant;

use super::body::Body;
use super::context::{Context, UrlJob};
use super::delivery::Delivery;
use super::open_body::OpenBody;
use super::source::{self, BodySource};
use crate::http::coding;
use crate::net::{self, BodyReader};
use crate::report::{AttemptError, FetchError, Report};

/// The size of the buffer for a body, in bytes.
const BUFFER: usize = 64 * 1024;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    Complete,
    /// The body does not repeat the last bytes of the partial download: it is of
    /// another version.
    Differs,
}

/// A body to copy.
pub(super) struct Copy<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) job: &'a UrlJob,
    pub(super) body: &'a Body,
    /// The time at which the attempt must be finished.
    pub(super) deadline: Option<Instant>,
}

impl Copy<'_> {
    /// Copies the body to the sink and checks its length.
    pub(super) fn run(
        &self,
        reader: BodyReader,
        open: &mut OpenBody,
        delivery: &mut Delivery<'_, '_>,
        report: &mut Report,
    ) -> Result<Copied, AttemptError> {
        let limits = self.context.config.limits;
        let mut source =
            BodySource::new(reader, limits).expect_length(self.body.range_length, report.bytes);
        let before = report.wire_bytes;
        let outcome = self.decode(&mut source, open, delivery, report);
        report.wire_bytes = before + source.bytes;
        match (outcome, source.error.take()) {
            (Ok(Copied::Differs), _) => Ok(Copied::Differs),
            (_, Some(error)) => Err(error),
            (Ok(_), None) if !open.has_repeated() => {
                let message = "the server's file is shorter than the partial file";
                Err(FetchError::protocol(message).into())
            }
            (outcome, None) => outcome,
        }
    }

    fn decode(
        &self,
        source: &mut BodySource,
        open: &mut OpenBody,
        delivery: &mut Delivery<'_, '_>,
        report: &mut Report,
    ) -> Result<Copied, AttemptError> {
        let codings = &self.body.codings;
        let decode_error = |e: &io::Error| {
            FetchError::protocol(format!(
                "cannot decode the {} body: {e}",
                codings.join(", ")
            ))
        };
        let length = self.body.decoded_length();
        let mut buffer = vec![0; buffer_size(length)];
        let total = length.map(|length| length.saturating_add(report.bytes));
        let mut bar = self.context.bar(self.job, report.bytes, total);
        {
            let mut reader: Box<dyn Read + '_> = if codings.is_empty() {
                Box::new(&mut *source)
            } else {
                coding::decoder(&mut *source, codings).map_err(|e| decode_error(&e))?
            };
            loop {
                // Decoding a few bytes may take longer than the deadline allows.
                if let Some(deadline) = self.deadline
                    && !codings.is_empty()
                    && Instant::now() >= deadline
                {
                    return Err(net::max_time_error().into());
                }
                let n = match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(decode_error(&e).into()),
                };
                report.bytes += n as u64;
                let Some(piece) = open.skip_repeated(&buffer[..n]) else {
                    return Ok(Copied::Differs);
                };
                bar.advance(report.bytes);
                if let Some(max) = self.context.config.limits.max_bytes
                    && report.bytes > max
                {
                    return Err(source::too_large(max).into());
                }
                delivery.write(open, piece)?;
            }
        }
        // The coded data may end before the body. Read on, so that the end of the body is
        // checked.
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(Copied::Complete),
                Ok(_) => {}
                Err(e) => return Err(decode_error(&e).into()),
            }
        }
    }
}

/// Returns the buffer size for a body of this length.
fn buffer_size(length: Option<u64>) -> usize {
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.map_or(BUFFER, |length| length.clamp(1, BUFFER))
}
