//! The delivery of a transfer's bodies: the sink that they go to, which stays from one
//! attempt to the next, and the checks at their end.
//!
//! An attempt that gets a body calls [`Delivery::open`], writes pieces of the body,
//! and ends with [`Delivery::finish`] or [`Delivery::interrupt`]. The last attempt
//! is followed by [`Delivery::close`].

use common::Result;
use ring::digest;
use url::Url;

use super::context::{Context, UrlJob};
use super::decision::{Body, Place};
use super::heads::Heads;
use super::json_value;
use super::memory_file::MemoryFile;
use super::open_body::OpenBody;
use super::output_file::OutputFile;
use super::output_path;
use super::sink::{RetrySupport, Sink};
use super::stdout::TransferOutput;
use crate::http::head::Head;
use crate::http::{charset, date, media};
use crate::json::pointer::Pointer;
use crate::output::view::View;
use crate::policy::resume::{self, PartialDownload, Validator};
use crate::report::{AttemptError, FetchError, Report};

/// The maximum size of a body in memory without `--max-filesize`, in bytes; smaller
/// with `-Z`, since many bodies are in memory.
const MEMORY_MAX: u64 = 64 << 20;
const MEMORY_MAX_PARALLEL: u64 = 8 << 20;

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

    /// Opens the place of a body, and prints the entity tag if it belongs before it.
    pub(super) fn open(
        &mut self,
        body: &Body,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<OpenBody, AttemptError> {
        let needs_digest = self.context.needs_digest(self.job);
        let mut open = OpenBody::new(if body.resumed.is_some() && self.sink.has_printed() {
            self.stdout_digest.take()
        } else {
            needs_digest.then(|| digest::Context::new(&digest::SHA256))
        });
        self.open_place(body, response, &mut open, report)?;
        if !body.is_failure {
            let config = &self.context.config.output;
            self.heads
                .save_etag(config, response.0, false, self.output)?;
        }
        Ok(open)
    }

    /// Opens the file for the segments of a body. Returns `None` if it cannot be
    /// written at an offset.
    pub(super) fn open_segments(
        &mut self,
        body: &Body,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<Option<&mut OutputFile>, AttemptError> {
        // The digest is computed when all segments are there.
        let mut open = OpenBody::new(None);
        self.open_place(body, response, &mut open, report)?;
        Ok(self.file().filter(|file| file.is_seekable()))
    }

    /// Returns the partial file.
    pub(super) fn file(&mut self) -> Option<&mut OutputFile> {
        match &mut self.sink {
            Sink::File { file, .. } => Some(file),
            _ => None,
        }
    }

    fn open_place(
        &mut self,
        body: &Body,
        response: (&Head, &Url),
        open: &mut OpenBody,
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        let (head, _) = response;
        if let Some(partial) = &body.resumed {
            return self.open_continued(partial, body, head, open, report);
        }
        report.bytes = 0;
        let is_coded = !self.context.config.request.compressed && is_coded(head);
        report.charset = charset::declared(head.get("content-type")).filter(|_| !is_coded);
        match body.place {
            Place::Discarded => {
                open.is_discarded = true;
                self.discard();
            }
            Place::Memory => self.sink = self.memory_sink(),
            Place::Continued | Place::Stdout => {
                self.sink = self.stdout_sink(head, body.is_resumable, 0, report);
            }
            Place::ShortFile if !matches!(self.sink, Sink::File { .. }) => {
                self.open_memory_file(body, response)?;
            }
            Place::ShortFile | Place::File => self.open_file(body, response)?,
        }
        Ok(())
    }

    /// Continues the bytes of `partial`, and adds them to the digest.
    fn open_continued(
        &mut self,
        partial: &PartialDownload,
        body: &Body,
        head: &Head,
        open: &mut OpenBody,
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        report.bytes = partial.resume_offset();
        match &mut self.sink {
            Sink::File {
                file, is_started, ..
            } => {
                file.resume(partial, |piece| open.update(piece))?;
                open.expect(file.read_tail(partial.overlap())?);
                *is_started = true;
            }
            Sink::Stdout { .. } => {}
            _ => self.sink = self.stdout_sink(head, body.is_resumable, partial.bytes, report),
        }
        Ok(())
    }

    /// Holds a short body in memory, until it is written to its file at the end.
    fn open_memory_file(
        &mut self,
        body: &Body,
        response: (&Head, &Url),
    ) -> Result<(), AttemptError> {
        let (path, on_exists) = output_path::reserve(self.context, self.job, Some(response))?;
        let partial = PartialDownload {
            bytes: 0,
            validator: Validator::of(response.0).filter(|_| body.is_resumable),
            total: body.decoded_length(),
            coding: Some(resume::coding(response.0)),
            ..PartialDownload::default()
        };
        self.sink = Sink::MemoryFile(MemoryFile::new(
            path,
            on_exists,
            self.context.config.saving.create_dirs,
            partial,
            self.job.state_id(),
        ));
        Ok(())
    }

    /// Opens the partial file unless it is open, and starts it with the heads that the
    /// user wants in it.
    fn open_file(&mut self, body: &Body, response: (&Head, &Url)) -> Result<(), AttemptError> {
        if !matches!(self.sink, Sink::File { .. }) {
            self.sink = Sink::new_file(self.new_file(response)?);
        }
        let holds_heads = self.context.config.output.heads;
        if let Sink::File {
            file,
            is_started,
            is_resumable,
        } = &mut self.sink
        {
            *is_resumable = body.is_resumable && !holds_heads;
            file.begin(
                Validator::of(response.0).filter(|_| *is_resumable),
                body.decoded_length().filter(|_| *is_resumable),
                resume::coding(response.0),
            )?;
            *is_started = true;
            if holds_heads {
                file.write(self.heads.for_file())?;
            }
        }
        Ok(())
    }

    /// Returns the partial file of the path that this response may name.
    fn new_file(&self, response: (&Head, &Url)) -> Result<OutputFile> {
        let (path, on_exists) = output_path::reserve(self.context, self.job, Some(response))?;
        let create_dirs = self.context.config.saving.create_dirs;
        OutputFile::open(&path, on_exists, create_dirs, &self.job.state_id())
    }

    fn memory_sink(&self) -> Sink {
        Sink::Memory {
            bytes: Vec::new(),
            max: self.memory_limit(),
        }
    }

    /// Returns the sink of a body that is not saved; `written` bytes of it have been
    /// printed.
    fn stdout_sink(&self, head: &Head, is_resumable: bool, written: u64, report: &Report) -> Sink {
        let config = &self.context.config.output;
        if config.json || config.pointer.is_some() {
            self.memory_sink()
        } else if config.view {
            let class = media::class(head.get("content-type"));
            let is_coded = is_resumable && is_coded(head);
            Sink::View {
                view: View::new(class, report.charset, config.color, is_coded),
                is_started: false,
            }
        } else {
            Sink::new_stdout(head, is_resumable, written)
        }
    }

    /// Returns the size limit of a body that is held in memory.
    fn memory_limit(&self) -> u64 {
        let config = self.context.config;
        config.limits.max_bytes.unwrap_or(if config.many.parallel {
            MEMORY_MAX_PARALLEL
        } else {
            MEMORY_MAX
        })
    }

    /// Discards a body. A file or output of an earlier attempt stays, so that a retry
    /// can continue it.
    fn discard(&mut self) {
        if !matches!(self.sink, Sink::File { .. }) && !self.sink.has_printed() {
            self.sink = Sink::Discard;
        }
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

    /// Checks a complete body and finishes its destination; `is_failure` is true if the
    /// status is a failure.
    pub(super) fn finish(
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
    pub(super) fn finish_not_modified(
        &mut self,
        response: (&Head, &Url),
        report: &mut Report,
    ) -> Result<(), AttemptError> {
        self.discard();
        self.finish(OpenBody::discarded(), response, false, report)
    }

    /// Finishes a partial download that is complete already.
    pub(super) fn finish_complete(
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
    pub(super) fn finish_segments(
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
