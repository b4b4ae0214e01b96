//! Passwords, tokens, challenges, cookies and conditions.

use std::os::unix::fs::MetadataExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use testkit::Tool;
use testkit::http::{HttpServer, Reply};

use crate::kit::{always, files, httpget};

#[test]
fn netrc_is_for_the_hosts_it_names() {
    let other = always(Reply::text("x"));
    let to = format!("http://localhost:{}/", other.addr().port());
    let server = HttpServer::start(move |_| Reply::redirect(302, &to));
    let dir = tempfile::tempdir().unwrap();
    let rc = dir.path().join("rc");
    std::fs::write(
        &rc,
        "machine 127.0.0.1 login u password p\ndefault login d password e\n",
    )
    .unwrap();
    let rc = rc.to_str().unwrap();
    httpget()
        .args(["--netrc-file", rc, &server.url("/")])
        .run()
        .code(0);
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Basic dTpw")
    );
    // The default is for the URL's own origin.
    assert_eq!(other.requests()[0].header("authorization"), None);
    std::fs::write(
        dir.path().join(".netrc"),
        "machine 127.0.0.1 login n password m\n",
    )
    .unwrap();
    httpget()
        .args(["-n", &server.url("/")])
        .env("HOME", dir.path())
        .run()
        .code(0);
    assert_eq!(
        server.requests()[1].header("authorization"),
        Some("Basic bjpt")
    );
    httpget()
        .args(["-n", &server.url("/")])
        .run()
        .code(2)
        .stderr_contains(".netrc");
}

#[test]
fn bearer_tokens() {
    let server = always(Reply::text("x"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "abc\n").unwrap();
    httpget()
        .args(["--bearer-file", "token", &server.url("/")])
        .cwd(dir.path())
        .run()
        .code(0);
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Bearer abc")
    );
    httpget()
        .args(["--bearer-file", "none", &server.url("/")])
        .run()
        .code(2);
}

#[test]
fn digest() {
    let sha256 = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex = digest.as_ref().iter().map(|b| format!("{b:02x}"));
        hex.collect::<Vec<_>>().concat()
    };
    let server = HttpServer::start(move |request| match request.header("authorization") {
        // Checked as a server does it (RFC 7616, section 3.4.1).
        Some(value)
            if {
                let cnonce = value.split("cnonce=\"").nth(1).unwrap_or_default();
                let cnonce = cnonce.trim_end_matches('"');
                let response = sha256(&format!(
                    "{}:n:00000001:{cnonce}:auth:{}",
                    sha256("me:r:pw"),
                    sha256("GET:/p?q"),
                ));
                value
                    == format!(
                        "Digest username=\"me\", realm=\"r\", nonce=\"n\", uri=\"/p?q\", \
                         response=\"{response}\", algorithm=SHA-256, qop=auth, nc=00000001, \
                         cnonce=\"{cnonce}\""
                    )
                    && cnonce.len() == 32
            } =>
        {
            Reply::text("in\n")
        }
        _ => Reply::new(401)
            .header("WWW-Authenticate", "Basic realm=\"r\"")
            .header(
                "WWW-Authenticate",
                "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256",
            )
            .body("out\n"),
    });
    let url = server.url("/p?q");
    httpget()
        .args(["--digest", "-u", "me:pw", &url])
        .run()
        .code(0)
        .stdout("in\n")
        .stderr("");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("authorization"), None);
    assert!(!String::from_utf8_lossy(&requests[1].head).contains("pw"));
    httpget()
        .args(["-s", "--digest", &url])
        .run()
        .code(1)
        .stdout("out\n");
}

