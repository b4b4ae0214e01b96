//! Downloads one large file over several connections (`--segments`).
//!
//! The first request asks for the first segment. If the response is exactly that,
//! with a strong validator and the total length, the other segments are requested
//! with If-Range, and each is written at its offset. Any other response means that
//! the file has changed or that the server does not support ranges: then the whole
//! file is requested over one connection. The segment of a failed connection
//! goes to another one. The transfer fails when the last connection fails. If the server
//! refused the last one with a status, the transfer is retried as after any such status,
//! or the whole file is requested.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::context::{Context, UrlJob};
use super::decision::Segments;
use super::output_file::OutputFile;
use super::requests::PreparedRequest;
use super::source::{BodySource, SpeedWindow};
use crate::http::head::Head;
use crate::net::{AbortHandle, BodyReader, Request, Response};
use crate::output::progress::Bar;
use crate::output::verbose;
use crate::policy::limits::Limits;
use crate::policy::resume::{self, Validator};
use crate::policy::segment_map::{ByteRange, FIRST_LENGTH, SegmentMap};
use crate::report::AttemptError;

/// The size of the buffer of a connection, in bytes.
const BUFFER: usize = 64 * 1024;

/// The minimum time between two writes of the state file, which may be slow on some
/// file systems.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// The reason why a segment is incomplete.
enum SegmentError {
    /// Another connection has ended the download.
    Aborted,
    /// The response is not the requested segment: the file has changed.
    Changed,
    /// The download cannot go on, such as on a full disk.
    Fatal(AttemptError),
    /// The connection failed; others may work.
    ConnectionFailed(AttemptError),
    /// The server refused with a status, such as for too many connections.
    Refused(Arc<Head>),
}

/// The reason why the download ended early.
pub(super) enum EndReason {
    Changed,
    Failed(AttemptError),
    /// The server refused the segment of the last connection.
    Refused(Arc<Head>),
}

/// The state that the connections share.
struct SharedState {
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

impl SharedState {
    /// Removes a connection and releases its segment. Sets the reason `end` if it was
    /// the last one.
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
    progress: Mutex<SharedState>,
    changed: Condvar,
}

/// The values that all connections of a download share with its first one.
pub(super) struct Connections<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) job: &'a UrlJob,
    /// The request of a segment, without its range.
    pub(super) prepared: PreparedRequest,
    pub(super) deadline: Option<Instant>,
    /// The abort handle of the first connection.
    pub(super) abort_handle: Arc<AbortHandle>,
}

/// The end of a download over several connections.
pub(super) struct SegmentsEnd {
    /// The number of bytes from the start of the file without a gap.
    pub(super) contiguous: u64,
    /// The number of bytes received.
    pub(super) wire_bytes: u64,
    /// The reason why the file is incomplete, if it is.
    pub(super) reason: Option<EndReason>,
}

/// Downloads a file, starting with its first segment `response`.
pub(super) fn download(
    connections: Connections<'_>,
    first: &Segments,
    response: Response,
    file: &mut OutputFile,
) -> Result<SegmentsEnd, AttemptError> {
    let Connections {
        context,
        job,
        prepared,
        deadline,
        abort_handle,
    } = connections;
    let config = context.config;
    let (range, total) = (first.range, first.total);
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
        context,
        prepared,
        validator: first.validator.clone(),
        coding: resume::coding(&response.head),
        total,
        limits: shared_limits(config.limits, active),
        deadline,
        file,
        abort_handles: std::iter::once(abort_handle)
            .chain((1..active).map(|_| Arc::default()))
            .collect(),
        progress: Mutex::new(SharedState {
            segments,
            active,
            end: None,
            wire_bytes: 0,
            window: SpeedWindow::new(),
            bar: context.bar(job, range.start, Some(total)),
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
    Ok(SegmentsEnd {
        contiguous,
        wire_bytes: progress.wire_bytes,
        reason: progress.end,
    })
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
    fn progress(&self) -> MutexGuard<'_, SharedState> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Downloads all segments, or sets the reason for the failure.
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

    /// Records the end of a segment. Returns whether the connection continues.
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
            Err(SegmentError::ConnectionFailed(error)) => {
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
        let response =
            outcome.map_err(|(failure, _)| SegmentError::ConnectionFailed(failure.into()))?;
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
                    return Err(SegmentError::ConnectionFailed(error));
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
        let total_bytes = progress.wire_bytes;
        if bytes > 0 && !progress.segments.is_complete() {
            let min_speed = self.context.config.limits.min_speed;
            progress
                .window
                .check(total_bytes, min_speed)
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
        let received = progress.segments.received();
        progress.bar.advance(received);
        if progress.segments.is_complete() {
            self.changed.notify_all();
        }
        Ok(())
    }
}
