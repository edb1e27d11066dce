//! The `OpenAPI` document tells of every route, and holds together.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::fixture::Site;

const ROUTES: [(&str, &str); 16] = [
    ("post", "/v1/runs"),
    ("get", "/v1/runs"),
    ("get", "/v1/runs/{run}"),
    ("get", "/v1/runs/{run}/jobs"),
    ("get", "/v1/runs/{run}/results"),
    ("get", "/v1/runs/{run}/facts"),
    ("get", "/v1/runs/{run}/events"),
    ("post", "/v1/runs/{run}/cancel"),
    ("post", "/v1/jobs"),
    ("get", "/v1/jobs/{job}"),
    ("post", "/v1/jobs/{job}/cancel"),
    ("get", "/v1/jobs/{job}/explain"),
    ("get", "/v1/upstreams"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/openapi.json"),
];

async fn document(site: &Site) -> Value {
    site.request(Method::GET, "/openapi.json").send().await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn every_route_is_in_it_and_nothing_else() {
    let site = Site::start().await;
    let document = document(&site).await;
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            found.insert((method.clone(), path.clone()));
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{method} {path}"
            );
            assert!(
                operation["responses"].as_object().expect("answers").len()
                    > usize::from(path.starts_with("/v1/")),
                "{path}"
            );
            let url = path.replace("{run}", ID).replace("{job}", ID);
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = site.request(method, &url).send().await.expect("an answer");
            let expected = if path.starts_with("/v1/") { 401 } else { 200 };
            assert_eq!(answer.status(), expected, "{path} is served, and asks for a key where it must");
        }
    }
    assert_eq!(found, ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned())).into());
}

const ID: &str = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001";

#[tokio::test]
async fn all_references_lead_somewhere_and_examples_are_there() {
    let document = document(&Site::start().await).await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a place in this document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let schemas = &document["components"]["schemas"];
    for name in ["JobRequest", "Problem", "JobProblem"] {
        assert!(schemas[name]["example"].is_object(), "{name}: {}", schemas[name]);
    }
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
}

#[tokio::test]
async fn every_answer_is_described() {
    let document = document(&Site::start().await).await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                let described = answer["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(described, "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test]
async fn refusals_of_parameters_and_bodies_are_in_it() {
    let document = document(&Site::start().await).await;
    for (method, path, statuses) in [
        ("get", "/v1/runs", vec!["400"]),
        ("get", "/v1/runs/{run}/jobs", vec!["400"]),
        ("get", "/v1/runs/{run}/results", vec!["400"]),
        ("get", "/v1/runs/{run}/facts", vec!["400"]),
        ("post", "/v1/runs", vec!["400", "408", "413", "415", "422"]),
        ("post", "/v1/jobs", vec!["400", "408", "413", "415", "422"]),
    ] {
        for status in statuses {
            let answer = &document["paths"][path][method]["responses"][status];
            assert!(answer["content"]["application/problem+json"].is_object(), "{method} {path} {status}");
        }
    }
}

#[tokio::test]
async fn every_listing_has_pages() {
    let document = document(&Site::start().await).await;
    for (path, most) in [
        ("/v1/runs", 1_000),
        ("/v1/runs/{run}/jobs", 1_000),
        ("/v1/runs/{run}/results", 200),
        ("/v1/runs/{run}/facts", 200),
    ] {
        let parameters = &document["paths"][path]["get"]["parameters"];
        let names: Vec<_> = parameters.as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&"after".into()) && names.contains(&&"limit".into()), "{path}: {names:?}");
        let limit = parameters.as_array().expect("a list").iter().find(|one| one["name"] == "limit");
        let schema = &limit.expect("it is there")["schema"];
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(most)), "{path}");
    }
}

#[tokio::test]
async fn the_example_of_a_job_is_accepted() {
    let site = Site::start().await;
    let document = document(&site).await;
    site.submit(&document["components"]["schemas"]["JobRequest"]["example"]).await;
}

#[tokio::test]
async fn schemas_are_as_narrow_and_as_wide_as_the_intake() {
    let document = document(&Site::start().await).await;
    let body = &document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    let reference = body["$ref"].as_str().expect("a reference");
    let body = document.pointer(&reference[1..]).expect("a place in this document");
    assert_eq!(body["oneOf"].as_array().map(Vec::len), Some(2), "{body}");
    let schemas = &document["components"]["schemas"];
    let job = &schemas["JobRequest"];
    assert_eq!(job["additionalProperties"], false);
    for (field, least, most) in [
        ("priority", i64::from(i16::MIN), i64::from(i16::MAX)),
        ("max_attempts", 1, 100),
        ("deadline_seconds", 1, 31_622_400),
        ("fresh_for_seconds", 0, 31_622_400),
    ] {
        let schema = &job["properties"][field];
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(least), &json!(most)), "{field}");
    }
    assert_eq!(schemas["RunView"]["properties"]["notes"]["type"], json!(["object", "null"]));
    assert!(schemas["ResultRow"]["properties"]["output"].get("type").is_none());
    assert_eq!(schemas["Problem"]["properties"]["column"]["minimum"], 0);
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
