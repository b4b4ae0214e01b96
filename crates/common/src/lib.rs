//! The code that the six inetkit tools share, so that they behave alike in
//! scripts.
//!
//! A tool's `main` calls [`app::run`] with its clap type and a function. The
//! function gets an [`Io`] with the standard streams, the reporter of errors and
//! the output settings. The code below it returns [`Error`]s, which determine the
//! exit status and have a JSON form, and writes to [`Out`], which handles closed
//! pipes. The other modules parse values of the command line ([`operands`],
//! [`duration`], [`size`], [`endpoint`], [`address`], [`zone`]) and render output
//! ([`text`], [`json`], [`time`]).
//!
//! Code moves here when a second tool needs it, not earlier. What only tools with
//! sockets need is in the crate `net`.

pub mod address;
pub mod app;
pub mod color;
pub mod duration;
pub mod endpoint;
pub mod error;
pub mod exit;
pub mod generate;
pub mod json;
#[cfg(feature = "latency")]
pub mod latency;
mod man;
pub mod operands;
pub mod options;
pub mod out;
pub mod random;
pub mod schema;
pub mod size;
pub mod text;
pub mod time;
pub mod zone;

pub use app::Io;
pub use error::{Error, Kind, Result};
pub use exit::Exit;
pub use out::Out;
