//! TLS: trusted and refused certificates, and truncation that only TLS detects.

use std::time::Duration;

use testkit::Tool;
use testkit::http::{HttpServer, Reply, Request};
use testkit::tls::{Authority, Leaf};

use crate::support::httpget;

fn hello(_: &Request) -> Reply {
    Reply::text("hello\n")
}

#[test]
fn a_private_authority_is_trusted() {
    let server = HttpServer::start_tls(hello);
    let ca = server.ca_file();
    let ca = ca.to_str().unwrap();
    for url in [server.url("/"), server.url_by_name("/")] {
        httpget()
            .args(["--cacert", ca, &url])
            .run()
            .code(0)
            .stdout("hello\n")
            .stderr("");
    }
    let out = httpget()
        .args(["--cacert", ca, "--json", &server.url("/")])
        .run();
    let record = &out.code(0).json()[0];
    assert_eq!(record["tls"]["version"], "TLSv1.3");
    assert!(
        record["tls"]["cipher"]
            .as_str()
            .unwrap()
            .starts_with("TLS_")
    );
    assert_eq!(record["tls"]["not_after"], "4096-01-01T00:00:00Z");
    assert_eq!(
        record["tls"]["names"],
        serde_json::json!(["localhost", "127.0.0.1", "::1"])
    );
    assert_eq!(record["tls"]["verified"], true);
    assert!(record["tls"]["days_left"].as_i64().unwrap() > 700_000);
    assert!(
        record["tls"]["issuer"]
            .as_str()
            .unwrap()
            .contains("inetkit test CA")
    );
    assert!(record["tls_ms"].as_f64().unwrap() > 0.0);
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(ca, dir.path().join("ca.pem")).unwrap();
    httpget()
        .args(["--capath", dir.path().to_str().unwrap(), &server.url("/")])
        .run()
        .code(0);
    httpget()
        .arg(server.url("/"))
        .env("SSL_CERT_FILE", ca)
        .run()
        .code(0)
        .stdout("hello\n");
    httpget()
        .args(["-k", &server.url("/")])
        .run()
        .code(0)
        .stdout("hello\n");
}

#[test]
fn untrusted_certificates_are_refused() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let ca = ca.to_str().unwrap();
    for (leaf, message) in [
        (
            Leaf::WrongName,
            "is not valid for 127.0.0.1, only for wrong.test",
        ),
        (Leaf::Expired, "has expired"),
        (Leaf::NotYetValid, "not valid yet"),
        (Leaf::SelfSigned, "issuer is unknown"),
    ] {
        let server = HttpServer::start_tls_with(authority.server().leaf(leaf), hello);
        let out = httpget()
            .args(["--json", "--cacert", ca, &server.url("/")])
            .run();
        out.code(3).stderr_contains(message);
        assert_eq!(out.json()[0]["error"]["kind"], "tls");
        assert_eq!(server.requests().len(), 0);
    }
    let server = HttpServer::start_tls(hello);
    httpget()
        .arg(server.url("/"))
        .run()
        .code(3)
        .stdout("")
        .stderr_contains("--cacert");
    let plain = HttpServer::start(hello);
    httpget()
        .args(["-k", &format!("https://{}/", plain.addr())])
        .run()
        .code(3)
        .stdout("");
}

#[test]
fn missing_files_are_reported() {
    for option in ["--cacert", "--capath", "--cert"] {
        httpget()
            .args([option, "/no/such", "https://127.0.0.1:1/"])
            .run()
            .code(2)
            .stderr_contains("/no/such");
        let server = HttpServer::start_tls(hello);
        let out = httpget().args([option, "/no/such", &server.url("/")]).run();
        out.code(2).stderr_contains("/no/such");
    }
}

