//! Between two looks: a lone job need not wait for one.

use std::collections::BTreeMap;

use fleetline_shared::domain::{Envelope, PortError};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{New, News, Offer, Scope};
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
    /// that look.
    pub(super) async fn wait(
        &mut self,
        last: Round,
        seen: News,
        changes: &mut watch::Receiver<News>,
        drain: &CancellationToken,
    ) {
        self.wait_for_work(last, seen, changes, drain).await;
        // The next look finds out what may go.
        self.dispatcher.ledger.offer(None);
    }

    /// The end of a run takes no look.
    async fn wait_for_work(
        &mut self,
        last: Round,
        mut seen: News,
        changes: &mut watch::Receiver<News>,
        drain: &CancellationToken,
    ) {
        let mut allowed = last.nothing_left;
        let mut time = std::pin::pin!(sleep(last.pause));
        loop {
            self.dispatcher.ledger.offer(allowed.as_ref().and_then(|allowed| self.offer(allowed)));
            tokio::select! {
                () = drain.cancelled() => return,
                // A closed channel would wake at once for ever; then the time does the work.
                Ok(()) = changes.changed() => {}
                Some(offered) = self.dispatcher.ledger.offered() => {
                    if !self.publish(offered, allowed.as_mut()).await {
                        return;
                    }
                }
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

    /// What may go out with its submission: on lines with room for a few, if that is all the dispatcher serves.
    fn offer(&self, allowed: &Allowed) -> Option<Offer> {
        if self.dispatcher.options.scope != Scope::All {
            return None;
        }
        let open = self.lines.iter().filter(|line| has_room(line, self.publishing));
        let room: BTreeMap<_, _> = open.map(|line| (line.kind.clone(), HANDFUL)).collect();
        let (_, skip_upstreams) = allowed.fewer_than(HANDFUL * room.len());
        (!room.is_empty()).then_some(Offer { room, skip_upstreams })
    }

    /// Until the last submission that took of an offer has ended.
    pub(super) async fn finish(mut self) {
        self.dispatcher.ledger.offer(None);
        while let Some(offered) = self.dispatcher.ledger.offered().await {
            self.publish(offered, None).await;
        }
    }

    /// Sends the messages of jobs that went by an offer. `false`: some may have gone that nobody knows of.
    async fn publish(
        &mut self,
        offered: Result<Vec<Envelope>, PortError>,
        allowed: Option<&mut Allowed>,
    ) -> bool {
        let Ok(envelopes) = offered else {
            self.lines.iter_mut().for_each(|line| line.may_lack_messages = true);
            return false;
        };
        kill_point::reach("dispatch.after_commit");
        let mut unlimited = Allowed::default();
        let allowed = allowed.unwrap_or(&mut unlimited);
        let mut left = envelopes;
        for line in &mut *self.lines {
            let (own, others) = left.into_iter().partition(|job| job.kind == line.kind);
            hand_out(line, own, self.pace, allowed, self.publishing).await;
            left = others;
        }
        true
    }

    /// `false`: there may be more, or something went wrong, which the next look tells.
    async fn hand_out_few(&mut self, allowed: &mut Allowed) -> bool {
        let all = self.lines.len();
        let open: Vec<&mut Line> =
            self.lines.iter_mut().filter(|line| has_room(line, self.publishing)).collect();
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

fn has_room(line: &Line, publishing: &Publishing) -> bool {
    line.room() >= Some(HANDFUL) && !publishing.is_troubled(&line.kind)
}
