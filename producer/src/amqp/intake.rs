//! Jobs from services that speak AMQP: JSON messages on the queue `fleetline.submit`.
//!
//! A message is what `POST /v1/jobs` takes: one job, or an array of them. It is accepted as a whole
//! or not at all. Its `message_id` is its idempotency key: a message that comes twice is one run.

use std::sync::Arc;

use fleetline_shared::domain::{PortError, Registry, RunId};
use fleetline_shared::ports::Ledger;
use fleetline_shared::rabbitmq::topology::SUBMIT_QUEUE;
use fleetline_shared::rabbitmq::{IntakeDelivery, Outgoing, RabbitBroker};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{each_delivery, patiently};
use crate::intake::{JobLimits, JobProblem, NewJobs, Rejected, Unreadable, read_requests, submit_jobs};

/// Problems that are named in the reason of a dead letter.
const NAMED_PROBLEMS: usize = 5;

/// Takes messages from [`SUBMIT_QUEUE`]. Several may run.
pub struct AmqpIntake {
    /// Where they come from.
    pub broker: Arc<RabbitBroker>,
    /// Where their jobs go.
    pub ledger: Arc<dyn Ledger>,
    /// The kinds that may be asked for.
    pub kinds: Registry,
    /// What one message may hold.
    pub limits: JobLimits,
    /// Whose jobs they are: who may publish to the queue is for the broker's permissions to say.
    pub tenant: String,
    /// Messages handled at the same time.
    pub prefetch: usize,
}

/// Why a message is not accepted.
struct Refusal {
    reason: String,
    problems: Vec<JobProblem>,
}

impl AmqpIntake {
    /// Takes messages until `drain` is cancelled.
    pub async fn run(self, drain: CancellationToken) {
        let handle = |delivery| self.handle(delivery, &drain);
        each_delivery(&self.broker, SUBMIT_QUEUE, self.prefetch, &drain, handle).await;
    }

    /// Accepts or refuses a message, answers if an answer is wanted, settles: in this order, so that
    /// a crash in between repeats the answer and not the jobs.
    async fn handle(&self, delivery: IntakeDelivery, drain: &CancellationToken) -> Result<(), PortError> {
        // A try whose answer was lost and the next one are the same run.
        let id = RunId::new();
        let verdict = match patiently(drain, || self.accept(&delivery, id)).await {
            Some(Ok(verdict)) => verdict,
            Some(Err(error)) => Err(Refusal { reason: error.to_string(), problems: Vec::new() }),
            None => return Ok(()),
        };
        match verdict {
            Ok(accepted) => {
                self.answer(&delivery, json!({ "accepted": accepted })).await;
                delivery.ack().await
            }
            Err(Refusal { reason, problems }) => {
                tracing::warn!(reason, "a message is refused");
                let rejected = json!({ "rejected": { "reason": reason, "problems": problems } });
                self.answer(&delivery, rejected).await;
                delivery.reject(&reason, drain).await
            }
        }
    }

    async fn accept(
        &self,
        delivery: &IntakeDelivery,
        id: RunId,
    ) -> Result<Result<Value, Refusal>, PortError> {
        let requests = match read_requests(&delivery.body, &self.limits) {
            Ok(requests) => requests,
            Err(unreadable) => return Ok(Err(refusal_of(unreadable))),
        };
        // Some clients send an empty one where none is given.
        let message_id = delivery.message_id.as_ref().filter(|id| !id.is_empty());
        let idempotency_key = message_id.map(|id| format!("amqp {id}"));
        let new = NewJobs { id, tenant: &self.tenant, idempotency_key };
        let submitted = submit_jobs(&*self.ledger, &self.kinds, &self.limits, new, &requests).await;
        match submitted {
            Ok(accepted) => Ok(Ok(json!(accepted))),
            Err(Rejected::Ledger(error)) => Err(error),
            Err(Rejected::Invalid(problems)) => Ok(Err(invalid(problems))),
            Err(Rejected::Conflict(reason)) => Ok(Err(Refusal { reason, problems: Vec::new() })),
        }
    }

    /// An answer that cannot be delivered is the asker's loss: what was accepted is accepted.
    async fn answer(&self, delivery: &IntakeDelivery, body: Value) {
        let Some(reply_to) = &delivery.reply_to else { return };
        let answer = Outgoing {
            mandatory: false,
            content_type: Some("application/json".to_owned()),
            correlation_id: delivery.correlation_id.clone(),
            ..Outgoing::new("", reply_to, Uuid::now_v7().to_string(), body.to_string().into_bytes())
        };
        if let Err(error) = self.broker.answer(answer).await {
            tracing::warn!(%error, reply_to, "an answer could not be sent");
        }
    }
}

fn refusal_of(unreadable: Unreadable) -> Refusal {
    match unreadable {
        Unreadable::Malformed { line, column, what } => {
            let reason = format!("no JSON: {what} at line {line}, column {column}");
            Refusal { reason, problems: Vec::new() }
        }
        Unreadable::Invalid(problems) => invalid(problems),
    }
}

fn invalid(problems: Vec<JobProblem>) -> Refusal {
    let named = problems.iter().take(NAMED_PROBLEMS).map(|problem| {
        let JobProblem { index, field, detail } = problem;
        if field.is_empty() {
            format!("job {index}: {detail}")
        } else {
            format!("job {index}, `{field}`: {detail}")
        }
    });
    let mut reason = named.collect::<Vec<_>>().join("; ");
    if problems.len() > NAMED_PROBLEMS {
        reason = format!("{reason}; and {} more", problems.len() - NAMED_PROBLEMS);
    }
    Refusal { reason, problems }
}
