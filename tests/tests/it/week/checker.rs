//! The promises, checked by records of its own: it shares nothing with the quota's arithmetic.

use std::collections::VecDeque;
use std::fmt;

use super::traffic::{MINUTE, Size};

/// A promise that was broken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// More calls arrived in a window than the limit.
    Calls { in_window: u64, until: u64 },
    /// A call was let go while the tokens known by then were beyond the limit.
    Tokens { in_window: u64, until: u64 },
    /// More calls at the same time than places.
    Places { at_once: usize },
    /// A call started in a pause that it must have known of.
    InPause { at: u64 },
    /// An ask was overtaken too often.
    Starved { overtaken: u64 },
    /// Too little was used while work waited, in hundredths of a percent.
    Unused { share: u64 },
}

/// What the provider allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) calls: Option<u64>,
    pub(super) tokens: Option<u64>,
    pub(super) window: u64,
    pub(super) places: Option<usize>,
    /// Whether each tenant has a limit of its own.
    pub(super) by_tenant: bool,
    /// How many later asks may go before one.
    pub(super) patience: u64,
}

/// Bounds of what is seen, for people.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) calls: u64,
    pub(super) most_calls: u64,
    pub(super) most_tokens: u64,
    pub(super) most_at_once: usize,
    pub(super) most_overtaken: u64,
    pub(super) longest_wait: u64,
    pub(super) backlogged_minutes: u64,
    pub(super) share: f64,
}

/// Everything that happened, as its provider and its callers see it.
pub(super) struct Checker {
    truth: Truth,
    /// When calls arrived; sorted at the end.
    arrivals: Vec<u64>,
    /// Slots and tokens of the calls that a window may still hold, as known by now.
    known: VecDeque<(u64, u64)>,
    first_known: u64,
    sum: u64,
    /// In the order of asking.
    waiting: VecDeque<Waiting>,
    pause: (u64, u64),
    minute: Minute,
    used: u64,
    pub(super) figures: Figures,
    pub(super) broken: Option<Broken>,
}

/// An ask without a slot yet.
struct Waiting {
    number: u64,
    tenant: usize,
    since: u64,
    overtaken: u64,
}

/// One minute of the clock.
#[derive(Clone, Copy, Default)]
struct Minute {
    began: u64,
    /// Whether work waited all the time and nothing else was in the way.
    counts: bool,
    /// The same of the minute before: this one's window begins in it.
    counted: bool,
    used: u64,
}

impl Checker {
    pub(super) fn new(truth: Truth) -> Self {
        Self {
            truth,
            arrivals: Vec::new(),
            known: VecDeque::new(),
            first_known: 0,
            sum: 0,
            waiting: VecDeque::new(),
            pause: (0, 0),
            minute: Minute::default(),
            used: 0,
            figures: Figures::default(),
            broken: None,
        }
    }

    /// Somebody asks for the first time. Numbers rise.
    pub(super) fn asks(&mut self, number: u64, tenant: usize, now: u64) {
        self.waiting.push_back(Waiting { number, tenant, since: now, overtaken: 0 });
    }

    /// An ask is given its slot. All that asked before and still wait are overtaken. Returns the
    /// call's number here.
    pub(super) fn starts(&mut self, number: u64, slot: u64, size: Size) -> u64 {
        let place = self.waiting.iter().position(|waiting| waiting.number == number).expect("it asked");
        let Waiting { tenant, since, overtaken, .. } = self.waiting.remove(place).expect("it is there");
        for waiting in self.waiting.iter_mut().take(place) {
            // Who has used up a limit of its own, others may overtake.
            waiting.overtaken += u64::from(!self.truth.by_tenant || waiting.tenant == tenant);
        }
        self.figures.longest_wait = self.figures.longest_wait.max(slot - since);
        self.figures.most_overtaken = self.figures.most_overtaken.max(overtaken);
        if overtaken > self.truth.patience {
            self.breaks(Broken::Starved { overtaken });
        }
        if self.pause.0 < since && slot < self.pause.1 {
            self.breaks(Broken::InPause { at: slot });
        }
        self.figures.calls += 1;
        self.minute.used += if self.truth.tokens.is_some() { size.used } else { 1 };
        self.knows(slot, size.estimate)
    }

