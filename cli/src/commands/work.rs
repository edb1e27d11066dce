//! `fleetline work`: a stateless worker of the fleet.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::Registry;
use fleetline_shared::ports::CancelLedger;
use fleetline_worker::{Worker, WorkerOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::args::WorkArgs;
use crate::exit::{CliError, INTERRUPTED};
use crate::fleet::{self, Role};
use crate::signals::Signals;
use crate::watched::Watched;

/// A worker of the fleet holds on to what it has paid for while the ledger is away for this long.
const PATIENCE: Duration = Duration::from_hours(1);

/// At its end it shares results for so long with those that wait for them; a sweep does the rest.
const SHARING: Duration = Duration::from_secs(10);

/// Works until it is told to stop, then drains.
pub(super) async fn work(app: &App, args: WorkArgs) -> Result<(), CliError> {
    let registry = chosen(app.registry(), &args.kinds)?;
    let kinds: Vec<_> = registry.names().collect();
    let kinds = kinds.join(", ");
    let mut signals = Signals::new()?;
    let mut watched = Watched::at(args.metrics.as_deref()).await?;
    let Some(ledger) = fleet::patiently(app, &mut signals).await? else { return Ok(()) };
    let broker = Arc::new(fleet::broker(app, Role::Worker)?);
    let on_redis = fleet::on_redis(app, &fleet::redis(app)?)?;
    watched.reach(on_redis.reach.as_ref());
    let quotas = watched.quotas(on_redis.quotas);
    let worker = Worker {
        registry,
        ledger: watched.finishes(Arc::new(ledger.clone())),
        broker: watched.broker(broker.clone()),
        leases: on_redis.leases,
        spare_leases: on_redis.spare_leases,
        quotas: Arc::clone(&quotas),
        terms: app.terms(),
        options: WorkerOptions { patience: PATIENCE, alone: false, ..app.worker_options() },
    };
    app.say(&format!(
        "working on {kinds}, {} at the same time, as {}",
        app.config().worker.concurrency,
        app.process_name()
    ));
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    watched.start(app, stop.clone());
    let running = worker.run(drain.clone(), stop.clone());
    let patience = app.config().redis.timeout;
    let mut working = tokio::spawn(async move {
        let ended = running.await;
        // Or the places of calls that were broken off stay taken for as long as those could have lasted.
        let _ = timeout(patience, quotas.flush()).await;
        let _ = timeout(SHARING, ledger.settled()).await;
        ended
    });
    let ended = tokio::select! {
        ended = &mut working => ended,
        () = signals.asked_to_stop() => {
            app.say("draining: running calls may finish, the rest goes back; again to leave at once");
            drain.cancel();
            tokio::select! {
                ended = &mut working => ended,
                () = signals.asked_to_stop() => std::process::exit(i32::from(INTERRUPTED)),
            }
        }
    };
    stop.cancel();
    broker.close().await;
    ended.map_err(|error| CliError::Failure(format!("the worker stopped: {error}")))??;
    Ok(())
}

fn chosen(registry: &Registry, kinds: &[String]) -> Result<Registry, CliError> {
    if kinds.is_empty() {
        return Ok(registry.clone());
    }
    registry.only(kinds).map_err(|unknown| {
        let known: Vec<_> = registry.names().collect();
        CliError::Usage(format!("--kinds: there is no kind `{unknown}`; there are {}", known.join(", ")))
    })
}
