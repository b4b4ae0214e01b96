//! Downloads one large file over several connections (`--segments`).
//!
//! The first request asks for the first segment. If the response is exactly that,
//! with a strong validator and the total length, the other segments are requested
//! under If-Range, and each is written at its offset. Any other response means that
//! the file has changed or that the server does not support ranges: then the whole
//! file is requested over one connection. A connection that fails returns its
//! segment to the others, and the transfer fails with the last connection. If the
//! last one was refused by a status, that status is retried like any other, or the
//! whole file is requested.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest;

use super::output_file::OutputFile;
use super::redirects::PreparedRequest;
use super::sink::Sink;
use super::source::{self, BodySource, SpeedWindow};
use super::{AttemptOutcome, Context, Transfer};
use crate::config::Destination;
use crate::http::head::Head;
use crate::net::{AbortHandle, BodyReader, Request, Response};
use crate::output::progress::Bar;
use crate::output::verbose;
use crate::policy::limits::Limits;
use crate::policy::resume::{self, PartialDownload, Validator};
use crate::policy::segment_map::{ByteRange, FIRST_LENGTH, SegmentMap};
use crate::report::{AttemptError, FetchError};

/// Bytes per read, and per write.
const BUFFER: usize = 64 * 1024;

/// The interval of writing the state file, which a file system may sync each time.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// The reason why a segment is incomplete.
enum SegmentError {
    /// Another connection has ended the download.
    Aborted,
    /// The response is not the requested segment: the file has changed.
    Changed,
    /// The download cannot go on, for instance because the disk is full.
    Fatal(AttemptError),
    /// The connection failed; others may work.
    Lost(AttemptError),
    /// The server refused with a status, for instance too many connections.
    Refused(Arc<Head>),
}

/// The reason why the download ended early.
enum EndReason {
    Changed,
    Failed(AttemptError),
    /// The server refused the segment of the last connection.
    Refused(Arc<Head>),
}

/// The state that the connections share.
struct Progress {
    segments: SegmentMap,
    /// The number of active connections.
    active: usize,
    end: Option<EndReason>,
    wire_bytes: u64,
    window: SpeedWindow,
    bar: Bar,
    /// The contiguous length in the state file, and when it was written.
    saved: u64,
    saved_at: Option<Instant>,
}

impl Progress {
    /// Removes a connection and returns its segment; sets the reason if it was the
    /// last one.
    fn drop_connection(&mut self, range: ByteRange, end: EndReason) {
        self.segments.release(range.start);
        self.active -= 1;
        if self.active == 0 {
            self.end.get_or_insert(end);
        }
    }
}

