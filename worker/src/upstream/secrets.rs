//! Keeping secrets out of what people read.

use fleetline_shared::domain::JobError;
use secrecy::{ExposeSecret, SecretString};

/// Shorter ones are no secrets, and would cut words to pieces.
const SHORTEST: usize = 4;

/// What must not be shown.
pub(super) struct Secrets(Vec<SecretString>);

impl Secrets {
    pub(super) fn new(secrets: Vec<SecretString>) -> Self {
        Self(secrets)
    }

    /// The text without them: servers like to repeat what they were sent.
    pub(super) fn hide(&self, text: String) -> String {
        let secrets = self.0.iter().map(ExposeSecret::expose_secret);
        let long_enough = secrets.filter(|secret| secret.len() >= SHORTEST);
        long_enough.fold(text, |text, secret| text.replace(secret, "[secret]"))
    }
}

/// The error with its words changed.
pub(super) fn reworded(error: JobError, change: impl FnOnce(String) -> String) -> JobError {
    match error {
        JobError::Retryable(message) => JobError::Retryable(change(message)),
        JobError::Permanent(message) => JobError::Permanent(change(message)),
        JobError::RateLimited { retry_after, message } => {
            JobError::RateLimited { retry_after, message: change(message) }
        }
        JobError::Snooze { delay, why } => JobError::Snooze { delay, why: change(why) },
        JobError::NotHere(message) => JobError::NotHere(change(message)),
    }
}
