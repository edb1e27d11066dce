//! `http.json` through the whole fleet: `serve` and `work` as processes, jobs over HTTP and AMQP.

mod ga4;
mod ways_in;

use std::time::Duration;

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::chaos::until;
use fleetline_tests::services::{self, Database, Vhost};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::cli::harness::Place;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A fleet of one `serve` and one `work`.
struct Fleet {
    url: String,
    client: Client,
    vhost: Vhost,
    processes: [Process; 2],
    _place: Place,
    _database: Database,
}

impl Fleet {
    /// With these settings.
    async fn start(settings: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (database, vhost) = (Database::new().await, Vhost::new().await);
        let place = Place::new()
            .env("FLEETLINE_POSTGRES__URL", &database.url)
            .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
            .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &vhost.management)
            .env("FLEETLINE_REDIS__URL", &services::shared().redis)
            .env("FLEETLINE_REDIS__PREFIX", &format!("test-{}", Uuid::now_v7().simple()));
        place.write("fleetline.toml", settings);
        place.run(&["topology", "apply"]).exits(0);
        let start =
            |name: &str, args: &[&str]| Process::start(name, &mut place.command(args), &place.path("."));
        let serve = start("serve", &["serve", "--listen", "127.0.0.1:0", "--open"]);
        let worker = start("work", &["work"]);
        let url = format!("http://{}", serve.says("listening on http://").await.trim());
        Self {
            url,
            client: Client::new(),
            vhost,
            processes: [serve, worker],
            _place: place,
            _database: database,
        }
    }

    /// `POST /v1/jobs`: status and answer.
    async fn submit(&self, jobs: &Value) -> (StatusCode, Value) {
        let answer = self.client.post(format!("{}/v1/jobs", self.url)).json(jobs).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    /// Ids of jobs that are accepted.
    async fn accepted(&self, jobs: &Value) -> Vec<String> {
        let (status, answer) = self.submit(jobs).await;
        assert_eq!(status, 202, "{answer:#}");
        ids(&answer)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// The job as soon as it is terminal.
    async fn ended(&self, job: &str) -> Value {
        until(&format!("the end of {job}"), PATIENCE, async || {
            let job = self.get(&format!("/v1/jobs/{job}")).await;
            let is_over = ["succeeded", "dead", "cancelled"].iter().any(|state| job["state"] == *state);
            is_over.then_some(job)
        })
        .await
    }

    async fn end(self) {
        let Self { vhost, processes, .. } = self;
        drop(processes);
        vhost.remove().await;
    }
}

fn ids(accepted: &Value) -> Vec<String> {
    let jobs = accepted["jobs"].as_array().expect("jobs");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}
