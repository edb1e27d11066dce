//! Time from start to end of a run whose calls all take the same time, beside the ideal: as many
//! rounds as it takes, each as long as one call.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleetline_tests::openai_stub::OpenAiStub;

const LATENCY: Duration = Duration::from_millis(300);
const ROUNDS: usize = 3;

pub(crate) fn print() {
    println!("makespan with calls of {} ms, median of {ROUNDS}", LATENCY.as_millis());
    one("23 nodes, 10 at once", "order.xml", &nodes(22), 23, 10);
    one("100 logs, 5 at once", "app.log", &logs(100), 100, 5);
}

fn one(name: &str, file: &str, input: &str, calls: usize, concurrency: usize) {
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| seconds(file, input, calls, concurrency)).collect();
    times.sort_by(f64::total_cmp);
    let ideal = calls.div_ceil(concurrency) as f64 * LATENCY.as_secs_f64();
    let measured = times[ROUNDS / 2];
    println!("  {name:22} {measured:>6.3} s, ideal {ideal:>6.3} s, ratio {:.3}", measured / ideal);
}

/// One run of the program, from its start to its end.
fn seconds(file: &str, input: &str, calls: usize, concurrency: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(file), input).expect("an input");
    let stub = OpenAiStub::with_latency(LATENCY);
    let started = Instant::now();
    let status = command(folder.path(), file, &stub.base_url(), concurrency).status().expect("it starts");
    let seconds = started.elapsed().as_secs_f64();
    assert!(status.success(), "{status}");
    assert_eq!(stub.call_count(), calls, "the input makes as many calls as planned");
    seconds
}

fn command(folder: &Path, file: &str, base_url: &str, concurrency: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetline-under-test"));
    command
        .current_dir(folder)
        .args(["run", file, "--quiet", "--concurrency", &concurrency.to_string()])
        .env("OPENAI_BASE_URL", base_url)
        .env("OPENAI_API_KEY", "a-key")
        .stdout(Stdio::null());
    command
}

/// So many items, and the skeleton around them as one more node.
fn nodes(items: usize) -> String {
    let mut xml = String::from("<Order OrderID='O1'>");
    for n in 0..items {
        write!(xml, "<Item><Name>thing {n}</Name><Price><Total>{n}.50</Total></Price></Item>")
            .expect("a string takes text");
    }
    xml + "</Order>"
}

/// So many lines that are all different problems.
fn logs(lines: usize) -> String {
    const WORDS: [&str; 10] =
        ["apple", "brick", "cloud", "drum", "eagle", "forge", "grape", "house", "iron", "jade"];
    let mut log = String::new();
    for n in 0..lines {
        let (one, other) = (WORDS[n / 10 % 10], WORDS[n % 10]);
        writeln!(log, "2026-01-01 10:00:00,000 ERROR [main] shop.Orders: the {one} fails at the {other}")
            .expect("a string takes text");
    }
    log
}
