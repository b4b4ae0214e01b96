//! httpget with the rest of the web: a proxy (tinyproxy), a SOCKS server
//! (microsocks), and httpbin, which says what it was asked.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::http::{HttpServer, Reply};

use super::{Bench, accepts, free_port};
use crate::Outcome;
use crate::exec::{Background, which};

/// A program in the foreground that listens at `port`.
fn listening(
    dir: &Path,
    name: &str,
    program: PathBuf,
    args: &[String],
    port: u16,
) -> Outcome<Background> {
    let log = dir.join(format!("{name}.log"));
    let mut server = Background::start(program, args, &log)?;
    server
        .until(|| accepts(port))
        .map_err(|error| format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
    Ok(server)
}

fn fetch(bench: &Bench, args: &[&str], body: &str) -> Outcome {
    let done = bench.tool("httpget", args).run()?;
    done.expect_code(0)?;
    if done.out() != body {
        return Err(format!("httpget {}: {:?}", args.join(" "), done.out()));
    }
    Ok(())
}

/// http in absolute-form and https through CONNECT, with a user.
pub(super) fn proxy(bench: &Bench) -> Outcome<String> {
    let dir = bench.dir();
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
    let program = which("tinyproxy").ok_or("no tinyproxy")?;
    let _proxy = listening(dir, "tinyproxy", program, &args, port)?;
    let by = format!("http://us:pw@127.0.0.1:{port}");
    let ca = secure.ca_file().display().to_string();
    fetch(bench, &["-x", &by, &plain.url("/")], "plain\n")?;
    fetch(
        bench,
        &["-x", &by, "--cacert", &ca, &secure.url_by_name("/")],
        "secure\n",
    )?;
    let stranger = format!("http://127.0.0.1:{port}");
    bench
        .tool("httpget", ["-s", "-x", &stranger, &plain.url("/")])
        .run()?
        .expect_code(1)?;
    bench
        .tool(
            "httpget",
            ["-s", "-x", &stranger, "--cacert", &ca, &secure.url("/")],
        )
        .run()?
        .expect_code(3)?;
    Ok("http, https, a stranger".to_owned())
}

/// SOCKS 5 with a user, names resolved there and here.
pub(super) fn socks(bench: &Bench) -> Outcome<String> {
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
    let program = which("microsocks").ok_or("no microsocks")?;
    let _server = listening(bench.dir(), "microsocks", program, &args, port)?;
    let ca = secure.ca_file().display().to_string();
    for scheme in ["socks5", "socks5h"] {
        let by = format!("{scheme}://us:pw@127.0.0.1:{port}");
        fetch(
            bench,
            &["-4", "-x", &by, &plain.url_by_name("/")],
            "plain\n",
        )?;
        fetch(
            bench,
            &["-4", "-x", &by, "--cacert", &ca, &secure.url_by_name("/")],
            "secure\n",
        )?;
    }
    let stranger = format!("socks5h://127.0.0.1:{port}");
    bench
        .tool("httpget", ["-s", "-x", &stranger, &plain.url("/")])
        .run()?
        .expect_code(3)?;
    Ok("both ways of names, http and https, a stranger".to_owned())
}

/// What httpbin says of our requests, and what we make of its responses.
pub(super) fn httpbin(bench: &Bench) -> Outcome<String> {
    let port = free_port()?;
    let program = super::python()?;
    let script = format!("from httpbin import app; app.run('127.0.0.1', {port})");
    let args = ["-c".to_owned(), script];
    let _server = listening(bench.dir(), "httpbin", program, &args, port)?;
    let base = format!("http://127.0.0.1:{port}");
    let code = |args: &[&str], path: &str, code: i32| -> Outcome<String> {
        let url = format!("{base}{path}");
        let done = bench
            .tool("httpget", args.iter().copied().chain(["-s", url.as_str()]))
            .run()?;
        done.expect_code(code).map_err(|e| format!("{path}: {e}"))?;
        Ok(done.out())
    };
    let json = |args: &[&str], path: &str| -> Outcome<Value> {
        let text = code(args, path, 0)?;
        serde_json::from_str(&text).map_err(|e| format!("{path}: {e}: {text}"))
    };
    let mut checks = 0;
    let mut expect = |what: &str, found: &Value, wanted: Value| {
        checks += 1;
        if *found == wanted {
            Ok(())
        } else {
            Err(format!("{what}: {found} and not {wanted}"))
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
        let answer = json(&["--digest", "-u", "us:pw"], path)?;
        expect(path, &answer["authenticated"], true.into())?;
    }
    for (path, key) in [
        ("/gzip", "gzipped"),
        ("/deflate", "deflated"),
        ("/brotli", "brotli"),
    ] {
        expect(path, &json(&["--compressed"], path)?[key], true.into())?;
    }
    let jar = bench.dir().join("jar").display().to_string();
    let cookies = json(&["-c", &jar], "/cookies/set?a=1&b=2")?;
    expect("cookies", &cookies["cookies"]["b"], "2".into())?;
    let cookies = json(&["-b", &jar], "/cookies")?;
    expect("kept cookies", &cookies["cookies"]["a"], "1".into())?;
    for path in [
        "/redirect/5",
        "/relative-redirect/3",
        "/absolute-redirect/3",
    ] {
        let answer = json(&[], path)?;
        expect(path, &answer["url"], format!("{base}/get").into())?;
    }
    code(&[], "/redirect/11", 3)?;
    for (status, exit) in [(200, 0), (404, 1), (418, 1), (503, 1)] {
        code(&[], &format!("/status/{status}"), exit)?;
    }
    code(&["--etag-compare", "none"], "/etag/x", 0)?;
    if code(&["-r", "2-5"], "/range/26", 0)? != "cdef" {
        return Err("/range/26: not the bytes asked for".to_owned());
    }
    code(&["-m", "0.5"], "/delay/3", 3)?;
    let lines = code(&[], "/stream/3", 0)?;
    if lines.lines().count() != 3 {
        return Err(format!("/stream/3: {lines:?}"));
    }
    Ok(format!(
        "{checks} answers, redirects, statuses, ranges, a delay"
    ))
}
