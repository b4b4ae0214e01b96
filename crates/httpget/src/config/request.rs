//! The requests: their method, headers and credentials, and the redirects that are
//! followed.

use std::path::Path;

use common::{Error, Io, Result};

use super::errors::check_header_value;
use super::files;
use crate::cli::RequestArgs;
use crate::policy::netrc::Netrc;
use crate::policy::request::{self, HeaderEdit};
use crate::policy::request_url::User;
use crate::policy::time_condition::TimeCondition;

/// The values that all requests of a run share.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestConfig {
    /// Whether the method is HEAD instead of GET.
    pub(crate) head: bool,
    /// The headers of `-H`.
    pub(crate) edits: Vec<HeaderEdit>,
    /// The User-Agent; `None` sends none.
    pub(crate) user_agent: Option<String>,
    pub(crate) referer: Option<String>,
    /// The range of `--range`, such as `0-99`.
    pub(crate) range: Option<String>,
    /// The value of the Range header of `-H`, which overrides all other ranges.
    pub(crate) range_header: Option<String>,
    /// The headers of a conditional request, such as If-None-Match.
    pub(crate) conditional_headers: Vec<(&'static str, String)>,
    pub(crate) time_condition: Option<TimeCondition>,
    /// Whether content codings are requested and decoded (`--compressed`).
    pub(crate) compressed: bool,
    /// Whether the path is sent as typed (`--path-as-is`).
    pub(crate) path_as_is: bool,
    /// The additions to the query (`--url-query`).
    pub(crate) url_query: Vec<String>,
}

impl RequestConfig {
    /// Resolves the options of the request.
    pub(super) fn new(args: &RequestArgs) -> Result<Self> {
        let mut edits = Vec::new();
        for text in &args.headers {
            match text.strip_prefix('@') {
                Some(file) => edits.extend(files::read_headers(Path::new(file))?),
                None => edits.push(request::parse(text).map_err(|e| invalid_header(&e))?),
            }
        }
        check_header_value("--user-agent", args.user_agent.as_deref())?;
        check_header_value("--referer", args.referer.as_deref())?;
        let own_name = || concat!("httpget/", env!("CARGO_PKG_VERSION")).to_owned();
        let user_agent = args.user_agent.clone().unwrap_or_else(own_name);
        let time_condition = files::time_condition(args)?;
        Ok(Self {
            head: args.head,
            range_header: range_header(&edits),
            edits,
            user_agent: Some(user_agent).filter(|name| !name.is_empty()),
            referer: args.referer.clone(),
            range: args.range.clone(),
            conditional_headers: files::conditional_headers(args, time_condition)?,
            time_condition,
            compressed: args.compressed,
            path_as_is: args.path_as_is,
            url_query: args.url_query.clone(),
        })
    }

    /// Returns the request method, `GET` or `HEAD`.
    pub(crate) fn method(&self) -> &'static str {
        if self.head { "HEAD" } else { "GET" }
    }

    /// Whether the user requested a range, so that a 206 is expected.
    pub(crate) fn has_range(&self) -> bool {
        self.range.is_some() || self.range_header.is_some()
    }

    /// Returns the range that a 206 must contain, without its unit; `None` if any
    /// range may be sent.
    pub(crate) fn expected_range(&self) -> Option<&str> {
        match &self.range_header {
            Some(value) => value.trim().strip_prefix("bytes="),
            None => self.range.as_deref(),
        }
    }
}

/// Returns the error of a header. Its value is not shown, since it may be a secret.
fn invalid_header(message: &str) -> Error {
    Error::usage(format!("invalid value for '--header': {message}"))
}

/// Returns the value of the Range header among the headers of the user.
fn range_header(edits: &[HeaderEdit]) -> Option<String> {
    edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set(name, value) if name.eq_ignore_ascii_case("range") => Some(value.clone()),
        _ => None,
    })
}

/// The credentials of the user.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// The login of `-u`; a missing password is prompted for.
    pub(crate) user: Option<User>,
    pub(crate) bearer: Option<String>,
    pub(crate) netrc: Netrc,
    /// Whether a Digest challenge is answered instead of sending the password.
    pub(crate) digest: bool,
}

impl Credentials {
    /// Resolves the credentials, and reads the files that contain them.
    pub(super) fn new(args: &RequestArgs, io: &Io) -> Result<Self> {
        let user = args.user.as_deref().map(|text| match text.split_once(':') {
            Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
            None => (text.to_owned(), None),
        });
        let bearer = args.bearer_file.as_deref().map(files::read_bearer_token);
        Ok(Self {
            user,
            bearer: bearer.transpose()?,
            netrc: files::load_netrc(args, io)?,
            digest: args.digest,
        })
    }
}

/// The redirects to follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedirectConfig {
    /// Whether redirects are followed at all.
    pub(crate) follows: bool,
    /// The maximum number of redirects; `None` means no limit.
    pub(crate) max: Option<u32>,
    /// Whether credentials are sent to every origin (`--location-trusted`).
    pub(crate) trusts_all: bool,
}

impl RedirectConfig {
    pub(super) fn new(args: &RequestArgs) -> Self {
        Self {
            follows: !args.no_location,
            max: u32::try_from(args.max_redirs).ok(),
            trusts_all: args.location_trusted,
        }
    }
}
