//! Usage errors: one line that describes the error in the command line and names
//! the help to read.
//!
//! clap renders an error as a block of several lines. [`message`] turns it into
//! one sentence: values and negative numbers get a specific reason, an
//! option of another program gets the tool's hint, and everything else keeps
//! clap's wording.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::{Cli, matches};
use crate::error::Error;

/// The maximum upper bound that is worth printing: a larger one is only the
/// limit of an integer type.
const MAX_PRINTED_BOUND: i128 = i32::MAX as i128 - 1;

/// The reason why a value that is not a whole number is invalid.
const NOT_A_NUMBER: &str = "must be a whole number";

/// The reason why a negative number is invalid if 0 is valid.
const NEGATIVE: &str = "must not be negative";

/// Describes the arguments of the tool, or of the subcommand that was given,
/// and points to the help.
pub(super) fn usage_hint<C: Cli>(args: &[OsString]) -> String {
    let mut command = C::command();
    command.build();
    let usage = match subcommand(&command, args) {
        Some(name) => command
            .find_subcommand_mut(&name)
            .map(|command| command.render_usage().to_string()),
        None => None,
    };
    let usage = usage.unwrap_or_else(|| command.render_usage().to_string());
    let forms: Vec<&str> = usage.lines().map(str::trim).collect();
    format!(
        "usage: {}; see '{}'",
        forms.join(" or ").trim_start_matches("Usage: "),
        help_command::<C>(args)
    )
}

/// Returns `TOOL --help`, or `TOOL SUBCOMMAND --help` if a subcommand was
/// given.
pub(super) fn help_command<C: Cli>(args: &[OsString]) -> String {
    let command = C::command();
    let tool = command.get_name();
    match subcommand(&command, args) {
        Some(name) => format!("{tool} {name} --help"),
        None => format!("{tool} --help"),
    }
}

/// Returns the first argument that is the name of a subcommand: the best guess
/// for a command line that does not parse.
fn subcommand(command: &Command, args: &[OsString]) -> Option<String> {
    options_and_values(args)
        .filter_map(OsStr::to_str)
        .find(|arg| command.find_subcommand(arg).is_some())
        .map(str::to_owned)
}

/// Returns the arguments between the program's name and `--`.
fn options_and_values(args: &[OsString]) -> impl Iterator<Item = &OsStr> {
    args.iter()
        .skip(1)
        .map(OsString::as_os_str)
        .take_while(|arg| *arg != "--")
}

/// Whether a command line that does not parse asks for JSON.
pub(super) fn wants_json(args: &[OsString]) -> bool {
    options_and_values(args).any(|arg| arg == "--json" || arg == "-j")
}

/// Returns the error about a misspelt subcommand. clap takes it for an operand and
/// reports the first option after it.
pub(super) fn unknown_command<C: Cli>(error: &clap::Error, args: &[OsString]) -> Option<Error> {
    let command = C::command();
    if error.kind() != ErrorKind::UnknownArgument || subcommand(&command, args).is_some() {
        return None;
    }
    let reported = context(error, ContextKind::InvalidArg)?;
    // clap reports one letter of several: `-x` of `-vx`.
    let contains_reported = |arg: &str| {
        arg.split('=').next() == Some(reported)
            || arg.starts_with('-') && !arg.starts_with("--") && arg.ends_with(&reported[1..])
    };
    let mut before = "";
    for arg in options_and_values(args)
        .filter_map(OsStr::to_str)
        .take_while(|arg| !contains_reported(arg))
    {
        if !arg.starts_with('-') && option_expecting_value(&command, before).is_none() {
            return C::unknown_command(arg);
        }
        before = arg;
    }
    None
}

/// Describes a parse error in one line, without the hint that refers to the help.
pub(super) fn message<C: Cli>(error: &clap::Error, args: &[OsString]) -> String {
    unknown_option::<C>(error, args)
        .or_else(|| invalid_value::<C>(error, args))
        .unwrap_or_else(|| plain_message(error, &one_line(&error.render().to_string())))
}

