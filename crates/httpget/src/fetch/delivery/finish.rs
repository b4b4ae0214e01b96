//! The end of a complete body: its digest, its file, and the value of a pointer.

use ring::digest;
use url::Url;

use super::{Delivery, is_coded};
use crate::fetch::json_value;
use crate::fetch::open_body::OpenBody;
use crate::fetch::sink::Sink;
use crate::http::head::Head;
use crate::http::{charset, date};
use crate::json::pointer::Pointer;
use crate::policy::resume::PartialDownload;
use crate::report::{AttemptError, FetchError, Report};

impl Delivery<'_, '_> {
    /// Checks a complete body and finishes its destination; `is_failure` is true if the
    /// status is a failure.
    pub(in crate::fetch) fn finish(
        &mut self,
        open: OpenBody,
        response: (&Head, &Url),
        is_failure: bool,
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        let digest = open
            .digest
            .map(|digest| crate::hex::encode(digest.finish().as_ref()));
        let is_delivered = !open.is_discarded && self.sink.holds_body();
        report.sha256 = digest.clone().filter(|_| is_delivered);
        if !open.is_discarded {
            self.flush_view()?;
        }
        if is_failure {
            return Ok(());
        }
        if let (Some(expected), Some(actual)) = (&self.job.sha256, &digest)
            && is_delivered
            && expected != actual
        {
            return Err(FetchError::negative(
                "mismatch",
                format!("SHA-256 mismatch: expected {expected}, got {actual}"),
            )
            .into());
        }
        let config = &self.context.config.output;
        if let Some(pointer) = &config.pointer {
            self.extract(pointer, response, report)?;
        }
        self.heads
            .save_etag(config, response.0, true, self.output)?;
        if !open.is_discarded {
            let modified = response
                .0
                .get("last-modified")
                .filter(|_| self.context.config.saving.remote_time)
                .and_then(date::parse);
            if let Some(path) = self.sink.save(modified)? {
                report.file = Some(path);
            }
        }
        Ok(())
    }

    /// Finishes as if the server had answered that nothing has been modified.
    pub(in crate::fetch) fn finish_not_modified(
        &mut self,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        self.discard();
        self.finish(OpenBody::discarded(), response, false, report)
    }

    /// Finishes a partial download that is complete already.
    pub(in crate::fetch) fn finish_complete(
        &mut self,
        partial: &PartialDownload,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        report.bytes = partial.bytes;
        let mut digest = digest::Context::new(&digest::SHA256);
        if let Sink::File {
            file, is_started, ..
        } = &mut self.sink
        {
            file.resume(partial, |piece| digest.update(piece))?;
            *is_started = true;
        }
        let digest = Some(digest).filter(|_| self.context.needs_digest(self.job));
        self.finish(OpenBody::new(digest), response, false, report)
    }

    /// Finishes a file of which all segments are there.
    pub(in crate::fetch) fn finish_segments(
        &mut self,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        let needs_digest = self.context.needs_digest(self.job);
        let mut digest = needs_digest.then(|| digest::Context::new(&digest::SHA256));
        if let (Some(digest), Some(file)) = (&mut digest, self.file()) {
            file.read_existing(&mut |piece| digest.update(piece))?;
        }
        self.finish(OpenBody::new(digest), response, false, report)
    }

    /// Replaces a body in memory with the value that a pointer refers to.
    fn extract(
        &mut self,
        pointer: &Pointer,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        let Sink::Memory { bytes, .. } = &mut self.sink else {
            return Ok(());
        };
        let mut body = std::mem::take(bytes);
        if let Some(charset) = report.charset.take()
            && let Some(text) = charset::decode(charset, &body)
        {
            body = text.into_bytes();
        }
        let is_coded = !self.context.config.request.compressed && is_coded(response.0);
        let value = json_value::find(pointer, &body, is_coded)?;
        if self.job.is_saved() {
            let mut file = self.new_file(response)?;
            file.begin(None, None, String::new())?;
            self.sink = Sink::File {
                file,
                is_started: true,
                is_resumable: false,
            };
        } else if self.context.config.output.json {
            report.is_pointer_value = true;
            body.truncate(value.end);
            body.drain(..value.start);
            *bytes = body;
            return Ok(());
        } else {
            self.sink = Sink::Stdout {
                written: PartialDownload::default(),
                is_resumable: false,
            };
        }
        // Writes through the sink, so that the file is removed if a write fails.
        json_value::write(&body[value], &mut self.sink, self.output)
    }
}
