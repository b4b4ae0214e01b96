//! Options of curl and wget: those without a counterpart, and those that change
//! nothing.

use testkit::http::Reply;

use crate::support::{always, httpget};

/// Checks that an option is refused with this hint.
fn refused(option: &str, hint: &str) {
    httpget()
        .args([option, "x", "http://127.0.0.1:1/"])
        .run()
        .code(2)
        .stdout("")
        .stderr_contains(&format!("httpget: {option} is not supported"))
        .stderr_contains(&format!(" {hint}; see 'httpget --help'\n"));
}

/// Options of curl that a tool for GET does not have.
#[test]
fn options_of_curl_get_hints() {
    let only_get = "only GET and, with -I, HEAD are supported; use curl";
    for option in ["-X", "-d", "-T", "-F", "--request", "--data"] {
        refused(option, only_get);
    }
    for (option, hint) in [
        ("--url", "give the URL without an option"),
        ("-G", "use --url-query NAME=VALUE"),
        ("-K", "there is no configuration file"),
        ("--anyauth", "use --digest if the server asks for it"),
        ("--netrc-optional", "use -n and no user in the URL"),
        ("--oauth2-bearer", "use --bearer-file FILE"),
        (
            "--http2",
            "use HTTP/1.1, the only version that is supported",
        ),
        (
            "--proto",
            "only http and https are supported, and no redirect from https to http",
        ),
        (
            "--proxytunnel",
            "a proxy is always tunnelled for https:// and never for http://",
        ),
    ] {
        refused(option, hint);
    }
}

#[test]
fn options_of_wget_get_hints() {
    for (option, hint) in [
        ("--continue", "use -C - to resume, or -C OFFSET"),
        ("--content-disposition", "use -O -J"),
        ("--no-check-certificate", "use -k"),
        (
            "--tries",
            "use --retry N, which does not count the first attempt",
        ),
        ("-P", "use --output-dir DIR"),
        ("--output-document", "use -o FILE"),
        (
            "--input-file",
            "use @FILE as the URL, or - for standard input",
        ),
        ("--spider", "use -I"),
        (
            "--post-data",
            "only GET and, with -I, HEAD are supported; use curl",
        ),
        ("--recursive", "links in a page are not followed; use wget"),
    ] {
        refused(option, hint);
    }
    for option in ["-O-", "-qO-"] {
        httpget()
            .args([option, "http://127.0.0.1:1/"])
            .run()
            .code(2)
            .stdout("")
            .stderr(
                "httpget: -- is not supported; omit -O to print the body, or use -o FILE; \
                 see 'httpget --help'\n",
            );
    }
    // Both letters have another meaning, that of curl.
    for option in ["-c", "-nc"] {
        httpget()
            .args([option, "http://127.0.0.1:1/file"])
            .run()
            .code(2)
            .stdout("")
            .stderr(
                "httpget: missing URL: -c takes the name of a file for cookies; use -C - to \
                 resume, --no-clobber or --skip-existing to keep files; see 'httpget --help'\n",
            );
    }
}

#[test]
fn options_of_curl_that_change_nothing_are_accepted() {
    let server = always(Reply::new(404).body("no such page\n"));
    let url = server.url("/");
    for option in [
        "-L",
        "-N",
        "-g",
        "-#",
        "--fail-with-body",
        "--http1.1",
        "--basic",
        "--tlsv1.2",
    ] {
        httpget()
            .args([option, &url])
            .run()
            .code(1)
            .stdout("no such page\n")
            .stderr(&format!("httpget: {url}: 404 Not Found\n"));
    }
    let dir = tempfile::tempdir().unwrap();
    let named = always(Reply::text("x"));
    httpget()
        .cwd(dir.path())
        .args(["--remote-name-all", &named.url("/a"), &named.url("/b")])
        .run()
        .code(0);
    assert_eq!(crate::support::files(dir.path()), ["a", "b"]);
}
