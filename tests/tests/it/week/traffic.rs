//! What a week brings: a day curve, bursts, tenants, call sizes and latencies. All from one seed.

use fastrand::Rng;

pub(super) const SECOND: u64 = 1_000_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const DAY: u64 = 24 * 60 * MINUTE;

/// How much of the work each tenant has, in percent.
pub(super) const TENANTS: [u64; 4] = [50, 30, 15, 5];

/// What one call is estimated to use, and what it uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) estimate: u64,
    pub(super) used: u64,
}

/// Chance, seeded.
pub(super) struct Traffic {
    rng: Rng,
    day: u64,
    /// Calls that the limits allow in a minute.
    capacity: f64,
    /// Tokens of the largest call; 0: calls have none.
    largest: u64,
}

impl Traffic {
    pub(super) fn new(seed: u64, day: u64, capacity: f64, largest: u64) -> Self {
        Self { rng: Rng::with_seed(seed), day, capacity, largest }
    }

    /// Jobs that a tenant submits in the minute that begins now: on working days between 0.1 and
    /// 1.7 of its share of what the limits allow, and now and then some twenty minutes' worth at once.
    pub(super) fn jobs(&mut self, tenant: usize, now: u64) -> u64 {
        let hour = (now % self.day) as f64 / self.day as f64;
        let curve = 0.9 - 0.8 * (std::f64::consts::TAU * (hour - 0.08)).cos();
        let weekend = if now / self.day % 7 >= 5 { 0.5 } else { 1.0 };
        let share = TENANTS[tenant] as f64 / 100.0;
        let burst =
            if self.rng.u64(..self.day / MINUTE * 3) == 0 { 20.0 + 20.0 * self.rng.f64() } else { 0.0 };
        let mean = self.capacity * (curve * weekend * share + burst);
        self.whole(mean)
    }

    /// Four calls of five are small.
    pub(super) fn size(&mut self) -> Size {
        if self.largest == 0 {
            return Size::default();
        }
        let (small, large) = (self.largest / 6..self.largest / 2, self.largest / 2..self.largest);
        let is_small = self.rng.u32(..5) > 0;
        let estimate = self.rng.u64(if is_small { small } else { large });
        // Wrong by a third up or down, and right on the whole.
        let used = estimate * self.rng.u64(670..=1_330) / 1_000;
        Size { estimate, used }
    }

    /// Half of the calls take less than `median`, one in a hundred six times as long.
    pub(super) fn latency(&mut self, median: u64) -> u64 {
        // Near enough to a normal distribution.
        let normal = (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0;
        self.whole(median as f64 * (normal * 0.8).exp()).min(40 * median)
    }

    /// A time up to this.
    pub(super) fn up_to(&mut self, time: u64) -> u64 {
        self.rng.u64(..=time)
    }

    /// True so many times in a million.
    pub(super) fn per_million(&mut self, times: u32) -> bool {
        self.rng.u32(..1_000_000) < times
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn whole(&mut self, mean: f64) -> u64 {
        (mean + self.rng.f64()) as u64
    }
}
