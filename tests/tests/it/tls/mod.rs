//! TLS to the fleet's servers: an authority of one's own is trusted if it is named, and a refusal says
//! what to do.

mod fleet;
mod refusals;

use std::path::Path;

use fleetline_tests::services::Urls;

use crate::cli::harness::Place;

/// Where commands use these servers and trust this authority, if any.
fn place(urls: &Urls, ca: Option<&Path>) -> Place {
    let (server, _) = urls.postgres.split_once("&sslrootcert=").expect("the URL names the authority");
    let ca = ca.map(|path| path.to_string_lossy());
    let postgres = ca.as_ref().map_or(server.to_owned(), |ca| format!("{server}&sslrootcert={ca}"));
    let ca = ca.as_deref().unwrap_or("none");
    Place::new()
        .env("FLEETLINE_POSTGRES__URL", &postgres)
        .env("FLEETLINE_REDIS__URL", &urls.redis)
        .env("FLEETLINE_REDIS__CA_FILE", ca)
        .env("FLEETLINE_RABBITMQ__URL", &urls.rabbitmq)
        .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management)
        .env("FLEETLINE_RABBITMQ__CA_FILE", ca)
        .env("FLEETLINE_RABBITMQ__CONNECT_TIMEOUT", "2s")
}
