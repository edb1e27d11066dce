//! Upstreams as a file has them, and what is said about bad ones.

use std::time::Duration;

use secrecy::ExposeSecret;

use fleetline_shared::ports::{AdaptiveOptions, BreakerOptions, FailureRate, Rate, Rates};

use super::super::tests::Sources;
use super::*;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

fn rate(amount: u64, seconds: u64) -> Rate {
    Rate { amount, window: Duration::from_secs(seconds) }
}

#[test]
fn all_limits() {
    let config = Sources::new(
        r#"
        [upstreams.openai]
        requests = "500/min"
        input_tokens = "150k/min"
        output_tokens = "50k/min"
        tokens = "200k/min"
        concurrency = 10
        quota = "discover"
        adaptive = { min = 2, max = 8 }
        budget = "25 USD/day"
        prices = { "gpt-4o-mini" = { input = 0.15, output = 1 }, "gpt-4.1" = { input = 2, output = 8.0 } }
        per_tenant = { requests = "100/min", budget = "5 USD/day" }
        per_model = { "gpt-4.1" = { tokens = "30k/min" }, "o3" = {} }
        "#,
    )
    .load()
    .config;
    let upstream = &config.upstreams["openai"];
    let of_model = Rates { tokens: Some(rate(30_000, MINUTE)), ..Rates::default() };
    let expected = Limits {
        requests: Some(rate(500, MINUTE)),
        input_tokens: Some(rate(150_000, MINUTE)),
        output_tokens: Some(rate(50_000, MINUTE)),
        tokens: Some(rate(200_000, MINUTE)),
        concurrency: Some(10),
        budget: Some(rate(25_000_000, DAY)),
        per_tenant: Some(Rates {
            requests: Some(rate(100, MINUTE)),
            budget: Some(rate(5_000_000, DAY)),
            ..Rates::default()
        }),
        per_model: BTreeMap::from([("gpt-4.1".to_owned(), of_model)]),
        breaker: Some(BreakerOptions::default()),
        discover: true,
        adaptive: Some(AdaptiveOptions { min: 2, max: 8 }),
        lifted: false,
    };
    assert_eq!(upstream.limits(), expected);
    assert_eq!(upstream.prices["gpt-4o-mini"], Price { input: 150_000, output: 1_000_000 });
    assert_eq!(upstream.prices["gpt-4.1"], Price { input: 2_000_000, output: 8_000_000 });
}

#[test]
fn breakers() {
    let of = |toml: &str| Sources::new(toml).load().config.upstreams["openai"].breaker.options();
    assert_eq!(of(""), Some(BreakerOptions::default()));
    assert_eq!(of("[upstreams.openai.breaker]\nfailures = 'none'"), None);
    let rate = FailureRate { percent: 50, of_at_least: 10, within: Duration::from_secs(30) };
    let expected = BreakerOptions {
        failures: u32::MAX,
        rate: Some(rate),
        open_for: Duration::from_secs(5),
        open_at_most: Duration::from_mins(5),
        jitter: 0,
    };
    let toml = "[upstreams.openai]\nbreaker = { failures = 'none', percent = 50, of_at_least = 10, within = '30s', \
                for = '5s', for_at_most = '5m', jitter = 0 }";
    assert_eq!(of(toml), Some(expected));
}

#[test]
fn only_limits_and_lifting_them_say_something() {
    let limits = |toml: &str| Sources::new(toml).load().config.upstreams["openai"].limits();
    for (toml, is_open) in [
        ("", true),
        ("[upstreams.openai.breaker]\nfailures = 9", true),
        ("[upstreams.openai]\nquota = 'unlimited'", false),
        ("[upstreams.openai]\nquota = 'discover'", false),
        ("[upstreams.openai]\nconcurrency = 2", false),
        ("[upstreams.openai.per_tenant]\nrequests = '1/s'", false),
    ] {
        assert_eq!(limits(toml).are_open(), is_open, "{toml}");
    }
}

#[test]
fn the_environment_reaches_what_has_a_plain_name() {
    let config = Sources::new("")
        .env(&[
            ("FLEETLINE_UPSTREAMS__OPENAI__BREAKER__FAILURES", "5"),
            ("FLEETLINE_UPSTREAMS__OPENAI__PER_TENANT__TOKENS", "1k/s"),
            ("FLEETLINE_UPSTREAMS__OPENAI__PER_MODEL__LLAMA3__REQUESTS", "7/s"),
            ("FLEETLINE_UPSTREAMS__OPENAI__ON_OPEN", "cached"),
        ])
        .load()
        .config;
    let upstream = &config.upstreams["openai"];
    assert_eq!(upstream.breaker.failures, Some(5));
    assert_eq!(upstream.limits().per_tenant.and_then(|rates| rates.tokens), Some(rate(1_000, 1)));
    assert_eq!(upstream.limits().per_model["llama3"].requests, Some(rate(7, 1)));
    assert_eq!(upstream.on_open, OnOpen::Cached);
    let problems = Sources::new("").env(&[("FLEETLINE_UPSTREAMS__OPENAI__PRICES__M__INPUT", "1")]).problems();
    assert_eq!(
        problems,
        [
            "env FLEETLINE_UPSTREAMS__OPENAI__PRICES__M__INPUT: its names are free: write them in a file, under \
          [upstreams.openai.prices]"
        ]
    );
}

