//! The pipeline `discovery`: an XML document becomes jobs of kind `node.extract`.

use std::io::{self, Read};
use std::ops::ControlFlow;

use fleetline_shared::domain::{Appraisal, NewJob, NodeArgs, Source};

use super::JobTemplate;
use crate::discovery::{self, DiscoveryOptions, Piece, XmlError, XmlReport};

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
    let source = Source::Node { input: input.to_owned(), path: piece.path.clone(), ordinal: piece.ordinal };
    let args = NodeArgs {
        analyser: template.analyser.clone(),
        node_type: piece.node_type,
        path: piece.path,
        ordinal: piece.ordinal,
        shape: piece.shape,
        ancestors: piece.ancestors,
        xml: piece.xml,
        context: piece.context,
    };
    let args = serde_json::value::to_raw_value(&args).expect("args are plain data");
    let Appraisal { dedup_key, upstream, estimate } = template.appraiser.appraise(&args);
    NewJob {
        seq: Some(piece.ordinal - 1),
        kind: NodeArgs::KIND.to_owned(),
        args,
        dedup_key,
        priority: 0,
        upstream,
        estimate,
        source,
        occurrences: 1,
        max_attempts: template.max_attempts,
        deadline: template.deadline,
        fresh_for: template.fresh_for,
    }
}