    fn knows(&mut self, slot: u64, tokens: u64) -> u64 {
        self.known.push_back((slot, tokens));
        self.sum += tokens;
        while let Some((oldest, tokens)) = self.known.front().copied()
            && oldest + self.truth.window < slot
        {
            self.sum -= tokens;
            self.known.pop_front();
            self.first_known += 1;
        }
        self.figures.most_tokens = self.figures.most_tokens.max(self.sum);
        if self.truth.tokens.is_some_and(|limit| self.sum > limit) {
            self.breaks(Broken::Tokens { in_window: self.sum, until: slot });
        }
        self.first_known + self.known.len() as u64 - 1
    }

    /// What a call really used is known now.
    pub(super) fn used(&mut self, call: u64, tokens: u64) {
        let place = call.checked_sub(self.first_known).and_then(|place| usize::try_from(place).ok());
        if let Some((_, known)) = place.and_then(|place| self.known.get_mut(place)) {
            self.sum = self.sum - *known + tokens;
            *known = tokens;
        }
    }

    /// A call arrives at its provider.
    pub(super) fn arrives(&mut self, at: u64) {
        self.arrivals.push(at);
    }

    /// So many are under way, those that wait for their slot included.
    pub(super) fn at_once(&mut self, calls: usize) {
        self.figures.most_at_once = self.figures.most_at_once.max(calls);
        if self.truth.places.is_some_and(|places| calls > places) {
            self.breaks(Broken::Places { at_once: calls });
        }
    }

    /// Everybody was told that nothing starts until then.
    pub(super) fn paused(&mut self, now: u64, until: u64) {
        self.pause = (now, until);
    }

    /// The clock. `waits`: work waits now, and only the limits keep it.
    pub(super) fn now(&mut self, now: u64, waits: bool) {
        while now >= self.minute.began + MINUTE {
            if self.minute.counts && self.minute.counted {
                self.figures.backlogged_minutes += 1;
                self.used += self.minute.used;
            }
            let began = self.minute.began + MINUTE;
            self.minute = Minute { began, counts: waits, counted: self.minute.counts, used: 0 };
        }
        self.minute.counts &= waits;
    }

    /// The end: looks at all windows, and at what was used. The share must be at least `least`.
    pub(super) fn conclude(mut self, least: f64) -> (Figures, Option<Broken>) {
        self.windows();
        let limit = self.truth.tokens.or(self.truth.calls).unwrap_or(u64::MAX);
        let per_minute = limit as f64 * MINUTE as f64 / self.truth.window as f64;
        let could = per_minute * self.figures.backlogged_minutes as f64;
        self.figures.share = self.used as f64 / could;
        if self.figures.share < least || self.figures.backlogged_minutes == 0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
            let share = (self.figures.share * 1e4) as u64;
            self.breaks(Broken::Unused { share });
        }
        (self.figures, self.broken)
    }

    /// Every closed window that ends with an arrival.
    fn windows(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        arrivals.sort_unstable();
        let mut oldest = 0;
        for (place, at) in arrivals.iter().enumerate() {
            while arrivals[oldest] + self.truth.window < *at {
                oldest += 1;
            }
            let in_window = (place + 1 - oldest) as u64;
            self.figures.most_calls = self.figures.most_calls.max(in_window);
            if self.truth.calls.is_some_and(|limit| in_window > limit) {
                return self.breaks(Broken::Calls { in_window, until: *at });
            }
        }
    }

    fn breaks(&mut self, promise: Broken) {
        self.broken.get_or_insert(promise);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls; at most {} calls and {} tokens in a window, {} at once; {:.4} of the limit used in {} minutes \
             with a backlog; overtaken {} times at most, longest wait {:.1} s",
            self.calls,
            self.most_calls,
            self.most_tokens,
            self.most_at_once,
            self.share,
            self.backlogged_minutes,
            self.most_overtaken,
            self.longest_wait as f64 / 1e6
        )
    }
}
