//! `poterne dns check`: what the world sees of a zone, and which of its records give the origin's address away.
//!
//! [`facts`] asks, [`mod@report`] and [`mod@leaks`] judge; the judging is pure.

pub mod facts;
pub mod leaks;
pub mod report;

use serde::{Deserialize, Serialize};

pub use facts::{Facts, gather};
pub use report::report;

/// What is to be said of a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The zone.
    pub zone: String,
    /// One by one, in the order a person would look.
    pub findings: Vec<Finding>,
}

/// One thing that is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Of what it speaks.
    pub topic: Topic,
    /// What is so.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Warning,
    /// Visitors, or the origin's secrecy, suffer.
    Problem,
}

/// Of what a finding speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What the parent says.
    Delegation,
    /// Addresses of name servers at the parent.
    Glue,
    /// Whether the name servers do what they are there for.
    NameServers,
    /// DS and DNSKEY.
    Dnssec,
    /// What resolvers say.
    Propagation,
    /// Who sees the origin's address.
    Origin,
}

impl Report {
    /// Whether something is wrong.
    pub fn has_problems(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Problem)
    }
}

impl Finding {
    fn new(level: Level, topic: Topic, text: String) -> Self {
        Self { level, topic, text, remedy: None }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}
