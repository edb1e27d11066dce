//! A large document in little memory. Run with `--ignored`; `FLEETLINE_BIG_MB` sets the size.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::time::Instant;

use fleetline_producer::pipelines::split_xml;

use super::{concat, options, template};

/// An order list that is made while it is read.
struct Orders {
    bytes_left: u64,
    number: u64,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Orders {
    fn new(bytes: u64) -> Self {
        let head = b"<?xml version=\"1.0\"?>\n<o:Orders xmlns:o=\"urn:orders\">\n".to_vec();
        Self { bytes_left: bytes, number: 0, chunk: head, at: 0, ended: false }
    }

    fn refill(&mut self) {
        self.at = 0;
        self.chunk.clear();
        if self.bytes_left == 0 {
            if !std::mem::replace(&mut self.ended, true) {
                self.chunk.extend_from_slice(b"</o:Orders>\n");
            }
            return;
        }
        self.number += 1;
        let number = self.number;
        let lines = concat(number % 7 + 1, |line| {
            format!(
                "    <o:Line LineID=\"L{number}-{line}\"><o:ProductRef>PR{}</o:ProductRef>\
                     <o:Quantity>{line}</o:Quantity><o:Price Currency=\"EUR\">{number}.{line}0</o:Price>\
                     <o:Text>Grüße &amp; more</o:Text></o:Line>\n",
                number % 1_000
            )
        });
        let order = format!(
            "  <o:Order OrderID=\"O{number}\" Status=\"open\">\n    <o:Customer><o:Name>N{number}</o:Name></o:Customer>\n{lines}  </o:Order>\n"
        );
        self.bytes_left = self.bytes_left.saturating_sub(order.len() as u64);
        self.chunk.extend_from_slice(order.as_bytes());
    }
}

impl Read for Orders {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.refill();
        }
        let length = out.len().min(self.chunk.len() - self.at);
        out[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// The most memory this process ever had, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[test]
#[ignore = "takes a minute"]
fn a_large_document_needs_little_memory() {
    let mib = std::env::var("FLEETLINE_BIG_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let begun = Instant::now();
    let mut jobs = 0;
    let open = || -> io::Result<Box<dyn Read>> { Ok(Box::new(Orders::new(mib * 1024 * 1024))) };
    let report = split_xml(open, "big.xml", &options(20 * 1024), &template("openai"), &mut |_| {
        jobs += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    let (seconds, memory) = (begun.elapsed().as_secs_f64(), peak_memory());
    eprintln!(
        "{mib} MiB, {} elements, {jobs} jobs: {seconds:.1} s for both readings, {memory} MiB at most\n{}",
        report.elements, report.tree
    );
    assert_eq!(report.elements, report.elements_in_jobs);
    assert!(memory < 64, "{memory} MiB");
}