/// The connections that download a file together.
struct Workers<'a> {
    context: &'a Context<'a>,
    prepared: PreparedRequest,
    validator: Validator,
    /// The Content-Encoding of all segments.
    coding: String,
    total: u64,
    limits: Limits,
    deadline: Option<Instant>,
    file: &'a OutputFile,
    /// The abort handles of the connections.
    abort_handles: Vec<Arc<AbortHandle>>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Transfer<'_, '_> {
    /// Whether this transfer may use several connections.
    pub(super) fn is_segmentable(&self) -> bool {
        let config = self.context.config;
        let is_continuable = |partial: &PartialDownload| partial.has_strong_validator();
        config.saving.segments > 1
            && self.job.destination != Destination::Stdout
            && !self.explicit_offset
            && config.request.range_header.is_none()
            && self.resume.as_ref().is_none_or(is_continuable)
    }

    /// Returns the first segment to request.
    pub(super) fn first_segment(&self) -> ByteRange {
        let start = self.resume.as_ref().map_or(0, |partial| partial.bytes);
        ByteRange {
            start,
            end: start + FIRST_LENGTH,
        }
    }

    /// Downloads a file, starting with its first segment `response`. Returns `None` if the whole
    /// file must be requested. `is_last` is true if no retry is left.
    pub(super) fn download_segments(
        &mut self,
        response: Response,
        is_last: bool,
    ) -> Result<Option<AttemptOutcome>, AttemptError> {
        let config = self.context.config;
        let head = Arc::clone(&response.head);
        let resumed = self.resume.clone();
        let validator = match &resumed {
            Some(partial) => partial.validator.clone().filter(|v| v.agrees(&head)),
            None => Validator::strong(&head),
        };
        let (Some(validator), Some((range, total))) =
            (validator, self.first_segment().matched_by(&head))
        else {
            self.is_segmented = false;
            return Ok(None);
        };
        let differs = |partial: &PartialDownload| {
            partial.total.is_some_and(|known| known != total) || !partial.is_coded_as(&head)
        };
        if resumed.as_ref().is_some_and(differs) {
            self.is_segmented = false;
            return Ok(None);
        }
        if let Some(max) = config.limits.max_bytes.filter(|&max| total > max) {
            return Err(source::too_large(max).into());
        }
        self.report.is_failure_status = false;
        self.open_destination(&head, false, resumed.as_ref(), Some(total), true, &mut None)?;
        let trusted = self.is_trusted(&self.final_url);
        let prepared = self.prepare_request(&self.final_url, trusted, None, Vec::new())?;
        let (shows_bar, label) = (self.shows_progress(), self.progress_label());
        let Sink::File { file, .. } = &mut self.sink else {
            return Err(FetchError::protocol("segments can only be written to a file").into());
        };
        if !file.is_seekable() {
            self.is_segmented = false;
            return Ok(None);
        }
        file.begin_segments()?;
        let whole = ByteRange {
            start: range.start,
            end: total,
        };
        let mut segments = SegmentMap::new(whole, config.saving.segments.into());
        segments.first_segment(range.len());
        let rest = (total - range.end).div_ceil(FIRST_LENGTH);
        let active = 1 + rest.min(u64::from(config.saving.segments) - 1) as usize;
        let workers = Workers {
            context: self.context,
            prepared,
            validator,
            coding: resume::coding(&head),
            total,
            limits: shared_limits(config.limits, active),
            deadline: self.deadline,
            file,
            abort_handles: std::iter::once(self.abort_handle.take().unwrap_or_default())
                .chain((1..active).map(|_| Arc::default()))
                .collect(),
            progress: Mutex::new(Progress {
                segments,
                active,
                end: None,
                wire_bytes: 0,
                window: SpeedWindow::new(),
                bar: self
                    .context
                    .progress
                    .bar(shows_bar, &label, range.start, Some(total)),
                saved: range.start,
                saved_at: None,
            }),
            changed: Condvar::new(),
        };
        workers.run(range, response.body);
        let progress = workers
            .progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let contiguous = progress.segments.contiguous();
        file.end_segments(contiguous)?;
        self.report.bytes = contiguous;
        self.report.wire_bytes += progress.wire_bytes;
        // The status may be temporary, or the server says when to retry.
        if let Some(EndReason::Refused(head)) = &progress.end
            && let Some(delay) = self.status_retry_delay(head, is_last)
        {
            self.report.head = Some(Arc::clone(head));
            self.prepare_retry()?;
            return Ok(Some(AttemptOutcome::RetryAfter(delay)));
        }
        match progress.end {
            Some(EndReason::Failed(error)) => Err(error),
            // A single request shows what the status means.
            Some(EndReason::Changed | EndReason::Refused(_)) => {
                self.is_segmented = false;
                self.resume = None;
                Ok(None)
            }
            None => {
                let hash = self.file_digest()?;
                self.finish_body(&head, false, hash)?;
                Ok(Some(AttemptOutcome::Done))
            }
        }
    }

    /// Returns the digest of the file, if it is needed.
    fn file_digest(&mut self) -> Result<Option<digest::Context>, AttemptError> {
        let config = self.context.config;
        let mut hash = (config.output.json || self.job.sha256.is_some())
            .then(|| digest::Context::new(&digest::SHA256));
        if let Some(hash) = &mut hash
            && let Sink::File { file, .. } = &mut self.sink
        {
            file.read_existing(&mut |piece| hash.update(piece))?;
        }
        Ok(hash)
    }
}

/// Divides the limits of the transfer among its connections.
fn shared_limits(limits: Limits, active: usize) -> Limits {
    let active = active as u64;
    Limits {
        // The total length is known and has been checked.
        max_bytes: None,
        max_rate: limits.max_rate.map(|rate| (rate / active).max(1)),
        // The speed of all connections together is checked.
        min_speed: None,
    }
}

