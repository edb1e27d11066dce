//! What Redis holds.

use redis::AsyncCommands;

/// The names of the leases under the prefix.
pub async fn leases(url: &str, prefix: &str) -> Vec<String> {
    let client = redis::Client::open(url).expect("a Redis URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    connection.keys(format!("{{{prefix}:lease}}:*")).await.expect("Redis answers")
}
