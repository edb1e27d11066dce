//! Settings of an upstream that contradict each other, or other sections.

use super::super::check::Found;
use super::super::sections::Config;
use fleetline_shared::ports::Limits;
use fleetline_shared::share::{Indivisible, share_of};

use super::{Fail, OnOpen, Quota, Upstream};

/// The upstream that `[openai]` is about.
const OPENAI: &str = "openai";

/// Contradictions of all upstreams.
pub(in super::super) fn upstreams(config: &Config, found: &mut Found) {
    for (name, upstream) in &config.upstreams {
        money(config, name, upstream, found);
        failing(name, upstream, found);
        share(name, upstream, found);
        unlimited(name, upstream, found);
        api(name, upstream, found);
    }
}

fn money(config: &Config, name: &str, upstream: &Upstream, found: &mut Found) {
    let per_model = upstream.per_model.values().chain([&upstream.per_tenant]);
    let is_limited = upstream.budget.is_some() || per_model.into_iter().any(|limits| limits.budget.is_some());
    let keys = [format!("upstreams.{name}.budget"), format!("upstreams.{name}.prices")];
    let model = &config.openai.model;
    found.when(is_limited && name != OPENAI, keys.clone(), || {
        "calls of http.json have no model, so no price: limit requests instead".to_owned()
    });
    found.when(is_limited && name == OPENAI && !upstream.prices.contains_key(model), keys, || {
        format!(
            "nothing would be spent: say what model {model} costs, in dollars per million tokens, such as \
             prices.\"{model}\" = {{ input = 0.15, output = 0.60 }}"
        )
    });
}

fn api(name: &str, upstream: &Upstream, found: &mut Found) {
    let key = |key: &str| format!("upstreams.{name}.{key}");
    let has_auth = upstream.auth.is_some() || upstream.auth_file.is_some() || !upstream.headers.is_empty();
    // A limit under a misspelt name would limit nothing.
    found.when(name != OPENAI && upstream.base_url.is_none(), [key("base_url")], || {
        format!("no kind calls an upstream of that name; there is `{OPENAI}`. For http.json, say where it is")
    });
    found.when(
        name == OPENAI && (upstream.base_url.is_some() || has_auth),
        [key("base_url"), "openai.base_url".to_owned()],
        || {
            "this upstream is the server of [openai]: say there where it is, and give it its key there"
                .to_owned()
        },
    );
    found.when(
        upstream.auth.is_some() && upstream.auth_file.is_some(),
        [key("auth"), key("auth_file")],
        || "both are set; set one".to_owned(),
    );
    found.when(name != OPENAI && upstream.on_open == OnOpen::Fallback, [key("on_open")], || {
        "no built-in rules can do the work of http.json: use \"wait\" or \"cached\"".to_owned()
    });
}

fn share(name: &str, upstream: &Upstream, found: &mut Found) {
    let key = |key: &str| format!("upstreams.{name}.{key}");
    found.when(
        upstream.fail == Fail::StaticShare && upstream.replicas.is_none(),
        [key("fail"), key("replicas")],
        || {
            "a share of what? Say how many worker processes run at most, such as replicas = 4; or use fail = \"closed\""
                .to_owned()
        },
    );
    let Some(Err(problem)) = upstream.share().map(|replicas| share_of(&upstream.limits(), replicas)) else {
        return;
    };
    let other = match problem {
        Indivisible::Found => key("quota"),
        Indivisible::TooSmall { .. } => key("replicas"),
    };
    found.when(true, [key("fail"), other], || format!("{problem}; use fail = \"closed\""));
}

fn unlimited(name: &str, upstream: &Upstream, found: &mut Found) {
    let limits = Limits { lifted: false, ..upstream.limits() };
    found.when(
        upstream.quota == Quota::Unlimited && !limits.are_open(),
        [format!("upstreams.{name}.quota")],
        || {
            "\"unlimited\" lifts all limits, and some are set: remove them, or use quota = \"configured\""
                .to_owned()
        },
    );
}

fn failing(name: &str, upstream: &Upstream, found: &mut Found) {
    let keys = |keys: [&str; 2]| keys.map(|key| format!("upstreams.{name}.{key}"));
    let adaptive = &upstream.adaptive;
    found.when(
        adaptive.max.is_some_and(|max| max < adaptive.min),
        keys(["adaptive.min", "adaptive.max"]),
        || format!("the fewest calls at the same time, {}, are more than the most", adaptive.min),
    );
    found.when(
        upstream.on_open != OnOpen::Wait && upstream.breaker.options().is_none(),
        keys(["on_open", "breaker"]),
        || {
            "without failures and percent the breaker never opens: set one of them, or on_open to \"wait\""
                .to_owned()
        },
    );
}
