//! Compares resolve with dig: both ask nsd for a zone with every record type that nsd
//! can load. Compares the system path with getent.
//!
//! Spaces outside of quotes are ignored, since dig breaks long base64 and hexadecimal
//! fields into groups.

use std::path::Path;

use support::TaskResult;
use support::exec::{Background, Exec};
use support::nameservers;
use support::ports::free_port;

use super::{Context, same_lines};

/// The records below the apex, with one name per type.
const RECORDS: &str = include_str!("zone.txt");

const APEX: &str = "interop.test.";

/// Compares the values of every type in the zone.
pub(super) fn presentation(context: &Context) -> TaskResult<String> {
    let port = free_port()?;
    let _server = nsd(context.dir(), port)?;
    let server = format!("@127.0.0.1:{port}");
    let port = port.to_string();
    let dig = |name: &str, rtype: &str, more: &[&str]| {
        let args = ["@127.0.0.1", "-p", &port, "+short", "+nosplit", "-t", rtype];
        // -r ignores ~/.digrc.
        let args = ["-r"].into_iter().chain(args).chain(more.iter().copied());
        Exec::new("dig", args.chain([name])).text()
    };
    let mut wrong = Vec::new();
    let questions = questions();
    for (name, rtype) in &questions {
        let theirs = dig(name, rtype, &[])?;
        if theirs.is_empty() || theirs.starts_with(";;") {
            return Err(format!("dig has no {rtype} of {name}: {theirs}"));
        }
        let ours = context
            .tool("resolve", [&server, "-t", rtype, name])
            .run()?;
        if ours.code != 0 {
            wrong.push(format!(
                "{rtype} of {name}: status {}: {}",
                ours.code,
                ours.err()
            ));
            continue;
        }
        if let Err(error) = same_lines(rtype, &canonical(&ours.out()), &canonical(&theirs)) {
            wrong.push(error);
        }
    }
    // Names and types that do not exist.
    for (name, status) in [("nowhere.interop.test", 1), ("a.interop.test", 1)] {
        let rtype = if status == 1 && name.starts_with('a') {
            "MX"
        } else {
            "A"
        };
        let done = context
            .tool("resolve", [&server, "-t", rtype, name])
            .run()?;
        if done.code != status || !done.stdout.is_empty() {
            wrong.push(format!(
                "{rtype} of {name}: status {} and {:?}",
                done.code,
                done.out()
            ));
        }
    }
    let theirs = dig("big.interop.test", "TXT", &["+bufsize=512"])?;
    let ours = context
        .tool("resolve", [&server, "-t", "TXT", "big.interop.test"])
        .text()?;
    if let Err(error) = same_lines("truncated TXT", &canonical(&ours), &canonical(&theirs)) {
        wrong.push(error);
    }
    if wrong.is_empty() {
        Ok(format!(
            "{} record types, absent names, truncation",
            questions.len()
        ))
    } else {
        Err(wrong.join("\n        "))
    }
}

/// Compares a forward and a reverse lookup by the system's resolver.
pub(super) fn system(context: &Context) -> TaskResult<String> {
    let theirs = Exec::new("getent", ["ahostsv4", "localhost"]).text()?;
    let mut addresses: Vec<&str> = theirs
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    addresses.dedup();
    let theirs: String = addresses.iter().map(|a| format!("{a}\n")).collect();
    let ours = context.tool("resolve", ["-4", "localhost"]).text()?;
    same_lines("localhost", &ours, &theirs)?;
    let theirs = Exec::new("getent", ["hosts", "127.0.0.1"]).text()?;
    let theirs = theirs.split_whitespace().nth(1).unwrap_or("").to_owned();
    let ours = context.tool("resolve", ["127.0.0.1"]).text()?;
    same_lines("127.0.0.1", &ours, &format!("{theirs}\n"))?;
    Ok("localhost, forward and reverse".to_owned())
}

/// Returns the name and type of every record set in the zone.
fn questions() -> Vec<(String, String)> {
    let mut questions = vec![
        (APEX.to_owned(), "SOA".to_owned()),
        (APEX.to_owned(), "NS".to_owned()),
    ];
    for line in RECORDS.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(rtype)) = (words.next(), words.next())
            // The NS record below the apex is a delegation, which its DS needs.
            && rtype != "NS"
        {
            let question = (format!("{name}.{APEX}"), rtype.to_owned());
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
    }
    questions
}

/// Sorts the lines, since servers may rotate them, and removes spaces outside of
/// quotes.
fn canonical(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(without_spaces).collect();
    lines.sort();
    lines.concat()
}

fn without_spaces(line: &str) -> String {
    let mut quoted = false;
    let mut escaped = false;
    let mut out = String::new();
    for c in line.chars() {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        if quoted || c != ' ' {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

/// Starts nsd with the zone.
fn nsd(dir: &Path, port: u16) -> TaskResult<Background> {
    let mut zone = format!(
        "$ORIGIN {APEX}\n$TTL 300\n\
         @ SOA ns.{APEX} admin.{APEX} 2026010101 7200 900 86400 60\n\
         @ NS ns.{APEX}\nns A 127.0.0.1\n"
    );
    zone.push_str(RECORDS);
    for n in 0..40 {
        zone.push_str(&format!("big TXT \"{n} {}\"\n", "filler ".repeat(12)));
    }
    nameservers::write(dir, "interop.zone", &zone)?;
    nameservers::nsd(dir, port, &[(APEX, "interop.zone")])
}

#[cfg(test)]
mod tests {
    use super::{canonical, questions};

    #[test]
    fn spaces_are_kept_only_in_quotes() {
        assert_eq!(
            canonical("b \"x y\\\" z\" c\na b\n"),
            "ab\nb\"x y\\\" z\"c\n"
        );
    }

    #[test]
    fn the_zone_holds_many_types() {
        assert!(questions().len() > 40);
    }
}
