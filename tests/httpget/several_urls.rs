//! Several URLs: in parallel with `-Z`, and the pages of `--next`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::http::{Gate, HttpServer, Reply};

use crate::support::{files, httpget};

#[test]
fn files_are_saved_over_few_connections() {
    let server = HttpServer::start(|request| Reply::text(request.path().to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let urls: Vec<String> = (0..200).map(|n| server.url(&format!("/f{n:03}"))).collect();
    let out = httpget()
        .args(["-Z", "--parallel-max", "4", "-O", "--json", "-"])
        .stdin(urls.join("\n"))
        .cwd(dir.path())
        .run();
    out.code(0).stderr("");
    let records = out.json();
    assert_eq!(records.len(), 200);
    assert!(records.iter().all(|record| record["status"] == 200));
    let names = files(dir.path());
    assert_eq!(names.len(), 200);
    for name in names {
        let body = std::fs::read_to_string(dir.path().join(&name)).unwrap();
        assert_eq!(body, format!("/{name}"));
    }
    assert!(server.accepted() <= 4, "{}", server.accepted());
}

#[test]
fn parallel_transfers_write_whole_lines() {
    // Each response waits until all four requests have arrived.
    let (gate, begun) = (Gate::new(), AtomicUsize::new(0));
    let server = HttpServer::start(move |request| {
        if begun.fetch_add(1, Ordering::SeqCst) == 3 {
            gate.open();
        }
        let line = format!("{}\n", request.path()[1..].repeat(1000));
        let (a, b) = line.split_at(700);
        let length = line.len().to_string();
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{a}"
        ))
        .wait(&gate)
        .then(b)
    });
    let urls = ["/a", "/b", "/c", "/d"].map(|path| server.url(path));
    let out = httpget().arg("-Z").args(&urls).run();
    out.code(0);
    let mut lines = out.lines();
    lines.sort();
    assert_eq!(lines, ["a", "b", "c", "d"].map(|name| name.repeat(1000)));
}

/// A server with three bodies, `more` bytes longer than their path, that are sent when
/// all three heads have been sent.
fn three(more: usize) -> HttpServer {
    let (gate, begun) = (Gate::new(), AtomicUsize::new(0));
    HttpServer::start(move |request| {
        let body = format!("{}{}", request.path(), " ".repeat(more));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if begun.fetch_add(1, Ordering::SeqCst) == 2 {
            gate.open();
        }
        Reply::raw(head).wait(&gate).then(body)
    })
}

#[test]
fn no_clobber_keeps_all_files_of_one_name() {
    // In memory, and through partial files.
    for more in [0, 100_000] {
        let server = three(more);
        let dir = tempfile::tempdir().unwrap();
        httpget()
            .args(["-Z", "-O", "--no-clobber"])
            .args(["/a/x", "/b/x", "/c/x"].map(|path| server.url(path)))
            .cwd(dir.path())
            .run()
            .code(0)
            .stderr("");
        assert_eq!(files(dir.path()), ["x", "x.1", "x.2"]);
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let mut bodies = ["x", "x.1", "x.2"].map(|name| read(name).trim_end().to_owned());
        bodies.sort();
        assert_eq!(bodies, ["/a/x", "/b/x", "/c/x"]);
    }
}

#[test]
fn a_name_is_for_one_url() {
    let message = "x: another URL of this run is saved under this name; use -o FILE, or \
                   --no-clobber for a free name";
    for more in [0, 100_000] {
        let server = three(more);
        let dir = tempfile::tempdir().unwrap();
        let out = httpget()
            .args(["-Z", "-O"])
            .args(["/a/x", "/b/x", "/c/x"].map(|path| server.url(path)))
            .cwd(dir.path())
            .run();
        out.code(2);
        assert_eq!(out.stderr_str().matches(message).count(), 2);
        assert_eq!(files(dir.path()), ["x"]);
    }
    // Also sequentially, and in another spelling.
    let server = HttpServer::start(|request| Reply::text(request.path().to_owned()));
    let urls = ["/a/x", "/b/x"].map(|path| server.url(path));
    let dir = tempfile::tempdir().unwrap();
    let in_dir = || httpget().cwd(dir.path());
    in_dir()
        .args(["-Z", "--parallel-max", "1", "-o", "x", "-o", "./x"])
        .args(&urls)
        .run()
        .code(2)
        .stderr(&format!("httpget: {}: ./{message}\n", urls[1]));
    let read = || std::fs::read_to_string(dir.path().join("x")).unwrap();
    assert_eq!(read(), "/a/x");
    // Also without -Z, and for the partial file of another URL.
    in_dir().arg("-O").args(&urls).run().code(2);
    assert_eq!(read(), "/a/x");
    in_dir()
        .args(["-o", "y", "-o", "y.part"])
        .args(&urls)
        .run()
        .code(2)
        .stderr_contains("y.part: another URL of this run");
    in_dir()
        .args(["-O", "--no-clobber"])
        .args(&urls)
        .run()
        .code(0);
    for (name, body) in [("x", "/a/x"), ("x.1", "/a/x"), ("x.2", "/b/x")] {
        let saved = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(saved, body, "{name}");
    }
    // A device can be used several times.
    in_dir()
        .args(["-Z", "-o", "/dev/null", "-o", "/dev/null"])
        .args(&urls)
        .run()
        .code(0)
        .stderr("");
}

