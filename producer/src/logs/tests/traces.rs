//! Stack traces: one event, and what makes two of them the same.

use super::{assert_adds_up, only, read};
use crate::logs::fingerprint;

const JAVA: &str = "2024-01-01 10:00:00 ERROR [main] org.acme.Api: Request 5 failed\n\
    java.io.IOException: broken pipe\n\tat org.acme.Pool.take(Pool.java:12)\n\tat org.acme.Api.get(Api.java:3)\n\
    Caused by: java.lang.IllegalStateException: closed\n\tat org.acme.Socket.read(Socket.java:5)\n\t... 2 more\n";

#[test]
fn a_trace_is_one_event() {
    let event = only(JAVA);
    assert_eq!((event.first_line, event.last_line), (1, 7));
    assert_eq!((event.logger.as_str(), event.message.as_str()), ("org.acme.Api", "Request 5 failed"));
    assert!(event.stack.unwrap().ends_with("\t... 2 more"));
}

#[test]
fn the_next_head_ends_it() {
    let (events, report) = read(&format!("{JAVA}2024-01-01 10:00:01 INFO [main] org.acme.Api: on\n{JAVA}"));
    assert_eq!(events.iter().map(|event| event.first_line).collect::<Vec<_>>(), [1, 8, 9]);
    assert_eq!((report.event_lines, report.joined_lines), (3, 12));
    assert_adds_up(&report);
}

#[test]
fn line_numbers_do_not_count_but_classes_and_places_do() {
    let of = |text: &str| fingerprint(&only(text)).fingerprint;
    let same = JAVA.replace("Pool.java:12", "Pool.java:99").replace("Request 5", "Request 6");
    assert_eq!(of(JAVA), of(&same));
    for other in [
        JAVA.replace("java.io.IOException", "java.net.SocketException"),
        JAVA.replace("broken pipe", "no route to host"),
        JAVA.replace("Pool.take", "Pool.close"),
        JAVA.replace("IllegalStateException", "NullPointerException"),
    ] {
        assert_ne!(of(JAVA), of(&other), "{other}");
    }
}

#[test]
fn a_bare_python_trace_is_named_by_its_exception() {
    let trace = "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in load\n    f()\nKeyError: 'id'\n";
    let event = only(trace);
    assert_eq!(event.message, "KeyError: 'id'");
    assert!(event.stack.as_deref().unwrap().starts_with("Traceback"));
    let other = trace.replace("KeyError", "ValueError");
    assert_ne!(fingerprint(&event).fingerprint, fingerprint(&only(&other)).fingerprint);
}

#[test]
fn a_head_without_text_takes_the_next_line() {
    let event = only("2024-01-01 10:00:00 ERROR [main] org.acme.Api:\n  could not start\n  retry later\n");
    assert_eq!((event.message.as_str(), event.stack.as_deref()), ("could not start", Some("  retry later")));
}

#[test]
fn traces_of_other_languages_are_one_event_each() {
    let go = "panic: runtime error: index out of range [5]\n\ngoroutine 1 [running]:\nmain.f(0xc00001)\n\t/app/main.go:12 +0x1d\nexit status 2\n";
    let node = "TypeError: x is not a function\n    at f (/app/x.js:1:2)\n    at node:internal/main:1:2\n";
    let rust = "thread 'main' panicked at src/main.rs:5:10:\nout of rows\nstack backtrace:\n   0: acme::load\nnote: run with `RUST_BACKTRACE=full`\n";
    let dotnet = "fail: Acme.Web[13]\n      Unhandled\n      System.Exception: no\n         at A.B() in /a/b.cs:line 3\n";
    for trace in [go, node, rust, dotnet] {
        let (events, report) = read(&format!("{trace}{trace}"));
        assert_eq!(events.len(), 2, "{events:#?}");
        assert_eq!(fingerprint(&events[0]), fingerprint(&events[1]));
        assert_adds_up(&report);
    }
    assert!(fingerprint(&only(rust)).template.ends_with("| out of rows"));
}
