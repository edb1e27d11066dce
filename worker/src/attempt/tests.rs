//! A job that waited for a place among the calls for long is checked once more, and one that is delivered again
//! while its call is under way is called once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use fleetline_shared::domain::{
    DeadReason, Decision, DedupKey, Done, ENVELOPE_VERSION, Estimate, JobError, JobId, Kind, RunId,
};
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases, MemoryQuotas};
use fleetline_shared::metrics::{MeteredQuotas, Metrics};
use fleetline_shared::ports::{
    Acquired, Admission, Ask, CallEnd, Delivery, Finish, FinishLedger, Finished, Holder, Leases, Limits,
    Rate, Reservation, Settle, Settlement, SlotTime, Turn, UpstreamReport, lease_key,
};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::*;
use crate::flow::Flow;
use crate::intake::{GRACE, Intake, Tasks};
use crate::keeper::tests::Fickle;
use crate::{Worker, WorkerOptions};

const RENEW_AFTER: Duration = Duration::from_secs(10);

pub(crate) struct Echo;

impl Kind for Echo {
    const NAME: &'static str = "echo";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        Ok(Done::new(args))
    }
}

/// A call of a minute; counts how many began.
pub(crate) struct Slow(pub(crate) Arc<AtomicU32>);

const CALL: Duration = Duration::from_mins(1);

impl Kind for Slow {
    const NAME: &'static str = "slow";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        self.0.fetch_add(1, Ordering::Relaxed);
        sleep(CALL).await;
        Ok(Done::new(args))
    }
}

/// A ledger that gives this answer to every check.
pub(crate) struct Says {
    validity: Mutex<Validity>,
    /// So late.
    answers_in: Mutex<Duration>,
    /// Gone: nothing can be recorded.
    finishes: UnboundedSender<Finish>,
}

impl Says {
    /// That every dispatch counts; with what is recorded.
    pub(crate) fn current() -> (Arc<Self>, UnboundedReceiver<Finish>) {
        let (finishes, outcomes) = unbounded_channel();
        let says = Arc::new(Self {
            validity: Mutex::new(Validity::Current),
            answers_in: Mutex::default(),
            finishes,
        });
        (says, outcomes)
    }
}

#[async_trait]
impl FinishLedger for Says {
    async fn validity(&self, jobs: Vec<(JobId, u64)>, _: Duration) -> Result<Vec<Validity>, PortError> {
        let answers_in = *self.answers_in.lock().unwrap();
        if !answers_in.is_zero() {
            sleep(answers_in).await;
        }
        Ok(vec![*self.validity.lock().unwrap(); jobs.len()])
    }

    async fn args(&self, _: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        unreachable!("the message carries them")
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError> {
        let answers = vec![Finished::Recorded; finishes.len()];
        for finish in finishes {
            let away = |_| PortError::Unavailable { port: "ledger", message: "away".into() };
            self.finishes.send(finish).map_err(away)?;
        }
        Ok(answers)
    }
}

/// Counts acknowledgements.
struct Counted(Arc<AtomicU32>);

#[async_trait]
impl Settle for Counted {
    async fn settle(self: Box<Self>, _: Settlement) -> Result<(), PortError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

pub(crate) fn envelope(kind: &str) -> Envelope {
    Envelope {
        v: ENVELOPE_VERSION,
        job_id: JobId::new(),
        run_id: RunId::new(),
        tenant: "t".into(),
        kind: kind.into(),
        fence: 1,
        attempts: 0,
        max_attempts: 3,
        deadline_ms: None,
        dedup_key: DedupKey::from_bytes([0; 32]),
        upstream: None,
        estimate: Estimate::default(),
        again: false,
        args: Some(RawValue::from_string("1".into()).unwrap()),
    }
}

pub(crate) fn worker(ledger: Arc<Says>) -> Worker {
    let leases = Arc::new(MemoryLeases::new());
    Worker {
        registry: Registry::default().with(Echo),
        ledger,
        broker: Arc::new(MemoryBroker::new()),
        leases: leases.clone(),
        spare_leases: leases,
        quotas: Arc::new(MemoryQuotas::new(BTreeMap::new())),
        terms: BTreeMap::new(),
        options: WorkerOptions {
            concurrency: 1,
            grace: Duration::ZERO,
            lease_ttl: Duration::from_mins(1),
            renew_after: RENEW_AFTER,
            hold: Duration::ZERO,
            patience: Duration::ZERO,
            alone: true,
        },
    }
}

/// Quotas that give their answers so late.
struct Late(Duration, MemoryQuotas);

#[async_trait]
impl Quotas for Late {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        sleep(self.0).await;
        self.1.admit(ask).await
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        self.1.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        self.1.give_back(reservation);
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        self.1.settle(reservation, end).await
    }