#[test]
fn versions_can_be_limited() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let ca = ca.to_str().unwrap();
    let old = HttpServer::start_tls_with(authority.server().only_tls12(), hello);
    let new = HttpServer::start_tls_with(authority.server(), hello);
    let version = |args: &[&str], server: &HttpServer| {
        let out = httpget()
            .args(["-s", "--json", "--cacert", ca])
            .args(args)
            .arg(server.url("/"))
            .run();
        out.json()[0]["tls"]["version"].as_str().map(str::to_owned)
    };
    assert_eq!(version(&[], &old).as_deref(), Some("TLSv1.2"));
    assert_eq!(version(&["--tlsv1.3"], &old), None);
    assert_eq!(
        version(&["--tls-max", "1.2"], &new).as_deref(),
        Some("TLSv1.2")
    );
    assert_eq!(version(&["--tlsv1.2"], &new).as_deref(), Some("TLSv1.3"));
    httpget()
        .args(["--tlsv1.3", "--tls-max", "1.2", "https://x/"])
        .run()
        .code(2);
}

#[test]
fn client_certificates_are_presented() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let (cert, key) = authority.files(Leaf::Client);
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let server = HttpServer::start_tls_with(authority.server().require_client_certificate(), hello);
    let base = ["--cacert", ca.to_str().unwrap()];
    httpget()
        .args(base)
        .args(["--cert", cert, "--key", key, &server.url("/")])
        .run()
        .code(0)
        .stdout("hello\n");
    let both = authority.dir().join("both.pem");
    let text = std::fs::read_to_string(cert).unwrap() + &std::fs::read_to_string(key).unwrap();
    std::fs::write(&both, text).unwrap();
    httpget()
        .args(base)
        .args(["-E", both.to_str().unwrap(), &server.url("/")])
        .run()
        .code(0);
    httpget()
        .args(base)
        .arg(server.url("/"))
        .run()
        .code(3)
        .stderr_contains("--cert");
    // The key of another certificate is an error.
    let (_, other) = authority.files(Leaf::Good);
    httpget()
        .args(base)
        .args([
            "--cert",
            cert,
            "--key",
            other.to_str().unwrap(),
            &server.url("/"),
        ])
        .run()
        .code(2)
        .stderr_contains("the private key does not match the certificate");
}

#[test]
fn public_keys_are_pinned() {
    let server = HttpServer::start_tls(hello);
    let wrong = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let ca = server.ca_file();
    httpget()
        .args([
            "--cacert",
            ca.to_str().unwrap(),
            "--pinnedpubkey",
            wrong,
            &server.url("/"),
        ])
        .run()
        .code(3)
        .stderr_contains("--pinnedpubkey");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_cut_connection_is_not_the_end_of_a_body() {
    let server = HttpServer::start_tls(|request| match request.path() {
        "/good" => Reply::raw("HTTP/1.1 200 OK\r\n\r\nabc").close(),
        "/cut" => Reply::raw("HTTP/1.1 200 OK\r\n\r\nabc").cut(),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").cut(),
    });
    let ca = server.ca_file();
    let get = |path: &str| {
        let base = ["--cacert", ca.to_str().unwrap()];
        httpget().args(base).arg(server.url(path)).run()
    };
    get("/good").code(0).stdout("abc").stderr("");
    get("/cut")
        .code(3)
        .stdout("abc")
        .stderr_contains("cut short");
    get("/length")
        .code(3)
        .stdout("abc")
        .stderr_contains("cut short");
}

#[test]
fn connections_are_reused() {
    let server = HttpServer::start_tls(hello);
    let ca = server.ca_file();
    let url = server.url("/");
    httpget()
        .args(["--cacert", ca.to_str().unwrap(), &url, &url, &url])
        .run()
        .code(0);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_refused_certificate_is_described() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    for (leaf, name) in [
        (Leaf::Expired, "localhost"),
        (Leaf::WrongName, "wrong.test"),
    ] {
        let server = HttpServer::start_tls_with(authority.server().leaf(leaf), hello);
        let out = httpget()
            .args(["--json", "--show-cert", "--cacert", ca.to_str().unwrap()])
            .arg(server.url("/"))
            .run();
        out.code(3).stderr_contains(&format!("subject: CN={name}"));
        let tls = &out.json()[0]["tls"];
        assert_eq!(tls["subject"], format!("CN={name}"));
        assert_eq!(tls["verified"], false);
        assert!(tls["version"].is_null() && tls["cipher"].is_null());
        assert_eq!(
            tls["days_left"].as_i64().unwrap() < 0,
            leaf == Leaf::Expired
        );
        assert_eq!(tls["names"][0], name);
        let out = httpget()
            .args(["-v", "--cacert", ca.to_str().unwrap(), &server.url("/")])
            .run();
        out.code(3).stderr_contains("* certificate: CN=");
        // Without the check it is described, but not verified.
        let out = httpget().args(["-k", "--json", &server.url("/")]).run();
        assert_eq!(out.code(0).json()[0]["tls"]["verified"], false);
    }
}

/// An OpenSSL server with a key and a certificate made by these arguments.
fn openssl(
    dir: &std::path::Path,
    key: &[&str],
    more: &[&str],
) -> Option<(testkit::Running, String)> {
    let (key_file, certificate) = (dir.join("key.pem"), dir.join("cert.pem"));
    let made = Tool::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "9",
            "-subj",
            "/CN=localhost",
        ])
        .args(key)
        .args(more)
        .arg("-keyout")
        .arg(&key_file)
        .arg("-out")
        .arg(&certificate)
        .run();
    if made.code != Some(0) {
        return None;
    }
    let running = Tool::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
        .args(["-cipher", "DEFAULT@SECLEVEL=0", "-key"])
        .arg(&key_file)
        .arg("-cert")
        .arg(&certificate)
        .spawn();
    // It prints a few other lines first.
    let at = (0..5).find_map(|_| {
        let line = running.read_line(Duration::from_secs(20));
        line.strip_prefix("ACCEPT ").map(str::to_owned)
    });
    at.map(|at| (running, format!("https://{at}/")))
}

