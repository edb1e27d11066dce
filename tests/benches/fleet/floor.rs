//! The floor: the barest loop on the same servers. Consume, one script that takes a whole group's locks
//! and tokens, calls beside each other, one grouped insert, acknowledge. No job has a row or a state, no lock is
//! given up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use fleetline_tests::services::Vhost;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use redis::Script;
use redis::aio::MultiplexedConnection;
use sqlx::PgPool;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use crate::provider;

pub(crate) const QUEUE: &str = "floor";
pub(crate) const GROUP: usize = 200;
pub(crate) const PREFETCH: u16 = 1_000;

/// A lock for each job, and as many tokens from one bucket.
const SCRIPT: &str = "
    local token = redis.call('INCRBY', KEYS[1], #ARGV)
    for n = 1, #ARGV do redis.call('SET', KEYS[1] .. ARGV[n], token, 'NX', 'PX', 30000) end
    return token";

/// The calls of the bare loop.
#[derive(Clone, Copy)]
pub(crate) enum Calls {
    /// None, and no way to make any: a job is done as soon as it has its token.
    None,
    /// So many at the same time at most, each in a task of its own, that take no time.
    Empty(usize),
    /// The same, that wait for their [`provider`].
    Waiting(usize),
}

/// Where a loop starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// All jobs are on the line.
    Backlog,
    /// They are published meanwhile, with confirms.
    Publish,
}

/// Jobs per second from there to the last acknowledgement.
pub(crate) async fn rate(
    pool: &PgPool,
    redis: &MultiplexedConnection,
    jobs: usize,
    body: &[u8],
    (calls, from): (Calls, From),
) -> f64 {
    let (started, progress) = run(pool, redis, jobs, body, (calls, from)).await;
    jobs as f64 / (progress.last().expect("it went on").0 - started).as_secs_f64()
}

/// The same with so many waiting calls, from the first tenth of the jobs to the last: the rate of a loop that is warm.
pub(crate) async fn warm_rate(
    pool: &PgPool,
    redis: &MultiplexedConnection,
    jobs: usize,
    body: &[u8],
    places: usize,
) -> f64 {
    let (_, progress) = run(pool, redis, jobs, body, (Calls::Waiting(places), From::Backlog)).await;
    let reached = |share: usize| {
        let reached = progress.iter().find(|(_, done)| *done >= jobs * share / 10);
        *reached.expect("it came so far")
    };
    let ((from, warm), (until, done)) = (reached(1), reached(9));
    (done - warm) as f64 / (until - from).as_secs_f64()
}

/// When it started, and how many jobs were done when.
async fn run(
    pool: &PgPool,
    redis: &MultiplexedConnection,
    jobs: usize,
    body: &[u8],
    (calls, from): (Calls, From),
) -> (Instant, Vec<(Instant, usize)>) {
    let vhost = Vhost::new().await;
    let connection =
        Connection::connect(&vhost.url, ConnectionProperties::default()).await.expect("a broker");
    let publishing =
        Connection::connect(&vhost.url, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    let publisher = publishing.create_channel().await.expect("a channel");
    declare(&publisher).await;
    sqlx::query("CREATE TABLE IF NOT EXISTS floor (id uuid PRIMARY KEY, output text NOT NULL)")
        .execute(pool)
        .await
        .expect("a table");
    sqlx::query("TRUNCATE floor").execute(pool).await.expect("an empty table");
    let mut started = Instant::now();
    let body = body.to_vec();
    let sending = tokio::spawn(async move {
        publish(&publisher, (0..jobs).map(|_| Uuid::now_v7()), &body).await;
    });
    if from == From::Backlog {
        sending.await.expect("published");
        started = Instant::now();
    }
    let progress = work(&channel, pool.clone(), redis.clone(), jobs, calls).await;
    for connection in [connection, publishing] {
        connection.close(200, "done".into()).await.expect("closed");
    }
    vhost.remove().await;
    (started, progress)
}

pub(crate) async fn declare(channel: &Channel) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), options, arguments).await.expect("a queue");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
}

