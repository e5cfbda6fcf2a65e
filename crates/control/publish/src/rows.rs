//! What of a row nodes obey. Pure.

use std::sync::Arc;

use bytes::Bytes;
use poterne_control_store::{Account, ConfigSource, RecordBrief, StoreError, TunnelDetails, Zone};
use poterne_model::{
    AccountId, Name, RecordData, RecordSet, RecordType, TunnelId, ZoneId,
    chain::{TUNNEL_SUFFIX, tunnel_of},
};
use poterne_snapshot::{AccountChunk, RemoteConfig, TunnelChunk, ZoneHead};

/// What an agent is told of a tunnel nobody has configured yet: the answer it would give by itself (tunnel-protocol §7.1).
const UNCONFIGURED: &[u8] = br#"{"ingress":[{"service":"http_status:503"}]}"#;

/// The records at one name, as far as the walk asks of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Records {
    /// One proxied CNAME straight to a tunnel: nearly every name there is, and so without an allocation.
    Tunnel(TunnelId),
    /// Anything else.
    Other(Box<Others>),
}

/// See [`Records`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Others {
    /// Whether the edge stands before any record that it could stand before.
    is_proxied: bool,
    /// In the order of type and content; the data of types that lead nowhere is left out.
    data: Vec<RecordData>,
}

/// A tunnel that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownTunnel {
    pub(crate) account: AccountId,
    /// None while it has no secret: it admits nobody, and nodes need not know it.
    pub(crate) chunk: Option<Arc<TunnelChunk>>,
}

/// A zone's head, and whether its names are proxied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownZone {
    pub(crate) head: ZoneHead,
    pub(crate) proxies: bool,
}

/// What was read anew, each with none where it is gone.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) accounts: Vec<(AccountId, Option<AccountChunk>)>,
    pub(crate) zones: Vec<(ZoneId, Option<KnownZone>)>,
    pub(crate) names: Vec<(ZoneId, Name, Option<Records>)>,
    pub(crate) tunnels: Vec<(TunnelId, Option<KnownTunnel>)>,
}

impl Records {
    /// Of the records at one name, in the store's order; none of none.
    pub(crate) fn of(records: &[RecordBrief], tunnel_domain: Option<&Name>) -> Result<Option<Self>, StoreError> {
        let mut is_proxied = false;
        let mut data = Vec::with_capacity(records.len());
        for record in records {
            is_proxied |= record.proxied && !matches!(record.kind, RecordType::Other(_));
            data.push(match record.kind {
                RecordType::Other(_) => RecordData::Other(String::new()),
                _ => record.data()?,
            });
        }
        Ok(match data.as_slice() {
            [] => None,
            [RecordData::Cname(target)] if is_proxied => match tunnel_of(target, tunnel_domain) {
                Some(tunnel) => Some(Self::Tunnel(tunnel)),
                None => Some(Self::Other(Box::new(Others { is_proxied, data }))),
            },
            _ => Some(Self::Other(Box::new(Others { is_proxied, data }))),
        })
    }

    /// Whether visitors are led anywhere.
    pub(crate) fn is_proxied(&self) -> bool {
        match self {
            Self::Tunnel(_) => true,
            Self::Other(others) => others.is_proxied,
        }
    }

    /// The names that its CNAMEs lead to.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Name> {
        let data = match self {
            Self::Tunnel(_) => &[][..],
            Self::Other(others) => &others.data,
        };
        data.iter().filter_map(|data| match data {
            RecordData::Cname(target) => Some(target),
            _ => None,
        })
    }

    /// As the walk reads them: it looks at data and at whether there is any set, not at how sets are cut.
    pub(crate) fn sets(&self, name: &Name) -> Vec<RecordSet> {
        let set = |proxied, records: Vec<RecordData>| {
            let kind = match records.first() {
                Some(RecordData::A(_)) => RecordType::A,
                Some(RecordData::Aaaa(_)) => RecordType::Aaaa,
                Some(RecordData::Cname(_)) => RecordType::Cname,
                Some(RecordData::Other(_)) | None => RecordType::Other(String::new()),
            };
            RecordSet { name: name.clone(), kind, ttl_secs: 1, proxied, records }
        };
        match self {
            Self::Tunnel(tunnel) => {
                let target = Name::parse(&format!("{tunnel}.{TUNNEL_SUFFIX}")).expect("a UUID and a domain make a name");
                vec![set(true, vec![RecordData::Cname(target)])]
            }
            Self::Other(others) => {
                let same = |one: &RecordData, other: &RecordData| std::mem::discriminant(one) == std::mem::discriminant(other);
                others.data.chunk_by(same).map(|data| set(others.is_proxied, data.to_vec())).collect()
            }
        }
    }
}

/// An account, as nodes know it.
pub(crate) fn account(account: Account) -> AccountChunk {
    AccountChunk { name: account.name }
}

/// A zone, as nodes know it.
pub(crate) fn zone(zone: Zone) -> KnownZone {
    let Zone { id, account, apex, status, paused, .. } = zone;
    KnownZone { head: ZoneHead { id, account, apex, status }, proxies: status.serves() && !paused }
}

/// A live tunnel, as nodes know it.
pub(crate) fn tunnel(details: TunnelDetails) -> KnownTunnel {
    let TunnelDetails { id, account, name, config_source, quick, digests, configuration } = details;
    let remote = (config_source == ConfigSource::Remote).then(|| match configuration {
        Some(config) => RemoteConfig { version: config.version, json: Bytes::from(config.json) },
        None => RemoteConfig { version: 0, json: Bytes::from_static(UNCONFIGURED) },
    });
    let chunk = TunnelChunk { id, account, name, secret_digests: digests, remote, quick };
    KnownTunnel { account, chunk: (!chunk.secret_digests.is_empty()).then(|| Arc::new(chunk)) }
}
