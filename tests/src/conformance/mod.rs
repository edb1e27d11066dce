//! One suite for each port. An adapter is registered with one macro call and passes all of it.

pub mod ledger;
