//! The one writer: a thread that owns the connection and commits in groups.
//!
//! While one commit is in flight, further requests gather in the channel and become the next
//! transaction. An idle writer adds no delay, a busy one pays one fsync for many requests. Each
//! request runs in a savepoint of its own, so that one that fails spoils no other.

use std::path::{Path, PathBuf};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::in_words;
use crate::domain::PortError;

/// Requests in one transaction at most: bounds what one failed commit takes along.
const GROUP: usize = 256;

/// Whether a request's commit is news for those who wait for work or for a run's end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Yes,
    No,
}

/// Tells the caller how the request ended, once the group's fate is known.
type Answer = Box<dyn FnOnce(Option<PortError>) + Send>;
/// Does the work in the open transaction, or hears why there is none.
type Request = Box<dyn FnOnce(Result<&Connection, PortError>, &Path) -> Answer + Send>;

#[derive(Clone)]
pub(super) struct Writer {
    requests: mpsc::UnboundedSender<(News, Request)>,
}

impl Writer {
    /// Starts the thread. It ends when the last `Writer` is dropped. `changes` is raised after
    /// every commit that is news.
    pub(super) fn start(connection: Connection, path: PathBuf, changes: watch::Sender<u64>) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || serve(&connection, &path, inbox, &changes))
            .expect("the system can start a thread");
        Self { requests }
    }

    /// Runs `work` in a transaction; answers after its commit.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        news: News,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let (reply, answer) = oneshot::channel();
        let request: Request = Box::new(move |transaction, path| {
            let result = transaction.and_then(|connection| {
                in_savepoint(connection, work).map_err(|error| in_words(&error, path))
            });
            Box::new(move |group_failure| {
                let _ = reply.send(result.and_then(|value| group_failure.map_or(Ok(value), Err)));
            })
        });
        let gone = || PortError::Broken { port: "ledger", message: "its writer has stopped".into() };
        self.requests.send((news, request)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn serve(
    connection: &Connection,
    path: &Path,
    mut inbox: mpsc::UnboundedReceiver<(News, Request)>,
    changes: &watch::Sender<u64>,
) {
    while let Some(first) = inbox.blocking_recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            first.1(Err(in_words(&error, path)), path)(None);
            continue;
        }
        let (news, answers, committed) = commit_group(connection, path, first, &mut inbox);
        for answer in answers {
            answer(committed.as_ref().err().map(|error| in_words(error, path)));
        }
        if news == News::Yes {
            changes.send_modify(|version| *version += 1);
        }
    }
}

fn commit_group(
    connection: &Connection,
    path: &Path,
    first: (News, Request),
    inbox: &mut mpsc::UnboundedReceiver<(News, Request)>,
) -> (News, Vec<Answer>, rusqlite::Result<()>) {
    let mut answers = Vec::new();
    let mut group_news = News::No;
    let mut next = Some(first);
    while let Some((news, request)) = next {
        if news == News::Yes {
            group_news = News::Yes;
        }
        answers.push(request(Ok(connection), path));
        // A full disk or an I/O error ends the whole transaction inside SQLite. What came after
        // would run outside of any, so the group ends here and the failing COMMIT tells everyone.
        let is_open = !connection.is_autocommit();
        next = if is_open && answers.len() < GROUP { inbox.try_recv().ok() } else { None };
    }
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    (group_news, answers, committed)
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("SAVEPOINT request")?.execute([])?;
    let result = work(connection);
    if connection.is_autocommit() {
        // The transaction is gone, and the savepoint with it.
        return result;
    }
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO request")?.execute([])?;
    }
    connection.prepare_cached("RELEASE request")?.execute([])?;
    result
}
