//! Trusted certificates: those of the system, or of PEM files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use common::{Error, Kind, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::explain;

/// The largest PEM file that is read, in bytes; endless ones such as /dev/zero fail.
const LENGTH_MAX: u64 = 16 << 20;

/// The certificates that a client trusts.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// The certificates of authorities.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Those of them that the user has named. A server may also present one of these
    /// itself.
    pub(super) explicit: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads PEM files and the files of a directory, or the certificates of the system
    /// if neither is given.
    pub fn load(files: &[PathBuf], directory: Option<&Path>) -> Result<Self> {
        if files.is_empty() && directory.is_none() {
            return Self::system();
        }
        let mut roots = Self::default();
        for file in files {
            roots.add_file(file)?;
        }
        if let Some(directory) = directory {
            roots.add_directory(directory)?;
            let mut store = RootCertStore::empty();
            let (usable, _) = store.add_parsable_certificates(roots.authorities.iter().cloned());
            if usable == 0 {
                let message = "the directory contains no usable PEM certificate";
                return Err(
                    Error::new(Kind::Input, message).with_subject(directory.display().to_string())
                );
            }
        }
        Ok(roots)
    }

    /// Returns the certificates of all trusted authorities, in DER.
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    fn system() -> Result<Self> {
        let native = rustls_native_certs::load_native_certs();
        if native.certs.is_empty() {
            return Err(no_authorities(native.errors.first()));
        }
        Ok(Self {
            authorities: native.certs,
            explicit: Vec::new(),
        })
    }

    /// Adds the certificates of a file that the user has named, all of which must be
    /// usable.
    fn add_file(&mut self, path: &Path) -> Result<()> {
        for certificate in certificates(path)? {
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|e| {
                    Error::new(Kind::Input, explain(&e).sentence)
                        .with_subject(path.display().to_string())
                })?;
            self.explicit.push(certificate.clone());
            self.authorities.push(certificate);
        }
        Ok(())
    }

    /// Adds the certificates in the files of a directory, which may also contain other
    /// files and unusable certificates.
    fn add_directory(&mut self, directory: &Path) -> Result<()> {
        let failed =
            |e: std::io::Error| Error::local(&e).with_subject(directory.display().to_string());
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !path.is_file() {
                continue;
            }
            match certificates(&path) {
                Ok(found) => self.authorities.extend(found),
                Err(error) if error.kind() == Kind::Input => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns the error for a system without certificate authorities.
pub(super) fn no_authorities(why: Option<&rustls_native_certs::Error>) -> Error {
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let message = format!("this system has no certificate authorities{why}");
    Error::new(Kind::System, message).hint("install ca-certificates, or use --cacert FILE")
}

/// Reads the certificates of a PEM file of at most 16 MiB. The subject of every error
/// is the file, and its kind is `input` if the content is invalid.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let subject = || path.display().to_string();
    let invalid = |message| Error::new(Kind::Input, message).with_subject(subject());
    let failed = |e: std::io::Error| Error::local(&e).with_subject(subject());
    let mut pem = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LENGTH_MAX + 1)
        .read_to_end(&mut pem)
        .map_err(failed)?;
    if pem.len() as u64 > LENGTH_MAX {
        return Err(invalid("is longer than 16 MiB"));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(invalid("the file contains no PEM certificate"))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(invalid("the file is not valid PEM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::tls::{Authority, Leaf};

    #[test]
    fn a_directory_without_a_usable_certificate_is_invalid_input() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("readme"), "no certificate").unwrap();
        let error = Roots::load(&[], Some(dir.path())).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert_eq!(
            error.to_string(),
            format!(
                "{}: the directory contains no usable PEM certificate",
                dir.path().display()
            )
        );
    }

    #[test]
    fn a_pem_file_without_a_certificate_is_invalid_input() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let subject = path.display().to_string();
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        for (content, message) in [
            ("", "the file contains no PEM certificate"),
            (key, "the file contains no PEM certificate"),
            (cut, "the file is not valid PEM"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = certificates(&path).unwrap_err();
            assert_eq!(error.kind(), Kind::Input);
            assert_eq!(error.to_string(), format!("{subject}: {message}"));
        }
        let one = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, format!("{key}{one}text\n{one}")).unwrap();
        let found = certificates(&path).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].as_ref(), [1, 2, 3]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(certificates(&path).unwrap_err().kind(), Kind::System);
    }

    #[test]
    fn an_endless_file_is_refused() {
        let error = certificates(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: is longer than 16 MiB");
    }

    #[test]
    fn only_named_files_must_be_usable() {
        let authority = Authority::new();
        let (good, _) = authority.files(Leaf::Good);
        let dir = tempfile::tempdir().unwrap();
        let unusable = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        let bad = dir.path().join("bad.pem");
        std::fs::write(&bad, unusable).unwrap();
        std::fs::write(dir.path().join("readme"), "text\n").unwrap();
        let files = [good.clone(), authority.ca_file()];
        let roots = Roots::load(&files, Some(dir.path())).unwrap();
        assert_eq!((roots.authorities.len(), roots.explicit.len()), (3, 2));
        let error = Roots::load(&[good, bad.clone()], None).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        let message = format!("{}: the certificate cannot be parsed", bad.display());
        assert_eq!(error.to_string(), message);
    }
}
