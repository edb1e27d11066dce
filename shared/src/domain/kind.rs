//! Kinds: a job type's name, policy and handler, and the registry that holds them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Appraisal, Feedback, JobError, JobId, NewJob, Source, Usage};
use crate::rules::Backoff;

/// A job type. One file implements it, one line registers it.
///
/// Handlers know no ledger and no broker: they get args and a context, make one paid call, and
/// return what it brought.
pub trait Kind: Send + Sync + 'static {
    /// The stable name, `node.extract`. It is stored: never rename.
    const NAME: &'static str;
    /// What a job of this kind is given.
    type Args: DeserializeOwned + Send;
    /// What a successful one brings.
    type Output: Serialize;

    /// Does the work. Dropped at the timeout and when the lease is lost.
    fn perform(
        &self,
        args: Self::Args,
        context: &CallContext,
    ) -> impl Future<Output = Result<Done<Self::Output>, JobError>> + Send;

    /// Args for lesser work that calls nobody, in place of what these ask for: it may be done while
    /// the upstream's breaker is open. By default there is none.
    fn stand_in(&self, args: Self::Args) -> Option<Self::Args> {
        let _ = args;
        None
    }

    /// With which of its upstream's models a job of these args calls, if the upstream has models. By
    /// default none.
    fn model(&self, args: &RawValue) -> Option<String> {
        let _ = args;
        None
    }

    /// Limits of one attempt and of all.
    fn policy(&self) -> KindPolicy {
        KindPolicy::default()
    }

    /// Looks at args before their job is accepted: what they ask for, of whom, for how much. The
    /// error says what is wrong with them, for people. `json` is what `args` were read from.
    ///
    /// By default all of the args is what is asked for, and nobody is called.
    fn appraise(&self, args: &Self::Args, json: &RawValue) -> Result<Appraisal, String> {
        let _ = args;
        Appraisal::of_whole(Self::NAME, json)
    }

    /// Completes an output or a fact with what depends on the job's place in its input.
    /// Results are shared between jobs with the same key, so they hold nothing of the kind. Answers whether there was
    /// anything to complete.
    fn locate(&self, value: &mut Value, source: &Source) -> bool {
        let _ = (value, source);
        false
    }
}

/// Limits of a kind's attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KindPolicy {
    /// An attempt that takes longer is ended and counts as failed.
    pub timeout: Duration,
    /// Wait between attempts.
    pub backoff: Backoff,
}

impl Default for KindPolicy {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(2), backoff: Backoff::default() }
    }
}

/// What a handler gets beside its args.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The job.
    pub job_id: JobId,
    /// Which attempt this is, from 1.
    pub attempt: u16,
    /// Cancelled when the attempt must end now.
    pub cancel: CancellationToken,
    notes: Arc<Mutex<Notes>>,
}

/// What is noted of an attempt. Clones of its context share it.
#[derive(Debug, Default)]
struct Notes {
    /// When its first call may not begin any more.
    slot_end: Option<Instant>,
    usage: Usage,
    feedback: Feedback,
    refused: bool,
}

impl CallContext {
    /// The context of one attempt.
    pub fn new(job_id: JobId, attempt: u16, cancel: CancellationToken) -> Self {
        Self { job_id, attempt, cancel, notes: Arc::default() }
    }

    /// The attempt has a slot for its call now: its first one may not begin later. `None`: at any time.
    pub fn has_slot_until(&self, end: Option<Instant>) {
        self.notes().slot_end = end;
    }

    /// Counts a call as sent. Every handler says this right before the request leaves, so that a crash, a
    /// timeout or a panic after it is on the books.
    ///
    /// An error, to be returned as it is, says that the call must not be made: its slot has passed while
    /// it was prepared, and it could be one too many for its upstream.
    pub fn begin_call(&self) -> Result<(), JobError> {
        let mut notes = self.notes();
        if notes.usage.calls == 0 && notes.slot_end.is_some_and(|end| Instant::now() > end) {
            let why = "the call was not ready within its slot: this machine is too busy".into();
            return Err(JobError::Snooze { delay: Duration::ZERO, why });
        }
        crate::kill_point::reach("call.sent");
        notes.usage.calls += 1;
        Ok(())
    }

    /// Adds the tokens that the upstream says it used.
    pub fn tokens_used(&self, input_tokens: u64, output_tokens: u64) {
        self.notes().usage += Usage { calls: 0, input_tokens, output_tokens };
    }

    /// What the attempt has used so far.
    pub fn usage(&self) -> Usage {
        self.notes().usage
    }

    /// Keeps what an answer says about the upstream's quota. Of several answers the last counts;
    /// one that says nothing changes nothing.
    pub fn heard(&self, feedback: Feedback) {
        if !feedback.is_empty() {
            self.notes().feedback = feedback;
        }
    }

    /// Notes whether the answer refuses the call: then it costs nothing. Of several answers the last counts.
    pub fn answered(&self, is_refusal: bool) {
        self.notes().refused = is_refusal;
    }

    /// Whether the upstream refused the call.
    pub fn is_refused(&self) -> bool {
        self.notes().refused
    }

