//! The use of a response: retry, give up, or deliver its body, and where to.
//!
//! [`decide`] is a pure function. It makes these checks in this order, and the first
//! one that applies decides:
//!
//! | # | check | decision |
//! |---|---|---|
//! | 1 | the status may be temporary, and a retry is left | `Retry` |
//! | 2 | Last-Modified does not meet `-z`, and the whole body was requested | `NotModified` |
//! | 3 | a segment was requested: a 206 with it, of the same version | `Segments`; `Fail` if the file exceeds `--max-filesize` |
//! | 4 | a segment was requested: another 206, or a 416 for an empty file | `Repeat` over one connection |
//! | 5 | nothing was there: a 206 that was not requested | `Fail` |
//! | 6 | bytes were there: the rest of them | goes on with 11 |
//! | 7 | bytes were there: a 416 that proves them complete | `Complete` |
//! | 8 | bytes were there and cannot be given up: a 200, or a part that does not fit | `Fail` |
//! | 9 | bytes were there: a part that does not fit | `Repeat` from the start |
//! | 10 | bytes were printed: another status that is not a failure | `Fail` |
//! | 11 | the content coding is unknown, or a length is invalid | `Fail` |
//! | 12 | a 206 is not the requested range, or its lengths differ | `Fail` |
//! | 13 | the body exceeds `--max-filesize`, and is not that of a failure | `Fail` |
//! | 14 | none of these | `Deliver` |

use std::time::Duration;

use super::body::{self, Body, Place, Situation};
use super::requested_part::{RequestedPart, first_segment};
use super::source;
use crate::http::date;
use crate::http::head::Head;
use crate::policy::resume::{PartialDownload, Validator, Verdict};
use crate::policy::segment_map::ByteRange;
use crate::report::FetchError;

/// The use of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Retry after this delay.
    Retry(Duration),
    /// Finish as if the status were 304.
    NotModified,
    /// Download the rest of the file over several connections.
    Segments(Segments),
    /// Send another request within this attempt.
    Repeat,
    /// The partial download is complete already.
    Complete(PartialDownload),
    /// Deliver the body to its place.
    Deliver(Body),
    Fail(FetchError),
}

/// The first segment of a file, and the file that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    /// The bytes that are there already.
    pub(super) resumed: Option<PartialDownload>,
    pub(super) validator: Validator,
    /// The range of this response.
    pub(super) range: ByteRange,
    /// The length of the file in bytes.
    pub(super) total: u64,
}

impl Segments {
    /// Returns the whole file as a body.
    pub(super) fn body(&self) -> Body {
        Body {
            is_failure: false,
            codings: Vec::new(),
            length: Some(self.total),
            range_length: None,
            is_resumable: true,
            place: if self.resumed.is_some() {
                Place::Continued
            } else {
                Place::File
            },
            resumed: self.resumed.clone(),
        }
    }
}

/// A decision about a response, with the changes to the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) action: Action,
    /// Why the partial download is given up, if it is.
    pub(super) start_over: Option<&'static str>,
    /// Whether the server does not support segments.
    pub(super) one_connection: bool,
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        Self {
            action,
            start_over: None,
            one_connection: false,
        }
    }
}

/// Decides how a response is used, by the first table of this module.
pub(super) fn decide(situation: &Situation<'_>, head: &Head) -> Decision {
    if let Some(delay) = situation.retry_delay {
        return Action::Retry(delay).into();
    }
    if fails_time_condition(situation, head) {
        return Action::NotModified.into();
    }
    let over_one_connection = || Decision {
        one_connection: true,
        ..Action::Repeat.into()
    };
    if let RequestedPart::Segment(partial) = situation.part {
        match head.status {
            206 => {
                let segments = segments(situation, head, partial.as_ref());
                return segments.map_or_else(over_one_connection, Decision::from);
            }
            416 if partial.is_none() => return over_one_connection(),
            _ => {}
        }
    }
    let is_failure = situation.output.error_status.is_failure(head.status);
    let decision = match continuation(situation, head, is_failure) {
        Continuation::Rest(partial) => deliver(situation, head, is_failure, Some(partial)).into(),
        Continuation::Fresh => deliver(situation, head, is_failure, None).into(),
        Continuation::Replaced(why) => Decision {
            start_over: Some(why),
            ..deliver(situation, head, is_failure, None).into()
        },
        Continuation::Unusable(why) => Decision {
            start_over: Some(why),
            ..Action::Repeat.into()
        },
        Continuation::Complete(partial) => Action::Complete(partial).into(),
        Continuation::Failed(message) => Action::Fail(FetchError::protocol(message)).into(),
    };
    // A server that sends the whole body does not support ranges.
    let is_segment = matches!(situation.part, RequestedPart::Segment(_));
    Decision {
        one_connection: is_segment && head.status < 300,
        ..decision
    }
}

