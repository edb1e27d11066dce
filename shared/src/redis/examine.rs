//! Whether a server is fit for leases and quotas.

use std::time::SystemTime;

use redis::{Pipeline, Value, from_redis_value};

use super::Redis;
use crate::domain::{Finding, PortError};

/// The oldest version that runs the scripts.
const OLDEST: (u32, u32) = (6, 2);
/// Keys that are looked for, to find out whether all are here.
const SLOTS: u32 = 16;

impl Redis {
    /// The server's version, and what is not as it should be. Changes nothing.
    pub async fn examine(&self) -> Result<(String, Vec<Finding>), PortError> {
        let mut commands = Pipeline::new();
        commands.cmd("INFO").arg("server");
        commands.cmd("TIME");
        commands.cmd("CONFIG").arg("GET").arg("maxmemory-policy");
        // As the adapters do: by a hash, and the script itself if the server says that it does not know it.
        commands.cmd("EVALSHA").arg("0".repeat(40)).arg(0);
        commands.cmd("SCRIPT").arg("LOAD").arg("return 1");
        // A node of a cluster answers to some of them that they are elsewhere, which is an error of the run.
        for number in 0..SLOTS {
            commands.cmd("GET").arg(format!("{}:{number}", self.prefix()));
        }
        let sent = now_ms();
        let answers = self.run("redis", &commands).await?;
        let [info, time, policy, script, load, ..] = &answers[..] else {
            return Err(PortError::Broken { port: "redis", message: "it answers out of order".into() });
        };
        let version = version_of(info);
        let mut findings = Vec::new();
        findings.extend(too_old(&version));
        findings.extend(clock(time, i64::midpoint(sent, now_ms())));
        findings.extend(eviction(policy));
        findings.extend([script, load].into_iter().find_map(refusal));
        Ok((version, findings))
    }
}

/// A script that is not known was not refused.
fn refusal(answer: &Value) -> Option<Finding> {
    let Value::ServerError(error) = answer else { return None };
    let problem = format!("scripts are refused ({})", error.code());
    let refused = || Finding::new("permissions", problem, "allow EVALSHA and SCRIPT LOAD to the user");
    (error.code() != "NOSCRIPT").then(refused)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn version_of(info: &Value) -> String {
    let text: String = from_redis_value(info.clone()).unwrap_or_default();
    let version = text.lines().find_map(|line| line.trim().strip_prefix("redis_version:"));
    version.unwrap_or("unknown").to_owned()
}

fn too_old(version: &str) -> Option<Finding> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let found = (numbers.next()??, numbers.next()??);
    let (major, minor) = OLDEST;
    (found < OLDEST).then(|| {
        Finding::new("version", format!("it is {version}"), format!("use Redis {major}.{minor} or newer"))
    })
}

fn clock(time: &Value, our_ms: i64) -> Option<Finding> {
    let (seconds, micros): (i64, i64) = from_redis_value(time.clone()).ok()?;
    Finding::of_clocks("Redis", seconds * 1000 + micros / 1000, our_ms)
}

/// A lease or a counter that is evicted is an extra call, or a quota that starts empty.
fn eviction(policy: &Value) -> Option<Finding> {
    let (_, policy): (String, String) = from_redis_value(policy.clone()).ok()?;
    (policy != "noeviction").then(|| {
        Finding::new(
            "maxmemory-policy",
            format!("it is {policy}, which drops leases"),
            "set it to noeviction",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, old) in
            [("7.0.15", false), ("6.2.0", false), ("6.0.16", true), ("10.1", false), ("?", false)]
        {
            assert_eq!(too_old(version).is_some(), old, "{version}");
        }
    }
}
