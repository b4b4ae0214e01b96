//! The part of a body that a transfer requests, which depends on the bytes that are
//! there already.

use crate::policy::resume::PartialDownload;
use crate::policy::segment_map::{ByteRange, FIRST_LENGTH};

/// The part of a body to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestedPart {
    /// All of it, or the range of the user.
    Whole,
    /// The rest after the bytes of an earlier run or attempt.
    Rest(PartialDownload),
    /// The rest after an offset given by the user, so that the start of the body must
    /// not be fetched.
    Offset(PartialDownload),
    /// The first segment of the file, or the first one after a partial download.
    Segment(Option<PartialDownload>),
}

impl RequestedPart {
    /// Returns the bytes that are there already.
    pub(super) fn partial(&self) -> Option<&PartialDownload> {
        match self {
            Self::Whole => None,
            Self::Rest(partial) | Self::Offset(partial) => Some(partial),
            Self::Segment(partial) => partial.as_ref(),
        }
    }

    /// Returns the headers that request this part; `range` is the range of the user.
    pub(super) fn headers(&self, range: Option<&str>) -> Vec<(&'static str, String)> {
        match self {
            Self::Whole => range
                .map(|range| ("Range", format!("bytes={range}")))
                .into_iter()
                .collect(),
            Self::Rest(partial) | Self::Offset(partial) => partial.range_headers(),
            Self::Segment(partial) => {
                let validator = partial.as_ref().and_then(|p| p.validator.as_ref());
                first_segment(partial.as_ref()).range_headers(validator)
            }
        }
    }

    /// Returns the offset from which the body is requested, for messages.
    pub(super) fn resume_offset(&self) -> u64 {
        match self {
            Self::Rest(partial) | Self::Offset(partial) => partial.resume_offset(),
            Self::Whole | Self::Segment(_) => 0,
        }
    }

    /// Requests several connections for the file, if a partial download allows that.
    pub(super) fn use_segments(&mut self) {
        match self {
            Self::Whole => *self = Self::Segment(None),
            Self::Rest(partial) if partial.has_strong_validator() => {
                *self = Self::Segment(Some(partial.clone()));
            }
            _ => {}
        }
    }

    /// Requests the file over one connection from now on.
    pub(super) fn use_one_connection(&mut self) {
        if let Self::Segment(partial) = self {
            *self = partial.take().map_or(Self::Whole, Self::Rest);
        }
    }

    /// Continues after these bytes.
    pub(super) fn continue_after(&mut self, bytes: PartialDownload) {
        *self = match self {
            Self::Whole | Self::Rest(_) => Self::Rest(bytes),
            Self::Offset(_) => Self::Offset(bytes),
            Self::Segment(_) => Self::Segment(Some(bytes)),
        };
    }

    /// Gives up the partial download. An offset of the user stays.
    pub(super) fn start_over(&mut self) {
        match self {
            Self::Rest(_) => *self = Self::Whole,
            Self::Segment(partial) => *partial = None,
            Self::Whole | Self::Offset(_) => {}
        }
    }
}

/// Returns the first segment to request after a partial download.
pub(super) fn first_segment(partial: Option<&PartialDownload>) -> ByteRange {
    let start = partial.map_or(0, |partial| partial.bytes);
    ByteRange {
        start,
        end: start + FIRST_LENGTH,
    }
}

#[cfg(test)]
mod tests {
    use super::RequestedPart::{self, Offset, Rest, Segment, Whole};
    use crate::policy::resume::{PartialDownload, Validator};

    fn partial(validator: Option<Validator>) -> PartialDownload {
        PartialDownload {
            bytes: 5,
            validator,
            ..PartialDownload::default()
        }
    }

    #[test]
    fn only_the_rest_of_a_known_version_is_divided_into_segments() {
        let strong = partial(Some(Validator::Tag("\"1\"".into())));
        let weak = partial(None);
        for (part, divided) in [
            (Whole, Segment(None)),
            (Rest(strong.clone()), Segment(Some(strong.clone()))),
            (Rest(weak.clone()), Rest(weak.clone())),
            (Offset(strong.clone()), Offset(strong.clone())),
        ] {
            let mut changed = part.clone();
            changed.use_segments();
            assert_eq!(changed, divided);
            changed.use_one_connection();
            assert_eq!(changed, part);
        }
    }

    #[test]
    fn an_offset_of_the_user_is_never_given_up() {
        let after = |mut part: RequestedPart| {
            part.start_over();
            part
        };
        let partial = partial(None);
        assert_eq!(after(Rest(partial.clone())), Whole);
        assert_eq!(after(Segment(Some(partial.clone()))), Segment(None));
        assert_eq!(after(Offset(partial.clone())), Offset(partial));
    }

    #[test]
    fn the_headers_name_the_part() {
        let strong = partial(Some(Validator::Tag("\"1\"".into())));
        let range = |value: &str| ("Range", value.to_owned());
        let if_range = ("If-Range", "\"1\"".to_owned());
        for (part, headers) in [
            (Whole, vec![range("bytes=0-9")]),
            (
                Rest(strong.clone()),
                vec![range("bytes=5-"), if_range.clone()],
            ),
            (Segment(None), vec![range("bytes=0-1048575")]),
            (
                Segment(Some(strong)),
                vec![range("bytes=5-1048580"), if_range],
            ),
        ] {
            assert_eq!(part.headers(Some("0-9")), headers);
        }
        assert_eq!(Whole.headers(None), []);
    }
}
