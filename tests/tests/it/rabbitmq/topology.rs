//! Making the topology, and seeing what differs from it.

use fleetline_shared::domain::Finding;
use fleetline_shared::ports::Broker;
use fleetline_shared::rabbitmq::RabbitBroker;
use fleetline_shared::rabbitmq::topology::{self, Management, Topology, apply, check};
use fleetline_tests::services::Vhost;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::harness::Place;

use super::world::{World, delete_queue, limits, line, manage, management, message, options};

fn wanted() -> Topology {
    Topology { kinds: vec![line(0), line(1)], limits: limits() }
}

async fn findings(vhost: &Vhost) -> Vec<Finding> {
    check(&options(&vhost.url), Some(&management(vhost)), &wanted()).await.expect("it can be checked")
}

fn one(findings: &[Finding], subject: &str, problem: &str) {
    let found = findings.iter().any(|it| it.subject.contains(subject) && it.problem.contains(problem));
    assert!(found, "`{problem}` of {subject} is not among {findings:#?}");
}

#[tokio::test]
async fn an_empty_broker_misses_everything_and_apply_makes_it() {
    let vhost = Vhost::new().await;
    let before = findings(&vhost).await;
    assert_eq!(before.len(), 3 + 3 + 2, "{before:#?}");
    assert!(before.iter().all(|finding| finding.remedy.contains("topology apply")), "{before:#?}");
    for _ in 0..2 {
        apply(&options(&vhost.url), &management(&vhost), &wanted()).await.unwrap();
        assert_eq!(findings(&vhost).await, []);
    }
    let blind = check(&options(&vhost.url), None, &wanted()).await.unwrap();
    assert_eq!(blind.len(), 1, "{blind:#?}");
    one(&blind, "policies", "not checked");
    vhost.remove().await;
}

#[tokio::test]
async fn what_drifted_is_found_and_put_right() {
    let world = World::new().await;
    let (vhost, name) = (world.vhost(), &world.vhost().name);
    assert_eq!(findings(vhost).await, []);
    // A policy of someone else hides ours, a binding and a queue are gone, a queue is classic.
    let other = json!({ "pattern": "^fleetline.jobs.line-0$", "definition": { "max-length": 5 },
                        "priority": 99, "apply-to": "queues" });
    manage(vhost, Method::PUT, &format!("policies/{name}/mine"), other).await;
    let binding = format!("bindings/{name}/e/fleetline.dead/q/fleetline.dead.crashed/crashed");
    manage(vhost, Method::DELETE, &binding, Value::Null).await;
    delete_queue(&world, &line(1)).await;
    manage(vhost, Method::DELETE, &format!("queues/{name}/fleetline.submit"), Value::Null).await;
    manage(vhost, Method::PUT, &format!("queues/{name}/fleetline.submit"), json!({ "durable": true })).await;
    let found = findings(vhost).await;
    one(&found, "fleetline.jobs.line-0", "`max-length` is 5, not 1000000 (policy \"mine\")");
    one(&found, "fleetline.jobs.line-0", "`dead-letter-exchange` is not set");
    let hidden = found.iter().find(|it| it.problem.contains("(policy \"mine\")")).expect("seen above");
    assert!(hidden.remedy.contains("give policy \"mine\" a priority below 10"), "{hidden:?}");
    one(&found, "fleetline.dead.crashed", "not bound");
    one(&found, "fleetline.jobs.line-1", "missing");
    one(&found, "fleetline.submit", "classic");

    let error = apply(&options(&vhost.url), &management(vhost), &wanted()).await.unwrap_err();
    assert!(
        error.to_string().contains("fleetline.submit") && error.to_string().contains("topology check"),
        "{error}"
    );
    manage(vhost, Method::DELETE, &format!("queues/{name}/fleetline.submit"), Value::Null).await;
    manage(vhost, Method::DELETE, &format!("policies/{name}/mine"), Value::Null).await;
    apply(&options(&vhost.url), &management(vhost), &wanted()).await.unwrap();
    assert_eq!(findings(vhost).await, []);
}

/// Also for people: a broker that does not do as it is told is no success.
#[tokio::test]
async fn a_hidden_policy_is_no_success_of_apply() {
    let vhost = Vhost::new().await;
    let other = json!({ "pattern": "^fleetline", "definition": { "max-length": 5 }, "priority": 50,
                        "apply-to": "queues" });
    manage(&vhost, Method::PUT, &format!("policies/{}/a-mine", vhost.name), other).await;
    let place = Place::new()
        .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
        .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &vhost.management);
    let remedy = "give policy \"a-mine\" a priority below 10, or delete it";
    let topology = |action: &str| place.run(&["topology", action]);
    topology("apply").exits(1).prints(&["`delivery-limit` is not set", remedy]).says(&["still differs"]);
    topology("check").exits(1).prints(&[remedy]);
    manage(&vhost, Method::DELETE, &format!("policies/{}/a-mine", vhost.name), Value::Null).await;
    topology("apply").exits(0).prints(&["the broker is set up"]);
    vhost.remove().await;
}

