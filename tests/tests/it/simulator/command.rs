//! `fleetline simulate` as a process.

use std::io::{BufRead, BufReader};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::harness::Place;

#[tokio::test]
async fn the_address_is_the_first_line_and_the_end_is_in_order() {
    let place = Place::new();
    // Settings of others are not its own.
    place.write("fleetline.toml", "[worker]\nconcurrency = 'many'\n");
    let mut child = place
        .command(&["simulate", "--listen", "127.0.0.1:0", "--requests", "1/h", "--fault", "1h.. hang"])
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let url = line.trim_end();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let healthy = reqwest::get(format!("{url}/healthz")).await.expect("it answers");
    assert_eq!(healthy.text().await.expect("a text"), "ok\n");
    let client = reqwest::Client::new();
    for expected in [200, 429] {
        let answer = client.post(format!("{url}/v1/echo")).body("{}").send().await.expect("an answer");
        assert_eq!(answer.status(), expected);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it still runs");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn wrong_flags_are_explained() {
    let place = Place::new();
    place.write("faults.txt", "0s.. hang\n0s.. what\n");
    for (args, part) in [
        (&["--requests", "500"][..], "write an amount per window"),
        (&["--latency", "fast"], "write one like these"),
        (&["--fault", "outage"], "it begins with no FROM..UNTIL"),
        (&["--script", "faults.txt"], "line 2"),
        (&["--script", "nowhere.txt"], "nowhere.txt"),
        (&["--burst", "1s"], "--burst is for --limiter token-bucket"),
        (&["--ledger-limit", "0"], "a whole number from 1"),
    ] {
        let args: Vec<_> = ["simulate", "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
        place.run(&args).exits(2).says(&[part]);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    place.run(&["simulate", "--listen", &address]).exits(1).says(&["cannot listen on", "another --listen"]);
}
