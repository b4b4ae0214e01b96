//! The cookies of `-b`, the files that contain cookies, and the cookie jar of `-c`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use common::{Error, Result};

use super::errors::check_header_value;
use super::output::FileOrStdout;
use crate::cli::RequestArgs;
use crate::policy::cookie::{CookieFile, ReadError};

/// The cookies of the user.
#[derive(Clone, Debug)]
pub(crate) struct CookieConfig {
    /// The cookies of `-b NAME=VALUE`, as the value of a Cookie header.
    pub(crate) header: Option<String>,
    /// The cookie files of `-b FILE`. An empty name only turns on the cookie jar, as
    /// in curl.
    pub(crate) files: Vec<String>,
    /// The file that all cookies are saved to (`-c`).
    pub(crate) jar: Option<FileOrStdout>,
}

impl CookieConfig {
    /// Separates cookies from the names of cookie files.
    pub(super) fn new(args: &RequestArgs) -> Result<Self> {
        for cookie in &args.cookie {
            check_header_value("--cookie", Some(cookie))?;
        }
        let (cookies, files): (Vec<_>, Vec<_>) =
            args.cookie.iter().cloned().partition(|v| v.contains('='));
        Ok(Self {
            header: (!cookies.is_empty()).then(|| cookies.join("; ")),
            files,
            jar: args.cookie_jar.as_deref().map(FileOrStdout::new),
        })
    }

    /// Reads the cookie files; `None` if cookies are not stored at all. Calls `warn`
    /// with the name of each file that does not exist.
    pub(crate) fn load(&self, warn: impl Fn(&str)) -> Result<Option<CookieFile>> {
        if self.files.is_empty() && self.jar.is_none() {
            return Ok(None);
        }
        let mut found = CookieFile::default();
        for file in self.files.iter().filter(|file| !file.is_empty()) {
            let failed = |e| Error::local(&e).with_subject(file.clone());
            let reader = match File::open(file) {
                Ok(file) => BufReader::new(file),
                // The first run of `-b FILE -c FILE` creates the file.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    if self.jar != Some(FileOrStdout::new(Path::new(file))) {
                        warn(file);
                    }
                    continue;
                }
                Err(e) => return Err(failed(e)),
            };
            let read = CookieFile::read(reader).map_err(|error| match error {
                ReadError::Line(number) => Error::input(
                    format!("{file}:{number}"),
                    "not a line of a Netscape cookie file",
                ),
                ReadError::Io(e) => failed(e),
            })?;
            found.jar.merge(read.jar);
            found.headers.extend(read.headers);
        }
        Ok(Some(found))
    }
}
