//! Hints for options of dig, such as `+tcp`.

/// Returns the message for an operand that begins with `+`.
pub(super) fn explain(option: &str) -> String {
    let name = option.trim_start_matches('+');
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    match equivalent(name) {
        Some(ours) => format!("unknown option '{option}'; use {ours}"),
        None => format!("unknown option '{option}'; options start with --"),
    }
}

/// Returns what to use in place of an option of dig.
fn equivalent(name: &str) -> Option<&'static str> {
    Some(match name {
        "tcp" | "vc" => "--tcp",
        "trace" => "--trace",
        "dnssec" | "do" => "--dnssec",
        "short" => "--short",
        "nsid" => "--nsid",
        "bufsize" | "bufsiz" => "--bufsize BYTES",
        "subnet" | "client" => "--subnet ADDR/LEN",
        "norecurse" | "norec" | "nordflag" => "--no-recurse",
        "search" | "defname" => "--search",
        "time" | "timeout" => "--timeout DURATION",
        "stats" => "--verbose",
        "all" | "comments" | "question" | "authority" | "additional" => "--full",
        "noall" | "answer" | "nocmd" | "nocomments" | "noquestion" | "nostats" => {
            "--long for records only"
        }
        "tls" => "@tls://IP#NAME",
        "https" => "@https://HOST/PATH",
        _ => return None,
    })
}
