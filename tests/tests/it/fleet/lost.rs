//! Messages that are lost do not keep their jobs waiting until the sweeper takes them for lost.

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::openai_stub::OpenAiStub;
use fleetline_tests::services::{self, Database, Vhost};

use crate::cli::harness::{Place, log_of};

const MESSAGES: usize = 30;

struct Fleet {
    place: Place,
    stub: OpenAiStub,
    vhost: Vhost,
    _database: Database,
}

impl Fleet {
    async fn new() -> Self {
        let (database, vhost, stub) = (Database::new().await, Vhost::new().await, OpenAiStub::start());
        let urls = services::shared();
        let place = Place::with_stub(&stub)
            .env("FLEETLINE_POSTGRES__URL", &database.url)
            .env("FLEETLINE_REDIS__URL", &urls.redis)
            .env("FLEETLINE_REDIS__PREFIX", &vhost.name)
            .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
            .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management);
        place.run(&["topology", "apply"]).exits(0);
        place.write("a.log", log_of(MESSAGES));
        Self { place, stub, vhost, _database: database }
    }

    fn start(&self, args: &[&str], env: &[(&str, &str)]) -> Process {
        let mut command = self.place.command(args);
        command.envs(env.iter().copied());
        Process::start(args[0], &mut command, &self.place.path("."))
    }

    fn serve(&self, env: &[(&str, &str)]) -> Process {
        self.start(&["serve", "--listen", "127.0.0.1:0", "--open"], env)
    }

    fn submit(&self) -> String {
        let accepted = self.place.run(&["submit", "--json", "a.log"]).exits(0).json();
        accepted["id"].as_str().expect("an id").to_owned()
    }

    /// Each job has its result, and one call was made for each.
    async fn finishes(&self, run: &str) {
        self.start(&["watch", run], &[]).ended_well().await;
        assert_eq!(self.stub.calls().len(), MESSAGES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_dispatcher_had_taken_is_sent_by_the_next_one() {
    let fleet = Fleet::new().await;
    let mut doomed = fleet.serve(&[("FLEETLINE_KILL_AT", "dispatch.after_commit")]);
    let run = fleet.submit();
    doomed.killed_itself().await;
    let _worker = fleet.start(&["work"], &[]);
    let _serve = fleet.serve(&[]);
    fleet.finishes(&run).await;
    fleet.vhost.remove().await;
}