#[test]
fn cookies() {
    let other = always(Reply::text("x"));
    let to = other.url("/");
    let server = HttpServer::start(move |request| match request.path() {
        "/set" => Reply::redirect(302, "/d/use")
            .header("Set-Cookie", "a=1; Path=/")
            .header("Set-Cookie", "b=2; Path=/d")
            .header("Set-Cookie", "c=3; Path=/e")
            .header("Set-Cookie", "gone=4; Max-Age=0")
            .header("Set-Cookie", "evil=5; Domain=com"),
        "/away" => Reply::redirect(302, &to),
        _ => Reply::text("x"),
    });
    let dir = tempfile::tempdir().unwrap();
    let jar = dir.path().join("jar");
    let path = jar.to_str().unwrap();
    // Without a jar nothing is kept.
    httpget()
        .args(["-b", "x=y", &server.url("/set")])
        .run()
        .code(0);
    assert_eq!(server.requests()[1].header("cookie"), Some("x=y"));
    httpget()
        .args(["-c", path, &server.url("/set")])
        .run()
        .code(0);
    assert_eq!(server.requests()[3].header("cookie"), Some("b=2; a=1"));
    assert_eq!(jar.metadata().unwrap().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&jar).unwrap();
    assert!(
        text.contains("127.0.0.1\tFALSE\t/d\tFALSE\t0\tb\t2\n"),
        "{text}"
    );
    httpget()
        .args(["-b", path, "-b", "z=w", &server.url("/e/f")])
        .run()
        .code(0);
    assert_eq!(server.requests()[4].header("cookie"), Some("c=3; a=1; z=w"));
    // A cookie knows no ports, what was given by hand does.
    httpget()
        .args(["-b", path, "-b", "z=w", &server.url("/away")])
        .run()
        .code(0);
    assert_eq!(other.requests()[0].header("cookie"), Some("a=1"));
    std::fs::write(&jar, "nonsense\n").unwrap();
    httpget()
        .args(["-b", path, &server.url("/")])
        .run()
        .code(2)
        .stderr_contains("jar:1");
}

#[test]
fn conditions() {
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
    run(&["-z", "nonsense"])
        .code(2)
        .stderr_contains("neither a file nor a date such as 2021-01-31");
}

#[test]
fn a_dash_is_standard_output() {
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
            .stderr_contains("does not go with --json");
    }
    assert_eq!(files(dir.path()).len(), 0);
}

