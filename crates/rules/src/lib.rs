//! The rule language, and what a zone's rules make of a request (edge-behaviour §4.2 to §4.8). Pure: nothing here waits, and whatever a
//! rule may ask is handed in as [`Facts`].
//!
//! ```text
//! text ──scan, compile──→ program ──evaluate(Facts)──→ true or false, or a text
//! a zone's rulesets ──read──→ ZoneRules (travels) ──compile once──→ Program ──→ redirect, rewrite, route, fields, block
//! ```
//!
//! * `scan`, [`compile`]: the grammar, types and bounds; errors say what, where, and what to do ([`ExpressionError`]);
//! * `fields`, `functions`: what can be asked and computed; `value`, `sets`, `wildcard`: what of;
//! * [`evaluate`]: lazily, and with a bound on what it may cost;
//! * [`url`]: the normal form of paths, and what a rule may write into one;
//! * [`definition`]: a zone's rules as they travel to the edge, and how they are read out of rulesets;
//! * [`listed`], [`redirects`]: the account's lists, and what is found in them;
//! * [`standing`]: of each stored rule, whether edges obey it, and why not;
//! * [`zone`]: the same compiled, and what they make of a request, phase by phase.
//!
//! A value that is not there is never equal, unequal, greater or smaller: every comparison with it is false. A rule that asks for a field
//! which this node knows of and cannot fill (countries, bot scores) is kept, told back, and not obeyed: see [`Lacking`].
//! Why the language is our own: `docs/decisions/0024-our-own-rule-language.md`.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod compile;
pub mod definition;
mod error;
pub mod evaluate;
mod facts;
mod fields;
mod functions;
pub mod listed;
mod program;
pub mod redirects;
mod scan;
mod sets;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod url;
mod value;
mod wildcard;
pub mod zone;

pub use compile::{Lacking, Moment};
pub use definition::{Act, Change, Definition, Executed, Payload, Reading, Unobeyed, ZoneRules, executes, read};
pub use error::ExpressionError;
pub use evaluate::Spent;
pub use facts::{Answer, Certificate, Facts};
pub use listed::{Host, Items, NamedList};
pub use redirects::Redirect;
pub use standing::{KnownNames, Standing};
pub use zone::{Outcome, Program, Programs};

use crate::{
    evaluate::Evaluation,
    listed::Lists,
    program::{Term, Test},
    value::Value,
};

/// An expression that is true or false.
#[derive(Debug, Clone)]
pub struct Condition {
    test: Test,
    lacking: Lacking,
    regexes: usize,
}

impl Condition {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// It is none; says what is wrong, and where.
    pub fn compile(text: &str, moment: Moment) -> Result<Self, ExpressionError> {
        Self::with_lists(text, moment, &Lists::new())
    }

    pub(crate) fn with_lists(text: &str, moment: Moment, lists: &Lists) -> Result<Self, ExpressionError> {
        let (test, lacking, regexes) = compile::condition(text, moment, lists)?;
        Ok(Self { test, lacking, regexes })
    }

    /// What it asks for that this node does not have.
    pub fn lacking(&self) -> &Lacking {
        &self.lacking
    }

    /// How many regular expressions it has.
    pub fn regexes(&self) -> usize {
        self.regexes
    }

    /// Whether it is true of a request.
    ///
    /// # Errors
    /// It costs too much on this one.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, Spent> {
        Evaluation::new(facts).test(&self.test)
    }
}

/// An expression that comes to a text.
#[derive(Debug, Clone)]
pub struct Computed {
    term: Term,
    lacking: Lacking,
    regexes: usize,
}

impl Computed {
    /// Reads and checks an expression. One that comes to a number, an address, or true or false is written as `to_string` does.
    ///
    /// # Errors
    /// It is none; says what is wrong, and where.
    pub fn compile(text: &str, moment: Moment) -> Result<Self, ExpressionError> {
        Self::with_lists(text, moment, &Lists::new())
    }

    pub(crate) fn with_lists(text: &str, moment: Moment, lists: &Lists) -> Result<Self, ExpressionError> {
        let (term, lacking, regexes) = compile::value(text, moment, lists)?;
        Ok(Self { term, lacking, regexes })
    }

    /// What it asks for that this node does not have.
    pub fn lacking(&self) -> &Lacking {
        &self.lacking
    }

    /// How many regular expressions it has.
    pub fn regexes(&self) -> usize {
        self.regexes
    }

    /// The text; none where something that it is made of is not there.
    ///
    /// # Errors
    /// It costs too much on this request.
    pub fn text(&self, facts: &Facts<'_>) -> Result<Option<Vec<u8>>, Spent> {
        let value = Evaluation::new(facts).term(&self.term, None)?;
        Ok(value.and_then(Value::into_text).map(std::borrow::Cow::into_owned))
    }
}

/// The names of all fields that this node fills.
pub fn fields_filled() -> impl Iterator<Item = &'static str> {
    fields::filled()
}
