//! Waiting for a ledger that is away for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fleetline_shared::domain::PortError;
use humantime::format_duration;
use tokio::time::{Instant, sleep};

use crate::app::App;

/// Time between two tries.
const RETRY: Duration = Duration::from_secs(1);

/// Outages of the fleet's ledger, as a command lives through them. Dropping a call ends its wait.
pub(crate) struct Outages {
    patience: Duration,
    say: Box<dyn Fn(&str) + Send + Sync>,
    /// When the one that lasts began.
    since: Mutex<Option<Instant>>,
}

impl Outages {
    /// With the patience of the settings.
    pub(crate) fn of(app: &App) -> Self {
        Self::new(app.config().postgres.patience, app.teller())
    }

    fn new(patience: Duration, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { patience, say: Box::new(say), since: Mutex::default() }
    }

    /// Asks until there is an answer, or the ledger is away for too long. What is asked must do nothing
    /// twice: an earlier try may have been carried out. An error that is no outage ends it at once.
    pub(crate) async fn outlast<T, F>(&self, ask: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        loop {
            let (port, message) = match ask().await {
                Err(PortError::Unavailable { port, message }) => (port, message),
                settled => {
                    self.is_over();
                    return settled;
                }
            };
            if self.has_lasted(&message) >= self.patience {
                return Err(PortError::Unavailable { port, message: self.given_up(&message) });
            }
            sleep(RETRY).await;
        }
    }

    /// How long the ledger has been away. People hear of each outage once.
    fn has_lasted(&self, message: &str) -> Duration {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            let patience = format_duration(self.patience);
            (self.say)(&format!("the ledger is away, waiting for it for up to {patience}: {message}"));
        }
        since.get_or_insert_with(Instant::now).elapsed()
    }

    fn is_over(&self) {
        if self.since.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            (self.say)("the ledger answers again");
        }
    }

    fn given_up(&self, message: &str) -> String {
        let patience = format_duration(self.patience);
        format!(
            "{message}\n  gave up after {patience}; what was accepted is kept. To wait for longer: postgres.patience"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn away() -> PortError {
        PortError::Unavailable { port: "ledger", message: "nobody listens".into() }
    }

    /// What was said while it was asked, and the answer; `answers`: of the first, the second ... try.
    async fn outlasted(
        answer: impl Fn(u32) -> Result<u32, PortError>,
    ) -> (Result<u32, PortError>, Vec<String>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let say = Arc::clone(&said);
        let outages =
            Outages::new(Duration::from_mins(1), move |text| say.lock().unwrap().push(text.to_owned()));
        let tries = AtomicU32::new(0);
        let answer =
            outages.outlast(|| std::future::ready(answer(tries.fetch_add(1, Ordering::Relaxed)))).await;
        let said = said.lock().unwrap().clone();
        (answer, said)
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_outage_is_outlasted_and_told_once() {
        let (answer, said) = outlasted(|tried| if tried < 20 { Err(away()) } else { Ok(tried) }).await;
        assert_eq!(answer.unwrap(), 20);
        assert_eq!(
            said,
            ["the ledger is away, waiting for it for up to 1m: nobody listens", "the ledger answers again"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end() {
        let (answer, said) = outlasted(|_| Err(away())).await;
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("nobody listens") && error.contains("postgres.patience"), "{error}");
        assert_eq!(said.len(), 1, "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_outage_ends_it_at_once() {
        let wrong = || PortError::Broken { port: "ledger", message: "refuses the user".into() };
        let (answer, said) = outlasted(|tried| if tried == 0 { Err(wrong()) } else { Ok(tried) }).await;
        assert_eq!(answer.unwrap_err().to_string(), wrong().to_string());
        assert!(said.is_empty(), "{said:?}");
    }
}
