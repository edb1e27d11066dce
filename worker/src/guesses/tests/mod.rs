//! What is set aside, and what that does to the use of a limit.

mod fleet;
mod use_of_limit;

use fleetline_shared::domain::Spend;
use fleetline_shared::embedded::MemoryQuotas;
use fleetline_shared::ports::Limits;

use super::*;
use fleet::WINDOW;

fn quotas() -> GuessedQuotas {
    let limits = BTreeMap::from([("api".to_owned(), Limits::default())]);
    GuessedQuotas::new(Arc::new(MemoryQuotas::new(limits)))
}

fn ask(model: &str, spend: Spend, hold: Duration) -> Ask {
    Ask {
        upstream: "api".into(),
        tenant: "default".into(),
        model: Some(model.into()),
        priority: 0,
        spend,
        hold,
        lead: Duration::ZERO,
        slot_ttl: WINDOW * 2,
    }
}

/// What is set aside for a call of 1,000 guessed tokens, which then uses some.
async fn call(quotas: &GuessedQuotas, model: &str, used: u64) -> u64 {
    let spend = Spend { input_tokens: 50, output_tokens: 1_000, money: 0 };
    let ask = ask(model, spend, Duration::ZERO);
    let Ok(Admission::Go { reservation, .. }) = quotas.admit(ask).await else { panic!("no limits") };
    assert_eq!(reservation.spend.input_tokens, 50, "that is counted, not guessed");
    let aside = reservation.spend.output_tokens;
    let used = Spend { input_tokens: 50, output_tokens: used, money: 0 };
    let end = CallEnd { took: Some(Duration::from_secs(1)), ..CallEnd::unknown(Some(used)) };
    quotas.settle(reservation, end).await.unwrap();
    aside
}

#[tokio::test]
async fn the_guess_shrinks_to_what_is_used_and_grows_with_it() {
    let quotas = quotas();
    for n in 0..200 {
        let aside = call(&quotas, "small", if n % 3 == 0 { 400 } else { 200 }).await;
        match n {
            0..8 => assert_eq!(aside, 1_000),
            _ => assert!((400..=450).contains(&aside), "{aside} in call {n}"),
        }
    }
    assert_eq!(call(&quotas, "large", 900).await, 1_000, "another model");
    call(&quotas, "small", 2_000).await;
    assert_eq!(call(&quotas, "small", 400).await, 1_000, "never more than the guess");
}
