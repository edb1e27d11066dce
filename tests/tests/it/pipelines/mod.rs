//! Whole files through the real binary: every element and line analysed once, and paid for once.

mod builtin;
mod paid;
