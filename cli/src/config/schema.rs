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
        let mut path = path.to_vec();
        if path.len() > 1 && path[0] == FREE {
            path[1] = TEMPLATE;
        }
        if path.len() > 1 && path[0] == tenants::SECTION {
            path[1] = tenants::TEMPLATE;
        }
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.defaults.get(*first)?, |value, step| value.as_dict()?.get(*step))
    }

    /// Defaults of the upstreams that a layer names.
    pub(super) fn upstreams_of(&self, layer: &Dict) -> Dict {
        let named = layer.get(FREE).and_then(Value::as_dict).into_iter().flat_map(Dict::keys);
        let template = self.get(&[FREE, TEMPLATE]).expect("default.toml has a template of upstreams");
        let upstreams: Dict = named.map(|name| (name.clone(), template.clone())).collect();
        Dict::from([(FREE.to_owned(), upstreams.into())])
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

pub(super) fn is_misnamed_upstream(path: &[&str]) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    matches!(path, [section, name] if *section == FREE && !name.bytes().all(allowed))
}

pub(super) fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}
