//! Redis Cluster: every call's keys are of one slot; a cluster of several nodes is refused in words.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fleetline_shared::domain::PortError;
use fleetline_shared::ports::Quotas;
use fleetline_shared::redis::{RedisLeases, RedisQuotas};
use fleetline_tests::chaos::until;
use fleetline_tests::conformance::{leases, quotas};
use redis::Commands;
use tempfile::TempDir;

use super::conformance::{Fleets, OnRedis};
use super::connect;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server in cluster mode. Dropped, it is killed.
struct Node {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Node {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, bus) = (free_port(), free_port());
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--cluster-port", &bus.to_string()])
            .args(["--cluster-enabled", "yes", "--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there");
        let node = Self { process, port, _folder: folder };
        until("the node answers", PATIENCE, async || node.connection()).await;
        node
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn connection(&self) -> Option<redis::Connection> {
        redis::Client::open(self.url()).expect("a URL").get_connection().ok()
    }

    /// Waits until all slots are served.
    async fn is_whole(&self) {
        until("the cluster is whole", PATIENCE, async || {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut self.connection()?).ok()?;
            info.contains("cluster_state:ok").then_some(())
        })
        .await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A cluster of one node. It refuses commands and scripts with keys of different slots, as any does.
async fn alone() -> Node {
    let node = Node::start().await;
    let mut connection = node.connection().expect("it answers");
    let _: () = redis::cmd("CLUSTER").arg(&["ADDSLOTSRANGE", "0", "16383"]).query(&mut connection).unwrap();
    node.is_whole().await;
    let refused: Result<i64, _> =
        redis::cmd("EVAL").arg(&["return 1", "2", "one", "another"]).query(&mut connection);
    assert!(refused.unwrap_err().to_string().contains("slot"), "it watches over slots");
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_keep_to_one_slot() {
    let node = alone().await;
    let fixture = OnRedis(RedisLeases::with_patience(connect(&node.url()), Duration::ZERO));
    leases::one_of_many_at_once_gets_it(&fixture).await;
    leases::random_histories_follow_the_model(&fixture).await;
    leases::only_the_holder_releases(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_keep_to_one_slot_for_each_upstream() {
    let node = alone().await;
    quotas::tenants_and_models_have_limits(&Fleets::on(&node.url())).await;
    quotas::a_failing_upstream_is_left_alone(&Fleets::on(&node.url())).await;
    quotas::places_are_given_by_priority(&Fleets::on(&node.url())).await;
    quotas::places_are_found(&Fleets::on(&node.url())).await;
    quotas::what_answers_state_is_a_limit(&Fleets::on(&node.url())).await;
    quotas::who_sleeps_hears_of_a_pause(&Fleets::on(&node.url())).await;
    quotas::reports_name_all_upstreams(&Fleets::on(&node.url())).await;
    the_keys_of_an_upstream_share_a_slot(&node);
}

/// By the server's own reckoning, of the keys that the checks have left.
fn the_keys_of_an_upstream_share_a_slot(node: &Node) {
    let mut connection = node.connection().expect("it answers");
    let keys: Vec<String> = connection.keys("{*").unwrap();
    assert!(keys.iter().any(|key| key.ends_with(":quota")) && keys.iter().any(|key| key.ends_with(":parts")));
    let mut slot = |key: &str| -> i64 {
        redis::cmd("CLUSTER").arg(&["KEYSLOT", key]).query(&mut connection).expect("a slot")
    };
    for key in &keys {
        let (tag, _) = key.split_once('}').expect("a hash tag");
        assert_eq!(slot(key), slot(&format!("{tag}}}:quota")), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_several_nodes_is_refused_with_what_to_do() {
    let nodes = [Node::start().await, Node::start().await, Node::start().await];
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    let created = create.arg("--cluster-yes").output().expect("redis-cli is there");
    assert!(created.status.success(), "{created:?}");
    for node in &nodes {
        node.is_whole().await;
    }
    let redis = connect(&nodes[0].url());
    let says_so = |error: &PortError| {
        let said = error.to_string();
        assert!(said.contains("is a node of a cluster") && said.contains("without cluster mode"), "{said}");
    };
    says_so(&redis.examine().await.unwrap_err());

    let quotas = RedisQuotas::new(redis, std::collections::BTreeMap::new());
    let mut refused = 0;
    // Of so many upstreams some are elsewhere.
    for number in 0..20 {
        let upstream = format!("api-{number}");
        if let Err(error) = quotas.pause(&upstream, Duration::from_millis(1), "a test").await {
            says_so(&error);
            refused += 1;
        }
    }
    assert!(refused > 0);
}
