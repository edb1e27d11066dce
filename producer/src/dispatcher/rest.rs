//! Between two looks: a lone job need not wait for one.

use fleetline_shared::ports::{New, News};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::pace::{Allowed, Pace};
use super::publishing::Publishing;
use super::{Dispatcher, Round, hand_out};

/// Jobs of a line that go out without a look, at most.
const HANDFUL: usize = 8;

/// What a dispatcher does until its next look.
pub(super) struct Rest<'a> {
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) lines: &'a mut [Line],
    pub(super) pace: &'a mut Pace,
    pub(super) publishing: &'a mut Publishing,
}

impl Rest<'_> {
    /// Waits until it is time for a look, or something happens that takes one. If the last look left nothing, a few
    /// jobs that are submitted meanwhile go by what it allowed: it was a poll ago at most. `seen`: the news before
    /// that look. The end of a run takes no look.
    pub(super) async fn wait(
        &mut self,
        last: Round,
        mut seen: News,
        changes: &mut watch::Receiver<News>,
        drain: &CancellationToken,
    ) {
        let mut allowed = last.nothing_left;
        let mut time = std::pin::pin!(sleep(last.pause));
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                // A closed channel would wake at once for ever; then the time does the work.
                Ok(()) = changes.changed() => {}
                () = self.dispatcher.broker.line_moved() => return,
                () = &mut time => return,
            }
            let now = *changes.borrow_and_update();
            let since = std::mem::replace(&mut seen, now);
            if now.has(New::Moves, &since) {
                return;
            }
            if now.has(New::Jobs, &since) {
                let Some(allowed) = &mut allowed else { return };
                if !self.hand_out_few(allowed).await {
                    return;
                }
            }
        }
    }

    /// `false`: there may be more, or something went wrong, which the next look tells.
    async fn hand_out_few(&mut self, allowed: &mut Allowed) -> bool {
        let all = self.lines.len();
        let has_room =
            |line: &&mut Line| line.room() >= Some(HANDFUL) && !self.publishing.is_troubled(&line.kind);
        let open: Vec<&mut Line> = self.lines.iter_mut().filter(has_room).collect();
        // They may all be of one upstream.
        let (scarce, skip) = allowed.fewer_than(HANDFUL * open.len());
        let mut is_all = open.len() == all && scarce.is_empty();
        let answers =
            join_all(open.iter().map(|line| self.dispatcher.take(&line.kind, HANDFUL, skip.clone()))).await;
        for (line, envelopes) in open.into_iter().zip(answers) {
            let Ok(envelopes) = envelopes else {
                line.may_lack_messages = true;
                is_all = false;
                continue;
            };
            is_all &= hand_out(line, envelopes, self.pace, allowed, self.publishing).await < HANDFUL;
        }
        is_all
    }
}
