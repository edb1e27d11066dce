//! From bytes to UTF-8: byte order marks, declared encodings, and places in the text.

use std::io::{self, BufRead, Cursor, Read};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::error::{Fault, FaultKind};

/// The XML declaration stands within this many bytes.
const HEAD: u64 = 1024;

/// The document as UTF-8 without byte order mark.
///
/// A byte order mark decides; else the XML declaration's encoding; else it is UTF-8. Bytes that a
/// declared encoding does not know become U+FFFD; bytes that are no UTF-8 pass and fail later.
pub(super) fn utf8(mut raw: Box<dyn Read>) -> Result<Box<dyn Read>, Fault> {
    let io = |error| Fault { offset: 0, kind: FaultKind::Io(error) };
    let mut head = Vec::new();
    raw.by_ref().take(HEAD).read_to_end(&mut head).map_err(io)?;
    if head.is_empty() {
        return Err(Fault { offset: 0, kind: FaultKind::Empty("0 bytes") });
    }
    let (mark, encoding) = detect(&head)?;
    let rest = Cursor::new(head.split_off(mark)).chain(raw);
    if encoding == UTF_8 {
        return Ok(Box::new(rest));
    }
    Ok(Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(rest)))
}

/// Length of the byte order mark, and the encoding.
fn detect(head: &[u8]) -> Result<(usize, &'static Encoding), Fault> {
    match head {
        [0xEF, 0xBB, 0xBF, ..] => return Ok((3, UTF_8)),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            return Err(Fault::malformed(0, "UTF-32 is not supported; convert the file to UTF-8"));
        }
        [0xFF, 0xFE, ..] => return Ok((2, UTF_16LE)),
        [0xFE, 0xFF, ..] => return Ok((2, UTF_16BE)),
        [b'<', 0, ..] => return Ok((0, UTF_16LE)),
        [0, b'<', ..] => return Ok((0, UTF_16BE)),
        _ => {}
    }
    let Some(label) = declared(head) else { return Ok((0, UTF_8)) };
    let encoding = Encoding::for_label(&label).ok_or_else(|| {
        let label = String::from_utf8_lossy(&label).into_owned();
        Fault::malformed(0, format!("unknown encoding `{label}`; convert the file to UTF-8"))
    })?;
    // The declaration was readable as ASCII, so it is wrong about UTF-16.
    let wrong = encoding == UTF_16LE || encoding == UTF_16BE;
    Ok((0, if wrong { UTF_8 } else { encoding }))
}

/// The encoding in `<?xml ... encoding="..."?>`.
fn declared(head: &[u8]) -> Option<Vec<u8>> {
    let declaration = head.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..memchr::memmem::find(declaration, b"?>")?];
    let at = memchr::memmem::find(declaration, b"encoding")? + "encoding".len();
    let value = declaration[at..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, value) = value.split_first()?;
    Some(value[..memchr::memchr(*quote, value)?].to_vec())
}

/// Line and column (in characters), both from 1, of a byte offset. Reads the document again, which
/// is cheaper than counting lines in every good one.
pub(super) fn locate(text: Box<dyn Read>, offset: u64) -> io::Result<(u64, u64)> {
    let mut text = io::BufReader::new(text.take(offset));
    let (mut line, mut column) = (1, 1);
    loop {
        let chunk = text.fill_buf()?;
        if chunk.is_empty() {
            return Ok((line, column));
        }
        for byte in chunk {
            match byte {
                b'\n' => (line, column) = (line + 1, 1),
                // Only the first byte of a character counts.
                0x80..=0xBF => {}
                _ => column += 1,
            }
        }
        let length = chunk.len();
        text.consume(length);
    }
}

/// A reader that fails when one token (a tag, a text) is longer than allowed, so that a document
/// of one endless line needs no endless memory.
pub(super) struct Capped<R> {
    inner: R,
    max: usize,
    left: usize,
}

/// The error of [`Capped`].
#[derive(Debug, thiserror::Error)]
#[error("a single tag or text is too long")]
pub(super) struct TooLong;

impl<R> Capped<R> {
    pub(super) fn new(inner: R, max: usize) -> Self {
        Self { inner, max, left: max }
    }

    /// The next token begins.
    pub(super) fn reset(&mut self) {
        self.left = self.max;
    }
}

impl<R: BufRead> Read for Capped<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let length = chunk.len().min(out.len());
        out[..length].copy_from_slice(&chunk[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Capped<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other(TooLong));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.left = self.left.saturating_sub(length);
        self.inner.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> String {
        let mut text = String::new();
        utf8(Box::new(Cursor::new(bytes.to_vec()))).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn byte_order_marks_and_declarations_decide() {
        let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let with_mark = [&[0xFF, 0xFE][..], &utf16("<a>é</a>")].concat();
        assert_eq!(read(&with_mark), "<a>é</a>");
        assert_eq!(read(&utf16("<a>é</a>")), "<a>é</a>");
        assert_eq!(read(b"\xEF\xBB\xBF<a/>"), "<a/>");
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>";
        assert!(read(latin).ends_with("<a>é</a>"));
        let wrong = "<?xml version=\"1.0\" encoding=\"utf-16\"?><a>é</a>";
        assert_eq!(read(wrong.as_bytes()), wrong);
    }

    #[test]
    fn finds_lines_and_columns() {
        let text = "aé\n€b\n";
        for (offset, expected) in
            [(0, (1, 1)), (1, (1, 2)), (3, (1, 3)), (4, (2, 1)), (7, (2, 2)), (9, (3, 1))]
        {
            let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
            assert_eq!(locate(reader, offset).unwrap(), expected, "offset {offset}");
        }
    }
}
