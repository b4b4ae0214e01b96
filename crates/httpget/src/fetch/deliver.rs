//! From a response to the end of its body: where it belongs, whether it
//! continues what is there, and whether it is what was wanted.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use ring::digest;

use super::report::{Stop, Trouble};
use super::resuming::Rest;
use super::save::Saver;
use super::sink::Sink;
use super::small::{self, Small};
use super::source::{self, Source};
use super::{Place, Transfer, Tried};
use crate::http::head::Head;
use crate::http::{charset, coding, content_range, date, media};
use crate::net::{self, Answer};
use crate::output::view::View;
use crate::policy::resume::{self, Had, Validator};

/// Bytes read at a time; one write each.
const BUFFER: usize = 64 * 1024;

/// The most bytes of a body that are held in memory without `--max-filesize`;
/// less with `-Z`, where many are held.
const HELD_MAX: u64 = 64 << 20;
const HELD_MAX_PARALLEL: u64 = 8 << 20;

impl Transfer<'_, '_> {
    /// Delivers a body. `None` if what is there turns out not to be
    /// continued by it, so that the whole must be asked for. `last` says that
    /// there will be no other try.
    pub(super) fn deliver(&mut self, answer: Answer, last: bool) -> Result<Option<Tried>, Stop> {
        self.drops = false;
        let config = self.context.config;
        let head = &answer.head;
        let fails = head.status >= 400 && !config.output.no_fail;
        if self.is_stale(head) {
            return self.not_modified(head).map(Some);
        }
        if self.split {
            match head.status {
                206 => return self.gather(answer, last),
                // An empty file has no first piece.
                416 if self.resume.is_none() => {
                    self.split = false;
                    return Ok(None);
                }
                // Who sends the whole does not do ranges.
                _ => self.split = head.status >= 300,
            }
        }
        let resumed = match self.judge_rest(head, fails)? {
            Rest::Continues(had) => Some(had),
            Rest::Fresh => None,
            Rest::Complete(had) => {
                return self.complete(&had, head).map(|()| Some(Tried::Done));
            }
            Rest::Again => return Ok(None),
        };
        self.report.status_fails = fails;
        let codings = if config.request.compressed && !config.request.head {
            coding::codings(head.all("content-encoding")).map_err(Trouble::protocol)?
        } else {
            Vec::new()
        };
        let length = head.content_length()?.filter(|_| !config.request.head);
        let span = self.promised(head, resumed.as_ref())?;
        if let (Some(length), Some(span)) = (length, span)
            && span != length
        {
            return Err(
                Trouble::protocol("Content-Length is not the length of Content-Range").into(),
            );
        }
        if let (Some(max), Some(length)) = (config.limits.max, length)
            && length > max
            && !fails
        {
            return Err(source::too_large(max).into());
        }
        let expected = length.filter(|_| codings.is_empty());
        let mut hash = if resumed.is_some() && self.sink.is_out() {
            self.hashed.take()
        } else {
            (config.json || self.job.sha256.is_some())
                .then(|| digest::Context::new(&digest::SHA256))
        };
        // Of a range that the user asked for, offsets are not those of the
        // whole, so that neither another try nor a later run continues it.
        let plain = codings.is_empty() && (head.status != 206 || resumed.is_some());
        self.place(head, fails, resumed.as_ref(), expected, plain, &mut hash)?;
        let head = Arc::clone(&answer.head);
        if !fails {
            self.save_tag(&head, false)?;
        }
        if let Err(stop) = self.pour(answer, span, &codings, &mut hash) {
            if std::mem::take(&mut self.differs) {
                self.start_over("the last bytes that are there differ from the server's");
                return Ok(None);
            }
            self.show_rest()?;
            // That of an error's body is not that of what is out.
            if !self.drops {
                self.hashed = hash;
            }
            return Err(stop);
        }
        self.finish(&head, fails, hash)?;
        Ok(Some(Tried::Done))
    }

