//! How an input becomes jobs.

mod discovery;
mod logs;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{AnalyserRef, Appraisal, DynKind};
use serde_json::value::RawValue;

pub use discovery::split_xml;
pub use logs::split_logs;

/// What the jobs of one run have in common.
#[derive(Clone, Debug)]
pub struct JobTemplate {
    /// Who is to do the work.
    pub analyser: AnalyserRef,
    /// Counted attempts before a job is dead.
    pub max_attempts: u16,
    /// How long after submission a job may still start; `None`: no limit.
    pub deadline: Option<Duration>,
    /// How long a result may be reused; `None`: for ever.
    pub fresh_for: Option<Duration>,
    /// Says what args ask for and how much.
    pub appraiser: Appraiser,
}

/// The jobs' kind, as far as a pipeline needs it.
#[derive(Clone)]
pub struct Appraiser(Arc<AppraiseFn>);

type AppraiseFn = dyn Fn(&RawValue) -> Result<Appraisal, String> + Send + Sync;

impl Appraiser {
    /// Appraises as a function does.
    pub fn new(appraise: impl Fn(&RawValue) -> Result<Appraisal, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(appraise))
    }

    /// Appraises as a kind does. Its analysers must include the template's.
    pub fn of(kind: &Arc<dyn DynKind>) -> Self {
        let kind = Arc::clone(kind);
        Self::new(move |args| kind.appraise(args))
    }

    fn appraise(&self, args: &RawValue) -> Appraisal {
        (self.0)(args).expect("a kind takes the args that its pipeline makes")
    }
}

impl fmt::Debug for Appraiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Appraiser")
    }
}
