//! The one writer: a thread that owns the connection and commits in groups.
//!
//! While one commit is in flight, further requests gather in the channel and become the next
//! transaction. An idle writer adds no delay, a busy one pays one fsync for many requests. Each
//! request runs in a savepoint of its own, so that one that fails spoils no other.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::fault::{Fault, in_words};
use crate::domain::PortError;
use crate::ports::{New, News};

/// Requests in one transaction at most: bounds what one failed commit takes along.
const GROUP: usize = 256;

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// A power cut: the commit waits for the disk.
    PowerCut,
    /// The end of this process. Enough for what would be done again anyway: a dispatch that a power
    /// cut undoes had its line in the same memory.
    ProcessEnd,
}

/// A request that was carried out and waits for its group's commit.
struct Handled {
    /// What its commit tells those who wait for work or for a run's end.
    news: Option<New>,
    /// Tells the caller how the request ended, once the group's fate is known.
    answer: Box<dyn FnOnce(Result<(), PortError>) + Send>,
}

/// Does the work in the open transaction, or hears why there is none.
type Work = Box<dyn FnOnce(Result<&Connection, PortError>, &Path) -> Handled + Send>;

struct Request {
    durability: Durability,
    work: Work,
}

#[derive(Clone)]
pub(super) struct Writer {
    /// Taken when it is closed.
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    requests: mpsc::UnboundedSender<Request>,
    /// Disconnected when the thread has closed the connection.
    ended: Receiver<()>,
}

impl Writer {
    /// Starts the thread. It ends when it is closed, or the last `Writer` is dropped. `changes` is
    /// raised after every commit that is news, before its requests are answered.
    pub(super) fn start(connection: Connection, path: PathBuf, changes: watch::Sender<News>) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        let (ending, ended) = channel();
        thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || {
                serve(&connection, &path, inbox, &changes);
                close(connection);
                drop(ending);
            })
            .expect("the system can start a thread");
        Self { open: Arc::new(Mutex::new(Some(Open { requests, ended }))) }
    }

    /// Carries out what was asked, closes the connection, and takes no more. Waits for that, so long
    /// at most; says whether it is closed.
    pub(super) fn close(&self, within: Duration) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Open { requests, ended }) = open else { return true };
        drop(requests);
        ended.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }

    fn send(&self, request: Request) -> Result<(), PortError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = open.as_ref().and_then(|open| open.requests.send(request).ok());
        sent.ok_or_else(gone)
    }

    /// Runs `work` in a transaction; answers after its commit. `news_of` looks at what it did.
    pub(super) async fn write<T: Send + 'static, E: Into<Fault>>(
        &self,
        durability: Durability,
        news_of: fn(&T) -> Option<New>,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, PortError> {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |transaction, path| {
            let result = transaction
                .and_then(|connection| in_savepoint(connection, work).map_err(|fault| fault.in_words(path)));
            Handled {
                news: result.as_ref().ok().and_then(news_of),
                answer: Box::new(move |group| {
                    // Nobody listens: the caller was cancelled. What is committed is committed.
                    let _ = reply.send(result.and_then(|value| group.map(|()| value)));
                }),
            }
        });
        self.send(Request { durability, work })?;
        answer.await.map_err(|_| gone())?
    }
}

fn gone() -> PortError {
    PortError::Broken { port: "ledger", message: "its writer has stopped".into() }
}

/// The last one to close a database brings its file up to date; beside a reader that is done here.
fn close(connection: Connection) {
    // Failing that, the log beside the file has what is missing.
    let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    drop(connection);
}

fn serve(
    connection: &Connection,
    path: &Path,
    mut inbox: mpsc::UnboundedReceiver<Request>,
    changes: &watch::Sender<News>,
) {
    let mut in_force = Durability::PowerCut;
    while let Some(first) = inbox.blocking_recv() {
        let waiting = gather(first, &mut inbox);
        let wanted = strongest(&waiting);
        if let Err(error) = begin(connection, wanted, &mut in_force) {
            for request in waiting {
                ((request.work)(Err(in_words(&error, path)), path).answer)(Ok(()));
            }
            continue;
        }
        let group = work_through(connection, path, waiting);
        let committed = commit(connection, path);
        let news: Vec<New> = group.iter().filter_map(|handled| handled.news).collect();
        if committed.is_ok() && !news.is_empty() {
            changes.send_modify(|all| news.into_iter().for_each(|new| all.add(new)));
        }
        for handled in group {
            (handled.answer)(committed.clone());
        }
    }
}

/// What waits, from the first on.
fn gather(first: Request, inbox: &mut mpsc::UnboundedReceiver<Request>) -> Vec<Request> {
    let mut waiting = vec![first];
    while waiting.len() < GROUP
        && let Ok(next) = inbox.try_recv()
    {
        waiting.push(next);
    }
    waiting
}

fn strongest(waiting: &[Request]) -> Durability {
    if waiting.iter().any(|request| request.durability == Durability::PowerCut) {
        Durability::PowerCut
    } else {
        Durability::ProcessEnd
    }
}

/// Begins a transaction. A commit that waits for the disk takes all earlier ones along.
fn begin(connection: &Connection, wanted: Durability, in_force: &mut Durability) -> rusqlite::Result<()> {
    if wanted != *in_force {
        let level = if wanted == Durability::PowerCut { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", level)?;
        *in_force = wanted;
    }
    connection.execute_batch("BEGIN IMMEDIATE")
}

/// Does the work of all; what a lost transaction leaves over is told so.
fn work_through(connection: &Connection, path: &Path, waiting: Vec<Request>) -> Vec<Handled> {
    let mut group = Vec::with_capacity(waiting.len());
    for request in waiting {
        // A full disk or an I/O error may end the whole transaction inside SQLite. What comes
        // after would run outside of any, so it hears what the others hear.
        let transaction = if connection.is_autocommit() { Err(lost(path)) } else { Ok(connection) };
        group.push((request.work)(transaction, path));
    }
    group
}

fn commit(connection: &Connection, path: &Path) -> Result<(), PortError> {
    if connection.is_autocommit() {
        return Err(lost(path));
    }
    connection.execute_batch("COMMIT").map_err(|error| {
        if !connection.is_autocommit() {
            // The commit's error is the one to tell; a transaction that stays open fails the next.
            let _ = connection.execute_batch("ROLLBACK");
        }
        in_words(&error, path)
    })
}

fn lost(path: &Path) -> PortError {
    PortError::Broken {
        port: "ledger",
        message: format!(
            "a serious error of another request in the same commit undid this one too, as after a full \
             disk ({}): try again",
            path.display()
        ),
    }
}

fn in_savepoint<T, E: Into<Fault>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, Fault> {
    connection.prepare_cached("SAVEPOINT request")?.execute([])?;
    let result = work(connection).map_err(Into::into);
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
