//! `fleetline doctor`: is the fleet as it should be, and if not, what to do.

mod limits;

use std::io;

use fleetline_shared::domain::{Finding, PortError};
use fleetline_shared::rabbitmq::topology;
use serde_json::json;

use crate::app::App;
use crate::config::Upstream;
use crate::exit::{CliError, FAILURE, OK};
use crate::fleet::{self, Role};
use crate::present::{write_line, write_text};

/// What an examination brought: a line for people, and findings.
type Examined = Result<(String, Vec<Finding>), CliError>;

/// Examines all servers and the settings; returns the exit code.
pub(super) async fn doctor(app: &App) -> Result<u8, CliError> {
    let mut healthy = true;
    healthy &= show(app, "postgres", postgres(app).await)?;
    healthy &= show(app, "rabbitmq", rabbitmq(app).await)?;
    healthy &= show(app, "redis", redis(app).await)?;
    healthy &= show(app, "settings", Ok(settings(app)))?;
    Ok(if healthy { OK } else { FAILURE })
}

/// `true`: nothing is wrong.
fn show(app: &App, what: &str, examined: Examined) -> Result<bool, CliError> {
    let (line, findings) =
        examined.unwrap_or_else(|error| ("cannot be examined".to_owned(), vec![of(&error)]));
    if app.json() {
        write_line(&mut io::stdout(), &json!({ "part": what, "is": line, "findings": findings }))?;
        return Ok(findings.is_empty());
    }
    let mark = if findings.is_empty() { "ok" } else { "!!" };
    write_text(&format!("{mark}  {what:<9} {line}\n"))?;
    for same in findings.chunk_by(|one, next| one.remedy == next.remedy) {
        for Finding { subject, problem, .. } in same {
            write_text(&format!("      {subject}: {problem}\n"))?;
        }
        write_text(&format!("      -> {}\n", same[0].remedy))?;
    }
    Ok(findings.is_empty())
}

fn of(error: &CliError) -> Finding {
    let remedy = match error {
        CliError::Port(PortError::Unavailable { .. }) => {
            "do what it says; else check that it runs, that this machine may reach it, and its URL"
        }
        _ => "see `fleetline config print`",
    };
    Finding::new("connection", error.to_string(), remedy)
}

async fn postgres(app: &App) -> Examined {
    let examined = fleetline_shared::postgres::examine(&fleet::postgres_options(app)?).await?;
    Ok((format!("PostgreSQL {}", examined.0), examined.1))
}

async fn rabbitmq(app: &App) -> Examined {
    let options = fleet::rabbit_options(app, Role::Producer)?;
    let management = fleet::management(app)?;
    let wanted = fleet::topology(app);
    let mut findings = topology::check(&options, management.as_ref(), &wanted).await?;
    let rights = match &management {
        Some(management) => topology::rights(&options, management, &wanted).await?,
        None => None,
    };
    let looked = match rights {
        Some(_) => ", rights",
        None => "; not the user's rights, which the management API shows to administrators only",
    };
    findings.extend(rights.unwrap_or_default());
    Ok((format!("RabbitMQ: connection, exchanges, queues, policies{looked}"), findings))
}

async fn redis(app: &App) -> Examined {
    let redis = fleet::redis(app)?;
    let (version, mut findings) = redis.examine().await?;
    match fleet::limits_in_force(&redis).await {
        Ok(in_force) => findings.extend(limits::differences(&fleet::limits(app), &in_force)),
        // A server that is not fit for quotas has been told of.
        Err(error) if findings.is_empty() => findings.push(of(&error)),
        Err(_) => {}
    }
    Ok((format!("Redis {version}"), findings))
}

/// What only the settings can tell.
fn settings(app: &App) -> (String, Vec<Finding>) {
    let config = app.config();
    let is_used = |(name, upstream): &(&String, &Upstream)| {
        upstream.base_url.is_some() || (*name == "openai" && config.openai.is_configured())
    };
    let has_no_quota = |(_, upstream): &(&String, &Upstream)| limits::has_no_quota(&upstream.limits());
    let without = config.upstreams.iter().filter(is_used).filter(has_no_quota);
    let findings = without.map(|(name, _)| {
        Finding::new(
            format!("upstreams.{name}"),
            "it has no quota here: unless other processes have one, the fleet calls as fast as its workers can",
            "set requests and tokens to what the provider allows, concurrency to what it bears, or quota = \"unlimited\"",
        )
    });
    let kinds: Vec<_> = app.registry().names().collect();
    (format!("kinds {}", kinds.join(", ")), findings.collect())
}
