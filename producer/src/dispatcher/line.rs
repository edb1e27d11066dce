//! One line, as a dispatcher knows it.

use std::time::Duration;

use fleetline_shared::domain::PortError;
use fleetline_shared::failing::Failing;
use fleetline_shared::ports::Broker;
use tokio::time::Instant;

use super::BATCH;
use super::window::Window;

/// One line, as this dispatcher knows it.
pub(super) struct Line {
    pub(super) kind: String,
    pub(super) window: Window,
    /// Messages that may not be on it yet.
    pub(super) under_way: usize,
    /// Messages for it fail and are tried again: until they are through there are to be no further ones.
    pub(super) is_troubled: bool,
    /// Jobs may be handed out whose messages nobody has. At first nobody knows what the dispatcher before this one
    /// left; later when anything about the line has failed, or the broker was reached anew.
    pub(super) may_lack_messages: bool,
    /// Messages that wait on it or are under way.
    pub(super) waiting: usize,
    /// Whether upstreams with few jobs were first the last time.
    pub(super) scarce_first: bool,
    /// Which of them had some last.
    pub(super) last_scarce: Option<String>,
    /// The broker's [contacts](Broker::contacts) before the last look.
    contacts: u64,
    /// Its depth or its jobs cannot be had.
    failing: Failing,
}

impl Line {
    pub(super) fn new(kind: &str, window: Window) -> Self {
        Self {
            kind: kind.to_owned(),
            window,
            under_way: 0,
            is_troubled: false,
            may_lack_messages: true,
            waiting: 0,
            scarce_first: false,
            last_scarce: None,
            contacts: 0,
            failing: Failing::default(),
        }
    }

    /// How long it is to be left alone; `None`: it may be filled.
    pub(super) fn rest(&self) -> Option<Duration> {
        let troubled = self.is_troubled.then(|| self.window.next_look());
        self.failing.rest(Instant::now()).or(troubled)
    }

    /// Looks how much waits. What lands after `under_way` was counted is counted twice, and not as taken.
    /// `false`: nobody knows, and the line rests for so long.
    pub(super) async fn look(&mut self, broker: &dyn Broker, rest: Duration) -> bool {
        let contacts = broker.contacts();
        self.may_lack_messages |= std::mem::replace(&mut self.contacts, contacts) != contacts;
        match broker.depth(&self.kind).await {
            Ok(depth) => {
                self.window.look(Instant::now(), depth.ready, self.under_way);
                self.waiting = depth.ready + self.under_way;
                true
            }
            Err(error) => {
                self.failed(&error, rest);
                false
            }
        }
    }

    /// Jobs that may be handed out at once. `None`: no more than a handful, but a transaction and a burst of
    /// messages have a price of their own.
    pub(super) fn room(&self) -> Option<usize> {
        let room = self.window.size().saturating_sub(self.waiting);
        (room > 0 && room >= self.window.size() / 4).then_some(room.min(BATCH))
    }

    /// It could not be filled, and rests for so long.
    pub(super) fn failed(&mut self, error: &PortError, rest: Duration) {
        self.may_lack_messages = true;
        if self.failing.begin(Instant::now() + rest) {
            tracing::warn!(line = self.kind, %error, "a line is not filled; the others go on");
        }
    }

    /// It was filled.
    pub(super) fn went_well(&mut self) {
        if self.failing.end() {
            tracing::info!(line = self.kind, "the line is filled again");
        }
    }
}
