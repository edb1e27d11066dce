//! The way to outside APIs: a client per upstream, and what its answers say about quota.
//!
//! [`UpstreamClient`] makes one call and gives back an [`Answer`] whatever its status; who called
//! judges it, and words its errors through [`UpstreamClient::error`]. [`feedback`] reads headers.
//! [`ApiClient`] calls an API that is known by its settings alone.

mod api;
mod body;
mod client;
pub mod feedback;
mod request_id;
mod said;
mod secrets;
mod settings;
mod trace;

/// What is said of an answer that leads elsewhere. Where to, the log alone says.
pub(crate) const REDIRECT: &str = "; redirects are not followed: is base_url right?";

pub use api::{ApiClient, ApiConfig};
pub use client::{Answer, MAX_ANSWER, Outgoing, UpstreamClient};
pub(crate) use said::{Said, said};
pub use settings::UpstreamSettings;
