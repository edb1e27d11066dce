//! The layers together: order, problems, origins, the built-in file.

use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::value::Dict;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::layers::Layer;
use super::schema::Schema;
use super::*;

/// A folder with a `fleetline.toml`, and no user configuration.
pub(crate) struct Sources {
    folder: TempDir,
    sources: ConfigSources,
}

impl Sources {
    pub(crate) fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("fleetline.toml"), toml).expect("a file in it");
        let sources =
            ConfigSources { file: None, folder: folder.path().into(), env: vec![], overrides: vec![] };
        Self { folder, sources }
    }

    pub(super) fn env(mut self, variables: &[(&str, &str)]) -> Self {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.sources.env.extend(owned);
        self
    }

    fn flag(mut self, flag: &'static str, key: &'static str, value: &str) -> Self {
        self.sources.overrides.push(Override { flag, key, value: value.to_owned() });
        self
    }

    pub(crate) fn load(&self) -> Loaded {
        Config::load(&self.sources).expect("these settings are good")
    }

    /// The problems as shown, with the file as `FILE`.
    pub(super) fn problems(&self) -> Vec<String> {
        let file = self.folder.path().join("fleetline.toml").display().to_string();
        let problems = Config::load(&self.sources).expect_err("these settings are bad");
        problems.iter().map(|problem| problem.to_string().replace(&file, "FILE")).collect()
    }
}

#[test]
fn the_default_file_has_exactly_the_keys_of_the_structs() {
    let schema = Schema::built_in();
    // Nothing extra: the structs deny unknown fields.
    Figment::from(Layer::defaults(&schema)).extract::<Config>().expect("the defaults are a configuration");
    // Nothing missing: no field has a default of its own, so without any key reading fails.
    for key in schema.names().0 {
        let path: Vec<&str> = key.split('.').collect();
        let mut layer = Layer::defaults(&schema);
        assert!(layer.remove(&path), "{key}");
        assert!(Figment::from(layer).extract::<Config>().is_err(), "{key} may be missing");
    }
}

#[test]
fn every_key_of_the_default_file_has_a_comment() {
    let mut commented = false;
    for line in DEFAULT_FILE.lines() {
        match line.trim() {
            comment if comment.starts_with('#') => commented = true,
            // A section's comment covers the keys that directly follow it.
            section if section.starts_with('[') => {}
            "" => commented = false,
            key => assert!(commented || key.starts_with('['), "no comment above: {key}"),
        }
    }
}

#[test]
fn defaults_are_those_of_the_domain() {
    let Loaded { config, origins, .. } = Sources::new("").load();
    let domain = fleetline_shared::rules::Backoff::default();
    assert_eq!((config.jobs.backoff_base, config.jobs.backoff_cap), (domain.base, domain.cap));
    assert_eq!(config.analyser(), Analyser::Builtin);
    assert_eq!(config.worker.concurrency, 10);
    assert!(config.upstreams["openai"].limits().requests.is_none());
    assert!(origins.iter().all(|origin| origin.from == "default"));
}

#[test]
fn later_layers_win() {
    let sources = Sources::new(
        "[worker]\nconcurrency = 2\ngrace = '2s'\n[openai]\nmodel = 'file'\nbase_url = 'http://file/v1'",
    )
    .env(&[
        ("OPENAI_MODEL", "shared"),
        ("OPENAI_BASE_URL", "http://shared/v1/"),
        ("FLEETLINE_OPENAI__MODEL", "own"),
        ("FLEETLINE_WORKER__CONCURRENCY", "3"),
    ])
    .flag("--concurrency", "worker.concurrency", "4");
    let Loaded { config, origins, .. } = sources.load();
    let from = |key: &str| origins.get(key).map(|origin| origin.from.as_str());
    assert_eq!((config.worker.concurrency, from("worker.concurrency")), (4, Some("flag --concurrency")));
    assert_eq!(config.openai.model, "own");
    assert_eq!(from("openai.model"), Some("env FLEETLINE_OPENAI__MODEL"));
    assert_eq!(config.openai.base_url, "http://shared/v1");
    assert_eq!(from("openai.base_url"), Some("env OPENAI_BASE_URL"));
    assert_eq!(config.worker.grace, Duration::from_secs(2));
    assert!(from("worker.grace").is_some_and(|from| from.ends_with("fleetline.toml")));
    assert_eq!(from("worker.nothing"), None);
    assert_eq!(config.dispatch.max_losses, 20);
    assert_eq!(config.analyser(), Analyser::OpenAi);
}

