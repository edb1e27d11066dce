//! The example publishers, run as a user would.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::outside::Outside;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_example_gets_its_answer() {
    let Some(libraries) = python_libraries() else { return };
    accepted_by(move |url| {
        let mut python = Command::new("python3");
        python
            .env("PYTHONPATH", &libraries)
            .arg(examples().join("python/submit.py"))
            .args([url, "from Python"]);
        python
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_example_gets_its_answer() {
    let Some(folder) = node_folder() else { return };
    accepted_by(move |url| {
        let mut node = Command::new("node");
        node.arg(folder.join("submit.mjs")).args([url, "from Node"]);
        node
    })
    .await;
}

async fn accepted_by(command: impl FnOnce(&str) -> Command) {
    let outside = Outside::new().await;
    let mut command = command(&outside.url);
    let output = spawn_blocking(move || command.output().expect("it starts")).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_str(text.trim()).expect("an answer in JSON");
    assert_eq!(answer["accepted"]["jobs"][0]["state"], "ready", "{answer}");
    let run = answer["accepted"]["run_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(outside.ledger.run(run).await.unwrap().unwrap().counts.jobs, 1);
    outside.end().await;
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// A place that outlives the test, so that libraries are fetched once.
fn cache(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("examples").join(name)
}

/// Installs pika, unless it is there. Without Python or its registry there is nothing to test.
fn python_libraries() -> Option<PathBuf> {
    let folder = cache("python");
    if folder.join("pika").is_dir() {
        return Some(folder);
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&folder).arg("pika");
    installed(pip).then_some(folder)
}

/// A copy of the example with its libraries.
fn node_folder() -> Option<PathBuf> {
    let folder = cache("node");
    std::fs::create_dir_all(&folder).ok()?;
    for file in ["submit.mjs", "package.json"] {
        std::fs::copy(examples().join("node").join(file), folder.join(file)).ok()?;
    }
    if folder.join("node_modules/amqplib").is_dir() {
        return Some(folder);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder);
    installed(npm).then_some(folder)
}

fn installed(mut command: Command) -> bool {
    let output = command.output();
    let done = output.as_ref().is_ok_and(|output| output.status.success());
    if !done {
        eprintln!("not tested: {command:?} did not work: {output:?}");
    }
    done
}
