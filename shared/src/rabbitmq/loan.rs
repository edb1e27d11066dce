//! Deliveries that somebody has: their channel stays open for them, whoever took them and from whose buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many deliveries of one channel are not settled.
#[derive(Default)]
pub(super) struct Loans {
    count: AtomicUsize,
    ended: Notify,
}

impl Loans {
    pub(super) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Resolves when the last one may have ended since the last call. For one caller.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }
}

/// One of them; ends when it is dropped.
pub(super) struct Loan(Arc<Loans>);

impl Loan {
    /// Taken before the buffer is looked at: the owner sees it before the delivery is gone from there.
    pub(super) fn new(loans: &Arc<Loans>) -> Self {
        loans.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(loans))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_one();
        }
    }
}
