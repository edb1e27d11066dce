//! What callers are held to, and how they are told.

use std::time::Duration;

use fleetline_simulator::{Distribution, HeaderStyle, Limits, Shape};
use futures_util::future::join_all;
use reqwest::Response;
use reqwest::header::HeaderMap;

use super::{Running, rate, said};

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().expect("text").to_owned())
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    header(headers, name)
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{name} in {headers:?}"))
}

/// How many were let in.
fn served(answers: &[Response]) -> usize {
    answers.iter().filter(|answer| answer.status() == 200).count()
}

#[tokio::test]
async fn no_more_than_the_limit_gets_in_however_many_come_at_once() {
    for shape in [Shape::SlidingWindow, Shape::TokenBucket { burst: None }] {
        let limits = Limits { requests: Some(rate("20/h")), shape, ..Limits::default() };
        let simulator = Running::with_limits(limits).await;
        let answers = join_all((0..100).map(|_| simulator.chatted())).await;
        assert_eq!(served(&answers), 20);
        let limited =
            answers.into_iter().find(|answer| answer.status() == 429).expect("one that was not let in");
        let error = said(limited).await["error"].clone();
        assert_eq!(error["code"], "rate_limit_exceeded");
        assert!(error["message"].as_str().is_some_and(|said| said.contains("Limit 20, Used 20")), "{error}");
        let summary = simulator.summary().await;
        assert_eq!(summary["verdicts"], serde_json::json!({ "limited": 80, "served": 20 }));
        assert_eq!(summary["most_calls_in_a_window"], 20);
    }
}

#[tokio::test]
async fn a_bucket_that_holds_less_than_a_window_lets_less_in_at_once() {
    let shape = Shape::TokenBucket { burst: Some(Duration::from_mins(6)) };
    let simulator =
        Running::with_limits(Limits { requests: Some(rate("100/h")), shape, ..Limits::default() }).await;
    assert_eq!(served(&join_all((0..50).map(|_| simulator.chatted())).await), 10);
}

#[tokio::test]
async fn tokens_are_those_that_the_answer_reports() {
    let limits = Limits { tokens: Some(rate("1000/h")), ..Limits::default() };
    let simulator = Running::start(|options| {
        options.limits = limits;
        options.output_tokens = Some(Distribution::Fixed(300));
    })
    .await;
    let first = simulator.chatted().await;
    let left = number(first.headers(), "x-ratelimit-remaining-tokens");
    let usage = said(first).await["usage"].clone();
    assert_eq!(usage["completion_tokens"], 300);
    assert_eq!(usage["total_tokens"].as_u64(), Some(1_000 - left));
    let answers = [simulator.chatted().await, simulator.chatted().await, simulator.chatted().await];
    assert_eq!(served(&answers), 2, "three calls of more than 300 tokens fit");
    assert_eq!(simulator.ledger().await[3]["why"], "tokens");
}

#[tokio::test]
async fn what_never_fits_is_not_told_to_wait() {
    let simulator = Running::with_limits(Limits { tokens: Some(rate("5/h")), ..Limits::default() }).await;
    let answer = simulator.chatted().await;
    assert_eq!((answer.status().as_u16(), header(answer.headers(), "retry-after")), (429, None));
    let error = said(answer).await;
    assert!(error["error"]["message"].as_str().is_some_and(|said| said.contains("made smaller")), "{error}");
}

#[tokio::test]
async fn only_so_many_are_inside_at_once() {
    let simulator = Running::with_limits(Limits { concurrency: Some(3), ..Limits::default() }).await;
    simulator.fails("0s.. hang").await;
    let hanging: Vec<_> = (0..3)
        .map(|_| {
            let chat = simulator.chat();
            tokio::spawn(async move { chat.send().await.map(|_| ()) })
        })
        .collect();
    while simulator.summary().await["in_flight"] != 3 {}
    assert_eq!(simulator.chatted().await.status(), 429);
    simulator.heals().await;
    for call in hanging {
        call.abort();
    }
    // Their places are free as soon as the simulator sees that they are gone.
    while simulator.summary().await["in_flight"] != 0 {}
    assert_eq!(simulator.chatted().await.status(), 200);
    let ledger = simulator.ledger().await;
    assert_eq!(ledger.iter().filter(|call| call["verdict"] == "left").count(), 3);
}

async fn limited_in(style: HeaderStyle) -> (HeaderMap, HeaderMap) {
    let limits = Limits { requests: Some(rate("1/h")), tokens: Some(rate("1M/h")), ..Limits::default() };
    let simulator = Running::start(|options| {
        options.limits = limits;
        options.headers = style;
    })
    .await;
    let (served, limited) = (simulator.chatted().await, simulator.chatted().await);
    assert_eq!((served.status().as_u16(), limited.status().as_u16()), (200, 429));
    (served.headers().clone(), limited.headers().clone())
}

#[tokio::test]
async fn every_vendor_has_headers_of_its_own() {
    let (served, limited) = limited_in(HeaderStyle::OpenAi).await;
    assert_eq!(number(&served, "x-ratelimit-limit-requests"), 1);
    assert_eq!(number(&served, "x-ratelimit-remaining-requests"), 0);
    assert!(header(&served, "x-ratelimit-reset-requests").is_some_and(|reset| reset.ends_with('s')));
    assert_eq!(header(&served, "retry-after"), None);
    let (seconds, ms) = (number(&limited, "retry-after"), number(&limited, "retry-after-ms"));
    assert!(seconds > 3_500 && ms > 3_500_000 && ms.div_ceil(1_000) == seconds, "{seconds} {ms}");

    let (served, limited) = limited_in(HeaderStyle::Azure).await;
    assert_eq!(header(&served, "x-ratelimit-reset-requests"), None);
    assert!(number(&limited, "retry-after-ms") > 3_500_000);

    let (served, limited) = limited_in(HeaderStyle::Jira).await;
    assert_eq!(number(&served, "x-ratelimit-remaining"), 0);
    assert!(
        header(&served, "x-ratelimit-reset").is_some_and(|date| date.ends_with('Z') && date.contains('T'))
    );
    assert_eq!(header(&served, "x-ratelimit-nearlimit").as_deref(), Some("true"));
    assert!(header(&limited, "ratelimit-reason").is_some() && number(&limited, "retry-after") > 3_500);

    let (served, limited) = limited_in(HeaderStyle::Datadog).await;
    assert_eq!(number(&served, "x-ratelimit-period"), 3_600);
    assert!(number(&limited, "x-ratelimit-reset") > 3_500);

    let (served, limited) = limited_in(HeaderStyle::Plain).await;
    assert!(!served.keys().any(|name| name.as_str().contains("ratelimit")), "{served:?}");
    assert!(number(&limited, "retry-after") > 3_500);
}

#[tokio::test]
async fn azure_s_values_are_sometimes_odd() {
    let limits = Limits { requests: Some(rate("1000/h")), ..Limits::default() };
    let simulator = Running::start(|options| {
        options.limits = limits;
        options.headers = HeaderStyle::Azure;
    })
    .await;
    let mut odd = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = simulator.chatted().await;
        let remaining = header(answer.headers(), "x-ratelimit-remaining-requests").expect("it is there");
        odd.extend(["-1", "0", "86400"].contains(&remaining.as_str()).then_some(remaining));
    }
    assert_eq!(odd.len(), 3, "{odd:?}");
}
