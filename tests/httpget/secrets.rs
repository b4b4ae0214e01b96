//! Credentials: not in the process list, not in files that other users can read, and not
//! sent to other origins.

use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use testkit::Running;
use testkit::http::{Gate, HttpServer, Reply};

use crate::support::{always, files, httpget};

/// A server that sends its body when the gate opens.
fn waiting_server(gate: &Gate) -> HttpServer {
    let head = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    always(head.wait(gate).then("ok"))
}

/// Returns the arguments in the process list once the request was received.
fn command_line(server: &HttpServer, running: &Running) -> String {
    while server.requests().is_empty() {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    let shown = std::fs::read(format!("/proc/{}/cmdline", running.pid())).unwrap();
    String::from_utf8(shown).unwrap().replace('\0', " ")
}

#[test]
fn arguments_are_masked_in_the_process_list() {
    let gate = Gate::new();
    let server = waiting_server(&gate);
    let url = server.url("/path");
    let with_user = url.replace("://", "://urluser:urlpw@");
    let proxy = server.url("").replace("://", "://proxyuser:proxypw@");
    let running = httpget()
        .args([
            "-u",
            "first:firstpw",
            "-sualice:alicepw",
            "--proxy-user=p:ppw",
        ])
        .args(["-H", "X-Api-Key: apikey1", "-HAuthorization: Bearer token1"])
        .args(["-H", "X-Plain: plain", "-b", "sid=cookie1", "-x", &proxy])
        .args(["-e", "http://refuser:refpw@from.test/page"])
        .args([
            "--url-query",
            "api_key=querykey1",
            "--url-query",
            "q=plain2",
        ])
        .args(["--noproxy", "*", &with_user])
        .spawn();
    let shown = command_line(&server, &running);
    gate.open();
    running.wait().code(0).stdout("ok");
    for secret in [
        "pw",
        "alice",
        "first",
        "apikey1",
        "token1",
        "cookie1",
        "urluser",
        "proxyuser",
        "refuser",
        "querykey1",
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    for rest in [
        " -u ",
        "-su",
        "X-Api-Key: ",
        "X-Plain: plain",
        "/path",
        "@from.test/page",
        "q=plain2",
        "--noproxy *",
    ] {
        assert!(shown.contains(rest), "no {rest} in {shown}");
    }
    // They are sent unchanged.
    let sent = server.requests().remove(0);
    assert_eq!(sent.header("x-api-key"), Some("apikey1"));
    assert_eq!(sent.header("cookie"), Some("sid=cookie1"));
    assert_eq!(sent.target, "/path?api_key=querykey1&q=plain2");
}

#[test]
fn a_single_secret_is_masked() {
    for option in [
        "--url-query=api_key=secret1",
        "--referer=http://h/?token=secret1",
    ] {
        let gate = Gate::new();
        let server = waiting_server(&gate);
        let running = httpget().args([option, &server.url("/")]).spawn();
        let shown = command_line(&server, &running);
        gate.open();
        running.wait().code(0).stdout("ok");
        assert!(shown.contains("=******* "), "{shown}");
    }
}

#[test]
fn files_with_cookies_are_private() {
    let server = always(Reply::text("x").header("Set-Cookie", "a=b"));
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| dir.path().join(name).metadata().unwrap().mode() & 0o777;
    std::fs::write(dir.path().join("old"), "").unwrap();
    std::fs::write(dir.path().join("other"), "other").unwrap();
    symlink("other", dir.path().join("link")).unwrap();
    for jar in ["new", "old", "link"] {
        httpget()
            .cwd(dir.path())
            .args(["-c", jar, "-D", "heads", &server.url("/")])
            .run()
            .code(0);
        let text = std::fs::read_to_string(dir.path().join(jar)).unwrap();
        assert!(text.contains("\ta\tb\n"), "{text}");
        assert_eq!(mode(jar), 0o600, "{jar}");
    }
    assert_eq!(mode("heads"), 0o600);
    assert_eq!(std::fs::read(dir.path().join("other")).unwrap(), b"other");
    assert_eq!(files(dir.path()), ["heads", "link", "new", "old", "other"]);
    // If the jar cannot be written, the old one stays.
    let out = httpget()
        .cwd(dir.path())
        .args(["-c", "no/jar", &server.url("/")])
        .run();
    out.code(2);
}

#[test]
fn a_large_cookie_file_needs_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let jar = dir.path().join("jar");
    let value = "v".repeat(100);
    let text: Vec<String> = (0..200_000)
        .map(|n| format!("127.0.0.1\tFALSE\t/\tFALSE\t0\tn{n}\t{value}\n"))
        .collect();
    std::fs::write(&jar, text.concat()).unwrap();
    let server = always(Reply::text("ok"));
    httpget()
        .measure_memory()
        .timeout(Duration::from_secs(60))
        .args(["-b", jar.to_str().unwrap(), &server.url("/")])
        .run()
        .code(0)
        .peak_memory_below(30 << 20);
    let sent = server.requests().remove(0);
    assert!(sent.header("cookie").unwrap().len() <= 8190);
}

#[test]
fn endless_files_are_refused() {
    let server = always(Reply::text("ok"));
    for (option, reason) in [
        ("--netrc-file", "longer than 16 MiB"),
        ("--bearer-file", "longer than 16 MiB"),
        ("--etag-compare", "longer than 16 MiB"),
        ("--cacert", "longer than 16 MiB"),
        ("-b", "not a line of a Netscape cookie file"),
    ] {
        let url = match option {
            "--cacert" => server.url("/").replace("http:", "https:"),
            _ => server.url("/"),
        };
        httpget()
            .timeout(Duration::from_secs(60))
            .args([option, "/dev/zero", &url])
            .run()
            .code(2)
            .stderr_contains(reason);
    }
    for argument in ["-H@/dev/zero", "-w@/dev/zero"] {
        httpget()
            .timeout(Duration::from_secs(60))
            .args([argument, &server.url("/")])
            .run()
            .code(2)
            .stderr_contains("longer than 16 MiB");
    }
}

#[test]
fn headers_with_secret_names_stay_at_their_origin() {
    let away = always(Reply::text("away"));
    let target = away.url("/");
    let home = HttpServer::start(move |_| Reply::redirect(302, &target));
    let names = ["Ocp-Apim-Subscription-Key", "X-JWT", "X-Sid", "X-Plain"];
    let mut tool = httpget();
    for name in names {
        tool = tool.args(["-H", &format!("{name}: v")]);
    }
    tool.arg(home.url("/")).run().code(0).stdout("away");
    let sent = away.requests().remove(0);
    let received: Vec<&str> = names
        .into_iter()
        .filter(|name| sent.header(name).is_some())
        .collect();
    assert_eq!(received, ["X-Plain"]);
    let sent = home.requests().remove(0);
    assert!(names.iter().all(|name| sent.header(name).is_some()));
}
