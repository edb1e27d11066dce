use super::*;

fn one(line: &str) -> LogEvent {
    one_with(line, &LogFields::default())
}

fn one_with(line: &str, fields: &LogFields) -> LogEvent {
    match read(line, fields) {
        Some(Parsed::One(event)) => *event,
        Some(Parsed::Page(_)) => panic!("a page: {line}"),
        None => panic!("no JSON: {line}"),
    }
}

#[test]
fn datadogs_shape() {
    let event = one(
        r#"{"id":"AAAA","type":"log","attributes":{"message":"it broke","service":"shop","host":"i-1","status":"error",
        "timestamp":"2019-01-02T09:42:36.320Z","tags":["team:A"],
        "attributes":{"logger":{"name":"org.acme.Api"},"error":{"stack":"java.io.IOException: x\n\tat a.b(C:1)"}}}}"#,
    );
    assert_eq!(
        (event.level.as_str(), event.logger.as_str(), event.message.as_str()),
        ("ERROR", "org.acme.Api", "it broke")
    );
    assert_eq!(event.service.as_deref(), Some("shop"));
    assert_eq!(event.timestamp.as_deref(), Some("2019-01-02T09:42:36.320Z"));
    assert!(event.stack.unwrap().starts_with("java.io.IOException"));
}

#[test]
fn names_that_loggers_use() {
    for line in [
        r#"{"timestamp":"1","level":"ERROR","logger":"a.B","message":"it broke"}"#,
        r#"{"@timestamp":"1","log.level":"error","log":{"logger":"a.B"},"message":"it broke"}"#,
        r#"{"ts":1,"level":"error","logger":"a.B","msg":"it broke"}"#,
        r#"{"time":1,"level":50,"name":"a.B","msg":"it broke"}"#,
        r#"{"time":"1","severity":"ERROR","component":"a.B","msg":"it broke"}"#,
        r#"{"date":1,"lvl":"error","logger_name":"a.B","message":"it broke"}"#,
        r#"{"time":"1","PRIORITY":"3","SYSLOG_IDENTIFIER":"a.B","MESSAGE":"it broke"}"#,
        r#"{"log":"2024-01-01 10:00:00 ERROR [main] a.B: it broke\n","stream":"stderr","time":"1"}"#,
    ] {
        let event = one(line);
        assert_eq!(
            (event.level.as_str(), event.logger.as_str(), event.message.as_str()),
            ("ERROR", "a.B", "it broke"),
            "{line}"
        );
        assert_eq!(event.timestamp.as_deref(), Some("1"), "{line}");
    }
}

#[test]
fn own_paths_come_first() {
    let fields = LogFields {
        logger: vec!["attributes.attributes.where".into()],
        message: vec!["text.long".into()],
        ..LogFields::default()
    };
    let line =
        r#"{"logger":"x","message":"y","text":{"long":"z"},"attributes":{"attributes":{"where":"w"}}}"#;
    let event = one_with(line, &fields);
    assert_eq!((event.logger.as_str(), event.message.as_str()), ("w", "z"));
}

#[test]
fn what_went_wrong_joins_the_message() {
    let event = one(r#"{"level":"error","msg":"upload failed","error":"connection refused"}"#);
    assert_eq!(event.message, "upload failed: connection refused");
    let event = one(r#"{"level":"error","error":{"kind":"IOError","message":"disk full"}}"#);
    assert_eq!(event.message, "IOError: disk full");
}

#[test]
fn a_trace_inside_the_message_is_the_stack() {
    let event = one(r#"{"level":"error","message":"it broke\njava.io.IOException: x\n\tat a.b(C:1)"}"#);
    assert_eq!(
        (event.message.as_str(), event.stack.as_deref()),
        ("it broke", Some("java.io.IOException: x\n\tat a.b(C:1)"))
    );
    let event = one(r#"{"level":"error","stack_trace":"java.io.IOException: x\n\tat a.b(C:1)"}"#);
    assert_eq!(
        (event.message.as_str(), event.stack.as_deref()),
        ("java.io.IOException: x", Some("\tat a.b(C:1)"))
    );
}

#[test]
fn an_object_without_a_message_is_its_own() {
    let event = one(r#"{"kind":"audit","user":"bob"}"#);
    assert_eq!(event.message, r#"{"kind":"audit","user":"bob"}"#);
    assert_eq!(one(r#"{"status":404,"message":"x"}"#).level, "");
}

#[test]
fn pages_and_what_is_none() {
    assert!(
        matches!(read(r#"{"data":[{"attributes":{"message":"a"}}]}"#, &LogFields::default()), Some(Parsed::Page(page)) if page.len() == 1)
    );
    assert!(
        matches!(read(r#"[{"message":"a"},{"message":"b"}]"#, &LogFields::default()), Some(Parsed::Page(page)) if page.len() == 2)
    );
    assert_eq!(one(r#"{"data":[1],"message":"x"}"#).message, "x");
    for line in ["{", "[{]", "5", "[1]", "{\"a\":1} x"] {
        assert!(read(line, &LogFields::default()).is_none(), "{line}");
    }
}
