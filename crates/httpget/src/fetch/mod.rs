//! The transfer of one URL: attempts, redirects, and the delivery of the body.
//!
//! ```text
//! transfer          one URL: attempts until one succeeds
//!   earlier         files that exist: the part of the body to request
//!   attempt         requests and redirects, up to a response
//!     requests      headers, proxy and target, with `auth` and `cookies`
//!   decision        the use of a response, as a table: retry, fail, deliver
//!     body          the checks of a body, and its place, as a table
//!   delivery        the place of the body, kept from one attempt to the next
//!     sink          `output_file`, `memory_file`, `stdout`, memory
//!   copy            reads, decodes and writes a body, within the limits of `source`
//!   segments        the same over several connections
//! ```
//!
//! A module uses those below it and never one above it. The result is a
//! [`crate::report::Report`].

mod attempt;
mod auth;
mod body;
mod context;
mod cookies;
mod copy;
mod decision;
mod delivery;
mod earlier;
mod heads;
mod json_value;
mod memory_file;
mod open_body;
mod output_file;
mod output_path;
mod partial_file;
mod paths;
mod public_suffixes;
mod requested_part;
mod requests;
mod reserved_names;
mod segments;
mod sink;
mod source;
mod stdout;
mod transfer;

pub(crate) use context::{Context, UrlJob};
pub(crate) use public_suffixes::PublicSuffixes;
pub(crate) use reserved_names::ReservedNames;
pub(crate) use stdout::{SharedStdout, TransferOutput};
pub(crate) use transfer::fetch;