    /// Decides where this body goes and makes ready for it.
    pub(super) fn place(
        &mut self,
        head: &Head,
        fails: bool,
        resumed: Option<&Had>,
        expected: Option<u64>,
        plain: bool,
        hash: &mut Option<digest::Context>,
    ) -> Result<(), Stop> {
        let config = self.context.config;
        let mut see = |piece: &[u8]| {
            if let Some(hash) = hash {
                hash.update(piece);
            }
        };
        if let Some(had) = resumed {
            self.report.bytes = had.from();
            match &mut self.sink {
                Sink::File { saver, used, .. } => {
                    saver.resume(had, &mut see)?;
                    self.overlap = saver.tail(had.overlap())?;
                    *used = true;
                }
                Sink::Stdout { .. } => {}
                _ => self.sink = self.printed(head, plain, had.bytes),
            }
            return Ok(());
        }
        self.report.bytes = 0;
        self.overlap.clear();
        let validator = Validator::of(head).filter(|_| plain);
        let is_coded = !config.request.compressed && !resume::coding(head).is_empty();
        self.report.charset = charset::declared(head.get("content-type")).filter(|_| !is_coded);
        let saves_heads = config.request.head && self.job.place != Place::Stdout && !fails;
        // A 304 says that what is there is good.
        if (config.request.head && !saves_heads) || head.status == 304 {
            self.drop_body();
            return Ok(());
        }
        if config.json && self.job.place == Place::Stdout || config.pointer.is_some() && !fails {
            self.sink = self.memory();
            return Ok(());
        }
        if fails && (config.output.fail || self.job.place != Place::Stdout || self.sink.is_out()) {
            self.drop_body();
            return Ok(());
        }
        if self.job.place == Place::Stdout {
            self.sink = self.printed(head, plain, 0);
            return Ok(());
        }
        if !matches!(self.sink, Sink::File { .. }) {
            let (path, taken) = self.claimed(Some(head))?;
            let create_dirs = config.saving.create_dirs;
            let heads = config.output.include || config.request.head;
            let short = expected.filter(|&length| length <= small::MOST);
            if let Some(length) = short.filter(|_| !heads && !self.split) {
                let had = Had {
                    bytes: 0,
                    validator,
                    total: Some(length),
                    coding: Some(resume::coding(head)),
                    ..Had::default()
                };
                let small = Small::new(path, taken, create_dirs, had, self.id.clone());
                self.sink = Sink::Small(small);
                return Ok(());
            }
            self.sink = Sink::file(Saver::open(&path, taken, create_dirs, &self.id)?);
        }
        if let Sink::File {
            saver,
            used,
            plain: is_plain,
        } = &mut self.sink
        {
            let plain = plain && !config.output.include;
            saver.start(
                validator.filter(|_| plain),
                expected.filter(|_| plain),
                resume::coding(head),
            )?;
            *used = true;
            *is_plain = plain;
            if config.output.include || config.request.head {
                saver.write(&self.heads)?;
            }
        }
        Ok(())
    }

    fn memory(&self) -> Sink {
        Sink::Memory {
            bytes: Vec::new(),
            max: self.held_max(),
        }
    }

    /// Where a body that is not saved goes; `had` bytes of it came before.
    fn printed(&self, head: &Head, plain: bool, had: u64) -> Sink {
        let config = self.context.config;
        if config.json || config.pointer.is_some() {
            self.memory()
        } else if config.view {
            let class = media::class(head.get("content-type"));
            Sink::View {
                view: View::new(
                    class,
                    self.report.charset,
                    config.color,
                    plain && !resume::coding(head).is_empty(),
                ),
                started: false,
            }
        } else {
            stdout(head, plain, had)
        }
    }

    /// The most bytes of a body that are held in memory.
    fn held_max(&self) -> u64 {
        self.context
            .config
            .limits
            .max
            .unwrap_or(if self.context.config.parallel {
                HELD_MAX_PARALLEL
            } else {
                HELD_MAX
            })
    }

    fn too_large_to_hold(&self) -> Trouble {
        let max = self.held_max();
        Trouble::no(
            "size",
            format!(
                "the body is larger than {max} bytes, too large to hold in memory; \
                 --max-filesize allows more"
            ),
        )
    }

    /// This body goes nowhere; a file that was begun is left as it is, and what
    /// is out is not forgotten: a further try goes on behind it or not at all.
    pub(super) fn drop_body(&mut self) {
        self.drops = true;
        if !matches!(self.sink, Sink::File { .. }) && !self.sink.is_out() {
            self.sink = Sink::Nowhere;
        }
    }

    /// Moves the body.
    fn pour(
        &mut self,
        answer: Answer,
        span: Option<u64>,
        codings: &[String],
        hash: &mut Option<digest::Context>,
    ) -> Result<(), Stop> {
        let config = self.context.config;
        let mut source = Source::new(answer.body, config.limits).expect(span, self.report.bytes);
        let before = self.report.wire_bytes;
        let outcome = self.pieces(&mut source, codings, hash);
        self.report.wire_bytes = before + source.bytes;
        match (outcome, source.stop.take()) {
            (_, Some(stop)) => Err(stop),
            (Ok(()), None) if !self.overlap.is_empty() => {
                let message = "the body ends before what is there already";
                Err(Trouble::protocol(message).into())
            }
            (outcome, None) => outcome,
        }
    }

