//! Odd inputs and settings.

use super::{assert_adds_up, read, read_with};
use crate::logs::{LogError, LogFields, LogFormat, LogOptions};

#[test]
fn input_without_text_is_empty() {
    for input in ["", "\n", " \r\n\t\n", "\u{feff}"] {
        let error = read_with(input.as_bytes(), &LogOptions::default()).unwrap_err();
        assert!(matches!(error, LogError::Empty), "{input:?}: {error}");
    }
}

#[test]
fn line_ends_and_marks_do_not_matter() {
    let (events, report) = read("\u{feff}ERROR one\r\n\r\nERROR two");
    assert_eq!((events[0].message.as_str(), events[1].message.as_str()), ("one", "two"));
    assert_eq!((report.lines, report.blank_lines, report.events), (3, 1, 2));
    assert_adds_up(&report);
}

#[test]
fn a_huge_line_is_cut_and_the_next_is_read() {
    let input = format!("ERROR {}\nERROR next\n", "x".repeat(10 * 1024 * 1024));
    let (events, report) = read(&input);
    assert_eq!((events.len(), report.truncated_lines, report.truncated_messages), (2, 1, 1));
    assert_eq!((events[0].message.len(), events[1].message.as_str()), (32 * 1024, "next"));
    assert_eq!(report.bytes, input.len() as u64);
    assert_adds_up(&report);
}

#[test]
fn invalid_text_is_kept_and_counted() {
    let (events, report) = read_with(b"ERROR caf\xe9 closed\n", &LogOptions::default()).unwrap();
    assert_eq!((events[0].message.as_str(), report.invalid_utf8_lines), ("caf\u{fffd} closed", 1));
}

#[test]
fn a_long_trace_is_cut_and_counted() {
    let input = format!("ERROR it broke\n{}", "\tat a.b.C.d(C.java:1)\n".repeat(1000));
    let options = LogOptions { max_stack_kb: 1, ..LogOptions::default() };
    let (events, report) = read_with(input.as_bytes(), &options).unwrap();
    assert_eq!(events[0].stack.as_ref().map(String::len), Some(1024));
    assert_eq!((events[0].last_line, report.joined_lines, report.truncated_stacks), (1001, 1000, 1));
    assert_adds_up(&report);
}

#[test]
fn broken_json_among_json_is_text_and_counted() {
    let good = "{\"level\":\"error\",\"logger\":\"a\",\"msg\":\"it broke\"}\n";
    let (events, report) = read(&format!("{good}{{\"level\":\n{good}plain words\n{good}{good}"));
    assert_eq!(events.len(), 6);
    assert_eq!((report.malformed_json_lines, report.first_malformed_line), (2, Some(2)));
    assert_eq!((events[1].message.as_str(), events[3].message.as_str()), ("{\"level\":", "plain words"));
    assert_adds_up(&report);
}

#[test]
fn json_among_text_is_read_as_json() {
    let (events, report) = read("ERROR one\nERROR two\n{\"level\":\"warn\",\"msg\":\"three\"}\nERROR four\n");
    assert_eq!((events[2].level.as_str(), events[2].message.as_str()), ("WARN", "three"));
    assert_eq!(report.malformed_json_lines, 0);
}

#[test]
fn a_given_format_is_taken() {
    let options = LogOptions { format: LogFormat::Json, ..LogOptions::default() };
    let (_, report) = read_with(b"one\ntwo\n", &options).unwrap();
    assert_eq!(report.malformed_json_lines, 2);
}

#[test]
fn pages_count_as_lines_and_events() {
    let page = r#"{"data":[{"id":"1","type":"log","attributes":{"message":"a","status":"error"}},{"id":"2","type":"log","attributes":{"message":"b"}}],"meta":{}}"#;
    let (events, report) = read(&format!("{page}\n{{\"data\":[]}}\n"));
    assert_eq!(events.iter().map(|event| event.message.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((report.page_lines, report.page_events, report.events), (2, 2, 2));
    assert_adds_up(&report);
}

#[test]
fn the_least_level_hides_what_is_below_and_nothing_unknown() {
    let options = LogOptions { min_level: Some(crate::logs::Level::Warn), ..LogOptions::default() };
    let mut reader =
        crate::logs::EventReader::open(&b"INFO a\nERROR b\nhello\nWARN c\nDEBUG d\n"[..], &options).unwrap();
    let mut messages = Vec::new();
    while let Some(event) = reader.next_passing().unwrap() {
        messages.push(event.message);
    }
    assert_eq!(messages, ["b", "hello", "c"]);
    let report = reader.into_report();
    assert_eq!((report.events, report.below_level), (5, 2));
}

#[test]
fn stopping_early_counts_what_was_read() {
    let mut reader =
        crate::logs::EventReader::open(&b"ERROR a\nERROR b\nERROR c\n"[..], &LogOptions::default()).unwrap();
    reader.next_event().unwrap();
    let report = reader.into_report();
    assert_eq!((report.lines, report.bytes, report.events), (2, 16, 2));
    assert_adds_up(&report);
}

#[test]
fn a_read_error_names_the_line() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk gone"))
        }
    }
    let input = std::io::Read::chain(&b"one\n"[..], Broken);
    let error = crate::logs::EventReader::open(input, &LogOptions::default()).err().unwrap();
    assert!(error.to_string().contains("disk gone"), "{error}");
}

#[test]
fn settings_refuse_unknown_keys_and_fill_gaps() {
    let options: LogOptions =
        serde_json::from_str(r#"{"min_level":"warn","fields":{"logger":["a.b"]}}"#).unwrap();
    assert_eq!(options.fields, LogFields { logger: vec!["a.b".into()], ..LogFields::default() });
    assert_eq!(options.max_line_kb, LogOptions::default().max_line_kb);
    assert!(serde_json::from_str::<LogOptions>(r#"{"min_lvl":"warn"}"#).is_err());
}
