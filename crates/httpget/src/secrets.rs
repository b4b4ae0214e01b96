//! Overwrites the secrets in the arguments at startup, as curl does, so that other
//! users cannot read them in the process list.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::policy::request;

/// The byte that replaces each byte of a secret.
const MASK: u8 = b'*';

/// The maximum length of a command line that is searched, in bytes; Linux allows 2 MiB.
const LENGTH_MAX: u64 = 8 << 20;

/// The long names, or their beginnings, of options with secret values.
const SECRET_OPTIONS: [&str; 6] = ["user", "proxy", "header", "cookie", "referer", "url-query"];

/// Masks the secrets in the arguments of this process. If the system does not
/// allow that, they stay readable.
pub(crate) fn mask_arguments() {
    // Most command lines have no secrets, and building the command is slow.
    let may_be_secret = std::env::args_os()
        .skip(1)
        .any(|argument| may_be_secret(argument.as_encoded_bytes()));
    if !may_be_secret {
        return;
    }
    let Ok(true) = overwrite(&Cli::command()) else {
        return;
    };
    // The secrets are now in memory only, and must not end up in a core dump.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Whether an argument may be a secret, or an option with a secret value.
fn may_be_secret(argument: &[u8]) -> bool {
    let is_option = match argument {
        [b'-', b'-', ..] => SECRET_OPTIONS
            .iter()
            .any(|name| argument[2..].starts_with(name.as_bytes())),
        [b'-', letters @ ..] => letters.iter().any(|letter| b"uUHbxe".contains(letter)),
        _ => false,
    };
    let in_query = || {
        let text = std::str::from_utf8(argument).unwrap_or_default();
        !in_query(text).is_empty()
    };
    is_option || argument.contains(&b'@') || in_query()
}

/// Overwrites the secrets; returns whether there were any.
fn overwrite(command: &clap::Command) -> io::Result<bool> {
    let Some(area) = argument_area(&std::fs::read_to_string("/proc/self/stat")?) else {
        return Ok(false);
    };
    let mut bytes = vec![0; (area.end - area.start) as usize];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, area.start)?;
    let secrets = find_secrets(&bytes, command);
    if secrets.is_empty() {
        return Ok(false);
    }
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    for secret in secrets {
        let mask = vec![MASK; secret.len()];
        memory.write_all_at(&mask, area.start + secret.start as u64)?;
    }
    Ok(true)
}

/// Returns the addresses of the arguments: fields 48 and 49 of `/proc/self/stat`.
fn argument_area(stat: &str) -> Option<Range<u64>> {
    // The second field is the name of the program, which may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(48 - 3);
    let start: u64 = fields.next()?.parse().ok()?;
    let end: u64 = fields.next()?.parse().ok()?;
    let length = end.checked_sub(start)?;
    (start > 0 && length <= LENGTH_MAX).then_some(start..end)
}

/// Returns the secrets among arguments that each end with NUL.
fn find_secrets(bytes: &[u8], command: &clap::Command) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut add = |start: usize, option: &str, value: &[u8]| {
        let Ok(value) = std::str::from_utf8(value) else {
            return;
        };
        for part in secrets_of(option, value) {
            secrets.push(start + part.start..start + part.end);
        }
    };
    let mut start = 0;
    // The name of the option that takes the next argument as its value.
    let mut expected: Option<String> = None;
    let mut only_operands = false;
    for (number, argument) in bytes.split(|&b| b == 0).enumerate() {
        let offset = start;
        start += argument.len() + 1;
        if number == 0 {
            continue;
        }
        if let Some(option) = expected.take() {
            add(offset, &option, argument);
        } else if only_operands || argument == b"-" || !argument.starts_with(b"-") {
            add(offset, "", argument);
        } else if argument == b"--" {
            only_operands = true;
        } else if let Some(long) = argument.strip_prefix(b"--") {
            match long.iter().position(|&b| b == b'=') {
                Some(end) => {
                    let name = String::from_utf8_lossy(&long[..end]);
                    add(offset + 2 + end + 1, &name, &long[end + 1..]);
                }
                None => expected = takes_value(command, &String::from_utf8_lossy(long), None),
            }
        } else {
            // Short options may be combined; the first one that takes a value
            // takes the rest of the argument.
            for (n, &letter) in argument.iter().enumerate().skip(1) {
                if let Some(name) = takes_value(command, "", Some(char::from(letter))) {
                    if n + 1 == argument.len() {
                        expected = Some(name);
                    } else {
                        let skip = n + 1 + usize::from(argument[n + 1] == b'=');
                        add(offset + skip, &name, &argument[skip..]);
                    }
                    break;
                }
            }
        }
    }
    secrets
}