#[test]
fn a_server_that_does_not_look_at_its_age() {
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
    // Equal is not newer, and old enough.
    for (date, got) in [
        ("Sun, 06 Nov 1994 08:49:36 GMT", true),
        ("Sun, 06 Nov 1994 08:49:37 GMT", false),
        ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ("-Sun, 06 Nov 1994 08:49:36 GMT", false),
        ("-Sun, 06 Nov 1994 08:49:37 GMT", true),
        ("-Sun, 06 Nov 1994 08:49:38 GMT", true),
    ] {
        let stdout = if got { "body\n200" } else { "304" };
        run(date, "/").code(0).stdout(stdout).stderr("");
        run(date, "/undated").code(0).stdout("body\n200");
    }
    // What is there stays, and is no part file.
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
fn netrc_entries_stay_apart() {
    let server = always(Reply::text("x"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("netrc");
    let sent = |text: &str, args: &[&str], url: &str| {
        std::fs::write(&file, text).unwrap();
        httpget()
            .arg("--netrc-file")
            .arg(&file)
            .args(args)
            .arg(url)
            .run()
            .code(0);
        let request = server.requests().pop().unwrap();
        let coded = request
            .header("authorization")
            .unwrap()
            .replace("Basic ", "");
        String::from_utf8(STANDARD.decode(coded).unwrap()).unwrap()
    };
    let url = server.url("/");
    let other = "machine other.test login bob password secret\n";
    let text = format!("machine 127.0.0.1 login alice password #pass\n{other}");
    assert_eq!(sent(&text, &[], &url), "alice:#pass");
    let text = format!("machine 127.0.0.1 login alice password\n{other}");
    assert_eq!(sent(&text, &[], &url), "alice:");
    let two = "machine 127.0.0.1 login a password 1\nmachine 127.0.0.1 login b password 2\n";
    assert_eq!(sent(two, &[], &url), "a:1");
    assert_eq!(sent(two, &["-u", "b"], &url), "b:2");
    assert_eq!(sent(two, &[], &url.replace("://", "://b@")), "b:2");
    assert_eq!(sent(two, &[], &url.replace("://", "://c@")), "c:");
}

#[test]
fn a_password_is_asked_for_on_the_terminal_only() {
    let server = always(Reply::text("x"));
    // A session of its own has no terminal.
    let out = Tool::new("setsid")
        .arg("-w")
        .arg(env!("CARGO_BIN_EXE_httpget"))
        .args(["-u", "alice", &server.url("/")])
        .stdin("from stdin\n")
        .run();
    out.code(2)
        .stderr_contains("--user: no password, and no terminal to ask for it");
    assert!(server.requests().is_empty());
    if Tool::new("sh").args(["-c", "command -v script"]).run().code != Some(0) {
        return testkit::netns::skip("not installed: script");
    }
    let command = format!(
        "{} -u alice {}",
        env!("CARGO_BIN_EXE_httpget"),
        server.url("/")
    );
    let mut running = Tool::new("script")
        .args(["-qec", &command, "/dev/null"])
        .piped_stdin()
        .spawn();
    while !String::from_utf8_lossy(&running.stdout_so_far()).contains("Password") {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.write_stdin(b"pass word\n");
    while server.requests().is_empty() {
        assert!(running.is_running());
        std::thread::yield_now();
    }
    running.close_stdin();
    let out = running.wait();
    // It is not shown.
    assert!(
        !out.stdout_str().contains("pass word"),
        "{}",
        out.stdout_str()
    );
    let request = server.requests().remove(0);
    let coded = STANDARD.encode("alice:pass word");
    assert_eq!(
        request.header("authorization"),
        Some(format!("Basic {coded}").as_str())
    );
}

#[test]
fn cookie_files_of_every_kind() {
    let server = HttpServer::start(|request| match request.path() {
        "/set" => Reply::text("x")
            .header("Set-Cookie", "sid=42;\tPath=/")
            .header("Set-Cookie", "safe=1; Secure; Path=/")
            .header("Set-Cookie", "root=1; Path=/x; Path="),
        _ => Reply::text("x"),
    });
    let dir = tempfile::tempdir().unwrap();
    let cookie = |args: &[&str]| {
        httpget()
            .cwd(dir.path())
            .args(args)
            .arg(server.url("/next"))
            .run()
            .code(0);
        let request = server.requests().pop().unwrap();
        request.header("cookie").unwrap_or_default().to_owned()
    };
    // The first run of curl's idiom makes the file.
    httpget()
        .cwd(dir.path())
        .args(["-b", "jar", "-c", "jar", "-D", "heads", &server.url("/set")])
        .run()
        .code(0)
        .stderr("");
    for file in ["jar", "heads"] {
        assert_eq!(cookie(&["-b", file]), "sid=42; safe=1; root=1", "{file}");
    }
    // Heads belong to the host that is asked for, and fields may be missing.
    let lines = "127.0.0.1\tFALSE\t/\tFALSE\t1999999999.5\tempty\n";
    std::fs::write(dir.path().join("short"), lines).unwrap();
    assert_eq!(cookie(&["-b", "short"]), "empty=");
    let out = httpget()
        .cwd(dir.path())
        .args(["-b", "missing", &server.url("/")])
        .run();
    out.code(0).stderr_contains("missing: no such file");
    std::fs::write(dir.path().join("junk"), "not cookies\n").unwrap();
    httpget()
        .cwd(dir.path())
        .args(["-b", "junk", &server.url("/")])
        .run()
        .code(2);
}

#[test]
fn a_nonce_that_is_too_old() {
    let server = HttpServer::start(|request| match request.header("authorization") {
        Some(value) if value.contains("nonce=\"new\"") => Reply::text("in\n"),
        Some(_) => Reply::new(401).header(
            "WWW-Authenticate",
            "Digest realm=\"r\", nonce=\"new\", qop=\"auth\", stale=true",
        ),
        None => Reply::new(401).header(
            "WWW-Authenticate",
            "Digest realm=\"r\", nonce=\"old\", qop=\"auth\"",
        ),
    });
    httpget()
        .args(["--digest", "-u", "me:pw", &server.url("/")])
        .run()
        .code(0)
        .stdout("in\n");
    assert_eq!(server.requests().len(), 3);
    // One that is never new enough ends it.
    let always_old = always(Reply::new(401).header(
        "WWW-Authenticate",
        "Digest realm=\"r\", nonce=\"old\", stale=true",
    ));
    httpget()
        .args(["--digest", "-u", "me:pw", &always_old.url("/")])
        .run()
        .code(1);
    assert_eq!(always_old.requests().len(), 3);
    // What cannot be answered is said to be so.
    let other = always(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\""));
    httpget()
        .args(["--digest", "-u", "me:pw", &other.url("/")])
        .run()
        .code(1)
        .stderr_contains("offers no Digest that can be answered");
}

#[test]
fn entity_tags_that_are_not_there_yet() {
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
        let asked = server.requests().pop().unwrap();
        let saved = std::fs::read_to_string(dir.path().join("tag")).unwrap();
        (asked.header("if-none-match").unwrap().to_owned(), saved)
    };
    assert_eq!(get("/empty"), ("\"\"".to_owned(), String::new()));
    assert_eq!(get("/"), ("\"\"".to_owned(), "\"1\"\n".to_owned()));
    assert_eq!(get("/").0, "\"1\"");
}
