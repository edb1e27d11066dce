//! How well fingerprints find the true templates of public log sets.
//!
//! `cargo nextest run --workspace -E 'test(true_templates)' --no-capture` prints the table;
//! with `FLEETLINE_TEMPLATES=1` every line's template, too.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fleetline_producer::logs::{LogEvent, LogOptions, fingerprint, fingerprint_events};

const SETS: [&str; 4] = ["Apache", "HDFS", "Hadoop", "Zookeeper"];
/// Fingerprints for each true template: more cost calls, fewer hide problems.
const RATIO: std::ops::RangeInclusive<f64> = 0.9..=1.3;
/// Share of lines in a group whose majority has another template.
const FOREIGN: f64 = 0.005;

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("FLEETLINE_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    Some(shared.join("data/logs")).filter(|folder| folder.is_dir())
}

/// One line: its template's id and its fingerprint.
type Line = (String, String);

/// The fingerprints of the messages alone, without their loggers.
fn of_contents(csv: &Path) -> Vec<Line> {
    let mut reader = csv::Reader::from_path(csv).unwrap();
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (content, id) = (column("Content"), column("EventId"));
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let event = LogEvent { message: row[content].to_owned(), ..LogEvent::default() };
        (row[id].to_owned(), fingerprint(&event).fingerprint.to_string())
    });
    rows.collect()
}

/// The fingerprints that a run gives, line by line; a joined line has its event's.
fn of_raw(log: &Path, ids: &[Line]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut sink = |event: fleetline_producer::logs::EventPrint| {
        for line in event.lines.first..=event.lines.last {
            let id = ids[usize::try_from(line).unwrap() - 1].0.clone();
            lines.push((id, event.fingerprint.to_string()));
        }
        if std::env::var_os("FLEETLINE_TEMPLATES").is_some() {
            println!("{}\t{}\t{}", lines.last().unwrap().0, event.logger, event.template);
        }
        ControlFlow::Continue(())
    };
    let report = fingerprint_events(File::open(log).unwrap(), &LogOptions::default(), &mut sink).unwrap();
    assert_eq!(report.lines, report.event_lines + report.joined_lines + report.blank_lines);
    assert_eq!(lines.len(), ids.len(), "every line of {} is in one event", log.display());
    lines
}

struct Measure {
    fingerprints: usize,
    templates: usize,
    foreign: usize,
    lines: usize,
}

impl Measure {
    fn of(lines: &[Line]) -> Self {
        let mut groups: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        for (id, print) in lines {
            *groups.entry(print).or_default().entry(id).or_default() += 1;
        }
        let foreign =
            groups.values().map(|ids| ids.values().sum::<usize>() - ids.values().max().unwrap_or(&0)).sum();
        let templates = lines.iter().map(|(id, _)| id).collect::<HashSet<_>>().len();
        Self { fingerprints: groups.len(), templates, foreign, lines: lines.len() }
    }

    fn ratio(&self) -> f64 {
        self.fingerprints as f64 / self.templates as f64
    }

    fn foreign_share(&self) -> f64 {
        self.foreign as f64 / self.lines as f64
    }
}

#[test]
fn true_templates_are_found() {
    let Some(folder) = folder() else {
        eprintln!("skipped: no shared data; set FLEETLINE_SHARED");
        return;
    };
    println!("| set | read | lines | templates | fingerprints | ratio | foreign lines |");
    println!("|---|---|---|---|---|---|---|");
    let mut misses = Vec::new();
    for set in SETS {
        let contents = of_contents(&folder.join(format!("{set}_2k.log_structured.csv")));
        let raw = of_raw(&folder.join(format!("{set}_2k.log")), &contents);
        for (name, lines) in [("messages", &contents), ("raw log", &raw)] {
            let measure = Measure::of(lines);
            let (ratio, foreign) = (measure.ratio(), measure.foreign_share());
            println!(
                "| {set} | {name} | {} | {} | {} | {ratio:.2} | {:.2} % |",
                measure.lines,
                measure.templates,
                measure.fingerprints,
                foreign * 100.0
            );
            if !RATIO.contains(&ratio) || foreign > FOREIGN {
                misses.push(format!("{set}, {name}: ratio {ratio:.2}, foreign {foreign:.4}"));
            }
        }
    }
    assert!(misses.is_empty(), "out of bounds: {misses:#?}");
}
