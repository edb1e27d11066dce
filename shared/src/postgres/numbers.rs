//! Numbers, ids and texts as the tables keep them.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::{DedupKey, JobId, Usage};

/// The largest count that one row holds. What is above is cut: numbers come from users and
/// upstreams, and an absurd one must not overflow a run's sums.
const LARGEST: u64 = 1 << 40;
/// The longest time in milliseconds, about 95 years: what is above is as good as for ever.
const LONGEST_MS: i64 = 3_000_000_000_000;
/// The part of an id that is the job's number: all behind a UUID's variant bits.
const NUMBER_BITS: u64 = (1 << 62) - 1;

/// The count, cut to what a row holds.
pub(super) fn bounded(count: u64) -> i64 {
    count.min(LARGEST).cast_signed()
}

/// The usage, each number cut to what a row holds.
pub(super) fn bounded_usage(usage: Usage) -> Usage {
    let cut = |count: u64| count.min(LARGEST);
    Usage {
        calls: cut(usage.calls),
        input_tokens: cut(usage.input_tokens),
        output_tokens: cut(usage.output_tokens),
    }
}

/// A duration as milliseconds.
pub(super) fn to_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

/// A row count as a limit.
pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A new id for the job of this number: a UUID v7 that ends with the number, so that a job is
/// found by its id without an index on ids.
pub(super) fn job_id(n: i64) -> Uuid {
    let (high, low) = Uuid::now_v7().as_u64_pair();
    Uuid::from_u64_pair(high, (low & !NUMBER_BITS) | n.cast_unsigned() & NUMBER_BITS)
}

/// The number in an id. The row must have the same id: others make UUIDs too.
pub(super) fn number_of(job: JobId) -> i64 {
    (uuid_of(job).as_u64_pair().1 & NUMBER_BITS).cast_signed()
}

/// Hexadecimal digits that are surely within a number.
const DIGITS: usize = 15;

fn last_digits(digits: &str) -> &str {
    digits.get(digits.len().saturating_sub(DIGITS)..).unwrap_or_default()
}

/// The smallest number of which ids may end with these digits; -1: there is none.
pub(super) fn number_ending(digits: &str) -> i64 {
    i64::from_str_radix(last_digits(digits), 16).unwrap_or(-1)
}

/// How far the others are apart.
pub(super) fn numbers_apart(digits: &str) -> i64 {
    1 << (4 * last_digits(digits).len())
}

pub(super) fn uuid_of(job: JobId) -> Uuid {
    Uuid::from_bytes(*job.as_bytes())
}

/// The row of `dedup` for these three.
pub(super) fn key_of(tenant: &str, kind: &str, key: &DedupKey) -> Uuid {
    let mut hash = blake3::Hasher::new();
    for part in [tenant.as_bytes(), kind.as_bytes()] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(key.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    Uuid::from_bytes(bytes)
}

/// A text for people. The database cannot hold NUL; an error must be recorded all the same.
pub(super) fn for_people(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_number_and_is_a_uuid_v7() {
        for n in [1, 77, i64::from(u32::MAX), (1 << 62) - 1] {
            let id = job_id(n);
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(number_of(JobId::from_bytes(*id.as_bytes())), n);
        }
    }

    #[test]
    fn keys_of_other_tenants_and_kinds_are_others() {
        let key = DedupKey::from_bytes([7; 32]);
        let all = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")];
        let keys: std::collections::BTreeSet<_> =
            all.iter().map(|(tenant, kind)| key_of(tenant, kind, &key)).collect();
        assert_eq!(keys.len(), all.len());
    }

    #[test]
    fn absurd_times_are_cut() {
        assert_eq!(to_ms(Duration::MAX), LONGEST_MS);
        assert_eq!(to_ms(Duration::from_millis(1500)), 1500);
    }
}
