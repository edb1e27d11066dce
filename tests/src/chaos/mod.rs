//! Crash and fault tests of the distributed mode: the whole fleet as processes, real servers, faults,
//! and a checker that believes nobody who took part.
//!
//! [`scenario`] tells the common story: a [`fleet`] under load, a fault ([`faults`]), quiescence, the
//! verdict. The [`evidence`] is what can be seen from outside: the calls that the stub of the
//! provider counted, the rows in Postgres, what the broker and Redis hold. [`checker`] judges it.

pub mod checker;
pub mod evidence;
pub mod faults;
pub mod fleet;
pub mod proxy;
pub mod report;
pub mod scenario;
mod until;

pub use until::until;
