//! An answer that is not lost when its caller is gone.

use tokio::sync::mpsc::WeakUnboundedSender;

use super::desk::Message;
use crate::ports::Admission;

/// An admission on its way to the caller. If nobody takes it, what it set aside is given back:
/// the call was never made.
pub(super) struct Granted {
    admission: Option<Admission>,
    desk: Option<WeakUnboundedSender<Message>>,
}

impl Granted {
    /// An answer that set something aside.
    pub(super) fn new(admission: Admission, desk: WeakUnboundedSender<Message>) -> Self {
        Self { admission: Some(admission), desk: Some(desk) }
    }

    /// An answer that set nothing aside.
    pub(super) fn refused(admission: Admission) -> Self {
        Self { admission: Some(admission), desk: None }
    }

    /// The caller has it.
    pub(super) fn take(mut self) -> Admission {
        self.admission.take().expect("it is taken once")
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
