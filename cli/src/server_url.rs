//! The URLs of the fleet's servers: there, and of the right kind. They may hold passwords, so no error
//! repeats one.

use secrecy::{ExposeSecret, SecretString};

use crate::app::App;
use crate::exit::CliError;

/// A setting that holds the URL of a server.
pub(crate) struct ServerUrl {
    key: &'static str,
    /// The variable that sets it too.
    variable: &'static str,
    like: &'static str,
    schemes: [&'static str; 2],
}

pub(crate) const POSTGRES: ServerUrl = ServerUrl {
    key: "postgres.url",
    variable: "DATABASE_URL",
    like: "postgres://user@host/database",
    schemes: ["postgres", "postgresql"],
};
pub(crate) const RABBITMQ: ServerUrl = ServerUrl {
    key: "rabbitmq.url",
    variable: "AMQP_URL",
    like: "amqp://user:password@host/vhost",
    schemes: ["amqp", "amqps"],
};
pub(crate) const MANAGEMENT: ServerUrl = ServerUrl {
    key: "rabbitmq.management_url",
    variable: "FLEETLINE_RABBITMQ__MANAGEMENT_URL",
    like: "https://user:password@host:15671",
    schemes: ["http", "https"],
};
pub(crate) const REDIS: ServerUrl = ServerUrl {
    key: "redis.url",
    variable: "REDIS_URL",
    like: "redis://host/",
    schemes: ["redis", "rediss"],
};

/// The URL of a server without which there is no fleet.
pub(crate) fn server_url(
    app: &App,
    of: &ServerUrl,
    given: Option<&SecretString>,
) -> Result<String, CliError> {
    let Some(url) = given else {
        return Err(CliError::Usage(format!(
            "{} is not set: the fleet needs it. Set it in fleetline.toml or {}, such as \"{}\"; \
             `make up` starts servers for development",
            of.key, of.variable, of.like
        )));
    };
    checked_url(app, of, url)
}

/// The URL, if it is one of such a server. Only whoever uses it asks: variables such as `DATABASE_URL`
/// speak to other tools too.
pub(crate) fn checked_url(app: &App, of: &ServerUrl, url: &SecretString) -> Result<String, CliError> {
    let url = url.expose_secret();
    if of.is_right(url) {
        return Ok(url.to_owned());
    }
    let from = app.loaded().origins.get(of.key).map_or(String::new(), |origin| format!("{}: ", origin.from));
    let [plain, other] = of.schemes;
    Err(CliError::Usage(format!(
        "{from}{}: expected a URL that starts with {plain}:// or {other}://, such as \"{}\"",
        of.key, of.like
    )))
}

impl ServerUrl {
    fn is_right(&self, url: &str) -> bool {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| self.schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_schemes() {
        let table = [
            (&POSTGRES, ["postgres://h/d", "postgresql://h/d"], ["mysql://h/d", "h/d"]),
            (&RABBITMQ, ["amqp://h", "AMQPS://h"], ["http://h:15672", "amqp:h"]),
            (&MANAGEMENT, ["http://h:15672", "https://h"], ["amqp://h", "h:15672"]),
            (&REDIS, ["redis://h/", "rediss://h/0"], ["http://h", "redis"]),
        ];
        for (of, right, wrong) in table {
            assert!(right.iter().all(|url| of.is_right(url)), "{right:?}");
            assert!(!wrong.iter().any(|url| of.is_right(url)), "{wrong:?}");
        }
    }
}
