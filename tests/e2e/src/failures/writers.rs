//! Clients that change things through the API until they are cut off, and know what they were told.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{Api, api::Told};

/// Records of one batch.
const BATCH: usize = 3;

/// What one writer tried, and what became of it as far as it knows.
#[derive(Debug, Default)]
pub struct Account {
    /// Batches by the stem of their records' names.
    batches: Vec<(String, Outcome)>,
    /// Tunnels by name.
    tunnels: Vec<(String, Outcome)>,
    /// A record that is written over and over: the last number that was acknowledged, and the last that was tried.
    counter: Option<(String, u64, u64)>,
}

/// What a writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is not done.
    Refused,
    /// Nothing, or that nobody knows.
    Unknown,
}

/// The code for what nobody knows.
const IN_DOUBT: i64 = 10_000_502;

fn outcome(told: &io::Result<Told>) -> Outcome {
    match told {
        Ok(told) if told.status == 200 => Outcome::Done,
        Ok(told) if told.codes() == [IN_DOUBT] => Outcome::Unknown,
        Ok(told) => {
            assert!((500..600).contains(&told.status) && told.body["errors"][0]["message"].is_string(), "{told:?}");
            Outcome::Refused
        }
        Err(_) => Outcome::Unknown,
    }
}

/// Numbers that are the same in every run (Marsaglia's xorshift).
pub struct Random(pub u64);

impl Random {
    /// The next of them, from 0 to below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Writes until nobody answers any more or `stop` is set. `name` tells the writer from all others of the test.
pub fn write(api: &Api, zone: &str, name: &str, seed: u64, stop: &AtomicBool) -> Account {
    let mut account = Account::default();
    let mut random = Random(seed);
    let tunnels = format!("/accounts/{}/cfd_tunnel", api.account);
    let records = format!("{zone}/dns_records");
    let mut counter = None;
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let told = match random.below(6) {
            0 => {
                let tunnel = format!("{name}-{n}");
                let told = api.ask("POST", &tunnels, &json!({ "name": tunnel }));
                account.tunnels.push((tunnel, outcome(&told)));
                told
            }
            1 | 2 => {
                let record = |n: u64| json!({ "type": "TXT", "name": format!("counter-{name}"), "content": n.to_string() });
                let told = match &counter {
                    None => api.ask("POST", &records, &record(n)),
                    Some(id) => api.ask("PATCH", &format!("{records}/{id}"), &record(n)),
                };
                let before = account.counter.take().map_or(0, |(_, acknowledged, _)| acknowledged);
                let outcome = outcome(&told);
                if let (Outcome::Done, Ok(told)) = (outcome, &told) {
                    counter = told.body["result"]["id"].as_str().map(str::to_owned);
                }
                let acknowledged = if outcome == Outcome::Done { n } else { before };
                account.counter = Some((format!("counter-{name}"), acknowledged, n));
                // Whether there is one must be known before it can be written over.
                if outcome == Outcome::Unknown && counter.is_none() {
                    break;
                }
                told
            }
            _ => {
                let stem = format!("{name}-{n}");
                let posts: Vec<Value> = (0..BATCH)
                    .map(|part| json!({ "type": "A", "name": format!("{stem}-{part}"), "content": "192.0.2.1" }))
                    .collect();
                let told = api.ask("POST", &format!("{records}/batch"), &json!({ "posts": posts }));
                account.batches.push((stem, outcome(&told)));
                told
            }
        };
        if told.is_err() {
            break;
        }
    }
    account
}

/// Several of them at once, until `meanwhile` has returned and they have noticed.
pub fn at_once(api: &Api, zone: &str, names: &[String], seed: u64, meanwhile: impl FnOnce()) -> Vec<Account> {
    let stop = AtomicBool::new(false);
    let accounts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (n, name) in names.iter().enumerate() {
            let (stop, accounts) = (&stop, &accounts);
            scope.spawn(move || {
                let account = write(api, zone, name, seed + n as u64, stop);
                accounts.lock().unwrap().push(account);
            });
        }
        meanwhile();
        stop.store(true, Ordering::Relaxed);
    });
    accounts.into_inner().unwrap()
}

/// Holds what the node tells against what the writers were told; returns how many changes were acknowledged.
pub fn check(api: &Api, zone: &str, accounts: &[Account]) -> usize {
    let told = api.get(&format!("{zone}/dns_records?per_page=50000")).unwrap();
    let records: BTreeMap<&str, &str> = told
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["name"].as_str().unwrap().trim_end_matches(".site.test"), record["content"].as_str().unwrap()))
        .collect();
    let told_tunnels = api.get(&format!("/accounts/{}/cfd_tunnel?per_page=1000", api.account)).unwrap();
    let tunnels: HashSet<&str> =
        told_tunnels.result().as_array().unwrap().iter().map(|tunnel| tunnel["name"].as_str().unwrap()).collect();
    let (mut acknowledged, mut made, mut known) = (0, 0, HashSet::new());
    for account in accounts {
        for (stem, outcome) in &account.batches {
            let there = (0..BATCH).filter(|part| records.contains_key(format!("{stem}-{part}").as_str())).count();
            match outcome {
                Outcome::Done => assert_eq!(there, BATCH, "{stem} was acknowledged"),
                Outcome::Refused => assert_eq!(there, 0, "{stem} was refused"),
                Outcome::Unknown => assert!(there == 0 || there == BATCH, "{stem} is half there: {there}"),
            }
            made += there;
            acknowledged += usize::from(*outcome == Outcome::Done);
        }
        for (name, outcome) in &account.tunnels {
            let there = tunnels.contains(name.as_str());
            assert!(
                *outcome == Outcome::Unknown || there == (*outcome == Outcome::Done),
                "{name} was {outcome:?}, and is there: {there}"
            );
            known.insert(name.as_str());
            acknowledged += usize::from(*outcome == Outcome::Done);
        }
        if let Some((name, done, tried)) = &account.counter {
            let stands = records.get(name.as_str()).map(|content| content.trim_matches('"').parse::<u64>().unwrap());
            assert!(
                stands.unwrap_or(0) >= *done && stands.is_none_or(|stands| stands <= *tried),
                "{name}: {stands:?}, {done} to {tried}"
            );
            made += usize::from(stands.is_some());
        }
    }
    // The trace is of the same transactions: an event for each record that was made, and none for those that were not.
    let log = api.get(&format!("/accounts/{}/audit_logs?action.type=rec_add&per_page=1", api.account)).unwrap();
    assert_eq!(log.body["result_info"]["total_count"].as_u64(), Some(made as u64));
    acknowledged
}
