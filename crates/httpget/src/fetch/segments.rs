//! One large file over several connections (`--segments`).
//!
//! The first request asks for a first piece. If the answer is exactly that,
//! with a validator and the length of the whole, the rest is asked for in
//! pieces of the same state (If-Range) and each is written where it belongs.
//! An answer that is no such piece means that the file has changed or that
//! the server does not do ranges after all: the whole is had over one
//! connection then. A connection that fails gives its piece back to the
//! others; the transfer fails when none is left. Where the last one was refused
//! its piece by a status, that is tried again as any such status, or the whole
//! is asked for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest;

use super::hops::Wanted;
use super::report::{Stop, Trouble};
use super::save::Saver;
use super::sink::Sink;
use super::source::{self, Limits, Source, Window};
use super::{Context, Place, Transfer, Tried};
use crate::http::head::Head;
use crate::net::{Answer, Ask, BodyReader, Line};
use crate::output::progress::Bar;
use crate::output::talk;
use crate::policy::pieces::{FIRST, Pieces, Span};
use crate::policy::resume::{self, Had, Validator};

/// Bytes read at a time; one write each.
const BUFFER: usize = 64 * 1024;

/// How often the state file follows: a file system may write it out each time.
const KEEP_EVERY: Duration = Duration::from_millis(500);

/// Why one piece did not come.
enum Fault {
    /// Others have ended it all.
    Ended,
    /// It is not what was asked for: the file has changed.
    Changed,
    /// Nothing can be done: a full disk.
    Fatal(Stop),
    /// This connection is of no use; another may be.
    Lost(Stop),
    /// The same by a status: too many connections, perhaps.
    Refused(Arc<Head>),
}

/// Why all of it ended early.
enum End {
    Changed,
    Failed(Stop),
    /// The last connection was refused its piece.
    Refused(Arc<Head>),
}

/// What the connections tell each other.
struct Board {
    pieces: Pieces,
    /// Connections in use.
    hands: usize,
    end: Option<End>,
    wire_bytes: u64,
    window: Window,
    bar: Bar,
    /// How far the state file says that there is no gap, and since when.
    kept: u64,
    kept_at: Option<Instant>,
}

impl Board {
    /// One connection less, of which the piece goes to another; the end where
    /// there is none.
    fn lose(&mut self, span: Span, end: End) {
        self.pieces.give_back(span.at);
        self.hands -= 1;
        if self.hands == 0 {
            self.end.get_or_insert(end);
        }
    }
}

/// The connections that fetch one file together.
struct Crew<'a> {
    context: &'a Context<'a>,
    wanted: Wanted,
    validator: Validator,
    /// The Content-Encoding of all pieces.
    coding: String,
    total: u64,
    limits: Limits,
    deadline: Option<Instant>,
    saver: &'a Saver,
    /// The connections, to be ended when all is.
    lines: Vec<Arc<Line>>,
    board: Mutex<Board>,
    news: Condvar,
}

impl Transfer<'_, '_> {
    /// Whether this transfer is one for several connections.
    pub(super) fn splits(&self) -> bool {
        let config = self.context.config;
        let provable = |had: &Had| had.is_proved();
        config.segments > 1
            && self.job.place != Place::Stdout
            && !self.fixed
            && !self.edits_range()
            && self.resume.as_ref().is_none_or(provable)
    }

    /// The first piece to ask for.
    pub(super) fn first_piece(&self) -> Span {
        let at = self.resume.as_ref().map_or(0, |had| had.bytes);
        Span {
            at,
            end: at + FIRST,
        }
    }

