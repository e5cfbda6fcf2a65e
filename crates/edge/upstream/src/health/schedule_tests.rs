use poterne_model::{AccountId, At};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn id(number: u8) -> HealthCheckId {
    HealthCheckId::from_bytes([number; 16])
}

fn whose(zone: u8) -> Whose {
    Whose { zone: ZoneId::from_bytes([zone; 16]), account: AccountId::from_bytes([9; 16]), identifies: None }
}

fn checked(number: u8, revision: i64, more: &Value) -> Checked {
    let mut body = json!({ "name": "a", "address": format!("192.0.2.{number}") });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    Checked { id: id(number), revision, terms: HealthCheckTerms::read(&At::body(&body), None).unwrap() }
}

fn set(schedule: &mut Schedule, now: Instant, checks: &[(u8, Checked)]) {
    schedule.set(now, &mut || 0, |show| checks.iter().for_each(|(zone, checked)| show(whose(*zone), checked)));
}

fn bad(why: &str) -> Result<(), String> {
    Err(why.to_owned())
}

/// What was told of a check, which is alone.
fn told(why: Option<&str>) -> Option<Told> {
    Some(Told { zone: whose(1).zone, check: id(1), revision: 1, why: why.map(str::to_owned) })
}

const SECOND: Duration = Duration::from_secs(1);
const NOTHING: Option<Told> = None;

#[test]
fn so_many_looks_in_a_row_make_an_origin_unhealthy_and_healthy_again() {
    let (mut schedule, mut now) = (Schedule::default(), Instant::now());
    let check = checked(1, 1, &json!({ "interval": 120, "consecutive_fails": 3, "consecutive_successes": 2 }));
    set(&mut schedule, now, &[(1, check)]);
    let mut look = |outcome: Result<(), String>| {
        let due = schedule.next_due().unwrap();
        assert!(due >= now && schedule.take_due(due - Duration::from_nanos(1)).is_none());
        now = due;
        let look = schedule.take_due(now).unwrap();
        assert!(schedule.take_due(now).is_none() && schedule.next_due().is_none(), "it is under way");
        let told = schedule.looked(&look, outcome, now, u64::MAX / 2);
        (told, schedule.unhealthy(), schedule.avoided().len())
    };
    assert_eq!(look(Ok(())), (NOTHING, 0, 0));
    assert_eq!(look(bad("x")), (NOTHING, 0, 0), "one between begins anew");
    assert_eq!(look(Ok(())), (NOTHING, 0, 0));
    assert_eq!(look(Ok(())), (told(None), 0, 0));
    assert_eq!(look(Ok(())), (NOTHING, 0, 0), "it is as it was");
    assert_eq!(look(bad("x")), (NOTHING, 0, 0));
    assert_eq!(look(bad("x")), (NOTHING, 0, 0));
    assert_eq!(look(bad("late")), (told(Some("late")), 1, 1));
    assert_eq!(look(bad("late")), (NOTHING, 1, 1));
    assert_eq!(look(bad("refused")), (told(Some("refused")), 1, 1), "why is told too");
    assert_eq!(look(Ok(())), (NOTHING, 1, 1));
    assert_eq!(look(bad("refused")), (NOTHING, 1, 1));
    assert_eq!(look(Ok(())), (NOTHING, 1, 1));
    assert_eq!(look(Ok(())), (told(None), 0, 0));
}

#[test]
fn the_next_look_is_due_in_an_interval_give_or_take_a_tenth() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    set(&mut schedule, now, &[(1, checked(1, 1, &json!({ "interval": 100 })))]);
    assert_eq!(schedule.next_due(), Some(now), "the first within two seconds, as chance has it");
    for (random, secs) in [(0, 90), (u64::MAX, 110)] {
        let look = schedule.take_due(schedule.next_due().unwrap()).unwrap();
        schedule.looked(&look, Ok(()), now, random);
        let due = schedule.next_due().unwrap() - now;
        assert_eq!(due.as_secs_f64().round(), f64::from(secs));
    }
}

#[test]
fn one_that_changes_all_the_time_is_told_once_a_minute() {
    let (mut schedule, begin) = (Schedule::default(), Instant::now());
    set(&mut schedule, begin, &[(1, checked(1, 1, &json!({ "interval": 5 })))]);
    let mut times = Vec::new();
    for secs in (0..=600).step_by(6) {
        let now = begin + SECOND * secs;
        let look = schedule.take_due(now).unwrap();
        let outcome = if secs % 12 == 0 { Ok(()) } else { bad("x") };
        times.extend(schedule.looked(&look, outcome, now, 0).map(|_| secs));
    }
    assert!(times[0] == 0 && times.windows(2).all(|two| two[1] - two[0] >= 60), "{times:?}");
    assert!(times.len() > 5, "{times:?}");
    let now = begin + SECOND * 1000;
    let look = schedule.take_due(now).unwrap();
    assert!(schedule.looked(&look, bad("y"), now, 0).is_some());
    schedule.untold(id(1));
    let look = schedule.take_due(now + SECOND * 6).unwrap();
    assert!(schedule.looked(&look, bad("y"), now + SECOND * 6, 0).is_some(), "what was not heard is said again");
}

