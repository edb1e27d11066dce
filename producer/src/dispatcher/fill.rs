//! Filling one line from the backlog.

use fleetline_shared::domain::PortError;

use super::line::Line;
use super::pace::{Allowed, Pace};
use super::publishing::Publishing;
use super::{Dispatcher, hand_out};

impl Dispatcher {
    /// Fills one line, first with messages that it may lack. `true`: the ledger may have more for it than there is room.
    ///
    /// Upstreams that may have fewer jobs than there is room for are taken one by one, all others together. Both may
    /// have work for longer than the line has room, so they are first by turns.
    pub(super) async fn fill(
        &self,
        line: &mut Line,
        pace: &mut Pace,
        allowed: &mut Allowed,
        publishing: &mut Publishing,
    ) -> Result<bool, PortError> {
        self.send_again(line, pace, allowed, publishing).await?;
        line.scarce_first = !line.scarce_first;
        for is_scarce in [line.scarce_first, !line.scarce_first] {
            let is_full = if is_scarce {
                self.fill_with_scarce(line, pace, allowed, publishing).await?
            } else {
                self.fill_with_plenty(line, pace, allowed, publishing).await?
            };
            if is_full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All that may have more jobs than there is room for, together. `true`: there is no room left.
    async fn fill_with_plenty(
        &self,
        line: &mut Line,
        pace: &mut Pace,
        allowed: &mut Allowed,
        publishing: &mut Publishing,
    ) -> Result<bool, PortError> {
        loop {
            let Some(room) = line.room() else { return Ok(true) };
            let (_, skip) = allowed.fewer_than(room);
            let envelopes = self.take(&line.kind, room, skip).await?;
            if hand_out(line, envelopes, pace, allowed, publishing).await < room {
                return Ok(false);
            }
        }
    }

    /// The others in turn, each as far as it may: there may not be room for all. `true`: there is no room left.
    async fn fill_with_scarce(
        &self,
        line: &mut Line,
        pace: &mut Pace,
        allowed: &mut Allowed,
        publishing: &mut Publishing,
    ) -> Result<bool, PortError> {
        let Some(room) = line.room() else { return Ok(true) };
        let (mut scarce, _) = allowed.fewer_than(room);
        let had_theirs = scarce.partition_point(|name| Some(name) <= line.last_scarce.as_ref());
        scarce.rotate_left(had_theirs);
        for upstream in &scarce {
            loop {
                let Some(room) = line.room() else { return Ok(true) };
                let limit = room.min(allowed.jobs(upstream));
                if limit == 0 {
                    break;
                }
                let envelopes = self.take(&line.kind, limit, allowed.others(upstream)).await?;
                line.last_scarce = Some(upstream.clone());
                if hand_out(line, envelopes, pace, allowed, publishing).await < limit {
                    break;
                }
            }
        }
        Ok(false)
    }
}
