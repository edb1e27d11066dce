//! Progress on stderr: a bar on a terminal, now and then a line elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};

use super::format;
use crate::present::tell;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All jobs; `None` while the input is still being read.
    pub total: Option<u64>,
    /// Jobs in a terminal state.
    pub done: u64,
    /// Of those: with an earlier result.
    pub reused: u64,
    /// Of those: dead.
    pub dead: u64,
    /// Failed attempts that were tried again.
    pub retries: u64,
    /// Nothing begins any more: what is left is under way.
    pub cancelled: bool,
    /// Attempts under way.
    pub running: u64,
    /// What jobs wait for, if they do: `openai: tokens`.
    pub waiting_for: Option<String>,
}

/// Shows [`Progress`] on stderr.
pub struct Meter {
    pace: Pace,
    started: Instant,
    sink: Sink,
}

enum Sink {
    Bar(ProgressBar),
    Lines { every: Duration, last: Duration },
    Quiet,
}

impl Meter {
    /// A bar if stderr is a terminal; else a line every so often.
    pub fn on_stderr(every: Duration) -> Self {
        let sink = if std::io::stderr().is_terminal() {
            Sink::Bar(bar())
        } else {
            Sink::Lines { every, last: Duration::ZERO }
        };
        Self::new(sink)
    }

    /// Shows nothing.
    pub fn quiet() -> Self {
        Self::new(Sink::Quiet)
    }

    fn new(sink: Sink) -> Self {
        Self { pace: Pace::default(), started: Instant::now(), sink }
    }

    /// Shows the progress. Cheap; call it a few times a second.
    pub fn update(&mut self, progress: &Progress) {
        let elapsed = self.started.elapsed();
        self.pace.note(elapsed, progress.done.saturating_sub(progress.reused));
        match &mut self.sink {
            Sink::Bar(bar) => {
                match progress.total {
                    Some(total) => bar.set_length(total.max(progress.done)),
                    None => bar.unset_length(),
                }
                bar.set_position(progress.done);
                bar.set_message(describe(progress, &self.pace));
            }
            Sink::Lines { every, last } if elapsed.saturating_sub(*last) >= *every => {
                *last = elapsed;
                tell(&describe(progress, &self.pace));
            }
            Sink::Lines { .. } | Sink::Quiet => {}
        }
    }

    /// Time since the meter was made.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Sink::Bar(bar) = &self.sink {
            bar.finish_and_clear();
        }
    }
}

/// The bar on the terminal, if there is one.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Runs something that writes to the terminal, with the bar out of the way.
pub fn aside<T>(write: impl FnOnce() -> T) -> T {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(WeakProgressBar::upgrade);
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner:.cyan} {bar:24.cyan/dim} {wide_msg}")
        .expect("the template is fixed, and a test draws it")
        .progress_chars("━━╌");
    let bar = ProgressBar::no_length().with_style(style);
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    bar.enable_steady_tick(Duration::from_millis(120));
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
    bar
}

/// `120/500 jobs · 12/s · 31s left · 10 running · 40 reused · 2 failed · 5 retries`
fn describe(progress: &Progress, pace: &Pace) -> String {
    let done = format::count(progress.done);
    let mut parts = vec![match progress.total {
        Some(total) => format!("{done}/{} jobs", format::count(total)),
        None => format!("{done} jobs, reading on"),
    }];
    if progress.cancelled {
        parts.push("cancelled: what is under way ends with its attempt".to_owned());
    } else if let Some(rate) = pace.per_second() {
        parts.push(format::per_second(rate));
        let left = progress.total.map(|total| total.saturating_sub(progress.done));
        let seconds = left.filter(|left| *left > 0).map(|left| left as f64 / rate);
        if let Some(left) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            parts.push(format!("{} left", format::duration(left.max(Duration::from_secs(1)))));
        }
    }
    let counters = [
        (progress.running, "running"),
        (progress.reused, "reused"),
        (progress.dead, "failed"),
        (progress.retries, if progress.retries == 1 { "retry" } else { "retries" }),
    ];
    let shown = counters.iter().filter(|(number, _)| *number > 0);
    parts.extend(shown.map(|(number, word)| format!("{} {word}", format::count(*number))));
    parts.extend(progress.waiting_for.iter().map(|what| format!("waiting for {}", format::clean(what))));
    parts.join(" · ")
}