#[test]
fn each_bad_value() {
    let shape = "expected \"none\" or dollars per window, such as \"25 USD/day\" or \"0.50 USD/h\" (windows: s, \
                 min, h, d), found";
    let table = [
        ("budget = '25 EUR/day'", format!("budget: {shape} \"25 EUR/day\"")),
        ("per_tenant = { budget = 5 }", format!("per_tenant.budget: {shape} \"5\"")),
        (
            "on_open = 'retry'",
            "on_open: expected one of \"wait\", \"fallback\", \"cached\", found \"retry\"".to_owned(),
        ),
        (
            "quota = 'found'",
            "quota: expected one of \"configured\", \"discover\", \"unlimited\", found \"found\"".to_owned(),
        ),
        (
            "adaptive = { max = 0 }",
            "adaptive.max: expected \"none\" or a whole number from 1 to 100000, found 0".to_owned(),
        ),
        (
            "breaker = { failures = 0 }",
            "breaker.failures: expected \"none\" or a whole number from 1 to 100000, found 0".to_owned(),
        ),
        (
            "breaker = { percent = 101 }",
            "breaker.percent: expected \"none\" or a whole number from 1 to 100, found 101".to_owned(),
        ),
        (
            "breaker = { failurs = 1 }",
            "breaker.failurs: unknown key; did you mean upstreams.openai.breaker.failures?".to_owned(),
        ),
        (
            "breaker = 'off'",
            "breaker: is a section: write its keys under [upstreams.openai.breaker]".to_owned(),
        ),
        (
            "per_model = { \"gpt-4.1\" = { request = '1/s' } }",
            "per_model.gpt-4.1.request: unknown key; did you mean upstreams.openai.per_tenant.requests?"
                .to_owned(),
        ),
        (
            "per_model = { m = { requests = '1' } }",
            format!("per_model.m.requests: expected {}, found \"1\"", crate::config::rate::SHAPE),
        ),
        ("prices = { m = { input = 1 } }", "prices.m: output is missing".to_owned()),
        (
            "prices = { m = { input = 1, output = -1 } }",
            "prices.m.output: expected dollars for a million tokens, a number such as 0.15, found -1"
                .to_owned(),
        ),
        ("prices = { m = { in = 1 } }", "prices.m.in: unknown key in; there are input, output".to_owned()),
        (
            "prices = { m = 1 }",
            "prices.m: expected a price such as { input = 0.15, output = 0.60 }, found 1".to_owned(),
        ),
    ];
    for (toml, expected) in table {
        let problems = Sources::new(&format!("[upstreams.openai]\n{toml}")).problems();
        assert_eq!(problems, [format!("FILE: upstreams.openai.{expected}")], "{toml}");
    }
}

#[test]
fn each_contradiction() {
    let table = [
        ("budget = '1 USD/h'", "budget, prices"),
        ("budget = '1 USD/h'\nprices = { o3 = { input = 1, output = 1 } }", "budget, prices"),
        ("per_model = { o3 = { budget = '1 USD/h' } }", "budget, prices"),
        ("adaptive = { min = 9, max = 8 }", "adaptive.min, adaptive.max"),
        ("on_open = 'cached'\nbreaker = { failures = 'none' }", "on_open, breaker"),
        ("quota = 'unlimited'\nconcurrency = 2", "quota"),
    ];
    for (toml, keys) in table {
        let problems = Sources::new(&format!("[upstreams.openai]\n{toml}")).problems();
        let keys = keys.replace(", ", ", upstreams.openai.");
        assert!(
            problems.len() == 1 && problems[0].starts_with(&format!("upstreams.openai.{keys}: ")),
            "{toml}: {problems:?}"
        );
    }
    // A bad price is told once.
    let bad =
        "[upstreams.openai]\nbudget = '1 USD/h'\nprices = { \"gpt-4o-mini\" = { input = 'x', output = 1 } }";
    assert_eq!(Sources::new(bad).problems().len(), 1);
}

