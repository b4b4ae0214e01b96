//! Whether a response continues the bytes that have already been received.

use super::Transfer;
use super::sink::Sink;
use crate::http::content_range;
use crate::http::head::Head;
use crate::policy::resume::{PartialDownload, Verdict};
use crate::report::{AttemptError, FetchError};

/// How a response relates to the partial download.
pub(super) enum Continuation {
    /// Its body continues the partial download.
    Continues(PartialDownload),
    /// The partial download is complete already.
    Complete(PartialDownload),
    /// Its body replaces the partial download.
    Fresh,
    /// It cannot be used: the whole body must be requested.
    Refetch,
}

impl Transfer<'_, '_> {
    /// Classifies a response; `fails` is true if its status is a failure.
    pub(super) fn classify_response(
        &mut self,
        head: &Head,
        fails: bool,
    ) -> Result<Continuation, AttemptError> {
        let config = self.context.config;
        let Some(partial) = self.resume.clone() else {
            let asked = config.request.has_range();
            if head.status == 206 && !asked {
                let message = "unexpected 206 Partial Content";
                return Err(FetchError::protocol(message).into());
            }
            return Ok(Continuation::Fresh);
        };
        match partial.classify(head) {
            Verdict::Continue => Ok(Continuation::Continues(partial)),
            Verdict::Complete => Ok(Continuation::Complete(partial)),
            Verdict::Whole | Verdict::Refetch
                if self.explicit_offset || matches!(self.sink, Sink::Stdout { .. }) =>
            {
                let message = "the server does not continue the body where its first part ended";
                Err(FetchError::protocol(message).into())
            }
            Verdict::Whole => {
                let changed = partial.validator.as_ref().is_some_and(|v| !v.agrees(head));
                self.start_over(if changed {
                    "the file on the server has changed"
                } else {
                    "the server sent the whole body"
                });
                Ok(Continuation::Fresh)
            }
            Verdict::Refetch => {
                self.start_over("the server does not offer the rest of the body");
                Ok(Continuation::Refetch)
            }
            // The bytes already printed are not a prefix of this body.
            Verdict::Other if self.sink.has_printed() && !fails => {
                let status = head.status_text();
                let message = format!("the server sent {status} instead of the rest of the body");
                Err(FetchError::protocol(message).into())
            }
            Verdict::Other => Ok(Continuation::Fresh),
        }
    }

    /// Returns the length of a 206 response by its Content-Range. Fails if that is
    /// not the requested range.
    pub(super) fn expected_range_length(
        &self,
        head: &Head,
        resumed: Option<&PartialDownload>,
    ) -> Result<Option<u64>, AttemptError> {
        let config = self.context.config;
        if head.status != 206 || config.request.head {
            return Ok(None);
        }
        let is_multipart = head.get("content-type").is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("multipart/byteranges")
        });
        let Some(value) = head.get("content-range") else {
            if is_multipart {
                return Ok(None);
            }
            let message = "206 Partial Content without a Content-Range";
            return Err(FetchError::protocol(message).into());
        };
        let asked = config.request.expected_range();
        let range = content_range::parse(value).filter(|range| {
            resumed.is_some() || asked.is_none_or(|asked| content_range::satisfies(range, asked))
        });
        let Some(range) = range else {
            let value = common::text::escape(value.as_bytes());
            let message = format!("Content-Range {value:?} is not the requested range");
            return Err(FetchError::protocol(message).into());
        };
        let span = range.span.map(|(first, last)| last - first);
        Ok(span.and_then(|span| span.checked_add(1)))
    }

    /// Returns the part of a piece after the overlap, which is fetched again. Fails
    /// if the overlap differs from the bytes received before.
    pub(super) fn skip_overlap<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], AttemptError> {
        let length = self.overlap.len().min(piece.len());
        if self.overlap[..length] != piece[..length] {
            self.overlap_differs = true;
            return Err(FetchError::protocol("the file on the server has changed").into());
        }
        self.overlap.drain(..length);
        Ok(&piece[length..])
    }

    /// Gives up the partial download, and prints the reason.
    pub(super) fn start_over(&mut self, why: &str) {
        self.resume = None;
        self.overlap.clear();
        if self.context.config.output.show_errors {
            let url = common::text::escape(self.job.display_url.as_bytes());
            self.context
                .reporter
                .line(format_args!("{url}: starting over: {why}"));
        }
    }
}
