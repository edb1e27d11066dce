//! Terminal states never change: rows are read again and again while the faults go on, and compared
//! with what they were when they were first seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::PostgresView;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A look that goes on until [`TerminalWatch::end`].
pub struct TerminalWatch {
    url: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// Terminal rows by job.
#[derive(Debug, Default)]
struct Seen {
    rows: HashMap<String, String>,
    changed: Vec<String>,
}

impl Seen {
    /// Compares all terminal rows there are with those known.
    fn look(&mut self, rows: HashMap<String, String>) {
        for (job, was) in &self.rows {
            if rows.get(job) != Some(was) {
                let is = rows.get(job).map_or("not terminal, or gone", String::as_str);
                self.changed.push(format!("terminal job {job} was {was}, is {is}"));
            }
        }
        self.rows = rows;
    }
}

impl TerminalWatch {
    /// Looks from now on, through faults of the server too.
    pub fn start(url: &str) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (to, from) = (Arc::clone(&seen), url.to_owned());
        let task = tokio::spawn(async move {
            loop {
                look(&from, &to).await;
                sleep(LOOK_EVERY).await;
            }
        });
        Self { url: url.to_owned(), seen, task }
    }

    /// Looks a last time; answers what has changed.
    pub async fn end(&self) -> Vec<String> {
        self.task.abort();
        look(&self.url, &self.seen).await;
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner).changed)
    }
}

impl Drop for TerminalWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(url: &str, seen: &Mutex<Seen>) {
    let Some(mut view) = PostgresView::open(url).await else { return };
    if let Some(rows) = view.terminal_rows().await {
        seen.lock().unwrap_or_else(PoisonError::into_inner).look(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, &str)]) -> HashMap<String, String> {
        rows.iter().map(|(job, row)| ((*job).to_owned(), (*row).to_owned())).collect()
    }

    #[test]
    fn more_terminal_rows_are_no_change() {
        let mut seen = Seen::default();
        seen.look(rows(&[("a", "succeeded")]));
        seen.look(rows(&[("a", "succeeded"), ("b", "dead")]));
        assert_eq!(seen.changed, Vec::<String>::new());
    }

    #[test]
    fn a_terminal_row_that_changes_or_goes_is_seen() {
        let mut seen = Seen::default();
        seen.look(rows(&[("a", "dead"), ("b", "dead")]));
        seen.look(rows(&[("a", "succeeded")]));
        assert_eq!(seen.changed.len(), 2, "{:?}", seen.changed);
    }
}