impl Workers<'_> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Downloads all segments, or sets the reason why not.
    fn run(&self, first: ByteRange, body: BodyReader) {
        thread::scope(|scope| {
            for (n, handle) in self.abort_handles.iter().enumerate().skip(1) {
                let name = format!("segment {n}");
                let spawned = thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, || self.work(handle, None));
                if spawned.is_err() {
                    // Continue with fewer connections.
                    self.progress().active -= 1;
                }
            }
            self.work(&self.abort_handles[0], Some((first, body)));
        });
    }

    /// Downloads segment after segment over one connection.
    fn work(&self, handle: &Arc<AbortHandle>, first: Option<(ByteRange, BodyReader)>) {
        let mut buffer = vec![0; BUFFER];
        if let Some((range, body)) = first {
            let outcome = self.receive(range, body, &mut buffer);
            if !self.finish_segment(range, outcome) {
                return;
            }
        }
        while let Some(range) = self.next() {
            let outcome = self
                .request_segment(range, handle)
                .and_then(|body| self.receive(range, body, &mut buffer));
            if !self.finish_segment(range, outcome) {
                return;
            }
        }
    }

    /// Returns the next segment. Waits while all are active, since a connection may
    /// return one.
    fn next(&self) -> Option<ByteRange> {
        let mut progress = self.progress();
        loop {
            if progress.end.is_some() || progress.segments.is_complete() {
                return None;
            }
            if let Some(range) = progress.segments.next_segment() {
                return Some(range);
            }
            progress = self
                .changed
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the end of a segment. Returns whether the connection goes on.
    fn finish_segment(&self, range: ByteRange, outcome: Result<(), SegmentError>) -> bool {
        let mut progress = self.progress();
        match outcome {
            Ok(()) => return true,
            Err(SegmentError::Aborted) => {}
            // The first reason is kept.
            Err(SegmentError::Changed) => {
                progress.end.get_or_insert(EndReason::Changed);
            }
            Err(SegmentError::Fatal(error)) => {
                progress.end.get_or_insert(EndReason::Failed(error));
            }
            Err(SegmentError::Lost(error)) => {
                progress.drop_connection(range, EndReason::Failed(error));
            }
            Err(SegmentError::Refused(head)) => {
                progress.drop_connection(range, EndReason::Refused(head));
            }
        }
        if progress.end.is_some() {
            // Other connections must not wait for their peers any longer.
            self.abort_handles.iter().for_each(|handle| handle.abort());
        }
        self.changed.notify_all();
        false
    }

    /// Requests a segment and returns its body.
    fn request_segment(
        &self,
        range: ByteRange,
        handle: &Arc<AbortHandle>,
    ) -> Result<BodyReader, SegmentError> {
        let mut headers = self.prepared.headers.clone();
        let range_headers = range.range_headers(Some(&self.validator));
        headers.extend(
            range_headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let config = self.context.config;
        let request = Request {
            head: false,
            url: &self.prepared.url,
            zone: self.prepared.zone.as_deref(),
            headers: &headers,
            proxy: self.prepared.proxy.clone(),
            target: self.prepared.target.clone(),
            resume_offset: 0,
            deadline: self.deadline,
            abort_handle: Some(Arc::clone(handle)),
        };
        let outcome = self.context.network.send(&request);
        if config.output.verbose {
            let exchange = match &outcome {
                Ok(response) => &response.exchange,
                Err((_, exchange)) => exchange,
            };
            self.context
                .reporter
                .raw(verbose::exchange(exchange).as_bytes());
        }
        let response = outcome.map_err(|(failure, _)| SegmentError::Lost(failure.into()))?;
        if self.matches_segment(range, &response.head) {
            return Ok(response.body);
        }
        match response.head.status {
            200..300 | 416 => Err(SegmentError::Changed),
            _ => Err(SegmentError::Refused(response.head)),
        }
    }

    fn matches_segment(&self, range: ByteRange, head: &Head) -> bool {
        range.matched_by(head) == Some((range, self.total))
            && self.validator.agrees(head)
            && resume::coding(head) == self.coding
    }

    /// Receives a segment and writes it at its offset.
    fn receive(
        &self,
        range: ByteRange,
        body: BodyReader,
        buffer: &mut [u8],
    ) -> Result<(), SegmentError> {
        let mut source = BodySource::new(body, self.limits);
        let (mut at, mut written) = (range.start, 0);
        loop {
            let n = match source.read_some(buffer) {
                Ok(n) => n as u64,
                Err(error) => {
                    // A segment is complete only after the end of its body.
                    if at < range.end {
                        self.record_progress(range, written)?;
                    }
                    return Err(SegmentError::Lost(error));
                }
            };
            self.record_progress(range, written)?;
            if n == 0 && at == range.end {
                return Ok(());
            }
            // The length differs from that of the Content-Range.
            if n == 0 || n > range.end - at {
                return Err(SegmentError::Changed);
            }
            self.file
                .write_at(&buffer[..n as usize], at)
                .map_err(|e| SegmentError::Fatal(e.into()))?;
            at += n;
            written = n;
        }
    }

    /// Records that `bytes` more bytes of a segment are in the file.
    fn record_progress(&self, range: ByteRange, bytes: u64) -> Result<(), SegmentError> {
        let mut progress = self.progress();
        if progress.end.is_some() {
            return Err(SegmentError::Aborted);
        }
        progress.segments.advance(range.start, bytes);
        progress.wire_bytes += bytes;
        let all = progress.wire_bytes;
        if bytes > 0 && !progress.segments.is_complete() {
            let min_speed = self.context.config.limits.min_speed;
            progress
                .window
                .check(all, min_speed)
                .map_err(SegmentError::Fatal)?;
        }
        let contiguous = progress.segments.contiguous();
        let due = progress
            .saved_at
            .is_none_or(|at| at.elapsed() >= SAVE_INTERVAL);
        if due && contiguous >= progress.saved + FIRST_LENGTH && contiguous < self.total {
            self.file
                .save_progress(contiguous)
                .map_err(|e| SegmentError::Fatal(e.into()))?;
            progress.saved = contiguous;
            progress.saved_at = Some(Instant::now());
        }
        let all = progress.segments.received();
        progress.bar.advance(all);
        if progress.segments.is_complete() {
            self.changed.notify_all();
        }
        Ok(())
    }
}
