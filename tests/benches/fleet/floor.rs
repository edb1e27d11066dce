//! The floor: the barest loop on the same servers. Consume, one script that takes a whole group's locks
//! and tokens, one grouped insert, acknowledge. No job has a row or a state, no lock is given up.

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
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) const QUEUE: &str = "floor";
pub(crate) const GROUP: usize = 200;
pub(crate) const PREFETCH: u16 = 1_000;

/// A lock for each job, and as many tokens from one bucket.
const SCRIPT: &str = "
    local token = redis.call('INCRBY', KEYS[1], #ARGV)
    for n = 1, #ARGV do redis.call('SET', KEYS[1] .. ARGV[n], token, 'NX', 'PX', 30000) end
    return token";

/// Jobs per second from a backlog on the line to the last acknowledgement.
pub(crate) async fn rate(pool: &PgPool, redis: &MultiplexedConnection, jobs: usize, body: &[u8]) -> f64 {
    let vhost = Vhost::new().await;
    let connection =
        Connection::connect(&vhost.url, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    declare(&channel).await;
    publish(&channel, (0..jobs).map(|_| Uuid::now_v7()), body).await;
    sqlx::query("CREATE TABLE IF NOT EXISTS floor (id uuid PRIMARY KEY, output text NOT NULL)")
        .execute(pool)
        .await
        .expect("a table");
    sqlx::query("TRUNCATE floor").execute(pool).await.expect("an empty table");
    let started = Instant::now();
    work(&channel, pool.clone(), redis.clone(), jobs).await;
    let rate = jobs as f64 / started.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await.expect("closed");
    vhost.remove().await;
    rate
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

async fn work(channel: &Channel, pool: PgPool, redis: MultiplexedConnection, jobs: usize) {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("a prefetch");
    let mut deliveries = channel
        .basic_consume(QUEUE.into(), "floor".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .expect("a consumer");
    let (taken, mut to_admit) = mpsc::unbounded_channel();
    let (admitted, to_commit) = mpsc::unbounded_channel();
    let script = Script::new(SCRIPT);
    tokio::spawn(async move {
        let mut redis = redis;
        let mut group: Vec<(u64, Uuid, Vec<u8>)> = Vec::new();
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
    let committer = tokio::spawn(commit(channel.clone(), pool, to_commit, jobs));
    for _ in 0..jobs {
        let delivery = deliveries.next().await.expect("a delivery").expect("no error");
        let id = delivery.properties.message_id().as_ref().expect("an id").as_str().parse().expect("a uuid");
        let _ = taken.send((delivery.delivery_tag, id, delivery.data));
    }
    committer.await.expect("committed");
}

async fn commit(
    channel: Channel,
    pool: PgPool,
    mut inbox: mpsc::UnboundedReceiver<(u64, Uuid, Vec<u8>)>,
    jobs: usize,
) {
    let mut connection = pool.acquire().await.expect("a connection");
    let mut group = Vec::new();
    let mut done = 0;
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
        let last = group.last().expect("not empty").0;
        channel.basic_ack(last, BasicAckOptions { multiple: true }).await.expect("acknowledged");
        done += group.len();
        group.clear();
    }
}
