//! What `fleetline doctor` says of certificates.

use fleetline_tests::services::{Authority, PrivateServers, Urls};
use serde_json::Value;

use super::place;
use crate::cli::harness::Place;

const PASSWORD: &str = "hunter2";

#[test]
fn doctor_tells_which_certificate_is_refused_and_what_to_do() {
    let servers = PrivateServers::start_with_tls();
    let ca = servers.ca_file();
    let urls = with_password(&servers.urls);
    let other = Authority::new();

    let unknown = "not of an authority that is trusted here";
    for ca in [None, Some(other.ca_file())] {
        let said = doctor(&place(&urls, ca.as_deref()));
        said.of("postgres", &[unknown, "`sslrootcert` of postgres.url"]);
        said.of("rabbitmq", &[unknown, "rabbitmq.ca_file"]);
        said.of("redis", &[unknown, "redis.ca_file"]);
    }

    let said = doctor(&place(&each(&urls, |url| url.replace("localhost", "127.0.0.1")), Some(&ca)));
    for part in ["postgres", "rabbitmq", "redis"] {
        said.of(part, &["is for localhost, not for 127.0.0.1"]);
    }

    // The ports of Redis and RabbitMQ for TLS, spoken to without.
    let plain = each(&urls, |url| url.replace("rediss:", "redis:").replace("amqps:", "amqp:"));
    let said = doctor(&place(&plain, None));
    said.of("redis", &["rediss://"]);
    said.of("rabbitmq", &["amqps://"]);

    // A file of authorities that nobody would look at.
    let said = doctor(&place(&plain, Some(&ca)));
    said.of("redis", &["without TLS", "write rediss://"]);
    said.of("rabbitmq", &["without TLS", "write amqps://"]);

    // Ports without TLS, spoken to with it.
    let redis = servers.plain_port("redis/redis.port");
    let rabbitmq = servers.plain_port("rabbitmq/amqp.port");
    let swapped = Urls {
        redis: format!("rediss://localhost:{redis}/"),
        rabbitmq: format!("amqps://guest:guest@localhost:{rabbitmq}/%2f"),
        ..urls.clone()
    };
    let said = doctor(&place(&swapped, Some(&ca)));
    said.of("redis", &["that it speaks TLS on this port"]);
    said.of("rabbitmq", &["does not speak TLS on this port"]);
}

#[test]
fn a_file_without_certificates_is_named() {
    let place = Place::new().env("FLEETLINE_REDIS__URL", "rediss://localhost:1/");
    place.write("empty.pem", "");
    let place = place.env("FLEETLINE_REDIS__CA_FILE", "empty.pem");
    doctor(&place).of("redis", &["redis.ca_file", "empty.pem", "no certificate"]);
}

/// A password that the servers never get to see, as the handshake comes first.
fn with_password(urls: &Urls) -> Urls {
    let in_place_of = |what: &str, with: &str, url: &str| url.replace(what, with);
    Urls {
        postgres: in_place_of("fleetline@", &format!("fleetline:{PASSWORD}@"), &urls.postgres),
        redis: in_place_of("rediss://", &format!("rediss://:{PASSWORD}@"), &urls.redis),
        rabbitmq: in_place_of(":guest@", &format!(":{PASSWORD}@"), &urls.rabbitmq),
        management: in_place_of(":guest@", &format!(":{PASSWORD}@"), &urls.management),
    }
}

fn each(urls: &Urls, change: impl Fn(&str) -> String) -> Urls {
    Urls {
        postgres: change(&urls.postgres),
        redis: change(&urls.redis),
        rabbitmq: change(&urls.rabbitmq),
        management: change(&urls.management),
    }
}

/// What `doctor` finds in each part.
struct Said(Vec<Value>);

fn doctor(place: &Place) -> Said {
    let ended = place.run(&["doctor", "--json"]).exits(1);
    assert!(!ended.stdout.contains(PASSWORD) && !ended.stderr.contains(PASSWORD), "{ended:#?}");
    Said(ended.rows())
}

impl Said {
    /// The problem of a part tells all of this.
    #[track_caller]
    fn of(&self, part: &str, parts: &[&str]) {
        let row = self.0.iter().find(|row| row["part"] == part).expect("all parts are examined");
        let problem = row["findings"][0]["problem"].as_str().unwrap_or_default();
        for wanted in parts {
            assert!(problem.contains(wanted), "no {wanted:?} in {row:#}");
        }
    }
}