    async fn flush(&self) {
        self.1.flush().await;
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        self.1.pause(upstream, wait, why).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        self.1.report().await
    }
}

/// What a job waits for before its call.
#[derive(Clone, Copy, Debug)]
enum WaitsFor {
    Place,
    Quota,
    /// And then for the ledger for as long.
    QuotaAndLedger,
}

/// What becomes of a job that waits so long for the only place or for quota, and is found so then.
async fn after(waits_for: WaitsFor, wait: Duration, found: Validity) -> (Decision, u64) {
    let (ledger, mut outcomes) = Says::current();
    let (failed, _failures) = mpsc::channel(1);
    let late = if matches!(waits_for, WaitsFor::Place) { Duration::ZERO } else { wait };
    let quotas = Arc::new(Late(late, MemoryQuotas::new(BTreeMap::new())));
    let worker = Worker { quotas, ..worker(ledger.clone()) };
    let attempts = Arc::new(worker.attempts(CancellationToken::new(), failed));
    let tasks = Tasks::default();
    let intake = Intake::start(&attempts, &tasks);
    let flow = Arc::new(Flow::new(1));
    let mut calling = flow.take().await;
    // What is long on its way to its call lets a second job come.
    sleep(RENEW_AFTER).await;
    let waiting = flow.take().await;
    calling.begin_call().await;
    let job = Envelope { upstream: Some("api".into()), ..envelope(Echo::NAME) };
    let delivery = Delivery::new(job.encode(), false, Box::new(Counted(Arc::default())));
    assert!(intake.take(delivery, waiting));
    if matches!(waits_for, WaitsFor::Place) {
        // It is there before time goes on.
        sleep(wait).await;
        *ledger.validity.lock().unwrap() = found;
        drop(calling);
    } else {
        drop(calling);
        sleep(wait / 2).await;
        *ledger.validity.lock().unwrap() = found;
        if matches!(waits_for, WaitsFor::QuotaAndLedger) {
            *ledger.answers_in.lock().unwrap() = wait;
        }
    }
    let Finish { decision, usage, .. } = outcomes.recv().await.expect("an outcome");
    (decision, usage.calls)
}

#[tokio::test(start_paused = true)]
async fn no_call_is_made_for_what_is_over_when_it_could_begin() {
    let (short, long) = (RENEW_AFTER / 2, RENEW_AFTER * 2);
    for (waits_for, wait, found, calls) in [
        (WaitsFor::Place, long, Validity::Withdrawn, 0),
        (WaitsFor::Place, long, Validity::Expired, 0),
        (WaitsFor::Place, long, Validity::Stale, 0),
        (WaitsFor::Place, long, Validity::Current, 1),
        (WaitsFor::Place, short, Validity::Withdrawn, 1),
        (WaitsFor::Quota, long, Validity::Stale, 0),
        (WaitsFor::Quota, long, Validity::Current, 1),
        (WaitsFor::Quota, short, Validity::Stale, 1),
        // Its quota is another's by then.
        (WaitsFor::QuotaAndLedger, long, Validity::Current, 0),
        (WaitsFor::QuotaAndLedger, short, Validity::Current, 1),
    ] {
        let case = format!("{wait:?} for {waits_for:?}, {found:?}");
        let (decision, made) = after(waits_for, wait, found).await;
        assert_eq!(made, calls, "{case}: {decision:?}");
        let is_so = match (calls, found) {
            (0, Validity::Withdrawn) => matches!(decision, Decision::Cancel),
            (0, Validity::Expired) => {
                matches!(decision, Decision::Die { reason: DeadReason::DeadlinePassed, .. })
            }
            (0, Validity::Stale) => matches!(decision, Decision::Ignore),
            (0, Validity::Current) => matches!(decision, Decision::Snooze { .. }),
            _ => matches!(decision, Decision::Succeed(_)),
        };
        assert!(is_so, "{case}: {decision:?}");
    }
}

/// A worker of a fleet.
struct Member {
    attempts: Arc<Attempts>,
    intake: Intake,
    flow: Arc<Flow>,
    _tasks: Tasks,
    _failures: mpsc::Receiver<PortError>,
}

impl Member {
    /// One with these leases.
    fn with(leases: &Arc<Fickle>, ledger: Arc<Says>) -> Self {
        Self::new(&Worker { leases: leases.clone(), spare_leases: leases.clone(), ..worker(ledger) })
    }

