//! `--tls`: every mode over TLS, certificates, and errors of the peer.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use testkit::peer::TcpPeer;
use testkit::tls::{Authority, Leaf};

use crate::{client_to, payload};

/// Returns the options that trust `authority`.
fn ca(authority: &Authority) -> [String; 3] {
    let file = authority.ca_file().display().to_string();
    ["--tls".to_owned(), "--cacert".to_owned(), file]
}

fn server_config(cert: &Path, key: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert).expect("read a certificate");
    let chain: Result<Vec<_>, _> = chain.collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("read a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.expect("certificates"), key)
        .expect("a pair");
    Arc::new(config)
}

#[test]
fn a_tls_alert_in_place_of_the_echo_is_explained() {
    let peer = TcpPeer::echo_tls(&Authority::new().server());
    for (args, text) in [
        (
            &["hello, server"][..],
            "the reply differs at offset 0: expected 0x68 'h', got 0x15",
        ),
        (
            &["hello, server", "--expect", "hi"],
            "the reply differs at offset 0: expected 0x68 'h', got 0x15",
        ),
        (&["-c", "2"], "the peer closed the connection"),
        (
            &["-c", "2", "--reconnect", "-i", "1ms"],
            "the peer closed the connection",
        ),
        (&["--bench", "--duration", "100ms"], "1 connection failed"),
        (
            &["--bench", "--duration", "100ms", "--reconnect"],
            " failed",
        ),
    ] {
        let out = client_to(&peer).args(args).run();
        let all = format!(
            "{}{}",
            String::from_utf8_lossy(&out.code(1).stdout),
            out.stderr_str()
        );
        let hint = "the reply is a TLS alert: use --tls";
        let is_explained = |line: &str| line.contains(text) && line.ends_with(hint);
        assert!(all.lines().any(is_explained), "{}", out.report());
    }
    // Without a TLS alert there is no hint.
    let out = client_to(&TcpPeer::fixed_reply("no")).arg("hello").run();
    assert!(
        !out.code(1).stderr_str().contains("TLS"),
        "{}",
        out.report()
    );
}

#[test]
fn every_mode_works_over_tls() {
    let authority = Authority::new();
    let peer = TcpPeer::echo_tls(&authority.server());
    let tls = ca(&authority);
    let out = client_to(&peer).args(&tls).arg("hello").run();
    out.code(0).stdout("hello").stderr("");
    let all = payload(4 << 20);
    let out = client_to(&peer)
        .args(&tls)
        .args(["-q", "--file", "-"])
        .stdin(all.clone())
        .run();
    out.code(0).stdout("").stderr("");
    let out = client_to(&peer).args(&tls).stdin(payload(100_000)).run();
    assert!(out.code(0).stderr("").stdout == payload(100_000));
    let out = client_to(&peer)
        .args(&tls)
        .args(["-c", "3", "-i", "1ms", "--size", "20k"])
        .run();
    out.code(0)
        .stderr("")
        .stdout_contains("3 sent, 3 received, 0% loss");
    let out = client_to(&peer)
        .args(&tls)
        .args(["--connect-only", "--json"])
        .run();
    let records = out.code(0).json();
    assert!(records[0]["connect_ms"].is_f64() && records[0]["tls_ms"].is_f64());
    for more in [
        &["--connections", "5", "--size", "1:40k", "--pipeline", "3"][..],
        &["--connections", "3", "--reconnect"],
    ] {
        let out = client_to(&peer)
            .args(&tls)
            .args(["--bench", "--json", "--duration", "300ms"])
            .args(more)
            .run();
        let records = out.code(0).stderr("").json();
        assert!(
            records[0]["messages"].as_u64() > Some(0),
            "{}",
            out.report()
        );
    }
}

/// Starts a TLS echo server that presents `certificate` (DER) and signs its
/// handshakes with the key in `key` (PEM), even if they do not match.
fn echo_with_certificate(
    certificate: Vec<u8>,
    key: &Path,
    version: &'static rustls::SupportedProtocolVersion,
) -> TcpPeer {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from_pem_file(key).expect("read a key");
    let key = provider.key_provider.load_private_key(key).expect("a key");
    // rustls checks neither of them in this way.
    let pair = CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .expect("a known version")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    let config = Arc::new(config);
    TcpPeer::start(move |mut stream| {
        let mut conn = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::Stream::new(&mut conn, &mut stream);
        let mut buffer = [0; 100];
        loop {
            let n = tls.read(&mut buffer)?;
            if n == 0 {
                return std::io::Result::Ok(());
            }
            tls.write_all(&buffer[..n])?;
        }
    })
}

/// Splits the first DER element off `der`: its tag, its content, and the rest.
fn der_element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (start, length) = match der[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let start = 2 + usize::from(long & 0x7f);
            let length = der[2..start].iter();
            (start, length.fold(0, |n, &byte| n << 8 | usize::from(byte)))
        }
    };
    let (content, rest) = der[start..].split_at(length);
    (der[0], content, rest)
}

