//! Whether a response continues what is there.

use super::Transfer;
use super::report::{Stop, Trouble};
use super::sink::Sink;
use crate::http::content_range;
use crate::http::head::Head;
use crate::policy::request;
use crate::policy::resume::{Had, Verdict};

/// What a response is to what is there.
pub(super) enum Rest {
    /// Its body continues this.
    Continues(Had),
    /// This is the whole already.
    Complete(Had),
    /// Its body is to be taken from the start.
    Fresh,
    /// It is of no use: the whole must be asked for.
    Again,
}

impl Transfer<'_, '_> {
    /// Judges a response; `fails` says that its status is a failure.
    pub(super) fn judge_rest(&mut self, head: &Head, fails: bool) -> Result<Rest, Stop> {
        let config = self.context.config;
        let Some(had) = self.resume.clone() else {
            let asked = config.request.range.is_some() || self.edits_range();
            if head.status == 206 && !asked {
                let message = "a part of the body came, which was not asked for";
                return Err(Trouble::protocol(message).into());
            }
            return Ok(Rest::Fresh);
        };
        match had.judge(head) {
            Verdict::Continue => Ok(Rest::Continues(had)),
            Verdict::Complete => Ok(Rest::Complete(had)),
            Verdict::Whole | Verdict::Again
                if self.fixed || matches!(self.sink, Sink::Stdout { .. }) =>
            {
                let message = "the server does not continue where the first part ended";
                Err(Trouble::protocol(message).into())
            }
            Verdict::Whole => {
                let changed = had.validator.as_ref().is_some_and(|v| !v.agrees(head));
                self.start_over(if changed {
                    "the file has changed"
                } else {
                    "the server sent all of it"
                });
                Ok(Rest::Fresh)
            }
            Verdict::Again => {
                self.start_over("the server offers no rest that fits");
                Ok(Rest::Again)
            }
            // What is out is not the start of this.
            Verdict::Other if self.sink.is_out() && !fails => {
                let status = head.status_text();
                let message = format!("instead of the rest of the body the server sent {status}");
                Err(Trouble::protocol(message).into())
            }
            Verdict::Other => Ok(Rest::Fresh),
        }
    }

    /// How many bytes a 206 must bring, by its Content-Range. Fails if that is
    /// not the range that was asked for.
    pub(super) fn promised(&self, head: &Head, resumed: Option<&Had>) -> Result<Option<u64>, Stop> {
        let config = self.context.config;
        if head.status != 206 || config.request.head {
            return Ok(None);
        }
        let is_multipart = head.get("content-type").is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("multipart/byteranges")
        });
        let Some(value) = head.get("content-range") else {
            if is_multipart {
                return Ok(None);
            }
            let message = "a part of the body came without a Content-Range";
            return Err(Trouble::protocol(message).into());
        };
        let own = self.own_range();
        let asked = match &own {
            Some(value) => value.trim().strip_prefix("bytes="),
            None => config.request.range.as_deref(),
        };
        let range = content_range::parse(value).filter(|range| {
            resumed.is_some() || asked.is_none_or(|asked| content_range::satisfies(range, asked))
        });
        let Some(range) = range else {
            let value = common::text::escape(value.as_bytes());
            let message = format!("Content-Range {value:?} is not the range that was asked for");
            return Err(Trouble::protocol(message).into());
        };
        let span = range.span.map(|(first, last)| last - first);
        Ok(span.and_then(|span| span.checked_add(1)))
    }

    /// Whether the user's own headers ask for a range.
    pub(super) fn edits_range(&self) -> bool {
        self.own_range().is_some()
    }

    /// The Range among the user's own headers.
    fn own_range(&self) -> Option<String> {
        let edits = &self.context.config.edits;
        edits.iter().rev().find_map(|edit| match edit {
            request::Edit::Set(name, value) if name.eq_ignore_ascii_case("range") => {
                Some(value.clone())
            }
            _ => None,
        })
    }

    /// What of a piece is behind the bytes that are fetched again; fails if one
    /// of those differs.
    pub(super) fn behind_overlap<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], Stop> {
        let again = self.overlap.len().min(piece.len());
        if self.overlap[..again] != piece[..again] {
            self.differs = true;
            return Err(Trouble::protocol("the file has changed").into());
        }
        self.overlap.drain(..again);
        Ok(&piece[again..])
    }

    /// What is there is not continued, which the user is told.
    pub(super) fn start_over(&mut self, why: &str) {
        self.resume = None;
        self.overlap.clear();
        if self.context.config.show_errors {
            let url = common::text::escape(self.job.url.as_bytes());
            self.context
                .talk
                .line(format_args!("{url}: starting over: {why}"));
        }
    }
}
