//! What stands with a run whose input nobody reads any more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::IfLeft;

/// Its notes: why its input is not read to its end, where the report of a splitter says it too.
pub fn notes_of_left(silent_for: Duration, if_left: IfLeft) -> Value {
    let so = match if_left {
        IfLeft::Sealed => "",
        IfLeft::Cancelled => ", so the run was cancelled",
    };
    let silent_for = silent_for.as_secs();
    json!({ "error": format!("input not read to its end: nothing was heard of its reader for {silent_for} s{so}") })
}
