//! Leases that are wanted together.

use std::time::Duration;

use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{Acquired, Hold, Holder, Leases};
use fleetline_shared::redis::RedisLeases;

use super::redis;

const MINUTE: Duration = Duration::from_mins(1);

fn holder(fence: u64) -> Holder {
    Holder { job: JobId::new(), fence, token: 0, nonce: fastrand::u64(..) }
}

fn hold(key: &str, holder: Holder) -> Hold {
    Hold { key: key.to_owned(), holder }
}

/// Those that are free are taken in the first round trip, the others are looked at in a second one.
#[tokio::test]
async fn each_of_those_wanted_together_has_its_own_answer() {
    let leases = RedisLeases::with_patience(redis(), Duration::ZERO);
    let (other, mine, old) = (holder(1), holder(2), holder(3));
    let held = [hold("held", other), hold("mine", mine), hold("old", old), hold("given twice", mine)];
    assert_eq!(leases.acquire_all(&held, MINUTE).await.unwrap(), vec![Acquired::Yes; 4]);
    let wanted = [
        hold("free", mine),
        hold("held", mine),
        hold("mine", mine),
        hold("free too", mine),
        hold("old", Holder { fence: 4, ..old }),
        hold("given twice", Holder { nonce: !mine.nonce, ..mine }),
        hold("free", mine),
    ];
    let answers = leases.acquire_all(&wanted, MINUTE).await.unwrap();
    let [Acquired::Yes, Acquired::Held { expires_in }, rest @ ..] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert!(*expires_in <= MINUTE, "{expires_in:?}");
    assert_eq!(rest, [Acquired::Yes, Acquired::Yes, Acquired::Yes, Acquired::Duplicate, Acquired::Yes]);
    assert_eq!(leases.holder("old").await.unwrap().unwrap().holder.fence, 4);
}
