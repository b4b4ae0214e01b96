//! Conditional requests: `-z`, `--etag-compare`, `--etag-save`.

use testkit::http::{HttpServer, Reply};

use crate::support::{files, httpget};

#[test]
fn conditional_requests() {
    let server = HttpServer::start(|request| {
        let same = request.header("if-none-match") == Some("\"1\"");
        let reply = if same || request.header("if-modified-since").is_some() {
            Reply::new(304)
        } else {
            Reply::text("new\n")
        };
        reply.header("ETag", "\"1\"")
    });
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        httpget()
            .args(args)
            .arg(server.url("/"))
            .cwd(dir.path())
            .run()
    };
    let tags = ["--etag-compare", "tag", "--etag-save", "tag", "-o", "f"];
    run(&tags).code(0);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("tag")).unwrap(),
        "\"1\"\n"
    );
    std::fs::write(dir.path().join("f"), "mine").unwrap();
    run(&tags).code(0);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("f")).unwrap(),
        "mine"
    );
    assert!(!dir.path().join("f.part").exists());
    run(&["-z", "Sun, 06 Nov 1994 08:49:37 GMT"])
        .code(0)
        .stdout("");
    run(&["-z", "f"]).code(0).stdout("");
    run(&["-z", "-06 Nov 1994 08:49:37"])
        .code(0)
        .stdout("new\n");
    let sent: Vec<_> = server.requests();
    assert_eq!(
        sent[2].header("if-modified-since"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    assert!(sent[3].header("if-modified-since").is_some());
    assert_eq!(
        sent[4].header("if-unmodified-since"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    for (typed, sent) in [
        ("2021-01-31", "Sun, 31 Jan 2021 00:00:00 GMT"),
        ("20210131", "Sun, 31 Jan 2021 00:00:00 GMT"),
        ("31 Jan 2021", "Sun, 31 Jan 2021 00:00:00 GMT"),
        ("2021-01-31T12:00:00Z", "Sun, 31 Jan 2021 12:00:00 GMT"),
    ] {
        run(&["-z", typed]).code(0);
        let requests = server.requests();
        let last = requests.last().unwrap();
        assert_eq!(last.header("if-modified-since"), Some(sent), "{typed}");
    }
    run(&["-z", "no-date"])
        .code(2)
        .stderr_contains("must be a file or a date such as 2021-01-31");
}

#[test]
fn a_dash_means_standard_output() {
    let server = HttpServer::start(|_| {
        Reply::ok("body")
            .header("ETag", "\"1\"")
            .header("Set-Cookie", "a=b; Path=/")
    });
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        httpget()
            .args(args)
            .arg(server.url("/"))
            .cwd(dir.path())
            .run()
    };
    run(&["--etag-save", "-"]).code(0).stdout("\"1\"\nbody");
    run(&["--etag-save", "-", "-o", "/dev/null"])
        .code(0)
        .stdout("\"1\"\n");
    let out = run(&["-c", "-", "-o", "/dev/null"]);
    out.code(0).stdout_contains("\ta\tb\n");
    assert!(out.stdout.starts_with(b"# Netscape"));
    for option in ["--etag-save", "--cookie-jar"] {
        run(&[option, "-", "--json"])
            .code(2)
            .stderr_contains("cannot be used with --json");
    }
    assert_eq!(files(dir.path()).len(), 0);
}

#[test]
fn an_old_body_is_not_saved_even_if_the_server_sends_it() {
    let server = HttpServer::start(|request| {
        let reply = Reply::text("body\n");
        match request.path() {
            "/undated" => reply,
            _ => reply.header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let run = |date: &str, path: &str| {
        let args = ["-z", date, "-w", "%{http_code}", &server.url(path)];
        httpget().args(args).run()
    };
    // A body of the same second is not newer.
    for (date, is_saved) in [
        ("Sun, 06 Nov 1994 08:49:36 GMT", true),
        ("Sun, 06 Nov 1994 08:49:37 GMT", false),
        ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ("-Sun, 06 Nov 1994 08:49:36 GMT", false),
        ("-Sun, 06 Nov 1994 08:49:37 GMT", true),
        ("-Sun, 06 Nov 1994 08:49:38 GMT", true),
    ] {
        let stdout = if is_saved { "body\n200" } else { "304" };
        run(date, "/").code(0).stdout(stdout).stderr("");
        run(date, "/undated").code(0).stdout("body\n200");
    }
    // An existing file is kept, and no partial file is left.
    std::fs::write(dir.path().join("f"), "mine").unwrap();
    httpget()
        .cwd(dir.path())
        .args(["-z", "f", "-o", "f", &server.url("/")])
        .run()
        .code(0)
        .stderr("");
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"mine");
    assert_eq!(files(dir.path()), ["f"]);
}

#[test]
fn entity_tags_may_be_missing_or_empty() {
    let server = HttpServer::start(|request| match request.path() {
        "/empty" => Reply::text("x").header("ETag", ""),
        _ => Reply::text("x").header("ETag", "\"1\""),
    });
    let dir = tempfile::tempdir().unwrap();
    let get = |path: &str| {
        httpget()
            .cwd(dir.path())
            .args(["--etag-compare", "tag", "--etag-save", "tag"])
            .arg(server.url(path))
            .run()
            .code(0);
        let request = server.requests().pop().unwrap();
        let saved = std::fs::read_to_string(dir.path().join("tag")).unwrap();
        (request.header("if-none-match").unwrap().to_owned(), saved)
    };
    assert_eq!(get("/empty"), ("\"\"".to_owned(), String::new()));
    assert_eq!(get("/"), ("\"\"".to_owned(), "\"1\"\n".to_owned()));
    assert_eq!(get("/").0, "\"1\"");
}
