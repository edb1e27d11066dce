//! How latencies and sizes are spread.

use std::f64::consts::TAU;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use crate::Unreadable;

/// A distribution of durations or of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution<T> {
    /// Always the same.
    Fixed(T),
    /// Evenly between two values.
    Uniform(T, T),
    /// Half of all below the median; the logarithm has this standard deviation.
    LogNormal {
        /// The middle one.
        median: T,
        /// From 0; 0.5 puts one of a hundred above 3.2 medians.
        sigma: f64,
    },
}

impl Distribution<Duration> {
    /// One of them, of at most an hour.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Duration {
        const MOST: f64 = 3_600.0;
        let seconds = self.map(|duration| duration.as_secs_f64()).sample(rng);
        Duration::from_secs_f64(seconds.min(MOST))
    }
}

impl Distribution<u32> {
    /// One of them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        self.map(f64::from).sample(rng).round() as u32
    }
}

impl<T: Copy> Distribution<T> {
    fn map(&self, number: impl Fn(T) -> f64) -> Distribution<f64> {
        match *self {
            Self::Fixed(value) => Distribution::Fixed(number(value)),
            Self::Uniform(least, most) => Distribution::Uniform(number(least), number(most)),
            Self::LogNormal { median, sigma } => Distribution::LogNormal { median: number(median), sigma },
        }
    }
}

impl Distribution<f64> {
    fn sample(&self, rng: &mut Rng) -> f64 {
        match *self {
            Self::Fixed(value) => value,
            Self::Uniform(least, most) => least + (most - least) * rng.f64(),
            Self::LogNormal { median, sigma } => median * (sigma * normal(rng)).exp(),
        }
    }
}

/// Box and Muller's way from two even draws to a normal one.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (TAU * rng.f64()).cos()
}

/// A value in the text of a distribution.
trait Value: Copy + PartialOrd {
    fn read(text: &str) -> Option<Self>;
}

impl Value for Duration {
    fn read(text: &str) -> Option<Self> {
        if text == "0" { Some(Self::ZERO) } else { humantime::parse_duration(text).ok() }
    }
}

impl Value for u32 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

fn read<T: Value>(text: &str) -> Option<Distribution<T>> {
    if let Some(range) = text.strip_prefix("uniform:") {
        let (least, most) = range.split_once("..")?;
        let (least, most) = (T::read(least)?, T::read(most)?);
        return (least <= most).then_some(Distribution::Uniform(least, most));
    }
    if let Some(shape) = text.strip_prefix("lognormal:") {
        let (median, sigma) = shape.split_once(',')?;
        let sigma: f64 = sigma.parse().ok()?;
        let median = T::read(median)?;
        return (0.0..=10.0).contains(&sigma).then_some(Distribution::LogNormal { median, sigma });
    }
    T::read(text).map(Distribution::Fixed)
}

impl FromStr for Distribution<Duration> {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        read(text).ok_or_else(|| unreadable(text, "300ms, uniform:100ms..500ms, lognormal:300ms,0.5"))
    }
}

impl FromStr for Distribution<u32> {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        read(text).ok_or_else(|| unreadable(text, "200, uniform:100..500, lognormal:200,0.5"))
    }
}

fn unreadable(text: &str, examples: &str) -> Unreadable {
    Unreadable(format!("`{text}` is no distribution; write one like these: {examples}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_read() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("0", Distribution::Fixed(ms(0))),
            ("300ms", Distribution::Fixed(ms(300))),
            ("uniform:1s..2s", Distribution::Uniform(ms(1_000), ms(2_000))),
            ("lognormal:300ms,0.5", Distribution::LogNormal { median: ms(300), sigma: 0.5 }),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "fast", "uniform:2s..1s", "uniform:1s", "lognormal:1s", "lognormal:1s,-1", "-1s"] {
            assert!(text.parse::<Distribution<Duration>>().is_err(), "{text}");
        }
        assert_eq!("uniform:1..9".parse(), Ok(Distribution::Uniform(1_u32, 9)));
    }

    #[test]
    fn draws_follow_the_distribution_and_the_seed() {
        const DRAWS: usize = 10_000;
        let draws = |text: &str| {
            let distribution: Distribution<u32> = text.parse().expect("readable");
            let mut rng = Rng::with_seed(7);
            let mut draws: Vec<u32> = (0..DRAWS).map(|_| distribution.draw(&mut rng)).collect();
            draws.sort_unstable();
            draws
        };
        let even = draws("uniform:100..200");
        assert!(even[0] >= 100 && even[DRAWS - 1] <= 200, "{} to {}", even[0], even[DRAWS - 1]);
        assert!(even[DRAWS / 2].abs_diff(150) < 5, "{}", even[DRAWS / 2]);
        let skewed = draws("lognormal:1000,0.5");
        assert!(skewed[DRAWS / 2].abs_diff(1_000) < 50, "{}", skewed[DRAWS / 2]);
        // exp(0.5 * 2.326) medians: one of a hundred is above.
        assert!(skewed[DRAWS * 99 / 100].abs_diff(3_200) < 400, "{}", skewed[DRAWS * 99 / 100]);
        assert_eq!(skewed, draws("lognormal:1000,0.5"));
        assert_eq!(draws("7")[0], 7);
    }
}
