//! Servers of one test alone, for faults that others must not feel.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{Urls, VARIABLES, run, script, urls_of, workspace};

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// RabbitMQ.
    RabbitMq,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

/// All three servers, ended and removed when dropped.
pub struct PrivateServers {
    dir: TempDir,
    /// Where they are. A server that is started again keeps its port and, but for Redis, its data.
    pub urls: Urls,
    rabbitmq_conf: String,
}

impl PrivateServers {
    /// Starts them; about 5 s.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts them with these lines in the broker's configuration.
    pub fn start_with(rabbitmq_conf: &str) -> Self {
        Self::started(rabbitmq_conf, false)
    }

    /// Starts them with TLS: the URLs say so, and name the host `localhost`, for which alone the certificate
    /// is.
    pub fn start_with_tls() -> Self {
        Self::started("", true)
    }

    /// The certificate of the authority that signed theirs.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("tls/ca.pem")
    }

    /// The port in a file of theirs: where one listens without TLS.
    pub fn plain_port(&self, file: &str) -> u16 {
        let port =
            std::fs::read_to_string(self.dir.path().join(file)).expect("a server has a file of its port");
        port.trim().parse().expect("a port")
    }

    fn started(rabbitmq_conf: &str, has_tls: bool) -> Self {
        let dir =
            tempfile::Builder::new().prefix("fleetline-").tempdir().expect("a writable temporary folder");
        let mut up = Command::new(workspace().join("scripts/services.sh"));
        up.args(["up", &dir.path().to_string_lossy()]);
        up.env("FLEETLINE_RABBITMQ_CONF", rabbitmq_conf);
        if has_tls {
            up.env("FLEETLINE_TLS", "1");
        }
        for variable in VARIABLES {
            // Faults must not hit a server that the environment names.
            up.env_remove(variable);
        }
        let urls = urls_of(&run(&mut up));
        Self { dir, urls, rabbitmq_conf: rabbitmq_conf.to_owned() }
    }

    /// Ends one with SIGKILL.
    pub fn kill(&self, server: Server) {
        script(&["kill", server.name(), &self.path()]);
    }

    /// Ends one in its own orderly way.
    pub fn stop(&self, server: Server) {
        script(&["stop", server.name(), &self.path()]);
    }

    /// Starts one that was ended; answers when it answers.
    pub fn start_again(&self, server: Server) {
        run(Command::new(workspace().join("scripts/services.sh"))
            .args(["start", server.name(), &self.path()])
            .env("FLEETLINE_RABBITMQ_CONF", &self.rabbitmq_conf));
    }

    /// Sends a signal (`STOP`, `CONT`, `QUIT`) to the main process of one.
    pub fn signal(&self, server: Server, signal: &str) {
        let pid = self.pid(server);
        run(Command::new("kill").args([&format!("-{signal}"), &pid]));
    }

    /// The main process.
    pub fn pid(&self, server: Server) -> String {
        let file: PathBuf = self.dir.path().join(server.name()).join("pid");
        std::fs::read_to_string(file).expect("a running server has a pid file").trim().to_owned()
    }

    /// `rabbitmqctl` of the broker.
    pub fn rabbitmqctl(&self, args: &[&str]) -> String {
        run(Command::new(workspace().join("scripts/services.sh"))
            .args(["rabbitmqctl", &self.path()])
            .args(args))
    }

    fn path(&self) -> String {
        self.dir.path().to_string_lossy().into_owned()
    }
}

impl Drop for PrivateServers {
    fn drop(&mut self) {
        let _ = Command::new(workspace().join("scripts/services.sh")).args(["down", &self.path()]).output();
    }
}
