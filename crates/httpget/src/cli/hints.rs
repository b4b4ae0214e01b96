//! Hints for options of curl and wget that httpget does not have.

/// Returns what to use instead of an option of curl or wget.
pub(super) fn hint(option: &str) -> Option<&'static str> {
    curl(option).or_else(|| wget(option))
}

const ONLY_GET: &str = "only GET and, with -I, HEAD are supported; use curl";
const ONLY_HTTP_1_1: &str = "use HTTP/1.1, the only version that is supported";
const ONE_URL: &str = "links in a page are not followed; use wget";

fn curl(option: &str) -> Option<&'static str> {
    Some(match option {
        "-X" | "-d" | "-T" | "-F" | "--request" | "--data" | "--data-raw" | "--data-binary"
        | "--form" | "--upload-file" => ONLY_GET,
        "-0" | "--http1.0" | "--http2" | "--http2-prior-knowledge" | "--http3" => ONLY_HTTP_1_1,
        "--url" => "give the URL without an option",
        "-G" | "--get" | "--data-urlencode" => "use --url-query NAME=VALUE",
        "-K" | "--config" => "there is no configuration file",
        "--anyauth" => "use --digest if the server asks for it",
        "--netrc-optional" => "use -n and no user in the URL",
        "--oauth2-bearer" => "use --bearer-file FILE",
        "--proto" | "--proto-redir" | "--proto-default" => {
            "only http and https are supported, and no redirect from https to http"
        }
        "-p" | "--proxytunnel" => "a proxy is always tunnelled for https:// and never for http://",
        _ => return None,
    })
}

/// Long options that wget and httpget have in common, such as `--limit-rate`, need no
/// hint.
fn wget(option: &str) -> Option<&'static str> {
    Some(match option {
        // `-qO-` and `-O-`, of which clap reports the last letter as `--`.
        "--" => "omit -O to print the body, or use -o FILE",
        "--continue" | "--start-pos" => "use -C - to resume, or -C OFFSET",
        "--content-disposition" | "--trust-server-names" => "use -O -J",
        "--no-check-certificate" => "use -k",
        "--ca-certificate" => "use --cacert FILE",
        "--ca-directory" => "use --capath DIR",
        "--certificate" => "use --cert FILE",
        "--private-key" => "use --key FILE",
        "--secure-protocol" => "use --tlsv1.3 or --tls-max VERSION",
        "-t" | "--tries" => "use --retry N, which does not count the first attempt",
        "--waitretry" => "use --retry-delay DURATION",
        "--retry-on-http-error" => "use --retry N, which includes temporary statuses",
        "--read-timeout" => "use --stall-timeout DURATION",
        "--dns-timeout" => "use --connect-timeout DURATION",
        "-Q" | "--quota" => "use --max-filesize SIZE",
        "--output-document" => "use -o FILE",
        "--output-file" | "--append-output" => "messages go to standard error; redirect it",
        "-P" | "--directory-prefix" => "use --output-dir DIR",
        "--input-file" => "use @FILE as the URL, or - for standard input",
        "--server-response" => "use -v, or -i to print the head before the body",
        "--spider" => "use -I",
        "--timestamping" => "use -z FILE -R",
        "--no-verbose" => "use -q",
        "--show-progress" => "the progress bar is shown if standard error is a terminal",
        "--http-user" | "--http-password" => "use -u USER:PASSWORD",
        "--proxy-password" => "use -U USER:PASSWORD",
        "--no-proxy" => "use --noproxy '*'",
        "--load-cookies" => "use -b FILE",
        "--save-cookies" => "use -c FILE",
        "--max-redirect" => "use --max-redirs N",
        "--bind-address" => "use --interface ADDRESS",
        "--inet4-only" => "use -4",
        "--inet6-only" => "use -6",
        "--compression" => "use --compressed",
        "--method" | "--post-data" | "--post-file" | "--body-data" | "--body-file" => ONLY_GET,
        "--recursive" | "--level" | "--mirror" | "--page-requisites" | "--convert-links"
        | "--no-parent" => ONE_URL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{curl, wget};
    use crate::cli::Cli;

    #[test]
    fn no_hint_hides_an_option() {
        for arg in Cli::command().get_arguments() {
            let long = arg.get_long_and_visible_aliases().unwrap_or_default();
            for name in long.iter().map(|name| format!("--{name}")) {
                assert_eq!(curl(&name).or_else(|| wget(&name)), None, "{name}");
            }
            let short = arg.get_short_and_visible_aliases().unwrap_or_default();
            for name in short.iter().map(|name| format!("-{name}")) {
                assert_eq!(curl(&name).or_else(|| wget(&name)), None, "{name}");
            }
        }
    }
}
