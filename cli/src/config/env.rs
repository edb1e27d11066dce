//! Which environment variables are settings.

use super::layers::Rank;

const PREFIX: &str = "FLEETLINE_";

/// Variables that the program and its tests read by themselves.
const NOT_SETTINGS: [&str; 7] = [
    "FLEETLINE_LOG",
    "FLEETLINE_KILL_AT",
    "FLEETLINE_POISON",
    "FLEETLINE_MUTANT",
    "FLEETLINE_SHARED",
    "FLEETLINE_START_PATIENCE",
    "FLEETLINE_RABBITMQ_CONF",
];

/// Variables that other tools read too.
const SHARED: [(&str, &str); 6] = [
    ("DATABASE_URL", "postgres.url"),
    ("AMQP_URL", "rabbitmq.url"),
    ("REDIS_URL", "redis.url"),
    ("OPENAI_BASE_URL", "openai.base_url"),
    ("OPENAI_API_KEY", "openai.api_key"),
    ("OPENAI_MODEL", "openai.model"),
];

/// The rank and the key of a variable, if it is meant as a setting.
pub(super) fn setting(variable: &str, value: &str) -> Option<(Rank, String)> {
    if let Some((_, key)) = SHARED.iter().find(|(name, _)| *name == variable) {
        // `OPENAI_API_KEY= command` is how shells take a variable away.
        return (!value.trim().is_empty()).then(|| (Rank::SharedEnv, (*key).to_owned()));
    }
    let name = variable.strip_prefix(PREFIX)?;
    if NOT_SETTINGS.contains(&variable) || is_service_link(name) {
        return None;
    }
    Some((Rank::OwnEnv, name.to_ascii_lowercase().replace("__", ".")))
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Kubernetes gives every pod variables about services: with a service named `fleetline` or
/// `fleetline-api`, `FLEETLINE_PORT_80_TCP`, `FLEETLINE_API_SERVICE_HOST` and the like.
fn is_service_link(name: &str) -> bool {
    let about_port = |name: &str| {
        name.split_once("PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    !name.contains("__")
        && (name == "PORT"
            || name.ends_with("_PORT")
            || name.ends_with("SERVICE_HOST")
            || name.contains("SERVICE_PORT")
            || about_port(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_their_keys() {
        let own = |key: &str| Some((Rank::OwnEnv, key.to_owned()));
        let table = [
            ("FLEETLINE_WORKER__CONCURRENCY", "1", own("worker.concurrency")),
            ("FLEETLINE_LOGS__FIELDS__LEVEL", "a", own("logs.fields.level")),
            ("FLEETLINE_worker__grace", "1s", own("worker.grace")),
            ("FLEETLINE_CONCURRENCY", "1", own("concurrency")),
            ("FLEETLINE_", "1", own("")),
            ("OPENAI_MODEL", "m", Some((Rank::SharedEnv, "openai.model".to_owned()))),
            ("OPENAI_MODEL", " ", None),
            ("OPENAI_ORG", "m", None),
            ("PATH", "m", None),
            ("FLEETLINE_LOG", "debug", None),
            ("FLEETLINE_KILL_AT", "x", None),
            ("FLEETLINE_SHARED", "x", None),
            ("FLEETLINE_PORT", "tcp://10.0.0.1:80", None),
            ("FLEETLINE_PORT_80_TCP_ADDR", "10.0.0.1", None),
            ("FLEETLINE_SERVICE_HOST", "10.0.0.1", None),
            ("FLEETLINE_API_SERVICE_PORT_HTTP", "80", None),
            ("FLEETLINE_API_PORT_80_TCP", "tcp://10.0.0.1:80", None),
        ];
        for (name, value, expected) in table {
            assert_eq!(setting(name, value), expected, "{name}={value}");
        }
        assert_eq!(variable("worker.concurrency"), "FLEETLINE_WORKER__CONCURRENCY");
    }
}
