//! Whether a response continues what is there.

use super::Transfer;
use super::report::{Stop, Trouble};
use super::sink::Sink;
use crate::http::head::Head;
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
