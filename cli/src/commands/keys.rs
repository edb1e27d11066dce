//! `fleetline keys`: who may use the HTTP intake.

use std::io;

use fleetline_producer::http::keys::new_key;
use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{KeyLedger, Role};

use crate::app::App;
use crate::args::KeysAction;
use crate::exit::CliError;
use crate::fleet;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table};

/// Makes, lists or ends keys.
pub(super) async fn keys(app: &App, action: KeysAction) -> Result<(), CliError> {
    match action {
        KeysAction::Create { tenant, role, label } => create(app, &tenant, role, &label).await,
        KeysAction::List => list(app, &fleet::postgres(app).await?).await,
        KeysAction::Revoke { id } => {
            if fleet::postgres(app).await?.revoke_key(id).await? {
                write_text(&format!("key {id} is revoked; servers forget it within some seconds\n"))
            } else {
                Err(CliError::Failure(format!(
                    "there is no valid key {id}: `fleetline keys list` lists them"
                )))
            }
        }
    }
}

async fn create(app: &App, tenant: &str, role: Role, label: &str) -> Result<(), CliError> {
    let minted = new_key(tenant, role, label).map_err(|error| match error {
        PortError::Invalid { message, .. } => CliError::Usage(message),
        error => error.into(),
    })?;
    let (id, secret) = (minted.record.id, minted.key);
    fleet::postgres(app).await?.add_key(minted.record).await?;
    if app.json() {
        let shown = serde_json::json!({ "id": id, "key": secret, "tenant": tenant, "role": role });
        return write_line(&mut io::stdout(), &shown);
    }
    write_text(&format!("{secret}\n"))?;
    app.say(&format!("key {id} of tenant {tenant}, role {role}; it is not shown again"));
    Ok(())
}

async fn list(app: &App, ledger: &dyn KeyLedger) -> Result<(), CliError> {
    let keys = ledger.keys().await?;
    if app.json() {
        return keys.iter().try_for_each(|key| write_line(&mut io::stdout(), key));
    }
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Left("id"),
            Column::Left("tenant"),
            Column::Left("role"),
            Column::Left("made"),
            Column::Left("revoked"),
            Column::Text("label"),
        ],
    );
    for key in keys {
        table.plain_row([
            key.id.to_string(),
            key.tenant,
            key.role.to_string(),
            format::time(key.created_at_ms),
            key.revoked_at_ms.map(format::time).unwrap_or_default(),
            key.label,
        ]);
    }
    write_text(&format!("{table}\n"))
}
