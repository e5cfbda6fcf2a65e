//! What publish reads: everything, page by page, and no more of a row than nodes obey.
//!
//! Pages follow one another by key and not by offset, so that the last costs what the first did; a session sees one state, however
//! many pages it reads.

use std::collections::HashMap;

use poterne_model::{Name, RecordData, RecordType, TunnelId, ZoneId};

use crate::{
    Configuration, Record, Session, StoreError, Tunnel,
    database::{Row, query},
    rows::{cell, parse, parsed},
    tunnel::{configuration, digest, tunnel},
};

/// A record, as far as nodes are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBrief {
    /// Its zone.
    pub zone: ZoneId,
    /// Its owner name, absolute.
    pub name: Name,
    /// Its type.
    pub kind: RecordType,
    /// Its data in the API's presentation form.
    pub content: String,
    /// Whether the edge stands before it.
    pub proxied: bool,
}

/// A live tunnel, as far as nodes are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelDetails {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// The digests of its secrets, oldest first.
    pub digests: Vec<[u8; 32]>,
    /// Its newest configuration.
    pub configuration: Option<Configuration>,
}

impl RecordBrief {
    /// The content as the model reads it.
    pub fn data(&self) -> Result<RecordData, StoreError> {
        data(&self.kind, &self.content)
    }
}

/// A record's content as the model reads it.
pub(crate) fn data(kind: &RecordType, content: &str) -> Result<RecordData, StoreError> {
    Ok(match kind {
        RecordType::A => RecordData::A(parse(content, "A record")?),
        RecordType::Aaaa => RecordData::Aaaa(parse(content, "AAAA record")?),
        RecordType::Cname => RecordData::Cname(parse(content, "CNAME record")?),
        RecordType::Other(_) => RecordData::Other(content.to_owned()),
    })
}

impl From<Record> for RecordBrief {
    fn from(record: Record) -> Self {
        let Record { zone, name, kind, content, proxied, .. } = record;
        Self { zone, name, kind, content, proxied }
    }
}

impl Session {
    /// The next records of every zone, or of one, by zone, name, type and content: those after the name that the last page ended with,
    /// about `rows_max` of them. No page ends within a name; an empty one is the end.
    pub async fn record_briefs(
        &mut self,
        zone: Option<ZoneId>,
        after: Option<(ZoneId, Name)>,
        rows_max: u32,
    ) -> Result<Vec<RecordBrief>, StoreError> {
        let (zone_after, name_after) = after.map_or_else(Default::default, |(zone, name)| (zone.to_string(), String::from(name)));
        let statement = match zone {
            Some(zone) => query(
                "SELECT zone, name, type, content, proxied FROM record WHERE zone = $1 AND name > $2
                ORDER BY zone, name, type, content LIMIT $3",
            )
            .bind(zone.to_string()),
            None => query(
                "SELECT zone, name, type, content, proxied FROM record WHERE (zone, name) > ($1, $2)
                ORDER BY zone, name, type, content LIMIT $3",
            )
            .bind(zone_after),
        };
        let rows = statement.bind(name_after).bind(rows_max).fetch_all(self.connection()).await?;
        let is_full = rows.len() >= rows_max as usize;
        let mut records = rows.iter().map(record_brief).collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = records.last().filter(|_| is_full) {
            let (zone, name) = (last.zone, last.name.clone());
            let whole = records.iter().position(|record| record.zone == zone && record.name == name).unwrap_or_default();
            records.truncate(whole);
            if records.is_empty() {
                let all = self.records_at(zone, name.as_str()).await?;
                records = all.into_iter().map(Into::into).collect();
            }
        }
        Ok(records)
    }

    /// The next live tunnels by id: at most `rows_max` after that one. An empty page is the end.
    pub async fn tunnel_page(&mut self, after: Option<TunnelId>, rows_max: u32) -> Result<Vec<TunnelDetails>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let statement = "SELECT * FROM tunnel WHERE deleted_at IS NULL AND id > $1 ORDER BY id LIMIT $2";
        let rows = query(statement).bind(&after).bind(rows_max).fetch_all(self.connection()).await?;
        let tunnels = rows.iter().map(tunnel).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = tunnels.last().map(|tunnel| tunnel.id.to_string()) else { return Ok(Vec::new()) };
        let mut digests: HashMap<TunnelId, Vec<[u8; 32]>> = HashMap::new();
        let statement = "SELECT tunnel, digest FROM tunnel_secret WHERE tunnel > $1 AND tunnel <= $2 ORDER BY tunnel, number";
        for row in query(statement).bind(&after).bind(&last).fetch_all(self.connection()).await? {
            digests.entry(parsed(&row, "tunnel")?).or_default().push(digest(&row)?);
        }
        let statement = "SELECT tunnel, version, config, created_at FROM tunnel_configuration AS one
            WHERE tunnel > $1 AND tunnel <= $2 AND version =
            (SELECT max(version) FROM tunnel_configuration AS other WHERE other.tunnel = one.tunnel)";
        let mut configurations: HashMap<TunnelId, Configuration> = HashMap::new();
        for row in query(statement).bind(&after).bind(&last).fetch_all(self.connection()).await? {
            configurations.insert(parsed(&row, "tunnel")?, configuration(&row)?);
        }
        let details = |tunnel: Tunnel| TunnelDetails {
            digests: digests.remove(&tunnel.id).unwrap_or_default(),
            configuration: configurations.remove(&tunnel.id),
            tunnel,
        };
        Ok(tunnels.into_iter().map(details).collect())
    }

    /// A live tunnel with what nodes must know of it.
    pub async fn tunnel_details(&mut self, id: TunnelId) -> Result<Option<TunnelDetails>, StoreError> {
        let Some(tunnel) = self.tunnel(id).await?.filter(|tunnel| tunnel.deleted_at.is_none()) else { return Ok(None) };
        let digests = self.secrets(id).await?.into_iter().map(|secret| secret.digest).collect();
        Ok(Some(TunnelDetails { tunnel, digests, configuration: self.configuration(id).await? }))
    }
}

fn record_brief(row: &Row) -> Result<RecordBrief, StoreError> {
    Ok(RecordBrief {
        zone: parsed(row, "zone")?,
        name: parsed(row, "name")?,
        kind: RecordType::from(cell::<String>(row, "type")?),
        content: cell(row, "content")?,
        proxied: cell(row, "proxied")?,
    })
}
