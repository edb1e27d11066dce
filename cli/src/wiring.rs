//! From settings to parts: kinds with their analysers, splitter options, what a run's jobs share.

mod apis;

use std::sync::Arc;

use fleetline_producer::discovery::{DiscoveryOptions, NodeRule};
use fleetline_producer::logs::{LogFields, LogFormat, LogOptions};
use fleetline_producer::pipelines::{Appraiser, JobTemplate};
use fleetline_shared::domain::{Kind, KindPolicy};
use fleetline_shared::rules::Backoff;
use fleetline_shared::tls::CaFile;
use fleetline_worker::analysers::openai::{ChatClient, OpenAiConfig, StructuredOutput, TokenLimit};
use fleetline_worker::kinds::{Kinds, LogAnalyze, NodeExtract};
use serde::Deserialize;

use crate::args::Pipeline;
use crate::config::{self, Config};
use crate::exit::CliError;

/// The upstream of the analyser of the same name.
const OPENAI: &str = "openai";

/// The kinds with the analysers that the settings allow: the rules always, the model server if one
/// is configured or asked for.
pub fn kinds(config: &Config) -> Result<Kinds, CliError> {
    let wanted = config.openai.is_configured() || config.analyser() == config::Analyser::OpenAi;
    let chat = wanted.then(|| chat_client(&config.openai)).transpose()?;
    let jobs = &config.jobs;
    let policy = KindPolicy {
        timeout: jobs.timeout,
        backoff: Backoff { base: jobs.backoff_base, cap: jobs.backoff_cap },
    };
    Ok(Kinds::calling(chat.as_ref(), apis::of(config)?, policy))
}

fn chat_client(openai: &config::OpenAi) -> Result<Arc<ChatClient>, CliError> {
    let ca = openai.ca_file.as_deref().map(CaFile::read).transpose();
    let ca = ca.map_err(|problem| CliError::Usage(format!("openai.ca_file: {problem}")))?;
    let client = ChatClient::new(OpenAiConfig { ca, ..openai_config(openai) });
    Ok(Arc::new(client.map_err(|error| CliError::Usage(error.to_string()))?))
}

fn openai_config(openai: &config::OpenAi) -> OpenAiConfig {
    // OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else.
    let is_openai = openai.base_url.contains("://api.openai.com") || openai.deployment.is_some();
    OpenAiConfig {
        base_url: openai.base_url.clone(),
        api_key: openai.api_key.clone(),
        api_key_file: openai.api_key_file.clone(),
        model: openai.model.clone(),
        api_version: openai.api_version.clone(),
        deployment: openai.deployment.clone(),
        temperature: openai.temperature,
        max_output_tokens: openai.max_output_tokens,
        token_limit: if is_openai { TokenLimit::MaxCompletionTokens } else { TokenLimit::MaxTokens },
        structured_output: if openai.structured_output {
            StructuredOutput::JsonSchema
        } else {
            StructuredOutput::None
        },
        timeout: openai.timeout,
        connect_timeout: openai.connect_timeout,
        read_timeout: openai.read_timeout,
        idle_connections: openai.idle_connections,
        idle_timeout: openai.idle_timeout,
        ..OpenAiConfig::default()
    }
}

/// What all jobs of a run have in common.
pub fn job_template(config: &Config, kinds: &Kinds, pipeline: Pipeline) -> Result<JobTemplate, CliError> {
    let kind = match pipeline {
        Pipeline::Discovery => NodeExtract::NAME,
        Pipeline::Logs => LogAnalyze::NAME,
    };
    let name = match config.analyser() {
        config::Analyser::Builtin => "builtin",
        config::Analyser::OpenAi => OPENAI,
    };
    let (Some(known), Some(analyser)) = (kinds.registry().get(kind), kinds.analyser(kind, name)) else {
        return Err(CliError::Usage(format!("kind `{kind}` has no analyser `{name}`")));
    };
    Ok(JobTemplate {
        analyser: analyser.clone(),
        max_attempts: config.jobs.max_attempts,
        deadline: config.jobs.deadline,
        fresh_for: config.jobs.fresh_for,
        appraiser: Appraiser::of(known),
    })
}

/// How XML is split.
pub fn discovery_options(config: &config::Discovery) -> Result<DiscoveryOptions, CliError> {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let nodes = config.nodes.as_deref().map(node_file).transpose()?.unwrap_or_default();
    Ok(DiscoveryOptions {
        max_subtree: config.max_subtree_kb as u64 * KIB,
        max_node: config.max_node_mb as u64 * MIB,
        max_depth: u32::try_from(config.max_depth).unwrap_or(u32::MAX),
        usual_percent: config.usual_percent,
        on_malformed: match config.on_malformed {
            config::OnMalformed::Refuse => fleetline_producer::discovery::OnMalformed::Refuse,
            config::OnMalformed::Keep => fleetline_producer::discovery::OnMalformed::Keep,
        },
        automatic: nodes.automatic,
        node: nodes.node,
        ..DiscoveryOptions::default()
    })
}

/// A node configuration: `[[node]]` entries, and whether repeated elements are nodes as well.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    automatic: Option<bool>,
    #[serde(default)]
    node: Vec<NodeRule>,
}

fn node_file(path: &std::path::Path) -> Result<NodeFile, CliError> {
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
    Ok(file)
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