#[test]
fn unusual_certificates() {
    if Tool::new("sh")
        .args(["-c", "command -v openssl"])
        .run()
        .code
        != Some(0)
    {
        return testkit::netns::skip("not installed: openssl");
    }
    let dir = tempfile::tempdir().unwrap();
    let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    let rsa = ["-newkey", "rsa:2048"];
    let critical = ["-addext", "1.2.3.4=critical,ASN1:UTF8String:x"];
    // OpenSSL sets CA:TRUE by default. The certificate is trusted as it is.
    let (_server, url) = openssl(dir.path(), &rsa, &names).unwrap();
    let certificate = dir.path().join("cert.pem");
    let trusted = |url: &str| {
        httpget()
            .args(["--cacert", certificate.to_str().unwrap(), url])
            .run()
    };
    trusted(&url).code(0);
    trusted(&url.replace("127.0.0.1", "127.0.0.2")).code(3);
    httpget().arg(&url).run().code(3).stdout("");
    // Properties that -k ignores.
    for more in [&critical[..], &["-addext", "basicConstraints=CA:FALSE"]] {
        let (_server, url) = openssl(dir.path(), &rsa, more).unwrap();
        httpget().args(["-k", &url]).run().code(0);
    }
    // Keys that cannot be verified.
    for (key, reason) in [
        (&["-newkey", "rsa:1024"][..], "RSA with 1024 bits"),
        (
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            "P-521",
        ),
    ] {
        let Some((_server, url)) = openssl(dir.path(), key, &names) else {
            continue;
        };
        for versions in [&[][..], &["--tls-max", "1.2"]] {
            let out = httpget().arg("-k").args(versions).arg(&url).run();
            out.code(3).stderr_contains(reason);
        }
    }
}

#[test]
fn a_handshake_without_an_answer_times_out() {
    let silent = testkit::peer::TcpPeer::silent();
    httpget()
        .args(["--connect-timeout", "0.3"])
        .arg(format!("https://{}/", silent.addr()))
        .run()
        .code(3)
        .stderr_contains(
            "no answer to the TLS handshake within 300 ms (--connect-timeout); \
             use http:// for plain HTTP",
        );
}

#[test]
fn a_handshake_is_limited_by_max_time() {
    let server = testkit::peer::TcpPeer::silent();
    let url = format!("https://{}/", server.addr());
    httpget()
        .args(["-m", "1", &url])
        .run()
        .code(3)
        .stderr(&format!(
            "httpget: {url}: no answer to the TLS handshake within --max-time\n"
        ));
    let out = httpget().args(["--connect-timeout", "0.3", &url]).run();
    out.code(3)
        .stderr_contains("no answer to the TLS handshake within 300 ms");
}
