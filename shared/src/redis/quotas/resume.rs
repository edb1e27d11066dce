//! Back at the fleet's quota after a time without it.

use async_trait::async_trait;
use redis::{Pipeline, Value, cmd};
use tokio::time::Instant;

use super::answer::Answer;
use super::call::{Op, PORT};
use super::desk::Message;
use super::{RedisQuotas, ended};
use crate::domain::PortError;
use crate::ports::{Absence, FleetQuotas, Reservation, UnderWay};
use crate::redis::script::checked;
use crate::rules::{Slot, micros};

/// For so long the mark of a look stays, in milliseconds.
const MARK_TTL: u64 = 60_000;

#[async_trait]
impl FleetQuotas for RedisQuotas {
    /// Writes a mark: a server that can only be read gives nothing out.
    async fn reach(&self) -> Result<(), PortError> {
        let mut mark = Pipeline::new();
        let key = format!("{}:reached", self.config.redis.prefix());
        mark.add_command(cmd("SET").arg(key).arg("").arg("PX").arg(MARK_TTL).clone());
        let answers = self.config.redis.run(PORT, &mark).await?;
        checked(PORT, answers.into_iter().next().unwrap_or(Value::Nil)).map(drop)
    }

    fn trouble(&self) -> Option<PortError> {
        self.config.redis.trouble(PORT)
    }

    async fn resume(&self, upstream: &str, absence: Absence) -> Result<Vec<Option<Reservation>>, PortError> {
        let Absence { ahead, money, parts, calls } = absence;
        let mut ops = vec![Op::Resume { ahead: micros(ahead), money }];
        ops.extend(parts.into_iter().map(|(part, ahead)| Op::Doubt { part, ahead: micros(ahead) }));
        let told = ops.len();
        ops.extend(calls.iter().map(|call| Op::Begun(call.ask())));
        let asked = Instant::now();
        let answers = self.config.call(upstream, 0).run(&self.config.redis, &ops).await?;
        let done = answers.done.ok_or_else(ended)?;
        let ids = done.answers.into_iter().skip(told).map(|answer| match answer {
            Answer::Slot(Slot::At { id, .. }, _) => Some(id),
            _ => None,
        });
        let ids: Vec<_> = ids.collect();
        let begun = ids.iter().zip(&calls).filter_map(|(id, call)| Some(((*id)?, call.ends_in))).collect();
        let begun = Message::Begun { upstream: upstream.to_owned(), calls: begun, told: asked };
        self.desk.send(begun).map_err(|_| ended())?;
        let reservation = |(call, id): (&UnderWay, Option<u64>)| Some(call.reservation(upstream, id?));
        Ok(calls.iter().zip(ids).map(reservation).collect())
    }
}
