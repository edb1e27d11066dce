//! An answer that is not lost when its caller is gone.

use std::time::Duration;

use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::time::Instant;

use super::desk::Message;
use crate::ports::Admission;

/// An admission on its way to the caller. If nobody takes it, what it set aside is given back:
/// the call was never made.
pub(super) struct Granted {
    admission: Option<Admission>,
    /// When the slot is.
    slot: Instant,
    desk: Option<WeakUnboundedSender<Message>>,
}

impl Granted {
    /// An answer that set something aside.
    pub(super) fn new(admission: Admission, slot: Instant, desk: WeakUnboundedSender<Message>) -> Self {
        Self { admission: Some(admission), slot, desk: Some(desk) }
    }

    /// An answer that set nothing aside.
    pub(super) fn refused(admission: Admission) -> Self {
        Self { admission: Some(admission), slot: Instant::now(), desk: None }
    }

    /// Whether the slot has passed on the way here, by more than it may.
    pub(super) fn is_missed(&self, lateness: Option<Duration>) -> bool {
        lateness.is_some_and(|lateness| self.slot.elapsed() > lateness)
    }

    /// The caller has it.
    pub(super) fn take(mut self) -> Admission {
        let mut admission = self.admission.take().expect("it is taken once");
        if let Admission::Go { after, .. } = &mut admission {
            *after = self.slot.saturating_duration_since(Instant::now());
        }
        admission
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(Admission::Go { reservation, .. }) = self.admission.take()
            && let Some(desk) = self.desk.as_ref().and_then(WeakUnboundedSender::upgrade)
        {
            let _ = desk.send(Message::give_back(reservation));
        }
    }
}
