//! Other name servers that share zones: the networks, keys and peers of an account, and who may have a zone whole.
//!
//! A secret is kept twice: sealed, for whoever may change it to read again, and wrapped for the node, which opens it when somebody signs.
//! Where a peer is, its owner has written down: an address is taken only where the guard would let the account reach it.

use poterne_acme::bundle::certificates;
use poterne_control_store::{Session, TransferAcl, TransferPeer, TsigKey, Zone, ZoneOutgoing};
use poterne_keys::{Purpose, Secret, random_bytes};
use poterne_model::{
    AccountId, AclId, At, PeerId, ShapeError, TsigId, ZoneId,
    secondary::{
        AclDraft, OutgoingDraft, PeerDraft, TsigDraft,
        draft::{SECRET_OCTETS_MAX, SECRET_OCTETS_MIN},
    },
};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
};

/// Most networks, keys and peers of an account, each.
const OF_ACCOUNT_MAX: usize = 100;

/// Where a body has certificates.
const CA: &str = "/poterne_tls/ca";

impl App {
    /// An account's networks that other name servers ask from.
    pub async fn transfer_acls(&self, caller: &Caller, account: AccountId) -> Result<Vec<TransferAcl>, AppError> {
        caller.needs(Subject::DnsRecords.to_read(), Target::NewZone(account))?;
        Ok(self.0.store.read().await?.transfer_acls(account).await?)
    }

    /// Makes one, or changes it.
    pub async fn transfer_acl_put(
        &self,
        caller: &Caller,
        account: AccountId,
        id: Option<AclId>,
        body: &At<'_>,
    ) -> Result<TransferAcl, AppError> {
        let mut session = self.sharing_session(caller, account).await?;
        let AclDraft { name, network } = AclDraft::read(body)?;
        let all = session.transfer_acls(account).await?;
        let old = found(&all, id, |acl| acl.id, "ACL")?;
        let acl = TransferAcl { id: id.unwrap_or_else(|| AclId::from_bytes(random_bytes())), name, network };
        session.put_transfer_acl(account, &acl, self.now()).await?;
        let shown = |acl: &TransferAcl| json!({ "name": acl.name, "ip_range": acl.network.to_string() });
        self.shared(session, caller, account, ("transfer_acl", acl.id.to_string()), old.map(shown), Some(shown(&acl))).await?;
        Ok(acl)
    }

    /// Takes one away.
    pub async fn transfer_acl_delete(&self, caller: &Caller, account: AccountId, id: AclId) -> Result<(), AppError> {
        let mut session = self.sharing_session(caller, account).await?;
        let all = session.transfer_acls(account).await?;
        let old = found(&all, Some(id), |acl| acl.id, "ACL")?.map(|acl| json!({ "name": acl.name }));
        session.delete_transfer_acl(account, id).await?;
        self.shared(session, caller, account, ("transfer_acl", id.to_string()), old, None).await
    }

    /// An account's keys, each with its secret in base64 where the caller may change it.
    pub async fn tsig_keys(&self, caller: &Caller, account: AccountId) -> Result<Vec<(TsigKey, Option<String>)>, AppError> {
        let target = Target::NewZone(account);
        caller.needs(Subject::DnsRecords.to_read(), target)?;
        let sees = caller.may(Subject::DnsRecords.to_edit(), target);
        let mut shown = Vec::new();
        for key in self.0.store.read().await?.tsig_keys(account).await? {
            let text = sees.then(|| self.tsig_text(&key)).transpose()?;
            shown.push((key, text));
        }
        Ok(shown)
    }

