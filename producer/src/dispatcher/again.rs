//! Messages that nobody may have are sent again.
//!
//! Between the commit that hands jobs out and the broker's confirm a dispatcher can die, and the commit's answer can
//! be lost on its way; and a broker can lose its lines. The sweeper would find such jobs, but only when no attempt
//! could still be at them. A message too many costs nothing but its way: whoever has the lease of its dispatch is
//! left alone.

use fleetline_shared::domain::PortError;

use super::line::Line;
use super::pace::{Allowed, Pace};
use super::publishing::Publishing;
use super::{BATCH, Dispatcher, hand_out};

impl Dispatcher {
    /// If there may be such jobs, and the line holds fewer messages than jobs are handed out for it: sends the messages
    /// of all of these again, under their fences, for nobody knows which of them are with workers. So a line is at
    /// most twice as long as it was, however often this happens.
    pub(super) async fn send_again(
        &self,
        line: &mut Line,
        pace: &mut Pace,
        allowed: &mut Allowed,
        publishing: &mut Publishing,
    ) -> Result<(), PortError> {
        if !line.may_lack_messages {
            return Ok(());
        }
        let jobs = self.ledger.handed_out(self.options.scope, &line.kind).await?;
        let (handed_out, waiting) = (jobs.len(), line.waiting);
        if handed_out > waiting {
            tracing::info!(line = line.kind, handed_out, waiting, "messages may be lost; all go again");
            for some in jobs.chunks(BATCH) {
                let mut envelopes = self.ledger.messages(&line.kind, some.to_vec()).await?;
                for envelope in &mut envelopes {
                    envelope.again = true;
                }
                hand_out(line, envelopes, pace, allowed, publishing).await;
            }
        }
        line.may_lack_messages = false;
        Ok(())
    }
}