#[test]
fn the_file_is_the_named_one_else_the_folders_else_the_users() {
    let write = |path: &Path, seconds: u32| {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, format!("[worker]\ngrace = '{seconds}s'")).expect("a file");
    };
    let mut here = Sources::new("[worker]\ngrace = '1s'");
    let home = tempfile::tempdir().expect("a temporary folder");
    write(&home.path().join(".config/fleetline/config.toml"), 2);
    write(&home.path().join("xdg/fleetline/config.toml"), 3);
    write(&home.path().join("named.toml"), 4);
    let grace = |sources: &Sources| sources.load().config.worker.grace.as_secs();
    let path = |name: &str| home.path().join(name).display().to_string();

    here.sources.file = Some(home.path().join("named.toml"));
    here = here.env(&[("HOME", &path("")), ("XDG_CONFIG_HOME", &path("xdg"))]);
    assert_eq!(grace(&here), 4);
    here.sources.file = None;
    assert_eq!(grace(&here), 1);
    std::fs::remove_file(here.folder.path().join("fleetline.toml")).expect("it was there");
    assert_eq!(grace(&here), 3);
    let (home_of, xdg) = (here.sources.env[0].clone(), here.sources.env[1].clone());
    here.sources.env = vec![xdg];
    assert_eq!(grace(&here), 3);
    here.sources.env = vec![home_of];
    assert_eq!(grace(&here), 2);
    here.sources.env.clear();
    assert_eq!(grace(&here), 30);
    here.sources.file = Some(home.path().join("absent.toml"));
    assert!(here.problems()[0].contains("absent.toml: cannot be read: No such file"));
}

#[test]
fn the_environment_spells_every_kind_of_value() {
    let config = Sources::new("")
        .env(&[
            ("FLEETLINE_DISPATCH__WINDOW", "64"),
            ("FLEETLINE_JOBS__DEADLINE", "2h"),
            ("FLEETLINE_JOBS__FRESH_FOR", "30d"),
            ("FLEETLINE_OPENAI__MODEL", "4"),
            ("FLEETLINE_OPENAI__STRUCTURED_OUTPUT", "false"),
            ("FLEETLINE_OPENAI__TEMPERATURE", "none"),
            ("FLEETLINE_UPSTREAMS__OPENAI__REQUESTS", "500/min"),
            ("FLEETLINE_UPSTREAMS__OPENAI__CONCURRENCY", "8"),
            ("FLEETLINE_UPSTREAMS__JIRA__REQUESTS", "10/s"),
            ("FLEETLINE_UPSTREAMS__JIRA__BASE_URL", "https://jira"),
            ("FLEETLINE_TENANTS__ACME__WEIGHT", "3"),
            ("FLEETLINE_LOGS__FIELDS__LEVEL", "a.level, level"),
            ("FLEETLINE_LOGS__MIN_LEVEL", "warn"),
            ("FLEETLINE_SERVICE_HOST", "10.0.0.1"),
            ("FLEETLINE_LOG", "debug"),
        ])
        .load()
        .config;
    assert_eq!(config.dispatch.window, Some(64));
    assert_eq!(config.jobs.deadline, Some(Duration::from_hours(2)));
    assert_eq!(config.jobs.fresh_for, Some(Duration::from_hours(720)));
    assert_eq!(config.openai.model, "4");
    assert!(!config.openai.structured_output);
    assert_eq!(config.openai.temperature, None);
    assert_eq!(config.upstreams["openai"].concurrency, Some(8));
    assert_eq!(config.upstreams["openai"].requests.map(|rate| rate.amount), Some(500));
    assert_eq!(config.upstreams["jira"].requests.map(|rate| rate.amount), Some(10));
    assert_eq!(config.upstreams["jira"].hold, Duration::from_secs(1));
    assert_eq!((config.tenants["acme"].weight, config.tenants["default"].weight), (3, 1));
    assert_eq!(config.logs.fields.level, ["a.level", "level"]);
    assert_eq!(config.logs.min_level, Some(Level::Warn));
}