/// Encodes a DER element of fewer than 65,536 bytes.
fn der_encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let header = match (length, length.to_be_bytes()) {
        (..0x80, [_, low]) => vec![tag, low],
        (..0x100, [_, low]) => vec![tag, 0x81, low],
        (_, [high, low]) => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

/// Converts an X.509 certificate from version 3 to version 1, by removing the
/// version number and the extensions. The issuer's signature no longer matches.
fn without_version_and_extensions(certificate: &[u8]) -> Vec<u8> {
    let (sequence, content, _) = der_element(certificate);
    let (_, mut fields, signature) = der_element(content);
    let mut kept = Vec::new();
    while !fields.is_empty() {
        let (tag, field, rest) = der_element(fields);
        // [0] is the version, [3] are the extensions (RFC 5280, section 4.1).
        if !matches!(tag, 0xa0 | 0xa3) {
            kept.extend(der_encode(tag, field));
        }
        fields = rest;
    }
    let signed = der_encode(sequence, &kept);
    der_encode(sequence, &[&signed, signature].concat())
}

#[test]
fn a_version_1_certificate_is_accepted_with_insecure_only() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (cert, key) = authority.files(Leaf::Good);
    let (_, other_key) = other.files(Leaf::Good);
    let version_3 = CertificateDer::from_pem_file(&cert).expect("read a certificate");
    let version_1 = without_version_and_extensions(&version_3);
    for version in rustls::ALL_VERSIONS {
        let peer = echo_with_certificate(version_1.clone(), &key, version);
        let out = client_to(&peer)
            .args(["--tls", "--insecure", "hello"])
            .run();
        out.code(0).stdout("hello").stderr("");
        let out = client_to(&peer).args(ca(&authority)).arg("hello").run();
        out.code(3)
            .stdout("")
            .stderr_contains(": the certificate is not X.509 version 3\n");
        // The server must prove that it holds the key of the certificate.
        for certificate in [&version_1[..], &version_3] {
            let peer = echo_with_certificate(certificate.to_vec(), &other_key, version);
            let out = client_to(&peer)
                .args(["--tls", "--insecure", "hello"])
                .run();
            out.code(3)
                .stdout("")
                .stderr_contains("the server's proof that it holds its key is wrong\n");
        }
    }
}

