//! Minutes of random mishaps: the limiter never freezes and never lets too much through.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use fleetline_tests::services::Server;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::calls::{Calls, Unit, us};
use super::extent::Extent;
use super::rig::{Limit, Rig, Site};

const LIMIT: Limit = Limit::Requests(6_000);
const WORKERS: usize = 4;
/// Without a mishap, somebody calls at least this often: the longest wait that workers sleep through.
const HOLD: Duration = Duration::from_secs(1);
/// What a process takes to start or to find its servers again, on a machine as busy as this one is then.
const RECOVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// A worker is killed and another added.
    Worker,
    /// The dispatcher is killed and started again.
    Serve,
    /// Each who calls within a second gets a 429 with this `Retry-After`, in seconds.
    Storm(u64),
    /// No answer for so many seconds.
    Outage(u64),
    /// Redis is killed and started again: nothing is known of the last window.
    Redis,
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker => f.write_str("worker killed"),
            Self::Serve => f.write_str("serve killed"),
            Self::Storm(seconds) => write!(f, "storm of 429s, Retry-After {seconds} s"),
            Self::Outage(seconds) => write!(f, "outage of {seconds} s"),
            Self::Redis => f.write_str("Redis killed"),
        }
    }
}

impl Mishap {
    fn any(random: &mut Rng) -> Self {
        match random.u8(0..9) {
            0..=3 => Self::Worker,
            4 => Self::Serve,
            5 | 6 => Self::Storm(random.u64(1..=5)),
            7 => Self::Outage(random.u64(1..=4)),
            _ => Self::Redis,
        }
    }

    async fn happen(self, site: &Site, rig: &mut Rig) {
        match self {
            Self::Worker => {
                rig.kill_worker();
                rig.add_worker();
            }
            Self::Serve => {
                rig.kill_serve();
                rig.serve().await;
            }
            Self::Storm(seconds) => {
                rig.provider.fails(&format!("0s..1s storm retry-after={seconds}s")).await;
            }
            Self::Outage(seconds) => rig.provider.fails(&format!("0s..{seconds}s outage reset")).await,
            Self::Redis => {
                site.servers.kill(Server::Redis);
                site.servers.start_again(Server::Redis);
            }
        }
    }

    /// How long nobody may call because of it.
    fn silence(self) -> Duration {
        let seconds = Duration::from_secs;
        match self {
            Self::Worker => HOLD,
            Self::Serve | Self::Redis => RECOVERY,
            // Once more for a call that met the storm at its end.
            Self::Storm(wait) => seconds(1 + wait) + HOLD,
            // Then the breaker may be open for its time.
            Self::Outage(length) => seconds(length) + BREAKER + HOLD,
        }
    }
}

/// The breaker of this fleet is open for so long; the default would make a soak of silence.
const BREAKER: Duration = Duration::from_secs(3);

/// One mishap after the other, drawn from a seed that is printed: `SEED=...` draws them again.
pub(crate) async fn print(site: &Site, extent: &Extent) {
    let Extent { soak: time, seed, .. } = *extent;
    let mut random = Rng::with_seed(seed);
    let mut rig = Rig::prepare(site, extent, LIMIT, "sliding-window").await;
    for setting in ["FOR", "FOR_AT_MOST"] {
        let variable = format!("FLEETLINE_UPSTREAMS__OPENAI__BREAKER__{setting}");
        rig.set(&variable, &format!("{}s", BREAKER.as_secs()));
    }
    rig.begin(WORKERS, jobs_for(extent, time)).await;
    let first_call =
        rig.provider.reaches(Duration::from_mins(3), |calls| calls["charged_calls"].as_u64() > Some(0));
    assert!(first_call.await, "no call within three minutes");
    let begin = now_us();
    let until = Instant::now() + time;
    let mut mishaps = Vec::new();
    println!("soak of {} s, seed {seed}, {LIMIT}/min, {WORKERS} workers:", time.as_secs());
    while Instant::now() < until {
        sleep(Duration::from_millis(random.u64(1_000..12_000))).await;
        let mishap = Mishap::any(&mut random);
        let at = now_us();
        mishap.happen(site, &mut rig).await;
        mishaps.push((mishap, at, now_us() + us(mishap.silence())));
    }
    // The last one's silence too.
    sleep(RECOVERY + BREAKER + HOLD).await;
    let calls = rig.provider.calls().await;
    report(&calls, extent, (begin, now_us()), &mishaps);
    println!("  {}", jobs(rig.database()).await);
    rig.clear().await;
}

