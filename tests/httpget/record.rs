//! The JSON record and `--pointer`.

use testkit::http::{HttpServer, Reply};

use crate::support::{always, httpget};

#[test]
fn the_json_record_is_complete() {
    let server = HttpServer::start(|request| match request.path() {
        "/json" => Reply::json("{\"n\": 12345678901234567890,\n \"x\":1.50}"),
        "/bad" => Reply::json("{"),
        "/text" => Reply::text("a\u{9b}b\n"),
        "/bin" => Reply::ok(vec![0, 255]),
        "/cut" => Reply::ok("abc").header("Content-Length", "9").close(),
        "/r" => Reply::redirect(302, "/json"),
        _ => Reply::new(404),
    });
    let get = |path: &str| {
        let out = httpget().args(["--json", "-s", &server.url(path)]).run();
        let mut records = out.json();
        assert_eq!(records.len(), 1);
        (out, records.remove(0))
    };
    let (out, record) = get("/json");
    out.code(0);
    assert!(
        out.stdout_str()
            .contains("\"body\":{\"n\":12345678901234567890,\"x\":1.50}"),
        "{}",
        out.report()
    );
    assert!(
        out.stdout_str()
            .starts_with("{\"type\":\"response\",\"url\":")
    );
    assert_eq!(record["status"], 200);
    assert_eq!(record["reason"], "OK");
    assert_eq!(record["http_version"], "HTTP/1.1");
    assert_eq!(record["headers"][0][0], "Content-Type");
    assert_eq!(record["address"], server.addr().to_string());
    assert_eq!(record["bytes"], record["wire_bytes"]);
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    for key in [
        "type",
        "url",
        "final_url",
        "method",
        "status",
        "reason",
        "http_version",
        "headers",
        "body",
        "body_base64",
        "file",
        "bytes",
        "wire_bytes",
        "sha256",
        "redirects",
        "address",
        "tls",
        "dns_ms",
        "connect_ms",
        "tls_ms",
        "first_byte_ms",
        "duration_ms",
        "error",
    ] {
        assert!(record.get(key).is_some(), "no {key}");
        let error = httpget()
            .args(["--json", "-s", "http://127.0.0.1:1/"])
            .run()
            .json();
        assert!(error[0].get(key).is_some(), "no {key} in an error record");
    }
    assert_eq!(get("/bad").1["body"], "{");
    let (out, record) = get("/text");
    assert_eq!(record["body"], "a\u{9b}b\n");
    assert!(out.stdout_str().contains("a\\u009bb\\n"));
    let (_, record) = get("/bin");
    assert!(record["body"].is_null());
    assert_eq!(record["body_base64"], "AP8=");
    let (out, record) = get("/cut");
    out.code(3);
    assert_eq!(record["type"], "response");
    assert_eq!(record["error"]["kind"], "protocol");
    let (_, record) = get("/r");
    assert_eq!(record["redirects"][0]["status"], 302);
    assert_eq!(record["final_url"], server.url("/json"));
    let (out, record) = get("/none");
    out.code(1);
    assert_eq!(record["status"], 404);
    assert!(record["error"].is_null());
    let out = httpget().args(["--json", "http://127.0.0.1:1/"]).run();
    out.code(3);
    let record = &out.json()[0];
    assert_eq!(record["type"], "error");
    assert_eq!(
        (&record["kind"], &record["error"]["kind"]),
        (&"refused".into(), &"refused".into())
    );
    assert_eq!(record["target"], "http://127.0.0.1:1/");
}

#[test]
fn pointers_extract_values() {
    let server = always(Reply::json("{\"a\":[{\"b\":\"x y\"},1.0]}"));
    let get = |pointer: &str| {
        httpget()
            .args(["--pointer", pointer, &server.url("/")])
            .run()
    };
    get("/a/0/b").code(0).stdout("\"x y\"\n").stderr("");
    get("/a/1").code(0).stdout("1.0\n");
    get("/a/0").code(0).stdout("{\"b\":\"x y\"}\n");
    get("/a/2")
        .code(1)
        .stdout("")
        .stderr_contains("the JSON body has no value at /");
    get("a").code(2).stdout("");
    let server = always(Reply::text("no json"));
    httpget()
        .args(["--pointer", "/a", &server.url("/")])
        .run()
        .code(3)
        .stdout("");
}
