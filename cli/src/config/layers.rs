//! What each source says: a file, the environment, flags.

use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::problems::Problem;
use super::schema::{Schema, Unfit, is_misnamed_upstream, is_open, join};
use super::suggest::suggest;
use super::tenants;
use super::text::is_none;

/// Where settings come from; later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Default,
    File,
    /// Variables that speak to every tool.
    SharedEnv,
    /// Variables that speak to Fleetline.
    OwnEnv,
    Flag,
}

/// Settings of one source, known keys only.
pub(super) struct Layer {
    pub(super) from: String,
    pub(super) rank: Rank,
    pub(super) dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.from.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

impl Layer {
    /// The built-in defaults.
    pub(super) fn defaults(schema: &Schema) -> Self {
        Self { from: "default".to_owned(), rank: Rank::Default, dict: schema.defaults().clone() }
    }

    /// Defaults of the upstreams that a layer names.
    pub(super) fn upstream_defaults(schema: &Schema, layer: &Self) -> Self {
        Self { from: "default".to_owned(), rank: Rank::Default, dict: schema.upstreams_of(&layer.dict) }
    }

    /// Defaults of the tenants that a layer names.
    pub(super) fn tenant_defaults(schema: &Schema, layer: &Self) -> Self {
        Self { from: "default".to_owned(), rank: Rank::Default, dict: tenants::defaults(schema, &layer.dict) }
    }

    /// One value.
    pub(super) fn of_value(from: &str, rank: Rank, path: &[&str], value: Value) -> Self {
        let nested =
            path.iter().rev().fold(value, |inner, step| Dict::from([((*step).to_owned(), inner)]).into());
        Self { from: from.to_owned(), rank, dict: nested.into_dict().unwrap_or_default() }
    }

    /// What it sets a key to.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.dict.get(*first)?, |value, step| value.as_dict()?.get(*step))
    }

    /// Whether it sets an optional key to something.
    pub(super) fn sets(&self, path: &[&str]) -> bool {
        self.get(path).is_some_and(|value| value.as_str().is_none_or(|text| !is_none(text.trim())))
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, path: &[&str]) -> bool {
        fn remove(dict: &mut Dict, path: &[&str]) -> bool {
            match path {
                [] => false,
                [last] => dict.remove(*last).is_some(),
                [first, rest @ ..] => match dict.get_mut(*first) {
                    Some(Value::Dict(_, below)) => remove(below, rest),
                    _ => false,
                },
            }
        }
        remove(&mut self.dict, path)
    }
}

/// Reads a file. What is wrong with it goes to `problems`; the rest is used, to find more.
pub(super) fn of_file(path: &Path, schema: &Schema, problems: &mut Vec<Problem>) -> Option<Layer> {
    let from = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem::new(&from, "", format!("cannot be read: {error}")));
            return None;
        }
    };
    let mut dict = match Toml::string(&text).data() {
        Ok(mut data) => data.remove(&Profile::Default).unwrap_or_default(),
        Err(error) => {
            problems.push(Problem::new(&from, "", without_excerpt(&error.to_string())));
            return None;
        }
    };
    for (key, unfit) in schema.prune(&mut dict) {
        problems.push(Problem::new(&from, &key, explain_unfit(schema, &key, unfit)));
    }
    Some(Layer { from, rank: Rank::File, dict })
}

/// The parser shows the faulty line; it may hold a key. Its number says enough.
fn without_excerpt(message: &str) -> String {
    let is_excerpt =
        |line: &str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    let kept: Vec<&str> =
        message.lines().map(str::trim).filter(|line| !line.is_empty() && !is_excerpt(line)).collect();
    kept.join(": ")
}

fn explain_unfit(schema: &Schema, key: &str, unfit: Unfit) -> String {
    match unfit {
        Unfit::Unknown => match suggest(schema, key, true) {
            Some(meant) => format!("unknown key; did you mean {meant}?"),
            None => "unknown key; `fleetline config print` lists all".to_owned(),
        },
        Unfit::IsSection => format!("is a section: write its keys under [{key}]"),
        Unfit::IsValue => "is a single value, not a section".to_owned(),
        Unfit::UpstreamName => "names of upstreams have only a-z, 0-9, - and _".to_owned(),
    }
}

/// A setting given as text: a variable or a flag.
pub(super) struct Setting<'a> {
    /// `env FLEETLINE_...` or `flag --...`.
    pub(super) from: &'a str,
    pub(super) rank: Rank,
    /// `worker.concurrency`
    pub(super) key: &'a str,
    pub(super) text: &'a str,
    /// How a key is spelled where this came from, for suggestions.
    pub(super) spell: fn(&str) -> String,
}

/// A layer of one setting, or the problem with its key.
pub(super) fn of_setting(setting: &Setting<'_>, schema: &Schema) -> Result<Layer, Problem> {
    let Setting { from, rank, key, text, spell } = *setting;
    let path: Vec<&str> = key.split('.').collect();
    let message = match schema.get(&path) {
        None if path.len() > 3 && is_open(&path[..3]) => {
            format!("its names are free: write them in a file, under [{}]", path[..3].join("."))
        }
        Some(Value::Dict(_, section)) => {
            let keys: Vec<_> = section.keys().map(|name| spell(&join(key, name))).collect();
            format!("is a section; its keys are {}", keys.join(", "))
        }
        Some(_) if is_misnamed_upstream(&path[..path.len().min(2)]) => {
            "names of upstreams have only a-z, 0-9, - and _".to_owned()
        }
        Some(like) => return Ok(Layer::of_value(from, rank, &path, typed(text, like))),
        None => match suggest(schema, key, false) {
            Some(meant) => format!("unknown setting; did you mean {}?", spell(&meant)),
            None => "unknown setting; `fleetline config print` lists all".to_owned(),
        },
    };
    Err(Problem::new(from, "", message))
}

/// The text as a value of the default's type, if it is one; else as it is, for a good error.
fn typed(text: &str, like: &Value) -> Value {
    let text = text.trim();
    let number =
        || text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from)).ok();
    let typed = match like {
        Value::Bool(..) => text.parse::<bool>().map(Value::from).ok(),
        Value::Num(..) => number(),
        _ => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}
