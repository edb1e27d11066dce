//! A virtual host of the shared broker for one test.

use reqwest::{Client, Method};
use uuid::Uuid;

use super::shared;

/// A fresh virtual host with its own exchanges, queues and policies. Call [`Vhost::remove`] at the
/// end of the test; one that a failed test leaves behind ends with the broker.
pub struct Vhost {
    /// Its name.
    pub name: String,
    /// Its AMQP URL.
    pub url: String,
    /// The broker's management API, with user and password.
    pub management: String,
}

impl Vhost {
    /// Makes one on the broker that all tests share.
    pub async fn new() -> Self {
        let urls = shared();
        Self::on(&urls.rabbitmq, &urls.management).await
    }

    /// Makes one on this broker.
    pub async fn on(amqp: &str, management: &str) -> Self {
        let name = format!("test-{}", Uuid::now_v7().simple());
        let (server, _) = amqp.rsplit_once('/').expect("an AMQP URL ends with its virtual host");
        let vhost = Self { url: format!("{server}/{name}"), management: management.to_owned(), name };
        vhost.call(Method::PUT, &format!("vhosts/{}", vhost.name)).await;
        vhost.call(Method::PUT, &format!("permissions/{}/guest", vhost.name)).await;
        vhost
    }

    /// Removes it with all it holds.
    pub async fn remove(self) {
        self.call(Method::DELETE, &format!("vhosts/{}", self.name)).await;
    }

    async fn call(&self, method: Method, path: &str) {
        let body = r#"{"configure":".*","write":".*","read":".*"}"#;
        let answer = client()
            .request(method, format!("{}/api/{path}", self.management))
            .header("content-type", "application/json")
            .body(if path.starts_with("permissions") { body } else { "{}" })
            .send()
            .await
            .expect("the management API answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

fn client() -> Client {
    // Whoever comes first installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}