/// The peer sends close_notify together with its last bytes, and does not close
/// the TCP connection.
#[test]
fn a_close_notify_with_the_last_bytes_ends_the_run() {
    let authority = Authority::new();
    let (cert, key) = authority.files(Leaf::Good);
    let config = server_config(&cert, &key);
    let peer = TcpPeer::start(move |mut stream| {
        let mut conn = ServerConnection::new(Arc::clone(&config)).unwrap();
        while conn.is_handshaking() {
            conn.complete_io(&mut stream)?;
        }
        conn.writer().write_all(b"the last bytes")?;
        conn.send_close_notify();
        let mut records = Vec::new();
        while conn.wants_write() {
            conn.write_tls(&mut records)?;
        }
        stream.write_all(&records)?;
        // Blocks until the client closes the connection.
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    let out = client_to(&peer).args(ca(&authority)).run();
    out.code(0).stdout("the last bytes").stderr("");
    // Without output, no event of standard output wakes the client.
    let out = client_to(&peer).args(ca(&authority)).arg("-q").run();
    out.code(0).stdout("").stderr("");
}

#[test]
fn tls_1_2_is_supported() {
    let authority = Authority::new();
    let peer = TcpPeer::echo_tls(&authority.server().only_tls12());
    client_to(&peer)
        .args(ca(&authority))
        .arg("hello")
        .run()
        .code(0)
        .stdout("hello");
}

/// A certificate of `--cacert` is trusted as it is, even one that may not be that of a
/// server.
#[test]
fn a_named_certificate_is_trusted_as_it_is() {
    for leaf in [Leaf::SelfSigned, Leaf::SelfSignedAuthority, Leaf::Authority] {
        let (tls, file) = Authority::new().server().saved_leaf(leaf);
        let peer = TcpPeer::echo_tls(&tls);
        let trust = ["--tls", "--cacert", file.to_str().unwrap(), "hello"];
        let out = client_to(&peer).args(trust).run();
        out.code(0).stdout("hello").stderr("");
        // Its name must still be valid.
        let out = client_to(&peer)
            .args(trust)
            .args(["--server-name", "wrong.test"])
            .run();
        out.code(3).stdout("").stderr_contains("wrong.test");
    }
}

#[test]
fn invalid_certificates_are_refused() {
    let authority = Authority::new();
    for (leaf, why) in [
        (
            Leaf::WrongName,
            "the certificate is not valid for 127.0.0.1, only for wrong.test; expect another name with --server-name",
        ),
        (Leaf::Expired, "the certificate has expired\n"),
        (
            Leaf::SelfSigned,
            "issuer is unknown; trust its CA with --cacert FILE",
        ),
    ] {
        let peer = TcpPeer::echo_tls(&authority.server().leaf(leaf));
        let out = client_to(&peer).args(ca(&authority)).arg("hello").run();
        out.code(3).stdout("").stderr_contains(why);
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
        let records = client_to(&peer)
            .args(ca(&authority))
            .args(["-j", "x"])
            .run()
            .code(3)
            .json();
        assert_eq!(records[0]["kind"], "tls");
        // An invalid certificate is no answer to --connect-only either.
        client_to(&peer)
            .args(ca(&authority))
            .arg("--connect-only")
            .run()
            .code(3);
        client_to(&peer)
            .args(["--tls", "--insecure", "hello"])
            .run()
            .code(0)
            .stdout("hello");
    }
    let peer = TcpPeer::echo_tls(&authority.server().leaf(Leaf::WrongName));
    let out = client_to(&peer)
        .args(ca(&authority))
        .args(["--server-name", "wrong.test", "hello"])
        .run();
    out.code(0).stdout("hello").stderr("");
}

#[test]
fn peers_that_do_not_speak_tls_are_reported() {
    let peer = TcpPeer::echo();
    let addr = peer.addr();
    for mode in [&["hello"][..], &["-c", "2"], &["--bench"]] {
        let out = client_to(&peer)
            .args(["--tls", "--insecure"])
            .args(mode)
            .run();
        out.code(3).stdout("").stderr(&format!(
            "tcpecho-client: {addr}: the peer does not speak TLS: it echoes the bytes it \
             receives; connect without --tls\n"
        ));
    }
    let peer = TcpPeer::start(|mut stream| {
        stream.write_all(b"220 ready\r\n")?;
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    let addr = peer.addr();
    let out = client_to(&peer)
        .args(["--tls", "--insecure", "hello"])
        .run();
    out.code(3).stdout("").stderr(&format!(
        "tcpecho-client: {addr}: the peer does not speak TLS; connect without --tls\n"
    ));
    let peer = TcpPeer::silent();
    let out = client_to(&peer)
        .args(["--tls", "--insecure", "--timeout", "1s", "hello"])
        .run();
    out.code(3).stderr_contains("TLS handshake timed out");
    let peer = TcpPeer::close_immediately();
    let out = client_to(&peer)
        .args(["--tls", "--insecure", "hello"])
        .run();
    out.code(3)
        .stderr_contains("the peer closed the connection during the TLS handshake");
}

/// The peer keeps sending records that contain no application data.
#[test]
fn a_peer_that_sends_only_key_updates_is_refused() {
    let authority = Authority::new();
    let (cert, key) = authority.files(Leaf::Good);
    let config = server_config(&cert, &key);
    let peer = TcpPeer::start(move |mut stream| {
        let mut conn = ServerConnection::new(Arc::clone(&config)).unwrap();
        while conn.is_handshaking() {
            conn.complete_io(&mut stream)?;
        }
        loop {
            conn.refresh_traffic_keys().map_err(std::io::Error::other)?;
            while conn.wants_write() {
                conn.write_tls(&mut stream)?;
            }
        }
        #[allow(unreachable_code, reason = "names the type of the error")]
        std::io::Result::Ok(())
    });
    let why = "the peer violated the TLS protocol (too many key update requests)";
    for (mode, code) in [
        (&["hello"][..], 3),
        (&["hello", "--no-verify"], 3),
        (&["--bench", "--duration", "15s"], 1),
    ] {
        let tool = client_to(&peer)
            .args(ca(&authority))
            .args(["--timeout", "15s"]);
        let out = tool
            .args(mode)
            .measure_memory()
            .timeout(crate::TEST_TIMEOUT * 3)
            .run();
        out.code(code).stderr_contains(why);
        out.peak_memory_below(24 << 20);
    }
}

/// The names are those of RFC 8446, section 6.
#[test]
fn alerts_are_reported_by_name() {
    for (number, name) in [
        (40, "handshake_failure"),
        (70, "protocol_version"),
        (200, "200"),
    ] {
        let peer = TcpPeer::start(move |mut stream| {
            stream.write_all(&[21, 3, 3, 0, 2, 2, number])?;
            std::io::copy(&mut stream, &mut std::io::sink())
        });
        let addr = peer.addr();
        let out = client_to(&peer)
            .args(["--tls", "--insecure", "hello"])
            .run();
        out.code(3).stdout("").stderr(&format!(
            "tcpecho-client: {addr}: the peer refused the connection: TLS alert {name}\n"
        ));
    }
}

#[test]
fn invalid_tls_options_are_refused() {
    let peer = TcpPeer::silent();
    let out = client_to(&peer)
        .args(["--tls", "--cacert", "/no/such.pem", "x"])
        .run();
    out.code(2)
        .stderr("tcpecho-client: /no/such.pem: no such file or directory\n");
    let out = client_to(&peer)
        .args(["--tls", "--cacert", "/dev/null", "x"])
        .run();
    out.code(2)
        .stderr("tcpecho-client: /dev/null: the file contains no PEM certificate\n");
    for (args, why) in [
        (&["--insecure"][..], "missing argument: --tls"),
        (&["--tls", "--udp"], "--tls cannot be used with --udp"),
        (
            &["--tls", "--server-name", "a b"],
            "a b: not a valid name in a certificate",
        ),
    ] {
        let out = client_to(&peer).args(args).arg("x").run();
        out.code(2).stdout("").stderr_contains(why);
    }
}
