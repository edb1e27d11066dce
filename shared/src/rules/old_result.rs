//! What stands with a job that got an old result.

use std::time::Duration;

/// Why an old result had to do, and its age when it was given.
pub fn old_result(why: &str, age: Duration) -> String {
    format!("{why}; it got the last result, which is {} s old", age.as_secs())
}
