//! Cookies and cookie files.

use std::os::unix::fs::MetadataExt;

use testkit::http::{HttpServer, Reply};

use crate::support::{always, httpget};

#[test]
fn cookies_are_stored_and_sent() {
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
    // Without a jar no cookie is stored.
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
    // A cookie does not depend on the port; one of the command line does.
    httpget()
        .args(["-b", path, "-b", "z=w", &server.url("/away")])
        .run()
        .code(0);
    assert_eq!(other.requests()[0].header("cookie"), Some("a=1"));
    std::fs::write(&jar, "no cookie line\n").unwrap();
    httpget()
        .args(["-b", path, &server.url("/")])
        .run()
        .code(2)
        .stderr_contains("jar:1");
}

#[test]
fn cookie_files_of_every_kind_are_read() {
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
    // The first run of `-b FILE -c FILE` creates the file.
    httpget()
        .cwd(dir.path())
        .args(["-b", "jar", "-c", "jar", "-D", "heads", &server.url("/set")])
        .run()
        .code(0)
        .stderr("");
    for file in ["jar", "heads"] {
        assert_eq!(cookie(&["-b", file]), "sid=42; safe=1; root=1", "{file}");
    }
    // Dumped heads belong to the requested host, and fields may be missing.
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