/// One bad setting in a file, and what is said about it.
#[test]
fn each_kind_of_problem_in_a_file() {
    let table = [
        (
            "[worker]\nconcurency = 3",
            "FILE: worker.concurency: unknown key; did you mean worker.concurrency?",
        ),
        ("[wroker]\nconcurrency = 3", "FILE: wroker: unknown key; did you mean worker?"),
        ("[jobs]\ncolour = 3", "FILE: jobs.colour: unknown key; `fleetline config print` lists all"),
        ("worker = 3", "FILE: worker: is a section: write its keys under [worker]"),
        ("[jobs.timeout]\nx = 1", "FILE: jobs.timeout: is a single value, not a section"),
        (
            "[upstreams.OpenAI]\nhold = '1s'",
            "FILE: upstreams.OpenAI: names of upstreams have only a-z, 0-9, - and _",
        ),
        (
            "[upstreams.jira]\nbase_url = 'http://j'\nrequest = '1/s'",
            "FILE: upstreams.jira.request: unknown key; did you mean upstreams.jira.requests?",
        ),
        (
            "[tenants.'Team A']\nweight = 0",
            "FILE: tenants.Team A.weight: expected a whole number from 1 to 1000, found 0",
        ),
        (
            "[tenants.acme]\nwieght = 3",
            "FILE: tenants.acme.wieght: unknown key; did you mean tenants.acme.weight?",
        ),
        (
            "[worker]\nconcurrency = 'ten'",
            "FILE: worker.concurrency: expected a whole number from 1 to 100000, found \"ten\"",
        ),
        (
            "[worker]\nconcurrency = 0",
            "FILE: worker.concurrency: expected a whole number from 1 to 100000, found 0",
        ),
        (
            "[jobs]\nmax_attempts = -1",
            "FILE: jobs.max_attempts: expected a whole number from 1 to 1000, found -1",
        ),
        (
            "[jobs]\ntimeout = 30",
            "FILE: jobs.timeout: expected a duration with its unit, such as \"500ms\", \"30s\" or \"5m\", found \"30\"",
        ),
        (
            "[openai]\nstructured_output = 'maybe'",
            "FILE: openai.structured_output: expected a boolean, found \"maybe\"",
        ),
        (
            "[openai]\ntemperature = 3",
            "FILE: openai.temperature: expected \"none\" or a number from 0 to 2, found 3",
        ),
        (
            "[upstreams.openai]\ntokens = '200k'",
            "FILE: upstreams.openai.tokens: expected a rate such as \"500/min\", \"200k/min\", \"1.5M/h\" or \
             \"100/10s\" (windows: s, min, h, d), found \"200k\"",
        ),
        (
            "[upstreams.openai]\nhold = '1m'",
            "FILE: upstreams.openai.hold: expected a duration of at most \"2s\", found \"1m\"",
        ),
        (
            "[run]\nanalyser = 'gpt'",
            "FILE: run.analyser: expected one of \"auto\", \"builtin\", \"openai\", found \"gpt\"",
        ),
        (
            "[run]\ntenant = ' '",
            "FILE: run.tenant: expected a name that is not empty and has no control characters, found \"\"",
        ),
        (
            "[redis]\nprefix = 'a{b}'",
            "FILE: redis.prefix: expected a text that is not empty and has no braces, found \"a{b}\"",
        ),
        ("[logs.fields]\nlevel = [1]", "FILE: logs.fields.level: expected a string, found 1"),
        ("[logs.fields]\nlevel = 1", "FILE: logs.fields.level: expected a list of texts, found 1"),
        (
            "[openai]\nbase_url = 'host/v1'",
            "FILE: openai.base_url: expected a URL that starts with http:// or https://",
        ),
        ("[worker]\ngrace = ", "FILE: TOML parse error at line 2, column 9"),
        (
            "[worker]\ngrace = '1s'\ngrace = '2s'",
            "FILE: TOML parse error at line 3, column 1: duplicate key `grace` in table `worker`",
        ),
    ];
    for (toml, expected) in table {
        assert_eq!(Sources::new(toml).problems(), [expected], "{toml}");
    }
}

