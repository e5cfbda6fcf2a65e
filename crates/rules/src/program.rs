//! Expressions as they are evaluated: checked, and with everything prepared that does not depend on the request.

use std::{cmp::Ordering, net::IpAddr, sync::Arc};

use memchr::memmem;
use regex::bytes::Regex;

use crate::{
    fields::{Field, Map},
    functions::Function,
    listed::Hosts,
    redirects::Redirects,
    sets::{Addresses, Numbers},
    value::Value,
    wildcard::Wildcard,
};

/// Something that is true or false; of a list, for each of its items.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Const(bool),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Odd(Vec<Test>),
    Compare(Box<Term>, Comparison),
    /// Each item of a list, compared.
    CompareEach(Box<Term>, Comparison),
    /// Itself true or false; not there is false.
    Is(Box<Term>),
    /// Each item of a list that is true or false.
    IsEach(Box<Term>),
    /// Whether it is true for one item at least.
    OfAny(Box<Test>),
    /// Whether it is true for every item.
    OfAll(Box<Test>),
}

/// Something that has a value, or is not there.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    Literal(Value<'static>),
    Field(Field),
    /// What stands under a name.
    Entries(Map, Box<[u8]>),
    /// The item at a place, counted from 0.
    At(Box<Term>, usize),
    Call(Box<Function>, Vec<Term>),
    /// A call for each item of the list, which stands in the place of the first argument.
    CallEach(Box<Function>, Vec<Term>),
    Test(Box<Test>),
    /// Never there.
    Unfilled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Order {
    pub(crate) const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// With what a value is compared.
#[derive(Debug, Clone)]
pub(crate) enum Comparison {
    Int(Order, i64),
    Bits(i64),
    IntIn(Arc<Numbers>),
    Text(Order, Box<[u8]>),
    Contains(Box<memmem::Finder<'static>>),
    Matches(Box<Regex>),
    Wildcard(Box<Wildcard>),
    /// In order.
    TextIn(Vec<Box<[u8]>>),
    Ip(Order, IpAddr),
    IpIn(Arc<Addresses>),
    HostIn(Arc<Hosts>),
    /// An address that one of a list's redirects is for.
    Led(Arc<Redirects>),
    /// In a list of the account, of which this node knows nothing.
    InList,
}
