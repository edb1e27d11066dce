//! The way to outside APIs: a client per upstream, and what its answers say about quota.
//!
//! [`UpstreamClient`] makes one call and gives back an [`Answer`] whatever its status; who called
//! judges it, and words its errors through [`UpstreamClient::error`]. [`feedback`] reads headers.

mod body;
mod client;
pub mod feedback;
mod request_id;
mod secrets;
mod settings;
mod trace;

pub use client::{Answer, MAX_ANSWER, UpstreamClient};
pub use settings::UpstreamSettings;
