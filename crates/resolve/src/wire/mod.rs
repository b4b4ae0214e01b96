//! DNS messages as this tool sends and reads them; the only place that knows
//! the codec crate's message types.
//!
//! A [`Question`] with an [`edns::Wish`] becomes a query ([`query`]); bytes
//! from a server are judged against the question ([`reply`]).

pub(crate) mod edns;
pub(crate) mod query;
pub(crate) mod reply;

use domain::base::name::Name;

pub(crate) use self::query::Question;

/// A domain name of its own.
pub(crate) type OwnedName = Name<Vec<u8>>;
