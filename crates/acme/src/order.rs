//! One order (RFC 8555 §7.4) as a machine: what has happened goes in, what is to be done comes out.
//!
//! ```text
//! Allow ─→ Order ─→ Show ─→ Tell ─→ Look … ─→ Finalize ─→ Look … ─→ Fetch ─→ End
//!   └────────┴────────┴───────┴───────┴───────────┴──────────┴────────┴───→ End
//! ```
//!
//! The authority is told to look only once every node shows the proof; and an order that is not decided by its deadline is given up. Whoever
//! drives it takes what was shown away when it has ended, however it has.

use std::collections::BTreeSet;

use poterne_model::Name;
use serde::{Deserialize, Serialize};

use crate::trouble::{Culprit, Trouble};

/// How long an order may take, in seconds. What drives it holds the pack for longer.
pub const ORDER_SECS_MAX: i64 = 600;

/// Pauses between two looks at an order, in seconds: the first, and the longest that we choose by ourselves.
const LOOK_SECS_MIN: i64 = 1;
const LOOK_SECS_MAX: i64 = 15;

/// How a name is proven (RFC 8555 §8, RFC 8737).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// By a TXT record; the one way that proves a wildcard.
    #[serde(rename = "dns-01")]
    Dns01,
    /// By a text under a path, on port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// By a certificate of its own, on port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Method {
    /// All there are, in the order in which they are tried where nobody says otherwise.
    pub const ALL: [Self; 3] = [Self::Dns01, Self::Http01, Self::TlsAlpn01];

    /// Those that need nothing but that visitors come here.
    pub const AT_THE_HOST: [Self; 2] = [Self::Http01, Self::TlsAlpn01];

    /// As the protocol has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// Reads what [`Method::as_str`] shows.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// How a name would be proven, of these ways; a wildcard is by a TXT record, whatever they are.
    pub fn planned(methods: &[Self], is_wildcard: bool) -> Self {
        if is_wildcard { Self::Dns01 } else { methods.first().copied().unwrap_or(Self::Dns01) }
    }
}

/// A name that the authority wants proven, and what would prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name; of a wildcard the one it stands under.
    pub name: Name,
    /// Whether it is for the wildcard.
    pub is_wildcard: bool,
    /// It was proven before, and that is still good.
    pub is_valid: bool,
    /// Each way that the authority takes: its token, and what is to be shown.
    pub offered: Vec<(Method, String, String)>,
}

/// What is to be shown for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How.
    pub method: Method,
    /// The name; of a wildcard the one it stands under.
    pub name: Name,
    /// Whether it is for the wildcard.
    pub is_wildcard: bool,
    /// The authority's token.
    pub token: String,
    /// What is shown: the TXT record's text, the key authorization, or its digest in base64url.
    pub text: String,
}

/// Where an order stands with its authority (RFC 8555 §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Names are not proven yet.
    Pending,
    /// All are.
    Ready,
    /// The certificate is being made.
    Processing,
    /// It is there.
    Valid,
    /// It comes to nothing.
    Invalid,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// CAA records let the authority issue.
    Allowed,
    /// The authority took the order.
    Taken(Status, Vec<Asked>),
    /// Every live node shows what proves the names.
    Shown,
    /// The authority was told to look.
    Told,
    /// So the order stands, after a look or a step. The authority may say when to look again, in seconds.
    Stands(Status, Option<i64>),
    /// The certificate, in PEM.
    Certificate(String),
    /// Something failed.
    Failed(Trouble),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the names' CAA records whether the authority may issue.
    Allow,
    /// Order.
    Order,
    /// Show these, and wait until every live node does.
    Show(Vec<Proof>),
    /// Tell the authority to look.
    Tell(Vec<Proof>),
    /// Look how the order stands, in so many seconds.
    Look(i64),
    /// Send the request that the certificate is made of.
    Finalize,
    /// Get the certificate.
    Fetch,
    /// It has ended.
    End(Result<String, Trouble>),
}

