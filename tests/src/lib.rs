//! What the integration tests and benches share.

pub mod openai_spec;
pub mod openai_stub;