    /// Delivers a file of which the first piece has come. `None` if the whole
    /// must be asked for. `last` says that there will be no other try.
    pub(super) fn gather(&mut self, answer: Answer, last: bool) -> Result<Option<Tried>, Stop> {
        let config = self.context.config;
        let head = Arc::clone(&answer.head);
        let resumed = self.resume.clone();
        let validator = match &resumed {
            Some(had) => had.validator.clone().filter(|v| v.agrees(&head)),
            None => Validator::strong(&head),
        };
        let (Some(validator), Some((span, total))) =
            (validator, self.first_piece().answered(&head))
        else {
            self.split = false;
            return Ok(None);
        };
        let other =
            |had: &Had| had.total.is_some_and(|known| known != total) || !had.is_coded_as(&head);
        if resumed.as_ref().is_some_and(other) {
            self.split = false;
            return Ok(None);
        }
        if let Some(max) = config.limits.max.filter(|&max| total > max) {
            return Err(source::too_large(max).into());
        }
        self.report.status_fails = false;
        self.place(&head, false, resumed.as_ref(), Some(total), true, &mut None)?;
        let home = self.is_home(&self.final_url);
        let wanted = self.wanted(&self.final_url, home, None, Vec::new())?;
        let (shows_bar, bar_name) = (self.shows_bar(), self.bar_name());
        let Sink::File { saver, .. } = &mut self.sink else {
            return Err(Trouble::protocol("a piece of a file that is not saved").into());
        };
        if !saver.is_seekable() {
            self.split = false;
            return Ok(None);
        }
        saver.begin_gaps()?;
        let whole = Span {
            at: span.at,
            end: total,
        };
        let mut pieces = Pieces::new(whole, config.segments.into());
        pieces.take_first(span.len());
        let rest = (total - span.end).div_ceil(FIRST);
        let hands = 1 + rest.min(u64::from(config.segments) - 1) as usize;
        let crew = Crew {
            context: self.context,
            wanted,
            validator,
            coding: resume::coding(&head),
            total,
            limits: shared_limits(config.limits, hands),
            deadline: self.deadline,
            saver,
            lines: std::iter::once(self.line.take().unwrap_or_default())
                .chain((1..hands).map(|_| Arc::default()))
                .collect(),
            board: Mutex::new(Board {
                pieces,
                hands,
                end: None,
                wire_bytes: 0,
                window: Window::new(),
                bar: self
                    .context
                    .progress
                    .bar(shows_bar, &bar_name, span.at, Some(total)),
                kept: span.at,
                kept_at: None,
            }),
            news: Condvar::new(),
        };
        crew.run(span, answer.body);
        let board = crew
            .board
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let there = board.pieces.without_gap();
        saver.end_gaps(there)?;
        self.report.bytes = there;
        self.report.wire_bytes += board.wire_bytes;
        // Where it is said when to come back, or it may pass by itself.
        if let Some(End::Refused(head)) = &board.end
            && let Some(pause) = self.later(head, last)
        {
            self.report.head = Some(Arc::clone(head));
            self.can_go_on()?;
            return Ok(Some(Tried::Later(pause)));
        }
        match board.end {
            Some(End::Failed(stop)) => Err(stop),
            // One request as any other tells what such a status means.
            Some(End::Changed | End::Refused(_)) => {
                self.split = false;
                self.resume = None;
                Ok(None)
            }
            None => {
                let hash = self.digest_of_file()?;
                self.finish(&head, false, hash)?;
                Ok(Some(Tried::Done))
            }
        }
    }

    /// The digest of what is in the file, where it is wanted.
    fn digest_of_file(&mut self) -> Result<Option<digest::Context>, Stop> {
        let config = self.context.config;
        let mut hash = (config.json || self.job.sha256.is_some())
            .then(|| digest::Context::new(&digest::SHA256));
        if let Some(hash) = &mut hash
            && let Sink::File { saver, .. } = &mut self.sink
        {
            saver.read_back(&mut |piece| hash.update(piece))?;
        }
        Ok(hash)
    }
}

/// What is allowed to all, for each.
fn shared_limits(limits: Limits, hands: usize) -> Limits {
    let hands = hands as u64;
    Limits {
        // The length is known and was looked at.
        max: None,
        rate: limits.rate.map(|rate| (rate / hands).max(1)),
        // Judged by the sum.
        slow: None,
    }
}

