//! Authorities of one's own.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A file with the certificates of authorities, read and found good. `Debug` shows its path.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFile {
    path: PathBuf,
    pem: String,
}

impl CaFile {
    /// Reads the file: one or more certificates in PEM. The error names the file, and what to do.
    pub fn read(path: &Path) -> Result<Self, String> {
        let wrong = |what: String| format!("{}: {what}", path.display());
        let pem = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(format!("it cannot be read as PEM ({error:?})")))?;
        if certificates.is_empty() {
            return Err(wrong(
                "it holds no certificate; it is a text with `-----BEGIN CERTIFICATE-----` (PEM)".to_owned(),
            ));
        }
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store
                .add(certificate)
                .map_err(|error| wrong(format!("a certificate cannot be used ({error})")))?;
        }
        Ok(Self { path: path.to_owned(), pem })
    }

    /// The certificates.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaFile({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_of_no_use_is_named() {
        let folder = std::env::temp_dir().join(format!("fleetline-ca-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (name, content, says) in [
            ("key.pem", key, "no certificate"),
            ("text", "what is this", "no certificate"),
            ("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n", "cannot be read as PEM"),
            ("odd.pem", no_certificate, "cannot be used"),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            let error = CaFile::read(&path).unwrap_err();
            assert!(error.contains(says) && error.contains(name), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
        assert!(CaFile::read(&folder.join("none")).unwrap_err().contains("No such file"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
