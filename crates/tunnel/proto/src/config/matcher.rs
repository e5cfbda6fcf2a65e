//! Which rule a request meets.

use regex::{Regex, RegexBuilder};

use super::{ConfigError, IngressRule, OriginSettings, Service, TunnelConfig};

/// Memory that one compiled path expression may take, in bytes: a configuration comes from outside.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// A rule with everything that holds for it.
#[derive(Debug)]
pub struct MatchedRule {
    /// As configured.
    pub rule: IngressRule,
    /// Rule over top over defaults.
    pub origin: OriginSettings,
}

/// A compiled configuration.
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<MatchedRule>,
    tests: Vec<Test>,
}

#[derive(Debug)]
struct Test {
    host: Host,
    path: Option<Regex>,
}

#[derive(Debug)]
enum Host {
    Any,
    Exactly(String),
    /// Ends with this, which begins with a dot.
    Below(String),
}

pub(super) fn compile(path: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(path).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build()
}

impl Matcher {
    /// Compiled once per configuration. An empty ingress gives the single rule http_status:503.
    ///
    /// # Errors
    /// A path does not compile.
    pub fn new(config: &TunnelConfig) -> Result<Self, ConfigError> {
        let mut ingress = config.ingress.clone();
        if ingress.is_empty() {
            let service = Service::HttpStatus(503);
            ingress.push(IngressRule { hostname: String::new(), path: None, service, origin_request: Default::default() });
        }
        let mut tests = Vec::with_capacity(ingress.len());
        for (number, rule) in (1..).zip(&ingress) {
            let path = rule.path.as_deref().map(compile).transpose();
            let path = path.map_err(|error| ConfigError::new(format!("ingress rule {number}: path: {error}")))?;
            let host = match rule.hostname.as_str() {
                "" | "*" => Host::Any,
                name => {
                    name.strip_prefix('*').map_or_else(|| Host::Exactly(name.to_owned()), |suffix| Host::Below(suffix.to_owned()))
                }
            };
            tests.push(Test { host, path });
        }
        let origin = |rule: &IngressRule| OriginSettings::merge(&rule.origin_request, &config.origin_request);
        let rules = ingress.into_iter().map(|rule| MatchedRule { origin: origin(&rule), rule }).collect();
        Ok(Self { rules, tests })
    }

    /// The first rule that fits, else the last. `host` may carry a port; `path` is without query. The index counts from 0.
    pub fn find(&self, host: &str, path: &str) -> (usize, &MatchedRule) {
        let host = without_port(host);
        let fits = |test: &Test| {
            let host_fits = match &test.host {
                Host::Any => true,
                Host::Exactly(name) => name == host,
                Host::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            };
            host_fits && test.path.as_ref().is_none_or(|expression| expression.is_match(path))
        };
        let index = self.tests.iter().position(fits).unwrap_or(self.rules.len() - 1);
        (index, &self.rules[index])
    }

    /// All rules, in order; at least one.
    pub fn rules(&self) -> &[MatchedRule] {
        &self.rules
    }
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}
