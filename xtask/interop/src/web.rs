//! Interoperability of httpget with a proxy (tinyproxy), a SOCKS server
//! (microsocks), and httpbin, which describes the request in its response.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::TaskResult;
use support::exec::{Background, which};
use support::ports::{accepts, free_port};
use testkit::http::{HttpServer, Reply};

use super::Context;

/// Starts a server program and waits until it accepts connections on `port`.
fn start_server(
    dir: &Path,
    name: &str,
    program: PathBuf,
    args: &[String],
    port: u16,
) -> TaskResult<Background> {
    let log = dir.join(format!("{name}.log"));
    let mut server = Background::start(program, args, &log)?;
    server
        .until(|| accepts(port))
        .map_err(|error| format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
    Ok(server)
}

/// Runs httpget and checks the body that it prints.
fn fetch(context: &Context, args: &[&str], body: &str) -> TaskResult {
    let run = context.tool("httpget", args).run()?;
    run.expect_code(0)?;
    if run.out() != body {
        return Err(format!("httpget {}: {:?}", args.join(" "), run.out()));
    }
    Ok(())
}

/// Fetches http URLs in absolute-form and https URLs through CONNECT, with the
/// credentials of the proxy and without.
pub(super) fn proxy(context: &Context) -> TaskResult<String> {
    let dir = context.dir();
    let port = free_port()?;
    let plain = HttpServer::start(|_| Reply::text("plain\n"));
    let secure = HttpServer::start_tls(|_| Reply::text("secure\n"));
    let config = dir.join("tinyproxy.conf");
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nBasicAuth us pw\nConnectPort {}\n",
        secure.addr().port()
    );
    fs::write(&config, text).map_err(|e| format!("{}: {e}", config.display()))?;
    let args = [
        "-d".to_owned(),
        "-c".to_owned(),
        config.display().to_string(),
    ];
    let program = which("tinyproxy").ok_or("tinyproxy is not installed")?;
    let _proxy = start_server(dir, "tinyproxy", program, &args, port)?;
    let proxy = format!("http://us:pw@127.0.0.1:{port}");
    let ca = secure.ca_file().display().to_string();
    fetch(context, &["-x", &proxy, &plain.url("/")], "plain\n")?;
    fetch(
        context,
        &["-x", &proxy, "--cacert", &ca, &secure.url_by_name("/")],
        "secure\n",
    )?;
    let without_credentials = format!("http://127.0.0.1:{port}");
    context
        .tool(
            "httpget",
            ["-s", "-x", &without_credentials, &plain.url("/")],
        )
        .run()?
        .expect_code(1)?;
    context
        .tool(
            "httpget",
            [
                "-s",
                "-x",
                &without_credentials,
                "--cacert",
                &ca,
                &secure.url("/"),
            ],
        )
        .run()?
        .expect_code(3)?;
    Ok("http and https, credentials required".to_owned())
}

/// Fetches through SOCKS 5 with credentials, with names resolved by the proxy and
/// by httpget.
pub(super) fn socks(context: &Context) -> TaskResult<String> {
    let port = free_port()?;
    let plain = HttpServer::start(|_| Reply::text("plain\n"));
    let secure = HttpServer::start_tls(|_| Reply::text("secure\n"));
    let args = [
        "-i",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-u",
        "us",
        "-P",
        "pw",
    ]
    .map(str::to_owned);
    let program = which("microsocks").ok_or("microsocks is not installed")?;
    let _server = start_server(context.dir(), "microsocks", program, &args, port)?;
    let ca = secure.ca_file().display().to_string();
    for scheme in ["socks5", "socks5h"] {
        let proxy = format!("{scheme}://us:pw@127.0.0.1:{port}");
        fetch(
            context,
            &["-4", "-x", &proxy, &plain.url_by_name("/")],
            "plain\n",
        )?;
        fetch(
            context,
            &[
                "-4",
                "-x",
                &proxy,
                "--cacert",
                &ca,
                &secure.url_by_name("/"),
            ],
            "secure\n",
        )?;
    }
    let without_credentials = format!("socks5h://127.0.0.1:{port}");
    context
        .tool(
            "httpget",
            ["-s", "-x", &without_credentials, &plain.url("/")],
        )
        .run()?
        .expect_code(3)?;
    Ok("names resolved here and by the proxy, http and https, credentials required".to_owned())
}

