//! Somebody whom workers call: answers each call after the same time, to a fraction of a millisecond. A timer of the
//! runtime goes by whole milliseconds and rounds up, which would add two in a hundred to a call of 50 ms.

use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How long a call takes.
pub(crate) const CALL: Duration = Duration::from_millis(50);

struct Call {
    ends: Instant,
    answer: oneshot::Sender<()>,
}

static PROVIDER: LazyLock<Sender<Call>> = LazyLock::new(|| {
    let (calls, inbox) = channel();
    thread::spawn(move || answer(&inbox));
    calls
});

/// Makes a call and waits for its answer.
pub(crate) async fn call() {
    let (answer, answered) = oneshot::channel();
    PROVIDER.send(Call { ends: Instant::now() + CALL, answer }).expect("the provider goes on");
    answered.await.expect("an answer");
}

/// All take the same time, so they end in the order in which they begin.
fn answer(inbox: &Receiver<Call>) {
    while let Ok(call) = inbox.recv() {
        thread::sleep(call.ends.saturating_duration_since(Instant::now()));
        let _ = call.answer.send(());
    }
}
