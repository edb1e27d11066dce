//! Tests of whole parts: every adapter against its port's suite, and what is an adapter's own.

mod conformance_ledger;
mod sqlite_ledger;
