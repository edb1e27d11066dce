//! `fleetline topology`: exchanges, queues and policies of the broker.

use std::io;
use std::time::Duration;

use fleetline_shared::domain::Finding;
use fleetline_shared::rabbitmq::topology;
use tokio::time::sleep;

use crate::app::App;
use crate::args::TopologyAction;
use crate::exit::{CliError, FAILURE, OK};
use crate::fleet::{self, Role};
use crate::present::{tell, write_line, write_text};

/// What was applied is looked at so often, and so long after each other.
const LOOKS: u32 = 30;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Makes or checks them; returns the exit code.
pub(super) async fn topology(app: &App, action: TopologyAction) -> Result<u8, CliError> {
    match action {
        TopologyAction::Apply => apply(app).await,
        TopologyAction::Check => check(app).await,
    }
}

async fn apply(app: &App) -> Result<u8, CliError> {
    let management = fleet::management(app)?.ok_or_else(|| {
        CliError::Usage(
            "rabbitmq.management_url is not set: policies are set through the management API. Set it, or \
             import deploy/rabbitmq/definitions.json on the broker"
                .into(),
        )
    })?;
    let topology = fleet::topology(app);
    let options = fleet::rabbit_options(app, Role::Producer)?;
    topology::apply(&options, &management, &topology).await?;
    let look = async || topology::check(&options, Some(&management), &topology).await;
    let mut findings = look().await?;
    // The broker shows its policies some seconds after it obeys them. What only others can mend stays.
    for _ in 1..LOOKS {
        if findings.is_empty() || findings.iter().any(|finding| finding.remedy != topology::APPLY) {
            break;
        }
        sleep(BETWEEN_LOOKS).await;
        findings = look().await?;
    }
    if !findings.is_empty() {
        show(app, &findings)?;
        tell("error: exchanges, queues and policies are made, but this still differs");
        return Ok(FAILURE);
    }
    write_text(&format!("the broker is set up for {}\n", topology.kinds.join(", ")))?;
    Ok(OK)
}

async fn check(app: &App) -> Result<u8, CliError> {
    let management = fleet::management(app)?;
    let options = fleet::rabbit_options(app, Role::Producer)?;
    let findings = topology::check(&options, management.as_ref(), &fleet::topology(app)).await?;
    show(app, &findings)?;
    if findings.is_empty() && !app.json() {
        write_text("the broker is as it should be\n")?;
    }
    Ok(if findings.is_empty() { OK } else { FAILURE })
}

fn show(app: &App, findings: &[Finding]) -> Result<(), CliError> {
    for finding in findings {
        if app.json() {
            let shown = serde_json::json!({
                "subject": finding.subject, "problem": finding.problem, "remedy": finding.remedy,
            });
            write_line(&mut io::stdout(), &shown)?;
        } else {
            write_text(&format!("{finding}\n"))?;
        }
    }
    Ok(())
}