    /// What the attempt has heard about its upstream's quota.
    pub fn feedback(&self) -> Feedback {
        self.notes().feedback.clone()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a successful attempt brings.
#[derive(Clone, Debug)]
pub struct Done<Output> {
    /// The result, shared by all jobs with the same key. Holds no facts: they have their own rows.
    pub output: Output,
    /// Rows that users query, in order.
    pub facts: Vec<Value>,
    /// Which analyser made it; empty for kinds without one.
    pub analyser: String,
    /// Which model, if any.
    pub model: Option<String>,
    /// Jobs to insert in the same transaction as the result.
    pub follow_ups: Vec<NewJob>,
    /// Why this stands in for what the job asked for, if it does. Then this job gets it, and those
    /// that wait for it, but none that comes later.
    pub stand_in: Option<String>,
}

impl<Output> Done<Output> {
    /// An output without facts and follow-ups.
    pub fn new(output: Output) -> Self {
        Self {
            output,
            facts: Vec::new(),
            analyser: String::new(),
            model: None,
            follow_ups: Vec::new(),
            stand_in: None,
        }
    }
}

/// [`Done`] with its output as JSON: what the engine and the ledger handle.
pub type ErasedDone = Done<Box<RawValue>>;

type Performed<'a> = Pin<Box<dyn Future<Output = Result<ErasedDone, JobError>> + Send + 'a>>;

/// A [`Kind`] without its types.
pub trait DynKind: Send + Sync {
    /// The kind's name.
    fn name(&self) -> &'static str;
    /// Its limits.
    fn policy(&self) -> KindPolicy;
    /// Parses the args and does the work. Args that do not parse are a permanent error.
    fn perform<'a>(&'a self, args: &'a RawValue, context: &'a CallContext) -> Performed<'a>;
    /// The same with the args of [`Kind::stand_in`], if there are any.
    fn perform_stand_in<'a>(&'a self, args: &'a RawValue, context: &'a CallContext) -> Option<Performed<'a>>;
    /// See [`Kind::model`].
    fn model(&self, args: &RawValue) -> Option<String>;
    /// Parses the args and looks at them, see [`Kind::appraise`].
    fn appraise(&self, args: &RawValue) -> Result<Appraisal, String>;
    /// See [`Kind::locate`].
    fn locate(&self, value: &mut Value, source: &Source) -> bool;
}

impl<K: Kind> DynKind for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn policy(&self) -> KindPolicy {
        Kind::policy(self)
    }

    fn perform<'a>(&'a self, args: &'a RawValue, context: &'a CallContext) -> Performed<'a> {
        Box::pin(async move {
            let args = serde_json::from_str(args.get())
                .map_err(|error| JobError::Permanent(format!("args of {} do not parse: {error}", K::NAME)))?;
            erased::<K>(Kind::perform(self, args, context).await?)
        })
    }

    fn perform_stand_in<'a>(&'a self, args: &'a RawValue, context: &'a CallContext) -> Option<Performed<'a>> {
        let args = self.stand_in(serde_json::from_str(args.get()).ok()?)?;
        Some(Box::pin(async move { erased::<K>(Kind::perform(self, args, context).await?) }))
    }

    fn model(&self, args: &RawValue) -> Option<String> {
        Kind::model(self, args)
    }

    fn appraise(&self, json: &RawValue) -> Result<Appraisal, String> {
        let args = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
        Kind::appraise(self, &args, json)
    }

    fn locate(&self, value: &mut Value, source: &Source) -> bool {
        Kind::locate(self, value, source)
    }
}

fn erased<K: Kind>(done: Done<K::Output>) -> Result<ErasedDone, JobError> {
    let output = serde_json::value::to_raw_value(&done.output)
        .map_err(|error| JobError::Permanent(format!("output of {} is no JSON: {error}", K::NAME)))?;
    Ok(Done {
        output,
        facts: done.facts,
        analyser: done.analyser,
        model: done.model,
        follow_ups: done.follow_ups,
        stand_in: done.stand_in,
    })
}

/// The kinds that a process knows, by name.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Arc<dyn DynKind>>,
}

impl Registry {
    /// Adds a kind.
    ///
    /// # Panics
    /// If a kind of that name is there already: a bug that must not pass start-up.
    #[must_use]
    pub fn with(mut self, kind: impl Kind) -> Self {
        let kind: Arc<dyn DynKind> = Arc::new(kind);
        let name = kind.name();
        assert!(self.kinds.insert(name, kind).is_none(), "kind `{name}` is registered twice");
        self
    }

    /// Those of these names. `Err`: there is no kind of this name.
    pub fn only(&self, names: &[String]) -> Result<Self, String> {
        let find = |name: &String| {
            let kind = self.kinds.get_key_value(name.as_str());
            kind.map(|(name, kind)| (*name, Arc::clone(kind))).ok_or_else(|| name.clone())
        };
        Ok(Self { kinds: names.iter().map(find).collect::<Result<_, _>>()? })
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn DynKind>> {
        self.kinds.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }
}
