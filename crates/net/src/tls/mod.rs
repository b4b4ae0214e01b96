//! TLS for clients, with rustls and ring (feature `tls`): trusted certificates,
//! verification, and the messages for errors, the same in every tool.
//!
//! A tool creates a [`Verifier`] from [`Roots`] or without any, and passes it to
//! [`client_config`]. It describes an error of rustls with [`explain`] and adds a hint
//! for the [`Remedy`].

mod errors;
mod roots;
mod verify;
pub mod x509;

use std::sync::Arc;

use common::{Error, Kind, Result};
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, SupportedProtocolVersion};

pub use errors::{Explanation, Remedy, cause, explain};
pub use roots::{Roots, certificates};
pub use verify::{ChainObserver, Verifier};

/// Returns the cryptography of ring.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Starts a configuration with the given versions of TLS, such as
/// [`rustls::DEFAULT_VERSIONS`]. The caller adds the client certificate, if there is
/// one, and the application protocols.
pub fn client_config(
    verifier: Verifier,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|e| Error::new(Kind::System, explain(&e).sentence))?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}
