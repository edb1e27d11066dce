use std::collections::HashSet;

use fleetline_shared::domain::args::{AnalyserRef, LogArgs};
use proptest::prelude::*;

use super::{analyse_log, rules, table};
use crate::answers::{DESCRIPTION_CHARS, Severity, TITLE_CHARS};

fn event(level: &str, message: &str, stack: Option<&str>) -> LogArgs {
    LogArgs {
        analyser: AnalyserRef { name: "builtin".into(), model: None, version: "1".into() },
        logger: "com.shop.orders.OrderService".into(),
        level: level.into(),
        message: message.into(),
        stack: stack.map(str::to_owned),
        timestamp: None,
        service: Some("orders".into()),
        fingerprint: "00".into(),
        template: message.into(),
    }
}

/// One line for each kind of failure, in words that the rules were not copied from.
const LINES: &str = include_str!("test_lines.txt");

#[test]
fn lines_get_their_types() {
    let wrong: Vec<String> = LINES
        .lines()
        .filter_map(|line| {
            let (expected, message) = line.split_once('|').expect("type|message");
            let got = analyse_log(&event("ERROR", message, None)).error_type;
            (got != expected).then(|| format!("{got} instead of {expected}: {message}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_rule_is_sound() {
    let mut seen = HashSet::new();
    for rule in
        table::all().chain([&rules::INFORMATIONAL, &rules::UNCLASSIFIED_ERROR, &rules::UNCLASSIFIED_WARNING])
    {
        assert!(seen.insert(rule.error_type), "{} twice", rule.error_type);
        assert!(is_kebab(rule.error_type), "{}", rule.error_type);
        assert!(rule.meaning.ends_with('.') && rule.check.iter().all(|check| check.ends_with(['.', '?'])));
        let matches_anything = regex::Regex::new(rule.pattern).expect("valid").is_match("");
        assert!(!matches_anything || rule.pattern.is_empty(), "{} matches anything", rule.error_type);
    }
}

#[test]
fn the_level_moves_severity_and_ticket() {
    let refused = "GET http://pay: Connection refused";
    let table = [
        ("FATAL", "weird state 7", "unclassified-error", Severity::High, true),
        ("ERROR", "weird state 7", "unclassified-error", Severity::Medium, true),
        ("WARN", "weird state 7", "unclassified-warning", Severity::Low, false),
        ("INFO", "weird state 7", "informational", Severity::Low, false),
        ("", "weird state 7", "informational", Severity::Low, false),
        ("", "weird failure 7", "unclassified-error", Severity::Medium, true),
        ("ERROR", refused, "connection-refused", Severity::High, true),
        ("WARN", refused, "connection-refused", Severity::High, true),
        ("DEBUG", refused, "connection-refused", Severity::Medium, false),
        ("", refused, "connection-refused", Severity::High, true),
    ];
    for (level, message, error_type, severity, ticket) in table {
        let answer = analyse_log(&event(level, message, None));
        let got = (answer.error_type.as_str(), answer.severity, answer.create_ticket);
        assert_eq!(got, (error_type, severity, ticket), "{level} {message}");
    }
}

const JAVA: &str = "java.lang.IllegalStateException: cannot price\n\tat org.springframework.aop.Proxy.invoke(Proxy.java:3)\n\tat com.shop.orders.Pricer.total(Pricer.java:42)\nCaused by: java.net.ConnectException: Connection refused\n\tat java.base/sun.nio.ch.Net.connect(Net.java:5)";
const PYTHON: &str = "Traceback (most recent call last):\n  File \"/app/shop/views.py\", line 12, in order\n    pay()\n  File \"/usr/lib/python3/site-packages/x.py\", line 9, in pay\nKeyError: 'card'";

#[test]
fn stack_traces_tell_cause_and_place() {
    let java = analyse_log(&event("ERROR", "Order failed", Some(JAVA)));
    assert_eq!(java.error_type, "connection-refused");
    assert_eq!(java.title, "ConnectException: Order failed (OrderService)");
    assert!(
        java.description.contains("- Code: `com.shop.orders.Pricer.total(Pricer.java:42)`"),
        "{}",
        java.description
    );
    let python = analyse_log(&event("ERROR", "Order failed", Some(PYTHON)));
    assert_eq!(python.error_type, "missing-key");
    assert!(
        python.description.contains("- Code: `/app/shop/views.py:12, in order`"),
        "{}",
        python.description
    );
}

#[test]
fn backticks_cannot_break_out() {
    let answer = analyse_log(&event("ERROR", "a\n```\n# no heading\n````", None));
    assert!(
        answer.description.contains("`````text\na\n```\n# no heading\n````\n`````"),
        "{}",
        answer.description
    );
}

fn is_kebab(text: &str) -> bool {
    text.split('-')
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

#[test]
fn long_messages_keep_the_sections() {
    for filler in ["`", "~`", "é\n", "#"] {
        let mut args = event("ERROR", &filler.repeat(20_000), Some(JAVA));
        args.logger = filler.repeat(5_000);
        let answer = analyse_log(&args);
        assert!(answer.title.chars().count() <= TITLE_CHARS);
        assert!(answer.description.chars().count() <= DESCRIPTION_CHARS);
        assert!(answer.description.contains("## What to check"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_gives_a_well_formed_answer(
        level in "[A-Z]{0,8}", message in "(\\PC|\n|`){0,200}", stack in proptest::option::of("(\\PC|\n|at |`){0,100}"), logger in "\\PC{0,100}",
    ) {
        let mut args = event(&level, &message, stack.as_deref());
        args.logger = logger;
        let answer = analyse_log(&args);
        prop_assert!(is_kebab(&answer.error_type));
        prop_assert!(answer.title.chars().count() <= TITLE_CHARS && !answer.title.contains('\n'));
        prop_assert!(answer.description.chars().count() <= DESCRIPTION_CHARS && !answer.description.ends_with('…'));
        prop_assert!((0.0..=1.0).contains(&answer.confidence));
    }
}
