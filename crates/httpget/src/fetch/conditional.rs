//! Conditional requests (RFC 9110, section 13): responses that a server should have
//! answered with 304, and the entity tag of `--etag-save`.

use std::sync::Arc;

use common::Error;

use super::{AttemptOutcome, Transfer};
use crate::config::FileOrStdout;
use crate::http::date;
use crate::http::head::Head;
use crate::report::AttemptError;

impl Transfer<'_, '_> {
    /// Whether Last-Modified shows that the condition of `-z` is not met, because the
    /// server has ignored If-Modified-Since.
    pub(super) fn fails_time_condition(&self, head: &Head) -> bool {
        let config = self.context.config;
        let is_full_request = self.resume.is_none() && config.request.range.is_none();
        let modified = || date::parse(head.get("last-modified")?);
        matches!(head.status, 200..300)
            && is_full_request
            && !config.request.head
            && config.request.time_condition.is_some_and(|condition| {
                modified().is_some_and(|modified| !condition.accepts(modified))
            })
    }

    /// Finishes the transfer as if the status were 304, without reading the body.
    pub(super) fn finish_not_modified(
        &mut self,
        head: &Head,
    ) -> Result<AttemptOutcome, AttemptError> {
        let mut head = head.clone();
        head.status = 304;
        "Not Modified".clone_into(&mut head.reason);
        let head = Arc::new(head);
        self.report.head = Some(Arc::clone(&head));
        self.report.is_failure_status = false;
        self.is_segmented = false;
        self.discard_body();
        self.finish_body(&head, false, None)?;
        Ok(AttemptOutcome::Done)
    }

    /// Writes the entity tag of `--etag-save`: to a file once the body is complete,
    /// to standard output before the body.
    pub(super) fn save_etag(&mut self, head: &Head, is_complete: bool) -> Result<(), AttemptError> {
        let config = self.context.config;
        let (Some(target), Some(tag)) = (&config.output.etag_save, head.get("etag")) else {
            return Ok(());
        };
        if let FileOrStdout::File(file) = target {
            if is_complete {
                let line = if tag.is_empty() {
                    String::new()
                } else {
                    format!("{tag}\n")
                };
                std::fs::write(file, line)
                    .map_err(|e| Error::local(&e).with_subject(file.display().to_string()))?;
            }
        } else if !std::mem::replace(&mut self.etag_printed, true) {
            let tag = if config.output.view {
                common::text::escape(tag.as_bytes())
            } else {
                tag.into()
            };
            self.output.write(format!("{tag}\n").as_bytes())?;
        }
        Ok(())
    }
}
