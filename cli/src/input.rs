//! The input of a run: a file or standard input, and what it probably is.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::args::Pipeline;
use crate::exit::CliError;

/// How much of an input is looked at to guess what it is.
const PEEK: u64 = 4096;

/// An input that can be read.
pub struct Input {
    /// Its name for people: the path as given, or `-`.
    pub name: String,
    source: Source,
    head: Vec<u8>,
}

enum Source {
    File(PathBuf),
    /// Read once; the head is kept apart.
    Stdin,
    /// Standard input, kept because it must be read twice.
    Spooled(NamedTempFile),
}

impl Input {
    /// Opens a file, or standard input if the path is `-`.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let mut head = Vec::new();
        if path == Path::new("-") {
            io::stdin()
                .lock()
                .take(PEEK)
                .read_to_end(&mut head)
                .map_err(|error| CliError::Failure(format!("standard input cannot be read: {error}")))?;
            return Ok(Self { name: "-".into(), source: Source::Stdin, head });
        }
        let cannot = |error| CliError::Failure(format!("{} cannot be read: {error}", path.display()));
        let file = File::open(path).map_err(cannot)?;
        file.take(PEEK).read_to_end(&mut head).map_err(cannot)?;
        Ok(Self { name: path.display().to_string(), source: Source::File(path.to_owned()), head })
    }

    /// What the input probably is.
    pub fn guess(&self) -> Pipeline {
        guess(&self.name, &self.head)
    }

    /// Keeps standard input in a temporary file, so that it can be read more than once.
    pub fn spool(&mut self) -> Result<(), CliError> {
        if !matches!(self.source, Source::Stdin) {
            return Ok(());
        }
        let cannot =
            |error| CliError::Failure(format!("standard input cannot be kept in a temporary file: {error}"));
        let mut spool = NamedTempFile::new().map_err(cannot)?;
        let head = std::mem::take(&mut self.head);
        io::copy(&mut Cursor::new(&head).chain(io::stdin().lock()), &mut spool).map_err(cannot)?;
        self.head = head;
        self.source = Source::Spooled(spool);
        Ok(())
    }

    /// Hash of the content, if it can be read again: same content, same run.
    pub fn content_hash(&self) -> Result<Option<blake3::Hash>, CliError> {
        let Some(file) = self.reopen() else { return Ok(None) };
        let cannot = |error| CliError::Failure(format!("{} cannot be read: {error}", self.name));
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file.map_err(cannot)?).map_err(cannot)?;
        Ok(Some(hasher.finalize()))
    }

    /// Bytes of the input, if they are known.
    pub fn size(&self) -> Option<u64> {
        match &self.source {
            Source::File(path) => path.metadata().ok().map(|meta| meta.len()),
            Source::Spooled(spool) => spool.as_file().metadata().ok().map(|meta| meta.len()),
            Source::Stdin => None,
        }
    }

    /// The input from its beginning. Standard input that is not spooled can be read once.
    pub fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        match self.reopen() {
            Some(file) => Ok(Box::new(file?)),
            None => Ok(Box::new(Cursor::new(self.head.clone()).chain(io::stdin()))),
        }
    }

    fn reopen(&self) -> Option<io::Result<File>> {
        match &self.source {
            Source::File(path) => Some(File::open(path)),
            Source::Spooled(spool) => Some(spool.reopen().and_then(|mut file| {
                file.seek(SeekFrom::Start(0))?;
                Ok(file)
            })),
            Source::Stdin => None,
        }
    }
}

/// Content decides where it is clear, the name where it is not.
fn guess(name: &str, head: &[u8]) -> Pipeline {
    let is_utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    let text = head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head).trim_ascii_start();
    let named_xml =
        Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml"));
    // `<34>Oct 11 ...` is a syslog line.
    let opens_tag = matches!(text, [b'<', next, ..] if next.is_ascii_alphabetic() || b"?!_:".contains(next));
    if opens_tag || is_utf16 || named_xml { Pipeline::Discovery } else { Pipeline::Logs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipeline_is_guessed() {
        use Pipeline::{Discovery, Logs};
        let table: [(&str, &[u8], Pipeline); 11] = [
            ("order.xml", b"<?xml version='1.0'?><a/>", Discovery),
            ("order.dat", b"  \n<Order/>", Discovery),
            ("-", b"\xef\xbb\xbf<Order/>", Discovery),
            ("-", b"\xff\xfe<\0a\0", Discovery),
            ("broken.xml", b"hello", Discovery),
            ("empty.XML", b"", Discovery),
            ("app.log", b"2024-01-01 ERROR x", Logs),
            ("app.log", b"<34>Oct 11 22:14:15 su: failed", Logs),
            ("events.jsonl", b"{\"message\":\"x\"}", Logs),
            ("-", b"", Logs),
            ("app.log", b"\x00\x01", Logs),
        ];
        for (name, head, expected) in table {
            assert_eq!(guess(name, head), expected, "{name} {head:?}");
        }
    }
}
