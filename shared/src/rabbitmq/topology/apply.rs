//! Makes the topology.

use tokio::time::Instant;

use super::declare::{declare, declare_common};
use super::definitions::body;
use super::management::{Management, segment};
use super::{Queue, Topology};
use crate::domain::PortError;
use crate::rabbitmq::RabbitOptions;
use crate::rabbitmq::error::{Failed, invalid};
use crate::rabbitmq::link::Link;

/// Sets the policies and declares exchanges, queues and bindings; what is there and right stays.
/// The user needs the permission to configure, and the tag `policymaker` in the management API.
pub async fn apply(
    options: &RabbitOptions,
    management: &Management,
    topology: &Topology,
) -> Result<(), PortError> {
    // Policies first: no queue is without its limits for a moment.
    let vhost = options.uri()?.vhost;
    for policy in topology.limits.policies() {
        let path = format!("policies/{}/{}", segment(&vhost), policy.name);
        if !management.put(&path, &body(&policy)).await? {
            return Err(invalid(format!(
                "RabbitMQ has no virtual host `{vhost}`: make it (`rabbitmqctl add_vhost {vhost}`), or check rabbitmq.url \
                 and rabbitmq.management_url"
            )));
        }
    }
    let link = Link::start(options, "topology")?;
    let live = link.connection(Instant::now() + link.patience).await?;
    let not_done = |failed: Failed| link.not_done(&live, &failed);
    declare_common(&live.connection, link.patience).await.map_err(not_done)?;
    for kind in &topology.kinds {
        declare(&live.connection, &Queue::of_line(kind), link.patience).await.map_err(not_done)?;
    }
    link.close().await;
    Ok(())
}
