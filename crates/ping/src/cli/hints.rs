//! Hints for options of other ping programs.

/// Returns a hint for an option of iputils' ping, fping or BSD's ping that this
/// tool lacks.
pub(super) fn unsupported_option_hint(option: &str) -> Option<&'static str> {
    Some(match option {
        // iputils and BSD
        "-C" => "use -c for fping's -C; iputils' -C is not needed",
        "-e" => "identifiers are always random; times are always printed (fping's -e)",
        "-F" => "the system chooses the flow label",
        "-H" => "names are looked up unless -n is given; use -t for fping's -H",
        "-N" => "node information queries are not supported",
        "-o" => "use -c 1, or --until-up to wait for the first reply",
        "-R" | "-T" => "use traceroute or tracepath",
        "-S" => {
            "use -I ADDR for the source address; the socket buffer is always as large as the \
             system allows"
        }
        // fping
        "--addr" => "use --json, which has the address of each target",
        "--all" => "use --all-addresses to probe every address of a name",
        "--backoff" => "retries have the same timeout as the first probe; use -W to set it",
        "--check-source" => "use --strict-source to ignore replies from other addresses",
        "--dontfrag" => "use -M do to forbid fragmentation",
        "--elapsed" => "times are always printed",
        "--fast-reachable" | "-x" | "-X" => "use --reachable N to require N answers",
        "--file" => "use @FILE to read the targets from a file, or - for standard input",
        "--fwmark" | "-k" => "use -m for the firewall mark",
        "--iface" => "use -I for the interface",
        "--loop" => "use --watch to probe a list until interrupted",
        "--name" | "--rdns" => "use resolve to look up the names of addresses",
        "--netdata" => "use --json, --csv or --metrics",
        "--outage" => "use --json, which has the outages of each target",
        "--random" => "use -p for the data of probes",
        "--squiet" => "use --watch for a line per target and interval",
        "--src" => "use -I ADDR for the source address",
        "--stats" => "use -c or --json for the statistics of each target",
        "-u" => "use --unreachable to print the targets that did not answer",
        "--vcount" => "use -c, or --json for each reply",
        "-g" => "give the network or range itself, as in 192.0.2.0/24 or 192.0.2.1-192.0.2.9",
        "-J" => "use --json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    /// A hint for an option that exists would never be shown.
    #[test]
    fn no_option_of_this_tool_has_a_hint() {
        for arg in Cli::command().get_arguments() {
            let short = arg.get_short().map(|letter| format!("-{letter}"));
            let long = arg.get_long().map(|name| format!("--{name}"));
            for option in short.into_iter().chain(long) {
                assert_eq!(unsupported_option_hint(&option), None, "{option}");
            }
        }
    }
}