    /// Makes one, or changes it; it comes back with its secret.
    pub async fn tsig_key_put(
        &self,
        caller: &Caller,
        account: AccountId,
        id: Option<TsigId>,
        body: &At<'_>,
    ) -> Result<(TsigKey, Option<String>), AppError> {
        let mut session = self.sharing_session(caller, account).await?;
        let TsigDraft { name, algorithm, secret } = TsigDraft::read(body)?;
        let at = body.required("secret")?;
        let octets = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, secret.trim()).ok();
        let octets = octets.filter(|octets| (SECRET_OCTETS_MIN..=SECRET_OCTETS_MAX).contains(&octets.len()));
        let wrong = || {
            // The value is a secret, and not repeated.
            let why = format!("{} is no secret: write {SECRET_OCTETS_MIN} to {SECRET_OCTETS_MAX} octets in base64", at.pointer());
            ShapeError::new(at.pointer(), why)
        };
        let octets = Secret::new(octets.ok_or_else(wrong)?);
        let all = session.tsig_keys(account).await?;
        let old = found(&all, id, |key| key.id, "TSIG")?;
        if all.iter().any(|other| other.name == name && Some(other.id) != id) {
            return Err(AppError::Exists(format!(
                "the account has a TSIG named {name} already: change that one, or choose another name"
            )));
        }
        let id = id.unwrap_or_else(|| TsigId::from_bytes(random_bytes()));
        let sealed = self.0.keys.seal(Purpose::TsigKey, id.as_bytes(), octets.expose());
        let wrapped = self.0.node_key.seal(Purpose::TsigKey, id.as_bytes(), octets.expose());
        let key = TsigKey { id, name, algorithm, sealed, wrapped };
        session.put_tsig_key(account, &key, self.now()).await?;
        let shown = |key: &TsigKey| json!({ "name": key.name.as_str(), "algo": key.algorithm });
        self.shared(session, caller, account, ("tsig", id.to_string()), old.map(shown), Some(shown(&key))).await?;
        Ok((key, Some(secret.trim().to_owned())))
    }

    /// Takes one away; one that a peer signs with stays.
    pub async fn tsig_key_delete(&self, caller: &Caller, account: AccountId, id: TsigId) -> Result<(), AppError> {
        let mut session = self.sharing_session(caller, account).await?;
        let all = session.tsig_keys(account).await?;
        let old = found(&all, Some(id), |key| key.id, "TSIG")?.cloned().ok_or(AppError::NotFound("TSIG"))?;
        if let Some(peer) = session.transfer_peers(account).await?.into_iter().find(|peer| peer.tsig == Some(id)) {
            let why = format!("the peer {:?} signs with it: give that one another key first", peer.name);
            return Err(AppError::InUse { what: "TSIG", name: old.name.to_string(), why });
        }
        session.delete_tsig_key(account, id).await?;
        let old = json!({ "name": old.name.as_str() });
        self.shared(session, caller, account, ("tsig", id.to_string()), Some(old), None).await
    }

    /// An account's peers.
    pub async fn transfer_peers(&self, caller: &Caller, account: AccountId) -> Result<Vec<TransferPeer>, AppError> {
        caller.needs(Subject::DnsRecords.to_read(), Target::NewZone(account))?;
        Ok(self.0.store.read().await?.transfer_peers(account).await?)
    }

    /// Makes one, or changes it.
    pub async fn transfer_peer_put(
        &self,
        caller: &Caller,
        account: AccountId,
        id: Option<PeerId>,
        body: &At<'_>,
    ) -> Result<TransferPeer, AppError> {
        let mut session = self.sharing_session(caller, account).await?;
        let PeerDraft { name, ip, port, ixfr, tsig, tls } = PeerDraft::read(body)?;
        if let Some(ip) = ip {
            let at = body.required("ip")?;
            let refused = |refusal| ShapeError::new(at.pointer(), format!("{}: {refusal}", at.pointer()));
            self.guard().admits_address(Some(account), ip).map_err(refused)?;
        }
        if let Some(tsig) = tsig {
            let all = session.tsig_keys(account).await?;
            if !all.iter().any(|key| key.id == tsig) {
                return Err(body.required("tsig_id")?.wrong("the account has no such TSIG: see …/secondary_dns/tsigs").into());
            }
        }
        let all = session.transfer_peers(account).await?;
        let old = found(&all, id, |peer| peer.id, "peer")?;
        let id = id.unwrap_or_else(|| PeerId::from_bytes(random_bytes()));
        let mut tls = tls.over(old.and_then(|old| old.tls.clone()));
        if let Some(ca) = tls.as_mut().and_then(|tls| tls.ca.as_mut()) {
            // Told without its content.
            *ca = certificates(ca).map_err(|why| ShapeError::new(CA, format!("{CA}: {why}")))?;
        }
        let peer = TransferPeer { id, name, ip, port, ixfr, tsig, tls };
        session.put_transfer_peer(account, &peer, self.now()).await?;
        let shown = |peer: &TransferPeer| {
            let mut shown = json!({ "name": peer.name, "ip": peer.ip, "port": peer.port, "tsig_id": peer.tsig });
            if let Some(tls) = &peer.tls {
                shown["poterne_tls"] = json!(tls);
            }
            shown
        };
        self.shared(session, caller, account, ("transfer_peer", id.to_string()), old.map(shown), Some(shown(&peer))).await?;
        self.0.copies.due.notify_one();
        Ok(peer)
    }

    /// Takes one away; one that a zone names stays.
    pub async fn transfer_peer_delete(&self, caller: &Caller, account: AccountId, id: PeerId) -> Result<(), AppError> {
        let mut session = self.sharing_session(caller, account).await?;
        let all = session.transfer_peers(account).await?;
        let old = found(&all, Some(id), |peer| peer.id, "peer")?.cloned().ok_or(AppError::NotFound("peer"))?;
        if let Some(zone) = session.zones_with_peer(account, id).await?.first() {
            let why = format!("the zone {} names it: take it out there first", zone.apex);
            return Err(AppError::InUse { what: "peer", name: old.name, why });
        }
        session.delete_transfer_peer(account, id).await?;
        let old = json!({ "name": old.name });
        self.shared(session, caller, account, ("transfer_peer", id.to_string()), Some(old), None).await
    }

    /// Who may have a zone.
    ///
    /// # Errors
    /// Nobody has said so.
    pub async fn zone_outgoing(&self, caller: &Caller, zone: ZoneId) -> Result<ZoneOutgoing, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_read()).await?;
        session.zone_outgoing(zone.id).await?.ok_or(AppError::NotFound("outgoing transfer configuration of the zone"))
    }

    /// Says who may have a zone: the first time, or otherwise than before.
    pub async fn zone_outgoing_put(
        &self,
        caller: &Caller,
        zone: ZoneId,
        is_first: bool,
        body: &At<'_>,
    ) -> Result<ZoneOutgoing, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        Self::needs_delegation(&zone, "outgoing transfer")?;
        let OutgoingDraft { name, peers, allows_unsigned } = OutgoingDraft::read(body)?;
        let old = session.zone_outgoing(zone.id).await?;
        check_first(is_first, old.is_some(), "outgoing transfer configuration of the zone")?;
        self.check_peers(&mut session, &zone, &peers, body).await?;
        let now = self.now();
        let new = ZoneOutgoing {
            zone: zone.id,
            name,
            peers,
            enabled: old.as_ref().is_none_or(|old| old.enabled),
            allows_unsigned,
            asked: old.as_ref().map_or(0, |old| old.asked),
            created_at: old.as_ref().map_or(now, |old| old.created_at),
            modified_at: now,
            transferred_at: old.as_ref().and_then(|old| old.transferred_at),
            serial: old.as_ref().and_then(|old| old.serial),
        };
        self.keep_outgoing(session, caller, &zone, old, Some(&new)).await?;
        Ok(new)
    }

    /// Lets nobody have a zone.
    pub async fn zone_outgoing_delete(&self, caller: &Caller, zone: ZoneId) -> Result<ZoneId, AppError> {
        let (session, zone, old) = self.outgoing_session(caller, zone).await?;
        let id = zone.id;
        self.keep_outgoing(session, caller, &zone, Some(old), None).await?;
        Ok(id)
    }

    /// Lets those who are named have a zone, or nobody for now.
    pub async fn zone_outgoing_enable(&self, caller: &Caller, zone: ZoneId, enabled: bool) -> Result<(), AppError> {
        let (session, zone, old) = self.outgoing_session(caller, zone).await?;
        let new = ZoneOutgoing { enabled, modified_at: self.now(), ..old.clone() };
        self.keep_outgoing(session, caller, &zone, Some(old), Some(&new)).await
    }

    /// Has those who are named told of the zone once more.
    pub async fn zone_outgoing_notify(&self, caller: &Caller, zone: ZoneId) -> Result<(), AppError> {
        let (mut session, zone, old) = self.outgoing_session(caller, zone).await?;
        if !old.enabled {
            let why = "outgoing transfers of the zone are disabled: enable them first".to_owned();
            return Err(AppError::Invalid { what: "force_notify", why });
        }
        let new = ZoneOutgoing { asked: old.asked.wrapping_add(1), ..old };
        session.put_zone_outgoing(zone.id, Some(&new)).await?;
        self.finish(session).await
    }

    /// Keeps that a peer was given a zone.
    pub(crate) async fn zone_transferred(&self, zone: ZoneId, serial: u32) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        session.zone_transferred(zone, serial, self.now()).await?;
        Ok(session.commit_silently().await?)
    }

    /// Wraps keys for the node whose key is another than before.
    pub async fn rewrap_tsig_keys(&self) -> Result<(), AppError> {
        let node = self.0.node_key.id();
        if self.0.store.read().await?.tsig_keys_to_wrap(node).await?.is_empty() {
            return Ok(());
        }
        let mut session = self.0.store.write().await?;
        for (account, key) in session.tsig_keys_to_wrap(node).await? {
            let secret = self.0.keys.open(Purpose::TsigKey, key.id.as_bytes(), &key.sealed)?;
            let wrapped = self.0.node_key.seal(Purpose::TsigKey, key.id.as_bytes(), secret.expose());
            session.put_tsig_key(account, &TsigKey { wrapped, ..key }, self.now()).await?;
        }
        session.commit().await?;
        Ok(())
    }

    /// A key's secret.
    pub(crate) fn tsig_secret(&self, key: &TsigKey) -> Result<Secret, AppError> {
        Ok(self.0.keys.open(Purpose::TsigKey, key.id.as_bytes(), &key.sealed)?)
    }

    fn tsig_text(&self, key: &TsigKey) -> Result<String, AppError> {
        Ok(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, self.tsig_secret(key)?.expose()))
    }

    /// Refuses peers that the account has not.
    pub(crate) async fn check_peers(
        &self,
        session: &mut Session,
        zone: &Zone,
        peers: &[PeerId],
        body: &At<'_>,
    ) -> Result<(), AppError> {
        let all = session.transfer_peers(zone.account).await?;
        let Some(stray) = peers.iter().find(|id| !all.iter().any(|peer| peer.id == **id)) else { return Ok(()) };
        let at = body.required("peers")?;
        let why = format!("{}: the account has no peer {stray}: see …/secondary_dns/peers", at.pointer());
        Err(ShapeError::new(at.pointer(), why).into())
    }

    async fn sharing_session(&self, caller: &Caller, account: AccountId) -> Result<Session, AppError> {
        caller.needs(Subject::DnsRecords.to_edit(), Target::NewZone(account))?;
        Ok(self.0.store.write().await?)
    }

    async fn outgoing_session(&self, caller: &Caller, zone: ZoneId) -> Result<(Session, Zone, ZoneOutgoing), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let kept = session.zone_outgoing(zone.id).await?;
        Ok((session, zone, kept.ok_or(AppError::NotFound("outgoing transfer configuration of the zone"))?))
    }

    async fn keep_outgoing(
        &self,
        mut session: Session,
        caller: &Caller,
        zone: &Zone,
        old: Option<ZoneOutgoing>,
        new: Option<&ZoneOutgoing>,
    ) -> Result<(), AppError> {
        session.put_zone_outgoing(zone.id, new).await?;
        let shown = |of: &ZoneOutgoing| json!({ "name": of.name, "peers": of.peers, "enabled": of.enabled, "unsigned": of.allows_unsigned });
        let traced = Traced {
            account: Some(zone.account),
            zone: Some((zone.id, zone.apex.to_string())),
            action: "set",
            kind: "zone_outgoing_transfer",
            id: zone.id.to_string(),
            old: old.as_ref().map(shown),
            new: new.map(shown),
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await
    }

    async fn shared(
        &self,
        mut session: Session,
        caller: &Caller,
        account: AccountId,
        (kind, id): (&'static str, String),
        old: Option<Value>,
        new: Option<Value>,
    ) -> Result<(), AppError> {
        let action = match (&old, &new) {
            (None, _) => "create",
            (_, None) => "delete",
            _ => "update",
        };
        let traced = Traced { account: Some(account), action, kind, id, old, new, ..Traced::default() };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await
    }
}

/// The one of that id, where one is asked for; where none is, whether there is room for one more.
fn found<'a, T, I: PartialEq>(
    all: &'a [T],
    id: Option<I>,
    id_of: impl Fn(&T) -> I,
    what: &'static str,
) -> Result<Option<&'a T>, AppError> {
    match id {
        Some(id) => all.iter().find(|one| id_of(one) == id).map(Some).ok_or(AppError::NotFound(what)),
        None if all.len() >= OF_ACCOUNT_MAX => {
            Err(AppError::Invalid { what, why: format!("there are {OF_ACCOUNT_MAX} already: delete one first") })
        }
        None => Ok(None),
    }
}

/// Whether something is there as whoever writes it thinks.
pub(crate) fn check_first(is_first: bool, is_there: bool, what: &'static str) -> Result<(), AppError> {
    match (is_first, is_there) {
        (true, true) => Err(AppError::Exists(format!("there is an {what} already: change it with PUT"))),
        (false, false) => Err(AppError::NotFound(what)),
        _ => Ok(()),
    }
}
