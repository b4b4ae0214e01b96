//! A TLS session with a simulated server.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tcpecho_client::fuzzing_tls::Settings;
use testkit::tls::Authority;
use testkit::tls_network::Peer;

static SETTINGS: LazyLock<(Settings, Peer)> = LazyLock::new(|| {
    let authority = Authority::new();
    (
        Settings::new(&authority.ca_file()),
        Peer::server(&authority),
    )
});

fuzz_target!(|bytes: &[u8]| {
    let (settings, peer) = &*SETTINGS;
    peer.check(bytes, |socket| settings.echo(socket));
});
