//! The input of a run: a file or standard input, and what it probably is.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use fleetline_producer::intake::files::FromStart;

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
    /// Standard input, a pipe or a device: read once, the head is kept apart.
    Once(File),
    /// The same, kept because it must be read twice. The file has no name: nothing of it stays,
    /// however this process ends.
    Spooled(File),
}

impl Input {
    /// Opens a file, or standard input if the path is `-`.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let cannot = |error| cannot_be_read(&name, &error);
        let file = if name == "-" {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(path)
        };
        let file = file.map_err(cannot)?;
        let mut head = Vec::new();
        (&file).take(PEEK).read_to_end(&mut head).map_err(cannot)?;
        // Only a file can be opened again: what has been read of anything else is gone from it.
        let is_file = name != "-" && file.metadata().map_err(cannot)?.is_file();
        let source = if is_file { Source::File(path.to_owned()) } else { Source::Once(file) };
        Ok(Self { name, source, head })
    }

    /// What the input probably is.
    pub fn guess(&self) -> Pipeline {
        guess(&self.name, &self.head)
    }

    /// Keeps what can be read once only in a temporary file, so that it can be read more than once.
    pub fn spool(&mut self) -> Result<(), CliError> {
        let Source::Once(input) = &self.source else { return Ok(()) };
        let cannot = |error| {
            let name = named(&self.name);
            CliError::Failure(format!("{name} cannot be kept in a temporary file: {error}"))
        };
        let mut spool = tempfile::tempfile().map_err(cannot)?;
        io::copy(&mut self.head.as_slice().chain(input), &mut spool).map_err(cannot)?;
        self.source = Source::Spooled(spool);
        Ok(())
    }

    /// Hash of the content, if it can be read again: same content, same run.
    pub fn content_hash(&self) -> Result<Option<blake3::Hash>, CliError> {
        if matches!(self.source, Source::Once(_)) {
            return Ok(None);
        }
        let cannot = |error| cannot_be_read(&self.name, &error);
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(self.reader().map_err(cannot)?).map_err(cannot)?;
        Ok(Some(hasher.finalize()))
    }

    /// Bytes of the input, if they are known.
    pub fn size(&self) -> Option<u64> {
        match &self.source {
            Source::File(path) => path.metadata().ok().map(|meta| meta.len()),
            Source::Spooled(spool) => spool.metadata().ok().map(|meta| meta.len()),
            Source::Once(_) => None,
        }
    }

    /// The input from its beginning. What is neither a file nor spooled can be read once.
    pub fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.source {
            Source::File(path) => Box::new(File::open(path)?),
            Source::Spooled(spool) => Box::new(FromStart::of(spool)?),
            Source::Once(file) => Box::new(Cursor::new(self.head.clone()).chain(file.try_clone()?)),
        })
    }
}

fn cannot_be_read(name: &str, error: &io::Error) -> CliError {
    CliError::Failure(format!("{} cannot be read: {error}", named(name)))
}

/// The name of an input for people.
pub(crate) fn named(name: &str) -> &str {
    if name == "-" { "standard input" } else { name }
}

/// Content decides where it is clear, the name where it is not.
fn guess(name: &str, head: &[u8]) -> Pipeline {
    let named_xml =
        Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml"));
    let text = decoded(head);
    let mut first = text.trim_start().chars();
    // `<34>Oct 11 ...` is a syslog line.
    let opens_tag = first.next() == Some('<')
        && first.next().is_some_and(|next| next.is_ascii_alphabetic() || "?!_:".contains(next));
    if opens_tag || named_xml { Pipeline::Discovery } else { Pipeline::Logs }
}

/// The text behind the byte order mark, as far as its first characters matter.
fn decoded(head: &[u8]) -> Cow<'_, str> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<_> = bytes.as_chunks().0.iter().copied().map(unit).collect();
        String::from_utf16_lossy(&units).into()
    };
    match head {
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] | text => String::from_utf8_lossy(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipeline_is_guessed() {
        use Pipeline::{Discovery, Logs};
        let table: [(&str, &[u8], Pipeline); 14] = [
            ("order.xml", b"<?xml version='1.0'?><a/>", Discovery),
            ("order.dat", b"  \n<Order/>", Discovery),
            ("-", b"\xef\xbb\xbf<Order/>", Discovery),
            ("-", b"\xff\xfe<\0a\0", Discovery),
            ("-", b"\xfe\xff\0\n\0<\0a", Discovery),
            ("-", b"\xff\xfe2\x000\0", Logs),
            ("-", b"\xfe\xff\0<\x003\x004\0>", Logs),
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