/// An order under way.
#[derive(Debug, Clone)]
pub struct Order {
    hosts: BTreeSet<Name>,
    methods: Vec<Method>,
    deadline: i64,
    look_secs: i64,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    Allowing,
    Ordering,
    Showing(Vec<Proof>),
    Telling,
    /// Until it is ready, or, once finalized, until it is valid.
    Looking {
        finalized: bool,
    },
    Fetching,
    Over(Result<String, Trouble>),
}

impl Order {
    /// For these names, proven in one of these ways, the first that can be.
    pub fn begin(hosts: impl IntoIterator<Item = Name>, methods: &[Method], now: i64) -> (Self, Action) {
        let order = Self {
            hosts: hosts.into_iter().collect(),
            methods: methods.to_vec(),
            deadline: now.saturating_add(ORDER_SECS_MAX),
            look_secs: LOOK_SECS_MIN,
            at: At::Allowing,
        };
        (order, Action::Allow)
    }

    /// When it is given up.
    pub fn deadline(&self) -> i64 {
        self.deadline
    }

    /// What is to be done after this.
    pub fn handle(&mut self, now: i64, event: Event) -> Action {
        if let At::Over(outcome) = &self.at {
            return Action::End(outcome.clone());
        }
        if let Event::Failed(trouble) = event {
            return self.end(Err(trouble));
        }
        if now > self.deadline {
            let secs = ORDER_SECS_MAX;
            return self.fail(Culprit::Unreachable, format!("the authority did not decide within {secs} seconds"));
        }
        match (std::mem::replace(&mut self.at, At::Fetching), event) {
            (At::Allowing, Event::Allowed) => self.go(At::Ordering, Action::Order),
            (At::Ordering, Event::Taken(status, asked)) => self.taken(status, asked),
            (At::Showing(proofs), Event::Shown) => self.go(At::Telling, Action::Tell(proofs)),
            (At::Telling, Event::Told) => self.go(At::Looking { finalized: false }, Action::Look(LOOK_SECS_MIN)),
            (At::Looking { finalized }, Event::Stands(status, retry_after)) => self.stands(finalized, status, retry_after),
            (At::Fetching, Event::Certificate(pem)) => self.end(Ok(pem)),
            (at, event) => {
                let why = format!("an order that was {} is not for {event:?}", at.word());
                self.fail(Culprit::Internal, why)
            }
        }
    }

    fn taken(&mut self, status: Status, asked: Vec<Asked>) -> Action {
        let mut proofs = Vec::new();
        for one in asked {
            let wildcard = Name::parse(&format!("*.{}", one.name)).ok();
            let named = if one.is_wildcard { wildcard.as_ref() } else { Some(&one.name) };
            // Whatever else an authority may ask to have shown, this program shows for no name that it did not order.
            if !named.is_some_and(|name| self.hosts.contains(name)) {
                return self
                    .fail(Culprit::Refused, format!("the authority asks for a proof of {}, which was not ordered", one.name));
            }
            if one.is_valid {
                continue;
            }
            let ways: Vec<Method> = if one.is_wildcard { vec![Method::Dns01] } else { self.methods.clone() };
            let way = ways.iter().find_map(|way| one.offered.iter().find(|(method, ..)| method == way));
            let Some((method, token, text)) = way else {
                let offered: Vec<&str> = one.offered.iter().map(|(method, ..)| method.as_str()).collect();
                let why = format!("the authority takes {} for {}, and none of them is chosen here", offered.join(", "), one.name);
                return self.fail(Culprit::Refused, why);
            };
            proofs.push(Proof {
                method: *method,
                name: one.name,
                is_wildcard: one.is_wildcard,
                token: token.clone(),
                text: text.clone(),
            });
        }
        match (status, proofs.is_empty()) {
            (Status::Ready, _) => self.go(At::Looking { finalized: true }, Action::Finalize),
            (Status::Valid, _) => self.go(At::Fetching, Action::Fetch),
            (Status::Invalid, _) => self.fail(Culprit::Refused, "the authority took the order as one that comes to nothing"),
            // All is proven, and it does not know that yet.
            (_, true) => self.go(At::Looking { finalized: false }, Action::Look(LOOK_SECS_MIN)),
            (_, false) => self.go(At::Showing(proofs.clone()), Action::Show(proofs)),
        }
    }