/// Describes an unknown option that belongs to another program or is a negative
/// number.
fn unknown_option<C: Cli>(error: &clap::Error, args: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let option = context(error, ContextKind::InvalidArg)?;
    if let Some(hint) =
        C::unsupported_option_hint(subcommand(&C::command(), args).as_deref(), option)
    {
        return Some(format!("{option} is not supported; {hint}"));
    }
    // clap reports the first letter that it does not know: `-1` of `-15`.
    let digit = option.strip_prefix('-').filter(|rest| rest.len() == 1)?;
    let (position, number) = args.iter().enumerate().find_map(|(position, arg)| {
        let arg = arg.to_str().filter(|arg| is_negative_number(arg))?;
        arg.contains(digit).then_some((position, arg))
    })?;
    let mut command = C::command();
    command.build();
    let before = args[position.checked_sub(1)?].to_str()?;
    if let Some(option) = option_expecting_value(given_command(&command, args), before) {
        let reason = reason_for_option_value::<C>(args, position, number);
        return Some(invalid(number, &option, &reason));
    }
    // Other programs have an option -0.
    (number != "-0")
        .then(|| format!("unexpected argument '{number}'; a negative number is not accepted here"))
}

/// Describes a value that is not valid for its option or operand.
fn invalid_value<C: Cli>(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let value = context(error, ContextKind::InvalidValue)?;
    let name = context(error, ContextKind::InvalidArg)?;
    let mut command = C::command();
    command.build();
    let name = as_typed(given_command(&command, args), name, args);
    let mut reason = match reason(error) {
        Some(reason) => reason,
        None if error.kind() == ErrorKind::InvalidValue => {
            return Some(format!("missing value for '{name}'"));
        }
        None => return None,
    };
    if reason == NOT_A_NUMBER
        && is_negative_number(value)
        && let Some(position) = args.iter().position(|arg| ends_with(arg, value))
    {
        reason = reason_for_negative::<C>(args, position, value)?;
    }
    Some(invalid(value, &name, &reason))
}

fn invalid(value: &str, name: &str, reason: &str) -> String {
    format!("invalid value '{value}' for '{name}': {reason}")
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Returns the reason why the value of an error is invalid. `None` if the error
/// is not about a value, or the value is missing.
fn reason(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ValueValidation => error
            .source()
            .map(|source| plain_reason(&source.to_string())),
        ErrorKind::InvalidValue => {
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) if !valid.is_empty() => valid,
                _ => return None,
            };
            let reason = format!("must be one of {}", valid.join(", "));
            Some(match context(error, ContextKind::SuggestedValue) {
                Some(value) => format!("{reason}; did you mean '{value}'?"),
                None => reason,
            })
        }
        _ => None,
    }
}

/// Rewrites the errors of std's number parsers for users.
fn plain_reason(text: &str) -> String {
    match text {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            NOT_A_NUMBER.to_owned()
        }
        "number too large to fit in target type" => "the number is too large".to_owned(),
        "invalid float literal" | "cannot parse float from empty string" => {
            "must be a number".to_owned()
        }
        _ => bounds(text).unwrap_or_else(|| text.to_owned()),
    }
}

/// Rewrites clap's `0 is not in 1..=255`. For a range up to the limit of the type
/// clap writes `1..255`, which also includes the end.
fn bounds(text: &str) -> Option<String> {
    let (value, range) = text.split_once(" is not in ")?;
    let (min, max) = range.split_once("..")?;
    let max = max.trim_start_matches('=');
    let value: i128 = value.parse().ok()?;
    let (min, max): (i128, i128) = (min.parse().ok()?, max.parse().ok()?);
    Some(if max <= MAX_PRINTED_BOUND {
        format!("must be from {min} to {max}")
    } else if value < min && min == 0 {
        NEGATIVE.to_owned()
    } else if value < min {
        format!("must be at least {min}")
    } else {
        format!("must be at most {max}")
    })
}

/// Returns the reason why the negative number in `args[position]` is not a
/// valid value of the option before it.
fn reason_for_option_value<C: Cli>(args: &[OsString], position: usize, number: &str) -> String {
    // An attached value is never taken for an option.
    let mut args = args.to_vec();
    args.remove(position);
    let option = &mut args[position - 1];
    if option.as_encoded_bytes().starts_with(b"--") {
        option.push("=");
    }
    option.push(number);
    let attached = option.to_string_lossy().into_owned();
    reason_for_negative::<C>(&args, position - 1, number)
        .unwrap_or_else(|| format!("a value that starts with '-' must be attached; use {attached}"))
}

