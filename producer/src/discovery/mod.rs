//! Cuts an XML document into pieces for one call each, reading it twice as a stream.
//!
//! 1. [`profile`] reads and checks all of it: sizes, repetition, ids, which parts are usual.
//! 2. [`plan`] decides for each path whether its elements are nodes.
//! 3. [`cutter`] reads again and sends pieces: whole nodes ([`unit`]), and what stays of the
//!    elements around them ([`residue`]). Every element belongs to exactly one piece.
//!
//! Memory does not grow with the document, but for two bits an element, and what [`paths`] and
//! [`ids`] hold, which is capped. `docs/discovery.md` explains the split to its users.

mod canonical;
mod checks;
mod context;
mod cutter;
mod error;
mod frame;
mod ids;
mod input;
mod marks;
mod names;
mod options;
mod paths;
mod pattern;
mod piece;
mod plan;
mod profile;
mod reader;
mod render;
mod report;
mod residue;
mod tag;
mod tree;
mod unit;
mod words;

use std::io::{self, Read};
use std::ops::ControlFlow;

use cutter::{Cutter, Stop};
use frame::{Env, Siblings};
use piece::{Fate, Output};
use plan::Plan;
use profile::Profile;
use reader::XmlReader;

pub use error::{Place, XmlError};
pub use options::{DiscoveryOptions, NodeRule, OnMalformed};
pub use pattern::PathPattern;
pub use piece::{Piece, estimate_tokens};
pub use report::{SkippedNode, XmlReport};
pub use tree::{SplitTree, TreeNode, TreeRow};

/// Cuts a document into pieces.
///
/// `open` is called once for each of the two readings, and once more if a fault's line must be
/// found; wrap its reader to see progress. Pieces come in the order in which they end; their
/// ordinals count in document order, without gaps, and are the same in every run.
pub fn split(
    open: &dyn Fn() -> io::Result<Box<dyn Read>>,
    options: &DiscoveryOptions,
    sink: &mut dyn FnMut(Piece) -> ControlFlow<()>,
) -> Result<XmlReport, XmlError> {
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(XmlError::Options(problems));
    }
    let profile = profile::profile(open, options)?;
    let mut report = start_report(&profile);
    let plan = Plan::new(&profile.paths, &profile.names, options);
    let Profile { names, paths, ids, marks, error, .. } = profile;
    let siblings = Siblings::new(paths.ids().len());
    let env = Env { names, paths, plan, ids, marks, siblings, options, out: Output::new(sink) };
    let text =
        open().map_err(XmlError::Io).and_then(|raw| input::utf8(raw).map_err(|_| XmlError::Changed))?;
    let mut cutter = Cutter::new(env);
    match (cutter.run(&mut XmlReader::new(text, options)), error) {
        (Ok(()), None) => {}
        (Err(Stop::Enough), _) => report.stopped = true,
        (Err(Stop::Fault), Some(error)) => {
            cutter.break_off();
            report.error = Some(error.to_string());
        }
        (Err(Stop::Error(error)), _) => return Err(error),
        (Ok(()), Some(_)) | (Err(Stop::Fault), None) => return Err(XmlError::Changed),
    }
    report.elements_lost = cutter.lost;
    finish_report(&mut report, &cutter.env);
    Ok(report)
}

fn start_report(profile: &Profile) -> XmlReport {
    let mut report = XmlReport {
        bytes: profile.bytes,
        elements: profile.elements,
        comments: profile.comments,
        instructions: profile.instructions,
        depth: profile.depth,
        ..XmlReport::default()
    };
    if profile.ids.left_out > 0 {
        let left_out = profile.ids.left_out;
        report.notes.push(format!(
            "{left_out} ids were not remembered (discovery.max_ids), so references to them are not resolved"
        ));
    }
    report
}

fn finish_report(report: &mut XmlReport, env: &Env<'_>) {
    let mut skipped = vec![(0, 0); env.options.node.len()];
    for ((_, fate), sums) in &env.out.sums {
        match fate {
            Fate::Job(_) => {
                report.jobs += sums.pieces;
                report.elements_in_jobs += sums.elements;
                report.job_bytes += sums.bytes;
            }
            Fate::Skipped(rule) => {
                report.elements_skipped += sums.elements;
                skipped[*rule].0 += sums.pieces;
                skipped[*rule].1 += sums.elements;
            }
        }
    }
    for (number, (nodes, elements)) in skipped.into_iter().enumerate() {
        let rule = &env.options.node[number];
        let (pattern, name) = (rule.pattern.to_string(), rule.name.clone());
        if !env.plan.uses(number) {
            report.notes.push(format!("node pattern {pattern} decides nothing in this document"));
        } else if !rule.enabled {
            report.skipped.push(SkippedNode { pattern, name, nodes, elements });
        }
    }
    report.tree = SplitTree::new(&env.out.sums, &env.paths, &env.names, env.options);
}
