//! How much may wait on a line: about half a second of work.
//!
//! Little enough that a new run gets its share at once, however slow the calls are; enough that fast
//! workers never find the line empty. How fast they are, the line itself tells.

use std::time::Duration;

use tokio::time::Instant;

/// So much work waits on a line.
const WORTH: Duration = Duration::from_millis(500);
/// Weight of the newest look in the rate.
const NEWEST: f64 = 0.3;
/// Bounds of the time between two looks at a line while its backlog is not empty.
const SOONEST: Duration = Duration::from_millis(2);
const LATEST: Duration = Duration::from_millis(250);

/// Bounds of a line's window, in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBounds {
    /// What may always wait.
    pub least: usize,
    /// What may wait at most, however fast the workers are.
    pub most: usize,
}

/// A line's window, and what is known of its workers.
#[derive(Debug)]
pub(super) struct Window {
    bounds: WindowBounds,
    size: usize,
    /// Messages that workers take in a second.
    rate: f64,
    /// When it was, and what then waited on the line or was on its way there.
    last: Option<(Instant, usize)>,
    published: usize,
}

impl Window {
    pub(super) fn new(bounds: WindowBounds) -> Self {
        Self { bounds, size: bounds.least, rate: 0.0, last: None, published: 0 }
    }

    /// Messages that may wait now.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Notes that messages were put on the line.
    pub(super) fn published(&mut self, messages: usize) {
        self.published += messages;
    }

    /// Notes what waits on the line, and what is on its way there: workers have taken neither.
    pub(super) fn look(&mut self, now: Instant, ready: usize, under_way: usize) {
        let waiting = ready + under_way;
        if let Some((at, was)) = self.last {
            let taken = (was + self.published).saturating_sub(waiting);
            let seconds = now.duration_since(at).as_secs_f64().max(1e-3);
            self.rate += NEWEST * (taken as f64 / seconds - self.rate);
            self.resize(ready, taken);
        }
        self.last = Some((now, waiting));
        self.published = 0;
    }

    fn resize(&mut self, ready: usize, taken: usize) {
        let worth = self.size_for(self.rate);
        if ready == 0 && taken > 0 {
            // The workers may have waited: how fast they can be is not known yet.
            self.size = (self.size * 2).max(worth);
        } else if worth < self.size {
            // Slowly, since one slow second does not make slow workers.
            self.size -= (self.size - worth).div_ceil(4);
        } else {
            self.size = worth;
        }
        self.size = self.size.clamp(self.bounds.least, self.bounds.most);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is small and positive"
    )]
    fn size_for(&self, rate: f64) -> usize {
        ((rate * WORTH.as_secs_f64()) as usize).clamp(self.bounds.least, self.bounds.most)
    }

    /// Time until a quarter of the window has probably been taken.
    pub(super) fn next_look(&self) -> Duration {
        let quarter = self.size as f64 / 4.0;
        let wait = if self.rate > 0.0 {
            Duration::from_secs_f64((quarter / self.rate).min(1.0))
        } else {
            SOONEST * 10
        };
        wait.clamp(SOONEST, LATEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: WindowBounds = WindowBounds { least: 32, most: 4_000 };

    /// Workers that take `rate` a second, a dispatcher that looks when the window says so and fills
    /// it up. Returns the sizes after each second.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a simulation's small, positive numbers"
    )]
    fn life(rate: f64, seconds: u64) -> Vec<usize> {
        let mut window = Window::new(BOUNDS);
        let start = Instant::now();
        let (mut now, mut waiting, mut due) = (start, 0_f64, 0_f64);
        let mut sizes = Vec::new();
        while sizes.len() < usize::try_from(seconds).unwrap() {
            let pause = window.next_look();
            now += pause;
            due += rate * pause.as_secs_f64();
            let taken = due.floor().min(waiting);
            due -= due.floor();
            waiting -= taken;
            window.look(now, waiting as usize, 0);
            let room = window.size().saturating_sub(waiting as usize);
            window.published(room);
            waiting += room as f64;
            if now.duration_since(start).as_secs() as usize > sizes.len() {
                sizes.push(window.size());
            }
        }
        sizes
    }

    #[test]
    fn slow_workers_have_little_waiting() {
        for rate in [0.5, 10.0, 50.0] {
            assert_eq!(life(rate, 20).last(), Some(&BOUNDS.least), "{rate} a second");
        }
    }

    #[test]
    fn fast_workers_have_half_a_second_of_work_waiting_soon() {
        for rate in [500.0, 2_000.0, 6_000.0] {
            for size in &life(rate, 10)[2..] {
                let worth = *size as f64 / rate;
                assert!((0.2..=1.0).contains(&worth), "{worth} s waiting at {rate} a second");
            }
        }
    }

    #[test]
    fn what_is_on_its_way_was_not_taken() {
        let mut window = Window::new(BOUNDS);
        let mut now = Instant::now();
        window.look(now, 0, 0);
        window.published(BOUNDS.least);
        for landed in [0, 0, 10, 20, BOUNDS.least] {
            now += SOONEST;
            window.look(now, landed, BOUNDS.least - landed);
            assert_eq!(window.size(), BOUNDS.least, "nobody takes anything");
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        assert_eq!(life(100_000.0, 5).last(), Some(&BOUNDS.most));
    }

    #[test]
    fn equal_bounds_fix_it() {
        let mut window = Window::new(WindowBounds { least: 20, most: 20 });
        let mut now = Instant::now();
        for ready in [0, 20, 5, 0, 0, 20] {
            now += Duration::from_millis(100);
            window.published(20);
            window.look(now, ready, 0);
            assert_eq!(window.size(), 20);
        }
    }
}
