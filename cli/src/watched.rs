//! `--metrics ADDRESS`: the numbers of this process, for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use fleetline_shared::metrics::{
    self, FleetGauges, MeteredBroker, MeteredDispatch, MeteredFinishes, MeteredQuotas, Metrics,
};
use fleetline_shared::ports::{BacklogLedger, Broker, DispatchLedger, FinishLedger, Quotas};
use fleetline_shared::share::Reach;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::exit::CliError;

/// The parts of a process, with somebody counting what passes if it was asked for. If not, they are
/// what they were.
pub(crate) struct Watched {
    listener: Option<TcpListener>,
    metrics: Metrics,
    fleet: Option<FleetGauges>,
}

impl Watched {
    /// Listens where it is told to; `None`: nobody counts.
    pub(crate) async fn at(address: Option<&str>) -> Result<Self, CliError> {
        let listener = match address {
            None => None,
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| {
                CliError::Failure(format!(
                    "cannot listen for metrics on {address}: {error}; give another --metrics, such as 0.0.0.0:9464"
                ))
            })?),
        };
        Ok(Self { listener, metrics: Metrics::new(), fleet: None })
    }

    pub(crate) fn quotas(&mut self, quotas: Arc<dyn Quotas>) -> Arc<dyn Quotas> {
        match self.listener {
            Some(_) => Arc::new(MeteredQuotas::new(quotas, &mut self.metrics)),
            None => quotas,
        }
    }

    pub(crate) fn broker(&mut self, broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
        match self.listener {
            Some(_) => Arc::new(MeteredBroker::new(broker, &mut self.metrics)),
            None => broker,
        }
    }

    pub(crate) fn finishes(&mut self, ledger: Arc<dyn FinishLedger>) -> Arc<dyn FinishLedger> {
        match self.listener {
            Some(_) => Arc::new(MeteredFinishes::new(ledger, &mut self.metrics)),
            None => ledger,
        }
    }

    pub(crate) fn dispatch(&mut self, ledger: Arc<dyn DispatchLedger>) -> Arc<dyn DispatchLedger> {
        match self.listener {
            Some(_) => Arc::new(MeteredDispatch::new(ledger, &mut self.metrics)),
            None => ledger,
        }
    }

    /// Also tells whether calls go on with static shares, if they may.
    pub(crate) fn reach(&mut self, reach: Option<&Reach>) {
        if let (Some(_), Some(reach)) = (&self.listener, reach) {
            metrics::static_share(reach, &mut self.metrics);
        }
    }

    /// Also tells how the whole fleet stands.
    pub(crate) fn fleet(&mut self, quotas: &Arc<dyn Quotas>, ledger: Arc<dyn BacklogLedger>) {
        if self.listener.is_some() {
            self.fleet = Some(FleetGauges::new(Arc::clone(quotas), ledger, &mut self.metrics));
        }
    }

    /// Answers until `until`.
    pub(crate) fn start(self, app: &App, until: CancellationToken) {
        let Self { listener, metrics, fleet } = self;
        let Some(listener) = listener else { return };
        if let Ok(address) = listener.local_addr() {
            app.say(&format!("metrics on http://{address}/metrics"));
        }
        let shown = Arc::new((metrics, fleet));
        let router = Router::new().route("/metrics", get(show)).with_state(shown);
        tokio::spawn(async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(until.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the metrics cannot be read any more");
            }
        });
    }
}

async fn show(State(shown): State<Arc<(Metrics, Option<FleetGauges>)>>) -> impl IntoResponse {
    let (metrics, fleet) = &*shown;
    if let Some(fleet) = fleet {
        fleet.refresh().await;
    }
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.text())
}
