//! Routes, and what is told of them: one table, so that the document cannot describe another API than the one that answers.
//!
//! A module's `routes` names each operation once: method, path, handler, and an [`Op`] with what the handler's types do not say. The
//! path's variables, whether there is a body, who is asked for, and the answer come from the handler's own signature
//! ([`crate::openapi::operation`]); the permission becomes the operation's security requirement.
//!
//! ```text
//! Routes::of("Lists", "Lists that rules name").get(path, list, reads(Subject::Lists, "List the lists").query(…))
//! ```

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    middleware,
    routing::{MethodFilter, on},
};
use poterne_control_wire::query::{Parameter, page::PageLimits};
use poterne_model::{
    Schema,
    permission::{Permission, Subject},
};
use serde_json::Value;

use crate::{
    door::{self, Door},
    openapi::{
        components::Components,
        operation::{Described, Operation},
    },
};

/// What an operation is beyond its handler's types.
pub(crate) struct Op {
    pub(crate) summary: &'static str,
    pub(crate) about: Option<&'static str>,
    pub(crate) access: Access,
    pub(crate) query: Vec<Parameter>,
    pub(crate) body: Option<Schema>,
    /// Content types beside JSON that a body may have, with their schemas.
    pub(crate) other_bodies: Vec<(&'static str, Value)>,
    pub(crate) listed: Listed,
    /// Statuses of its own, beyond those that its types bring.
    pub(crate) statuses: Vec<u16>,
    /// What answers when the answer is no envelope: a content type and its schema.
    pub(crate) plain: Option<(&'static str, Value)>,
}

/// Who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever asks.
    Open,
    /// Whoever asks with credentials, which the handler looks at by itself.
    Asked,
    /// Whoever is known.
    Known,
    /// Whoever is known and has this permission.
    Needs(Permission),
}

/// What `result_info` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    No,
    Pages,
    Cursors,
}

/// An operation that needs to read these.
pub(crate) fn reads(subject: Subject, summary: &'static str) -> Op {
    Op::new(Access::Needs(subject.to_read()), summary)
}

/// An operation that needs to change these.
pub(crate) fn edits(subject: Subject, summary: &'static str) -> Op {
    Op::new(Access::Needs(subject.to_edit()), summary)
}

/// An operation for everybody who is known.
pub(crate) fn known(summary: &'static str) -> Op {
    Op::new(Access::Known, summary)
}

/// An operation for everybody.
pub(crate) fn open(summary: &'static str) -> Op {
    Op::new(Access::Open, summary)
}

impl Op {
    fn new(access: Access, summary: &'static str) -> Self {
        Self {
            summary,
            about: None,
            access,
            query: Vec::new(),
            body: None,
            other_bodies: Vec::new(),
            listed: Listed::No,
            statuses: Vec::new(),
            plain: None,
        }
    }

    /// A sentence or two more.
    pub(crate) fn about(self, about: &'static str) -> Self {
        Self { about: Some(about), ..self }
    }

    /// It reads these parameters.
    pub(crate) fn query(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.query.extend(parameters);
        self
    }

    /// It is a list by page.
    pub(crate) fn pages(self, limits: PageLimits) -> Self {
        Self { listed: Listed::Pages, ..self.query(Parameter::pages(limits)) }
    }

    /// It is a list by cursor.
    pub(crate) fn cursors(self, limits: PageLimits) -> Self {
        Self { listed: Listed::Cursors, ..self.query(Parameter::cursors(limits)) }
    }

    /// It reads this body.
    pub(crate) fn body(self, schema: Schema) -> Self {
        Self { body: Some(schema), ..self }
    }

    /// It reads this body, too.
    pub(crate) fn other_body(mut self, content_type: &'static str, schema: Value) -> Self {
        self.other_bodies.push((content_type, schema));
        self
    }

    /// It answers with these statuses, too.
    pub(crate) fn says(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses.extend(statuses);
        self
    }

