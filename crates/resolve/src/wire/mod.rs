//! DNS messages; the only module that uses the message types of the codec crate.
//!
//! A [`Question`] with [`edns::EdnsOptions`] becomes a query ([`query`]); the bytes
//! from a server are matched with the question ([`reply`]).

pub(crate) mod edns;
pub(crate) mod query;
pub(crate) mod reply;

use domain::base::name::Name;

pub(crate) use self::query::Question;

/// A domain name that owns its bytes.
pub(crate) type OwnedName = Name<Vec<u8>>;
