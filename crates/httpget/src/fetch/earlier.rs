//! The files that exist before the first request: whether there is anything to fetch,
//! and which bytes need not be fetched again.

use std::path::PathBuf;

use common::{Error, Result};

use super::context::{Context, UrlJob};
use super::output_file::{EarlierDownload, OutputFile};
use super::output_path;
use super::requested_part::RequestedPart;
use crate::config::{Destination, ExistingFile, Start};
use crate::policy::resume::PartialDownload;

/// Returns the path of a file that exists and is kept, so that there is nothing to
/// fetch.
pub(super) fn kept_file(context: &Context<'_>, job: &UrlJob) -> Result<Option<PathBuf>> {
    if context.config.saving.existing != ExistingFile::Skip {
        return Ok(None);
    }
    Ok(known_path(context, job)?.filter(|path| path.exists()))
}

/// Returns the path of the file, if it is known before the response.
fn known_path(context: &Context<'_>, job: &UrlJob) -> Result<Option<PathBuf>> {
    match &job.destination {
        Destination::Stdout => Ok(None),
        Destination::RemoteName if context.config.saving.remote_header_name => Ok(None),
        _ => Ok(Some(output_path::choose(context, job, None)?.0)),
    }
}

/// Returns the part of the body to request, and the partial file if it is needed
/// before the response is known.
pub(super) fn prepare(
    context: &Context<'_>,
    job: &UrlJob,
) -> Result<(RequestedPart, Option<OutputFile>)> {
    let config = &context.config.saving;
    Ok(match (config.start, known_path(context, job)?) {
        (Start::Beginning, _) | (Start::Offset(0), None) => (RequestedPart::Whole, None),
        (Start::Offset(bytes), None) => (offset(bytes, false), None),
        (Start::Resume, None) => {
            return Err(Error::usage("-C - requires -o or -O"));
        }
        (start, Some(path)) => {
            let (_, on_exists) = output_path::reserve(context, job, None)?;
            let file = OutputFile::open(&path, on_exists, config.create_dirs, &job.state_id())?;
            let part = match start {
                Start::Offset(bytes) => offset(bytes, true),
                _ => earlier_part(context, job, &file)?,
            };
            (part, Some(file))
        }
    })
}

/// Returns the rest of a body after an offset of the user.
fn offset(bytes: u64, in_final_file: bool) -> RequestedPart {
    RequestedPart::Offset(PartialDownload {
        bytes,
        in_final_file,
        is_exact: true,
        ..PartialDownload::default()
    })
}

/// Returns the rest of a body after the bytes of an earlier run.
fn earlier_part(context: &Context<'_>, job: &UrlJob, file: &OutputFile) -> Result<RequestedPart> {
    Ok(match file.find_earlier(job.sha256.is_some())? {
        EarlierDownload::Found(partial) => RequestedPart::Rest(partial),
        EarlierDownload::Unverifiable => {
            context.report_start_over(
                job,
                "the server sent no validator for the partial file; \
                 use --sha256 to resume it",
            );
            RequestedPart::Whole
        }
        EarlierDownload::None => RequestedPart::Whole,
    })
}
