//! The fleet's servers, from the settings: Postgres, `RabbitMQ`, Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::amqp::AmqpIntake;
use fleetline_producer::http::{Access, HttpOptions, HttpParts};
use fleetline_producer::insight::{FleetPorts, Insight};
use fleetline_producer::intake::{JobLimits, Pipelines};
use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{Leases, Ledger, Limits as QuotaLimits, Quotas};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_shared::rabbitmq::topology::{Limits, Management, Topology};
use fleetline_shared::rabbitmq::{RabbitBroker, RabbitOptions};
use fleetline_shared::redis::{Redis, RedisLeases, RedisOptions, RedisQuotas};
use fleetline_shared::rules::Pacing;
use fleetline_shared::share::{Reach, ShareLeases, StaticShare};
use fleetline_shared::tls::CaFile;
use tokio::time::sleep;

use crate::app::App;
use crate::args::Pipeline;
use crate::exit::CliError;
use crate::server_url::{MANAGEMENT, POSTGRES, RABBITMQ, REDIS, checked_url, server_url};
use crate::signals::Signals;

/// Time between two looks for a ledger that is not there yet.
const RETRY: Duration = Duration::from_secs(2);
/// Cancelling the runs of uploads may take so long at the end, if there is so much time.
const CLEARING: Duration = Duration::from_secs(5);

/// What a process is, for names that operators read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Puts work in and keeps it moving.
    Producer,
    /// Does the work.
    Worker,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Worker => "worker",
        }
    }
}

/// The ledger.
pub async fn ledger(app: &App) -> Result<Arc<dyn Ledger>, CliError> {
    Ok(Arc::new(postgres(app).await?))
}

/// The ledger with all that only Postgres has.
pub async fn postgres(app: &App) -> Result<PostgresLedger, CliError> {
    Ok(PostgresLedger::open(&postgres_options(app)?).await?)
}

/// The ledger, as soon as it answers; `None`: told to stop before. A process of the fleet may start
/// before its servers.
pub(crate) async fn patiently(app: &App, signals: &mut Signals) -> Result<Option<PostgresLedger>, CliError> {
    loop {
        match postgres(app).await {
            Err(CliError::Port(error @ (PortError::Unavailable { .. } | PortError::Broken { .. }))) => {
                tracing::warn!(%error, "waiting for the ledger");
            }
            opened => return opened.map(Some),
        }
        tokio::select! {
            () = signals.asked_to_stop() => return Ok(None),
            () = sleep(RETRY) => {}
        }
    }
}

/// How to reach the ledger.
pub fn postgres_options(app: &App) -> Result<PostgresOptions, CliError> {
    let config = &app.config().postgres;
    let url = server_url(app, &POSTGRES, config.url.as_ref())?;
    Ok(PostgresOptions {
        pool_size: config.connections,
        acquire_timeout: config.acquire_timeout,
        statement_timeout: config.statement_timeout,
        application_name: format!("fleetline/{}", app.process_name()),
        ..PostgresOptions::new(url)
    })
}

/// How to reach the broker.
pub fn rabbit_options(app: &App, role: Role) -> Result<RabbitOptions, CliError> {
    let config = &app.config().rabbitmq;
    let url = server_url(app, &RABBITMQ, config.url.as_ref())?;
    Ok(RabbitOptions {
        ca: ca_file(config.ca_file.as_deref(), "rabbitmq.ca_file")?,
        heartbeat: config.heartbeat,
        connect_timeout: config.connect_timeout,
        confirm_timeout: config.confirm_timeout,
        ..RabbitOptions::new(url, role.as_str(), app.process_name())
    })
}

/// The broker; it connects in the background.
pub fn broker(app: &App, role: Role) -> Result<RabbitBroker, CliError> {
    Ok(RabbitBroker::new(&rabbit_options(app, role)?)?)
}

