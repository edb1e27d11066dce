//! `/v1/runs/{run}/events`: a run's counters as they change, as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fleetline_shared::domain::{RunCounts, RunId, RunState};
use fleetline_shared::ports::{News, Role, RunRow};
use futures_util::stream::{Stream, unfold};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::caller::Reader;
use super::params::{Id, NoParams};
use super::problem::{Problem, ProblemBody};
use super::views::RunView;

/// The id of the last event.
const FINISHED: &str = "finished";

/// Follows a run: `progress` whenever its counters have changed, `finished` at its end, each with
/// the run. Then the stream ends; a client that comes back with `Last-Event-ID: finished` gets 204,
/// which tells it to stay away.
#[utoipa::path(
    get, path = "/v1/runs/{run}/events", tag = "runs",
    params(
        ("run" = String, Path, format = Uuid),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event seen: it is not sent again.")
    ),
    responses(
        (status = 200, description = "Events `progress` and `finished`; their data is the run.", body = RunView,
         content_type = "text/event-stream"),
        (status = 204, description = "The last event was seen: there will be no more."),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_events(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<RunId>,
    _: NoParams,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let changes = app.ledger.changes();
    let run = app.run_of(&tenant, id).await?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if seen == FINISHED && run.state == RunState::Finished {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let heartbeat = KeepAlive::new().interval(app.options.heartbeat).text("alive");
    let watching = Watching {
        app,
        seen: seen.to_owned(),
        headers,
        run,
        changes,
        not_before: Instant::now(),
        ended: false,
    };
    Ok(Sse::new(watching.events()).keep_alive(heartbeat).into_response())
}

/// Somebody who follows a run.
struct Watching {
    app: Shared,
    /// Of the request: they hold the key.
    headers: HeaderMap,
    run: RunRow,
    changes: watch::Receiver<News>,
    /// Id of the last event sent.
    seen: String,
    not_before: Instant,
    ended: bool,
}

impl Watching {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut watching| async move {
            let event = watching.next().await?;
            Some((Ok(event), watching))
        })
    }

    /// The next event; `None`: the run has ended, or its follower may look no longer, or this process
    /// ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended {
                return None;
            }
            let now = id_of(&self.run);
            if now != self.seen {
                self.ended = now == FINISHED;
                self.seen.clone_from(&now);
                self.not_before = Instant::now() + self.app.options.events_spacing;
                return Some(self.event(&now));
            }
            self.wait().await?;
        }
    }

    /// Waits until the run may have changed, and reads it again.
    async fn wait(&mut self) -> Option<()> {
        let shutdown = self.app.shutdown.clone();
        let poll = self.app.options.events_poll;
        let look = async {
            // Not at once after an event, however fast the run goes.
            sleep_until(self.not_before).await;
            tokio::select! {
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        sleep(poll).await;
                    }
                }
                () = sleep(poll) => {}
            }
        };
        tokio::select! {
            () = look => {}
            () = shutdown.cancelled() => return None,
        }
        self.changes.mark_unchanged();
        // A stream may outlive its key by hours.
        self.app.tenant(&self.headers, Role::Read).await.ok()?;
        // Whoever follows comes back by themselves, with the id of the last event.
        let read = self.app.ledger.run(self.run.id).await;
        let read = read.inspect_err(|error| tracing::warn!(%error, "an event stream was cut off"));
        self.run = read.ok()??;
        // Changes of other runs come often: each costs this one a look, so looks are spaced too.
        self.not_before = Instant::now() + self.app.options.events_spacing;
        Some(())
    }

    fn event(&self, id: &str) -> Event {
        let name = if id == FINISHED { "finished" } else { "progress" };
        let data = serde_json::to_string(&RunView::from(self.run.clone())).expect("a run is plain JSON");
        Event::default().event(name).id(id).data(data)
    }
}

/// Differs whenever there is something new to tell.
fn id_of(run: &RunRow) -> String {
    if run.state == RunState::Finished {
        return FINISHED.to_owned();
    }
    let RunCounts { jobs, succeeded, dead, cancelled, retries, usage, .. } = run.counts;
    let state = if run.is_cancelling() { "cancelling" } else { run.state.as_str() };
    format!("{state}-{jobs}-{succeeded}-{dead}-{cancelled}-{retries}-{}", usage.calls)
}
