//! `node.extract`: an XML subtree in, facts out.

use fleetline_shared::domain::{CallContext, Done, JobError, Kind, KindPolicy, NodeArgs, Source};
use serde::Serialize;
use serde_json::{Value, json};

use crate::analysers::Analysers;
use crate::answers::{NodeAnswer, Quality};

/// The kind. Its facts are stored with paths relative to the subtree, see [`Kind::locate`].
pub struct NodeExtract {
    /// Who can extract.
    pub analysers: Analysers<NodeArgs, NodeAnswer>,
    /// Limits of an attempt.
    pub policy: KindPolicy,
}

/// What is said of the subtree as a whole: what the fact of its root says.
#[derive(Serialize)]
pub struct NodeOutput {
    node_type: String,
    summary: String,
    quality: Quality,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts_dropped: Option<usize>,
}

impl Kind for NodeExtract {
    const NAME: &'static str = "node.extract";
    type Args = NodeArgs;
    type Output = NodeOutput;

    async fn perform(&self, args: NodeArgs, context: &CallContext) -> Result<Done<NodeOutput>, JobError> {
        let analyser = self.analysers.find(&args.analyser)?;
        let answer = analyser.analyse(&args, context).await?;
        let Some(root) = answer.facts.first() else {
            return Err(JobError::Retryable("the analyser gave no facts".into()));
        };
        let output = NodeOutput {
            node_type: root.node_type.clone(),
            summary: root.summary.clone(),
            quality: root.quality.clone(),
            facts_dropped: (answer.facts_dropped > 0).then_some(answer.facts_dropped),
        };
        let facts = answer.facts.iter().map(|fact| json!(fact)).collect();
        Ok(Done { facts, analyser: args.analyser.name, model: args.analyser.model, ..Done::new(output) })
    }

    fn policy(&self) -> KindPolicy {
        self.policy
    }

    fn locate(&self, value: &mut Value, source: &Source) {
        let Source::Node { path, ordinal, .. } = source else { return };
        let Value::Object(fields) = value else { return };
        let below = fields.get("path").and_then(Value::as_str).unwrap_or_default();
        let whole = if below.is_empty() { path.clone() } else { format!("{path}/{below}") };
        fields.insert("path".into(), whole.into());
        fields.insert("ordinal".into(), (*ordinal).into());
    }
}