#[test]
fn each_kind_of_problem_in_the_environment() {
    let table = [
        ("FLEETLINE_CONCURRENCY", "3", "unknown setting; did you mean FLEETLINE_WORKER__CONCURRENCY?"),
        ("FLEETLINE_WORKER_CONCURRENCY", "3", "unknown setting; did you mean FLEETLINE_WORKER__CONCURRENCY?"),
        ("FLEETLINE_COLOUR", "3", "unknown setting; `fleetline config print` lists all"),
        (
            "FLEETLINE_WORKER____CONCURRENCY",
            "3",
            "unknown setting; did you mean FLEETLINE_WORKER__CONCURRENCY?",
        ),
        ("FLEETLINE_LEASES", "3", "is a section; its keys are FLEETLINE_LEASES__TTL"),
        (
            "FLEETLINE_WORKER__CONCURRENCY",
            "ten",
            "worker.concurrency: expected a whole number from 1 to 100000, found \"ten\"",
        ),
        (
            "FLEETLINE_OPENAI__STRUCTURED_OUTPUT",
            "yes",
            "openai.structured_output: expected a boolean, found \"yes\"",
        ),
    ];
    for (variable, value, expected) in table {
        let problems = Sources::new("").env(&[(variable, value)]).problems();
        assert_eq!(problems, [format!("env {variable}: {expected}")]);
    }
}

#[test]
fn each_contradiction() {
    let table = [
        ("[run]\ndb = ':memory:'", "run.db"),
        ("[run]\ndb = 'file:x.db?mode=memory'", "run.db"),
        ("[jobs]\nbackoff_base = '1m'\nbackoff_cap = '1s'", "jobs.backoff_base, jobs.backoff_cap"),
        ("[jobs]\ndeadline = '1m'", "jobs.deadline, jobs.timeout"),
        ("[dispatch]\nstale_after = '2m'", "dispatch.stale_after, jobs.timeout"),
        ("[dispatch]\nleft_after = '59s'", "dispatch.left_after"),
        ("[openai]\napi_key = 'k'\ntimeout = '10m'", "dispatch.stale_after, openai.timeout"),
        (
            "[upstreams.jira]\nbase_url = 'http://a'\ntimeout = '30m'",
            "dispatch.stale_after, upstreams.jira.timeout",
        ),
        ("[openai]\napi_key = 'k'\napi_key_file = 'f'", "openai.api_key, openai.api_key_file"),
        ("[openai]\nbase_url = 'http://a'\napi_version = 'v'", "openai.api_version, openai.deployment"),
        ("[openai]\ndeployment = 'd'\napi_version = 'v'", "openai.deployment, openai.base_url"),
        ("[run]\nanalyser = 'openai'", "run.analyser, openai.api_key"),
        ("[dispatch]\nwindow = 5", "dispatch.window, worker.concurrency"),
        ("[discovery]\nmax_subtree_kb = 9000", "discovery.max_subtree_kb, discovery.max_node_mb"),
        ("[serve]\nopen = true\nlisten = '0.0.0.0:80'", "serve.open, serve.listen"),
        ("[logs.fields]\nmessage = []", "logs.fields.message, logs.format"),
    ];
    for (toml, keys) in table {
        let problems = Sources::new(toml).problems();
        assert!(problems.len() == 1 && problems[0].starts_with(&format!("{keys}: ")), "{toml}: {problems:?}");
    }
}

#[test]
fn everything_is_reported_at_once() {
    let sources = Sources::new(
        "colour = 1\n[worker]\nconcurrency = 'x'\ngrace = 'y'\n[jobs]\ntimeout = 'z'\nbackoff_base = '1h'\n[logs]\nformat = 'csv'",
    )
    .env(&[("FLEETLINE_WORKER__CONCURRENCY", "0"), ("FLEETLINE_NONSENSE", "1")])
    .flag("--concurrency", "worker.concurrency", "5");
    let problems = sources.problems();
    let about = [
        "FILE: colour:",
        "env FLEETLINE_NONSENSE:",
        "FILE: jobs.timeout:",
        "FILE: logs.format:",
        "FILE: worker.concurrency:",
        "FILE: worker.grace:",
        "env FLEETLINE_WORKER__CONCURRENCY: worker.concurrency:",
        "jobs.backoff_base, jobs.backoff_cap:",
    ];
    assert_eq!(problems.len(), about.len(), "{problems:#?}");
    for start in about {
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start} is not in {problems:#?}");
    }
    let shown = Config::load(&sources.sources).expect_err("bad").to_string();
    assert!(shown.starts_with("the configuration has 8 problems:\n  - "), "{shown}");
}

