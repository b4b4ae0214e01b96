//! The path that a body is saved to, and what to do if it exists.

use std::path::PathBuf;

use common::{Error, Kind, Result};
use url::Url;

use super::context::{Context, UrlJob};
use crate::config::{Destination, ExistingFile};
use crate::http::disposition;
use crate::http::head::Head;
use crate::policy::filename;

/// What to do if the file exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnExists {
    Replace,
    /// Fail, since the server chose the name.
    Refuse,
    /// Use the next free name (`--no-clobber`).
    NextFree,
}

/// The head of a response and its URL, which may name the file.
pub(super) type Naming<'a> = Option<(&'a Head, &'a Url)>;

/// Returns the path of the file and reserves it for this transfer.
pub(super) fn reserve(
    context: &Context<'_>,
    job: &UrlJob,
    response: Naming<'_>,
) -> Result<(PathBuf, OnExists)> {
    let (path, on_exists) = choose(context, job, response)?;
    if on_exists == OnExists::Replace {
        let transfer = (job.index, job.page);
        context.reserved_names.reserve(&path, transfer)?;
    }
    Ok((path, on_exists))
}

/// Returns the path of the file, and what to do if it exists. Without a response, only
/// the user and the URL name it.
pub(super) fn choose(
    context: &Context<'_>,
    job: &UrlJob,
    response: Naming<'_>,
) -> Result<(PathBuf, OnExists)> {
    let config = &context.config.saving;
    let name = if let Destination::File(path) = &job.destination {
        Some((path.clone(), OnExists::Replace))
    } else {
        let response = response.filter(|_| config.remote_header_name);
        match response.and_then(|(head, url)| server_name(job, head, url)) {
            Some(name) => Some((PathBuf::from(name), OnExists::Refuse)),
            None => filename::from_url(&job.request.url)
                .map(|name| (PathBuf::from(name), OnExists::Replace)),
        }
    };
    let Some((name, on_exists)) = name else {
        return Err(Error::new(Kind::Input, "the URL contains no file name").hint("use -o FILE"));
    };
    let path = match &config.directory {
        Some(directory) => directory.join(&name),
        None => name,
    };
    if config.existing == ExistingFile::Number {
        return Ok((path, OnExists::NextFree));
    }
    Ok((path, on_exists))
}

/// Returns the file name that the server chose: that of Content-Disposition, or of the
/// URL of a redirect.
fn server_name(job: &UrlJob, head: &Head, url: &Url) -> Option<String> {
    let named = head
        .get("content-disposition")
        .and_then(disposition::filename)
        .and_then(|name| filename::sanitize(&name));
    let redirected = || {
        let name = filename::from_url(url).filter(|_| *url != job.request.url)?;
        filename::sanitize(&name)
    };
    named.or_else(redirected)
}
