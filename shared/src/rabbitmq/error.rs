//! Errors in the words of the port, and requests that end.

use std::future::Future;
use std::time::Duration;

use lapin::ErrorKind;
use tokio::time::timeout;

use crate::domain::PortError;

/// AMQP reply codes that mean something to us.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const PRECONDITION_FAILED: u16 = 406;

pub(super) fn unavailable(message: impl Into<String>) -> PortError {
    PortError::Unavailable { port: "broker", message: message.into() }
}

pub(super) fn invalid(message: impl Into<String>) -> PortError {
    PortError::Invalid { port: "broker", message: message.into() }
}

pub(super) fn broken(message: impl Into<String>) -> PortError {
    PortError::Broken { port: "broker", message: message.into() }
}

/// The broker's reply code, if it was the broker that refused.
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// A request that failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It cannot be asked for.
    Wrong(PortError),
    /// The broker or the client library says no.
    Refused(lapin::Error),
    /// No answer in time.
    Silent,
}

impl Failure {
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(error) => reply_code(error),
            Self::Wrong(_) | Self::Silent => None,
        }
    }

    /// In the words of the port; `doing` completes "while".
    pub(super) fn while_doing(&self, doing: &str) -> PortError {
        let error = match self {
            Self::Wrong(error) => return error.clone(),
            Self::Refused(error) => error,
            Self::Silent => {
                return unavailable(format!("no answer in time while {doing}; the connection is made anew"));
            }
        };
        match reply_code(error) {
            Some(ACCESS_REFUSED) => invalid(format!(
                "the user may not do this, while {doing}: {error}; grant the permission on the virtual host"
            )),
            Some(NOT_FOUND) => {
                invalid(format!("it does not exist, while {doing}: {error}; run `fleetline topology apply`"))
            }
            Some(PRECONDITION_FAILED) => broken(format!(
                "it exists with other properties, while {doing}: {error}; \
                 `fleetline topology check` says what differs"
            )),
            _ => unavailable(format!("the connection broke while {doing}: {error}")),
        }
    }
}

/// A request that failed, and what it was for; this completes "while".
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) doing: String,
}

impl From<PortError> for Failed {
    fn from(error: PortError) -> Self {
        Self { failure: Failure::Wrong(error), doing: String::new() }
    }
}

/// The answer to one request, or that there was none in time.
pub(super) async fn answered<T>(
    limit: Duration,
    request: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Failure> {
    match timeout(limit, request).await {
        Ok(answer) => answer.map_err(Failure::Refused),
        Err(_) => Err(Failure::Silent),
    }
}
