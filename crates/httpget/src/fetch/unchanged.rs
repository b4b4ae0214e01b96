//! Bodies that nobody asked for, since they are no newer than what is there:
//! what a server should have said by a 304, and did not. And the tag by which
//! it says so another time.

use std::path::Path;
use std::sync::Arc;

use common::Error;

use super::report::Stop;
use super::{Transfer, Tried};
use crate::http::date;
use crate::http::head::Head;

impl Transfer<'_, '_> {
    /// Whether a whole body is none that `-z` asks for, by what the server
    /// says of its age: not all servers look at If-Modified-Since.
    pub(super) fn is_stale(&self, head: &Head) -> bool {
        let config = self.context.config;
        let whole = self.resume.is_none() && config.request.range.is_none();
        let modified = || date::parse(head.get("last-modified")?);
        matches!(head.status, 200..300)
            && whole
            && !config.request.head
            && config.condition.is_some_and(|condition| {
                modified().is_some_and(|modified| !condition.admits(modified))
            })
    }

    /// Ends as if the server had said so; the body is not read.
    pub(super) fn not_modified(&mut self, head: &Head) -> Result<Tried, Stop> {
        let mut head = head.clone();
        head.status = 304;
        "Not Modified".clone_into(&mut head.reason);
        let head = Arc::new(head);
        self.report.head = Some(Arc::clone(&head));
        self.report.status_fails = false;
        self.split = false;
        self.drop_body();
        self.finish(&head, false, None)?;
        Ok(Tried::Done)
    }

    /// Writes the entity tag where `--etag-save` wants it: into a file when the
    /// body is `whole`, on standard output in front of the body.
    pub(super) fn save_tag(&mut self, head: &Head, whole: bool) -> Result<(), Stop> {
        let config = self.context.config;
        let (Some(file), Some(tag)) = (&config.request.etag_save, head.get("etag")) else {
            return Ok(());
        };
        if file != Path::new("-") {
            if whole {
                let line = if tag.is_empty() {
                    String::new()
                } else {
                    format!("{tag}\n")
                };
                std::fs::write(file, line)
                    .map_err(|e| Error::local(&e).with_subject(file.display().to_string()))?;
            }
        } else if !std::mem::replace(&mut self.tagged, true) {
            let tag = if config.view {
                common::text::escape(tag.as_bytes())
            } else {
                tag.into()
            };
            self.stage.write(format!("{tag}\n").as_bytes())?;
        }
        Ok(())
    }
}
