//! Options that cannot be used together, beyond what clap can express.

use std::path::{Path, PathBuf};

use common::{Error, Io, Result};

use super::errors::{invalid_value, usage};
use super::saving::Start;
use crate::cli::Cli;
use crate::policy::request;

/// Refuses options that cannot be used together.
pub(super) fn check(cli: &Cli, io: &Io, start: Start) -> Result<()> {
    check_cookie_file(cli)?;
    if let Some(range) = &cli.request.range
        && !request::is_range(range)
    {
        let message = "must be a range such as 0-99, 500- or -100, or a list of ranges";
        return Err(invalid_value("--range", range, message));
    }
    if io.json {
        let options = [
            ("--cookie-jar -", &cli.request.cookie_jar),
            ("--etag-save -", &cli.request.etag_save),
        ];
        let is_stdout = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if let Some((option, _)) = options.iter().find(|(_, file)| is_stdout(file)) {
            return Err(usage(option, "cannot be used with --json"));
        }
    }
    if start != Start::Beginning {
        let conflicts = [
            ("--range", cli.request.range.is_some()),
            ("--head", cli.request.head),
            ("--include", cli.output.include),
            ("--remote-header-name", cli.saving.remote_header_name),
            ("--pointer", cli.output.pointer.is_some()),
        ];
        if let Some((other, _)) = conflicts.iter().find(|(_, is_given)| *is_given) {
            return Err(usage(
                "--continue-at",
                &format!("cannot be used with {other}"),
            ));
        }
    }
    if cli.saving.segments > 1 {
        let conflicts = [
            ("--range", cli.request.range.is_some()),
            ("--head", cli.request.head),
            ("--include", cli.output.include),
            ("--pointer", cli.output.pointer.is_some()),
            ("--compressed", cli.request.compressed),
            ("--digest", cli.request.digest),
            ("--max-per-host", cli.many.max_per_host.is_some()),
        ];
        if let Some((other, _)) = conflicts.iter().find(|(_, is_given)| *is_given) {
            return Err(usage("--segments", &format!("cannot be used with {other}")));
        }
        if cli.saving.output.is_empty() && !cli.saving.remote_name {
            return Err(usage("--segments", "requires -o or -O"));
        }
    }
    Ok(())
}

/// Refuses `-c URL` and `-nc URL`, which mean something else in wget.
fn check_cookie_file(cli: &Cli) -> Result<()> {
    let is_url = |file: &PathBuf| file.to_string_lossy().contains("://");
    if !cli.urls.is_empty() || !cli.request.cookie_jar.as_ref().is_some_and(is_url) {
        return Ok(());
    }
    Err(Error::usage(
        "missing URL: -c takes the name of a file for cookies; use -C - to resume, \
         --no-clobber or --skip-existing to keep files",
    ))
}