#[test]
fn what_stays_as_it_is_is_told_every_hour() {
    let (mut schedule, begin) = (Schedule::default(), Instant::now());
    set(&mut schedule, begin, &[(1, checked(1, 1, &json!({ "interval": 600 })))]);
    let mut times = Vec::new();
    for secs in (0..=9000).step_by(600) {
        let now = begin + SECOND * secs;
        let look = schedule.take_due(now).unwrap();
        times.extend(schedule.looked(&look, Ok(()), now, 0).map(|_| secs));
    }
    assert_eq!(times, [0, 3600, 7200]);
}

#[test]
fn a_check_that_says_something_else_begins_anew_and_one_that_is_called_otherwise_does_not() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let check = |revision, more: &Value| [(1, checked(1, revision, more))];
    set(&mut schedule, now, &check(1, &json!({ "interval": 3600 })));
    let look = schedule.take_due(now).unwrap();
    assert!(schedule.looked(&look, bad("x"), now, 0).is_some());
    set(&mut schedule, now, &check(2, &json!({ "interval": 3600, "name": "b" })));
    assert_eq!(schedule.unhealthy(), 1);
    let due = schedule.next_due().unwrap();
    assert!(due > now + SECOND * 3000, "nor is it looked at before its time");
    let look = schedule.take_due(due).unwrap();
    let told = schedule.looked(&look, bad("x"), due, 0).unwrap();
    assert_eq!(told.revision, 2, "who is asked of the new version is told again");

    set(&mut schedule, due, &check(3, &json!({ "interval": 3000 })));
    assert_eq!((schedule.unhealthy(), schedule.next_due()), (0, Some(due)), "nobody knows, and it is looked at soon");
    let look = schedule.take_due(due).unwrap();
    set(&mut schedule, due, &check(4, &json!({ "interval": 3000, "timeout": 3 })));
    assert_eq!(schedule.looked(&look, bad("x"), due, 0), None, "that was another question");
    assert_eq!((schedule.unhealthy(), schedule.next_due()), (0, Some(due)));
    let look = schedule.take_due(due).unwrap();
    set(&mut schedule, due, &[]);
    assert!(schedule.is_empty());
    assert_eq!(schedule.looked(&look, bad("x"), due, 0), None);
    assert_eq!((schedule.under_way.len(), schedule.looking_of.len(), schedule.due.len()), (0, 0, 0));
}

#[test]
fn a_zone_whose_origins_are_slow_keeps_nobody_elses_waiting() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let slow = (0..50).map(|number| (1, checked(number, 1, &json!({}))));
    let all: Vec<_> = slow.chain((50..53).map(|number| (2, checked(number, 1, &json!({}))))).collect();
    set(&mut schedule, now, &all);
    let looks: Vec<Look> = std::iter::from_fn(|| schedule.take_due(now)).collect();
    let of = |zone: u8| looks.iter().filter(|look| look.whose == whose(zone)).count();
    assert_eq!((of(1), of(2)), (LOOKS_OF_ZONE_MAX, 3));
    schedule.looked(&looks[0], Ok(()), now, 0);
    let next: Vec<Look> = std::iter::from_fn(|| schedule.take_due(now)).collect();
    assert_eq!((next.len(), &next[0].whose), (1, &whose(1)), "who waits has the place that is free");
    assert_eq!(schedule.looking_of[&whose(1).zone], LOOKS_OF_ZONE_MAX);
}