#[test]
fn results_are_in_order_on_request() {
    let gate = Gate::new();
    let server = HttpServer::start(move |request| match request.path() {
        "/0" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            .wait(&gate)
            .then("0\n"),
        path => {
            if path == "/9" {
                gate.open();
            }
            Reply::text(format!("{}\n", &path[1..]))
        }
    });
    let urls: Vec<String> = (0..10).map(|n| server.url(&format!("/{n}"))).collect();
    let out = httpget()
        .args(["-Z", "--ordered", "--parallel-max", "10"])
        .args(&urls)
        .run();
    out.code(0).stdout("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

#[test]
fn transfers_per_host_are_limited() {
    let now = Mutex::new((0, 0));
    let server = HttpServer::start(move |_| {
        {
            let mut now = now.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
            assert!(now.1 <= 2);
        }
        std::thread::yield_now();
        now.lock().unwrap().0 -= 1;
        Reply::text("x\n")
    });
    let urls: Vec<String> = (0..50).map(|n| server.url(&format!("/{n}"))).collect();
    httpget()
        .args(["-Z", "--max-per-host", "2"])
        .args(&urls)
        .run()
        .code(0);
    assert!(server.accepted() <= 2);
}

#[test]
fn failures_do_not_stop_other_urls() {
    let server = HttpServer::start(|request| match request.path() {
        "/no" => Reply::new(404),
        _ => Reply::text("x\n"),
    });
    let (ok, no) = (server.url("/ok"), server.url("/no"));
    let out = httpget()
        .args([
            "-Z",
            "--json",
            "-s",
            &ok,
            &no,
            "ftp://x/",
            "http://127.0.0.1:1/",
            &ok,
        ])
        .run();
    out.code(3);
    assert_eq!(out.json().len(), 5);
}

#[test]
fn further_pages_are_followed() {
    let other = HttpServer::start(|_| Reply::text("elsewhere\n"));
    let away = other.url("/");
    let server = HttpServer::start(move |request| {
        let reply = Reply::text(format!("{}\n", request.target));
        match request.target.as_str() {
            "/list" => reply.header("Link", "</list?page=2>; rel=\"next\", </x>; rel=last"),
            "/list?page=2" => reply.header("Link", &format!("<{away}>; rel=next")),
            "/foreign" => reply.header("Link", "<file:///etc/passwd>; rel=next"),
            _ => reply,
        }
    });
    let run = |n: &str, path: &str| {
        httpget()
            .args(["--next", n, "-u", "u:p", &server.url(path)])
            .run()
    };
    run("1", "/list")
        .code(0)
        .stdout("/list\n/list?page=2\n")
        .stderr("");
    run("9", "/list")
        .code(0)
        .stdout("/list\n/list?page=2\nelsewhere\n");
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_some())
    );
    assert_eq!(other.requests()[0].header("authorization"), None);
    run("1", "/foreign")
        .code(3)
        .stdout("/foreign\n")
        .stderr_contains("refused");
    httpget()
        .arg(server.url("/list"))
        .run()
        .code(0)
        .stdout("/list\n");
}

#[test]
fn a_closed_output_ends_an_ordered_run() {
    let server = HttpServer::start(|_| Reply::text("x\n".repeat(1000)));
    let urls: Vec<String> = (0..40).map(|n| server.url(&format!("/{n}"))).collect();
    httpget()
        .args(["-Z", "--ordered"])
        .args(&urls)
        .run_closing_stdout_after(3000)
        .code(0)
        .stderr("");
}

#[test]
fn a_closed_output_ends_an_endless_list() {
    let server = HttpServer::start(|_| Reply::text("x\n"));
    let running = httpget()
        .args(["-Z", "-"])
        .piped_stdin()
        .close_stdout_after(0)
        .spawn();
    running.write_stdin(format!("{}\n", server.url("/")).as_bytes());
    // Standard input stays open.
    let _ = running.wait().code(0).stderr("");
}

#[test]
fn pages_of_one_name_do_not_replace_each_other() {
    let server = HttpServer::start(|request| {
        let page = request
            .target
            .rsplit_once('=')
            .map_or("1", |(_, page)| page);
        let reply = Reply::text(format!("page{page}"));
        match page {
            "3" => reply,
            page => {
                let next = page.parse::<u32>().unwrap() + 1;
                reply.header("Link", &format!("</p?page={next}>; rel=next"))
            }
        }
    });
    for how in [&[][..], &["-Z"]] {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let get = || {
            let tool = httpget().cwd(dir.path()).args(["--next", "4", "-O"]);
            tool.args(how).arg(server.url("/p"))
        };
        get()
            .run()
            .code(2)
            .stderr_contains("another URL of this run");
        assert_eq!(read("p"), "page1");
        std::fs::remove_file(dir.path().join("p")).unwrap();
        get().arg("--no-clobber").run().code(0);
        for (name, body) in [("p", "page1"), ("p.1", "page2"), ("p.2", "page3")] {
            assert_eq!(read(name), body, "{name}");
        }
    }
}

#[test]
fn each_url_has_its_digest() {
    let server = HttpServer::start(|request| Reply::text(request.path().to_owned()));
    let digest = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex = digest.as_ref().iter().map(|b| format!("{b:02x}"));
        hex.collect::<Vec<_>>().concat()
    };
    let (one, two) = (digest("/one"), digest("/two"));
    let get = |digests: [&str; 2]| {
        let dir = tempfile::tempdir().unwrap();
        let out = httpget()
            .cwd(dir.path())
            .args(["-O", "--sha256", digests[0], "--sha256", digests[1]])
            .args([server.url("/one"), server.url("/two"), server.url("/three")])
            .run();
        let saved = files(dir.path());
        (out, saved)
    };
    let (out, saved) = get([&one, &two]);
    out.code(0).stderr("");
    assert_eq!(saved, ["one", "three", "two"]);
    let (out, saved) = get([&two, &two]);
    out.code(1).stderr_contains("SHA-256 mismatch: expected");
    assert_eq!(saved, ["three", "two"]);
}
