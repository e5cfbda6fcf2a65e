//! The node's keys: its node key, its two authorities, and the certificate it shows to agents.
//!
//! Four authorities, because they are trusted for different things: agents pin the tunnel's, which may vouch for any name that
//! agents ask for; people import the visitors', which in the demo may vouch for names below `.localhost` only; origins let in whom the
//! origin-pull one issued to; and the edge alone trusts the one for origins.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use poterne_keys::{CaSpec, Leaf, LocalCa, NodeKey};
use poterne_tunnel_gateway::AGENT_NAMES;
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use crate::state::{self, StateDir};

/// The parent of the names that agents ask for: on port 443 it tells them from visitors.
pub const AGENT_DOMAIN: &str = "cftunnel.com";
/// How often renewal is considered.
const RENEWAL_CHECK: Duration = Duration::from_secs(3600);

/// What the node holds.
pub struct Trust {
    /// Wraps what is kept.
    pub node_key: NodeKey,
    /// Vouches for the node towards agents.
    pub tunnel_ca: Arc<LocalCa>,
    /// Vouches for hostnames towards visitors, where no public authority does.
    pub visitors_ca: Arc<LocalCa>,
    /// Vouches for the edge towards origins (authenticated origin pulls).
    pub origin_pull_ca: Arc<LocalCa>,
    /// Vouches for origins towards the edge (Origin CA).
    pub origin_ca: Arc<LocalCa>,
}

impl Trust {
    /// Opens the keys of this state directory, making those that are missing, and writes the authorities' certificates where
    /// agents, curl and browsers find them. `visitors_under` constrains the visitors' authority when it is made.
    pub fn open(state: &StateDir, visitors_under: &[&str]) -> anyhow::Result<Self> {
        let now = SystemTime::now();
        let node_key = NodeKey::load_or_create(&state.join(state::NODE_KEY)).context("the node key")?;
        let load_for = |years: u32, file: &str, name: &str, permitted: &[&str]| {
            let spec = CaSpec { name: name.into(), permitted: permitted.iter().map(|name| (*name).to_owned()).collect() };
            let life = Duration::from_secs(365 * 86_400) * years;
            LocalCa::load_or_create_for(&state.join(file), &node_key, &spec, now, life)
                .map(Arc::new)
                .with_context(|| format!("the authority in {file}"))
        };
        let load = |file: &str, name: &str, permitted: &[&str]| load_for(10, file, name, permitted);
        let tunnel_ca = load("tunnel-ca.key", "Poterne tunnel authority", &[])?;
        let visitors_ca = load("visitors-ca.key", "Poterne local authority", visitors_under)?;
        let origin_pull_ca = load("origin-pull-ca.key", "Poterne origin pull authority", &[])?;
        // What it issues may be good for fifteen years.
        let origin_ca = load_for(30, "origin-ca.key", "Poterne origin authority", &[])?;
        let both = format!("{}{}", tunnel_ca.certificate_pem(), visitors_ca.certificate_pem());
        for (file, pem) in [
            (state::CA, both.as_str()),
            (state::VISITORS_CA, visitors_ca.certificate_pem()),
            (state::ORIGIN_PULL_CA, origin_pull_ca.certificate_pem()),
            (state::ORIGIN_CA, origin_ca.certificate_pem()),
        ] {
            let path = state.join(file);
            state::write_whole(&path, 0o600, pem.as_bytes())
                .with_context(|| format!("{} could not be written", path.display()))?;
        }
        Ok(Self { node_key, tunnel_ca, visitors_ca, origin_pull_ca, origin_ca })
    }
}

/// The certificate shown to agents, whatever name they ask for: they pin its authority, or ask for one of its names.
#[derive(Debug)]
pub struct AgentCertificate {
    current: ArcSwap<CertifiedKey>,
}

impl AgentCertificate {
    /// Issues the first, and renews it until told to stop.
    pub fn issue(ca: Arc<LocalCa>, names: &[String], addresses: &[IpAddr], stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        let names: Vec<String> = AGENT_NAMES
            .iter()
            .map(|name| (*name).to_owned())
            .chain(names.iter().cloned())
            .chain(addresses.iter().map(IpAddr::to_string))
            .collect();
        let leaf = ca.issue(&names, SystemTime::now(), None)?;
        let mut renew_at = leaf.renew_at;
        let this = Arc::new(Self { current: ArcSwap::from_pointee(certified(leaf)?) });
        let renewed = Arc::clone(&this);
        tokio::spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(RENEWAL_CHECK)).await.is_some() {
                if SystemTime::now() < renew_at {
                    continue;
                }
                match ca
                    .issue(&names, SystemTime::now(), None)
                    .map_err(anyhow::Error::from)
                    .and_then(|leaf| Ok((leaf.renew_at, certified(leaf)?)))
                {
                    Ok((next, key)) => {
                        renew_at = next;
                        renewed.current.store(Arc::new(key));
                        tracing::info!("the certificate shown to agents is renewed");
                    }
                    Err(error) => tracing::error!(
                        "the certificate shown to agents could not be renewed, trying again in an hour: {error:#}"
                    ),
                }
            }
        });
        Ok(this)
    }
}

impl ResolvesServerCert for AgentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Whether an SNI is one that only agents ask for.
pub fn is_agent_name(sni: &str) -> bool {
    sni.len() > AGENT_DOMAIN.len()
        && sni.get(sni.len() - AGENT_DOMAIN.len()..).is_some_and(|end| end.eq_ignore_ascii_case(AGENT_DOMAIN))
        && sni.as_bytes()[sni.len() - AGENT_DOMAIN.len() - 1] == b'.'
}

fn certified(leaf: Leaf) -> anyhow::Result<CertifiedKey> {
    Ok(CertifiedKey::new(leaf.chain, any_supported_type(&leaf.key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_by_the_name_they_ask_for() {
        assert!(is_agent_name("quic.cftunnel.com") && is_agent_name("H2.CFTUNNEL.COM"));
        assert!(
            !is_agent_name("cftunnel.com") && !is_agent_name("evilcftunnel.com") && !is_agent_name("a.b") && !is_agent_name("")
        );
    }

    #[test]
    fn keys_and_authorities_are_made_once_and_their_certificates_published() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::hold(dir.path()).unwrap();
        let first = Trust::open(&state, &["localhost"]).unwrap();
        let second = Trust::open(&state, &["localhost"]).unwrap();
        assert_eq!(first.tunnel_ca.spki_sha256(), second.tunnel_ca.spki_sha256());
        assert_eq!(first.visitors_ca.spki_sha256(), second.visitors_ca.spki_sha256());
        assert_ne!(first.tunnel_ca.spki_sha256(), first.visitors_ca.spki_sha256());
        assert!(second.visitors_ca.issue(&["example.org".into()], SystemTime::now(), None).is_err());
        let both = std::fs::read_to_string(state.join(state::CA)).unwrap();
        assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(both.ends_with(&std::fs::read_to_string(state.join(state::VISITORS_CA)).unwrap()));
    }

    #[tokio::test]
    async fn agents_are_shown_a_certificate_with_its_authority() {
        let ca = LocalCa::generate(&CaSpec { name: "t".into(), permitted: vec![] }, SystemTime::now()).unwrap();
        let certificate = AgentCertificate::issue(
            Arc::new(ca),
            &["node.test".into()],
            &["127.0.0.1".parse().unwrap()],
            CancellationToken::new(),
        );
        assert_eq!(certificate.unwrap().current.load().cert.len(), 2);
    }
}
