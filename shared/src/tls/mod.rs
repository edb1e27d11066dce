//! TLS to servers and upstreams: which authorities are trusted, and why a handshake failed, in words.
//!
//! Certificates and host names are always checked; there is no switch for less.

mod ca;
mod trouble;

pub use ca::CaFile;
pub use trouble::trouble;
