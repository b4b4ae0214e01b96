//! Tests of usage errors with the definition of a sample tool.

use super::*;
use crate::options::Common;
use clap::{CommandFactory as _, Parser};
use std::time::Duration;

/// A sample command line
#[derive(Parser)]
#[command(name = "sample", disable_help_flag = true, disable_version_flag = true)]
#[command(version = "1")]
#[allow(dead_code, reason = "only its definition is used")]
struct Sample {
    target: Vec<String>,
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[arg(long, alias = "repeat", value_parser = clap::value_parser!(u8).range(2..))]
    retries: Option<u8>,
    #[arg(short, long, value_parser = crate::duration::parse)]
    interval: Option<Duration>,
    #[arg(short = 'W', value_parser = crate::duration::parse_nonzero)]
    wait: Option<Duration>,
    #[arg(short, long)]
    output: Option<String>,
    #[arg(long)]
    ratio: Option<f64>,
    #[arg(long)]
    limit: Option<u32>,
    #[arg(long, num_args = 0..=1, require_equals = true)]
    watch: Option<u32>,
    #[arg(short = '4')]
    ipv4: bool,
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(clap::Subcommand)]
enum Sub {
    /// A sample of a subcommand
    Split {
        #[arg(long)]
        parts: Option<u32>,
    },
}

impl Cli for Sample {
    fn common(&self) -> &Common {
        &self.common
    }

    fn unsupported_option_hint(_command: Option<&str>, option: &str) -> Option<&'static str> {
        (option == "-R").then_some("use another program")
    }
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

/// Returns the message for a command line with single blanks between words.
fn message_for(line: &str) -> String {
    let args = words(line);
    match matches(Sample::command(), &args) {
        Ok(_) => panic!("'{line}' parses"),
        Err(error) => message::<Sample>(&error, &args),
    }
}

#[test]
fn invalid_values_name_the_option_and_the_reason() {
    for (line, expected) in [
        (
            "sample -c -1 x",
            "invalid value '-1' for '-c': must be at least 1",
        ),
        (
            "sample -qc -15",
            "invalid value '-15' for '-c': must be at least 1",
        ),
        (
            "sample --count -1.5",
            "invalid value '-1.5' for '--count': must be at least 1",
        ),
        (
            "sample --count=-1",
            "invalid value '-1' for '--count': must be at least 1",
        ),
        (
            "sample -c0",
            "invalid value '0' for '-c': must be at least 1",
        ),
        (
            "sample -c 5 --count=0",
            "invalid value '0' for '--count': must be at least 1",
        ),
        (
            "sample --retries 256",
            "invalid value '256' for '--retries': must be from 2 to 255",
        ),
        (
            "sample --repeat -3",
            "invalid value '-3' for '--repeat': must be from 2 to 255",
        ),
        (
            "sample --limit 4294967296",
            "invalid value '4294967296' for '--limit': must be at most 4294967295",
        ),
        (
            "sample --limit -2",
            "invalid value '-2' for '--limit': must not be negative",
        ),
        (
            "sample --limit=-2",
            "invalid value '-2' for '--limit': must not be negative",
        ),
        (
            "sample -c 99999999999999999999",
            "invalid value '99999999999999999999' for '-c': the number is too large",
        ),
        (
            "sample -c x",
            "invalid value 'x' for '-c': must be a whole number",
        ),
        (
            "sample --count=",
            "invalid value '' for '--count': must be a whole number",
        ),
        (
            "sample --ratio x",
            "invalid value 'x' for '--ratio': must be a number",
        ),
        (
            "sample -i -1",
            "invalid value '-1' for '-i': must not be negative",
        ),
        ("sample -qc", "missing value for '-c'"),
        // -4 has the form of a number, but is an option.
        (
            "sample -4 -i -7",
            "invalid value '-7' for '-i': must not be negative",
        ),
        (
            "sample -W -1",
            "invalid value '-1' for '-W': must be greater than 0",
        ),
        (
            "sample -o -1",
            "invalid value '-1' for '-o': a value that starts with '-' must be attached; use -o-1",
        ),
        (
            "sample --output -1",
            "invalid value '-1' for '--output': a value that starts with '-' must be attached; use --output=-1",
        ),
        (
            "sample --color alwys",
            "invalid value 'alwys' for '--color': must be one of auto, always, never; did you mean 'always'?",
        ),
        (
            "sample split --parts -2",
            "invalid value '-2' for '--parts': must not be negative",
        ),
    ] {
        assert_eq!(message_for(line), expected, "{line}");
    }
}

#[test]
fn unknown_options_are_named() {
    for (line, expected) in [
        ("sample -R", "-R is not supported; use another program"),
        (
            "sample -7 x",
            "unexpected argument '-7'; a negative number is not accepted here",
        ),
        (
            "sample -q -7",
            "unexpected argument '-7'; a negative number is not accepted here",
        ),
        // The values of --watch and -o must be attached, or are.
        (
            "sample --watch -7",
            "unexpected argument '-7'; a negative number is not accepted here",
        ),
        (
            "sample -oc -7",
            "unexpected argument '-7'; a negative number is not accepted here",
        ),
        ("sample -0", "unknown option '-0'"),
        ("sample -x", "unknown option '-x'"),
        (
            "sample --jsn",
            "unknown option '--jsn'; a similar argument exists: '--json'",
        ),
    ] {
        assert_eq!(message_for(line), expected, "{line}");
    }
}

#[test]
fn a_message_is_one_line_without_the_usage() {
    let command = Command::new("sample").arg(Arg::new("FILE").required(true));
    let error = command.try_get_matches_from(["sample"]).unwrap_err();
    assert_eq!(
        plain_message(&error, &one_line(&error.render().to_string())),
        "missing argument: <FILE>"
    );
}

#[test]
fn the_pointer_names_the_help_that_applies() {
    assert_eq!(help_command::<Sample>(&words("sample x")), "sample --help");
    assert_eq!(
        help_command::<Sample>(&words("sample -q split")),
        "sample split --help"
    );
    assert_eq!(
        help_command::<Sample>(&words("sample -- split")),
        "sample --help"
    );
    assert_eq!(
        usage_hint::<Sample>(&words("sample split")),
        "usage: sample split [OPTIONS]; see 'sample split --help'"
    );
}

#[test]
fn json_is_recognized_although_nothing_parses() {
    assert!(wants_json(&words("sample --jsn -j")));
    assert!(wants_json(&words("sample --json --x")));
    assert!(!wants_json(&words("sample --x -- --json")));
    assert!(!wants_json(&words("-j --x")));
}
