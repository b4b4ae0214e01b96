//! The condition of `-z`, which the request sends and the response must meet.

use crate::http::date::{self, Seconds};

/// The condition of `-z` on the time of the last modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeCondition {
    /// Only a body that was modified after this time.
    ModifiedAfter(Seconds),
    /// Only a body that was not modified after this time.
    NotModifiedAfter(Seconds),
}

impl TimeCondition {
    /// Whether a body that was last modified at `modified` meets the condition. A
    /// body of the same second is not newer.
    pub(crate) fn accepts(self, modified: Seconds) -> bool {
        match self {
            Self::ModifiedAfter(at) => modified > at,
            Self::NotModifiedAfter(at) => modified <= at,
        }
    }

    /// Returns the name and the value of the header of this condition.
    pub(crate) fn header(self) -> (&'static str, String) {
        match self {
            Self::ModifiedAfter(at) => ("If-Modified-Since", date::format_http(at)),
            Self::NotModifiedAfter(at) => ("If-Unmodified-Since", date::format_http(at)),
        }
    }
}
