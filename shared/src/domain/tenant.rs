//! Names of tenants.

/// Whether a text can be a tenant's name: it is shown in tables and logs, and written in settings without spaces around it.
pub fn is_tenant_name(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_seen() {
        for (name, good) in [
            ("acme", true),
            ("Team A", true),
            ("größer", true),
            ("", false),
            (" ", false),
            (" acme", false),
            ("acme\n", false),
            ("a\u{1b}[31mb", false),
            ("a\0b", false),
        ] {
            assert_eq!(is_tenant_name(name), good, "{name:?}");
        }
    }
}