    fn pieces(
        &mut self,
        source: &mut Source,
        codings: &[String],
        hash: &mut Option<digest::Context>,
    ) -> Result<(), Stop> {
        let config = self.context.config;
        let broken = |e: &io::Error| {
            Trouble::protocol(format!(
                "the {} body cannot be decoded: {e}",
                codings.join(", ")
            ))
        };
        let length = self
            .report
            .head
            .as_ref()
            .and_then(|h| h.content_length().ok()?);
        let mut buffer = vec![0; buffer_for(length.filter(|_| codings.is_empty()))];
        let whole = length
            .filter(|_| codings.is_empty())
            .map(|l| l.saturating_add(self.report.bytes));
        let mut bar =
            self.context
                .progress
                .bar(self.shows_bar(), &self.bar_name(), self.report.bytes, whole);
        {
            let mut reader: Box<dyn Read + '_> = if codings.is_empty() {
                Box::new(&mut *source)
            } else {
                coding::decoder(&mut *source, codings).map_err(|e| broken(&e))?
            };
            loop {
                // A few bytes may decode to more than the time allows.
                if let Some(deadline) = self.deadline
                    && !codings.is_empty()
                    && Instant::now() >= deadline
                {
                    return Err(net::out_of_time().into());
                }
                let n = match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(broken(&e).into()),
                };
                let mut piece = &buffer[..n];
                self.report.bytes += n as u64;
                piece = self.behind_overlap(piece)?;
                bar.advance(self.report.bytes);
                if let Some(max) = config.limits.max
                    && self.report.bytes > max
                {
                    return Err(source::too_large(max).into());
                }
                if let Some(hash) = hash {
                    hash.update(piece);
                }
                if !self.drops && !self.sink.write(piece, self.stage)? {
                    return Err(self.too_large_to_hold().into());
                }
            }
        }
        // A coding may end before the body does; the body must end well.
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) => return Err(broken(&e).into()),
            }
        }
    }

    /// Judges a complete body and gives it its place.
    pub(super) fn finish(
        &mut self,
        head: &Head,
        fails: bool,
        hash: Option<digest::Context>,
    ) -> Result<(), Stop> {
        let config = self.context.config;
        let digest = hash.map(|hash| hex(hash.finish().as_ref()));
        let delivered = !self.drops
            && !matches!(self.sink, Sink::Nowhere | Sink::Undecided)
            && !matches!(self.sink, Sink::File { used: false, .. });
        self.report.sha256 = digest.clone().filter(|_| delivered);
        self.show_rest()?;
        if fails {
            return Ok(());
        }
        if let (Some(wanted), Some(got)) = (&self.job.sha256, &digest)
            && delivered
            && wanted != got
        {
            return Err(
                Trouble::no("mismatch", format!("the SHA-256 is {got}, not {wanted}")).into(),
            );
        }
        if let Some(pointer) = &config.pointer {
            self.extract(pointer, head)?;
        }
        self.save_tag(head, true)?;
        let whole = matches!(self.sink, Sink::File { used: true, .. } | Sink::Small(_));
        if whole && !self.drops {
            let modified = head
                .get("last-modified")
                .filter(|_| config.saving.remote_time)
                .and_then(date::parse);
            self.report.file = match std::mem::replace(&mut self.sink, Sink::Nowhere) {
                Sink::File { saver, .. } => Some(saver.finish(modified)?),
                Sink::Small(small) => Some(small.finish(modified)?),
                _ => None,
            };
        }
        Ok(())
    }

    /// Shows what a view holds of a body that has ended, or was cut short.
    fn show_rest(&mut self) -> Result<(), Stop> {
        if let Sink::View { view, .. } = &mut self.sink
            && !self.drops
        {
            let stage = &mut *self.stage;
            view.finish(&mut |shown| stage.write(shown))?;
        }
        Ok(())
    }

    /// What was there is the whole: it is checked, and takes its name.
    fn complete(&mut self, had: &Had, head: &Head) -> Result<(), Stop> {
        self.report.status_fails = false;
        self.report.bytes = had.bytes;
        let config = self.context.config;
        let mut hash = digest::Context::new(&digest::SHA256);
        if let Sink::File { saver, used, .. } = &mut self.sink {
            saver.resume(had, |piece| hash.update(piece))?;
            *used = true;
        }
        let wanted = config.json || self.job.sha256.is_some();
        self.finish(head, false, wanted.then_some(hash))
    }
}

/// The size of the buffer for a body of this length.
fn buffer_for(length: Option<u64>) -> usize {
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.map_or(BUFFER, |length| length.clamp(1, BUFFER))
}

fn stdout(head: &Head, plain: bool, bytes: u64) -> Sink {
    Sink::Stdout {
        had: Had {
            bytes,
            validator: Validator::of(head),
            total: match head.status {
                206 => content_range::of(head).and_then(|range| range.total),
                _ => head.content_length().ok().flatten(),
            },
            coding: Some(resume::coding(head)),
            ..Had::default()
        },
        plain,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|&b| [b >> 4, b & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
