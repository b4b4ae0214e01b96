//! The checks at the start of a body, and its place.
//!
//! [`place`] chooses where the body goes:
//!
//! | # | check | place |
//! |---|---|---|
//! | 1 | it continues the bytes that are there | after them |
//! | 2 | HEAD without a file for the head, or a 304, which leaves a file as it is | discarded |
//! | 3 | the JSON record contains it, or `--pointer` searches it | memory |
//! | 4 | the status is a failure, and `-f` is given, a file was expected, or bytes were printed | discarded |
//! | 5 | the body is not saved | standard output |
//! | 6 | the length is known and small, and no heads are saved with it | the file, through memory |
//! | 7 | none of these | the file |

use std::time::Duration;

use super::requested_part::RequestedPart;
use super::{memory_file, source};
use crate::config::{ErrorStatus, OutputConfig, RequestConfig};
use crate::http::head::Head;
use crate::http::{coding, content_range};
use crate::policy::resume::PartialDownload;
use crate::report::FetchError;

/// The state that decides how a response is used.
#[derive(Clone, Debug)]
pub(super) struct Situation<'a> {
    pub(super) request: &'a RequestConfig,
    pub(super) output: &'a OutputConfig,
    /// The maximum size of the body in bytes.
    pub(super) max_bytes: Option<u64>,
    /// Whether the body is saved to a file.
    pub(super) is_saved: bool,
    /// The part that was requested.
    pub(super) part: &'a RequestedPart,
    /// Whether bytes of an earlier attempt have been printed.
    pub(super) has_printed: bool,
    /// The delay before a retry, if the status may be temporary and a retry is left.
    pub(super) retry_delay: Option<Duration>,
}

/// A body to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// The bytes that it continues.
    pub(super) resumed: Option<PartialDownload>,
    /// Whether the status is a failure.
    pub(super) is_failure: bool,
    /// The content codings to decode.
    pub(super) codings: Vec<String>,
    /// The length by Content-Length, before decoding.
    pub(super) length: Option<u64>,
    /// The length by Content-Range.
    pub(super) range_length: Option<u64>,
    /// Whether offsets in the body are offsets in the whole body, so that a retry or a
    /// later run can continue it.
    pub(super) is_resumable: bool,
    pub(super) place: Place,
}

impl Body {
    /// Returns the number of bytes that will be delivered, if it is known.
    pub(super) fn decoded_length(&self) -> Option<u64> {
        self.length.filter(|_| self.codings.is_empty())
    }
}

/// The place of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// After the bytes that are there.
    Continued,
    Discarded,
    Memory,
    Stdout,
    File,
    /// The file, through memory: the body is complete after a few reads.
    ShortFile,
}

/// Checks the framing of a body, and chooses its place.
pub(super) fn check(
    situation: &Situation<'_>,
    head: &Head,
    is_failure: bool,
    resumed: Option<PartialDownload>,
) -> Result<Body, FetchError> {
    let request = situation.request;
    let codings = if request.compressed && !request.head {
        coding::codings(head.all("content-encoding")).map_err(FetchError::protocol)?
    } else {
        Vec::new()
    };
    let length = head.content_length()?.filter(|_| !request.head);
    let range_length = range_length(request, head, resumed.is_some())?;
    if let (Some(length), Some(range_length)) = (length, range_length)
        && range_length != length
    {
        return Err(FetchError::protocol(
            "Content-Length differs from the length of Content-Range",
        ));
    }
    if let (Some(max), Some(length)) = (situation.max_bytes, length)
        && length > max
        && !is_failure
    {
        return Err(source::too_large(max));
    }
    let mut body = Body {
        // In a range that the user requested, offsets do not count from the start of the
        // body, so neither a retry nor a later run can continue it.
        is_resumable: codings.is_empty() && (head.status != 206 || resumed.is_some()),
        place: Place::Continued,
        resumed,
        is_failure,
        codings,
        length,
        range_length,
    };
    if body.resumed.is_none() {
        body.place = place(situation, head.status, &body);
    }
    Ok(body)
}

/// Returns the length of a 206 response by its Content-Range. Fails if that is not the
/// requested range.
fn range_length(
    request: &RequestConfig,
    head: &Head,
    is_resumed: bool,
) -> Result<Option<u64>, FetchError> {
    if head.status != 206 || request.head {
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
        let message = "206 Partial Content without a Content-Range";
        return Err(FetchError::protocol(message));
    };
    let requested = request.expected_range().filter(|_| !is_resumed);
    let range = content_range::parse(value).filter(|range| {
        requested.is_none_or(|requested| content_range::satisfies(range, requested))
    });
    let Some(range) = range else {
        let value = common::text::escape(value.as_bytes());
        let message = format!("Content-Range '{value}' is not the requested range");
        return Err(FetchError::protocol(message));
    };
    let span = range.span.map(|(first, last)| last - first);
    Ok(span.and_then(|span| span.checked_add(1)))
}

/// Chooses the place of a body that continues nothing, by the second table of this
/// module.
fn place(situation: &Situation<'_>, status: u16, body: &Body) -> Place {
    let (request, output, is_failure) = (situation.request, situation.output, body.is_failure);
    let saves_head = request.head && situation.is_saved && !is_failure;
    if (request.head && !saves_head) || status == 304 {
        return Place::Discarded;
    }
    if output.json && !situation.is_saved || output.pointer.is_some() && !is_failure {
        return Place::Memory;
    }
    let is_unwanted = output.error_status == ErrorStatus::Discard;
    if is_failure && (is_unwanted || situation.is_saved || situation.has_printed) {
        return Place::Discarded;
    }
    if !situation.is_saved {
        return Place::Stdout;
    }
    let is_short = |length| length <= memory_file::LENGTH_MAX;
    if !output.heads && body.decoded_length().is_some_and(is_short) {
        Place::ShortFile
    } else {
        Place::File
    }
}
