//! The first file of a `multipart/form-data` body. What else the form holds is read and dropped, and
//! has limits too: the parser keeps a part's head whole, however long it is.

use std::error::Error;
use std::iter::successors;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::task::yield_now;

use super::App;
use super::body::{BodyFault, Pace, chunks_of};
use super::problem::Problem;
use super::upload::{feed_all, finish, start};
use crate::intake::files::feed;
use crate::intake::{FileAccepted, FileRequest};

/// Bytes around the file: heads, borders, other parts. As many before it as behind it.
pub(super) const AROUND_THE_FILE: u64 = 64 << 10;

/// Submits the first file of a form.
pub(super) async fn from_form(
    app: &App,
    request: Request,
    file: impl FnOnce(Option<&str>) -> FileRequest,
) -> Result<FileAccepted, Problem> {
    let allowance = Arc::new(Allowance::default());
    let mut form = open(app, request, &allowance).await?;
    while let Some(field) = form.next_field().await.map_err(|error| bad_form(&error))? {
        if field.file_name().is_none() {
            continue;
        }
        allowance.file_begins(app.options.upload_bytes);
        let (sender, reader) = feed();
        let submitting = start(app, file(field.file_name()), reader)?;
        let chunks = field.map_err(|error| bad_form(&error));
        let fed = match feed_all(app, chunks, &sender).await {
            Ok(true) => {
                allowance.file_ended();
                let rest = app.submissions.unless_stopped(rest_of(&mut form)).await;
                rest.unwrap_or_else(|| Err(Problem::ending()))
            }
            fed => fed.map(drop),
        };
        return finish(fed, sender, submitting).await;
    }
    Err(Problem::bad_request("the form has no file: a part with `filename` in its head"))
}

async fn open(app: &App, request: Request, allowance: &Arc<Allowance>) -> Result<Multipart, Problem> {
    let (head, body) = request.into_parts();
    let chunks = chunks_of(body, Pace::of(&app.options));
    let mut request = Request::from_parts(head, Body::from_stream(within(chunks, Arc::clone(allowance))));
    // The limits are counted here.
    DefaultBodyLimit::disable().apply(&mut request);
    Multipart::from_request(request, &())
        .await
        .map_err(|_| Problem::bad_request("the multipart body has no boundary"))
}

/// Reads a form to its end, so that one that was cut off behind the file is not taken for whole.
async fn rest_of(form: &mut Multipart) -> Result<(), Problem> {
    while form.next_field().await.map_err(|error| bad_form(&error))?.is_some() {}
    Ok(())
}

fn bad_form(error: &MultipartError) -> Problem {
    let causes = successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    match causes.into_iter().find_map(|cause| cause.downcast_ref::<BodyFault>()) {
        Some(fault) => fault.clone().into(),
        None => Problem::bad_request(format!("the multipart body cannot be read: {}", error.body_text())),
    }
}

/// How much of a form the parser may have: more when the file begins, less when it has ended.
struct Allowance {
    taken: AtomicU64,
    limit: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { taken: AtomicU64::new(0), limit: AtomicU64::new(AROUND_THE_FILE) }
    }
}

impl Allowance {
    fn file_begins(&self, bytes: u64) {
        self.limit.store(bytes.saturating_add(AROUND_THE_FILE), Ordering::Relaxed);
    }

    fn file_ended(&self) {
        let rest = self.taken.load(Ordering::Relaxed).saturating_add(AROUND_THE_FILE);
        self.limit.fetch_min(rest, Ordering::Relaxed);
    }

    /// As much of a chunk as may be taken now; the rest of it stays.
    fn take(&self, chunk: &mut Bytes) -> Result<Bytes, BodyFault> {
        let taken = self.taken.load(Ordering::Relaxed);
        let left = self.limit.load(Ordering::Relaxed).saturating_sub(taken);
        if left == 0 {
            return Err(BodyFault::BesideTheFile(AROUND_THE_FILE));
        }
        let part = chunk.split_to(chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        self.taken.store(taken + part.len() as u64, Ordering::Relaxed);
        Ok(part)
    }
}

/// The bytes of a form as far as they are allowed.
fn within(
    chunks: impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static,
    allowance: Arc<Allowance>,
) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    try_unfold((chunks.boxed(), Bytes::new()), move |(mut chunks, mut rest)| {
        let allowance = Arc::clone(&allowance);
        async move {
            // The parser asks until nothing is ready, up to twice before it looks at what it has. It
            // must find the file before it asks for more than may come without one.
            yield_now().await;
            yield_now().await;
            while rest.is_empty() {
                match chunks.try_next().await? {
                    Some(chunk) => rest = chunk,
                    None => return Ok(None),
                }
            }
            Ok(Some((allowance.take(&mut rest)?, (chunks, rest))))
        }
    })
}