#[test]
fn a_bad_value_makes_no_false_contradiction() {
    // With the default of 2m in its place, stale_after would look too short.
    let problems = Sources::new("[jobs]\ntimeout = 'x'\n[dispatch]\nstale_after = '1m'").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn the_later_source_of_the_key_counts() {
    let with_file = || Sources::new("[openai]\napi_key_file = 'keys/openai'");
    let config = with_file().env(&[("OPENAI_API_KEY", "sk-env")]).load().config;
    assert_eq!(config.openai.api_key.as_ref().map(ExposeSecret::expose_secret), Some("sk-env"));
    assert_eq!(config.openai.api_key_file, None);

    let both = [("OPENAI_API_KEY", "sk-env"), ("FLEETLINE_OPENAI__API_KEY_FILE", "own")];
    let config = with_file().env(&both).load().config;
    assert!(config.openai.api_key.is_none());
    assert_eq!(config.openai.api_key_file.as_deref(), Some(Path::new("own")));

    let config = with_file().env(&[("OPENAI_API_KEY", "")]).load().config;
    assert_eq!(config.openai.api_key_file.as_deref(), Some(Path::new("keys/openai")));
}

#[test]
fn secrets_are_never_shown() {
    const KEY: &str = "sk-very-secret";
    let loaded = Sources::new("").env(&[("OPENAI_API_KEY", KEY)]).load();
    let printed = loaded.origins.to_string();
    assert!(printed.contains("api_key = \"***\"  # from env OPENAI_API_KEY"), "{printed}");
    let json = serde_json::to_string(&loaded.origins).expect("JSON");
    for shown in [printed, json, format!("{loaded:?}")] {
        assert!(!shown.contains(KEY), "{shown}");
    }

    let bad = [
        format!("[openai]\napi_key = \"{KEY}"),
        format!("[openai]\napi_key = {KEY}"),
        format!("[openai]\napi_key = \"{KEY}\\nx\""),
        format!("[openai]\napi_key = [\"{KEY}\"]"),
        format!("[openai]\napi_key = {{ \"{KEY}\" = \"{KEY}\" }}"),
        format!("[openai]\nbase_url = \"https://user:{KEY}@host/v1\""),
        format!("[openai]\napikey = \"{KEY}\""),
    ];
    for toml in bad {
        let problems = Sources::new(&toml).problems();
        assert!(
            !problems.is_empty() && problems.iter().all(|problem| !problem.contains(KEY)),
            "{problems:?}"
        );
    }
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let sources = Sources::new(
        "[openai]\ntemperature = 0.0\n[jobs]\ndeadline = '1h'\n[upstreams.jira]\nrequests = '1.5k/h'\n\
         base_url = 'https://jira'",
    )
    .env(&[("FLEETLINE_WORKER__CONCURRENCY", "7"), ("FLEETLINE_DISPATCH__WINDOW", "70")]);
    let first = sources.load();
    let printed = first.origins.to_string();
    assert!(printed.contains("concurrency = 7  # from env FLEETLINE_WORKER__CONCURRENCY\n"), "{printed}");
    assert!(printed.contains("temperature = 0.0  # from "), "{printed}");
    let again = Sources::new(&printed).load();
    let values = |loaded: &Loaded| {
        let pairs = loaded
            .origins
            .iter()
            .map(|origin| (origin.key.clone(), origin.value.trim_matches('"').to_owned()));
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&first));
    assert_eq!(format!("{:?}", again.config), format!("{:?}", first.config));
}

#[test]
fn a_fault_of_the_program_is_told_and_no_endless_loop() {
    let schema = Schema::built_in();
    let mut layer = Layer::defaults(&schema);
    layer.dict = Dict::from([("nonsense".to_owned(), Value::from(1))]);
    let mut problems = Vec::new();
    check_values(&mut layer, &schema, &mut problems);
    assert_eq!(problems.len(), 1);
}
