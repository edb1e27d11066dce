//! What the integration tests and benches share: the suite that every adapter must pass, and a
//! server that counts the calls it gets.

pub mod chaos;
pub mod conformance;
pub mod openai_spec;
pub mod openai_stub;
pub mod services;
