use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback};
use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::*;

/// Wed, 21 Oct 2015 07:28:00 GMT.
const NOW: u64 = 1_445_412_480;
const MINUTE_LATER: &str = "Wed, 21 Oct 2015 07:29:00 GMT";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn read(headers: &[(&str, &str)]) -> Feedback {
    let parse = |(name, value): &(&str, &str)| {
        (name.to_lowercase().parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
    };
    of_headers(Vendor::Plain, &headers.iter().map(parse).collect(), now())
}

/// Dimension, limit, remaining, milliseconds until the reset, seconds of the window.
type Row = (Dimension, Option<u64>, Option<u64>, Option<u64>, Option<u64>);

/// Who writes so, the headers, and what is read.
type Case = (&'static str, &'static [(&'static str, &'static str)], Vec<Row>);

fn rows(feedback: &Feedback) -> Vec<Row> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).expect("capped");
    let row = |standing: &DimensionStanding| {
        let DimensionStanding { dimension, limit, remaining, reset, window } = *standing;
        (dimension, limit, remaining, reset.map(ms), window.map(|window| window.as_secs()))
    };
    feedback.standings.iter().map(row).collect()
}

#[test]
fn waits() {
    let ms = |ms| Some(Duration::from_millis(ms));
    for (headers, expected) in [
        (&[][..], None),
        (&[("retry-after", "2")], ms(2_000)),
        (&[("retry-after", " 1.5 ")], ms(1_500)),
        (&[("retry-after", "0")], None),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "NaN")], None),
        (&[("retry-after", "86400")], ms(3_600_000)),
        (&[("retry-after", "1e300")], None),
        (&[("retry-after", MINUTE_LATER)], ms(60_000)),
        (&[("retry-after", MINUTE_LATER), ("date", MINUTE_LATER)], None),
        (&[("retry-after", "Wed, 21 Oct 2014 07:28:00 GMT")], None),
        (&[("retry-after-ms", "250"), ("retry-after", "9")], ms(250)),
        (&[("retry-after-ms", "-1"), ("retry-after", "9")], ms(9_000)),
        (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], ms(360_000)),
        (&[("x-ratelimit-remaining-tokens", "7"), ("x-ratelimit-reset-tokens", "6m0s")], None),
        (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "20ms")], ms(20)),
        (&[("x-ratelimit-remaining-tokens", "0"), ("x-rate-limit-reset-tokens", "55")], ms(55_000)),
        (&[("RateLimit-Reason", "jira-burst-based"), ("X-RateLimit-Reset", "2015-10-21T07:29Z")], ms(60_000)),
    ] {
        assert_eq!(read(headers).retry_after, expected, "{headers:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn standings() {
    use Dimension::{Concurrency, InputTokens, OutputTokens, Requests, Tokens};
    let cases: Vec<Case> = vec![
        (
            "OpenAI",
            &[
                ("x-ratelimit-limit-requests", "5000"),
                ("x-ratelimit-remaining-requests", "4999"),
                ("x-ratelimit-reset-requests", "12ms"),
                ("x-ratelimit-limit-tokens", "160000"),
                ("x-ratelimit-remaining-tokens", "159976"),
                ("x-ratelimit-reset-tokens", "1h2m3.5s"),
            ],
            vec![
                (Requests, Some(5_000), Some(4_999), Some(12), None),
                (Tokens, Some(160_000), Some(159_976), Some(3_723_500), None),
            ],
        ),
        (
            "Azure, what is left alone",
            &[("x-ratelimit-remaining-requests", "79"), ("x-ratelimit-remaining-tokens", "61353")],
            vec![(Requests, None, Some(79), None, None), (Tokens, None, Some(61_353), None, None)],
        ),
        (
            "Azure, odd: none of it is believed",
            &[
                ("x-ratelimit-limit-tokens", "-1"),
                ("x-ratelimit-remaining-tokens", "-1"),
                ("x-ratelimit-reset-tokens", "0"),
                ("x-ratelimit-limit-requests", "0"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "86400"),
            ],
            vec![],
        ),
        (
            "a reset of a day, and more left than there is",
            &[
                ("x-ratelimit-limit-requests", "10"),
                ("x-ratelimit-remaining-requests", "11"),
                ("x-ratelimit-reset-requests", "86400"),
            ],
            vec![(Requests, Some(10), None, None, None)],
        ),
        (
            "Anthropic",
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2015-10-21T07:28:01Z"),
                ("anthropic-ratelimit-input-tokens-limit", "50000"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2015-10-21T07:28:30Z"),
                ("anthropic-ratelimit-output-tokens-limit", "10000"),
                ("anthropic-ratelimit-output-tokens-remaining", "10000"),
                ("anthropic-ratelimit-output-tokens-reset", "2015-10-21T07:28:00Z"),
                ("anthropic-ratelimit-tokens-remaining", "0"),
            ],
            vec![
                (Requests, Some(50), Some(49), Some(1_000), None),
                (InputTokens, Some(50_000), Some(0), Some(30_000), None),
                (OutputTokens, Some(10_000), Some(10_000), None, None),
            ],
        ),
        (
            "Jira",
            &[
                ("X-RateLimit-Limit", "350"),
                ("X-RateLimit-Remaining", "42"),
                ("X-RateLimit-Reset", "2015-10-21T07:29Z"),
            ],
            vec![(Requests, Some(350), Some(42), Some(60_000), None)],
        ),
        (
            "Jira: points are no calls",
            &[
                ("RateLimit-Reason", "jira-quota-tenant-based"),
                ("X-RateLimit-Limit", "65000"),
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Reset", "2015-10-21T08:00:00Z"),
            ],
            vec![],
        ),
        (
            "Datadog",
            &[
                ("X-RateLimit-Limit", "300"),
                ("X-RateLimit-Period", "3600"),
                ("X-RateLimit-Remaining", "299"),
                ("X-RateLimit-Reset", "1820"),
                ("X-RateLimit-Name", "logs_queries"),
            ],
            vec![(Requests, Some(300), Some(299), Some(1_820_000), Some(3_600))],
        ),
        (
            "seconds since 1970",
            &[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "1445412490")],
            vec![(Requests, None, Some(5), Some(10_000), None)],
        ),
        (
            "IETF: the tighter of two policies, and one that counts bytes",
            &[
                (
                    "RateLimit-Policy",
                    r#""burst";q=100;w=60, "daily";q=1000;w=86400, "b";q=9;qu="content-bytes""#,
                ),
                ("RateLimit", r#""daily";r=900;t=3600, "burst";r=50;t=30, "b";r=0;t=5"#),
            ],
            vec![(Requests, Some(100), Some(50), Some(30_000), Some(60))],
        ),
        (
            "IETF: concurrency",
            &[("RateLimit-Policy", r#"peak;q=10;qu="concurrent-requests""#), ("RateLimit", "peak;r=3")],
            vec![(Concurrency, Some(10), Some(3), None, None)],
        ),
        (
            "IETF of 2023",
            &[("RateLimit", "limit=100, remaining=50, reset=5")],
            vec![(Requests, Some(100), Some(50), Some(5_000), None)],
        ),
        (
            "IETF before",
            &[("RateLimit-Limit", "100, 100;w=10"), ("RateLimit-Remaining", "50"), ("RateLimit-Reset", "5")],
            vec![(Requests, Some(100), Some(50), Some(5_000), None)],
        ),
        ("nothing", &[("content-type", "text/html"), ("x-ratelimit-reset", "5")], vec![]),
    ];
    for (name, headers, expected) in cases {
        assert_eq!(rows(&read(headers)), expected, "{name}");
    }
}

#[test]
fn property_quotas() {
    let quota = |remaining: i64| json!({ "consumed": 7, "remaining": remaining });
    let body = json!({ "rows": [], "propertyQuota": {
        "tokensPerDay": quota(30_000),
        "tokensPerHour": quota(39_000),
        "tokensPerProjectPerHour": quota(-5),
        "concurrentRequests": { "remaining": 9 },
        "serverErrorsPerProjectPerHour": quota(10),
    }});
    let expected = vec![
        (Dimension::Tokens, None, Some(30_000), None, Some(86_400)),
        (Dimension::Tokens, None, Some(39_000), None, Some(3_600)),
        (Dimension::Concurrency, None, Some(9), None, None),
    ];
    assert_eq!(rows(&property_quota(&body)), expected);
    assert_eq!(tokens_consumed(&body), Some(7));
    for body in [json!(null), json!([]), json!({ "propertyQuota": [1] }), json!({ "propertyQuota": null })] {
        assert_eq!((property_quota(&body), tokens_consumed(&body)), (Feedback::default(), None));
    }
}

const NAMES: [&str; 24] = [
    "date",
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "x-rate-limit-reset-tokens",
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-period",
    "ratelimit-reason",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-name",
];

/// Any bytes, and texts that are nearly right.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let number = any::<f64>().prop_map(|number| number.to_string());
    let whole = any::<i64>().prop_map(|number| number.to_string());
    let span = "[0-9]{0,20}(ms|s|m|h|d)[0-9.]{0,8}(ms|s|m)?";
    let date = "[0-9]{1,5}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})";
    let list = r#""?[a-z]{0,3}"?(;[rtqw]=-?[0-9]{0,22}){0,3}(, ?"?[a-z]{0,3}"?;[rtqw]=[0-9.]{0,9})?"#;
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        number.prop_map(String::into_bytes),
        whole.prop_map(String::into_bytes),
        (0_u32..100).prop_map(|number| number.to_string().into_bytes()),
        span.prop_map(String::into_bytes),
        date.prop_map(String::into_bytes),
        list.prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_header_panics_or_makes_an_absurd_wait(
        headers in proptest::collection::vec((proptest::sample::select(&NAMES[..]), value()), 0..10),
        seconds in 0_u64..10_000_000_000,
    ) {
        let map: HeaderMap = headers
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?)))
            .collect();
        let feedback = of_headers(Vendor::Plain, &map, UNIX_EPOCH + Duration::from_secs(seconds));
        let day = Duration::from_hours(24);
        prop_assert!(feedback.retry_after.is_none_or(|wait| !wait.is_zero() && wait <= Duration::from_hours(1)));
        let mut windows = Vec::new();
        for standing in &feedback.standings {
            prop_assert!(standing.reset.is_none_or(|reset| !reset.is_zero() && reset < day));
            prop_assert!(standing.window.is_none_or(|window| !window.is_zero() && window <= day));
            prop_assert!(standing.limit.is_some() || standing.remaining.is_some());
            prop_assert!(standing.limit != Some(0));
            prop_assert!(standing.limit.is_none_or(|limit| standing.remaining.is_none_or(|left| left <= limit)));
            let of = (standing.dimension, standing.window);
            prop_assert!(!windows.contains(&of));
            windows.push(of);
        }
    }

    #[test]
    fn what_openai_writes_is_read(limit in 1_u64..10_000_000, used in 0_u64..10_000_000, ms in 1_u64..86_400_000) {
        let left = limit.saturating_sub(used);
        let reset = format!("{}m{}.{:03}s", ms / 60_000, ms / 1_000 % 60, ms % 1_000);
        let feedback = read(&[
            ("x-ratelimit-limit-tokens", &limit.to_string()),
            ("x-ratelimit-remaining-tokens", &left.to_string()),
            ("x-ratelimit-reset-tokens", &reset),
        ]);
        prop_assert_eq!(rows(&feedback), vec![(Dimension::Tokens, Some(limit), Some(left), Some(ms), None)]);
        prop_assert_eq!(feedback.retry_after.is_some(), left == 0);
    }
}

#[test]
fn a_vendor_s_own_headers_count_and_no_others() {
    let openai = [("x-ratelimit-limit-tokens", "100"), ("x-ratelimit-remaining-tokens", "7")];
    let calls = [("x-ratelimit-limit", "50"), ("x-ratelimit-remaining", "3"), ("retry-after", "9")];
    let map = openai.iter().chain(&calls).map(|(name, value)| {
        (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
    });
    let map: HeaderMap = map.collect();
    for (vendor, expected) in [
        (Vendor::Plain, &[Dimension::Tokens, Dimension::Requests][..]),
        (Vendor::OpenAi, &[Dimension::Tokens]),
        (Vendor::Azure, &[Dimension::Tokens]),
        (Vendor::Jira, &[Dimension::Requests]),
        (Vendor::Datadog, &[Dimension::Requests]),
        (Vendor::Ga4, &[]),
    ] {
        let heard = of_headers(vendor, &map, now());
        let dimensions: Vec<_> = heard.standings.iter().map(|standing| standing.dimension).collect();
        assert_eq!(dimensions, expected, "{vendor:?}");
        assert_eq!(heard.retry_after, Some(Duration::from_secs(9)), "{vendor:?}");
    }
}
