//! What the six inetkit tools share, so that they behave alike in a script.
//!
//! A tool's `main` calls [`app::run`] with its clap type and a function. That
//! function gets an [`app::Io`]: the standard streams, the reporter of errors
//! and what the environment says, all in one place. Everything below it
//! returns [`Error`]s, which know their exit status and their JSON form, and
//! writes through [`Out`], which knows what a closed pipe means. The rest of
//! the crate is vocabulary: [`operands`], [`duration`], [`size`],
//! [`endpoint`], [`address`], [`text`], [`json`], [`net`].
//!
//! A thing moves here when a second tool needs it, and not before.

pub mod address;
pub mod app;
pub mod color;
pub mod duration;
pub mod endpoint;
pub mod error;
pub mod exit;
pub mod generate;
pub mod json;
mod man;
pub mod net;
pub mod operands;
pub mod options;
pub mod out;
pub mod random;
pub mod schema;
pub mod signal;
pub mod size;
pub mod text;
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;
pub mod zone;

pub use app::Io;
pub use error::{Error, Kind, Result};
pub use exit::Exit;
pub use out::Out;
