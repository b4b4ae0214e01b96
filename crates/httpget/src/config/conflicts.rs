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
        let message = "must be a range such as 0-99, 500- or -100, or a list of ranges, and \
                       must not end before it starts";
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

/// Returns a warning for each option that has no effect with the others.
pub(super) fn options_without_effect(cli: &Cli) -> impl Iterator<Item = String> {
    let (saving, request, tls) = (&cli.saving, &cli.request, &cli.tls);
    let to_file = saving.remote_name || !saving.output.is_empty();
    let retries = saving.retry > 0;
    let has_user = request.user.is_some()
        || request.netrc
        || request.netrc_file.is_some()
        || cli.urls.iter().any(|url| url.contains('@') || url == "-");
    let options = [
        (
            "-J",
            saving.remote_header_name,
            saving.remote_name,
            "without -O",
        ),
        (
            "--output-dir",
            saving.output_dir.is_some(),
            to_file,
            "without -o or -O",
        ),
        (
            "--create-dirs",
            saving.create_dirs,
            to_file,
            "without -o or -O",
        ),
        (
            "--no-clobber",
            saving.no_clobber,
            to_file,
            "without -o or -O",
        ),
        (
            "--skip-existing",
            saving.skip_existing,
            to_file,
            "without -o or -O",
        ),
        (
            "--remove-on-error",
            saving.remove_on_error,
            to_file,
            "without -o or -O",
        ),
        ("-R", saving.remote_time, to_file, "without -o or -O"),
        (
            "--retry-delay",
            saving.retry_delay.is_some(),
            retries,
            "without --retry",
        ),
        (
            "--retry-max-time",
            saving.retry_max_time.is_some(),
            retries,
            "without --retry",
        ),
        (
            "--retry-connrefused",
            saving.retry_connrefused,
            retries,
            "without --retry",
        ),
        (
            "--retry-all-errors",
            saving.retry_all_errors,
            retries,
            "without --retry",
        ),
        (
            "--max-per-host",
            cli.many.max_per_host.is_some(),
            cli.many.parallel,
            "without -Z",
        ),
        ("--digest", request.digest, has_user, "without a user"),
        ("--cacert", !tls.cacert.is_empty(), !tls.insecure, "with -k"),
        ("--capath", tls.capath.is_some(), !tls.insecure, "with -k"),
    ];
    let unused = options
        .into_iter()
        .filter(|(_, is_given, has_effect, _)| *is_given && !has_effect);
    unused.map(|(option, _, _, why)| format!("{option} has no effect {why}"))
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