/// Workers of a locked-down broker may read and write, and configure nothing.
#[tokio::test]
async fn a_user_who_may_not_configure_works_and_checks() {
    let world = World::new().await;
    let vhost = world.vhost();
    let user = format!("u-{}", vhost.name);
    let password = json!({ "password": "s3cret", "tags": "management" });
    manage(vhost, Method::PUT, &format!("users/{user}"), password).await;
    let permissions = json!({ "configure": "^$", "write": ".*", "read": ".*" });
    manage(vhost, Method::PUT, &format!("permissions/{}/{user}", vhost.name), permissions).await;
    let as_user = |url: &str| url.replace("guest:guest", &format!("{user}:s3cret"));
    let options = options(&as_user(&vhost.url));
    let management = Management::new(as_user(&vhost.management), None).unwrap();
    assert_eq!(check(&options, Some(&management), &wanted()).await.unwrap(), []);
    let refused = apply(&options, &management, &wanted()).await.unwrap_err().to_string();
    assert!(refused.contains("policymaker") && !refused.contains("s3cret"), "{refused}");

    let broker = RabbitBroker::new(&options).unwrap();
    broker.publish(vec![message(&line(0), 1)]).await.remove(0).unwrap();
    let mut consumer = broker.consume(&line(0), 1).await.unwrap();
    consumer.next().await.unwrap().unwrap().ack().await.unwrap();
    let unknown = broker.consume("unknown", 1).await.err().expect("it cannot be declared");
    assert!(unknown.to_string().contains("topology apply"), "{unknown}");
    let unroutable = broker.publish(vec![message("unknown", 1)]).await.remove(0).unwrap_err();
    assert!(unroutable.to_string().contains("topology apply"), "{unroutable}");
    manage(vhost, Method::DELETE, &format!("users/{user}"), Value::Null).await;
}

/// Everything is there, and yet no process could work.
#[tokio::test]
async fn a_user_without_rights_is_told_of() {
    let world = World::new().await;
    let vhost = world.vhost();
    let user = format!("u-{}", vhost.name);
    let may = async |write: &str, read: &str| {
        let permissions = json!({ "configure": "^$", "write": write, "read": read });
        manage(vhost, Method::PUT, &format!("permissions/{}/{user}", vhost.name), permissions).await;
    };
    let tags = json!({ "password": "s3cret", "tags": "management" });
    manage(vhost, Method::PUT, &format!("users/{user}"), tags).await;
    let as_user = |url: &str| url.replace("guest:guest", &format!("{user}:s3cret"));
    let options = options(&as_user(&vhost.url));
    let seen_by = async |url: &str| {
        let management = Management::new(url, None).unwrap();
        topology::rights(&options, &management, &wanted()).await.unwrap()
    };

    may("^fleetline\\.", "^fleetline\\.").await;
    assert_eq!(seen_by(&vhost.management).await, Some(Vec::new()));
    may("jobs", "^$").await;
    let found = seen_by(&vhost.management).await.expect("an administrator sees it");
    one(&found, "permissions", "may not write fleetline.dead, fleetline.events");
    one(
        &found,
        "permissions",
        "may not read fleetline.dead.crashed, fleetline.submit, fleetline.jobs.line-0",
    );
    assert!(found[0].remedy.contains("rabbitmqctl set_permissions"), "{found:?}");
    assert_eq!(seen_by(&as_user(&vhost.management)).await, None, "not for others to see");

    let place = Place::new()
        .env("FLEETLINE_RABBITMQ__URL", &as_user(&vhost.url))
        .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &vhost.management);
    place.run(&["doctor"]).exits(1).prints(&["policies, rights", "the user may not read"]);
    let place = place.env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &as_user(&vhost.management));
    place.run(&["doctor"]).exits(1).prints(&["not the user's rights"]);
    manage(vhost, Method::DELETE, &format!("users/{user}"), Value::Null).await;
}

#[tokio::test]
async fn a_missing_virtual_host_is_named() {
    let vhost = Vhost::new().await;
    let elsewhere = vhost.url.replace(&vhost.name, "nowhere");
    let error = apply(&options(&elsewhere), &management(&vhost), &wanted()).await.unwrap_err().to_string();
    for part in ["no virtual host `nowhere`", "rabbitmqctl add_vhost nowhere", "rabbitmq.url"] {
        assert!(error.contains(part), "{error}");
    }
    vhost.remove().await;
}

/// `deploy/rabbitmq/definitions.json` is what `apply` makes. `FLEETLINE_WRITE_DEFINITIONS=1` writes it anew.
#[test]
fn the_definitions_file_is_what_apply_makes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rabbitmq/definitions.json");
    let wanted = topology::definitions(&Topology::default(), "/");
    if std::env::var_os("FLEETLINE_WRITE_DEFINITIONS").is_some() {
        std::fs::write(file, format!("{wanted:#}\n")).unwrap();
    }
    let found: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(found, wanted, "run this test with FLEETLINE_WRITE_DEFINITIONS=1");
}

/// A broker that imports the file misses nothing but the lines.
#[tokio::test]
async fn a_broker_takes_the_definitions() {
    let vhost = Vhost::new().await;
    let standard = Topology::default();
    let definitions = topology::definitions(&standard, &vhost.name);
    manage(&vhost, Method::POST, &format!("definitions/{}", vhost.name), definitions).await;
    let found = check(&options(&vhost.url), Some(&management(&vhost)), &standard).await.unwrap();
    assert_eq!(found, []);
    vhost.remove().await;
}
