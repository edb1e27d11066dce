//! The proxies between processes and servers, one for each kind of process and server.

use crate::chaos::proxy::{Link, Proxy};
use crate::services::{Server, Urls};

/// A kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `fleetline serve`.
    Serve,
    /// `fleetline work`.
    Work,
}

/// The links of all processes of one role.
pub struct Links {
    postgres: Proxy,
    redis: Proxy,
    rabbitmq: Proxy,
}

impl Links {
    /// Proxies in front of these servers.
    pub(super) async fn start(urls: &Urls) -> Self {
        Self {
            postgres: Proxy::start(host(&urls.postgres)).await,
            redis: Proxy::start(host(&urls.redis)).await,
            rabbitmq: Proxy::start(host(&urls.rabbitmq)).await,
        }
    }

    /// The proxy in front of one server.
    pub fn to(&self, server: Server) -> &Proxy {
        match server {
            Server::Postgres => &self.postgres,
            Server::Redis => &self.redis,
            Server::RabbitMq => &self.rabbitmq,
        }
    }

    /// The same URL by way of the proxy.
    pub(super) fn by(&self, server: Server, url: &str) -> String {
        url.replacen(host(url), &self.to(server).address().to_string(), 1)
    }

    /// Whatever was wrong with them is over.
    pub fn heal(&self) {
        for proxy in [&self.postgres, &self.redis, &self.rabbitmq] {
            proxy.set(Link::PASS);
        }
    }
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL has a scheme");
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn a_host_is_found_in_every_url() {
        for url in ["amqp://a:b@h:1/%2f", "redis://h:1/", "redis://h:1", "postgres://u@h:1/db?x=@/"] {
            assert_eq!(host(url), "h:1", "{url}");
        }
    }
}
