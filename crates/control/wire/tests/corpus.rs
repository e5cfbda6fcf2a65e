//! Replays `fuzz/corpus`, and tries bodies made of the API's own words.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/wire.rs"]
mod wire;

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), target, check);
}

#[test]
fn body_inputs_hold() {
    replay("bodies", wire::bodies);
}

#[test]
fn query_inputs_hold() {
    replay("query", wire::query);
}

#[test]
fn record_request_inputs_hold() {
    replay("record_request", wire::record_request);
}

/// The bodies of the corpus, in an order that does not depend on the disk.
fn corpus() -> Vec<Value> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus/bodies");
    let files = std::fs::read_dir(dir).expect("the corpus is there").map(|entry| entry.expect("it can be read").path());
    let texts = files.map(|file| std::fs::read(file).expect("it can be read"));
    let mut bodies: Vec<Value> = texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect();
    bodies.sort_by_key(Value::to_string);
    bodies
}

/// Every key and word that stands in the corpus of bodies, so that a mutated body stays near what clients send.
fn vocabulary() -> (Vec<String>, Vec<Value>) {
    fn collect(value: &Value, keys: &mut Vec<String>, leaves: &mut Vec<Value>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    keys.push(key.clone());
                    collect(value, keys, leaves);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, keys, leaves)),
            leaf => leaves.push(leaf.clone()),
        }
    }
    let (mut keys, mut leaves) =
        (Vec::new(), vec![json!(null), json!(-1), json!(i64::MAX), json!(1.5), json!(""), json!("é\u{0}/~")]);
    corpus().iter().for_each(|body| collect(body, &mut keys, &mut leaves));
    (keys, leaves)
}

fn any_body() -> impl Strategy<Value = Value> {
    let (keys, leaves) = vocabulary();
    let key = prop::sample::select(keys);
    prop::sample::select(leaves).prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// A body of the corpus with something else in one place, anywhere.
fn mutated() -> impl Strategy<Value = Value> {
    (prop::sample::select(corpus()), any::<prop::sample::Index>(), any_body()).prop_map(|(mut body, place, other)| {
        fn places(value: &Value) -> usize {
            1 + match value {
                Value::Object(map) => map.values().map(places).sum(),
                Value::Array(list) => list.iter().map(places).sum(),
                _ => 0,
            }
        }
        fn put(value: &mut Value, place: &mut usize, other: &Value) {
            if *place == 0 {
                *value = other.clone();
                *place = usize::MAX;
                return;
            }
            if *place == usize::MAX {
                return;
            }
            *place -= 1;
            match value {
                Value::Object(map) => map.values_mut().for_each(|value| put(value, place, other)),
                Value::Array(list) => list.iter_mut().for_each(|value| put(value, place, other)),
                _ => {}
            }
        }
        let mut place = place.index(places(&body));
        put(&mut body, &mut place, &other);
        body
    })
}

proptest! {
    #[test]
    fn bodies_of_the_apis_words_hold(body in any_body()) {
        wire::bodies(body.to_string().as_bytes());
    }

    #[test]
    fn bodies_that_are_nearly_right_hold(body in mutated()) {
        wire::bodies(body.to_string().as_bytes());
    }

    #[test]
    fn parameters_hold(text in "((page|per_page|cursor|order|direction|match|name\\.contains|existed_at|mode|limit)=.{0,12}\n){0,6}") {
        wire::query(text.as_bytes());
    }
}
