//! A certificate authority of a test.

use std::path::PathBuf;
use std::process::Command;

use fleetline_shared::tls::CaFile;
use tempfile::TempDir;

use super::{run, workspace};

/// An authority that nobody knows, and the certificate that it signed, for the host `localhost` alone.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// Makes them with `openssl`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a writable temporary folder");
        let mut make = Command::new(workspace().join("scripts/services.sh"));
        run(make.args(["certificates", &folder.path().to_string_lossy()]));
        Self { folder }
    }

    /// The authority's own certificate, for those who are to trust it.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The same as settings take it.
    pub fn ca(&self) -> CaFile {
        CaFile::read(&self.ca_file()).expect("it was just made")
    }

    /// The server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The server's key.
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("tls").join(name)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
