//! Doing a piece of work on a connection, and again where that is safe.
//!
//! Safe is what surely left nothing behind: a transaction that the server undid, or one whose
//! connection broke before its commit. What took longer than its patience would do so again. A commit in
//! doubt goes to the caller as [`Fault::InDoubt`](super::fault::Fault::InDoubt).

use std::time::Duration;

use super::fault::Fault;

/// Deadlocks and broken connections that one request lives through.
const MOST: u32 = 5;

/// Counts the tries of one request.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether to try again, after a wait that grows.
    pub(super) async fn again(&mut self, fault: &Fault) -> bool {
        let safe = match fault {
            Fault::Database(_) | Fault::Overtaken => fault.is_collision() || fault.is_connection_lost(),
            _ => false,
        };
        self.0 += 1;
        if !safe || self.0 > MOST {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=10 << self.0))).await;
        true
    }
}

/// Runs `$work`, which has the connection as `$connection`, in a transaction.
macro_rules! transact {
    ($ledger:expr, $connection:ident => $work:expr) => {
        $crate::postgres::retry::repeat!($ledger, $connection => {
            $connection.begin().await?;
            let done = $work.await?;
            $connection.commit().await?;
            Ok::<_, $crate::postgres::fault::Fault>(done)
        })
    };
}

/// The same for work that gives the same answer again: where the commit is in doubt, it is repeated once.
macro_rules! transact_repeatably {
    ($ledger:expr, $connection:ident => $work:expr) => {
        match $crate::postgres::retry::transact!($ledger, $connection => $work) {
            Err($crate::postgres::fault::Fault::InDoubt(_)) => {
                $crate::postgres::retry::transact!($ledger, $connection => $work)
            }
            settled => settled,
        }
    };
}

/// Runs `$work`, a single statement or several that only read, without a transaction of its own.
macro_rules! perform {
    ($ledger:expr, $connection:ident => $work:expr) => {
        $crate::postgres::retry::repeat!($ledger, $connection => { $work.await })
    };
}

macro_rules! repeat {
    ($ledger:expr, $connection:ident => $work:block) => {{
        let mut tries = $crate::postgres::retry::Tries::default();
        loop {
            let result: $crate::postgres::fault::Result<_> = match $ledger.acquire().await {
                Err(fault) => Err(fault),
                Ok(mut $connection) => {
                    let patience = $ledger.pool.patience();
                    let answer: std::result::Result<$crate::postgres::fault::Result<_>, _> =
                        tokio::time::timeout(patience, async { $work }).await;
                    let result = answer.unwrap_or_else(|_| Err($connection.fell_silent()));
                    match &result {
                        Ok(_) => $connection.give_back(),
                        Err(fault) if fault.is_connection_lost() => $ledger.pool.forget_idle(),
                        Err(_) => $connection.roll_back().await,
                    }
                    result
                }
            };
            match result {
                Ok(done) => break Ok(done),
                Err(fault) if tries.again(&fault).await => {}
                Err(fault) => break Err(fault),
            }
        }
    }};
}

pub(super) use {perform, repeat, transact, transact_repeatably};

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_broke_is_repeated_a_few_times_and_what_took_too_long_is_not() {
        let broken = || Fault::Database(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        let mut tries = Tries::default();
        for _ in 0..MOST {
            assert!(tries.again(&broken()).await);
        }
        assert!(!tries.again(&broken()).await);
        assert!(!Tries::default().again(&Fault::TookTooLong).await);
    }
}