#[test]
fn an_api() {
    let sources = Sources::new(
        r#"
        [upstreams.datadog]
        base_url = "https://api.datadoghq.com/"
        vendor = "datadog"
        auth = "Bearer of-the-file"
        headers = { "DD-API-KEY" = { env = "DD_API_KEY" }, "x.token" = "in-here", "Y" = { file = "y" } }
        timeout = "30s"
        "#,
    )
    .env(&[("FLEETLINE_UPSTREAMS__DATADOG__AUTH", "Bearer of-the-environment")]);
    let loaded = sources.load();
    let upstream = &loaded.config.upstreams["datadog"];
    assert_eq!(upstream.base_url.as_deref(), Some("https://api.datadoghq.com"));
    assert_eq!(upstream.auth.as_ref().map(ExposeSecret::expose_secret), Some("Bearer of-the-environment"));
    assert_eq!((upstream.vendor, upstream.timeout), (Vendor::Datadog, Duration::from_secs(30)));
    assert!(matches!(&upstream.headers["DD-API-KEY"], HeaderSource::Env(name) if name == "DD_API_KEY"));
    assert!(matches!(&upstream.headers["Y"], HeaderSource::File(path) if path.as_os_str() == "y"));
    let HeaderSource::Text(token) = &upstream.headers["x.token"] else { panic!("{upstream:?}") };
    assert_eq!(token.expose_secret(), "in-here");

    let printed = loaded.origins.to_string();
    for shown in [&printed, &format!("{loaded:?}")] {
        assert!(!shown.contains("of-the") && !shown.contains("in-here"), "{shown}");
    }
    assert!(
        printed.contains("auth = \"***\"  # from env") && printed.contains("\"x.token\" = \"***\""),
        "{printed}"
    );
    assert!(printed.contains("env = \"DD_API_KEY\""), "{printed}");
    Sources::new(&printed).load();
}

#[test]
fn each_problem_of_an_api() {
    let table = [
        ("base_url = 'h'", "FILE: upstreams.x.base_url: expected \"none\" or a URL"),
        ("base_url = 'https://me:s3cret@h'", "FILE: upstreams.x.base_url: expected \"none\" or a URL"),
        ("auth = \"\\u0007s3cret\"", "FILE: upstreams.x.auth: expected printable ASCII"),
        (
            "headers = { a = { env = 'A', file = 'b' } }",
            "FILE: upstreams.x.headers.a: expected a text, { env",
        ),
        ("headers = { a = { enf = 's3cret' } }", "FILE: upstreams.x.headers.a: expected a text, { env"),
        ("headers = { a = 1 }", "FILE: upstreams.x.headers.a: expected a text, { env"),
        (
            "vendor = 'aws'",
            "FILE: upstreams.x.vendor: expected one of \"plain\", \"openai\", \"azure\", \"jira\"",
        ),
        ("auth = 'a'\nauth_file = 'b'", "upstreams.x.auth, upstreams.x.auth_file: both are set"),
        ("on_open = 'fallback'", "upstreams.x.on_open: no built-in rules"),
        ("budget = '1 USD/h'", "upstreams.x.budget, upstreams.x.prices: calls of http.json have no model"),
    ];
    for (toml, expected) in table {
        let base = if toml.starts_with("base_url") { "" } else { "base_url = 'http://h'\n" };
        let mut problems = Sources::new(&format!("[upstreams.x]\n{base}{toml}")).problems();
        // Without its base URL nobody can call it.
        problems.retain(|problem| !problem.starts_with("upstreams.x.base_url: no kind"));
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{toml}: {problems:?}");
        assert!(!problems[0].contains("s3cret"), "{problems:?}");
    }
    let nowhere = Sources::new("[upstreams.opnai]\nrequests = '1/s'").problems();
    assert!(
        nowhere[0].starts_with("upstreams.opnai.base_url: no kind calls an upstream of that name"),
        "{nowhere:?}"
    );
    let twice = Sources::new("[upstreams.openai]\nbase_url = 'http://h'").problems();
    assert!(twice[0].starts_with("upstreams.openai.base_url, openai.base_url: this upstream"), "{twice:?}");
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let sources = Sources::new(
        "[upstreams.openai]\nprices = { \"gpt-4.1\" = { input = 2, output = 8.5 } }\n\
         per_model = { \"gpt-4.1\" = { tokens = '30k/min' } }\nbreaker = { failures = 'none' }",
    );
    let first = sources.load();
    let again = Sources::new(&first.origins.to_string()).load();
    assert_eq!(format!("{:?}", again.config), format!("{:?}", first.config));
}

#[test]
fn shares() {
    let share = |toml: &str| Sources::new(toml).load().config.upstreams["openai"].share();
    assert_eq!(share(""), None);
    assert_eq!(share("[upstreams.openai]\nreplicas = 4"), None, "closed unless it says otherwise");
    assert_eq!(share("[upstreams.openai]\nfail = 'static-share'\nreplicas = 4"), Some(4));
    for (toml, expected) in [
        ("fail = 'static-share'", "Say how many worker processes run at most"),
        ("fail = 'static-share'\nreplicas = 4\nconcurrency = 3", "concurrency, 3, cannot be divided among 4"),
        (
            "fail = 'static-share'\nreplicas = 4\nper_model = { m = { requests = '2/s' } }",
            "requests of model m, 2,",
        ),
        (
            "fail = 'static-share'\nreplicas = 4\nquota = 'discover'",
            "limits that are found cannot be divided",
        ),
        ("fail = 'open'", "static-share"),
    ] {
        let problems = Sources::new(&format!("[upstreams.openai]\n{toml}")).problems();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{toml}: {problems:?}");
    }
}
