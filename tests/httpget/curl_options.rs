//! Options of curl: those without a counterpart, and those that change nothing.

use testkit::http::Reply;

use crate::support::{always, httpget};

/// Options of curl that a tool for GET does not have.
#[test]
fn options_of_curl_get_hints() {
    let refused = |option: &str, line: &str| {
        let args = [option, "x", "http://127.0.0.1:1/"];
        httpget()
            .args(args)
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!(
                "httpget: {option} is not supported: {line}; see 'httpget --help'\n"
            ));
    };
    for option in ["-X", "-d", "-T", "-F", "--request", "--data"] {
        refused(option, "httpget sends only GET and, with -I, HEAD");
    }
    for (option, hint) in [
        ("--url", "give the URL without an option"),
        ("-G", "use --url-query NAME=VALUE"),
        ("-K", "there is no configuration file"),
        ("--anyauth", "use --digest if the server asks for it"),
        ("--oauth2-bearer", "use --bearer-file FILE"),
        (
            "--http2",
            "requests are HTTP/1.1, which every server understands",
        ),
        (
            "--proto",
            "only http and https are supported, and no redirect from https to http",
        ),
        (
            "--proxytunnel",
            "https always uses a tunnel, and http never does",
        ),
    ] {
        refused(option, hint);
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
