//! `fleetline serve`: the fleet's front door and engine.

use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::amqp::{BrokerEvents, record_crash_loops};
use fleetline_producer::dispatcher::{DispatchOptions, Dispatcher, WindowBounds};
use fleetline_producer::insight::FleetPorts;
use fleetline_producer::relay::Relay;
use fleetline_producer::sweeper::{self, SweepOptions};
use fleetline_shared::ports::{CancelLedger, DispatchLedger, Scope};
use fleetline_shared::postgres::PostgresLedger;
use fleetline_shared::rabbitmq::RabbitBroker;
use fleetline_shared::rules::Backoff;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::args::ServeArgs;
use crate::engine::detours;
use crate::exit::{CliError, INTERRUPTED};
use crate::fleet::{self, OnRedis, Role};
use crate::signals::Signals;
use crate::watched::Watched;

/// A line's window where the settings leave it to the workers' speed.
const WINDOW: WindowBounds = WindowBounds { least: 64, most: 10_000 };

/// The connections to the broker have the rest of the grace to close in good order, and so much at least.
const CLOSING: Duration = Duration::from_secs(1);

/// Serves until it is told to stop, then ends in order: nothing new is accepted, what was taken is
/// handed on.
pub(super) async fn serve(app: &App, args: ServeArgs) -> Result<(), CliError> {
    let mut signals = Signals::new()?;
    let mut watched = Watched::at(args.metrics.as_deref()).await?;
    let Some(ledger) = fleet::patiently(app, &mut signals).await? else { return Ok(()) };
    // Only now: a probe, or a client, would get no answer before.
    let listener = listen(app).await?;
    let ledger = Arc::new(ledger);
    let broker = Arc::new(fleet::broker(app, Role::Producer)?);
    let drain = CancellationToken::new();
    let on_redis = fleet::on_redis(app, &fleet::redis(app)?)?;
    watched.fleet(&on_redis.fleet_quotas, ledger.clone());
    let mut parts = start(app, &ledger, &broker, &on_redis, &drain, &mut watched);
    watched.start(app, drain.clone());
    let shared =
        FleetPorts { quotas: on_redis.fleet_quotas, broker: broker.clone(), leases: on_redis.leases };
    let parts_of_http = fleet::http_parts(app, &ledger, shared)?;
    if let Ok(address) = listener.local_addr() {
        app.say(&format!("listening on http://{address}"));
    }
    let until = drain.clone();
    parts.spawn(async move {
        if let Err(error) = fleetline_producer::http::serve(listener, parts_of_http, until).await {
            tracing::error!(%error, "the HTTP intake stopped");
        }
    });
    let crashed = tokio::select! {
        () = signals.asked_to_stop() => None,
        ended = parts.join_next() => ended,
    };
    app.say("ending: what was accepted is kept; again to leave at once");
    drain.cancel();
    let until = Instant::now() + app.config().worker.grace;
    let all = async {
        while parts.join_next().await.is_some() {}
        // Or those that wait for a share would wait for the sweep of another process.
        ledger.settled().await;
    };
    tokio::select! {
        ended = timeout_at(until, all) => {
            if ended.is_err() {
                tracing::warn!("not all parts ended within worker.grace; the ledger has what they were doing");
            }
        }
        () = signals.asked_to_stop() => std::process::exit(i32::from(INTERRUPTED)),
    }
    if timeout_at(until.max(Instant::now() + CLOSING), broker.close()).await.is_err() {
        tracing::warn!(
            "the connections to RabbitMQ were left within worker.grace; what was not settled comes again"
        );
    }
    match crashed {
        None => Ok(()),
        Some(ended) => Err(CliError::Failure(match ended {
            Ok(()) => "a part of the server ended by itself; the log says why".into(),
            Err(error) => format!("a part of the server crashed: {error}"),
        })),
    }
}

async fn listen(app: &App) -> Result<TcpListener, CliError> {
    let address = app.config().serve.listen;
    TcpListener::bind(address).await.map_err(|error| {
        CliError::Failure(format!("cannot listen on {address}: {error}; give another --listen"))
    })
}

fn start(
    app: &App,
    ledger: &Arc<PostgresLedger>,
    broker: &Arc<RabbitBroker>,
    on_redis: &OnRedis,
    drain: &CancellationToken,
    watched: &mut Watched,
) -> JoinSet<()> {
    let config = app.config();
    let lines = watched.dispatch(ledger.clone());
    let mut parts = JoinSet::new();
    let dispatcher = Dispatcher {
        ledger: Arc::clone(&lines),
        finishes: ledger.clone(),
        broker: watched.broker(broker.clone()),
        quotas: Arc::clone(&on_redis.quotas),
        kinds: app.registry().names().map(ToOwned::to_owned).collect(),
        options: DispatchOptions {
            scope: Scope::All,
            window: config
                .dispatch
                .window
                .map_or(WINDOW, |most| WindowBounds { least: WINDOW.least.min(most), most }),
            poll: config.dispatch.poll,
            hold: app.worker_options().hold,
            weights: app.weights(),
            detours: detours(&app.terms()),
            upstreams: config.upstreams.keys().cloned().collect(),
        },
    };
    parts.spawn(dispatcher.run(drain.clone()));
    // A message that is lost by itself says nothing about its job: without workers for an hour, every
    // job on a line would look like a crash loop. The broker's delivery limit finds the real ones.
    let left_after = Some(config.dispatch.left_after);
    let sweep = SweepOptions { max_losses: u16::MAX, left_after, ..app.sweep_options() };
    parts.spawn(sweeper::run(lines, sweep, drain.clone()));
    let relay = Relay {
        outbox: ledger.clone(),
        sink: Arc::new(BrokerEvents(broker.publisher())),
        changes: ledger.changes(),
        poll: config.dispatch.poll,
    };
    parts.spawn(relay.run(drain.clone()));
    let backoff = Backoff { base: config.jobs.backoff_base, cap: config.jobs.backoff_cap };
    parts.spawn(record_crash_loops(
        broker.clone(),
        ledger.clone(),
        Arc::clone(&on_redis.leases),
        backoff,
        drain.clone(),
    ));
    parts.spawn(fleet::amqp_intake(app, ledger, broker).run(drain.clone()));
    parts
}
