//! Numbers that say what happened, not which one it happened to.
//!
//! An HTTP status keeps its class (`4xx`): a 404 and a 500 are different problems, a 502 and a
//! 503 rarely are. An exit code, a signal and an errno are kept: there are few, and 137 is not 1.

/// What a number at this place would mean.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing special.
    #[default]
    Nothing,
    /// An HTTP status.
    Status,
    /// `exit` was read: a code may be named.
    Exit,
    /// A number that the operating system gave.
    Code,
}

impl Expect {
    /// What is expected after one more word.
    pub(super) fn after(self, word: &str) -> Self {
        // Hardly any word matters here: most are out by their first letter.
        let first = word.as_bytes().first().map_or(0, u8::to_ascii_lowercase);
        if self == Self::Nothing && !matches!(first, b'e' | b's' | b'h') {
            return self;
        }
        let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        if is(&["errno", "signal", "exitcode", "exit_code", "exit-code"]) {
            Self::Code
        } else if is(&["exit", "exited", "exits"]) {
            Self::Exit
        } else if self == Self::Exit && is(&["code", "status", "value"]) {
            Self::Code
        } else if is(&["status", "statuscode", "status_code", "http", "http_status", "http_code"]) {
            Self::Status
        } else if is(&["code", "is", "was", "of", "with", "response", "returned", "value"]) {
            self
        } else {
            Self::Nothing
        }
    }

    /// What to write for a number here; `None` if it is one like any other.
    pub(super) fn text(self, number: &str) -> Option<String> {
        match self {
            Self::Code if number.len() <= 5 => Some(number.to_owned()),
            Self::Status if number.len() == 3 && (b'1'..=b'5').contains(&number.as_bytes()[0]) => {
                Some(format!("{}xx", &number[..1]))
            }
            _ => None,
        }
    }
}
