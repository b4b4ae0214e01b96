//! Options that cannot be used together, beyond what clap can express.

use std::path::{Path, PathBuf};

use common::{Io, Result};

use super::errors::{invalid_value, usage};
use super::saving::Start;
use crate::cli::Cli;
use crate::policy::request;

/// Refuses options that cannot be used together.
pub(super) fn check(cli: &Cli, io: &Io, start: Start) -> Result<()> {
    if let Some(range) = &cli.request.range
        && !request::is_range(range)
    {
        let message = "must be a range such as 0-99, 500- or -100, or a list of ranges";
        return Err(invalid_value("--range <RANGE>", range, message));
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
            return Err(usage("--segments", "needs a file to write (-o or -O)"));
        }
    }
    Ok(())
}
