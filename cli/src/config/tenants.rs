//! `[tenants.NAME]`

use figment::value::{Dict, Value};
use serde::Deserialize;

use super::numbers;
use super::schema::Schema;

/// The section whose subsections are named as tenants are; each has the keys of [`TEMPLATE`].
pub(super) const SECTION: &str = "tenants";
/// The one that `default.toml` describes.
pub(super) const TEMPLATE: &str = "default";

/// What is said of one tenant.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its share of an upstream, beside the other tenants' weights.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000, _>")]
    pub weight: u32,
}

/// Defaults of the tenants that a layer names.
pub(super) fn defaults(schema: &Schema, layer: &Dict) -> Dict {
    let named = layer.get(SECTION).and_then(Value::as_dict).into_iter().flat_map(Dict::keys);
    let template = schema.get(&[SECTION, TEMPLATE]).expect("default.toml has a template of tenants");
    let tenants: Dict = named.map(|name| (name.clone(), template.clone())).collect();
    Dict::from([(SECTION.to_owned(), tenants.into())])
}
