//! Dedup keys.

use crate::domain::DedupKey;

/// The key of a kind and the parts that make two requests the same.
///
/// Each part is preceded by its length, so that `["ab", "c"]` and `["a", "bc"]` differ.
pub fn dedup_key<'a>(kind: &'a str, parts: impl IntoIterator<Item = &'a str>) -> DedupKey {
    let mut hasher = blake3::Hasher::new_derive_key("fleetline dedup key v1");
    for part in std::iter::once(kind).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    DedupKey::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_parts_count() {
        assert_ne!(dedup_key("k", ["ab", "c"]), dedup_key("k", ["a", "bc"]));
        assert_ne!(dedup_key("k", ["a"]), dedup_key("k", ["a", ""]));
        assert_ne!(dedup_key("ka", [""]), dedup_key("k", ["a"]));
        assert_eq!(dedup_key("k", ["a", "b"]), dedup_key("k", ["a", "b"]));
    }

    /// Keys are stored: another hash would pay for everything again.
    #[test]
    fn a_key_never_changes() {
        assert_eq!(
            dedup_key("node.extract", ["builtin", "", "1", "<a/>"]).to_string(),
            "7b13488275147a1fda1a5078c669af45f75d9c780a0d632993cbc18a9fff95d1"
        );
    }
}