/// More than can be called: nobody is short of work.
fn jobs_for(extent: &Extent, time: Duration) -> usize {
    let windows = time.as_secs() / extent.window.as_secs() + 3;
    usize::try_from(LIMIT.amount(extent) * windows).expect("some thousand")
}

fn report(calls: &Calls, extent: &Extent, (begin, end): (u64, u64), mishaps: &[(Mishap, u64, u64)]) {
    let most = LIMIT.amount(extent);
    let used = calls.used(Unit::Calls, begin..end);
    let could = most as f64 * (end - begin) as f64 / us(extent.window) as f64;
    println!(
        "  {used} calls, {:.3} of what was allowed; fullest window {:.3} of the limit; {}; calls that met a mishap {}",
        used as f64 / could,
        calls.fullest(Unit::Calls, extent.window) as f64 / most as f64,
        calls.rejected(),
        calls.0.iter().filter(|call| call.verdict == "fault").count(),
    );
    let mut kinds: Vec<String> = Vec::new();
    for (mishap, ..) in mishaps {
        kinds.push(mishap.to_string());
    }
    println!("  {} mishaps: {}", mishaps.len(), kinds.join("; "));
    let gaps = gaps(calls, begin, end);
    let of_mishap = |(from, to): &(u64, u64)| mishaps.iter().find(|(_, at, over)| at < to && from < over);
    let calm = gaps.iter().filter(|gap| of_mishap(gap).is_none()).max_by_key(|(from, to)| to - from);
    let seconds = |(from, to): &(u64, u64)| (to - from) as f64 / 1e6;
    println!("  longest time without a call, away from mishaps: {:.2} s", calm.map_or(0.0, seconds));
    let mut frozen = 0;
    for gap in gaps.iter().filter(|(from, to)| to - from > us(HOLD)) {
        let cause = of_mishap(gap).map_or("NO MISHAP".to_owned(), |(mishap, ..)| mishap.to_string());
        let too_long = gap.1.saturating_sub(may_be_silent_until(gap.0, mishaps));
        frozen += u32::from(too_long > 0);
        println!(
            "  {:.2} s without a call, {:.1} s after the begin: {cause}; longer than it may be by {:.2} s",
            seconds(gap),
            (gap.0 - begin) as f64 / 1e6,
            too_long as f64 / 1e6,
        );
    }
    println!("  {frozen} silences longer than their mishaps");
}

/// When somebody must call if the last call was at a time: mishaps may follow each other.
fn may_be_silent_until(last: u64, mishaps: &[(Mishap, u64, u64)]) -> u64 {
    mishaps.iter().fold(last + us(HOLD), |until, (_, at, over)| {
        if *at < until && last < *over { until.max(over + us(HOLD)) } else { until }
    })
}

/// The times between calls, whatever came of those.
fn gaps(calls: &Calls, begin: u64, end: u64) -> Vec<(u64, u64)> {
    let inside = calls.0.iter().map(|call| call.at_us).filter(|at| (begin..end).contains(at));
    let mut gaps = Vec::new();
    let mut last = begin;
    for at in inside.chain([end]) {
        gaps.push((last, at));
        last = at;
    }
    gaps
}

fn now_us() -> u64 {
    us(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"))
}

/// What the ledger says: no job ended otherwise than by success, and none more than once.
async fn jobs(database: &str) -> String {
    let mut connection = PgConnection::connect(database).await.expect("Postgres answers");
    let count =
        "SELECT count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state = 'dead'), count(*)
                 FROM job_states";
    let (succeeded, dead, all): (i64, i64, i64) =
        sqlx::query_as(count).fetch_one(&mut connection).await.expect("an answer");
    format!("of {all} jobs {succeeded} succeeded, {dead} died, the others wait")
}
