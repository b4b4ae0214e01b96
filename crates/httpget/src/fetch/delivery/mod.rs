//! The delivery of a transfer's bodies: the sink that they go to, which stays from one
//! attempt to the next, and the checks at their end.
//!
//! An attempt that gets a body calls [`Delivery::open`], writes pieces of the body,
//! and ends with [`Delivery::finish`] or [`Delivery::interrupt`]. The last attempt
//! is followed by [`Delivery::close`].

mod finish;
mod open;

use common::Result;
use ring::digest;

use super::context::{Context, UrlJob};
use super::heads::Heads;
use super::open_body::OpenBody;
use super::output_file::OutputFile;
use super::sink::{RetrySupport, Sink};
use super::stdout::TransferOutput;
use crate::http::head::Head;
use crate::policy::resume;
use crate::report::{AttemptError, FetchError, Report};

/// The destination of a transfer's bodies, with the state of the bytes received.
pub(super) struct Delivery<'a, 'b> {
    context: &'a Context<'a>,
    job: &'a UrlJob,
    output: &'a mut TransferOutput<'b>,
    sink: Sink,
    heads: Heads,
    /// The digest of the bytes written to standard output, for an attempt that
    /// continues the body after them.
    stdout_digest: Option<digest::Context>,
}

impl<'a, 'b> Delivery<'a, 'b> {
    /// Returns the delivery of a transfer, which has no place yet.
    pub(super) fn new(
        context: &'a Context<'a>,
        job: &'a UrlJob,
        output: &'a mut TransferOutput<'b>,
    ) -> Self {
        Self {
            context,
            job,
            output,
            sink: Sink::Undecided,
            heads: Heads::default(),
            stdout_digest: None,
        }
    }

    /// Uses the partial file of an earlier run.
    pub(super) fn use_file(&mut self, file: OutputFile) {
        self.sink = Sink::new_file(file);
    }

    /// Whether bytes have been printed, which cannot be undone.
    pub(super) fn has_printed(&self) -> bool {
        self.sink.has_printed()
    }

    /// Whether an attempt has used the destination.
    pub(super) fn has_destination(&self) -> bool {
        self.sink.has_destination()
    }

    /// Returns the partial file.
    pub(super) fn file(&mut self) -> Option<&mut OutputFile> {
        match &mut self.sink {
            Sink::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Forgets the heads of an earlier attempt.
    pub(super) fn discard_heads(&mut self) {
        self.heads.clear();
    }

    /// Writes the head of a response to every place that the user wants it in.
    pub(super) fn record_head(&mut self, head: &Head) -> Result<(), AttemptError> {
        // Not within a body that a retry continues.
        let output = (!self.sink.has_printed()).then_some(&mut *self.output);
        self.heads.record(self.context, self.job, head, output)
    }

    /// Writes a piece of a body.
    pub(super) fn write(&mut self, open: &mut OpenBody, piece: &[u8]) -> Result<(), AttemptError> {
        open.update(piece);
        if open.is_discarded || self.sink.write(piece, self.output)? {
            return Ok(());
        }
        let max = self.memory_limit();
        Err(FetchError::negative(
            "size",
            format!(
                "the body exceeds the limit of {max} bytes in memory; \
                 use --max-filesize to allow more"
            ),
        )
        .into())
    }

    /// Ends a body that was cut short.
    pub(super) fn interrupt(&mut self, open: OpenBody) -> Result<(), AttemptError> {
        // The digest of a discarded error page is not that of the printed bytes.
        if !open.is_discarded {
            self.flush_view()?;
            self.stdout_digest = open.digest;
        }
        Ok(())
    }

    /// Prints the rest of a view.
    fn flush_view(&mut self) -> Result<(), AttemptError> {
        if let Sink::View { view, .. } = &mut self.sink {
            let output = &mut *self.output;
            view.finish(&mut |shown| output.write(shown))?;
        }
        Ok(())
    }

    /// Prepares a retry that continues or repeats the output.
    pub(super) fn retry_support(&mut self) -> Result<RetrySupport> {
        self.sink.retry_support()
    }

    /// Ends the delivery after the last attempt: keeps or removes a partial file, and
    /// moves a body in memory to the report.
    pub(super) fn close(self, report: &mut Report) {
        let failed = report.error.is_some();
        let is_refused = matches!(report.error, Some(FetchError::Negative { .. }));
        let removes = self.context.config.saving.remove_on_error || is_refused;
        let is_too_large = report.error.as_ref().is_some_and(FetchError::is_too_large);
        match self.sink.close(removes) {
            Err(error) => {
                report.error.get_or_insert(error.into());
            }
            // A body that is too large is not reported.
            Ok(Some(bytes)) if !is_too_large && (!failed || !bytes.is_empty()) => {
                report.body = Some(bytes);
            }
            Ok(_) => {}
        }
    }
}

/// Whether a body has a content coding.
fn is_coded(head: &Head) -> bool {
    !resume::coding(head).is_empty()
}
