//! Evaluation: lazily, from left to right, with a bound on what it may cost.

use std::borrow::Cow;

use crate::{
    facts::Facts,
    program::{Comparison, Term, Test},
    value::Value,
};

/// What one evaluation may cost: a step for each part that is looked at, and one for each 32 bytes that a part reads or writes. Some
/// milliseconds, at the very most; a usual expression takes ten steps.
pub const FUEL: u32 = 200_000;

/// Bytes for a step.
const BYTES_PER_STEP: usize = 32;

/// Longest text that a function makes, in bytes: one that would be longer is not there.
pub(crate) const TEXT_BYTES_MAX: usize = 64 * 1024;

/// An expression cost too much on this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the expression costs more than {FUEL} steps on this request")]
pub struct Spent;

/// One evaluation.
pub(crate) struct Evaluation<'e> {
    pub(crate) facts: &'e Facts<'e>,
    left: u32,
}

impl<'e> Evaluation<'e> {
    pub(crate) fn new(facts: &'e Facts<'e>) -> Self {
        Self { facts, left: FUEL }
    }

    /// Pays for a step over so many bytes.
    pub(crate) fn pay(&mut self, bytes: usize) -> Result<(), Spent> {
        let steps = u32::try_from(bytes / BYTES_PER_STEP).unwrap_or(u32::MAX).saturating_add(1);
        self.left = self.left.checked_sub(steps).ok_or(Spent)?;
        Ok(())
    }

    pub(crate) fn test(&mut self, test: &'e Test) -> Result<bool, Spent> {
        self.pay(0)?;
        Ok(match test {
            Test::Const(is) => *is,
            Test::Not(inner) => !self.test(inner)?,
            Test::All(parts) => {
                for part in parts {
                    if !self.test(part)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Any(parts) => {
                for part in parts {
                    if self.test(part)? {
                        return Ok(true);
                    }
                }
                false
            }
            Test::Odd(parts) => {
                let mut odd = false;
                for part in parts {
                    odd ^= self.test(part)?;
                }
                odd
            }
            Test::Compare(term, with) => match self.term(term, None)? {
                Some(value) => self.compare(&value, with)?,
                None => false,
            },
            Test::Is(term) => matches!(self.term(term, None)?, Some(Value::Bool(true))),
            Test::OfAny(inner) => self.each(inner)?.contains(&true),
            Test::OfAll(inner) => !self.each(inner)?.contains(&false),
            // The check lets these stand within any() and all() alone.
            Test::CompareEach(..) | Test::IsEach(_) => false,
        })
    }

    /// For each item of the list that the test is of.
    fn each(&mut self, test: &'e Test) -> Result<Vec<bool>, Spent> {
        self.pay(0)?;
        match test {
            Test::CompareEach(term, with) => {
                let items = self.list(term)?;
                items.iter().map(|item| self.compare(item, with)).collect()
            }
            Test::IsEach(term) => Ok(self.list(term)?.iter().map(|item| matches!(item, Value::Bool(true))).collect()),
            Test::Not(inner) => Ok(self.each(inner)?.into_iter().map(|is| !is).collect()),
            Test::All(parts) => self.joined(parts, |one, other| one & other),
            Test::Any(parts) => self.joined(parts, |one, other| one | other),
            Test::Odd(parts) => self.joined(parts, |one, other| one ^ other),
            whole => Ok(vec![self.test(whole)?]),
        }
    }

    /// Parts that are of the same list, item by item.
    fn joined(&mut self, parts: &'e [Test], join: fn(bool, bool) -> bool) -> Result<Vec<bool>, Spent> {
        let mut all: Option<Vec<bool>> = None;
        for part in parts {
            let part = self.each(part)?;
            all = Some(match all {
                None => part,
                Some(all) => all.into_iter().zip(part).map(|(one, other)| join(one, other)).collect(),
            });
        }
        Ok(all.unwrap_or_default())
    }

    fn list(&mut self, term: &'e Term) -> Result<Vec<Value<'e>>, Spent> {
        let items = match self.term(term, None)? {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        };
        self.pay(items.len() * BYTES_PER_STEP)?;
        Ok(items)
    }

    /// `item`: what stands in the place of a call's first argument.
    pub(crate) fn term(&mut self, term: &'e Term, item: Option<Value<'e>>) -> Result<Option<Value<'e>>, Spent> {
        self.pay(0)?;
        Ok(match term {
            Term::Literal(Value::Text(text)) => Some(Value::Text(Cow::Borrowed(text))),
            Term::Literal(value) => Some(value.clone()),
            Term::Field(field) => field.of(self.facts),
            Term::Entries(map, key) => {
                let found = map.entries(self.facts, key);
                (!found.is_empty()).then_some(Value::List(found))
            }
            Term::At(list, place) => match self.term(list, item)? {
                Some(Value::List(mut items)) if *place < items.len() => Some(items.swap_remove(*place)),
                _ => None,
            },
            Term::Call(function, arguments) => function.call(self, arguments, item)?,
            Term::CallEach(function, arguments) => {
                let Some((list, rest)) = arguments.split_first() else { return Ok(None) };
                let mut out = Vec::new();
                for item in self.list(list)? {
                    // Items keep their places: what is not there for one is an empty list, which nothing is equal to.
                    out.push(function.call(self, rest, Some(item))?.unwrap_or(Value::List(Vec::new())));
                }
                Some(Value::List(out))
            }
            Term::Test(test) => Some(Value::Bool(self.test(test)?)),
            Term::Unfilled => None,
        })
    }

    fn compare(&mut self, value: &Value<'_>, with: &Comparison) -> Result<bool, Spent> {
        if let Value::Text(text) = value {
            self.pay(text.len())?;
        }
        Ok(match (with, value) {
            (Comparison::Int(order, number), Value::Int(value)) => order.holds(value.cmp(number)),
            (Comparison::Bits(bits), Value::Int(value)) => value & bits != 0,
            (Comparison::IntIn(set), Value::Int(value)) => set.contains(*value),
            (Comparison::Text(order, text), Value::Text(value)) => order.holds((**value).cmp(text)),
            (Comparison::Contains(finder), Value::Text(value)) => finder.find(value).is_some(),
            (Comparison::Matches(regex), Value::Text(value)) => {
                // A regular expression takes longer over a byte than anything else here.
                self.pay(value.len() * 8)?;
                regex.is_match(value)
            }
            (Comparison::Wildcard(wildcard), Value::Text(value)) => wildcard.matches(value),
            (Comparison::TextIn(set), Value::Text(value)) => set.binary_search_by(|one| (**one).cmp(value)).is_ok(),
            (Comparison::Ip(order, address), Value::Ip(value)) => order.holds(value.cmp(address)),
            (Comparison::IpIn(set), Value::Ip(value)) => set.contains(*value),
            (Comparison::HostIn(set), Value::Text(value)) => set.contains(value),
            (Comparison::Led(redirects), Value::Text(value)) => redirects.find(value).is_some(),
            _ => false,
        })
    }
}
