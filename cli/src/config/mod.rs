//! The settings: layers of sources become one checked [`Config`].
//!
//! Later layers win: the built-in `default.toml` < a file < `OPENAI_*` < `FLEETLINE_*` < flags.
//! `OPENAI_*` speaks to every tool on a machine and `FLEETLINE_OPENAI__*` to this one alone, so the
//! latter wins. Each layer is checked by itself, so that a mistake is found even where a later
//! layer hides it, and everything that is wrong is reported at once.

mod check;
mod env;
mod fleet;
mod inputs;
mod layers;
mod numbers;
mod openai;
mod origins;
mod problems;
mod rate;
mod schema;
mod sections;
mod suggest;
mod tenants;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod upstream;

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;

pub use fleet::{Postgres, RabbitMq, Redis, Serve};
pub use inputs::{Discovery, Level, LogFields, LogFormat, Logs, OnMalformed};
pub(crate) use openai::NOT_CONFIGURED;
pub use openai::OpenAi;
pub use origins::{Origin, Origins};
pub use problems::{ConfigProblems, Problem};
pub use schema::DEFAULT_FILE;
pub use sections::{Analyser, AnalyserChoice, Config, Dispatch, Jobs, Leases, Run, Worker};
pub use tenants::Tenant;
pub use upstream::{
    Adaptive, Breaker, Fail, HeaderSource, OnOpen, Price, Quota, RateLimits, Upstream, Vendor,
};

use layers::{Layer, Rank, Setting};
use schema::{Schema, is_open};

/// Where to look for settings.
/// No `Debug`: the environment holds keys.
#[derive(Clone)]
pub struct ConfigSources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The folder in which `fleetline.toml` is looked for, usually `.`.
    pub folder: PathBuf,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Flags.
    pub overrides: Vec<Override>,
}

impl ConfigSources {
    /// This process's environment and current folder, with the given flags.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<Override>) -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
        Self { file, folder: PathBuf::from("."), env, overrides }
    }

    /// The file to read, if there is one.
    fn file(&self) -> Option<PathBuf> {
        let var = |wanted: &str| {
            let value = self.env.iter().find(|(name, _)| name == wanted).map(|(_, value)| Path::new(value));
            value.filter(|path| !path.as_os_str().is_empty())
        };
        let in_home = || var("HOME").map(|home| home.join(".config"));
        let of_user = || var("XDG_CONFIG_HOME").map(Path::to_owned).or_else(in_home);
        let existing = |path: PathBuf| path.exists().then_some(path);
        self.file
            .clone()
            .or_else(|| existing(self.folder.join("fleetline.toml")))
            .or_else(|| existing(of_user()?.join("fleetline/config.toml")))
    }
}

/// A setting that a flag makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// `--concurrency`
    pub flag: &'static str,
    /// `worker.concurrency`
    pub key: &'static str,
    /// As it would be written in the environment.
    pub value: String,
}

/// Settings that hold together, and where they came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Every value's origin.
    pub origins: Origins,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads all sources and checks them.
    ///
    /// # Errors
    /// Everything that is wrong in any source: unreadable file, unknown keys, wrong types, values
    /// out of bounds, contradictions.
    pub fn load(sources: &ConfigSources) -> Result<Loaded, ConfigProblems> {
        let schema = Schema::built_in();
        let mut problems = Vec::new();
        let mut layers = gather(sources, &schema, &mut problems);
        for layer in &mut layers {
            check_values(layer, &schema, &mut problems);
        }
        later_key_source_wins(&mut layers);

        let figment = merge(&schema, &layers);
        let config = match figment.extract::<Self>() {
            Ok(config) => config,
            Err(error) => {
                problems.push(Problem::of_value("", &error.path.join("."), error));
                return Err(ConfigProblems(problems));
            }
        };
        // A default stands where a value could not be read: it contradicts nothing.
        let spoiled: Vec<String> = problems.iter().flat_map(|problem| problem.keys.clone()).collect();
        let found = check::contradictions(&config).into_iter();
        let is_spoiled = |key: &String| {
            let rests = spoiled.iter().filter_map(|spoiled| spoiled.strip_prefix(key.as_str()));
            rests.into_iter().any(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        problems.extend(found.filter(|problem| !problem.keys.iter().any(is_spoiled)));
        if problems.is_empty() {
            let values = figment.extract().unwrap_or_default();
            Ok(Loaded { config, origins: Origins::of(&figment, &values), file: sources.file() })
        } else {
            Err(ConfigProblems(problems))
        }
    }
}

/// All layers above the defaults, in order.
fn gather(sources: &ConfigSources, schema: &Schema, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers: Vec<Layer> =
        sources.file().and_then(|file| layers::of_file(&file, schema, problems)).into_iter().collect();
    let mut add = |from: &str, rank, key: &str, text: &str, spell| match layers::of_setting(
        &Setting { from, rank, key, text, spell },
        schema,
    ) {
        Ok(layer) => layers.push(layer),
        Err(problem) => problems.push(problem),
    };
    for (name, value) in &sources.env {
        if let Some((rank, key)) = env::setting(name, value) {
            add(&format!("env {name}"), rank, &key, value, env::variable);
        }
    }
    for Override { flag, key, value } in &sources.overrides {
        add(&format!("flag {flag}"), Rank::Flag, key, value, str::to_owned);
    }
    layers.sort_by_key(|layer| layer.rank);
    layers
}

/// Takes every value out of the layer that cannot be read, and tells of each.
fn check_values(layer: &mut Layer, schema: &Schema, problems: &mut Vec<Problem>) {
    while let Err(error) = merge(schema, std::slice::from_ref(layer)).extract::<Config>() {
        let path = error.path.clone();
        // The path of a fault inside a list goes one step deeper than its key.
        let key = (1..=path.len()).rev().map(|depth| &path[..depth]).find(|path| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            // What stands under a free name is good as a whole or not at all.
            let is_under_free_name = path.len() > 4 && is_open(&path[..3]);
            layer.get(&path).is_some() && layer.remove(if is_under_free_name { &path[..4] } else { &path })
        });
        let Some(key) = key else {
            problems.push(Problem::of_value(&layer.from, &path.join("."), error));
            return;
        };
        problems.push(Problem::of_value(&layer.from, &key.join("."), error));
    }
}

/// A key in a later layer makes an earlier layer's key file void, and the other way round.
fn later_key_source_wins(layers: &mut Vec<Layer>) {
    const KEY: [&str; 2] = ["openai", "api_key"];
    const FILE: [&str; 2] = ["openai", "api_key_file"];
    let last = |path: &[&str]| {
        layers
            .iter()
            .filter(|layer| layer.sets(path))
            .map(|layer| (layer.rank, layer.from.clone()))
            .next_back()
    };
    let (Some((key, key_from)), Some((file, file_from))) = (last(&KEY), last(&FILE)) else { return };
    let void = |from: &str, path: &[&str]| Layer::of_value(from, Rank::Flag, path, Value::from("none"));
    match key.cmp(&file) {
        std::cmp::Ordering::Greater => layers.push(void(&key_from, &FILE)),
        std::cmp::Ordering::Less => layers.push(void(&file_from, &KEY)),
        std::cmp::Ordering::Equal => {}
    }
}

/// The defaults with the layers on top.
fn merge(schema: &Schema, layers: &[Layer]) -> Figment {
    let mut figment = Figment::from(Layer::defaults(schema));
    for layer in layers {
        figment = figment.merge(Layer::upstream_defaults(schema, layer));
        figment = figment.merge(Layer::tenant_defaults(schema, layer));
    }
    layers.iter().fold(figment, |figment, layer| figment.merge(layer))
}