    /// Its answer has this type instead of the envelope.
    pub(crate) fn plain(self, content_type: &'static str, schema: Value) -> Self {
        Self { plain: Some((content_type, schema)), ..self }
    }

    /// It looks at credentials by itself: those that are no good are what it is asked about.
    pub(crate) fn asks_by_itself(self) -> Self {
        Self { access: Access::Asked, ..self }
    }
}

/// A resource's routes.
pub(crate) struct Routes {
    tag: &'static str,
    /// Behind [`door::identify`].
    identified: Router<Door>,
    others: Router<Door>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) tags: Vec<(&'static str, &'static str)>,
    pub(crate) components: Components,
}

impl Routes {
    /// Of a resource, with a line about it.
    pub(crate) fn of(tag: &'static str, about: &'static str) -> Self {
        let (identified, others) = (Router::new(), Router::new());
        Self { tag, identified, others, operations: Vec::new(), tags: vec![(tag, about)], components: Components::default() }
    }

    pub(crate) fn get<T: 'static>(self, path: &str, handler: impl Handler<T, Door> + Described<T>, op: Op) -> Self {
        self.on("get", MethodFilter::GET, path, handler, op)
    }

    pub(crate) fn post<T: 'static>(self, path: &str, handler: impl Handler<T, Door> + Described<T>, op: Op) -> Self {
        self.on("post", MethodFilter::POST, path, handler, op)
    }

    pub(crate) fn put<T: 'static>(self, path: &str, handler: impl Handler<T, Door> + Described<T>, op: Op) -> Self {
        self.on("put", MethodFilter::PUT, path, handler, op)
    }

    pub(crate) fn patch<T: 'static>(self, path: &str, handler: impl Handler<T, Door> + Described<T>, op: Op) -> Self {
        self.on("patch", MethodFilter::PATCH, path, handler, op)
    }

    pub(crate) fn delete<T: 'static>(self, path: &str, handler: impl Handler<T, Door> + Described<T>, op: Op) -> Self {
        self.on("delete", MethodFilter::DELETE, path, handler, op)
    }

    fn on<T: 'static, H: Handler<T, Door> + Described<T>>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        path: &str,
        handler: H,
        op: Op,
    ) -> Self {
        let is_identified = matches!(op.access, Access::Known | Access::Needs(_));
        self.operations.push(Operation::of::<T, H>(self.tag, method, path, op, &mut self.components));
        let router = if is_identified { &mut self.identified } else { &mut self.others };
        *router = std::mem::take(router).route(path, on(filter, handler));
        self
    }

    /// Their bodies have at most so many bytes.
    pub(crate) fn bodies_within(mut self, bytes: usize) -> Self {
        self.identified = self.identified.layer(DefaultBodyLimit::max(bytes));
        self.others = self.others.layer(DefaultBodyLimit::max(bytes));
        self
    }

    /// They stand at the root, and not under `/client/v4`.
    pub(crate) fn at_root(mut self) -> Self {
        self.operations.iter_mut().for_each(|operation| operation.is_at_root = true);
        self
    }

    /// Those of several resources.
    pub(crate) fn all(resources: impl IntoIterator<Item = Self>) -> Self {
        let mut out = Self::of("", "");
        out.tags.clear();
        for one in resources {
            out.identified = out.identified.merge(one.identified);
            out.others = out.others.merge(one.others);
            out.operations.extend(one.operations);
            for tag in one.tags {
                if !out.tags.contains(&tag) {
                    out.tags.push(tag);
                }
            }
            out.components.extend(one.components);
        }
        out
    }

    /// The router of them: who asks is found out, where that is needed.
    pub(crate) fn into_router(self, door: &Door) -> Router<Door> {
        let identify = middleware::from_fn_with_state(door.clone(), door::identify);
        let identified = if self.identified.has_routes() { self.identified.route_layer(identify) } else { self.identified };
        identified.merge(self.others)
    }
}