    fn new(worker: &Worker) -> Self {
        let (failed, failures) = mpsc::channel(1);
        let attempts = Arc::new(worker.attempts(CancellationToken::new(), failed));
        let tasks = Tasks::default();
        let intake = Intake::start(&attempts, &tasks);
        Self { attempts, intake, flow: Arc::new(Flow::new(4)), _tasks: tasks, _failures: failures }
    }

    async fn take(&self, envelope: &Envelope, redelivered: bool, acks: &Arc<AtomicU32>) {
        let delivery = Delivery::new(envelope.encode(), redelivered, Box::new(Counted(Arc::clone(acks))));
        assert!(self.intake.take(delivery, self.flow.take().await));
    }

    /// Its connection breaks.
    async fn goes_on(&self) {
        for keeper in self.attempts.keepers().iter().filter_map(Weak::upgrade) {
            keeper.go_on().await;
        }
    }
}

/// What was seen of a job of which a second delivery comes in the middle of its call.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    calls: u32,
    acks_during_the_call: u32,
    acks: u32,
}

async fn delivered_again(redelivered: bool, fence: u64, is_recorded: bool) -> Seen {
    let (ledger, outcomes) = Says::current();
    let _outcomes = is_recorded.then_some(outcomes);
    let (calls, acks) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let member =
        Member::new(&Worker { registry: Registry::default().with(Slow(calls.clone())), ..worker(ledger) });
    let first = envelope(Slow::NAME);
    let again = Envelope { fence, ..first.clone() };
    for (envelope, redelivered) in [(first, false), (again, redelivered)] {
        member.take(&envelope, redelivered, &acks).await;
        sleep(CALL / 4).await;
    }
    let acks_during_the_call = acks.load(Ordering::Relaxed);
    sleep(2 * CALL).await;
    Seen { calls: calls.load(Ordering::Relaxed), acks_during_the_call, acks: acks.load(Ordering::Relaxed) }
}

#[tokio::test(start_paused = true)]
async fn who_loses_its_connection_does_not_call_anew() {
    for (redelivered, fence, is_recorded, calls, acks_during_the_call, acks) in [
        (true, 1, true, 1, 0, 2),
        // Nobody acknowledges what is not recorded.
        (true, 1, false, 1, 0, 0),
        // The same message published twice, and a later dispatch.
        (false, 1, true, 1, 1, 2),
        (true, 2, true, 2, 1, 2),
    ] {
        let expected = Seen { calls, acks_during_the_call, acks };
        assert_eq!(delivered_again(redelivered, fence, is_recorded).await, expected);
    }
}

