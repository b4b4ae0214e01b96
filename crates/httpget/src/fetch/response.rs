//! From a response to its body: whether it continues a partial download, where it
//! goes, and the copy itself.
//!
//! The order of the checks is: the time condition of `-z`, segments, the partial
//! download, content codings, lengths, the size limit. Then the destination is
//! opened and the body copied. [`super::finish`] checks the complete body.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use ring::digest;

use super::continuation::Continuation;
use super::memory_file::{self, MemoryFile};
use super::output_file::OutputFile;
use super::sink::Sink;
use super::source::{self, BodySource};
use super::{AttemptOutcome, Transfer};
use crate::config::{Destination, ErrorStatus};
use crate::http::head::Head;
use crate::http::{charset, coding, content_range, media};
use crate::net::{self, Response};
use crate::output::view::View;
use crate::policy::resume::{self, PartialDownload, Validator};
use crate::report::{AttemptError, FetchError};

/// Bytes per read of a body, and per write.
const BUFFER: usize = 64 * 1024;

/// The largest body that is held in memory without `--max-filesize`; less with
/// `-Z`, where many bodies are held.
const MEMORY_MAX: u64 = 64 << 20;
const MEMORY_MAX_PARALLEL: u64 = 8 << 20;

impl Transfer<'_, '_> {
    /// Handles a response. Returns `None` if the whole body must be requested because
    /// the response does not continue the partial download. `is_last` is true if no
    /// retry is left.
    pub(super) fn handle_response(
        &mut self,
        response: Response,
        is_last: bool,
    ) -> Result<Option<AttemptOutcome>, AttemptError> {
        self.discards_body = false;
        let config = self.context.config;
        let head = &response.head;
        let fails = config.output.error_status.is_failure(head.status);
        if self.fails_time_condition(head) {
            return self.finish_not_modified(head).map(Some);
        }
        if self.is_segmented {
            match head.status {
                206 => return self.download_segments(response, is_last),
                // An empty file has no first segment.
                416 if self.resume.is_none() => {
                    self.is_segmented = false;
                    return Ok(None);
                }
                // A server that sends the whole body does not support ranges.
                _ => self.is_segmented = head.status >= 300,
            }
        }
        let resumed = match self.classify_response(head, fails)? {
            Continuation::Continues(partial) => Some(partial),
            Continuation::Fresh => None,
            Continuation::Complete(partial) => {
                return self
                    .finish_complete(&partial, head)
                    .map(|()| Some(AttemptOutcome::Done));
            }
            Continuation::Refetch => return Ok(None),
        };
        self.report.is_failure_status = fails;
        let codings = if config.request.compressed && !config.request.head {
            coding::codings(head.all("content-encoding")).map_err(FetchError::protocol)?
        } else {
            Vec::new()
        };
        let length = head.content_length()?.filter(|_| !config.request.head);
        let range_length = self.expected_range_length(head, resumed.as_ref())?;
        if let (Some(length), Some(range_length)) = (length, range_length)
            && range_length != length
        {
            return Err(FetchError::protocol(
                "Content-Length differs from the length of Content-Range",
            )
            .into());
        }
        if let (Some(max), Some(length)) = (config.limits.max_bytes, length)
            && length > max
            && !fails
        {
            return Err(source::too_large(max).into());
        }
        let expected = length.filter(|_| codings.is_empty());
        let mut hash = if resumed.is_some() && self.sink.has_printed() {
            self.stdout_digest.take()
        } else {
            (config.output.json || self.job.sha256.is_some())
                .then(|| digest::Context::new(&digest::SHA256))
        };
        // Offsets in a range that the user requested are not those of the whole
        // body, so neither a retry nor a later run can continue it.
        let keeps_offsets = codings.is_empty() && (head.status != 206 || resumed.is_some());
        self.open_destination(
            head,
            fails,
            resumed.as_ref(),
            expected,
            keeps_offsets,
            &mut hash,
        )?;
        let head = Arc::clone(&response.head);
        if !fails {
            self.save_etag(&head, false)?;
        }
        if let Err(error) = self.copy_body(response, range_length, &codings, &mut hash) {
            if std::mem::take(&mut self.overlap_differs) {
                self.start_over("the last bytes of the partial file differ from the server's");
                return Ok(None);
            }
            self.flush_view()?;
            // The digest of an error page is not that of the printed bytes.
            if !self.discards_body {
                self.stdout_digest = hash;
            }
            return Err(error);
        }
        self.finish_body(&head, fails, hash)?;
        Ok(Some(AttemptOutcome::Done))
    }