/// Publishes, and waits for the confirms.
pub(crate) async fn publish(channel: &Channel, ids: impl Iterator<Item = Uuid>, body: &[u8]) {
    let mut confirms = FuturesUnordered::new();
    for id in ids {
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_message_id(id.to_string().into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = channel.basic_publish("".into(), QUEUE.into(), options, body, properties);
        confirms.push(confirm.await.expect("published"));
        if confirms.len() >= 1_000 {
            assert!(confirms.next().await.expect("one").expect("confirmed").is_ack());
        }
    }
    while let Some(confirm) = confirms.next().await {
        assert!(confirm.expect("confirmed").is_ack());
    }
}

pub(crate) type Job = (u64, Uuid, Vec<u8>);

/// Which deliveries are done: one command acknowledges all up to the first that is not.
pub(crate) struct Done {
    next: u64,
    ahead: BinaryHeap<Reverse<u64>>,
}

impl Done {
    pub(crate) fn new() -> Self {
        Self { next: 1, ahead: BinaryHeap::new() }
    }

    /// After these the tag to acknowledge, if there is any.
    pub(crate) fn with(&mut self, group: &[Job]) -> Option<u64> {
        let before = self.next;
        self.ahead.extend(group.iter().map(|(tag, _, _)| Reverse(*tag)));
        while self.ahead.peek() == Some(&Reverse(self.next)) {
            self.ahead.pop();
            self.next += 1;
        }
        (self.next > before).then(|| self.next - 1)
    }
}

async fn work(
    channel: &Channel,
    pool: PgPool,
    redis: MultiplexedConnection,
    jobs: usize,
    calls: Calls,
) -> Vec<(Instant, usize)> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("a prefetch");
    let mut deliveries = channel
        .basic_consume(QUEUE.into(), "floor".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .expect("a consumer");
    let (taken, mut to_admit) = mpsc::unbounded_channel();
    let (admitted, to_call) = mpsc::unbounded_channel();
    let script = Script::new(SCRIPT);
    tokio::spawn(async move {
        let mut redis = redis;
        let mut group: Vec<Job> = Vec::new();
        while to_admit.recv_many(&mut group, GROUP).await > 0 {
            let mut call = script.key("{floor}");
            for (_, id, _) in &group {
                call.arg(id.as_bytes().as_slice());
            }
            let _: u64 = call.invoke_async(&mut redis).await.expect("the script runs");
            for job in group.drain(..) {
                let _ = admitted.send(job);
            }
        }
    });
    let to_commit = make(calls, to_call);
    let committer = tokio::spawn(commit(channel.clone(), pool, to_commit, jobs));
    for _ in 0..jobs {
        let delivery = deliveries.next().await.expect("a delivery").expect("no error");
        let id = delivery.properties.message_id().as_ref().expect("an id").as_str().parse().expect("a uuid");
        let _ = taken.send((delivery.delivery_tag, id, delivery.data));
    }
    committer.await.expect("committed")
}

/// Makes the calls. With places for them they end in any order.
pub(crate) fn make(calls: Calls, mut inbox: mpsc::UnboundedReceiver<Job>) -> mpsc::UnboundedReceiver<Job> {
    let (Calls::Empty(places) | Calls::Waiting(places)) = calls else { return inbox };
    let (called, to_commit) = mpsc::unbounded_channel();
    let places = Arc::new(Semaphore::new(places));
    tokio::spawn(async move {
        while let Some(job) = inbox.recv().await {
            let place = Arc::clone(&places).acquire_owned().await.expect("it stays open");
            let called = called.clone();
            tokio::spawn(async move {
                if let Calls::Waiting(_) = calls {
                    provider::call().await;
                }
                drop(place);
                let _ = called.send(job);
            });
        }
    });
    to_commit
}

async fn commit(
    channel: Channel,
    pool: PgPool,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    jobs: usize,
) -> Vec<(Instant, usize)> {
    let mut connection = pool.acquire().await.expect("a connection");
    let (mut group, mut acked) = (Vec::new(), Done::new());
    let (mut done, mut progress) = (0, Vec::new());
    while done < jobs && inbox.recv_many(&mut group, GROUP).await > 0 {
        let ids: Vec<Uuid> = group.iter().map(|(_, id, _)| *id).collect();
        let outputs: Vec<String> =
            group.iter().map(|(_, _, body)| format!("{{\"bytes\":{}}}", body.len())).collect();
        sqlx::query("INSERT INTO floor SELECT * FROM unnest($1::uuid[], $2::text[])")
            .bind(&ids)
            .bind(&outputs)
            .execute(&mut *connection)
            .await
            .expect("inserted");
        if let Some(tag) = acked.with(&group) {
            channel.basic_ack(tag, BasicAckOptions { multiple: true }).await.expect("acknowledged");
        }
        done += group.len();
        progress.push((Instant::now(), done));
        group.clear();
    }
    progress
}
