//! The start of a body: selects and opens the sink that it is written to.

use common::Result;
use ring::digest;
use url::Url;

use super::{Delivery, is_coded};
use crate::fetch::body::{Body, Place};
use crate::fetch::memory_file::MemoryFile;
use crate::fetch::open_body::OpenBody;
use crate::fetch::output_file::OutputFile;
use crate::fetch::output_path;
use crate::fetch::sink::Sink;
use crate::http::head::Head;
use crate::http::{charset, media};
use crate::output::view::View;
use crate::policy::resume::{self, PartialDownload, Validator};
use crate::report::{AttemptError, Report};

/// The maximum size of a body in memory without `--max-filesize`, in bytes; smaller
/// with `-Z`, since many bodies are in memory.
const MEMORY_MAX: u64 = 64 << 20;
const MEMORY_MAX_PARALLEL: u64 = 8 << 20;

impl Delivery<'_, '_> {
    /// Opens the place of a body, and prints the entity tag if it belongs before it.
    pub(in crate::fetch) fn open(
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
    pub(in crate::fetch) fn open_segments(
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
    pub(super) fn new_file(&self, response: (&Head, &Url)) -> Result<OutputFile> {
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
    pub(super) fn memory_limit(&self) -> u64 {
        let config = self.context.config;
        config.limits.max_bytes.unwrap_or(if config.many.parallel {
            MEMORY_MAX_PARALLEL
        } else {
            MEMORY_MAX
        })
    }

    /// Discards a body. A file or output of an earlier attempt stays, so that a retry
    /// can continue it.
    pub(super) fn discard(&mut self) {
        if !matches!(self.sink, Sink::File { .. }) && !self.sink.has_printed() {
            self.sink = Sink::Discard;
        }
    }
}
