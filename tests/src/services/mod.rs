//! The servers that tests run against: real ones, started by `scripts/services.sh`.

mod authority;
mod database;
mod private;
mod vhost;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use authority::Authority;
pub use database::Database;
pub use private::{PrivateServers, Server};
pub use vhost::Vhost;

/// The variables that name existing servers.
const VARIABLES: [&str; 4] = [
    "FLEETLINE_POSTGRES__URL",
    "FLEETLINE_REDIS__URL",
    "FLEETLINE_RABBITMQ__URL",
    "FLEETLINE_RABBITMQ__MANAGEMENT_URL",
];

/// Where the servers are.
#[derive(Clone, Debug)]
pub struct Urls {
    /// A database in which others can be created.
    pub postgres: String,
    /// The server; tests use key prefixes of their own.
    pub redis: String,
    /// The default virtual host; tests use a [`Vhost`] of their own.
    pub rabbitmq: String,
    /// The broker's management API, with user and password.
    pub management: String,
}

/// The servers that all tests share: those of the environment, else those of `make up`, which are
/// started if they are not running.
pub fn shared() -> &'static Urls {
    static URLS: OnceLock<Urls> = OnceLock::new();
    URLS.get_or_init(|| urls_of(&script(&["up", &workspace().join(".dev").to_string_lossy()])))
}

/// Reads what the script printed; what is not there was given by the environment.
fn urls_of(printed: &str) -> Urls {
    let find = |name: &str| {
        let prefix = format!("export {name}=");
        let started = printed.lines().find_map(|line| line.strip_prefix(&prefix));
        // Quoted for the shell if it has a query.
        started
            .map(|url| url.trim_matches('\'').to_owned())
            .or_else(|| std::env::var(name).ok())
            .unwrap_or_else(|| panic!("there is no {name}: {printed}"))
    };
    let [postgres, redis, rabbitmq, management] = VARIABLES.map(find);
    Urls { postgres, redis, rabbitmq, management }
}

/// Runs `scripts/services.sh`; panics with what it said if it fails.
pub(crate) fn script(args: &[&str]) -> String {
    run(Command::new(workspace().join("scripts/services.sh")).args(args))
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("bash is there");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}
