//! What holds in every history.

use proptest::prelude::*;

use super::*;

/// What a fleet of any size does, at one time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    /// Wants to make a call that can take so long, and has the quota for it, or not.
    Ask {
        ttl: u64,
        has_quota: bool,
    },
    /// Ends one of the calls under way.
    End(prop::sample::Index, Verdict),
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Failing),
        2 => Just(Verdict::Healthy),
        1 => Just(Verdict::RateLimited),
        1 => Just(Verdict::Unknown),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            3 => (0..2 * SECOND).prop_map(Step::Wait),
            1 => (0..2 * MINUTE).prop_map(Step::Wait),
            6 => (SECOND..90 * SECOND, prop::bool::weighted(0.8))
                .prop_map(|(ttl, has_quota)| Step::Ask { ttl, has_quota }),
            6 => (any::<prop::sample::Index>(), verdict()).prop_map(|(which, verdict)| Step::End(which, verdict)),
        ],
        1..300,
    )
}

fn any_options() -> impl Strategy<Value = BreakerOptions> {
    let rate = (1u32..=100, 1u32..20, SECOND..MINUTE).prop_map(|(percent, of_at_least, within)| {
        FailureRate { percent, of_at_least, within: Duration::from_micros(within) }
    });
    let open = (1..MINUTE, 0..5 * MINUTE);
    (1u32..6, prop::option::of(rate), open, 0u32..=100).prop_map(|(failures, rate, (open, most), jitter)| {
        let (open_for, open_at_most) = (Duration::from_micros(open), Duration::from_micros(most));
        BreakerOptions { failures, rate, open_for, open_at_most, jitter }
    })
}

#[derive(Clone, Copy)]
struct Call {
    id: u64,
    started: u64,
    end: u64,
    /// Of this open time; those of earlier ones change nothing any more.
    is_probe: bool,
    /// No other one may go meanwhile.
    is_waited_for: bool,
}

/// A history as it is lived, with a record of its own.
struct History {
    options: BreakerOptions,
    breaker: Breaker,
    now: u64,
    last_id: u64,
    under_way: Vec<Call>,
    /// When the breaker opened last, if it did not close since.
    opened: Option<u64>,
    /// Calls that this closed breaker has heard of, newest last: whether they failed.
    heard: Vec<bool>,
    closed_since: u64,
}

impl History {
    fn is_closed(&self) -> bool {
        matches!(self.breaker.standing(self.now), BreakerStanding::Closed(_))
    }

    fn ask(&mut self, ttl: u64, has_quota: bool) {
        let is_probe = match self.breaker.admit(self.now) {
            Passage::Free => {
                assert_eq!(self.opened, None, "calls go freely though it opened");
                false
            }
            Passage::Probe => {
                let opened = self.opened.expect("a closed breaker needs no probe");
                let least = u64::try_from(self.options.open_for.as_micros()).unwrap();
                assert!(self.now >= opened + least, "a call within the open time");
                let is_waited_for = |call: &Call| call.is_waited_for && self.now < call.started + least;
                assert!(!self.under_way.iter().any(is_waited_for), "a second probe");
                true
            }
            Passage::NotBefore(at) => {
                assert!(at > self.now, "asking again at once makes no sense");
                assert!(self.opened.is_some(), "a closed breaker refuses a call");
                return;
            }
        };
        if has_quota {
            self.last_id += 1;
            let end = self.now + ttl;
            let (id, started) = (self.last_id, self.now);
            self.under_way.push(Call { id, started, end, is_probe, is_waited_for: is_probe });
            if is_probe {
                self.breaker.probe(self.last_id, self.now, end);
            }
        }
    }

    fn end(&mut self, which: prop::sample::Index, verdict: Verdict) {
        if self.under_way.is_empty() {
            return;
        }
        let call = self.under_way.swap_remove(which.index(self.under_way.len()));
        let was_closed = self.is_closed();
        self.breaker.record(call.id, call.started, verdict, self.now);
        if call.is_probe {
            let decides = matches!(verdict, Verdict::Healthy | Verdict::Failing);
            for other in &mut self.under_way {
                other.is_probe &= !decides;
                other.is_waited_for = false;
            }
        }
        if was_closed && call.started >= self.closed_since {
            match verdict {
                Verdict::Failing => self.heard.push(true),
                Verdict::Healthy => self.heard.push(false),
                Verdict::RateLimited | Verdict::Unknown => {}
            }
        }
        match (was_closed, self.is_closed()) {
            (true, false) => self.check_opening(verdict),
            (false, true) => {
                assert!(call.is_probe && verdict == Verdict::Healthy, "closed by {verdict:?}");
                (self.opened, self.closed_since) = (None, self.now);
                self.heard.clear();
            }
            (false, false) if call.is_probe && verdict == Verdict::Failing => self.opened = Some(self.now),
            (true, true) => self.check_staying_closed(),
            (false, false) => {}
        }
    }

    fn failures_in_a_row(&self) -> usize {
        self.heard.iter().rev().take_while(|failed| **failed).count()
    }

    fn check_opening(&mut self, verdict: Verdict) {
        assert_eq!(verdict, Verdict::Failing, "only a failure opens");
        let enough = self.failures_in_a_row() >= self.options.failures as usize;
        let many = self.options.rate.is_some_and(|rate| self.heard.len() >= rate.of_at_least as usize);
        assert!(enough || many, "opened after {:?}", self.heard);
        self.opened = Some(self.now);
    }

    fn check_staying_closed(&self) {
        assert!(self.failures_in_a_row() < self.options.failures as usize, "closed after {:?}", self.heard);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_breaks_a_promise(options in any_options(), steps in steps(), start: u32) {
        let now = u64::from(start);
        let breaker = Breaker::new(BreakerTerms::from(options), now);
        let (under_way, heard) = (Vec::new(), Vec::new());
        let mut history =
            History { options, breaker, now, last_id: 0, under_way, opened: None, heard, closed_since: now };
        for step in steps {
            match step {
                Step::Wait(time) => history.now += time,
                Step::Ask { ttl, has_quota } => history.ask(ttl, has_quota),
                Step::End(which, verdict) => history.end(which, verdict),
            }
            let now = history.now;
            history.under_way.retain(|call| call.end > now);
        }
    }

    /// An outage in which every call fails, with a thousand workers that ask all the time.
    #[test]
    fn an_outage_costs_one_call_an_open_time(
        options in any_options(), takes in 1..30 * SECOND, start: u32, length in MINUTE..30 * MINUTE,
    ) {
        let mut now = u64::from(start);
        let end = now + length;
        let mut breaker = Breaker::new(BreakerTerms::from(options), now);
        for id in 0..u64::from(options.failures) {
            breaker.record(id, now, Verdict::Failing, now);
        }
        let mut probes = 0u64;
        let least = u64::try_from(options.open_for.as_micros()).unwrap();
        let first = now;
        while now < end && probes < 10_000 {
            match breaker.admit(now) {
                Passage::Free => panic!("closed in an outage"),
                Passage::NotBefore(at) => now = at,
                Passage::Probe => {
                    probes += 1;
                    breaker.probe(1_000 + probes, now, now + MINUTE);
                    prop_assert!(matches!(breaker.admit(now), Passage::NotBefore(_)));
                    now += takes;
                    breaker.record(1_000 + probes, now - takes, Verdict::Failing, now);
                    prop_assert!(probes <= (now - first) / least);
                }
            }
        }
    }
}
