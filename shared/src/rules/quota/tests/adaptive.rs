//! Concurrency that follows latency, against an upstream with so many servers and a queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::domain::Verdict;
use crate::ports::AdaptiveOptions;

/// An upstream whose calls wait for each other when more than `servers` are under way.
#[derive(Clone, Copy)]
struct Upstream {
    servers: usize,
    /// Mean time that a server needs for a call.
    service: u64,
    /// By what share of the mean, in percent, times differ: all shorter and longer ones within it
    /// are as likely; above 100 they are exponential.
    spread: u64,
}

/// What came of some time.
#[derive(Debug)]
struct Seen {
    /// Calls that ended, of those that all servers could have ended.
    throughput: f64,
    /// Mean time of a call, of the time that a server needs.
    latency: f64,
    places: (u64, u64),
}

/// Callers that always want to call.
struct World {
    state: QuotaState,
    now: u64,
    random: u64,
    /// When each server is free.
    free: BinaryHeap<Reverse<u64>>,
    /// End, number and start of each call under way.
    calls: BinaryHeap<Reverse<(u64, u64, u64)>>,
}

impl World {
    fn new(options: AdaptiveOptions) -> Self {
        Self::within(&Limits { adaptive: Some(options), ..Limits::default() })
    }

    fn within(limits: &Limits) -> Self {
        let state = QuotaState::new(limits, Pacing::default(), 0);
        let (free, calls) = (BinaryHeap::new(), BinaryHeap::new());
        Self { state, now: 0, random: 88_172_645_463_325_252, free, calls }
    }

    /// From 0 to 1.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds, in microseconds")]
    fn service(&mut self, upstream: Upstream) -> u64 {
        let (mean, random) = (upstream.service as f64, self.random());
        let spread = upstream.spread as f64 / 100.0;
        let time = if spread > 1.0 {
            -mean * (1.0 - random).ln()
        } else {
            mean * (1.0 + spread * (2.0 * random - 1.0))
        };
        (time as u64).max(1)
    }

    fn admit_all(&mut self, upstream: Upstream) {
        while let Slot::At { id, .. } =
            self.state.admit(&SlotAsk { ttl: u64::MAX / 8, ..ask(0, 0) }, self.now)
        {
            let begin = if self.free.len() < upstream.servers {
                self.now
            } else {
                self.free.pop().map_or(self.now, |Reverse(free)| free.max(self.now))
            };
            let end = begin + self.service(upstream);
            self.free.push(Reverse(end));
            self.calls.push(Reverse((end, id, self.now)));
        }
    }

    /// Lives for so many times of the mean call.
    fn live(&mut self, upstream: Upstream, services: u64) -> Seen {
        while self.free.len() > upstream.servers {
            self.free.pop();
        }
        let (begin, end) = (self.now, self.now + services * upstream.service);
        let (mut ended, mut took, mut places) = (0u64, 0u64, (u64::MAX, 0));
        self.admit_all(upstream);
        while let Some(Reverse((at, id, start))) = self.calls.pop() {
            self.now = at;
            (ended, took) = (ended + 1, took + at - start);
            let end_of_call = CallEnd {
                verdict: Verdict::Healthy,
                took: Some(Duration::from_micros(at - start)),
                ..used(None)
            };
            self.state.settle(id, &end_of_call, at);
            let now = self.state.places().expect("it is looked for");
            places = (places.0.min(now), places.1.max(now));
            self.admit_all(upstream);
            if at >= end {
                break;
            }
        }
        let possible = (self.now - begin) as f64 / upstream.service as f64 * upstream.servers as f64;
        let latency = took as f64 / ended as f64 / upstream.service as f64;
        Seen { throughput: ended as f64 / possible, latency, places }
    }
}

const SERVICE: u64 = 2 * SECOND;

#[test]
fn it_finds_the_knee() {
    for spread in [10, 60, 1_000] {
        for servers in [5, 20, 50, 200] {
            let upstream = Upstream { servers, service: SERVICE, spread };
            let mut world = World::new(AdaptiveOptions { min: 4, max: 1_000 });
            let begin = world.live(upstream, 400);
            let steady = world.live(upstream, 1_000);
            println!("{servers} servers, spread {spread} %: {steady:.3?}, at first {:.3}", begin.throughput);
            assert!(steady.throughput >= 0.93, "collapsed");
            assert!(steady.latency <= 1.8, "calls wait for each other");
            assert!(steady.places.1 <= (2 * servers + 5) as u64, "overshot");
        }
    }
}

