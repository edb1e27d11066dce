//! The provider simulator, as its callers see it.

mod answers;
mod command;
mod faults;
mod ledger;
mod limits;

use std::net::SocketAddr;

use fleetline_simulator::{Limits, Options, Rate, Simulator};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A running simulator. Dropped, it stops listening.
pub(crate) struct Running {
    pub(crate) url: String,
    control: String,
    client: Client,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        // Whoever comes first installs it; the others find it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let free: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut options = Options { control: Some(free), ..Options::new(free) };
        change(&mut options);
        let simulator = Simulator::bind(options).await.expect("a free port");
        let url = format!("http://{}", simulator.address().expect("bound"));
        let control = simulator.control_address().expect("bound").expect("asked for");
        let client = Client::builder().retry(reqwest::retry::never()).build().expect("a client");
        let task = tokio::spawn(simulator.serve());
        Self { url, control: format!("http://{control}"), client, task }
    }

    async fn with_limits(limits: Limits) -> Self {
        Self::start(|options| options.limits = limits).await
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    /// A chat that is all right.
    fn chat(&self) -> RequestBuilder {
        self.post("/v1/chat/completions", &chat())
    }

    async fn chatted(&self) -> Response {
        self.chat().send().await.expect("an answer")
    }

    /// Sets faults whose times count from now.
    pub(crate) async fn fails(&self, faults: &str) {
        let set = self.client.post(format!("{}/faults", self.control)).body(faults.to_owned());
        let answer = set.send().await.expect("an answer");
        assert_eq!(answer.status(), 204, "{}", answer.text().await.expect("a text"));
    }

    pub(crate) async fn heals(&self) {
        let answer = self.client.delete(format!("{}/faults", self.control)).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
    }

    pub(crate) async fn ledger(&self) -> Vec<Value> {
        let answer = self.client.get(format!("{}/ledger", self.control)).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    async fn summary(&self) -> Value {
        let answer =
            self.client.get(format!("{}/ledger?summary", self.control)).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn chat() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "How much is the fish?" }] })
}

pub(crate) fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

async fn said(answer: Response) -> Value {
    answer.json().await.expect("JSON")
}
