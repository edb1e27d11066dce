//! The HTTP intake.
