//! Over any window no more than the limit, whatever happens.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask(SlotAsk),
    /// Ends one of the calls under way with so many percent of its tokens.
    Settle(prop::sample::Index, Option<u64>),
    Pause(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let asks = (0u64..600, 0u64..3 * SECOND, 1u64..20 * SECOND)
        .prop_map(|(tokens, hold, ttl)| Step::Ask(SlotAsk { ttl, ..ask(tokens, hold) }));
    let percents = prop_oneof![Just(None), (0u64..=100).prop_map(Some), (100u64..400).prop_map(Some)];
    prop::collection::vec(
        prop_oneof![
            4 => (0u64..SECOND).prop_map(Step::Wait),
            1 => (0u64..12 * SECOND).prop_map(Step::Wait),
            8 => asks,
            3 => (any::<prop::sample::Index>(), percents).prop_map(|(which, used)| Step::Settle(which, used)),
            1 => (0u64..3 * SECOND).prop_map(Step::Pause),
        ],
        1..250,
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let some_rate =
        |amounts| (amounts, SECOND / 10..10 * SECOND).prop_map(|(amount, window)| Some(rate(amount, window)));
    (
        prop_oneof![1 => Just(None), 3 => some_rate(1u64..40)],
        prop_oneof![1 => Just(None), 3 => some_rate(600u64..5_000)],
        prop_oneof![Just(None), (1u32..20).prop_map(Some)],
    )
        .prop_map(|(requests, tokens, concurrency)| Limits {
            requests,
            tokens,
            concurrency,
            ..Limits::default()
        })
}

/// A history as it is lived, with a record of its own.
struct History {
    limits: Limits,
    state: QuotaState,
    now: u64,
    starts: Vec<Start>,
    /// Number, index in `starts`, and end of each call under way.
    under_way: Vec<(u64, usize, u64)>,
    paused_until: u64,
}

impl History {
    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(time) => self.now += time,
            Step::Ask(ask) => self.ask(&ask),
            Step::Settle(which, percent) => self.settle(which, percent),
            Step::Pause(time) => {
                self.paused_until = self.paused_until.max(self.now + time);
                self.state.pause(self.now + time, "");
            }
        }
        self.under_way.retain(|(_, _, end)| *end > self.now);
        assert_eq!(self.state.standing(self.now).in_flight as usize, self.under_way.len());
    }

    fn ask(&mut self, ask: &SlotAsk) {
        self.under_way.retain(|(_, _, end)| *end > self.now);
        match self.state.admit(ask, self.now) {
            Slot::At { at, id, .. } => {
                assert!(self.now <= at && at <= self.now + ask.hold, "{at} is not within the hold");
                assert!(at >= self.paused_until, "{at} is in a pause");
                let last = self.starts.last().map_or(0, |start| start.at);
                assert!(at >= last, "{at} goes before an earlier ask's {last}");
                self.under_way.push((id, self.starts.len(), at + ask.ttl));
                self.starts.push(Start { at, tokens: ask.spend.tokens() });
                self.check(at);
            }
            Slot::TooFar { at, .. } => assert!(at > self.now, "asking again at once makes no sense"),
            Slot::Full { until } => {
                assert_eq!(Some(until), self.under_way.iter().map(|(_, _, end)| *end).min());
                assert_eq!(Some(self.under_way.len()), self.limits.concurrency.map(|limit| limit as usize));
            }
            Slot::Never { .. } => panic!("no ask is larger than the limit"),
        }
    }

    fn settle(&mut self, which: prop::sample::Index, percent: Option<u64>) {
        self.under_way.retain(|(_, _, end)| *end > self.now);
        if self.under_way.is_empty() {
            return;
        }
        let (id, place, _) = self.under_way.swap_remove(which.index(self.under_way.len()));
        let start = &mut self.starts[place];
        let tokens = percent.map(|percent| start.tokens * percent / 100);
        assert!(self.state.settle(id, &used(tokens), self.now));
        assert!(!self.state.settle(id, &used(tokens), self.now), "a second settlement changes nothing");
        start.tokens = tokens.unwrap_or(start.tokens);
    }

    /// No window that ends with the slot just given is over a limit, as far as known by now.
    fn check(&self, at: u64) {
        let inside =
            |rate: Rate| self.starts.iter().filter(move |start| start.at + micros(rate.window) >= at);
        if let Some(rate) = self.limits.requests {
            let used = inside(rate).count() as u64;
            assert!(used <= rate.amount, "{used} of {rate:?} until {at}");
        }
        if let Some(rate) = self.limits.tokens {
            let used: u64 = inside(rate).map(|start| start.tokens).sum();
            assert!(used <= rate.amount, "{used} of {rate:?} until {at}");
        }
        let under_way = u32::try_from(self.under_way.len()).unwrap();
        assert!(self.limits.concurrency.is_none_or(|limit| under_way <= limit));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_goes_over_a_limit(
        limits in limits(), steps in steps(), margin in 0.0..0.02f64, burst in 0.0..=1.0f64, start: u32,
    ) {
        let now = u64::from(start);
        let state = QuotaState::new(&limits, Pacing { margin, burst }, now);
        let (starts, under_way) = (Vec::new(), Vec::new());
        let mut history = History { limits, state, now, starts, under_way, paused_until: 0 };
        for step in steps {
            history.step(step);
        }
    }
}
