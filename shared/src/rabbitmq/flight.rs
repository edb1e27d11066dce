//! A group of publishes on one confirm channel, from the first frame to the last confirm.
//!
//! The broker sends an unroutable message back before it confirms it, but lapin hands the returned
//! message to whichever confirm completes next. Only when every confirm of the channel is in has
//! every returned message been seen: hence groups, and the match by message.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};

use super::outgoing::{NotPublished, Outgoing, Published};
use crate::kill_point;

/// Exchange, routing key and message id.
type Name = (String, String, String);

/// What one message's confirm said.
enum Said {
    Nothing,
    /// `settled`: every message returned before this confirm has been handed out by now.
    Acked {
        settled: bool,
    },
    Nacked,
    Broken(String),
}

/// Publishes that are not all confirmed yet.
pub(super) struct Flight {
    messages: Vec<Arc<Outgoing>>,
    said: Vec<Said>,
    returned: HashSet<Name>,
    confirms: FuturesUnordered<BoxFuture<'static, (usize, lapin::Result<Confirmation>)>>,
}

impl Flight {
    /// Sends them all, in order. The channel must be in confirm mode, idle, and used by no one else.
    pub(super) fn start(channel: &Channel, messages: Vec<Outgoing>) -> Self {
        let messages: Vec<_> = messages.into_iter().map(Arc::new).collect();
        let said = messages.iter().map(|_| Said::Nothing).collect();
        // A publish registers its confirm and queues its frames when it is first polled, and these
        // are polled first in the order in which they are pushed.
        let confirms = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                publish(channel.clone(), Arc::clone(message)).map(move |said| (index, said)).boxed()
            })
            .collect();
        Self { messages, said, returned: HashSet::new(), confirms }
    }

    /// Resolves when every confirm is in. May be dropped and called again.
    pub(super) async fn landed(&mut self) {
        while let Some((index, confirm)) = self.confirms.next().await {
            self.record(index, confirm);
        }
    }

    /// What became of each message, by what is known so far; `why` says it of the others.
    pub(super) fn answers(&mut self, why: &str) -> Vec<Published> {
        // A confirm that carries a returned message may be in and not looked at.
        while let Some(Some((index, confirm))) = self.confirms.next().now_or_never() {
            self.record(index, confirm);
        }
        // A confirm that broke may have had a returned message to hand out.
        let broken = self.said.iter().any(|said| matches!(said, Said::Broken(_)));
        let all_in = self.confirms.is_empty() && !broken;
        let unknown = || Err(NotPublished::Unknown(why.to_owned()));
        let returned =
            |message: &Outgoing| !self.returned.is_empty() && self.returned.contains(&name(message));
        let answer = |(message, said): (&Arc<Outgoing>, &Said)| match said {
            _ if returned(message) => Err(NotPublished::Unroutable(Arc::clone(message))),
            Said::Acked { settled } if *settled || all_in => Ok(()),
            Said::Nacked => Err(NotPublished::Refused),
            Said::Broken(why) => Err(NotPublished::Unknown(why.clone())),
            Said::Acked { .. } | Said::Nothing => unknown(),
        };
        self.messages.iter().zip(&self.said).map(answer).collect()
    }

    fn record(&mut self, index: usize, confirm: lapin::Result<Confirmation>) {
        let (said, returned) = match confirm {
            Ok(Confirmation::Ack(returned)) => (Said::Acked { settled: returned.is_none() }, returned),
            Ok(Confirmation::Nack(returned)) => (Said::Nacked, returned),
            Ok(Confirmation::NotRequested) => (Said::Broken("the channel does not confirm".into()), None),
            Err(error) => (Said::Broken(error.to_string()), None),
        };
        self.said[index] = said;
        self.returned.extend(returned.map(|message| returned_name(&message)));
    }
}

async fn publish(channel: Channel, message: Arc<Outgoing>) -> lapin::Result<Confirmation> {
    let mandatory = message.mandatory && !kill_point::is_mutant("no_mandatory");
    let options = BasicPublishOptions { mandatory, immediate: false };
    let properties = message.properties();
    let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
    channel.basic_publish(exchange, key, options, &message.body, properties).await?.await
}

fn name(message: &Outgoing) -> Name {
    (message.exchange.clone(), message.routing_key.clone(), message.message_id.clone())
}

fn returned_name(message: &BasicReturnMessage) -> Name {
    let id = message.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    (message.exchange.to_string(), message.routing_key.to_string(), id)
}
