//! API keys: `flk_<id>_<secret>`. The id is public, the secret is 256 random bits; the ledger keeps
//! the BLAKE3 hash of the whole.

use std::fmt::Write;

use fleetline_shared::domain::{PortError, is_tenant_name};
use fleetline_shared::ports::{NewApiKey, Role};
use uuid::Uuid;

const PREFIX: &str = "flk_";
const SECRET_BYTES: usize = 32;
/// Of an id, and of a secret, as hex.
const ID_DIGITS: usize = 32;
const SECRET_DIGITS: usize = 2 * SECRET_BYTES;

/// A new key. Has no `Debug`, so that it is not logged by accident.
pub struct MintedKey {
    /// The key itself, to be shown once: nobody can find it again.
    pub key: String,
    /// What the ledger keeps.
    pub record: NewApiKey,
}

/// Makes a key with a secret from the system's random numbers (`ring`'s `SystemRandom`). A tenant's name or a label
/// that could not be told from others in a table is invalid.
pub fn new_key(tenant: &str, role: Role, label: &str) -> Result<MintedKey, PortError> {
    let invalid = |message: &str| Err(PortError::Invalid { port: "keys", message: message.to_owned() });
    if !is_tenant_name(tenant) {
        return invalid(
            "the tenant is empty, or has spaces around it or control characters: give a plain name",
        );
    }
    if label.contains(char::is_control) {
        return invalid("the label has control characters: leave them out");
    }
    let mut secret = [0; SECRET_BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut secret).map_err(|_| PortError::Broken {
        port: "keys",
        message: "the system has no random numbers: check that /dev/urandom can be read".to_owned(),
    })?;
    let id = Uuid::now_v7();
    let mut key = format!("{PREFIX}{}_", id.simple());
    for byte in secret {
        let _ = write!(key, "{byte:02x}");
    }
    let record = NewApiKey { id, hash: hash(&key), tenant: tenant.to_owned(), role, label: label.to_owned() };
    Ok(MintedKey { key, record })
}

/// What the ledger knows a key by.
pub fn hash(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// Whether a text looks like a key at all: others need no look into the ledger.
pub(super) fn is_well_formed(key: &str) -> bool {
    let hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(id, secret)| hex(id, ID_DIGITS) && hex(secret, SECRET_DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_well_formed_and_no_other_is_like_it() {
        let [one, two] = [(); 2].map(|()| new_key("acme", Role::Submit, "billing").unwrap());
        assert!(is_well_formed(&one.key) && is_well_formed(&two.key));
        assert_ne!(one.key, two.key);
        assert_eq!((one.record.hash, one.record.tenant.as_str()), (hash(&one.key), "acme"));
        assert!(one.key.starts_with(&format!("flk_{}_", one.record.id.simple())));
        assert!(!format!("{:?}", one.record).contains(&one.key[37..]));
    }

    #[test]
    fn names_can_be_told_from_others() {
        for (tenant, label) in [("", ""), (" ", ""), ("acme ", ""), ("ac\u{1b}[2Jme", ""), ("acme", "a\nb")] {
            let refused = new_key(tenant, Role::Submit, label);
            assert!(matches!(refused, Err(PortError::Invalid { .. })), "{tenant:?} {label:?}");
        }
    }

    #[test]
    fn other_texts_are_not() {
        let good = new_key("acme", Role::Read, "").unwrap().key;
        for bad in [
            "",
            "flk_",
            "flk__",
            &good[1..],
            &good[..good.len() - 1],
            &good.to_uppercase(),
            &format!("{good}0"),
        ] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
