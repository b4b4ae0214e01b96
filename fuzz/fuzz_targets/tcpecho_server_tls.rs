//! A TLS session with a simulated client.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tcpecho_server::fuzzing_tls::Settings;
use testkit::tls::{Authority, Leaf};
use testkit::tls_network::Peer;

static SETTINGS: LazyLock<(Settings, Peer)> = LazyLock::new(|| {
    let authority = Authority::new();
    let (cert, key) = authority.files(Leaf::Good);
    (Settings::new(&cert, &key), Peer::client(&authority))
});

fuzz_target!(|bytes: &[u8]| {
    let (settings, peer) = &*SETTINGS;
    peer.check(bytes, |socket| settings.echo(socket));
});
