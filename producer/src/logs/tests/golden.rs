//! Fingerprints are stored with results: a change here pays for everything again.

use super::only;
use crate::logs::{Fingerprint, LogEvent, fingerprint};

#[test]
fn a_fingerprint_never_changes() {
    let trace = "2024-01-01 10:00:00 ERROR [main] org.acme.Api: Order 5 failed\n\
                 java.io.IOException: broken pipe 7\n\tat org.acme.Pool.take(Pool.java:12)\n\
                 Caused by: java.lang.Error: x";
    for (line, template, print) in [
        ("it broke", "it broke", "f9537bb4ab78e9d2af6b8ca294350b4e"),
        (
            "2015-10-18 18:01:47,978 INFO [main] org.foo.Bar: Resolved 10.0.0.1 in 5 ms",
            "Resolved <addr> in <num>",
            "995c994a284c26a29bb319b365a65dc5",
        ),
        (
            "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38 terminating",
            "PacketResponder <num> for block blk_<id> terminating",
            "edf19cd603b38829a7bb4719d322c974",
        ),
        (
            trace,
            "Order <num> failed | java.io.IOException: broken pipe <num>",
            "17ae8d208f2ab5eea7d8a8e63bd613c7",
        ),
    ] {
        let got = fingerprint(&only(line));
        assert_eq!(
            (got.template.as_str(), got.fingerprint.to_string().as_str()),
            (template, print),
            "{line}"
        );
    }
}

#[test]
fn logger_and_message_do_not_run_together() {
    let of = |logger: &str, message: &str| {
        let event = LogEvent { logger: logger.into(), message: message.into(), ..LogEvent::default() };
        fingerprint(&event).fingerprint
    };
    assert_ne!(of("a", "b"), of("", "ab"));
    assert_ne!(of("a", "x"), of("b", "x"));
    assert_eq!(of("a", "x 1"), of("a", "x 2"));
}

#[test]
fn hex_is_read_back() {
    let print = fingerprint(&only("it broke")).fingerprint;
    assert_eq!(print.to_string().parse::<Fingerprint>(), Ok(print));
    for wrong in ["", "12", "+2345678901234567890123456789012", "zz345678901234567890123456789012"] {
        assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
    }
}