/// Jobs per second over the last while. Reused results don't count: they come at once, and an ETA
/// from them would be far too early.
#[derive(Default)]
struct Pace {
    seen: VecDeque<(Duration, u64)>,
}

impl Pace {
    const WINDOW: Duration = Duration::from_secs(15);

    fn note(&mut self, elapsed: Duration, worked: u64) {
        self.seen.push_back((elapsed, worked));
        while self.seen.get(1).is_some_and(|(at, _)| elapsed.saturating_sub(*at) >= Self::WINDOW) {
            self.seen.pop_front();
        }
    }

    /// `None`: nothing was finished in that while.
    fn per_second(&self) -> Option<f64> {
        let ((from, before), (to, now)) = (*self.seen.front()?, *self.seen.back()?);
        let seconds = to.saturating_sub(from).as_secs_f64();
        (now > before && seconds > 0.0).then(|| (now - before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(seen: &[(u64, u64)]) -> Pace {
        let mut pace = Pace::default();
        for (seconds, worked) in seen {
            pace.note(Duration::from_secs(*seconds), *worked);
        }
        pace
    }

    #[test]
    fn says_what_is_known() {
        let running = Progress { total: Some(1_500), done: 500, running: 10, ..Progress::default() };
        let table = [
            (Progress::default(), pace(&[]), "0 jobs, reading on"),
            (running.clone(), pace(&[(0, 0)]), "500/1,500 jobs · 10 running"),
            (running.clone(), pace(&[(0, 0), (10, 500)]), "500/1,500 jobs · 50/s · 20.0s left · 10 running"),
            (
                Progress {
                    reused: 40,
                    dead: 2,
                    retries: 1,
                    waiting_for: Some("openai: tokens".into()),
                    ..running.clone()
                },
                pace(&[]),
                "500/1,500 jobs · 10 running · 40 reused · 2 failed · 1 retry · waiting for openai: tokens",
            ),
            (
                Progress { cancelled: true, ..running.clone() },
                pace(&[(0, 0), (10, 500)]),
                "500/1,500 jobs · cancelled: what is under way ends with its attempt · 10 running",
            ),
            (
                Progress { total: Some(9), done: 9, ..Progress::default() },
                pace(&[(0, 0), (3, 9)]),
                "9/9 jobs · 3.0/s",
            ),
        ];
        for (progress, pace, expected) in table {
            assert_eq!(describe(&progress, &pace), expected);
        }
    }

    #[test]
    fn the_pace_is_that_of_the_last_while() {
        assert_eq!(pace(&[(0, 0), (5, 100)]).per_second(), Some(20.0));
        // Long ago it was fast; now it does 2 a second.
        assert_eq!(pace(&[(0, 0), (10, 1_000), (20, 1_000), (25, 1_030)]).per_second(), Some(2.0));
        assert_eq!(pace(&[(0, 7), (60, 7)]).per_second(), None);
        assert_eq!(pace(&[(4, 7)]).per_second(), None);
    }

    #[test]
    fn the_bar_draws() {
        let mut meter = Meter::new(Sink::Bar(bar()));
        meter.update(&Progress { total: None, done: 3, ..Progress::default() });
        meter.update(&Progress { total: Some(4), done: 4, ..Progress::default() });
        let Sink::Bar(bar) = &meter.sink else { panic!("it was made as a bar") };
        assert_eq!((bar.position(), bar.length()), (4, Some(4)));
        assert!(bar.message().starts_with("4/4 jobs"));
    }
}
