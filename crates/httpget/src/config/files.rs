//! Files that options name: logins, tokens, entity tags, headers, formats.

use std::path::Path;

use common::{Error, Io, Kind, Result};

use super::errors::{invalid_value, usage};
use crate::cli::RequestArgs;
use crate::files;
use crate::http::date;
use crate::output::write_out::WriteOut;
use crate::policy::netrc::Netrc;
use crate::policy::request::{self, HeaderEdit};
use crate::policy::time_condition::TimeCondition;

/// Reads the file of `--bearer-file`.
pub(super) fn read_bearer_token(file: &Path) -> Result<String> {
    let token = files::read_text(file)?.trim().to_owned();
    if token.is_empty() || token.contains(char::is_control) {
        let message = if token.is_empty() {
            "the token file is empty"
        } else {
            "the token contains a control character"
        };
        return Err(Error::new(Kind::System, message).with_subject(file.display().to_string()));
    }
    Ok(token)
}

/// Reads the file of `--netrc-file`, or `~/.netrc` with `--netrc`, which may be missing,
/// as in curl.
pub(super) fn load_netrc(request: &RequestArgs, io: &Io) -> Result<Netrc> {
    let path = match (&request.netrc_file, request.netrc) {
        (Some(path), _) => path.clone(),
        (None, true) => match io.env("HOME") {
            Some(home) => {
                let path = Path::new(&home).join(".netrc");
                let is_missing = std::fs::metadata(&path)
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
                if is_missing {
                    return Ok(Netrc::default());
                }
                path
            }
            None => {
                return Err(usage(
                    "--netrc",
                    "requires HOME, which is not set; use --netrc-file",
                ));
            }
        },
        (None, false) => return Ok(Netrc::default()),
    };
    files::read_text(&path).map(|text| Netrc::parse(&text))
}

/// Parses the value of `-z`: the name of a file, or a date.
pub(super) fn time_condition(request: &RequestArgs) -> Result<Option<TimeCondition>> {
    let Some(text) = &request.time_cond else {
        return Ok(None);
    };
    let (is_negated, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let modified = std::fs::metadata(text)
        .and_then(|meta| meta.modified())
        .ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let at = match since {
        Some(since) => since.as_secs().cast_signed(),
        None => date::parse_typed(text).ok_or_else(|| {
            invalid_value(
                "--time-cond",
                text,
                "must be a file or a date such as 2021-01-31, 20210131, \
                 2021-01-31T12:00:00Z, '31 Jan 2021' or an HTTP date",
            )
        })?,
    };
    Ok(Some(if is_negated {
        TimeCondition::NotModifiedAfter(at)
    } else {
        TimeCondition::ModifiedAfter(at)
    }))
}

/// Returns the headers of `-z` and of `--etag-compare`.
pub(super) fn conditional_headers(
    request: &RequestArgs,
    time_condition: Option<TimeCondition>,
) -> Result<Vec<(&'static str, String)>> {
    let mut headers: Vec<_> = time_condition
        .map(TimeCondition::header)
        .into_iter()
        .collect();
    if let Some(file) = &request.etag_compare {
        // Before the first run there is no file.
        let tag = if file.exists() {
            files::read_text(file)?.trim().to_owned()
        } else {
            String::new()
        };
        // Without a tag, curl sends an empty one, which no resource has.
        let tag = if tag.is_empty() {
            "\"\"".to_owned()
        } else {
            tag
        };
        headers.push(("If-None-Match", tag));
    }
    Ok(headers)
}

/// Parses the format of `-w`; `@FILE` reads it from a file.
pub(super) fn load_write_out(text: &str) -> Result<WriteOut> {
    let text = match text.strip_prefix('@') {
        Some(file) => files::read_text(Path::new(file))?,
        None => text.to_owned(),
    };
    WriteOut::parse(&text).map_err(|e| invalid_value("--write-out", &text, &e))
}

/// Reads the headers of `-H @FILE`, one per line.
pub(super) fn read_headers(file: &Path) -> Result<Vec<HeaderEdit>> {
    let text = files::read_text(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| request::parse(line).map_err(|e| Error::input(file.display().to_string(), e)))
        .collect()
}
