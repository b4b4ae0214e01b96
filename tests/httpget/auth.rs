//! Logins, bearer tokens and challenges.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use testkit::Tool;
use testkit::http::{HttpServer, Reply};

use crate::support::{always, httpget};

#[test]
fn netrc_logins_are_sent_to_their_hosts_only() {
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
    // The default entry is for the origin of the URL.
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
    // As in curl, only a file that was named must exist.
    let empty = tempfile::tempdir().unwrap();
    httpget()
        .args(["-n", &server.url("/")])
        .env("HOME", empty.path())
        .run()
        .code(0)
        .stderr("");
    assert_eq!(server.requests()[2].header("authorization"), None);
    httpget()
        .cwd(empty.path())
        .args(["--netrc-file", ".netrc", &server.url("/")])
        .run()
        .code(2)
        .stderr("httpget: .netrc: no such file or directory\n");
}

#[test]
fn bearer_tokens_are_read_from_a_file() {
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
fn digest_challenges_are_answered() {
    let sha256 = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex = digest.as_ref().iter().map(|b| format!("{b:02x}"));
        hex.collect::<Vec<_>>().concat()
    };
    let server = HttpServer::start(move |request| match request.header("authorization") {
        // Checked as by a server (RFC 7616, section 3.4.1).
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
fn netrc_entries_are_independent() {
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
fn a_password_is_read_from_the_terminal_only() {
    let server = always(Reply::text("x"));
    // A new session has no terminal.
    let out = Tool::new("setsid")
        .arg("-w")
        .arg(env!("CARGO_BIN_EXE_httpget"))
        .args(["-u", "alice", &server.url("/")])
        .stdin("from stdin\n")
        .run();
    out.code(2)
        .stderr_contains("missing password for --user, and no terminal to ask for it");
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
    // The password is not echoed.
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
fn an_expired_nonce_is_replaced_once() {
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
    // A server that always sends a stale nonce does not cause a loop.
    let always_old = always(Reply::new(401).header(
        "WWW-Authenticate",
        "Digest realm=\"r\", nonce=\"old\", stale=true",
    ));
    httpget()
        .args(["--digest", "-u", "me:pw", &always_old.url("/")])
        .run()
        .code(1);
    assert_eq!(always_old.requests().len(), 3);
    // An unsupported challenge is reported as such.
    let other = always(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\""));
    httpget()
        .args(["--digest", "-u", "me:pw", &other.url("/")])
        .run()
        .code(1)
        .stderr_contains("the server offers no Digest challenge that is supported");
}
