//! What is shared with other name servers: networks, keys and peers of an account, and what its zones give them or take from them.
//!
//! Whatever changes here is touched through the zones that it reaches, since nodes know it by zone.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use poterne_model::{
    AccountId, AclId, Name, Network, PeerId, TsigId, ZoneId,
    secondary::{PeerTls, Refresh},
};

use crate::{
    Micros, Session, StoreError, Zone,
    database::{Row, query},
    rows::{cell, changed, inserted, number, parse, parsed, parsed_optional},
    select::Select,
    touched::Touched,
    zone::zone,
};

/// A network that other name servers ask from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferAcl {
    /// Its id.
    pub id: AclId,
    /// What it is called.
    pub name: String,
    /// Which.
    pub network: Network,
}

/// A secret that is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsigKey {
    /// Its id.
    pub id: TsigId,
    /// What both servers call it.
    pub name: Name,
    /// How it signs.
    pub algorithm: String,
    /// The secret, sealed with a data key.
    pub sealed: Vec<u8>,
    /// And wrapped for the node.
    pub wrapped: Vec<u8>,
}

/// Another name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferPeer {
    /// Its id.
    pub id: PeerId,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub ip: Option<std::net::IpAddr>,
    /// Its port.
    pub port: u16,
    /// Whether what changed is sent, or asked for, alone.
    pub ixfr: bool,
    /// What messages are signed with.
    pub tsig: Option<TsigId>,
    /// What is asked of its certificate; none: it is spoken to in clear.
    pub tls: Option<PeerTls>,
}

/// Who may have a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneOutgoing {
    /// The zone.
    pub zone: ZoneId,
    /// What it is called.
    pub name: String,
    /// The peers.
    pub peers: Vec<PeerId>,
    /// Whether they may, for now.
    pub enabled: bool,
    /// Whether peers without a key are known by their address alone.
    pub allows_unsigned: bool,
    /// How often they were to be told again.
    pub asked: u32,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
    /// When one of them was last given the zone.
    pub transferred_at: Option<Micros>,
    /// In which version.
    pub serial: Option<u32>,
}

/// Where a zone comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneIncoming {
    /// The zone.
    pub zone: ZoneId,
    /// What it is called; none: nobody has said yet where it comes from.
    pub name: Option<String>,
    /// The primaries, in the order they are asked.
    pub peers: Vec<PeerId>,
    /// How often they are asked, in seconds; 0: as the zone says.
    pub every_secs: u32,
    /// Where the looking after it stands.
    pub refresh: Refresh,
    /// When it goes on.
    pub due_at: Micros,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
}

/// All that nodes know of one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Who may have it.
    pub outgoing: Option<ZoneOutgoing>,
    /// Where it comes from.
    pub incoming: Option<ZoneIncoming>,
    /// The peers that these name.
    pub peers: Vec<TransferPeer>,
    /// Their keys.
    pub keys: Vec<TsigKey>,
    /// The account's networks.
    pub networks: Vec<Network>,
}

impl Session {
    /// An account's networks, oldest first.
    pub async fn transfer_acls(&mut self, account: AccountId) -> Result<Vec<TransferAcl>, StoreError> {
        let statement = query("SELECT * FROM transfer_acl WHERE account = $1 ORDER BY created_at, id").bind(account.to_string());
        let acl =
            |row: &Row| Ok(TransferAcl { id: parsed(row, "id")?, name: cell(row, "name")?, network: parsed(row, "network")? });
        statement.fetch_all(self.connection()).await?.iter().map(acl).collect()
    }

    /// Writes one, new or not.
    pub async fn put_transfer_acl(&mut self, account: AccountId, acl: &TransferAcl, now: Micros) -> Result<(), StoreError> {
        let statement = "INSERT INTO transfer_acl (id, account, name, network, created_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, network = excluded.network";
        let statement = query(statement).bind(acl.id.to_string()).bind(account.to_string()).bind(&acl.name);
        statement.bind(acl.network.to_string()).bind(now).execute(self.connection()).await?;
        self.touch_shared(account).await
    }

    /// Takes one away.
    pub async fn delete_transfer_acl(&mut self, account: AccountId, id: AclId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM transfer_acl WHERE id = $1 AND account = $2").bind(id.to_string());
        changed(statement.bind(account.to_string()).execute(self.connection()).await?, "ACL")?;
        self.touch_shared(account).await
    }