    /// Opens the destination of this body.
    pub(super) fn open_destination(
        &mut self,
        head: &Head,
        fails: bool,
        resumed: Option<&PartialDownload>,
        expected: Option<u64>,
        keeps_offsets: bool,
        hash: &mut Option<digest::Context>,
    ) -> Result<(), AttemptError> {
        let config = self.context.config;
        let mut observe = |piece: &[u8]| {
            if let Some(hash) = hash {
                hash.update(piece);
            }
        };
        if let Some(partial) = resumed {
            self.report.bytes = partial.resume_offset();
            match &mut self.sink {
                Sink::File {
                    file, is_started, ..
                } => {
                    file.resume(partial, &mut observe)?;
                    self.overlap = file.read_tail(partial.overlap())?;
                    *is_started = true;
                }
                Sink::Stdout { .. } => {}
                _ => self.sink = self.stdout_sink(head, keeps_offsets, partial.bytes),
            }
            return Ok(());
        }
        self.report.bytes = 0;
        self.overlap.clear();
        let validator = Validator::of(head).filter(|_| keeps_offsets);
        let is_coded = !config.request.compressed && !resume::coding(head).is_empty();
        self.report.charset = charset::declared(head.get("content-type")).filter(|_| !is_coded);
        let saves_heads =
            config.request.head && self.job.destination != Destination::Stdout && !fails;
        // After a 304 the existing file stays.
        if (config.request.head && !saves_heads) || head.status == 304 {
            self.discard_body();
            return Ok(());
        }
        if config.output.json && self.job.destination == Destination::Stdout
            || config.output.pointer.is_some() && !fails
        {
            self.sink = self.memory_sink();
            return Ok(());
        }
        if fails
            && (config.output.error_status == ErrorStatus::Discard
                || self.job.destination != Destination::Stdout
                || self.sink.has_printed())
        {
            self.discard_body();
            return Ok(());
        }
        if self.job.destination == Destination::Stdout {
            self.sink = self.stdout_sink(head, keeps_offsets, 0);
            return Ok(());
        }
        if !matches!(self.sink, Sink::File { .. }) {
            let (path, on_exists) = self.reserve_path(Some(head))?;
            let create_dirs = config.saving.create_dirs;
            let heads = config.output.heads;
            let short_length = expected.filter(|&length| length <= memory_file::LENGTH_MAX);
            if let Some(length) = short_length.filter(|_| !heads && !self.is_segmented) {
                let partial = PartialDownload {
                    bytes: 0,
                    validator,
                    total: Some(length),
                    coding: Some(resume::coding(head)),
                    ..PartialDownload::default()
                };
                let memory_file =
                    MemoryFile::new(path, on_exists, create_dirs, partial, self.url_id.clone());
                self.sink = Sink::MemoryFile(memory_file);
                return Ok(());
            }
            self.sink = Sink::new_file(OutputFile::open(
                &path,
                on_exists,
                create_dirs,
                &self.url_id,
            )?);
        }
        if let Sink::File {
            file,
            is_started,
            keeps_offsets: sink_keeps_offsets,
        } = &mut self.sink
        {
            let keeps_offsets = keeps_offsets && !config.output.heads;
            file.begin(
                validator.filter(|_| keeps_offsets),
                expected.filter(|_| keeps_offsets),
                resume::coding(head),
            )?;
            *is_started = true;
            *sink_keeps_offsets = keeps_offsets;
            if config.output.heads {
                file.write(&self.file_heads)?;
            }
        }
        Ok(())
    }

    fn memory_sink(&self) -> Sink {
        Sink::Memory {
            bytes: Vec::new(),
            max: self.memory_limit(),
        }
    }