impl Crew<'_> {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches everything, or sets the reason why not.
    fn run(&self, first: Span, body: BodyReader) {
        thread::scope(|scope| {
            for (n, line) in self.lines.iter().enumerate().skip(1) {
                let name = format!("segment {n}");
                let spawned = thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, || self.work(line, None));
                if spawned.is_err() {
                    // Fewer at once, then.
                    self.board().hands -= 1;
                }
            }
            self.work(&self.lines[0], Some((first, body)));
        });
    }

    /// One connection's share: piece after piece.
    fn work(&self, line: &Arc<Line>, first: Option<(Span, BodyReader)>) {
        let mut buffer = vec![0; BUFFER];
        if let Some((span, body)) = first {
            let outcome = self.receive(span, body, &mut buffer);
            if !self.settle(span, outcome) {
                return;
            }
        }
        while let Some(span) = self.next() {
            let outcome = self
                .ask(span, line)
                .and_then(|body| self.receive(span, body, &mut buffer));
            if !self.settle(span, outcome) {
                return;
            }
        }
    }

    /// The next piece; waits while others have all there are, since they may
    /// give one back.
    fn next(&self) -> Option<Span> {
        let mut board = self.board();
        loop {
            if board.end.is_some() || board.pieces.is_complete() {
                return None;
            }
            if let Some(span) = board.pieces.take() {
                return Some(span);
            }
            board = self
                .news
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes note of how a piece ended. False if this connection is done.
    fn settle(&self, span: Span, outcome: Result<(), Fault>) -> bool {
        let mut board = self.board();
        match outcome {
            Ok(()) => return true,
            Err(Fault::Ended) => {}
            // The first reason counts.
            Err(Fault::Changed) => {
                board.end.get_or_insert(End::Changed);
            }
            Err(Fault::Fatal(stop)) => {
                board.end.get_or_insert(End::Failed(stop));
            }
            Err(Fault::Lost(stop)) => board.lose(span, End::Failed(stop)),
            Err(Fault::Refused(head)) => board.lose(span, End::Refused(head)),
        }
        if board.end.is_some() {
            // Nobody waits for what is of no use any more.
            self.lines.iter().for_each(|line| line.end());
        }
        self.news.notify_all();
        false
    }

    /// Asks for a piece.
    fn ask(&self, span: Span, line: &Arc<Line>) -> Result<BodyReader, Fault> {
        let mut headers = self.wanted.headers.clone();
        let range = span.ask(Some(&self.validator));
        headers.extend(
            range
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let config = self.context.config;
        let ask = Ask {
            head: false,
            url: &self.wanted.url,
            zone: self.wanted.zone.as_deref(),
            headers: &headers,
            proxy: self.wanted.proxy.clone(),
            absolute: self.wanted.absolute.clone(),
            had: 0,
            deadline: self.deadline,
            line: Some(Arc::clone(line)),
        };
        let outcome = self.context.network.ask(&ask);
        if config.output.verbose {
            let exchange = match &outcome {
                Ok(answer) => &answer.exchange,
                Err((_, exchange)) => exchange,
            };
            self.context.talk.raw(talk::exchange(exchange).as_bytes());
        }
        let answer = outcome.map_err(|(failure, _)| Fault::Lost(failure.into()))?;
        if self.is_piece(span, &answer.head) {
            return Ok(answer.body);
        }
        match answer.head.status {
            200..300 | 416 => Err(Fault::Changed),
            _ => Err(Fault::Refused(answer.head)),
        }
    }

    fn is_piece(&self, span: Span, head: &Head) -> bool {
        span.answered(head) == Some((span, self.total))
            && self.validator.agrees(head)
            && resume::coding(head) == self.coding
    }

    /// Writes a piece where it belongs.
    fn receive(&self, span: Span, body: BodyReader, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut source = Source::new(body, self.limits);
        let (mut at, mut written) = (span.at, 0);
        loop {
            let n = match source.pull(buffer) {
                Ok(n) => n as u64,
                Err(stop) => {
                    // A piece is there only when its body came to its end.
                    if at < span.end {
                        self.note(span, written)?;
                    }
                    return Err(Fault::Lost(stop));
                }
            };
            self.note(span, written)?;
            if n == 0 && at == span.end {
                return Ok(());
            }
            // Its length is not that of its Content-Range.
            if n == 0 || n > span.end - at {
                return Err(Fault::Changed);
            }
            self.saver
                .write_at(&buffer[..n as usize], at)
                .map_err(|e| Fault::Fatal(e.into()))?;
            at += n;
            written = n;
        }
    }

    /// So many more bytes of a piece are in the file.
    fn note(&self, span: Span, bytes: u64) -> Result<(), Fault> {
        let mut board = self.board();
        if board.end.is_some() {
            return Err(Fault::Ended);
        }
        board.pieces.advance(span.at, bytes);
        board.wire_bytes += bytes;
        let all = board.wire_bytes;
        if bytes > 0 && !board.pieces.is_complete() {
            let slow = self.context.config.limits.slow;
            board.window.judge(all, slow).map_err(Fault::Fatal)?;
        }
        let there = board.pieces.without_gap();
        let due = board.kept_at.is_none_or(|at| at.elapsed() >= KEEP_EVERY);
        if due && there >= board.kept + FIRST && there < self.total {
            self.saver
                .keep_gaps(there)
                .map_err(|e| Fault::Fatal(e.into()))?;
            board.kept = there;
            board.kept_at = Some(Instant::now());
        }
        let all = board.pieces.received();
        board.bar.advance(all);
        if board.pieces.is_complete() {
            self.news.notify_all();
        }
        Ok(())
    }
}
