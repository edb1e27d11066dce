//! `POST /v1/runs`: a file becomes a run while it is still coming.

use std::pin::pin;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{Pace, check_encoding, check_length, chunks_of, larger_than, media_type};
use super::caller::Submitter;
use super::form::{AROUND_THE_FILE, from_form};
use super::params::{IdempotencyKey, Params};
use super::problem::{Problem, ProblemBody};
use super::views::RunView;
use super::{App, Shared};
use crate::intake::files::{FeedReader, FeedSender, feed};
use crate::intake::{FileAccepted, FileFault, FileRejected, FileRequest, submit_file};

/// Characters of an input's name.
const LONGEST_NAME: usize = 200;

/// How the file is to be read.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadParams {
    /// `discovery` for XML documents, `logs` for logs.
    #[param(example = "discovery")]
    pipeline: String,
    /// Name of the input, for people; the filename of a multipart body wins.
    #[param(example = "order.xml")]
    input: Option<String>,
}

/// Submits a file: raw, or as the first file of a `multipart/form-data` body.
///
/// The answer comes when all of its jobs are in the ledger. With an idempotency key the same file
/// again is answered with the same run.
#[utoipa::path(
    post, path = "/v1/runs", tag = "runs",
    params(
        UploadParams,
        ("Idempotency-Key" = Option<String>, Header, description = "Same key, same run. 1 to 255 characters.")
    ),
    request_body(content(
        (String = "application/octet-stream", example = json!("<Order><Item>1</Item></Order>")),
        (String = "multipart/form-data")
    )),
    responses(
        (status = 202, description = "Accepted: every job will reach one terminal state.", body = RunView,
         headers(("Location" = String, description = "Path of the run"))),
        (status = 400, description = "No such pipeline, or a body that broke off.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key stands for another file.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is compressed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The pipeline cannot read the file; `detail` says where.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_run(
    State(app): State<Shared>,
    Submitter(tenant): Submitter,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Params(params): Params<UploadParams>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let pipeline = params.pipeline.parse().map_err(Problem::bad_request)?;
    let limit = app.options.upload_bytes;
    check_encoding(request.headers())?;
    let is_multipart = is_multipart(request.headers());
    check_length(
        request.headers(),
        if is_multipart { limit.saturating_add(AROUND_THE_FILE) } else { limit },
    )?;
    let file = |name: Option<&str>| FileRequest {
        tenant,
        pipeline,
        input: input_name(name.or(params.input.as_deref())),
        idempotency_key,
    };
    let accepted = if is_multipart {
        from_form(&app, request, file).await?
    } else {
        let chunks = chunks_of(request.into_body(), Pace::of(&app.options)).map_err(Problem::from);
        let (sender, reader) = feed();
        let submitting = start(&app, file(None), reader)?;
        let fed = feed_all(&app, chunks, &sender).await;
        finish(fed.map(drop), sender, submitting).await?
    };
    let run = RunView {
        repeated: Some(accepted.repeated),
        problem: accepted.problem,
        ..RunView::from(accepted.run)
    };
    let location = format!("/v1/runs/{}", run.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(run)))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| media.eq_ignore_ascii_case("multipart/form-data"))
}

/// A name without anything that confuses a terminal or a page.
fn input_name(given: Option<&str>) -> String {
    let name: String =
        given.unwrap_or("upload").chars().filter(|char| !char.is_control()).take(LONGEST_NAME).collect();
    if name.is_empty() { "upload".to_owned() } else { name }
}

pub(super) type Submitting = tokio::task::JoinHandle<Result<FileAccepted, FileRejected>>;

/// In a task of its own: the handler is dropped when its client leaves, and what is in the ledger
/// by then must still be cleared away.
pub(super) fn start(app: &App, request: FileRequest, body: FeedReader<Bytes>) -> Result<Submitting, Problem> {
    let place = app.uploads.take(&request.tenant)?;
    let (ledger, pipelines) = (Arc::clone(&app.ledger), Arc::clone(&app.pipelines));
    let submitting = submit_file(ledger, pipelines, app.submissions.clone(), request, body);
    Ok(app.submissions.spawn(async move {
        let submitted = submitting.await;
        drop(place);
        submitted
    }))
}

/// Hands all chunks on, no faster than they are taken, until the server ends; whether all of them were.
/// Nobody taking them is no error here: the submission has ended, and says why.
pub(super) async fn feed_all(
    app: &App,
    chunks: impl Stream<Item = Result<Bytes, Problem>>,
    sender: &FeedSender<Bytes>,
) -> Result<bool, Problem> {
    let (mut chunks, limit) = (pin!(chunks), app.options.upload_bytes);
    let mut bytes = 0;
    while let Some(chunk) = app.submissions.unless_stopped(chunks.next()).await.ok_or_else(Problem::ending)? {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(larger_than(limit));
        }
        if !sender.send(chunk).await {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends the feed, and waits for what became of the file. A fault of the body is told before what
/// followed from it.
pub(super) async fn finish(
    fed: Result<(), Problem>,
    sender: FeedSender<Bytes>,
    submitting: Submitting,
) -> Result<FileAccepted, Problem> {
    match &fed {
        Ok(()) => sender.end().await,
        Err(_) => drop(sender),
    }
    let submitted = submitting.await.map_err(|error| {
        tracing::error!(%error, "a submission stopped");
        Problem::internal()
    })?;
    match (fed, submitted) {
        (Ok(()), Ok(accepted)) => Ok(accepted),
        (Ok(()), Err(rejected)) => Err(refused(rejected)),
        (Err(problem), Ok(_)) => Err(problem),
        (Err(problem), Err(rejected)) => Err(problem.leaving(rejected.left)),
    }
}

fn refused(FileRejected { fault, left }: FileRejected) -> Problem {
    let problem = match fault {
        FileFault::Unreadable(what) => Problem::unreadable_file(what),
        FileFault::Conflict(what) => Problem::conflict(what),
        FileFault::Ledger(error) => error.into(),
        FileFault::Stopped => Problem::ending(),
        FileFault::Spool(error) => {
            tracing::error!(%error, "an upload could not be kept: check the disk and the spool folder");
            Problem::unavailable("uploads cannot be kept now: send the file again later")
        }
    };
    problem.leaving(left)
}
