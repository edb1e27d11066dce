//! From settings to parts: kinds with their analysers, splitter options, what a run's jobs share.

use fleetline_producer::discovery::{DiscoveryOptions, NodeRule};
use fleetline_producer::logs::{LogFields, LogFormat, LogOptions};
use fleetline_producer::pipelines::JobTemplate;
use fleetline_shared::domain::{AnalyserRef, KindPolicy, LogArgs, NodeArgs, Registry};
use fleetline_shared::rules::Backoff;
use fleetline_worker::analysers::openai::{Azure, OpenAi, OpenAiSettings};
use fleetline_worker::analysers::{Analyser, Analysers, Builtin};
use fleetline_worker::answers::{LogAnswer, NodeAnswer};
use fleetline_worker::kinds;
use secrecy::SecretString;
use serde::Deserialize;

use crate::args::Pipeline;
use crate::config::{self, Config};
use crate::exit::CliError;

/// Tokens of an answer, as far as can be told before.
const NODE_ANSWER_TOKENS: u64 = 600;
const LOG_ANSWER_TOKENS: u64 = 300;
/// Tokens of prompt and schema around an input.
const NODE_PROMPT_TOKENS: u64 = 700;
const LOG_PROMPT_TOKENS: u64 = 400;

/// The kinds with the analysers that the settings allow: the rules always, the model server if one
/// is configured or asked for.
pub fn registry(config: &Config) -> Result<Registry, CliError> {
    let mut nodes: Vec<Box<dyn Analyser<NodeArgs, NodeAnswer>>> = vec![Box::new(Builtin)];
    let mut logs: Vec<Box<dyn Analyser<LogArgs, LogAnswer>>> = vec![Box::new(Builtin)];
    if config.openai.is_configured() || config.analyser() == config::Analyser::OpenAi {
        let server = OpenAi::new(openai_settings(&config.openai)?).map_err(CliError::Failure)?;
        nodes.push(Box::new(server.clone()));
        logs.push(Box::new(server));
    }
    let jobs = &config.jobs;
    let policy = KindPolicy {
        timeout: jobs.timeout,
        backoff: Backoff { base: jobs.backoff_base, cap: jobs.backoff_cap },
    };
    Ok(kinds::registry(Analysers::new(nodes), Analysers::new(logs), policy))
}

fn openai_settings(openai: &config::OpenAi) -> Result<OpenAiSettings, CliError> {
    let azure = openai.deployment.clone().zip(openai.api_version.clone());
    Ok(OpenAiSettings {
        base_url: openai.base_url.clone(),
        api_key: api_key(openai)?,
        model: openai.model.clone(),
        azure: azure.map(|(deployment, api_version)| Azure { deployment, api_version }),
        structured_output: openai.structured_output,
        max_output_tokens: openai.max_output_tokens,
        temperature: openai.temperature,
        timeout: openai.timeout,
        connect_timeout: openai.connect_timeout,
    })
}

fn api_key(openai: &config::OpenAi) -> Result<Option<SecretString>, CliError> {
    let Some(path) = &openai.api_key_file else { return Ok(openai.api_key.clone()) };
    let key = std::fs::read_to_string(path).map_err(|error| {
        CliError::Usage(format!("openai.api_key_file: {} cannot be read: {error}", path.display()))
    })?;
    if key.trim().is_empty() {
        return Err(CliError::Usage(format!("openai.api_key_file: {} is empty", path.display())));
    }
    Ok(Some(key.trim().into()))
}

/// What all jobs of a run have in common.
pub fn job_template(config: &Config, pipeline: Pipeline) -> Result<JobTemplate, CliError> {
    let (prompt_tokens, output_tokens) = match pipeline {
        Pipeline::Discovery => (NODE_PROMPT_TOKENS, NODE_ANSWER_TOKENS),
        Pipeline::Logs => (LOG_PROMPT_TOKENS, LOG_ANSWER_TOKENS),
    };
    Ok(JobTemplate {
        analyser: analyser_ref(config, pipeline)?,
        max_attempts: config.jobs.max_attempts,
        deadline: config.jobs.deadline,
        fresh_for: config.jobs.fresh_for,
        output_tokens,
        prompt_tokens,
    })
}

fn analyser_ref(config: &Config, pipeline: Pipeline) -> Result<AnalyserRef, CliError> {
    let nodes = |analyser: &dyn Analyser<NodeArgs, NodeAnswer>| analyser.reference();
    let logs = |analyser: &dyn Analyser<LogArgs, LogAnswer>| analyser.reference();
    Ok(match (config.analyser(), pipeline) {
        (config::Analyser::Builtin, Pipeline::Discovery) => nodes(&Builtin),
        (config::Analyser::Builtin, Pipeline::Logs) => logs(&Builtin),
        (config::Analyser::OpenAi, pipeline) => {
            let server = OpenAi::new(openai_settings(&config.openai)?).map_err(CliError::Failure)?;
            match pipeline {
                Pipeline::Discovery => nodes(&server),
                Pipeline::Logs => logs(&server),
            }
        }
    })
}

/// How XML is split.
pub fn discovery_options(config: &config::Discovery) -> Result<DiscoveryOptions, CliError> {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    Ok(DiscoveryOptions {
        max_subtree: config.max_subtree_kb as u64 * KIB,
        max_node: config.max_node_mb as u64 * MIB,
        max_depth: u32::try_from(config.max_depth).unwrap_or(u32::MAX),
        usual_percent: config.usual_percent,
        on_malformed: match config.on_malformed {
            config::OnMalformed::Refuse => fleetline_producer::discovery::OnMalformed::Refuse,
            config::OnMalformed::Keep => fleetline_producer::discovery::OnMalformed::Keep,
        },
        node: match &config.nodes {
            Some(path) => node_rules(path)?,
            None => Vec::new(),
        },
        ..DiscoveryOptions::default()
    })
}

/// A node configuration: `[[node]]` entries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    #[serde(default)]
    node: Vec<NodeRule>,
}

fn node_rules(path: &std::path::Path) -> Result<Vec<NodeRule>, CliError> {
    use figment::Figment;
    use figment::providers::{Format, Toml};
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::Usage(format!("node configuration {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let file: NodeFile = Figment::from(Toml::string(&text)).extract().map_err(|error| wrong(&error))?;
    if file.node.is_empty() {
        return Err(wrong(&"it has no [[node]] entry"));
    }
    Ok(file.node)
}

/// How logs are read.
pub fn log_options(config: &config::Logs) -> LogOptions {
    let fields = config.fields.clone();
    LogOptions {
        format: match config.format {
            config::LogFormat::Auto => LogFormat::Auto,
            config::LogFormat::Json => LogFormat::Json,
            config::LogFormat::Text => LogFormat::Plain,
        },
        fields: LogFields {
            timestamp: fields.timestamp,
            level: fields.level,
            logger: fields.logger,
            message: fields.message,
            stack: fields.stack,
            service: fields.service,
        },
        min_level: config.min_level.map(log_level),
        max_line_kb: config.max_line_kb,
        max_stack_kb: config.max_stack_kb,
        ..LogOptions::default()
    }
}

fn log_level(level: config::Level) -> fleetline_producer::logs::Level {
    use fleetline_producer::logs::Level;
    match level {
        config::Level::Trace => Level::Trace,
        config::Level::Debug => Level::Debug,
        config::Level::Info => Level::Info,
        config::Level::Warn => Level::Warn,
        config::Level::Error => Level::Error,
        config::Level::Fatal => Level::Fatal,
    }
}
