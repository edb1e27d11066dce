//! The HTTP intake over real sockets.

mod access;
mod appraisal;
mod connections;
mod events;
mod fixture;
mod forms;
mod insight;
mod jobs;
mod openapi;
mod problems;
mod results;
mod shutdown;
mod upload;
mod upload_faults;
