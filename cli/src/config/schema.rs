//! Which keys there are: those of `default.toml`.

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use figment::{Profile, Provider};

use super::tenants;

/// The built-in settings with their comments; the one place where every key is described.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Section whose subsections have free names; each has the keys of [`TEMPLATE`].
const FREE: &str = "upstreams";
const TEMPLATE: &str = "openai";
/// Section of an upstream whose subsections have free names too; each has the keys of [`OF_MODEL`].
const MODELS: &str = "per_model";
const OF_MODEL: &str = "per_tenant";
/// Sections of an upstream whose keys are free; what stands there, only their readers know.
const OPEN: [&str; 2] = ["headers", "prices"];

/// The keys and their defaults.
pub(super) struct Schema {
    defaults: Dict,
}

impl Schema {
    pub(super) fn built_in() -> Self {
        let mut data =
            Toml::string(DEFAULT_FILE).data().expect("the built-in file is TOML, as the tests show");
        Self { defaults: data.remove(&Profile::Default).unwrap_or_default() }
    }

    pub(super) fn defaults(&self) -> &Dict {
        &self.defaults
    }

    /// The default of a key, or a section. `None`: there is no such key.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let path = match path {
            [FREE, _, MODELS, _, rest @ ..] => [&[FREE, TEMPLATE, OF_MODEL], rest].concat(),
            [FREE, _, rest @ ..] => [&[FREE, TEMPLATE], rest].concat(),
            [section, _, rest @ ..] if *section == tenants::SECTION => {
                [&[tenants::SECTION, tenants::TEMPLATE], rest].concat()
            }
            _ => path.to_vec(),
        };
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.defaults.get(*first)?, |value, step| value.as_dict()?.get(*step))
    }

    /// Defaults of the upstreams that a layer names, and of their models.
    pub(super) fn upstreams_of(&self, layer: &Dict) -> Dict {
        let named = section(layer, FREE).map(|(name, upstream)| {
            let models = upstream.as_dict().into_iter().flat_map(|upstream| section(upstream, MODELS));
            let of_models: Dict = models
                .map(|(model, _)| (model.clone(), self.template(&[FREE, TEMPLATE, OF_MODEL])))
                .collect();
            let mut keys = self.template(&[FREE, TEMPLATE]).into_dict().unwrap_or_default();
            keys.insert(MODELS.to_owned(), of_models.into());
            (name.clone(), Value::from(keys))
        });
        let upstreams: Dict = named.collect();
        Dict::from([(FREE.to_owned(), upstreams.into())])
    }

    fn template(&self, path: &[&str]) -> Value {
        self.get(path).expect("default.toml has it, as the tests show").clone()
    }

    /// All keys with a value, and all sections, dots between their steps.
    pub(super) fn names(&self) -> (Vec<String>, Vec<String>) {
        fn walk(dict: &Dict, above: &str, keys: &mut Vec<String>, sections: &mut Vec<String>) {
            for (name, value) in dict {
                let path = join(above, name);
                match value.as_dict() {
                    Some(section) => {
                        sections.push(path.clone());
                        walk(section, &path, keys, sections);
                    }
                    None => keys.push(path),
                }
            }
        }
        let (mut keys, mut sections) = (Vec::new(), Vec::new());
        walk(&self.defaults, "", &mut keys, &mut sections);
        (keys, sections)
    }

    /// Takes what the schema doesn't know out of a file's settings, and tells of each.
    pub(super) fn prune(&self, dict: &mut Dict) -> Vec<(String, Unfit)> {
        let mut unfit = Vec::new();
        self.prune_below(dict, &mut Vec::new(), &mut unfit);
        unfit
    }

    fn prune_below(&self, dict: &mut Dict, above: &mut Vec<String>, unfit: &mut Vec<(String, Unfit)>) {
        dict.retain(|name, value| {
            above.push(name.clone());
            let path: Vec<&str> = above.iter().map(String::as_str).collect();
            let fault = match (self.get(&path), value) {
                (None, _) => Some(Unfit::Unknown),
                (Some(_), _) if is_misnamed_upstream(&path) => Some(Unfit::UpstreamName),
                (Some(Value::Dict(..)), Value::Dict(..)) if is_open(&path) => None,
                (Some(Value::Dict(..)), Value::Dict(_, section)) => {
                    self.prune_below(section, above, unfit);
                    None
                }
                (Some(Value::Dict(..)), _) => Some(Unfit::IsSection),
                (Some(_), Value::Dict(..)) => Some(Unfit::IsValue),
                (Some(_), _) => None,
            };
            let fits = fault.is_none();
            unfit.extend(fault.map(|fault| (above.join("."), fault)));
            above.pop();
            fits
        });
    }
}

/// Why a key of a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// There is no such key.
    Unknown,
    /// It is a section, and has a value.
    IsSection,
    /// It is a value, and has keys.
    IsValue,
    /// The name of an upstream has a form that the environment cannot spell.
    UpstreamName,
}

fn section<'a>(dict: &'a Dict, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    dict.get(name).and_then(Value::as_dict).into_iter().flatten()
}

/// Whether the keys of a section are free.
pub(super) fn is_open(path: &[&str]) -> bool {
    matches!(path, [section, _, name] if *section == FREE && OPEN.contains(name))
}

pub(super) fn is_misnamed_upstream(path: &[&str]) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    matches!(path, [section, name] if *section == FREE && !name.bytes().all(allowed))
}

pub(super) fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}
