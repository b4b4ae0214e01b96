//! Bodies that nobody asked for, since they are no newer than what is there:
//! what a server should have said by a 304, and did not. And the tag by which
//! it says so another time.

use std::path::Path;
use std::sync::Arc;

use common::Error;

use super::{AttemptOutcome, Transfer};
use crate::http::date;
use crate::http::head::Head;
use crate::report::AttemptError;

impl Transfer<'_, '_> {
    /// Whether a whole body is none that `-z` asks for, by what the server
    /// says of its age: not all servers look at If-Modified-Since.
    pub(super) fn fails_time_condition(&self, head: &Head) -> bool {
        let config = self.context.config;
        let is_full_request = self.resume.is_none() && config.request.range.is_none();
        let modified = || date::parse(head.get("last-modified")?);
        matches!(head.status, 200..300)
            && is_full_request
            && !config.request.head
            && config.time_condition.is_some_and(|condition| {
                modified().is_some_and(|modified| !condition.accepts(modified))
            })
    }

    /// Ends as if the server had said so; the body is not read.
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

    /// Writes the entity tag where `--etag-save` wants it: into a file when the
    /// body is `whole`, on standard output in front of the body.
    pub(super) fn save_etag(&mut self, head: &Head, is_complete: bool) -> Result<(), AttemptError> {
        let config = self.context.config;
        let (Some(file), Some(tag)) = (&config.request.etag_save, head.get("etag")) else {
            return Ok(());
        };
        if file != Path::new("-") {
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
            let tag = if config.view {
                common::text::escape(tag.as_bytes())
            } else {
                tag.into()
            };
            self.output.write(format!("{tag}\n").as_bytes())?;
        }
        Ok(())
    }
}
