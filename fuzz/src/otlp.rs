//! What must hold of any answer of a collector's.

use http::{HeaderMap, StatusCode};
use poterne_otlp::answer::Verdict;

/// A success is one, whatever stands in it, and what is told of it can stand in a log line.
pub fn collector_answer(input: &[u8]) {
    let verdict = Verdict::of(StatusCode::OK, &HeaderMap::new(), input);
    let Verdict::Taken(_, words) = verdict else { panic!("{verdict:?}") };
    assert!(words.chars().count() <= 300 && !words.contains(|c: char| c.is_control()));
}
