//! The heads of responses, and their entity tags, wherever the user wants them.

use std::io::Write;
use std::sync::PoisonError;

use common::Error;

use super::context::{Context, UrlJob};
use super::stdout::TransferOutput;
use crate::config::{FileOrStdout, OutputConfig};
use crate::http::head::Head;
use crate::output::verbose;
use crate::report::{AttemptError, FetchError};

/// The maximum size of all heads that are held for a file, in bytes.
const FILE_MAX: usize = 16 << 20;

/// The heads of the current attempt.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The heads to write to the file before the body.
    for_file: Vec<u8>,
    /// Whether the entity tag has been printed.
    etag_printed: bool,
}

impl Heads {
    /// Forgets the heads of an earlier attempt.
    pub(super) fn clear(&mut self) {
        self.for_file.clear();
    }

    /// Returns the heads to write to the file before the body.
    pub(super) fn for_file(&self) -> &[u8] {
        &self.for_file
    }

    /// Writes a head to the file of `-D` and to `output`, or keeps it for the file of
    /// the body.
    pub(super) fn record(
        &mut self,
        context: &Context<'_>,
        job: &UrlJob,
        head: &Head,
        output: Option<&mut TransferOutput<'_>>,
    ) -> Result<(), AttemptError> {
        let config = &context.config.output;
        if let (Some(file), Some(FileOrStdout::File(name))) =
            (&context.header_dump, &config.header_dump)
        {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&head.raw)
                .map_err(|e| Error::local(&e).with_subject(name.display().to_string()))?;
        }
        if config.heads && job.is_saved() {
            if self.for_file.len() + head.raw.len() > FILE_MAX {
                let message =
                    format!("the response heads together are larger than {FILE_MAX} bytes");
                return Err(FetchError::negative("size", message).into());
            }
            self.for_file.extend_from_slice(&head.raw);
        }
        let is_printed =
            config.heads && !job.is_saved() || config.header_dump == Some(FileOrStdout::Stdout);
        if let Some(output) = output.filter(|_| is_printed && !config.json) {
            if config.view {
                output.write(verbose::format_head(&head.raw).as_bytes())?;
            } else {
                output.write(&head.raw)?;
            }
        }
        Ok(())
    }

    /// Writes the entity tag of `--etag-save`: to a file once the body is complete, to
    /// standard output before the body.
    pub(super) fn save_etag(
        &mut self,
        config: &OutputConfig,
        head: &Head,
        is_complete: bool,
        output: &mut TransferOutput<'_>,
    ) -> Result<(), AttemptError> {
        let (Some(target), Some(tag)) = (&config.etag_save, head.get("etag")) else {
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
            let tag = if config.view {
                common::text::escape(tag.as_bytes())
            } else {
                tag.into()
            };
            output.write(format!("{tag}\n").as_bytes())?;
        }
        Ok(())
    }
}
