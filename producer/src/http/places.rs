//! Places for the files that are taken at the same time, shared among tenants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::problem::Problem;

/// The places. Clones are of the same ones.
#[derive(Clone)]
pub(super) struct Places {
    all: usize,
    /// A tenant has no more, so that none can keep the others out.
    of_one: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    tenant: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Places {
    /// `shared`: among tenants, each of which has half of them at most.
    pub(super) fn new(all: usize, shared: bool) -> Self {
        let of_one = if shared { (all / 2).max(1) } else { all };
        Self { all, of_one, taken: Arc::default() }
    }

    pub(super) fn take(&self, tenant: &str) -> Result<Place, Problem> {
        let mut taken = lock(&self.taken);
        if taken.values().sum::<usize>() >= self.all {
            return Err(later(format!("{} files are being taken already", self.all)));
        }
        let own = taken.entry(tenant.to_owned()).or_default();
        if *own >= self.of_one {
            return Err(later(format!("{} files of your tenant are being taken already", self.of_one)));
        }
        *own += 1;
        Ok(Place { tenant: tenant.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(own) = taken.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

fn lock(taken: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

fn later(why: String) -> Problem {
    Problem::unavailable(why + ": send it later")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_takes_all_and_all_take_no_more_than_there_are() {
        for (all, shared, of_one) in [(1, true, 1), (2, true, 1), (5, true, 2), (64, true, 32), (5, false, 5)]
        {
            let places = Places::new(all, shared);
            let held: Vec<_> = (0..of_one).map(|_| places.take("one").expect("a place")).collect();
            places.take("one").expect_err("it has all that it may have");
            let others: Vec<_> =
                (of_one..all).map(|n| places.take(&n.to_string()).expect("a place")).collect();
            places.take("last").expect_err("all are taken");
            drop(others);
            drop(held);
            drop(places.take("one").expect("they are free again"));
            assert!(lock(&places.taken).is_empty());
        }
    }
}
