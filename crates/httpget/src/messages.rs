//! The output after a transfer: the record, the format of `-w`, and the messages on
//! standard error.

use common::Result;
use common::operands::Operand;

use crate::fetch::{Context, TransferOutput};
use crate::http::head::Head;
use crate::output::timing;
use crate::policy::digest;
use crate::report::{FetchError, Report};

/// Writes the record and the output of `-w`, and prints the messages on stderr.
pub(crate) fn finish_report(
    context: &Context<'_>,
    operand: &Operand,
    report: &Report,
    index: usize,
    output: &mut TransferOutput<'_>,
) -> Result<()> {
    let config = context.config;
    if let Some(error) = &report.error
        && error.is_stdout_closed()
        && let FetchError::Error(error) = error
    {
        return Err(error.clone());
    }
    if config.output.json {
        output.record(report)?;
    }
    if let Some(write_out) = &config.output.write_out {
        let (out, err) = write_out.render(report, index);
        context.progress.suspend(|| {
            context.reporter.raw(err.as_bytes());
            output.write(out.as_bytes())
        })?;
    }
    context.reporter.raise(report.exit());
    context
        .progress
        .suspend(|| print_messages(context, operand, report));
    Ok(())
}

/// Prints the messages about a transfer on stderr.
fn print_messages(context: &Context<'_>, operand: &Operand, report: &Report) {
    let config = context.config;
    if config.output.show_cert {
        context
            .reporter
            .raw(timing::certificates(report).as_bytes());
    }
    if config.output.time {
        context.reporter.raw(timing::times(report).as_bytes());
    }
    if !config.output.show_errors {
        return;
    }
    if let (true, Some(file)) = (config.saving.remote_header_name, &report.file) {
        let name = file.display().to_string();
        context.reporter.line(format_args!(
            "{}: saved as {}",
            common::text::escape(report.url.as_bytes()),
            common::text::escape(name.as_bytes())
        ));
    }
    match &report.error {
        Some(FetchError::Error(error)) => {
            // The message starts with the URL instead of the subject of the error.
            let error = match error.subject() {
                Some(about) if about != report.url => {
                    context.reporter.line(common::text::escape(
                        format!("{}: {error}", report.url).as_bytes(),
                    ));
                    return;
                }
                _ => error.clone().with_subject(&report.url),
            };
            context.reporter.line(operand.error(error));
        }
        Some(error) => context.reporter.line(common::text::escape(
            format!("{}: {}", report.url, error.message()).as_bytes(),
        )),
        None if report.is_failure_status => {
            let status = report.head.as_deref().map(Head::status_text);
            let unanswered = config.credentials.digest
                && report
                    .head
                    .as_deref()
                    .is_some_and(|head| head.status == 401 && digest::challenge(head).is_none());
            let why = if unanswered {
                ": the server offers no Digest challenge that is supported (MD5 or SHA-256, qop auth)"
            } else {
                ""
            };
            context.reporter.line(common::text::escape(
                format!("{}: {}{why}", report.url, status.unwrap_or_default()).as_bytes(),
            ));
        }
        None => {}
    }
}
