//! What does the work: the kinds, and the analysers behind them.

pub mod analysers;
pub mod kinds;
