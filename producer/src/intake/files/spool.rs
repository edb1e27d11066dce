//! Inputs that are kept in a temporary file, because they are read twice or must be known first.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tempfile::tempfile_in;
use tokio::task::spawn_blocking;

use super::FileFault;

/// Read and written at once.
const BUFFER: usize = 64 << 10;

/// What a splitter reads.
pub(super) enum Input {
    /// Once, as it comes.
    Stream(Box<dyn Read + Send>),
    /// As often as needed. The file has no name: nothing of it stays, however this process ends.
    Spooled { file: File, content: String },
}

impl Input {
    /// Hash of the content, where it is known.
    pub(super) fn content(&self) -> Option<&str> {
        match self {
            Self::Stream(_) => None,
            Self::Spooled { content, .. } => Some(content),
        }
    }
}

/// Keeps the whole input in a temporary file of the folder.
pub(super) async fn spool(body: impl Read + Send + 'static, folder: PathBuf) -> Result<Input, FileFault> {
    let spooled = spawn_blocking(move || copy(body, &folder)).await;
    spooled.unwrap_or_else(|error| Err(FileFault::Spool(io::Error::other(error))))
}

fn copy(mut body: impl Read, folder: &std::path::Path) -> Result<Input, FileFault> {
    let mut file = tempfile_in(folder).map_err(FileFault::Spool)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FileFault::Unreadable(format!("the input cannot be read: {error}"))),
        };
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(FileFault::Spool)?;
    }
    Ok(Input::Spooled { file, content: hasher.finalize().to_hex().to_string() })
}

/// Reads a file from its beginning, whatever its other handles do.
#[derive(Debug)]
pub struct FromStart {
    file: File,
    at: u64,
}

impl FromStart {
    /// A reader of its own.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, at: 0 })
    }
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