/// The broker's management API, if the settings name it.
pub fn management(app: &App) -> Result<Option<Management>, CliError> {
    let config = &app.config().rabbitmq;
    let ca = ca_file(config.ca_file.as_deref(), "rabbitmq.ca_file")?;
    let Some(url) = &config.management_url else { return Ok(None) };
    let url = checked_url(app, &MANAGEMENT, url)?;
    Ok(Some(Management::new(url, ca.as_ref())?))
}

/// What Fleetline needs of the broker.
pub fn topology(app: &App) -> Topology {
    let config = &app.config().rabbitmq;
    Topology {
        kinds: app.registry().names().map(ToOwned::to_owned).collect(),
        limits: Limits {
            delivery_limit: config.delivery_limit,
            line_length: config.max_length,
            ..Limits::default()
        },
    }
}

/// Redis; it connects when it is first needed.
pub fn redis(app: &App) -> Result<Redis, CliError> {
    let config = &app.config().redis;
    let url = server_url(app, &REDIS, config.url.as_ref())?;
    let options = RedisOptions {
        ca: ca_file(config.ca_file.as_deref(), "redis.ca_file")?,
        prefix: config.prefix.clone(),
        response_timeout: config.timeout,
        ..RedisOptions::new(url)
    };
    Ok(Redis::new(options)?)
}

/// Holds on dedup keys.
pub fn leases(redis: &Redis) -> Arc<dyn Leases> {
    Arc::new(RedisLeases::new(redis.clone()))
}

/// What a process uses of Redis, and does while that cannot be reached.
pub struct OnRedis {
    /// The upstreams' quotas, counted over the fleet; without Redis some upstreams have static shares.
    pub quotas: Arc<dyn Quotas>,
    /// The fleet's quotas alone: for those who only look.
    pub fleet_quotas: Arc<dyn Quotas>,
    /// Holds on dedup keys.
    pub leases: Arc<dyn Leases>,
    /// The same, which do without Redis.
    pub spare_leases: Arc<dyn Leases>,
    /// Whether Redis can be reached, if an upstream has a static share.
    pub reach: Option<Reach>,
}

/// Quotas and leases on Redis. Must be called in a tokio runtime.
pub fn on_redis(app: &App, redis: &Redis) -> Result<OnRedis, CliError> {
    let fleet = Arc::new(RedisQuotas::new(redis.clone(), limits(app)));
    let leases = leases(redis);
    let upstreams = app.config().upstreams.iter();
    let replicas: BTreeMap<_, _> =
        upstreams.filter_map(|(name, upstream)| Some((name.clone(), upstream.share()?))).collect();
    let quotas = StaticShare::new(fleet.clone(), limits(app), &replicas, Pacing::default())?;
    let spare_leases = Arc::new(ShareLeases::new(Arc::clone(&leases), quotas.reach()));
    let reach = (!replicas.is_empty()).then(|| quotas.reach());
    Ok(OnRedis { quotas: Arc::new(quotas), fleet_quotas: fleet, leases, spare_leases, reach })
}

/// The same to look at only: the limits of the processes that work stay in force.
fn quotas_to_look_at(redis: &Redis) -> Arc<dyn Quotas> {
    Arc::new(RedisQuotas::new(redis.clone(), BTreeMap::new()))
}

/// The limits that processes gave, and that are in force.
pub async fn limits_in_force(redis: &Redis) -> Result<BTreeMap<String, QuotaLimits>, CliError> {
    Ok(RedisQuotas::new(redis.clone(), BTreeMap::new()).given_limits().await?)
}

/// The upstreams' limits, as configured here.
pub fn limits(app: &App) -> BTreeMap<String, QuotaLimits> {
    let upstreams = app.config().upstreams.iter();
    upstreams.map(|(name, upstream)| (name.clone(), upstream.limits())).collect()
}

/// Upstreams whose calls go on while Redis is away.
fn static_shares(app: &App) -> BTreeSet<String> {
    let shared = app.config().upstreams.iter().filter(|(_, upstream)| upstream.share().is_some());
    shared.map(|(name, _)| name.clone()).collect()
}

