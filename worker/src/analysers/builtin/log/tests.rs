use fleetline_shared::domain::AnalyserRef;

use super::*;

fn event(level: &str, message: &str, stack: Option<&str>) -> LogArgs {
    LogArgs {
        analyser: AnalyserRef { name: NAME.into(), model: None, version: RULES_VERSION.into() },
        logger: "com.shop.orders.OrderService".into(),
        level: level.into(),
        message: message.into(),
        stack: stack.map(Into::into),
        timestamp: Some("2026-11-21 05:00:00".into()),
        service: None,
        fingerprint: "f".into(),
        template: message.into(),
    }
}

#[test]
fn messages_of_all_sorts() {
    for (message, expected) in [
        ("java.lang.OutOfMemoryError: Java heap space", "out-of-memory"),
        ("write /var/lib/x: no space left on device", "disk-full"),
        ("Container killed: OOMKilled", "oom-killed"),
        ("accept tcp: too many open files", "too-many-open-files"),
        ("thread 'main' panicked at src/main.rs:4:5", "process-crash"),
        ("worker process exited with code 1", "process-exit"),
        ("PKIX path building failed", "certificate-invalid"),
        ("javax.net.ssl.SSLHandshakeException: no", "tls-handshake-failed"),
        ("getaddrinfo ENOTFOUND db.internal", "dns-failure"),
        ("connect ECONNREFUSED 127.0.0.1:5432", "connection-refused"),
        ("No Route to Host from a to b", "host-unreachable"),
        ("read: connection reset by peer", "connection-reset"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "connection-timeout"),
        ("listen: address already in use", "address-in-use"),
        ("HTTP/1.1 429 from api", "rate-limited"),
        ("Request failed with status code 401", "authentication-failed"),
        ("POST /x returned status=403", "access-denied"),
        ("open /etc/shadow: permission denied", "permission-denied"),
        ("upstream said 503 Service Unavailable", "service-unavailable"),
        ("GET /a returned status: 500", "http-server-error"),
        ("GET /a returned status: 404", "http-client-error"),
        ("ERROR: deadlock detected", "database-deadlock"),
        ("duplicate key value violates unique constraint \"a\"", "duplicate-key"),
        (
            "HikariPool-1 - Connection is not available, request timed out after 30000ms",
            "connection-pool-exhausted",
        ),
        ("relation \"orders\" does not exist", "database-schema-mismatch"),
        ("You have an error in your SQL syntax near", "sql-syntax-error"),
        ("Kafka broker 3 disconnected", "broker-failure"),
        ("Cannot read properties of undefined (reading 'id')", "null-pointer"),
        ("called `Option::unwrap()` on a `None` value", "null-pointer"),
        ("ClassCastException: a cannot be cast to b", "type-error"),
        ("KeyError: 'total'", "index-out-of-range"),
        ("ModuleNotFoundError: No module named 'x'", "class-not-found"),
        ("Unexpected token < in JSON at position 0", "parse-error"),
        ("environment variable DATABASE_URL is not set", "configuration-error"),
        ("ENOENT: no such file or directory, open 'x'", "file-not-found"),
        ("request timed out", "timeout"),
        ("context deadline exceeded", "timeout"),
        ("payment for order 5 declined", "payment-failed"),
        ("Directory index forbidden by rule: /var/www/html/", "access-denied"),
        ("mod_jk child workerEnv in error state 6", "component-error-state"),
        ("Unhandled exception in event loop", "unhandled-exception"),
        ("Could not do it", "operation-failed"),
        ("Something odd", "unclassified-error"),
    ] {
        assert_eq!(analyse(&event("ERROR", message, None)).error_type, expected, "{message}");
    }
}

#[test]
fn normal_work_is_informational() {
    for message in [
        "minSessionTimeout set to -1",
        "Notification time out: 60000",
        "Received block blk_-503 of size 67108864 from /10.250.14.224",
        "Not uberizing job_1 because: not enabled; too many maps; too much input;",
        "0 errors, 0 failures",
        "Verification succeeded for blk_401",
        "Progress of TaskAttempt attempt_429 is : 0.503",
        "workerEnv.init() ok /etc/httpd/conf/workers2.properties",
    ] {
        let output = analyse(&event("INFO", message, None));
        assert_eq!(
            (output.error_type.as_str(), output.severity),
            ("informational", Severity::Low),
            "{message}"
        );
        assert!(!output.create_ticket, "{message}");
    }
}

#[test]
fn the_root_cause_counts_more_than_the_wrapping() {
    let stack = "com.shop.OrderException: could not place\n\tat com.shop.orders.OrderService.place(OrderService.java:42)\n\
        Caused by: java.net.ConnectException: Connection refused\n\t... 7 more";
    let output = analyse(&event("ERROR", "order could not be placed", Some(stack)));
    assert_eq!(output.error_type, "connection-refused");
    assert_eq!(output.title, "Connection refused: OrderService: order could not be placed");
    for part in [
        "order could not be placed",
        "**Root cause.** `java.net.ConnectException: Connection refused`",
        "logger `com.shop.orders.OrderService`",
        "topmost own frame `com.shop.orders.OrderService.place(OrderService.java:42)`",
        "- Host and port in the configuration",
    ] {
        assert!(output.description.contains(part), "{part} is not in\n{}", output.description);
    }
}

#[test]
fn without_rule_and_level_nothing_is_claimed() {
    let output = analyse(&event("", "hello", None));
    assert_eq!((output.error_type.as_str(), output.create_ticket), ("unclassified", false));
    let nothing = analyse(&LogArgs { logger: String::new(), ..event("", " ", None) });
    assert_eq!(nothing.title, "Event without text");
}

#[test]
fn the_surer_rule_wins_and_the_level_weighs() {
    let fatal = analyse(&event("FATAL", "exited : java.net.NoRouteToHostException: No Route to Host", None));
    assert_eq!((fatal.error_type.as_str(), fatal.severity), ("host-unreachable", Severity::High));
    let warning = analyse(&event("WARN", "Failed to renew lease for [DFSClient] for 30 seconds", None));
    assert_eq!((warning.error_type.as_str(), warning.severity), ("lease-renewal-failed", Severity::Low));
}
