//! Lines of any input: bounded, counted, always text.

use std::io::{self, BufRead, BufReader, Read};

use super::error::LogError;
use super::report::LogReport;

const BLOCK: usize = 64 * 1024;
/// How much of the start is looked at to tell text from anything else.
const SNIFFED: usize = 8 * 1024;
/// How much longer than other lines a page of JSON may be.
const PAGE_FACTOR: usize = 16;

/// Starts of formats that people hand in by mistake.
const MAGIC: [(&[u8], &str, &str); 9] = [
    (b"\x7fELF", "is an ELF program", "give the log that it writes"),
    (b"\x1f\x8b", "is compressed with gzip", "unpack it: `gunzip -c FILE | fleetline run -`"),
    (b"BZh", "is compressed with bzip2", "unpack it: `bunzip2 -c FILE | fleetline run -`"),
    (b"\xfd7zXZ\0", "is compressed with xz", "unpack it: `xz -dc FILE | fleetline run -`"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "unpack it: `zstd -dc FILE | fleetline run -`"),
    (b"PK\x03\x04", "is a zip archive", "unpack it and give the log in it"),
    (b"%PDF-", "is a PDF document", "give the log as text"),
    (b"\xff\xfe", "is UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8 FILE | fleetline run -`"),
    (b"\xfe\xff", "is UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8 FILE | fleetline run -`"),
];

/// Reads line by line into one buffer.
pub(super) struct Lines<R> {
    reader: BufReader<io::Chain<io::Cursor<Vec<u8>>, R>>,
    line: Vec<u8>,
    limit: usize,
}

impl<R: Read> Lines<R> {
    /// Looks at the start of the input; refuses what is no text.
    pub(super) fn open(mut input: R, limit: usize) -> Result<Self, LogError> {
        let mut start = Vec::with_capacity(SNIFFED);
        let sniffed = (&mut input).take(SNIFFED as u64).read_to_end(&mut start);
        sniffed.map_err(|source| LogError::Read { after_line: 0, source })?;
        refuse_binary(&start)?;
        let skip = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut start = io::Cursor::new(start);
        start.set_position(skip);
        Ok(Self { reader: BufReader::with_capacity(BLOCK, start.chain(input)), line: Vec::new(), limit })
    }

    /// The next line without its end; `None` at the end of the input. Counts it.
    pub(super) fn next(&mut self, report: &mut LogReport) -> Result<Option<String>, LogError> {
        self.line.clear();
        let mut truncated = false;
        let mut any = false;
        loop {
            let after_line = report.lines;
            let block = self.reader.fill_buf().map_err(|source| LogError::Read { after_line, source })?;
            if block.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', block);
            let part = &block[..end.unwrap_or(block.len())];
            let limit = if is_page(&self.line) { self.limit * PAGE_FACTOR } else { self.limit };
            let room = limit.saturating_sub(self.line.len());
            truncated |= part.len() > room;
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            report.bytes += used as u64;
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        report.lines += 1;
        report.truncated_lines += u64::from(truncated);
        Ok(Some(self.text(truncated, report)))
    }

    fn text(&self, truncated: bool, report: &mut LogReport) -> String {
        let mut line = &self.line[..];
        while let [front @ .., b'\r'] = line {
            line = front;
        }
        let (text, invalid) = match std::str::from_utf8(line) {
            Ok(text) => (text.to_owned(), false),
            // A cut in the middle of a character is the cut's fault, not the line's.
            Err(error) if truncated && error.error_len().is_none() => {
                (String::from_utf8_lossy(&line[..error.valid_up_to()]).into_owned(), false)
            }
            Err(_) => (String::from_utf8_lossy(line).into_owned(), true),
        };
        let has_nul = memchr::memchr(0, line).is_some();
        report.invalid_utf8_lines += u64::from(invalid || has_nul);
        let text = if has_nul { text.replace('\0', "\u{fffd}") } else { text };
        if text.contains('\x1b') { without_colours(&text) } else { text }
    }
}

fn is_page(line: &[u8]) -> bool {
    line.starts_with(b"{\"data\":") || line.starts_with(b"[{")
}

fn refuse_binary(start: &[u8]) -> Result<(), LogError> {
    if let Some((_, what, hint)) = MAGIC.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return Err(LogError::NotText { what, hint });
    }
    if memchr::memchr(0, start).is_some() {
        return Err(LogError::NotText { what: "has NUL bytes", hint: "give a text file, encoded in UTF-8" });
    }
    Ok(())
}

/// The text without terminal colours.
fn without_colours(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        clean.push_str(before);
        let end = escape.find(|c: char| !c.is_ascii_digit() && c != ';');
        rest = end.map_or("", |end| &escape[end + escape[end..].chars().next().map_or(0, char::len_utf8)..]);
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], limit: usize) -> (Vec<String>, LogReport) {
        let mut report = LogReport::default();
        let mut lines = Lines::open(input, limit).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next(&mut report).unwrap() {
            all.push(line);
        }
        (all, report)
    }

    #[test]
    fn line_ends_and_marks_are_no_text() {
        let (lines, report) = read(b"\xef\xbb\xbfone\r\ntwo\n\nthree", 100);
        assert_eq!(lines, ["one", "two", "", "three"]);
        assert_eq!(report.lines, 4);
    }

    #[test]
    fn long_lines_are_cut_and_the_rest_is_read() {
        let input = [vec![b'x'; 300_000], b"\nnext\n".to_vec()].concat();
        let (lines, report) = read(&input, 1000);
        assert_eq!((lines[0].len(), lines[1].as_str()), (1000, "next"));
        assert_eq!((report.lines, report.truncated_lines, report.bytes), (2, 1, 300_006));
    }

    #[test]
    fn a_page_of_json_may_be_longer() {
        let page = format!("{{\"data\":[{}]}}", "1,".repeat(70_000));
        assert_eq!(read(page.as_bytes(), 50_000).1.truncated_lines, 0);
        assert_eq!(read(page.as_bytes(), 5_000).1.truncated_lines, 1);
    }

    #[test]
    fn what_is_no_text_is_replaced_and_counted() {
        let mut input = vec![b' '; SNIFFED];
        input.extend_from_slice(b"\nbad \xff byte\nnul \0 here\n\x1b[31mred\x1b[0m\ncaf\xc3\xa9\n");
        let (lines, report) = read(&input, 100_000);
        assert_eq!(lines[1..], ["bad \u{fffd} byte", "nul \u{fffd} here", "red", "caf\u{e9}"]);
        assert_eq!(report.invalid_utf8_lines, 2);
    }

    #[test]
    fn a_cut_inside_a_character_is_no_invalid_text() {
        let (lines, report) = read("caf\u{e9}".as_bytes(), 4);
        assert_eq!((lines[0].as_str(), report.invalid_utf8_lines, report.truncated_lines), ("caf", 0, 1));
    }

    #[test]
    fn binary_input_is_refused_with_advice() {
        for (input, word) in [
            (&b"\x7fELF\x02\x01"[..], "ELF"),
            (b"\x1f\x8b\x08", "gunzip"),
            (b"\xff\xfeh\0", "iconv"),
            (b"a\0b", "NUL"),
        ] {
            let error = Lines::open(input, 100).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(word), "{error}");
        }
    }
}
