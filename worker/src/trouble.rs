//! A service that fails and answers again, as the log tells it: once each.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fleetline_shared::domain::PortError;
use fleetline_shared::failing::Failing;
use tokio::time::Instant;

/// It is over when an answer comes so long after the last failure: what fails now and then is told once.
const CALM: Duration = Duration::from_secs(5);

/// Whether a service that jobs need fails.
pub(crate) struct Trouble {
    service: &'static str,
    failing: Mutex<Failing>,
}

impl Trouble {
    /// Of this service there is none yet.
    pub(crate) fn with(service: &'static str) -> Self {
        Self { service, failing: Mutex::default() }
    }

    /// It answered, or not. A request that cannot be is no trouble of the service.
    pub(crate) fn hear<T>(&self, answer: &Result<T, PortError>) {
        let now = Instant::now();
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let service = self.service;
        match answer {
            Err(PortError::Invalid { .. }) => {}
            Err(error) => {
                if failing.begin(now + CALM) {
                    tracing::warn!(%error, "no {service}: jobs that need them go back until they are there again");
                }
            }
            Ok(_) => {
                if failing.rest(now).is_none() && failing.end() {
                    tracing::info!("{service} are there again");
                }
            }
        }
    }
}

/// What a test logs.
#[cfg(test)]
pub(crate) mod log {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::DefaultGuard;

    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// This thread logs here as long as the guard lives.
        pub(crate) fn start() -> (Self, DefaultGuard) {
            let log = Self::default();
            let writer = log.clone();
            let subscriber =
                tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
            (log, tracing::subscriber::set_default(subscriber))
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        /// Lines with this word.
        pub(crate) fn count(&self, word: &str) -> usize {
            self.text().lines().filter(|line| line.contains(word)).count()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
