//! The faults.
//!
//! Each notes what it can have cost at most ([`Fleet::disturbed`]): calls that were under way where it
//! hit. One that notes nothing must not cost a single call.
//!
//! [`Fleet::disturbed`]: super::fleet::Fleet::disturbed

pub mod broker;
pub mod links;
pub mod messages;
pub mod points;
pub mod postgres;
pub mod processes;
pub mod redis;

use super::scenario::Fault;

/// A fault made of an async function.
macro_rules! fault {
    ($name:literal, $inflict:expr $(, $flag:ident)*) => {
        $crate::chaos::scenario::Fault {
            $($flag: true,)*
            ..$crate::chaos::faults::of($name, |fleet, extent| Box::pin($inflict(fleet, extent)))
        }
    };
}
pub(crate) use fault;

/// With no special needs.
pub(crate) const fn of(name: &'static str, inflict: super::scenario::Inflict) -> Fault {
    Fault { name, needs_own_servers: false, is_long: false, inflict }
}

/// All of them.
pub fn all() -> Vec<Fault> {
    [
        processes::ALL.as_slice(),
        &points::ALL,
        &messages::ALL,
        &links::ALL,
        &broker::ALL,
        &redis::ALL,
        &postgres::ALL,
    ]
    .concat()
}
