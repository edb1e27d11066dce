//! Integration tests of all parts together, as one binary: linking is what costs.

mod openai;
