//! Whatever the input: no panic, and every line counted.

use proptest::prelude::*;

use super::{assert_adds_up, read_with};
use crate::logs::{LogError, LogEvent, LogOptions, fingerprint};

/// Pieces that logs are made of, in any order.
fn log_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        "[ -~]{0,30}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "\n\n",
            "{\"message\":\"",
            "\"}",
            "{\"data\":[",
            "[{",
            "}]",
            "\tat a.b(C:1)\n",
            "\nCaused by: ",
            "Traceback (most recent call last):\n",
            "2024-01-01 10:00:00,1 ",
            "ERROR ",
            "[main] ",
            "a.B: ",
            "key=",
            "=",
            "\"",
            "'",
            "(",
            "<",
            ">",
            "://",
            "/",
            "\\",
            "é",
            "\u{feff}",
            "0x",
            "10.0.0.1",
            ":80",
            "@",
            "--- ",
            "E0508 ",
            "level=info msg=\"",
            "\x1b[31m",
            "user ",
            "Sun Jun ",
            "blk_-1 ",
            "status ",
            "500 ",
            "thread 'main' panicked at x:",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Lines as the input has them: a last one without an end counts too.
fn lines_of(input: &[u8]) -> usize {
    let ends = memchr::memchr_iter(b'\n', input).count();
    ends + usize::from(input.last().is_some_and(|last| *last != b'\n'))
}

proptest! {
    #[test]
    fn any_input_is_read_or_refused(input in log_like(), line in 1_usize..3, stack in 0_usize..2) {
        let options = LogOptions { max_line_kb: line, max_stack_kb: stack, ..LogOptions::default() };
        match read_with(&input, &options) {
            Ok((events, report)) => {
                assert_adds_up(&report);
                let text = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&input);
                prop_assert_eq!(report.lines, lines_of(text) as u64);
                prop_assert_eq!(report.events, events.len() as u64);
                prop_assert_eq!(report.bytes, text.len() as u64);
                let mut line = 0;
                for event in &events {
                    prop_assert!(event.first_line >= line && event.last_line >= event.first_line);
                    line = event.last_line;
                    fingerprint(event);
                }
            }
            Err(LogError::Empty | LogError::NotText { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn numbers_and_ids_never_tell_messages_apart(words in "[a-z]{2,8}( [a-z]{2,8}){0,5}", a in any::<u32>(), b in any::<u32>()) {
        let of = |message: String| fingerprint(&LogEvent { message, ..LogEvent::default() }).fingerprint;
        prop_assert_eq!(of(format!("{words} {a} x")), of(format!("{words} {b} x")));
        prop_assert_eq!(of(format!("{words} blk_{a} x")), of(format!("{words} blk_{b} x")));
        prop_assert_eq!(of(format!("{words} 0x{a:x} x")), of(format!("{words} 0x{b:x} x")));
        prop_assert_eq!(of(format!("{words} '{a}' x")), of(format!("{words} '{b}' x")));
    }
}
