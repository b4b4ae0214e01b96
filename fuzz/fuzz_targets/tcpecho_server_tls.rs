//! Fuzzes a TLS session with a client, over a network that may change bytes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tcpecho_server::fuzzing_tls::{Settings, session};

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Settings::new(&write("cert.pem", cert), &write("key.pem", key))
});

fuzz_target!(|bytes: &[u8]| session(&SETTINGS, bytes));
