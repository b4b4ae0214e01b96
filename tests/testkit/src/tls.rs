//! A private certificate authority for tests of TLS: valid certificates,
//! certificates with each common defect, and server settings that use them.
//!
//! Each [`Authority`] generates new keys and has a temporary directory for its
//! files. Several servers can share an authority, so that one `--cacert` is valid
//! for a redirect between them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

/// The certificate that a server presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Valid for `localhost`, `127.0.0.1` and `::1`, until 4096-01-01.
    Good,
    /// Valid, but for `wrong.test` only.
    WrongName,
    /// For the right names, expired since 2001-01-01.
    Expired,
    /// For the right names, valid from 4000-01-01.
    NotYetValid,
    /// For the right names, but self-signed.
    SelfSigned,
    /// For a client, with the common name `client.test`.
    Client,
    /// For the right names, but marked as an authority (CA:TRUE).
    Authority,
    /// For the right names, self-signed and marked as an authority.
    SelfSignedAuthority,
}

/// A certificate authority with a directory for its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&self.dir.path()).finish()
    }
}

impl Authority {
    /// Creates an authority with the common name "inetkit test CA".
    pub fn new() -> Arc<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "inetkit test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("generate a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("sign the authority");
        let dir = tempfile::tempdir().expect("create a temporary directory");
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("write ca.pem");
        Arc::new(Self { issuer, dir })
    }

    /// Returns the PEM file of the authority's certificate, which is removed with
    /// this value.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Returns the directory of this authority's files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Issues a certificate and writes it and its key as PEM files, for a program
    /// with options for both (`--cert`, `--key`).
    pub fn files(&self, leaf: Leaf) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.issue(leaf);
        let name = format!("{leaf:?}").to_lowercase();
        let cert_file = self.dir.path().join(format!("{name}.pem"));
        let key_file = self.dir.path().join(format!("{name}.key"));
        std::fs::write(&cert_file, certificate.pem()).expect("write a certificate");
        std::fs::write(&key_file, key.serialize_pem()).expect("write a key");
        (cert_file, key_file)
    }

    /// Returns the authority's certificate.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Returns server settings with [`Leaf::Good`].
    pub fn server(self: &Arc<Self>) -> Tls {
        Tls {
            authority: Arc::clone(self),
            leaf: Leaf::Good,
            files: None,
            client_auth: false,
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: Vec::new(),
        }
    }

    fn issue(&self, leaf: Leaf) -> (rcgen::Certificate, KeyPair) {
        let names: &[&str] = match leaf {
            Leaf::WrongName => &["wrong.test"],
            Leaf::Client => &["client.test"],
            _ => &["localhost", "127.0.0.1", "::1"],
        };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let common = names[0].clone();
        let mut params = CertificateParams::new(names).expect("use valid names");
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![if leaf == Leaf::Client {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        match leaf {
            Leaf::Expired => {
                params.not_before = date_time_ymd(2000, 1, 1);
                params.not_after = date_time_ymd(2001, 1, 1);
            }
            Leaf::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Leaf::Authority | Leaf::SelfSignedAuthority => {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
            _ => {}
        }
        let key = KeyPair::generate().expect("generate a key");
        let certificate = if matches!(leaf, Leaf::SelfSigned | Leaf::SelfSignedAuthority) {
            params.self_signed(&key)
        } else {
            params.signed_by(&key, &self.issuer)
        };
        (certificate.expect("sign a certificate"), key)
    }
}

/// The TLS settings of a server.
#[derive(Debug, Clone)]
#[must_use]
pub struct Tls {
    authority: Arc<Authority>,
    leaf: Leaf,
    /// The certificate and key to present instead of new ones.
    files: Option<(PathBuf, PathBuf)>,
    client_auth: bool,
    versions: Vec<&'static rustls::SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
}

impl Tls {
    /// Sets the certificate to present.
    pub fn leaf(mut self, leaf: Leaf) -> Self {
        self.leaf = leaf;
        self
    }

    /// Sets the certificate to present, and returns the PEM file that contains it.
    pub fn saved_leaf(mut self, leaf: Leaf) -> (Self, PathBuf) {
        let files = self.authority.files(leaf);
        let certificate = files.0.clone();
        self.files = Some(files);
        (self, certificate)
    }

    /// Requires a client certificate of the same authority.
    pub fn require_client_certificate(mut self) -> Self {
        self.client_auth = true;
        self
    }

    /// Allows TLS 1.2 only.
    pub fn only_tls12(mut self) -> Self {
        self.versions = vec![&rustls::version::TLS12];
        self
    }

    /// Offers these application protocols (ALPN).
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// Returns the authority that issued the certificate.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Returns these settings as a configuration of rustls.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .expect("use known versions");
        let root = self.authority.root();
        let builder = if self.client_auth {
            let mut roots = RootCertStore::empty();
            roots.add(root.clone()).expect("add a valid root");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("build a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = if let Some((certificate, key)) = &self.files {
            (
                CertificateDer::from_pem_file(certificate).expect("read the certificate"),
                PrivateKeyDer::from_pem_file(key).expect("read the key"),
            )
        } else {
            let (certificate, key) = self.authority.issue(self.leaf);
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            (certificate.der().clone(), key)
        };
        let chain: Vec<CertificateDer<'static>> = vec![certificate, root];
        let mut config = builder
            .with_single_cert(chain, key)
            .expect("use a matching key");
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }
}