/// An upstream that gets smaller, larger, and slower by itself.
#[test]
fn it_follows_the_upstream() {
    let mut world = World::new(AdaptiveOptions { min: 4, max: 1_000 });
    for (servers, service) in [(50, SERVICE), (15, SERVICE), (80, SERVICE), (80, 3 * SERVICE), (80, SERVICE)]
    {
        let upstream = Upstream { servers, service, spread: 60 };
        let change = world.live(upstream, 400);
        let steady = world.live(upstream, 1_000);
        println!("{servers} servers of {} s: {steady:.3?}, while it changed {change:.3?}", service / SECOND);
        assert!(steady.throughput >= 0.9, "{steady:?}");
        assert!(steady.latency <= 1.8, "{steady:?}");
    }
}

#[test]
fn it_stays_within_its_bounds() {
    let upstream = Upstream { servers: 50, service: SERVICE, spread: 60 };
    for (min, max) in [(1, 10), (100, 200), (7, 7), (0, 0)] {
        let mut world = World::new(AdaptiveOptions { min, max });
        let Seen { places: (least, most), .. } = world.live(upstream, 1_000);
        let (min, max) = (u64::from(min.max(1)), u64::from(max.max(1)));
        assert!(min <= least && most <= max, "{least} to {most} of {min} to {max}");
    }
    let limits = Limits {
        concurrency: Some(3),
        adaptive: Some(AdaptiveOptions { min: 1, max: 100 }),
        ..Limits::default()
    };
    assert_eq!(QuotaState::new(&limits, Pacing::default(), 0).places(), Some(1));
}

/// What is remembered does not grow beyond what is used, so that a fall is felt at once.
#[test]
fn it_does_not_grow_beyond_concurrency() {
    let adaptive = Some(AdaptiveOptions { min: 1, max: 1_000 });
    let limits = Limits { concurrency: Some(10), adaptive, ..Limits::default() };
    let mut world = World::within(&limits);
    let seen = world.live(Upstream { servers: 50, service: SERVICE, spread: 10 }, 1_000);
    assert_eq!(seen.places.1, 10);
    world.live(Upstream { servers: 2, service: SERVICE, spread: 10 }, 30);
    let seen = world.live(Upstream { servers: 2, service: SERVICE, spread: 10 }, 30);
    assert!(seen.places.1 < 10, "{seen:?}");
}

/// Failures say nothing of time, and are no reason to send more.
#[test]
fn failures_lower_it() {
    let mut world = World::new(AdaptiveOptions { min: 4, max: 1_000 });
    world.live(Upstream { servers: 50, service: SERVICE, spread: 60 }, 400);
    let before = world.state.places().unwrap();
    let mut at = world.now;
    for _ in 0..4_000 {
        at += SECOND;
        let Some(Reverse((_, id, _))) = world.calls.pop() else { break };
        let failed =
            CallEnd { verdict: Verdict::Failing, took: Some(Duration::from_millis(1)), ..used(None) };
        world.state.settle(id, &failed, at);
        if let Slot::At { id, .. } = world.state.admit(&SlotAsk { ttl: u64::MAX / 8, ..ask(0, 0) }, at) {
            world.calls.push(Reverse((at, id, at)));
        }
    }
    let after = world.state.places().unwrap();
    assert!(after < before / 2, "{before}, then {after}");
}

/// With few callers nothing is known of larger numbers.
#[test]
fn it_does_not_grow_unused() {
    let limits = Limits { adaptive: Some(AdaptiveOptions { min: 4, max: 1_000 }), ..Limits::default() };
    let mut state = QuotaState::new(&limits, Pacing::default(), 0);
    for second in 0..1_000 {
        let Slot::At { id, .. } = state.admit(&ask(0, 0), second * SECOND) else { panic!("it is alone") };
        let healthy = CallEnd { verdict: Verdict::Healthy, took: Some(Duration::from_secs(1)), ..used(None) };
        state.settle(id, &healthy, (second + 1) * SECOND);
    }
    assert_eq!(state.places(), Some(4));
}
