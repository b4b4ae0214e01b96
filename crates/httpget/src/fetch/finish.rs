//! The end of a body: the digest is compared, the value extracted, the ETag saved,
//! and the file renamed.

use ring::digest;

use super::Transfer;
use super::sink::Sink;
use crate::http::date;
use crate::http::head::Head;
use crate::policy::resume::PartialDownload;
use crate::report::{AttemptError, FetchError};

impl Transfer<'_, '_> {
    /// Checks a complete body and finishes its destination.
    pub(super) fn finish_body(
        &mut self,
        head: &Head,
        fails: bool,
        hash: Option<digest::Context>,
    ) -> Result<(), AttemptError> {
        let config = self.context.config;
        let digest = hash.map(|hash| crate::hex::encode(hash.finish().as_ref()));
        let is_delivered = !self.discards_body
            && !matches!(self.sink, Sink::Discard | Sink::Undecided)
            && !matches!(
                self.sink,
                Sink::File {
                    is_started: false,
                    ..
                }
            );
        self.report.sha256 = digest.clone().filter(|_| is_delivered);
        self.flush_view()?;
        if fails {
            return Ok(());
        }
        if let (Some(expected), Some(actual)) = (&self.job.sha256, &digest)
            && is_delivered
            && expected != actual
        {
            return Err(FetchError::negative(
                "mismatch",
                format!("the SHA-256 is {actual}, not {expected}"),
            )
            .into());
        }
        if let Some(pointer) = &config.output.pointer {
            self.extract(pointer, head)?;
        }
        self.save_etag(head, true)?;
        let is_saved = matches!(
            self.sink,
            Sink::File {
                is_started: true,
                ..
            } | Sink::MemoryFile(_)
        );
        if is_saved && !self.discards_body {
            let modified = head
                .get("last-modified")
                .filter(|_| config.saving.remote_time)
                .and_then(date::parse);
            self.report.file = match std::mem::replace(&mut self.sink, Sink::Discard) {
                Sink::File { file, .. } => Some(file.finish(modified)?),
                Sink::MemoryFile(memory_file) => Some(memory_file.finish(modified)?),
                _ => None,
            };
        }
        Ok(())
    }

    /// Prints the rest of a view when the body has ended or was cut short.
    pub(super) fn flush_view(&mut self) -> Result<(), AttemptError> {
        if let Sink::View { view, .. } = &mut self.sink
            && !self.discards_body
        {
            let output = &mut *self.output;
            view.finish(&mut |shown| output.write(shown))?;
        }
        Ok(())
    }

    /// Finishes a partial download that is complete already.
    pub(super) fn finish_complete(
        &mut self,
        partial: &PartialDownload,
        head: &Head,
    ) -> Result<(), AttemptError> {
        self.report.is_failure_status = false;
        self.report.bytes = partial.bytes;
        let config = self.context.config;
        let mut hash = digest::Context::new(&digest::SHA256);
        if let Sink::File {
            file, is_started, ..
        } = &mut self.sink
        {
            file.resume(partial, |piece| hash.update(piece))?;
            *is_started = true;
        }
        let needs_digest = config.output.json || self.job.sha256.is_some();
        self.finish_body(head, false, needs_digest.then_some(hash))
    }
}