/// Checks requests as httpbin reports them, and its special responses.
pub(super) fn httpbin(context: &Context) -> TaskResult<String> {
    let port = free_port()?;
    let program = super::python()?;
    let script = format!("from httpbin import app; app.run('127.0.0.1', {port})");
    let args = ["-c".to_owned(), script];
    let _server = start_server(context.dir(), "httpbin", program, &args, port)?;
    let base = format!("http://127.0.0.1:{port}");
    let body = |args: &[&str], path: &str, code: i32| -> TaskResult<String> {
        let url = format!("{base}{path}");
        let run = context
            .tool("httpget", args.iter().copied().chain(["-s", url.as_str()]))
            .run()?;
        run.expect_code(code).map_err(|e| format!("{path}: {e}"))?;
        Ok(run.out())
    };
    let json = |args: &[&str], path: &str| -> TaskResult<Value> {
        let text = body(args, path, 0)?;
        serde_json::from_str(&text).map_err(|e| format!("{path}: {e}: {text}"))
    };
    let mut checks = 0;
    let mut expect = |name: &str, actual: &Value, expected: Value| {
        checks += 1;
        if *actual == expected {
            Ok(())
        } else {
            Err(format!("{name}: {actual}, expected {expected}"))
        }
    };
    let headers = json(&["-H", "X-Test: a", "-A", "me"], "/headers")?;
    expect("header", &headers["headers"]["X-Test"], "a".into())?;
    expect("agent", &headers["headers"]["User-Agent"], "me".into())?;
    let get = json(&["--url-query", "q=a b&c"], "/get?x=1")?;
    expect("query", &get["args"]["q"], "a b&c".into())?;
    for path in ["/basic-auth/us/pw", "/hidden-basic-auth/us/pw"] {
        expect(
            path,
            &json(&["-u", "us:pw"], path)?["authenticated"],
            true.into(),
        )?;
    }
    for path in [
        "/digest-auth/auth/us/pw/MD5",
        "/digest-auth/auth/us/pw/SHA-256",
    ] {
        let response = json(&["--digest", "-u", "us:pw"], path)?;
        expect(path, &response["authenticated"], true.into())?;
    }
    for (path, key) in [
        ("/gzip", "gzipped"),
        ("/deflate", "deflated"),
        ("/brotli", "brotli"),
    ] {
        expect(path, &json(&["--compressed"], path)?[key], true.into())?;
    }
    let jar = context.dir().join("jar").display().to_string();
    let cookies = json(&["-c", &jar], "/cookies/set?a=1&b=2")?;
    expect("cookies", &cookies["cookies"]["b"], "2".into())?;
    let cookies = json(&["-b", &jar], "/cookies")?;
    expect("saved cookies", &cookies["cookies"]["a"], "1".into())?;
    for path in [
        "/redirect/5",
        "/relative-redirect/3",
        "/absolute-redirect/3",
    ] {
        let response = json(&[], path)?;
        expect(path, &response["url"], format!("{base}/get").into())?;
    }
    body(&[], "/redirect/11", 3)?;
    for (status, exit) in [(200, 0), (404, 1), (418, 1), (503, 1)] {
        body(&[], &format!("/status/{status}"), exit)?;
    }
    body(&["--etag-compare", "none"], "/etag/x", 0)?;
    if body(&["-r", "2-5"], "/range/26", 0)? != "cdef" {
        return Err("/range/26: wrong bytes".to_owned());
    }
    body(&["-m", "0.5"], "/delay/3", 3)?;
    let lines = body(&[], "/stream/3", 0)?;
    if lines.lines().count() != 3 {
        return Err(format!("/stream/3: {lines:?}"));
    }
    Ok(format!(
        "{checks} values, redirects, statuses, ranges, a delay"
    ))
}
