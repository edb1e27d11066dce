//! The pipeline `discovery`: an XML document becomes jobs of kind `node.extract`.

use std::io::{self, Read};
use std::ops::ControlFlow;

use fleetline_shared::domain::{Estimate, NewJob, NodeArgs, Source};
use fleetline_shared::rules::dedup_key;

use super::JobTemplate;
use crate::discovery::{self, DiscoveryOptions, Piece, XmlError, XmlReport, estimate_tokens};

/// Name of the kind that takes these jobs.
pub(super) const KIND: &str = "node.extract";

/// Splits the document and hands its jobs to `sink`, until that breaks.
///
/// `open` is called for each of two readings (and once more to find the line of a fault). `input`
/// is the document's name as the user gave it. Jobs of one document come with the same numbers in
/// every run with the same options, though not in the order of these numbers.
pub fn split_xml(
    open: impl Fn() -> io::Result<Box<dyn Read>>,
    input: &str,
    options: &DiscoveryOptions,
    template: &JobTemplate,
    sink: &mut dyn FnMut(NewJob) -> ControlFlow<()>,
) -> Result<XmlReport, XmlError> {
    discovery::split(&open, options, &mut |piece| sink(job(piece, input, template)))
}

fn job(piece: Piece, input: &str, template: &JobTemplate) -> NewJob {
    let analyser = &template.analyser;
    // A model sees the XML alone. The built-in rules also use the context, so their answer to the
    // same XML may differ from one document to the next.
    let context = if template.is_builtin() {
        serde_json::to_string(&piece.context).expect("a context is plain data")
    } else {
        String::new()
    };
    let model = analyser.model.as_deref().unwrap_or("");
    let dedup_key = dedup_key(KIND, [&*analyser.name, model, &*analyser.version, &*piece.xml, &*context]);
    let estimate = Estimate {
        input_tokens: estimate_tokens(piece.xml.len() as u64) + template.prompt_tokens,
        output_tokens: template.output_tokens,
    };
    let source = Source::Node { input: input.to_owned(), path: piece.path.clone(), ordinal: piece.ordinal };
    let args = NodeArgs {
        analyser: analyser.clone(),
        node_type: piece.node_type,
        path: piece.path,
        ordinal: piece.ordinal,
        shape: piece.shape,
        ancestors: piece.ancestors,
        xml: piece.xml,
        context: piece.context,
    };
    NewJob {
        seq: Some(piece.ordinal - 1),
        kind: KIND.to_owned(),
        args: serde_json::value::to_raw_value(&args).expect("args are plain data"),
        dedup_key,
        priority: 0,
        upstream: template.upstream(),
        estimate,
        source,
        occurrences: 1,
        max_attempts: template.max_attempts,
        deadline: template.deadline,
        fresh_for: template.fresh_for,
    }
}
