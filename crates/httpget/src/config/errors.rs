//! Errors about options, in the form that clap uses.

use common::{Error, Result};

/// Returns the error of an option's value.
pub(super) fn invalid_value(option: &str, value: &str, message: &str) -> Error {
    let value = common::text::escape(value.as_bytes());
    Error::usage(format!("invalid value '{value}' for '{option}': {message}"))
}

/// Returns a usage error that starts with the name of the option.
pub(super) fn usage(option: &str, message: &str) -> Error {
    Error::usage(format!("{option} {message}"))
}

/// Refuses a value that would become several header lines.
pub(super) fn check_header_value(option: &str, value: Option<&str>) -> Result<()> {
    if value.is_some_and(|value| value.contains(['\r', '\n', '\0'])) {
        return Err(usage(option, "must not contain a line break or NUL"));
    }
    Ok(())
}