/// Whether Last-Modified shows that the condition of `-z` is not met, because the
/// server has ignored If-Modified-Since.
fn fails_time_condition(situation: &Situation<'_>, head: &Head) -> bool {
    let request = situation.request;
    let is_full_request = situation.part.partial().is_none() && request.range.is_none();
    let modified = || date::parse(head.get("last-modified")?);
    matches!(head.status, 200..300)
        && is_full_request
        && !request.head
        && request.time_condition.is_some_and(|condition| {
            modified().is_some_and(|modified| !condition.accepts(modified))
        })
}

/// Decides how a 206 to the request for the first segment is used; `None` if it is not
/// that segment of a file with a strong validator.
fn segments(
    situation: &Situation<'_>,
    head: &Head,
    partial: Option<&PartialDownload>,
) -> Option<Action> {
    let validator = match partial {
        Some(partial) => partial.validator.clone().filter(|v| v.agrees(head)),
        None => Validator::strong(head),
    }?;
    let (range, total) = first_segment(partial).matched_by(head)?;
    let differs = |partial: &PartialDownload| {
        partial.total.is_some_and(|known| known != total) || !partial.is_coded_as(head)
    };
    if partial.is_some_and(differs) {
        return None;
    }
    Some(match situation.max_bytes.filter(|&max| total > max) {
        Some(max) => Action::Fail(source::too_large(max)),
        None => Action::Segments(Segments {
            resumed: partial.cloned(),
            validator,
            range,
            total,
        }),
    })
}

/// The relation of a response to the partial download.
enum Continuation {
    /// Its body continues the partial download.
    Rest(PartialDownload),
    /// The partial download is complete.
    Complete(PartialDownload),
    /// The body starts at the beginning, or the response is about something else.
    Fresh,
    /// Its body replaces the partial download, for this reason.
    Replaced(&'static str),
    /// The whole body must be requested, for this reason.
    Unusable(&'static str),
    Failed(String),
}

fn continuation(situation: &Situation<'_>, head: &Head, is_failure: bool) -> Continuation {
    let Some(partial) = situation.part.partial() else {
        return if head.status == 206 && !situation.request.has_range() {
            Continuation::Failed("unexpected 206 Partial Content".to_owned())
        } else {
            Continuation::Fresh
        };
    };
    let must_continue = situation.has_printed || matches!(situation.part, RequestedPart::Offset(_));
    match partial.classify(head) {
        Verdict::Continue => Continuation::Rest(partial.clone()),
        Verdict::Complete => Continuation::Complete(partial.clone()),
        Verdict::Whole | Verdict::Refetch if must_continue => {
            let verb = if situation.has_printed {
                "resume"
            } else {
                "start"
            };
            Continuation::Failed(format!(
                "the server cannot {verb} at byte {}",
                partial.bytes
            ))
        }
        Verdict::Whole => {
            let changed = partial.validator.as_ref().is_some_and(|v| !v.agrees(head));
            Continuation::Replaced(if changed {
                "the file on the server has changed"
            } else {
                "the server sent the whole body"
            })
        }
        Verdict::Refetch => Continuation::Unusable("the server does not send the rest of the body"),
        // The bytes already printed are not a prefix of this body.
        Verdict::Other if situation.has_printed && !is_failure => {
            let status = head.status_text();
            Continuation::Failed(format!(
                "the server sent {status} instead of the rest of the body"
            ))
        }
        Verdict::Other => Continuation::Fresh,
    }
}

/// Delivers a body if its framing is valid.
fn deliver(
    situation: &Situation<'_>,
    head: &Head,
    is_failure: bool,
    resumed: Option<PartialDownload>,
) -> Action {
    body::check(situation, head, is_failure, resumed).map_or_else(Action::Fail, Action::Deliver)
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