/// Returns the reason why the negative number at the end of `args[position]`
/// is not valid: the reason against 0 if there is one, since the parsers of
/// unsigned numbers only say that `-` is not a digit. `None` if it is valid.
fn reason_for_negative<C: Cli>(args: &[OsString], position: usize, number: &str) -> Option<String> {
    let reason_against = |value: &str| {
        let mut args = args.to_vec();
        let before = args[position].to_str()?.strip_suffix(number)?;
        args[position] = format!("{before}{value}").into();
        let error = matches(C::command(), &args).err()?;
        reason(&error).filter(|_| context(&error, ContextKind::InvalidValue) == Some(value))
    };
    reason_against("0").or_else(|| reason_against(number).map(|_| NEGATIVE.to_owned()))
}

fn ends_with(arg: &OsStr, value: &str) -> bool {
    arg.as_encoded_bytes().ends_with(value.as_bytes())
}

fn is_negative_number(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or_default();
    number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok()
}

/// Returns the subcommand that was given, or else the command itself.
fn given_command<'a>(command: &'a Command, args: &[OsString]) -> &'a Command {
    subcommand(command, args)
        .and_then(|name| command.find_subcommand(name))
        .unwrap_or(command)
}

/// Returns the option in `arg` that takes the next argument as its value:
/// `--count`, or `-c` of `-c` and of `-qc` with the flag `-q`.
fn option_expecting_value(command: &Command, arg: &str) -> Option<String> {
    let has_value = |arg: &Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    if let Some(long) = arg.strip_prefix("--") {
        let option = command.get_arguments().find(|arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(long) || aliases.contains(&long)
        })?;
        return has_value(option).then(|| arg.to_owned());
    }
    let mut letters = arg.strip_prefix('-')?.chars();
    loop {
        let letter = letters.next()?;
        let option = command
            .get_arguments()
            .find(|arg| arg.get_short() == Some(letter))?;
        if has_value(option) {
            return letters.as_str().is_empty().then(|| format!("-{letter}"));
        }
    }
}

/// Returns the name of an option as it was typed, without the name of its
/// value; `name` is clap's, such as `--count <N>`. The name of an operand stays
/// as it is.
fn as_typed(command: &Command, name: &str, args: &[OsString]) -> String {
    let end = name.find([' ', '=', '[']).unwrap_or(name.len());
    let Some(long) = name[..end].strip_prefix("--") else {
        let is_option = name.starts_with('-');
        return if is_option { &name[..end] } else { name }.to_owned();
    };
    let is_long = |arg: &OsStr| {
        let rest = arg.to_str().and_then(|arg| arg.strip_prefix(&name[..end]));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let short = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
        .and_then(Arg::get_short);
    match short {
        Some(letter) if !options_and_values(args).any(is_long) => format!("-{letter}"),
        _ => name[..end].to_owned(),
    }
}

/// Replaces clap's wording of common mistakes.
fn plain_message(error: &clap::Error, line: &str) -> String {
    let argument = context(error, ContextKind::InvalidArg).unwrap_or_default();
    let (clap, plain) = match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => (
            format!("unexpected argument '{argument}' found"),
            format!("unknown option '{argument}'"),
        ),
        ErrorKind::UnknownArgument => (
            format!("unexpected argument '{argument}' found"),
            format!("unexpected operand '{argument}'"),
        ),
        ErrorKind::InvalidSubcommand => {
            let command = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            (
                format!("unrecognized subcommand '{command}'"),
                format!("unknown command '{command}'"),
            )
        }
        ErrorKind::MissingRequiredArgument => {
            return missing_arguments(error).unwrap_or_else(|| line.to_owned());
        }
        ErrorKind::TooManyValues if argument.starts_with('-') => {
            return format!("'{argument}' takes no value");
        }
        _ => return line.to_owned(),
    };
    line.replacen(&clap, &plain, 1)
}

/// Lists the arguments that are missing. clap renders alternatives as
/// `<--prefix <LEN>|--parts <N>>`.
fn missing_arguments(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::Strings(names)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let mut text = "missing argument: ".to_owned();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        if name.contains('|') {
            text.push_str(&name[1..name.len() - 1].replace('|', " or "));
        } else {
            text.push_str(name);
        }
    }
    Some(text)
}

/// Puts clap's message and tip on one line, without its usage block.
fn one_line(rendered: &str) -> String {
    let mut line = String::new();
    for part in rendered.lines().map(str::trim) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let part = part.strip_prefix("tip: ").unwrap_or(part);
        // An unknown option is hardly ever meant as an operand.
        if part.is_empty() || part.starts_with("to pass ") {
            continue;
        }
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests;
