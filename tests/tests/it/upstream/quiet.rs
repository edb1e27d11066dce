//! Secrets and bodies stay out of errors and logs.

use std::io;
use std::sync::{Arc, Mutex};

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use fleetline_worker::analysers::openai::OpenAiConfig;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::context;
use crate::openai::{KEY, config, perform_log};

/// What is written to the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_of_calls_without_their_contents() {
    let log = Log::default();
    let writer = {
        let log = log.clone();
        move || log.clone()
    };
    // All that anybody in this process says, dependencies included.
    let _guard = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(writer)
        .finish()
        .set_default();

    let stub = OpenAiStub::start();
    let echo = format!(r#"{{"error":{{"message":"key {KEY} and header hdr-secret are wrong"}}}}"#);
    let id = vec![("x-request-id", format!("req_{KEY}"))];
    stub.script([Behaviour::Answer, Behaviour::Status(401, id, echo), Behaviour::Reset]);
    let config = OpenAiConfig {
        deployment: Some("d".into()),
        api_version: Some("2024-10-21".into()),
        headers: [("x-gateway".to_owned(), "hdr-secret".into())].into(),
        ..config(&stub)
    };
    let context = context();
    perform_log(config.clone(), &context).await.expect("an analysis");
    let refused = perform_log(config.clone(), &context).await.expect_err("401").to_string();
    let broken = perform_log(config, &context).await.expect_err("reset").to_string();

    for said in [&refused, &broken, &log.text()] {
        assert!(!said.contains(KEY) && !said.contains("hdr-secret"), "{said}");
        assert!(!said.contains("ignore all that was said"), "no input: {said}");
        assert!(!said.contains("seen-by-stub"), "no answer: {said}");
    }
    assert!(refused.contains("key [secret] and header [secret]"), "{refused}");
    assert!(refused.ends_with("(request id req_[secret])"), "{refused}");
    let log = log.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("upstream=")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    let job = context.job_id.to_string();
    for line in &lines {
        for part in ["POST", "127.0.0.1", "/openai/deployments/d/chat/completions", "ms=", &job] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("2024-10-21"), "no query: {line}");
    }
    assert!(lines[0].contains("status=200") && lines[1].contains("status=401"), "{lines:?}");
    assert!(lines[1].contains("req_[secret]"), "{}", lines[1]);
}