    fn stands(&mut self, finalized: bool, status: Status, retry_after: Option<i64>) -> Action {
        match (status, finalized) {
            (Status::Ready, false) => self.go(At::Looking { finalized: true }, Action::Finalize),
            (Status::Valid, _) => self.go(At::Fetching, Action::Fetch),
            (Status::Invalid, _) => self.fail(Culprit::Validation, "the authority found the names not proven"),
            (Status::Pending | Status::Processing | Status::Ready, _) => {
                // No longer than would be too late, and no sooner than asked.
                let pause = retry_after.unwrap_or(self.look_secs).clamp(LOOK_SECS_MIN, ORDER_SECS_MAX);
                self.look_secs = (self.look_secs * 2).min(LOOK_SECS_MAX);
                self.go(At::Looking { finalized }, Action::Look(pause))
            }
        }
    }

    fn go(&mut self, at: At, action: Action) -> Action {
        self.at = at;
        action
    }

    fn fail(&mut self, culprit: Culprit, why: impl AsRef<str>) -> Action {
        self.end(Err(Trouble::new(culprit, why)))
    }

    fn end(&mut self, outcome: Result<String, Trouble>) -> Action {
        self.at = At::Over(outcome.clone());
        Action::End(outcome)
    }
}

impl At {
    fn word(&self) -> &'static str {
        match self {
            Self::Allowing => "not allowed yet",
            Self::Ordering => "being ordered",
            Self::Showing(_) => "being shown",
            Self::Telling => "being told of",
            Self::Looking { .. } => "looked at",
            Self::Fetching => "fetched",
            Self::Over(_) => "over",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn asked(text: &str, is_wildcard: bool) -> Asked {
        let offered = Method::ALL.map(|method| (method, format!("{method:?}-token"), format!("{method:?}-text"))).to_vec();
        Asked { name: name(text), is_wildcard, is_valid: false, offered }
    }

    fn begun(methods: &[Method]) -> Order {
        let (mut order, action) = Order::begin(["*.example.com", "example.com"].map(name), methods, 0);
        assert_eq!(action, Action::Allow);
        assert_eq!(order.handle(0, Event::Allowed), Action::Order);
        order
    }

    #[test]
    fn an_order_goes_its_way() {
        let mut order = begun(&[Method::Http01, Method::Dns01]);
        let taken = Event::Taken(Status::Pending, vec![asked("example.com", false), asked("example.com", true)]);
        let Action::Show(proofs) = order.handle(1, taken) else { panic!() };
        let told: Vec<_> = proofs.iter().map(|proof| (proof.method, proof.is_wildcard)).collect();
        assert_eq!(told, [(Method::Http01, false), (Method::Dns01, true)], "a wildcard is proven by a record alone");
        assert_eq!(order.handle(2, Event::Shown), Action::Tell(proofs));
        assert_eq!(order.handle(2, Event::Told), Action::Look(1));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let Action::Look(secs) = order.handle(3, Event::Stands(Status::Pending, None)) else { panic!() };
            pauses.push(secs);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
        assert_eq!(order.handle(3, Event::Stands(Status::Pending, Some(30))), Action::Look(30));
        assert_eq!(order.handle(4, Event::Stands(Status::Ready, None)), Action::Finalize);
        assert!(matches!(order.handle(4, Event::Stands(Status::Processing, None)), Action::Look(_)));
        assert_eq!(order.handle(5, Event::Stands(Status::Valid, None)), Action::Fetch);
        assert_eq!(order.handle(5, Event::Certificate("pem".into())), Action::End(Ok("pem".into())));
        assert_eq!(order.handle(9, Event::Shown), Action::End(Ok("pem".into())));
    }

    #[test]
    fn what_was_proven_before_is_not_proven_again() {
        let mut order = begun(&[Method::Dns01]);
        let valid = |is_wildcard| Asked { is_valid: true, ..asked("example.com", is_wildcard) };
        assert_eq!(order.clone().handle(1, Event::Taken(Status::Ready, vec![valid(false), valid(true)])), Action::Finalize);
        let Action::Show(proofs) = order.handle(1, Event::Taken(Status::Pending, vec![valid(false), asked("example.com", true)]))
        else {
            panic!()
        };
        assert_eq!(proofs.len(), 1);
    }

    #[test]
    fn what_cannot_be_proven_or_was_not_ordered_ends_it() {
        let mut order = begun(&[Method::Http01]);
        let why = |action: Action| match action {
            Action::End(Err(trouble)) => (trouble.culprit, trouble.detail),
            other => panic!("{other:?}"),
        };
        let mut foreign = order.clone();
        let told = why(foreign.handle(1, Event::Taken(Status::Pending, vec![asked("bank.example", false)])));
        assert!(told.0 == Culprit::Refused && told.1.contains("not ordered"), "{told:?}");
        let mut only_dns = asked("example.com", false);
        only_dns.offered.truncate(1);
        let told = why(order.handle(1, Event::Taken(Status::Pending, vec![only_dns])));
        assert!(told.1.contains("takes dns-01"), "{told:?}");
        let mut late = begun(&[Method::Dns01]);
        let told = why(late.handle(ORDER_SECS_MAX + 1, Event::Taken(Status::Ready, vec![])));
        assert!(told.0 == Culprit::Unreachable && told.1.contains("600 seconds"), "{told:?}");
    }

    fn event() -> impl Strategy<Value = Event> {
        let status = prop_oneof![
            Just(Status::Pending),
            Just(Status::Ready),
            Just(Status::Processing),
            Just(Status::Valid),
            Just(Status::Invalid)
        ];
        prop_oneof![
            Just(Event::Allowed),
            (status.clone(), any::<bool>()).prop_map(|(status, valid)| {
                let one = |is_wildcard| Asked { is_valid: valid, ..asked("example.com", is_wildcard) };
                Event::Taken(status, vec![one(false), one(true)])
            }),
            Just(Event::Shown),
            Just(Event::Told),
            (status, prop::option::of(-5i64..2000)).prop_map(|(status, after)| Event::Stands(status, after)),
            Just(Event::Certificate("pem".into())),
            Just(Event::Failed(Trouble::new(Culprit::Unreachable, "gone"))),
        ]
    }

    proptest! {
        /// Whatever happens, in whatever order: nobody is told to look before all is shown, nothing is finalized that is not ready, a
        /// certificate comes of a valid order alone, pauses are bounded, and what is over stays so.
        #[test]
        fn no_step_is_taken_before_its_time(events in prop::collection::vec((event(), 0i64..100), 1..40)) {
            let (mut order, _) = Order::begin(["*.example.com", "example.com"].map(name), &Method::ALL, 0);
            let (mut now, mut shown, mut ready, mut valid, mut over) = (0, false, false, false, None);
            for (event, pause) in events {
                now += pause;
                shown |= event == Event::Shown;
                ready |= matches!(event, Event::Stands(Status::Ready, _) | Event::Taken(Status::Ready, _));
                valid |= matches!(event, Event::Stands(Status::Valid, _) | Event::Taken(Status::Valid, _));
                let action = order.handle(now, event);
                if let Some(before) = &over {
                    prop_assert_eq!(before, &action);
                }
                match &action {
                    Action::Tell(proofs) => prop_assert!(shown && !proofs.is_empty()),
                    Action::Finalize => prop_assert!(ready),
                    Action::Look(secs) => prop_assert!((1..=ORDER_SECS_MAX).contains(secs)),
                    Action::Fetch => prop_assert!(valid),
                    Action::End(outcome) => {
                        prop_assert!(outcome.is_err() || valid);
                        over = Some(action.clone());
                    }
                    _ => {}
                }
                prop_assert!(now <= order.deadline() || over.is_some());
            }
        }
    }
}