/// Calls and acknowledgements of a job whose delivery goes to another worker in the middle of its call: so much
/// later, and in the end. The first one says that it goes on, or it does not, for it is dead.
async fn delivered_elsewhere(goes_on: bool) -> [(u32, u32); 3] {
    let (ledger, mut outcomes) = Says::current();
    let (calls, acks) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let recorded = ledger.clone();
    tokio::spawn(async move {
        while outcomes.recv().await.is_some() {
            *recorded.validity.lock().unwrap() = Validity::Stale;
        }
    });
    let leases = Arc::new(MemoryLeases::new());
    let workers = [(); 2].map(|()| Worker {
        registry: Registry::default().with(Slow(calls.clone())),
        leases: leases.clone(),
        spare_leases: leases.clone(),
        ..worker(ledger.clone())
    });
    let [first, second] = workers.each_ref().map(Member::new);
    let envelope = envelope(Slow::NAME);
    first.take(&envelope, false, &acks).await;
    sleep(CALL / 4).await;
    second.take(&envelope, true, &acks).await;
    sleep(GRACE / 4).await;
    if goes_on {
        first.goes_on().await;
    }
    let mut seen = [(0, 0); 3];
    for (seen, wait) in seen.iter_mut().zip([GRACE / 2, CALL / 4, CALL]) {
        sleep(wait).await;
        *seen = (calls.load(Ordering::Relaxed), acks.load(Ordering::Relaxed));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_anew_by_another_worker_only_if_nobody_is_at_it() {
    // The first one is not dead in this test: it leaves when it finds its lease lost.
    assert_eq!(delivered_elsewhere(false).await, [(1, 0), (2, 1), (2, 2)]);
    assert_eq!(delivered_elsewhere(true).await, [(1, 0), (1, 0), (1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_at_is_called_at_once_though_it_was_delivered_before() {
    let (ledger, _outcomes) = Says::current();
    let calls = Arc::<AtomicU32>::default();
    let member =
        Member::new(&Worker { registry: Registry::default().with(Slow(calls.clone())), ..worker(ledger) });
    member.take(&envelope(Slow::NAME), true, &Arc::default()).await;
    sleep(GRACE / 4).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

/// Another delivery of the same dispatch has the lease for an hour, with this token: the largest if its worker has
/// said that it goes on.
async fn another_takes(
    leases: &Fickle,
    Envelope { tenant, kind, dedup_key, job_id, .. }: &Envelope,
    token: u64,
) {
    let holder = Holder { job: *job_id, fence: 1, token, nonce: 1 };
    let key = lease_key(tenant, kind, dedup_key);
    let answer = leases.leases.acquire(&key, holder, Duration::from_hours(1)).await.unwrap();
    assert_eq!(answer, Acquired::Yes);
}

/// Ends when it may, well or not.
struct Ends {
    well: bool,
    may_end: Arc<Semaphore>,
}

impl Kind for Ends {
    const NAME: &'static str = "ends";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        self.may_end.acquire().await.unwrap().forget();
        if self.well { Ok(Done::new(args)) } else { Err(JobError::Retryable("no answer".into())) }
    }
}

/// What is recorded of a call whose worker stood still while another may have taken it over, and has not heard of it.
async fn stood_still(well: bool, taken_over: bool) -> Decision {
    let (ledger, mut outcomes) = Says::current();
    let (leases, may_end) = (Arc::new(Fickle::default()), Arc::new(Semaphore::new(0)));
    let member = Member::new(&Worker {
        registry: Registry::default().with(Ends { well, may_end: may_end.clone() }),
        leases: leases.clone(),
        spare_leases: leases.clone(),
        ..worker(ledger)
    });
    let job = envelope(Ends::NAME);
    member.take(&job, false, &Arc::default()).await;
    sleep(2 * GRACE).await;
    if taken_over {
        another_takes(&leases, &job, 1).await;
    }
    may_end.add_permits(1);
    outcomes.recv().await.expect("an outcome").decision
}

/// It would end the dispatch of the other's call, which would be paid for in vain.
#[tokio::test(start_paused = true)]
async fn of_a_call_that_another_has_taken_over_only_a_result_is_recorded() {
    for (well, taken_over) in [(false, false), (false, true), (true, false), (true, true)] {
        let decision = stood_still(well, taken_over).await;
        let is_so = match decision {
            Decision::Succeed(_) => well,
            Decision::Retry { .. } => !well && !taken_over,
            Decision::Ignore => !well && taken_over,
            _ => false,
        };
        assert!(is_so, "well: {well}, taken over: {taken_over}: {decision:?}");
    }
}

/// The ask that was carried out has its lease.
#[tokio::test(start_paused = true)]
async fn who_was_not_answered_is_no_duplicate_of_itself() {
    let (ledger, mut outcomes) = Says::current();
    let leases = Arc::new(Fickle::default());
    leases.is_unheard.store(true, Ordering::Relaxed);
    let member = Member::with(&leases, ledger);
    member.take(&Envelope { again: true, ..envelope(Echo::NAME) }, false, &Arc::default()).await;
    sleep(GRACE / 2).await;
    leases.is_unheard.store(false, Ordering::Relaxed);
    let recorded = timeout(10 * GRACE, outcomes.recv()).await.expect("somebody is at it").unwrap();
    assert!(matches!(recorded.decision, Decision::Succeed(_)), "{recorded:?}");
}

/// What a job heard of its lease before nobody answered any more.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// It had not asked.
    Nothing,
    /// That an earlier delivery has it.
    Another,
    /// It had not asked, and the lease of the earlier delivery has ended meanwhile.
    NothingAndIsFree,
}

/// Whether a redelivered job leaves its lease to an earlier delivery's worker, which goes on: it says so soon after the
/// leases are back, for nobody would have heard it before.
async fn leaves_it(heard: Heard) -> bool {
    let (ledger, mut outcomes) = Says::current();
    let leases = Arc::new(Fickle::default());
    let member = Member::with(&leases, ledger);
    let job = envelope(Echo::NAME);
    if !matches!(heard, Heard::NothingAndIsFree) {
        another_takes(&leases, &job, 0).await;
    }
    leases.is_away.store(!matches!(heard, Heard::Another), Ordering::Relaxed);
    member.take(&job, true, &Arc::default()).await;
    sleep(GRACE / 10).await;
    leases.is_away.store(true, Ordering::Relaxed);
    sleep(5 * GRACE).await;
    leases.is_away.store(false, Ordering::Relaxed);
    sleep(GRACE * 95 / 100).await;
    another_takes(&leases, &job, u64::MAX).await;
    sleep(5 * GRACE).await;
    outcomes.try_recv().is_err()
}

#[tokio::test(start_paused = true)]
async fn a_holder_has_its_time_to_speak_up_when_it_can_be_heard() {
    for heard in [Heard::Nothing, Heard::Another, Heard::NothingAndIsFree] {
        assert!(leaves_it(heard).await, "{heard:?}");
    }
}

/// Of a message that comes while the leases are away, and then they are back: what was recorded at both times, and how
/// often it was acknowledged.
async fn comes_without_leases(again: bool) -> ([usize; 2], u32) {
    let (ledger, outcomes) = Says::current();
    let leases = Arc::new(Fickle::default());
    let envelope = Envelope { again, ..envelope(Echo::NAME) };
    another_takes(&leases, &envelope, u64::MAX).await;
    let member = Member::with(&leases, ledger);
    let acks = Arc::default();
    let mut recorded = [0; 2];
    for (recorded, is_away) in recorded.iter_mut().zip([true, false]) {
        leases.is_away.store(is_away, Ordering::Relaxed);
        if is_away {
            member.take(&envelope, false, &acks).await;
        }
        sleep(10 * GRACE).await;
        *recorded = outcomes.len();
    }
    (recorded, acks.load(Ordering::Relaxed))
}

/// That one's outcome would be refused, and its call paid for in vain.
#[tokio::test(start_paused = true)]
async fn what_is_published_twice_does_not_end_the_others_dispatch() {
    assert_eq!(comes_without_leases(true).await, ([0, 0], 0));
    assert_eq!(comes_without_leases(false).await, ([1, 1], 1));
}

/// Its dead letter is never taken: the broker has an alarm.
struct Blocked;

#[async_trait]
impl Settle for Blocked {
    async fn settle(self: Box<Self>, _: Settlement) -> Result<(), PortError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_rejected_holds_up_no_other() {
    let (ledger, mut outcomes) = Says::current();
    let member = Member::new(&worker(ledger));
    let garbage = Delivery::new(b"garbage".to_vec(), false, Box::new(Blocked));
    assert!(member.intake.take(garbage, member.flow.take().await));
    member.take(&envelope(Echo::NAME), false, &Arc::default()).await;
    let recorded = outcomes.recv().await.expect("an outcome");
    assert!(matches!(recorded.decision, Decision::Succeed(_)), "{recorded:?}");
}

/// What the leases' service does in the middle of a call.
#[derive(Clone, Copy, Debug)]
enum Absence {
    /// It is away for several lives of a lease.
    Alone,
    /// And the connection to the broker breaks meanwhile.
    WithBreak,
    /// And a later dispatch has the lease when it is back.
    WithTaker,
}

/// What is recorded of the call.
async fn without_leases(absence: Absence) -> Decision {
    let (ledger, mut outcomes) = Says::current();
    let leases = Arc::new(Fickle::default());
    let usual = worker(ledger);
    let lease_ttl = CALL / 20;
    let member = Member::new(&Worker {
        registry: Registry::default().with(Slow(Arc::default())),
        leases: leases.clone(),
        options: WorkerOptions { lease_ttl, ..usual.options },
        ..usual
    });
    let job = Envelope { upstream: Some("api".into()), ..envelope(Slow::NAME) };
    member.take(&job, false, &Arc::default()).await;
    sleep(CALL / 4).await;
    leases.is_away.store(true, Ordering::Relaxed);
    sleep(CALL / 4).await;
    if matches!(absence, Absence::WithBreak) {
        member.goes_on().await;
        sleep(CALL / 4).await;
    }
    let Envelope { tenant, kind, dedup_key, job_id, .. } = &job;
    if matches!(absence, Absence::WithTaker) {
        let later = Holder { job: *job_id, fence: 2, token: 0, nonce: 1 };
        leases.leases.acquire(&lease_key(tenant, kind, dedup_key), later, CALL).await.unwrap();
    }
    leases.is_away.store(false, Ordering::Relaxed);
    outcomes.recv().await.expect("an outcome").decision
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_lease_only_if_another_has_that() {
    for (absence, succeeds) in
        [(Absence::Alone, true), (Absence::WithBreak, true), (Absence::WithTaker, false)]
    {
        let decision = without_leases(absence).await;
        let is_so = match &decision {
            Decision::Succeed(_) => succeeds,
            Decision::Ignore => !succeeds,
            _ => false,
        };
        assert!(is_so, "{absence:?}: {decision:?}");
    }
}

/// A job whose lease another worker has for an hour, which goes on; its delivery comes here. Says whether the delivery
/// is still kept when that was done to the worker that waits, and what it recorded.
async fn waits<Done: Future<Output = Option<Member>>>(
    then: impl FnOnce(Member, Arc<Fickle>) -> Done,
) -> (bool, Option<Decision>) {
    let (ledger, mut outcomes) = Says::current();
    let leases = Arc::new(Fickle::default());
    let worker = Worker { leases: leases.clone(), spare_leases: leases.clone(), ..worker(ledger) };
    let envelope = envelope(Echo::NAME);
    another_takes(&leases, &envelope, u64::MAX).await;
    let member = Member::new(&worker);
    let acks = Arc::default();
    member.take(&envelope, true, &acks).await;
    sleep(10 * GRACE).await;
    let kept = Arc::downgrade(&acks);
    drop(acks);
    let _member = then(member, leases.clone()).await;
    sleep(GRACE / 4).await;
    (kept.strong_count() > 0, outcomes.try_recv().ok().map(|finish| finish.decision))
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_worker_records_nothing() {
    let waited = waits(async |member, _| Some(member)).await;
    assert!(matches!(waited, (true, None)), "{waited:?}");
    // The call that it waits for would find its dispatch over.
    let without_leases = waits(async |member, leases: Arc<Fickle>| {
        leases.is_away.store(true, Ordering::Relaxed);
        sleep(10 * GRACE).await;
        Some(member)
    });
    let waited = without_leases.await;
    assert!(matches!(waited, (true, None)), "{waited:?}");
    // The broker has taken it back, and hands it out again.
    let broken = waits(async |member: Member, _| {
        member.goes_on().await;
        sleep(2 * GRACE).await;
        Some(member)
    });
    let waited = broken.await;
    assert!(matches!(waited, (false, None)), "{waited:?}");
    // It would hold up the end of the worker.
    let drained = waits(async |Member { intake, attempts, .. }, _| {
        drop((intake, attempts));
        None
    });
    let waited = drained.await;
    assert!(matches!(waited, (false, None)), "{waited:?}");
}

/// The first message may be with that worker still, or be lost with it.
#[tokio::test(start_paused = true)]
async fn a_repeated_message_waits_for_whoever_is_at_its_job() {
    for redelivered in [false, true] {
        let (ledger, mut outcomes) = Says::current();
        let leases = Arc::new(Fickle::default());
        let member = Member::with(&leases, ledger);
        let job = Envelope { again: true, ..envelope(Echo::NAME) };
        another_takes(&leases, &job, 0).await;
        let acks = Arc::default();
        member.take(&job, redelivered, &acks).await;
        sleep(30 * GRACE).await;
        assert_eq!((acks.load(Ordering::Relaxed), outcomes.try_recv().is_err()), (0, true));
        let key = lease_key(&job.tenant, &job.kind, &job.dedup_key);
        let holder = leases.holder(&key).await.unwrap().unwrap().holder;
        assert!(leases.release(&key, holder).await.unwrap());
        let recorded = timeout(10 * GRACE, outcomes.recv()).await.expect("it is its turn").unwrap();
        assert!(matches!(recorded.decision, Decision::Succeed(_)), "{recorded:?}");
    }
}

/// Others need not find out again what is over; of the rest they get the messages.
#[tokio::test(start_paused = true)]
async fn who_ends_gives_back_what_is_not_over() {
    for (validity, expected) in [(Validity::Stale, 1), (Validity::Current, 0)] {
        let (ledger, _outcomes) = Says::current();
        *ledger.validity.lock().unwrap() = validity;
        let leases = Arc::new(Fickle::default());
        let member = Member::with(&leases, ledger);
        let job = Envelope { again: true, ..envelope(Echo::NAME) };
        another_takes(&leases, &job, 0).await;
        let acks = Arc::default();
        member.take(&job, false, &acks).await;
        sleep(GRACE).await;
        let Member { intake, attempts: _attempts, flow: _flow, _tasks, _failures } = member;
        drop(intake);
        sleep(GRACE).await;
        assert_eq!((acks.load(Ordering::Relaxed), Arc::strong_count(&acks)), (expected, 1), "{validity:?}");
    }
}

/// Or a worker that was handed the first message, and drains, would have its job paid for twice.
#[tokio::test(start_paused = true)]
async fn who_is_at_a_repeated_message_gives_way_to_no_first_one() {
    for again in [false, true] {
        let (ledger, _outcomes) = Says::current();
        let leases = Arc::new(Fickle::default());
        let member = Member::new(&Worker {
            registry: Registry::default().with(Slow(Arc::default())),
            leases: leases.clone(),
            spare_leases: leases.clone(),
            ..worker(ledger)
        });
        let job = Envelope { again, ..envelope(Slow::NAME) };
        member.take(&job, false, &Arc::default()).await;
        sleep(GRACE).await;
        let Envelope { tenant, kind, dedup_key, job_id, .. } = &job;
        let insisting = Holder { job: *job_id, fence: 1, token: 1 << 60, nonce: 1 };
        let answer = leases.acquire(&lease_key(tenant, kind, dedup_key), insisting, CALL).await.unwrap();
        assert_eq!(answer != Acquired::Yes, again, "{answer:?}");
    }
}

/// Of a job that is broken off after so long: its calls, what its upstream's quota counts: calls in the window and
/// under way, and what its metrics count: tokens. The first slot is a second ahead.
async fn broken_off_after(time: Duration) -> (u32, u64, u32, Option<u64>) {
    let (ledger, mut outcomes) = Says::current();
    let calls = Arc::<AtomicU32>::default();
    let rate = Rate { amount: 60, window: Duration::from_mins(1) };
    let limits = Limits { requests: Some(rate), concurrency: Some(1), ..Limits::default() };
    let quotas = Arc::new(MemoryQuotas::new(BTreeMap::from([("api".to_owned(), limits)])));
    let mut metrics = Metrics::new();
    let worker = Worker {
        registry: Registry::default().with(Slow(calls.clone())),
        quotas: Arc::new(MeteredQuotas::new(quotas.clone(), &mut metrics)),
        options: WorkerOptions { hold: CALL, ..worker(ledger.clone()).options },
        ..worker(ledger)
    };
    let member = Member::new(&worker);
    let estimate = Estimate { input_tokens: 7, ..Estimate::default() };
    let job = Envelope { upstream: Some("api".into()), estimate, ..envelope(Slow::NAME) };
    member.take(&job, false, &Arc::default()).await;
    sleep(time).await;
    member.attempts.stop.cancel();
    let Finish { decision, .. } = outcomes.recv().await.expect("an outcome");
    assert!(matches!(decision, Decision::Snooze { .. }), "{decision:?}");
    let report = quotas.report().await.unwrap().remove(0);
    let text = metrics.text();
    let tokens = text
        .lines()
        .find_map(|line| {
            line.strip_prefix(r#"fleetline_tokens_total{upstream="api",dimension="input_tokens"} "#)
        })
        .map(|tokens| tokens.parse().unwrap());
    (calls.load(Ordering::Relaxed), report.used[0].used, report.in_flight, tokens)
}

#[tokio::test(start_paused = true)]
async fn who_is_broken_off_leaves_its_place_to_others() {
    let asleep_for_its_slot = broken_off_after(Duration::from_millis(500)).await;
    assert_eq!(asleep_for_its_slot, (0, 0, 0, None), "the call was not made");
    let at_its_call = broken_off_after(CALL / 2).await;
    assert_eq!(at_its_call, (1, 1, 0, Some(7)), "the upstream may have heard of the call");
}