/// Returns the long name of an option if it takes a value.
fn takes_value(command: &clap::Command, long: &str, short: Option<char>) -> Option<String> {
    let argument = command.get_arguments().find(|argument| match short {
        Some(short) => argument.get_short() == Some(short),
        None => argument.get_long() == Some(long),
    })?;
    let takes = argument.get_action().takes_values();
    takes.then(|| argument.get_long().unwrap_or_default().to_owned())
}

/// Returns the secret parts of an option's value, or of an operand if `option` is
/// empty.
fn secrets_of(option: &str, value: &str) -> Vec<Range<usize>> {
    let whole = 0..value.len();
    let mut secrets = match option {
        "user" | "proxy-user" => vec![whole],
        "cookie" if value.contains('=') => vec![whole],
        "header" => {
            let secret = value
                .split_once(':')
                .filter(|(name, _)| request::is_secret(name));
            let value_of = |(_, rest): (&str, &str)| value.len() - rest.trim_start().len();
            secret
                .map(|both| value_of(both)..value.len())
                .into_iter()
                .collect()
        }
        "url-query" => in_query(value),
        "" | "proxy" | "referer" => {
            let start = value.find("://").map_or(0, |at| at + 3);
            let rest = &value[start..];
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let login = rest[..end].rfind('@').map(|at| start..start + at);
            login.into_iter().chain(in_query(value)).collect()
        }
        _ => Vec::new(),
    };
    secrets.retain(|part| !part.is_empty());
    secrets
}

/// Returns the values of secrets in the `NAME=VALUE` pairs of a query, or of a URL
/// with a query.
fn in_query(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut start = 0;
    for pair in text.split(['?', '&', '#']) {
        if let Some((name, value)) = pair.split_once('=')
            && !name.contains('/')
            && request::is_secret(name)
        {
            let end = start + pair.len();
            secrets.push(end - value.len()..end);
        }
        start += pair.len() + 1;
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_of_the_arguments_is_found() {
        let fields: Vec<String> = (3..53).map(|n| (n * 10).to_string()).collect();
        let stat = format!("7 (a) b (c) {}", fields.join(" "));
        assert_eq!(argument_area(&stat), Some(480..490));
        assert_eq!(argument_area("7 (x) S 1 2"), None);
        assert!(argument_area(&std::fs::read_to_string("/proc/self/stat").unwrap()).is_some());
    }

    #[test]
    fn secrets_are_found_in_every_spelling() {
        let command = Cli::command();
        for (line, covered) in [
            ("httpget -u a:b http://h/", "httpget -u *** http://h/"),
            ("httpget -ua:b -u=c:d x", "httpget -u*** -u=*** x"),
            ("httpget -su a:b -vUc:d x", "httpget -su *** -vU*** x"),
            (
                "httpget --user a:b --proxy-user=c:d x",
                "httpget --user *** --proxy-user=*** x",
            ),
            (
                "httpget http://a:b@h/@x -x c:d@p:1",
                "httpget http://***@h/@x -x ***@p:1",
            ),
            ("httpget a:b@h -- -u a@h", "httpget ***@h -- -u *@h"),
            (
                "httpget -H X-Api-Key:secret -HX-A:b",
                "httpget -H X-Api-Key:****** -HX-A:b",
            ),
            (
                "httpget -b a=b -b file -o -u",
                "httpget -b *** -b file -o -u",
            ),
            (
                "httpget --proxy http://u@p/ -xu:p@q",
                "httpget --proxy http://*@p/ -x***@q",
            ),
            (
                "httpget -e http://u:p@h/ -ehttp://u:p@h/ --referer=http://u@h/",
                "httpget -e http://***@h/ -ehttp://***@h/ --referer=http://*@h/",
            ),
            (
                "httpget --url-query api_key=abc --url-query=q=a --url-query +a=b&token=cd",
                "httpget --url-query api_key=*** --url-query=q=a --url-query +a=b&token=**",
            ),
            (
                "httpget http://h/a=b?access_token=abc&q=d#x",
                "httpget http://h/a=b?access_token=***&q=d#x",
            ),
        ] {
            let mut bytes = line.replace(' ', "\0").into_bytes();
            for secret in find_secrets(&bytes, &command) {
                bytes[secret].fill(MASK);
            }
            let arguments: Vec<&[u8]> = line.as_bytes().split(|&b| b == b' ').collect();
            assert!(
                arguments[1..]
                    .iter()
                    .any(|argument| may_be_secret(argument)),
                "{line}"
            );
            let shown = String::from_utf8(bytes).unwrap().replace('\0', " ");
            assert_eq!(shown, covered);
        }
        let spaced = b"httpget\0-H\0Authorization: Bearer x\0";
        let found = find_secrets(spaced, &command);
        assert_eq!(&spaced[found[0].clone()], b"Bearer x");
    }
}