/// Answers about upstreams and jobs, for a command.
pub fn insight(app: &App, ledger: Arc<dyn Ledger>) -> Result<Insight, CliError> {
    let redis = redis(app)?;
    let fleet = FleetPorts {
        quotas: quotas_to_look_at(&redis),
        broker: Arc::new(broker(app, Role::Producer)?),
        leases: leases(&redis),
    };
    Ok(Insight {
        ledger,
        kinds: app.registry().clone(),
        limits: limits(app),
        static_shares: static_shares(app),
        weights: app.weights(),
        fleet: Some(fleet),
        flags: app.flags(),
    })
}

/// What the HTTP intake works with.
pub fn http_parts(app: &App, ledger: &Arc<PostgresLedger>, fleet: FleetPorts) -> Result<HttpParts, CliError> {
    let config = &app.config().serve;
    let (grace, clearing) = http_grace(app.config().worker.grace);
    let access =
        if config.open { Access::Open(app.tenant().to_owned()) } else { Access::Keys(ledger.clone()) };
    Ok(HttpParts {
        ledger: ledger.clone(),
        kinds: app.registry().clone(),
        pipelines: Pipelines {
            discovery: app.job_template(Pipeline::Discovery)?,
            discovery_options: app.discovery_options()?,
            logs: app.job_template(Pipeline::Logs)?,
            log_options: app.log_options(),
            spool: std::env::temp_dir(),
        },
        insight: Insight {
            ledger: ledger.clone(),
            kinds: app.registry().clone(),
            limits: limits(app),
            static_shares: static_shares(app),
            weights: app.weights(),
            fleet: Some(fleet),
            flags: app.flags(),
        },
        access,
        options: HttpOptions {
            jobs: job_limits(app),
            upload_bytes: config.max_body_mb << 20,
            page_bytes: config.max_page_mb << 20,
            uploads: config.max_uploads,
            upload_rate: config.min_upload_kb << 10,
            body_timeout: config.read_timeout,
            write_timeout: config.write_timeout,
            grace,
            clearing,
            ..HttpOptions::default()
        },
    })
}

/// Of the time that the process has to end: how long uploads may go on, and how long it may take to
/// cancel the runs of those that did not end.
fn http_grace(grace: Duration) -> (Duration, Duration) {
    let clearing = (grace / 6).max(CLEARING.min(grace / 2));
    (grace.saturating_sub(clearing), clearing)
}

/// The intake on the broker.
pub fn amqp_intake(app: &App, ledger: &Arc<PostgresLedger>, broker: &Arc<RabbitBroker>) -> AmqpIntake {
    AmqpIntake {
        broker: Arc::clone(broker),
        ledger: ledger.clone(),
        kinds: app.registry().clone(),
        limits: job_limits(app),
        tenant: app.tenant().to_owned(),
        prefetch: app.config().serve.intake_prefetch,
    }
}

/// What one request or message may ask for.
fn job_limits(app: &App) -> JobLimits {
    let (serve, jobs) = (&app.config().serve, &app.config().jobs);
    JobLimits {
        bytes: serve.max_request_mb << 20,
        jobs: serve.max_jobs,
        args_bytes: serve.max_args_kb << 10,
        args_depth: serve.max_depth,
        default_attempts: jobs.max_attempts,
        ..JobLimits::default()
    }
}

fn ca_file(path: Option<&Path>, key: &str) -> Result<Option<CaFile>, CliError> {
    path.map(CaFile::read).transpose().map_err(|problem| CliError::Usage(format!("{key}: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_uploads_has_its_time_within_the_grace() {
        for (grace, uploads, clearing) in [(0, 0, 0), (2, 1, 1), (10, 5, 5), (30, 25, 5), (60, 50, 10)] {
            let seconds = Duration::from_secs;
            assert_eq!(http_grace(seconds(grace)), (seconds(uploads), seconds(clearing)));
        }
    }
}
