//! What a handler's signature tells of it: the path's variables, the query, a body, who is asked for, and the answer.
//!
//! A handler's arguments are [`Asks`], its answer [`Tells`]; an argument of a new kind says in one line what it asks.

use std::{collections::BTreeSet, future::Future};

use axum::{
    Extension,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    body::{Json, Query},
    door::{Visiting, Who},
    openapi::components::{Components, Shown},
    path::{Id, Ids, Ids3},
    routes::{Access, Op},
};

/// One operation of the API.
pub(crate) struct Operation {
    pub(crate) tag: &'static str,
    /// In lower case.
    pub(crate) method: &'static str,
    /// With its variables in braces.
    pub(crate) path: String,
    pub(crate) op: Op,
    /// The path's variables and their schemas, in its order.
    pub(crate) variables: Vec<(String, Value)>,
    pub(crate) statuses: BTreeSet<u16>,
    /// It asks for what stands behind the `?`.
    pub(crate) reads_query: bool,
    /// It asks for a body.
    pub(crate) reads_body: bool,
    /// It asks who calls.
    pub(crate) asks_who: bool,
    pub(crate) told: Told,
    /// It stands at the root, and not under `/client/v4`.
    pub(crate) is_at_root: bool,
}

/// What it answers when all is well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// The envelope, with a result of this schema.
    Result(Value),
    /// No body.
    Nothing,
    /// A response of the handler's own: [`Op::plain`] says what.
    Own,
}

/// An operation while its handler's arguments tell of it.
pub(crate) struct Telling<'a> {
    pub(crate) operation: &'a mut Operation,
    pub(crate) components: &'a mut Components,
}

impl Operation {
    pub(crate) fn of<T, H: Described<T>>(
        tag: &'static str,
        method: &'static str,
        path: &str,
        op: Op,
        components: &mut Components,
    ) -> Self {
        let mut statuses = BTreeSet::new();
        // What is the same for everybody asks no store.
        if op.access != Access::Open || op.plain.is_none() {
            statuses.extend([500, 503]);
        }
        if method != "get" {
            statuses.insert(507);
        }
        match op.access {
            Access::Open => {}
            Access::Asked => {
                statuses.insert(400);
            }
            Access::Known | Access::Needs(_) => statuses.extend([400, 403, 429]),
        }
        statuses.extend(op.statuses.iter().copied());
        let mut operation = Self {
            tag,
            method,
            path: path.to_owned(),
            op,
            variables: Vec::new(),
            statuses,
            reads_query: false,
            reads_body: false,
            asks_who: false,
            told: Told::Own,
            is_at_root: false,
        };
        H::describe(&mut Telling { operation: &mut operation, components });
        operation
    }

    /// The names of the path's variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }
}

impl Telling<'_> {
    /// The path's variables are these, in its order.
    fn variables(&mut self, shown: &[fn(&mut Components) -> Value]) {
        let names: Vec<String> = self.operation.names().map(str::to_owned).collect();
        for (name, shown) in names.into_iter().zip(shown) {
            let schema = shown(self.components);
            self.variable(name, schema);
        }
    }

    /// One of the path's variables is of this form.
    pub(crate) fn variable(&mut self, name: String, schema: Value) {
        self.operation.variables.push((name, schema));
        self.operation.statuses.insert(404);
    }

    fn body(&mut self) {
        self.operation.reads_body = true;
        self.operation.statuses.extend([400, 413]);
    }
}

/// A handler that is told of.
pub(crate) trait Described<T> {
    fn describe(telling: &mut Telling<'_>);
}

/// An argument of one.
pub(crate) trait Asks {
    fn ask(telling: &mut Telling<'_>);
}

/// Its answer.
pub(crate) trait Tells {
    fn tell(telling: &mut Telling<'_>);
}

macro_rules! described {
    ($(($($argument:ident),*)),+ $(,)?) => {$(
        impl<F, Answered, Answer, Marker, $($argument),*> Described<(Marker, $($argument,)*)> for F
        where
            F: FnOnce($($argument),*) -> Answered,
            Answered: Future<Output = Answer>,
            Answer: Tells,
            $($argument: Asks,)*
        {
            fn describe(telling: &mut Telling<'_>) {
                $($argument::ask(telling);)*
                Answer::tell(telling);
            }
        }
    )+};
}

described![(A), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, G)];

impl<F, Answered, Answer> Described<((),)> for F
where
    F: FnOnce() -> Answered,
    Answered: Future<Output = Answer>,
    Answer: Tells,
{
    fn describe(telling: &mut Telling<'_>) {
        Answer::tell(telling);
    }
}

impl<S> Asks for State<S> {
    fn ask(_: &mut Telling<'_>) {}
}

impl<T> Asks for Option<Extension<T>> {
    fn ask(_: &mut Telling<'_>) {}
}

impl Asks for HeaderMap {
    fn ask(_: &mut Telling<'_>) {}
}

impl Asks for Who {
    fn ask(telling: &mut Telling<'_>) {
        telling.operation.asks_who = true;
    }
}

/// Only over a way where secrets are safe, and from a page of the node's own.
impl Asks for Visiting {
    fn ask(telling: &mut Telling<'_>) {
        telling.operation.statuses.extend([400, 403]);
    }
}

impl<A: Shown> Asks for Id<A> {
    fn ask(telling: &mut Telling<'_>) {
        telling.variables(&[A::shown]);
    }
}

impl<A: Shown, B: Shown> Asks for Ids<A, B> {
    fn ask(telling: &mut Telling<'_>) {
        telling.variables(&[A::shown, B::shown]);
    }
}

impl<A: Shown, B: Shown, C: Shown> Asks for Ids3<A, B, C> {
    fn ask(telling: &mut Telling<'_>) {
        telling.variables(&[A::shown, B::shown, C::shown]);
    }
}

impl Asks for Query {
    fn ask(telling: &mut Telling<'_>) {
        telling.operation.reads_query = true;
        telling.operation.statuses.extend([400, 414]);
    }
}

impl Asks for Json {
    fn ask(telling: &mut Telling<'_>) {
        telling.body();
        telling.operation.statuses.insert(415);
    }
}

impl Asks for Bytes {
    fn ask(telling: &mut Telling<'_>) {
        telling.body();
    }
}

impl Asks for Request {
    fn ask(telling: &mut Telling<'_>) {
        telling.body();
    }
}

impl<T: Shown> Tells for Answer<T> {
    fn tell(telling: &mut Telling<'_>) {
        telling.operation.told = Told::Result(T::shown(telling.components));
    }
}

impl<T: Shown> Tells for Result<Answer<T>, Answer<()>> {
    fn tell(telling: &mut Telling<'_>) {
        Answer::<T>::tell(telling);
    }
}

impl Tells for Result<StatusCode, Answer<()>> {
    fn tell(telling: &mut Telling<'_>) {
        telling.operation.told = Told::Nothing;
    }
}

impl Tells for Response {
    fn tell(_: &mut Telling<'_>) {}
}

impl Tells for Result<Response, Answer<()>> {
    fn tell(_: &mut Telling<'_>) {}
}

/// What is left of a thing that was deleted.
impl<T: Shown> Shown for crate::tokens::Gone<T> {
    fn shown(components: &mut Components) -> Value {
        json!({ "type": "object", "required": ["id"], "properties": { "id": T::shown(components) } })
    }
}