    /// Returns the sink of a body that is not saved; `written` bytes of it have been
    /// printed.
    fn stdout_sink(&self, head: &Head, keeps_offsets: bool, written: u64) -> Sink {
        let config = self.context.config;
        if config.output.json || config.output.pointer.is_some() {
            self.memory_sink()
        } else if config.output.view {
            let class = media::class(head.get("content-type"));
            Sink::View {
                view: View::new(
                    class,
                    self.report.charset,
                    config.output.color,
                    keeps_offsets && !resume::coding(head).is_empty(),
                ),
                is_started: false,
            }
        } else {
            raw_stdout(head, keeps_offsets, written)
        }
    }

    /// Returns the size limit of a body that is held in memory.
    fn memory_limit(&self) -> u64 {
        self.context
            .config
            .limits
            .max_bytes
            .unwrap_or(if self.context.config.many.parallel {
                MEMORY_MAX_PARALLEL
            } else {
                MEMORY_MAX
            })
    }

    fn memory_limit_error(&self) -> FetchError {
        let max = self.memory_limit();
        FetchError::negative(
            "size",
            format!(
                "the body is larger than {max} bytes, too large to hold in memory; \
                 use --max-filesize to allow more"
            ),
        )
    }

    /// Discards this body. A file or output of an earlier attempt stays, so that a
    /// retry can continue it.
    pub(super) fn discard_body(&mut self) {
        self.discards_body = true;
        if !matches!(self.sink, Sink::File { .. }) && !self.sink.has_printed() {
            self.sink = Sink::Discard;
        }
    }

    /// Copies the body to the sink and checks its length.
    fn copy_body(
        &mut self,
        response: Response,
        range_length: Option<u64>,
        codings: &[String],
        hash: &mut Option<digest::Context>,
    ) -> Result<(), AttemptError> {
        let config = self.context.config;
        let mut source = BodySource::new(response.body, config.limits)
            .expect_length(range_length, self.report.bytes);
        let before = self.report.wire_bytes;
        let outcome = self.copy_decoded(&mut source, codings, hash);
        self.report.wire_bytes = before + source.bytes;
        match (outcome, source.error.take()) {
            (_, Some(error)) => Err(error),
            (Ok(()), None) if !self.overlap.is_empty() => {
                let message = "the body ends within the bytes received before";
                Err(FetchError::protocol(message).into())
            }
            (outcome, None) => outcome,
        }
    }

    fn copy_decoded(
        &mut self,
        source: &mut BodySource,
        codings: &[String],
        hash: &mut Option<digest::Context>,
    ) -> Result<(), AttemptError> {
        let config = self.context.config;
        let decode_error = |e: &io::Error| {
            FetchError::protocol(format!(
                "the {} body cannot be decoded: {e}",
                codings.join(", ")
            ))
        };
        let length = self
            .report
            .head
            .as_ref()
            .and_then(|h| h.content_length().ok()?);
        let mut buffer = vec![0; buffer_size(length.filter(|_| codings.is_empty()))];
        let total = length
            .filter(|_| codings.is_empty())
            .map(|l| l.saturating_add(self.report.bytes));
        let mut bar = self.context.progress.bar(
            self.shows_progress(),
            &self.progress_label(),
            self.report.bytes,
            total,
        );
        {
            let mut reader: Box<dyn Read + '_> = if codings.is_empty() {
                Box::new(&mut *source)
            } else {
                coding::decoder(&mut *source, codings).map_err(|e| decode_error(&e))?
            };
            loop {
                // A few bytes may decode to more than the time allows.
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
                let mut piece = &buffer[..n];
                self.report.bytes += n as u64;
                piece = self.skip_overlap(piece)?;
                bar.advance(self.report.bytes);
                if let Some(max) = config.limits.max_bytes
                    && self.report.bytes > max
                {
                    return Err(source::too_large(max).into());
                }
                if let Some(hash) = hash {
                    hash.update(piece);
                }
                if !self.discards_body && !self.sink.write(piece, self.output)? {
                    return Err(self.memory_limit_error().into());
                }
            }
        }
        // The coding may end before the body; the end of the body is checked, too.
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
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

fn raw_stdout(head: &Head, keeps_offsets: bool, bytes: u64) -> Sink {
    Sink::Stdout {
        written: PartialDownload {
            bytes,
            validator: Validator::of(head),
            total: match head.status {
                206 => content_range::of(head).and_then(|range| range.total),
                _ => head.content_length().ok().flatten(),
            },
            coding: Some(resume::coding(head)),
            ..PartialDownload::default()
        },
        keeps_offsets,
    }
}
