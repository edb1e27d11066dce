//! A plain worker: the same steps as Fleetline's, written straight down. For each job one script takes
//! a lock and a token, a task has a place for its call, one grouped transaction checks a fence, ends the job and
//! writes the result, and a command gives the lock up. No lanes, no dedup, no counters, no retries, no reconnecting.

use std::time::Instant;

use fleetline_tests::services::Vhost;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use redis::aio::MultiplexedConnection;
use redis::{Script, pipe};
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::cpu::Cpu;
use crate::floor::{Calls, Done, GROUP, Job, PREFETCH, QUEUE, declare, make, publish};

/// As many as may be in hand.
const CALLS: Calls = Calls::Empty(PREFETCH as usize);

/// A lock and a token.
const SCRIPT: &str = "
    if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 30000) then return 0 end
    return redis.call('INCR', KEYS[2])";

const TABLES: &str = "
    DROP TABLE IF EXISTS plain_jobs, plain_results;
    CREATE TABLE plain_jobs (id uuid PRIMARY KEY, state smallint NOT NULL, fence bigint NOT NULL, args text NOT NULL);
    CREATE TABLE plain_results (id uuid PRIMARY KEY, output text NOT NULL)";

const SUBMIT: &str = "INSERT INTO plain_jobs SELECT id, 1, 1, $2 FROM unnest($1::uuid[]) id";

const FINISH: &str = "
    WITH ended AS (
      UPDATE plain_jobs SET state = 3 WHERE id = ANY($1) AND fence = 1 AND state = 1 RETURNING id
    )
    INSERT INTO plain_results SELECT id, output FROM unnest($1::uuid[], $2::text[]) f (id, output) JOIN ended USING (id)";

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// From a backlog on the line to the last acknowledgement.
    Work,
    /// The jobs' rows and their confirmed messages too.
    Whole,
}

/// Jobs per second.
pub(crate) async fn rate(
    pool: &PgPool,
    redis: &MultiplexedConnection,
    part: Part,
    jobs: usize,
    body: &str,
) -> f64 {
    let vhost = Vhost::new().await;
    let properties = ConnectionProperties::default;
    let connection = Connection::connect(&vhost.url, properties()).await.expect("a broker");
    let publishing = Connection::connect(&vhost.url, properties()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    let publisher = publishing.create_channel().await.expect("a channel");
    declare(&publisher).await;
    sqlx::raw_sql(TABLES).execute(pool).await.expect("tables");
    let ids: Vec<Uuid> = (0..jobs).map(|_| Uuid::now_v7()).collect();
    let (mut started, mut cpu) = (Instant::now(), Cpu::now());
    let submitting = tokio::spawn(submit(publisher, pool.clone(), ids, body.to_owned()));
    if part == Part::Work {
        submitting.await.expect("submitted");
        (started, cpu) = (Instant::now(), Cpu::now());
    }
    work(&channel, pool.clone(), redis.clone(), jobs).await;
    let rate = jobs as f64 / started.elapsed().as_secs_f64();
    println!("  plain, {}", cpu.since(jobs as u64));
    for connection in [connection, publishing] {
        connection.close(200, "done".into()).await.expect("closed");
    }
    vhost.remove().await;
    rate
}

/// Rows first, then their messages, while the next rows are written.
async fn submit(channel: Channel, pool: PgPool, ids: Vec<Uuid>, body: String) {
    let (written, mut to_publish) = mpsc::channel::<Vec<Uuid>>(8);
    let args = body.clone();
    let writing = tokio::spawn(async move {
        for group in ids.chunks(GROUP) {
            sqlx::query(SUBMIT).bind(group).bind(&args).execute(&pool).await.expect("inserted");
            written.send(group.to_vec()).await.expect("published");
        }
    });
    while let Some(group) = to_publish.recv().await {
        publish(&channel, group.into_iter(), body.as_bytes()).await;
    }
    writing.await.expect("written");
}

async fn work(channel: &Channel, pool: PgPool, redis: MultiplexedConnection, jobs: usize) {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("a prefetch");
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(QUEUE.into(), "plain".into(), options, FieldTable::default())
        .await
        .expect("a consumer");
    let (taken, to_admit) = mpsc::unbounded_channel();
    let (admitted, to_call) = mpsc::unbounded_channel();
    tokio::spawn(admit(redis.clone(), to_admit, admitted));
    let to_commit = make(CALLS, to_call);
    let committer = tokio::spawn(commit(channel.clone(), pool, redis, to_commit, jobs));
    for _ in 0..jobs {
        let delivery = deliveries.next().await.expect("a delivery").expect("no error");
        let id = delivery.properties.message_id().as_ref().expect("an id").as_str().parse().expect("a uuid");
        let _ = taken.send((delivery.delivery_tag, id, delivery.data));
    }
    committer.await.expect("committed");
}

async fn admit(
    mut redis: MultiplexedConnection,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    admitted: mpsc::UnboundedSender<Job>,
) {
    let script = Script::new(SCRIPT);
    let _: String = script.prepare_invoke().load_async(&mut redis).await.expect("the script loads");
    let mut group: Vec<Job> = Vec::new();
    while inbox.recv_many(&mut group, GROUP).await > 0 {
        let mut calls = pipe();
        for (_, id, _) in &group {
            calls
                .cmd("EVALSHA")
                .arg(script.get_hash())
                .arg(2)
                .arg(key(id))
                .arg("{plain}:tokens")
                .arg("owner");
        }
        let _: Vec<u64> = calls.query_async(&mut redis).await.expect("the scripts run");
        for job in group.drain(..) {
            let _ = admitted.send(job);
        }
    }
}

async fn commit(
    channel: Channel,
    pool: PgPool,
    mut redis: MultiplexedConnection,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    jobs: usize,
) {
    let mut connection = pool.acquire().await.expect("a connection");
    let (mut group, mut acked) = (Vec::new(), Done::new());
    let mut done = 0;
    while done < jobs && inbox.recv_many(&mut group, GROUP).await > 0 {
        let ids: Vec<Uuid> = group.iter().map(|(_, id, _)| *id).collect();
        let outputs: Vec<String> =
            group.iter().map(|(_, _, body)| format!("{{\"bytes\":{}}}", body.len())).collect();
        let finished = sqlx::query(FINISH).bind(&ids).bind(&outputs).execute(&mut *connection).await;
        assert_eq!(finished.expect("committed").rows_affected(), group.len() as u64);
        let mut unlock = pipe();
        for id in &ids {
            unlock.cmd("DEL").arg(key(id)).ignore();
        }
        let () = unlock.query_async(&mut redis).await.expect("unlocked");
        if let Some(tag) = acked.with(&group) {
            channel.basic_ack(tag, BasicAckOptions { multiple: true }).await.expect("acknowledged");
        }
        done += group.len();
        group.clear();
    }
}

fn key(id: &Uuid) -> String {
    format!("{{plain}}:{id}")
}