    /// An account's keys, oldest first.
    pub async fn tsig_keys(&mut self, account: AccountId) -> Result<Vec<TsigKey>, StoreError> {
        let statement = query("SELECT * FROM tsig_key WHERE account = $1 ORDER BY created_at, id").bind(account.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(tsig_key).collect()
    }

    /// Writes one, new or not. Conflict where another of the account has its name.
    pub async fn put_tsig_key(&mut self, account: AccountId, key: &TsigKey, now: Micros) -> Result<(), StoreError> {
        let taken =
            query("SELECT 1 AS one FROM tsig_key WHERE account = $1 AND name = $2 AND id <> $3").bind(account.to_string());
        let taken = taken.bind(key.name.as_str()).bind(key.id.to_string()).fetch_optional(self.connection()).await?;
        inserted(u64::from(taken.is_none()), "TSIG")?;
        let statement = "INSERT INTO tsig_key (id, account, name, algorithm, sealed, wrapped, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name,
            algorithm = excluded.algorithm, sealed = excluded.sealed, wrapped = excluded.wrapped";
        let statement = query(statement).bind(key.id.to_string()).bind(account.to_string()).bind(key.name.as_str());
        let statement = statement.bind(&key.algorithm).bind(&key.sealed).bind(&key.wrapped).bind(now);
        statement.execute(self.connection()).await?;
        self.touch_shared(account).await
    }

    /// Takes one away.
    pub async fn delete_tsig_key(&mut self, account: AccountId, id: TsigId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM tsig_key WHERE id = $1 AND account = $2").bind(id.to_string());
        changed(statement.bind(account.to_string()).execute(self.connection()).await?, "TSIG")
    }

    /// Keys that are wrapped for a node of another key, with their accounts.
    pub async fn tsig_keys_to_wrap(&mut self, node_key: [u8; 8]) -> Result<Vec<(AccountId, TsigKey)>, StoreError> {
        // Sealed octets begin with their version and the key's name.
        let statement = query("SELECT * FROM tsig_key WHERE substr(wrapped, 2, 8) <> $1 ORDER BY id").bind(node_key.as_slice());
        let rows = statement.fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "account")?, tsig_key(row)?))).collect()
    }

    /// An account's peers, oldest first.
    pub async fn transfer_peers(&mut self, account: AccountId) -> Result<Vec<TransferPeer>, StoreError> {
        let statement = query("SELECT * FROM transfer_peer WHERE account = $1 ORDER BY created_at, id").bind(account.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(peer).collect()
    }

    /// Writes one, new or not.
    pub async fn put_transfer_peer(&mut self, account: AccountId, peer: &TransferPeer, now: Micros) -> Result<(), StoreError> {
        let tls = peer.tls.as_ref().map(serde_json::to_string).transpose();
        let tls = tls.map_err(|error| StoreError::Damaged { what: "peer", why: error.to_string() })?;
        let statement = "INSERT INTO transfer_peer (id, account, name, ip, port, ixfr, tsig, created_at, tls)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET name = excluded.name, ip = excluded.ip,
            port = excluded.port, ixfr = excluded.ixfr, tsig = excluded.tsig, tls = excluded.tls";
        query(statement)
            .bind(peer.id.to_string())
            .bind(account.to_string())
            .bind(&peer.name)
            .bind(peer.ip.map(|ip| ip.to_string()))
            .bind(peer.port)
            .bind(peer.ixfr)
            .bind(peer.tsig.map(|id| id.to_string()))
            .bind(now)
            .bind(tls)
            .execute(self.connection())
            .await?;
        self.touch_shared(account).await
    }

    /// Takes one away.
    pub async fn delete_transfer_peer(&mut self, account: AccountId, id: PeerId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM transfer_peer WHERE id = $1 AND account = $2").bind(id.to_string());
        changed(statement.bind(account.to_string()).execute(self.connection()).await?, "peer")
    }

    /// The account's zones that name a peer, by name.
    pub async fn zones_with_peer(&mut self, account: AccountId, id: PeerId) -> Result<Vec<Zone>, StoreError> {
        let statement = "SELECT zone.* FROM zone LEFT JOIN zone_outgoing ON zone_outgoing.zone = zone.id
            LEFT JOIN zone_incoming ON zone_incoming.zone = zone.id WHERE zone.account = $1 AND zone.deleted_at IS NULL
            AND (zone_outgoing.peers LIKE $2 OR zone_incoming.peers LIKE $2) ORDER BY zone.name";
        let statement = query(statement).bind(account.to_string()).bind(format!("%{id}%"));
        statement.fetch_all(self.connection()).await?.iter().map(zone).collect()
    }

    /// Who may have a zone.
    pub async fn zone_outgoing(&mut self, zone: ZoneId) -> Result<Option<ZoneOutgoing>, StoreError> {
        let statement = query("SELECT * FROM zone_outgoing WHERE zone = $1").bind(zone.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(outgoing).transpose()
    }

    /// Sets it, or lets nobody.
    pub async fn put_zone_outgoing(&mut self, zone: ZoneId, to: Option<&ZoneOutgoing>) -> Result<(), StoreError> {
        match to {
            None => {
                query("DELETE FROM zone_outgoing WHERE zone = $1").bind(zone.to_string()).execute(self.connection()).await?;
            }
            Some(to) => {
                let statement = "INSERT INTO zone_outgoing
                    (zone, name, peers, enabled, allows_unsigned, asked, created_at, modified_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (zone) DO UPDATE SET name = excluded.name,
                    peers = excluded.peers, enabled = excluded.enabled, allows_unsigned = excluded.allows_unsigned,
                    asked = excluded.asked, modified_at = excluded.modified_at";
                query(statement)
                    .bind(zone.to_string())
                    .bind(&to.name)
                    .bind(words(&to.peers))
                    .bind(to.enabled)
                    .bind(to.allows_unsigned)
                    .bind(to.asked)
                    .bind(to.created_at)
                    .bind(to.modified_at)
                    .execute(self.connection())
                    .await?;
            }
        }
        self.touch(&Touched::Zone(zone)).await
    }

    /// Keeps that a peer was given the zone.
    pub async fn zone_transferred(&mut self, zone: ZoneId, serial: u32, now: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE zone_outgoing SET transferred_at = $2, serial = $3 WHERE zone = $1").bind(zone.to_string());
        statement.bind(now).bind(serial).execute(self.connection()).await?;
        Ok(())
    }

    /// Where a zone comes from; none: it is made here.
    pub async fn zone_incoming(&mut self, zone: ZoneId) -> Result<Option<ZoneIncoming>, StoreError> {
        let statement = query("SELECT * FROM zone_incoming WHERE zone = $1").bind(zone.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(incoming).transpose()
    }

    /// Writes it, new or not; `is_shown` says whether nodes are to know otherwise than before.
    pub async fn put_zone_incoming(&mut self, from: &ZoneIncoming, is_shown: bool) -> Result<(), StoreError> {
        let refresh = serde_json::to_string(&from.refresh)
            .map_err(|error| StoreError::Damaged { what: "secondary zone", why: error.to_string() })?;
        let statement = "INSERT INTO zone_incoming (zone, name, peers, every_secs, refresh, due_at, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (zone) DO UPDATE SET name = excluded.name,
            peers = excluded.peers, every_secs = excluded.every_secs, refresh = excluded.refresh, due_at = excluded.due_at,
            modified_at = excluded.modified_at";
        query(statement)
            .bind(from.zone.to_string())
            .bind(&from.name)
            .bind(words(&from.peers))
            .bind(from.every_secs)
            .bind(refresh)
            .bind(from.due_at)
            .bind(from.created_at)
            .bind(from.modified_at)
            .execute(self.connection())
            .await?;
        if is_shown { self.touch(&Touched::Zone(from.zone)).await } else { Ok(()) }
    }

    /// Copies that are due, the longest due first; those that nobody has said the primaries of are never.
    pub async fn copies_due(&mut self, now: Micros, count: u32) -> Result<Vec<ZoneIncoming>, StoreError> {
        let statement = "SELECT * FROM zone_incoming WHERE due_at <= $1 AND peers <> '' ORDER BY due_at, zone LIMIT $2";
        let rows = query(statement).bind(now).bind(count).fetch_all(self.connection()).await?;
        rows.iter().map(incoming).collect()
    }

    /// When the next one is due.
    pub async fn next_copy_due(&mut self) -> Result<Option<Micros>, StoreError> {
        let statement = query("SELECT min(due_at) AS due_at FROM zone_incoming WHERE peers <> ''");
        let row = statement.fetch_optional(self.connection()).await?;
        row.as_ref().map_or(Ok(None), |row| cell(row, "due_at"))
    }

    /// Which of these zones are other servers'.
    pub async fn secondary_among(&mut self, zones: impl Iterator<Item = ZoneId>) -> Result<HashSet<ZoneId>, StoreError> {
        let zones: Vec<String> = zones.map(|id| id.to_string()).collect();
        if zones.is_empty() {
            return Ok(HashSet::new());
        }
        let mut select = Select::new("SELECT zone FROM zone_incoming WHERE ");
        select.one_of_ids("zone", zones);
        select.fetch_all(self.connection()).await?.iter().map(|row| parsed(row, "zone")).collect()
    }

    /// What is shared of each zone of which something is, or of one.
    pub async fn sharing(&mut self, zone: Option<ZoneId>) -> Result<HashMap<ZoneId, Sharing>, StoreError> {
        let mut all: HashMap<ZoneId, Sharing> = HashMap::new();
        let zone = zone.map(|id| id.to_string());
        let statement = query("SELECT * FROM zone_outgoing WHERE CAST($1 AS TEXT) IS NULL OR zone = $1").bind(zone.clone());
        for row in statement.fetch_all(self.connection()).await? {
            let outgoing = outgoing(&row)?;
            let zone = outgoing.zone;
            all.entry(zone).or_default().outgoing = Some(outgoing);
        }
        let statement = query("SELECT * FROM zone_incoming WHERE CAST($1 AS TEXT) IS NULL OR zone = $1").bind(zone);
        for row in statement.fetch_all(self.connection()).await? {
            let incoming = incoming(&row)?;
            let zone = incoming.zone;
            all.entry(zone).or_default().incoming = Some(incoming);
        }
        let mut accounts: HashMap<AccountId, Sharing> = HashMap::new();
        for (id, sharing) in &mut all {
            let Some(zone) = self.zone(*id).await? else { continue };
            let of_account = match accounts.entry(zone.account) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let networks = self.transfer_acls(zone.account).await?.into_iter().map(|acl| acl.network).collect();
                    let (peers, keys) = (self.transfer_peers(zone.account).await?, self.tsig_keys(zone.account).await?);
                    place.insert(Sharing { peers, keys, networks, ..Sharing::default() })
                }
            };
            let named = sharing.outgoing.iter().flat_map(|outgoing| &outgoing.peers);
            let named: Vec<PeerId> = named.chain(sharing.incoming.iter().flat_map(|incoming| &incoming.peers)).copied().collect();
            sharing.peers = of_account.peers.iter().filter(|peer| named.contains(&peer.id)).cloned().collect();
            let has = |key: &&TsigKey| sharing.peers.iter().any(|peer| peer.tsig == Some(key.id));
            sharing.keys = of_account.keys.iter().filter(has).cloned().collect();
            sharing.networks.clone_from(&of_account.networks);
        }
        Ok(all)
    }

    async fn touch_shared(&mut self, account: AccountId) -> Result<(), StoreError> {
        let statement = "SELECT zone.id FROM zone WHERE zone.account = $1 AND
            (zone.id IN (SELECT zone FROM zone_outgoing) OR zone.id IN (SELECT zone FROM zone_incoming))";
        for row in query(statement).bind(account.to_string()).fetch_all(self.connection()).await? {
            self.touch(&Touched::Zone(parsed(&row, "id")?)).await?;
        }
        Ok(())
    }
}

fn words(peers: &[PeerId]) -> String {
    peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn peers(row: &Row) -> Result<Vec<PeerId>, StoreError> {
    cell::<&str>(row, "peers")?.split_whitespace().map(|id| parse(id, "peers")).collect()
}

fn tsig_key(row: &Row) -> Result<TsigKey, StoreError> {
    Ok(TsigKey {
        id: parsed(row, "id")?,
        name: parsed(row, "name")?,
        algorithm: cell(row, "algorithm")?,
        sealed: cell(row, "sealed")?,
        wrapped: cell(row, "wrapped")?,
    })
}

fn peer(row: &Row) -> Result<TransferPeer, StoreError> {
    let tls = cell::<Option<&str>>(row, "tls")?.map(serde_json::from_str).transpose();
    Ok(TransferPeer {
        id: parsed(row, "id")?,
        name: cell(row, "name")?,
        ip: parsed_optional(row, "ip")?,
        port: number(row, "port")?,
        ixfr: cell(row, "ixfr")?,
        tsig: parsed_optional(row, "tsig")?,
        tls: tls.map_err(|error| StoreError::Damaged { what: "peer", why: error.to_string() })?,
    })
}

fn outgoing(row: &Row) -> Result<ZoneOutgoing, StoreError> {
    let serial = cell::<Option<i64>>(row, "serial")?;
    Ok(ZoneOutgoing {
        zone: parsed(row, "zone")?,
        name: cell(row, "name")?,
        peers: peers(row)?,
        enabled: cell(row, "enabled")?,
        allows_unsigned: cell(row, "allows_unsigned")?,
        asked: number(row, "asked")?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
        transferred_at: cell(row, "transferred_at")?,
        serial: serial.and_then(|serial| u32::try_from(serial).ok()),
    })
}

fn incoming(row: &Row) -> Result<ZoneIncoming, StoreError> {
    let refresh = serde_json::from_str(cell(row, "refresh")?);
    Ok(ZoneIncoming {
        zone: parsed(row, "zone")?,
        name: cell(row, "name")?,
        peers: peers(row)?,
        every_secs: number(row, "every_secs")?,
        refresh: refresh.map_err(|error| StoreError::Damaged { what: "secondary zone", why: error.to_string() })?,
        due_at: cell(row, "due_at")?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
    })
}