/// Four thousand origins that accept and say nothing, in a thousand zones, beside four that answer.
#[test]
fn origins_that_do_not_answer_keep_nobody_elses_waiting() {
    let (mut schedule, begin) = (Schedule::default(), Instant::now());
    let id = |number: u16| HealthCheckId::from_bytes(std::array::from_fn(|at| number.to_be_bytes()[at % 2]));
    let zone = |number: u16| Whose {
        zone: ZoneId::from_bytes(std::array::from_fn(|at| (number / 4).to_be_bytes()[at % 2])),
        ..whose(1)
    };
    const GOOD: std::ops::Range<u16> = 4000..4004;
    let all: Vec<_> = (0..GOOD.end)
        .map(|number| (zone(number), Checked { id: id(number), ..checked(1, 1, &json!({ "interval": 60 })) }))
        .collect();
    schedule.set(begin, &mut || 0, |show| all.iter().for_each(|(whose, checked)| show(whose.clone(), checked)));
    // Three times five seconds are waited for each.
    let mut silent: VecDeque<(Instant, Look)> = VecDeque::new();
    let mut looked_at: Vec<u32> = Vec::new();
    for secs in 0..900 {
        let now = begin + SECOND * secs;
        while silent.front().is_some_and(|(since, _)| now >= *since + SECOND * 15) {
            let (_, look) = silent.pop_front().unwrap();
            schedule.looked(&look, bad("silence"), now, 0);
        }
        while let Some(look) = schedule.take_due(now) {
            if GOOD.map(id).any(|good| good == look.check) {
                looked_at.extend((look.check == id(GOOD.start)).then_some(secs));
                schedule.looked(&look, Ok(()), now, 0);
            } else {
                silent.push_back((now, look));
            }
        }
        assert!(schedule.slow <= SLOW_LOOKS_MAX && schedule.quick_looks() <= LOOKS_MAX, "{} {}", schedule.slow, silent.len());
    }
    // 54 seconds are an interval here, and once all are known nothing is waited for.
    let gaps: Vec<u32> = looked_at.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.len() > 10 && gaps[1..].iter().all(|gap| *gap == 54), "{looked_at:?}");
    assert!(silent.len() >= SLOW_LOOKS_MAX - 20, "and those are looked at as fast as there is room: {}", silent.len());
}

#[test]
fn a_names_addresses_are_not_avoided() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let check = checked(1, 1, &json!({ "address": "origin.example.org" }));
    set(&mut schedule, now, &[(1, check), (1, checked(2, 1, &json!({ "address": "::ffff:192.0.2.2" })))]);
    while let Some(look) = schedule.take_due(now) {
        schedule.looked(&look, bad("x"), now, 0);
    }
    let avoided = HashMap::from([(whose(1).zone, HashSet::from([IpAddr::from([192, 0, 2, 2])]))]);
    assert_eq!((schedule.unhealthy(), schedule.avoided()), (2, avoided));
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<(u8, u8, u8)>),
    Take,
    Done(bool),
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => prop::collection::vec((1u8..4, 0u8..12, 0u8..3), 0..12).prop_map(Step::Set),
        4 => Just(Step::Take),
        3 => any::<bool>().prop_map(Step::Done),
        2 => any::<u8>().prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens in whatever order, a check is in one place, bounds hold, and when all looks are over every check is due.
    #[test]
    fn no_check_is_lost_and_none_is_made_twice(steps in prop::collection::vec(step(), 0..200)) {
        let (mut schedule, mut now) = (Schedule::default(), Instant::now());
        let mut under_way: Vec<Look> = Vec::new();
        for step in steps {
            match step {
                Step::Set(checks) => {
                    let mut seen = HashSet::new();
                    let all: Vec<_> = checks
                        .into_iter()
                        .filter(|(_, number, _)| seen.insert(*number))
                        .map(|(zone, number, version)| (zone, checked(number, version.into(), &json!({ "timeout": version + 1 }))))
                        .collect();
                    // A check stays in its zone as long as it is there.
                    let all: Vec<_> = all.into_iter().map(|(_, checked)| (checked.id.as_bytes()[0] % 3, checked)).collect();
                    set(&mut schedule, now, &all);
                }
                Step::Take => under_way.extend(schedule.take_due(now)),
                Step::Done(good) => {
                    if let Some(look) = under_way.pop() {
                        schedule.looked(&look, if good { Ok(()) } else { bad("x") }, now, 7);
                    }
                }
                Step::Wait(secs) => now += SECOND * u32::from(secs),
            }
            prop_assert_eq!(schedule.under_way.len(), under_way.len());
            prop_assert_eq!(schedule.under_way.values().filter(|(_, slow)| *slow).count(), schedule.slow);
            prop_assert!(schedule.looking_of.values().all(|of| (1..=LOOKS_OF_ZONE_MAX).contains(of)));
            let waiting: usize = schedule.waiting.values().map(Vec::len).sum();
            let looking = schedule.checks.values().filter(|entry| entry.at == Place::Looking).count();
            prop_assert_eq!(schedule.due.len() + waiting + looking, schedule.checks.len());
        }
        while let Some(look) = under_way.pop() {
            schedule.looked(&look, Ok(()), now, 7);
        }
        prop_assert_eq!(schedule.due.len(), schedule.checks.len());
        prop_assert!(schedule.looking_of.is_empty() && schedule.waiting.is_empty() && schedule.under_way.is_empty());
        prop_assert_eq!(schedule.slow, 0);
    }
}
