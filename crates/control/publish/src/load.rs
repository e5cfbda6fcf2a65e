//! Making the world of everything the store says. Pure.
//!
//! Names come zone by zone in the order of their paths, so that a zone's map is built as a whole, and full; what is turned round is
//! sorted once, at the end. What a name changes for others is not asked, because everything is compared afterwards.

use std::collections::{BTreeMap, BTreeSet};

use poterne_acme::caa::Issuer;
use poterne_control_store::{RecordBrief, RecordLines, StoreError};
use poterne_model::{Name, ZoneId};
use poterne_snapshot::NodeChunk;

use crate::{
    path::{self, Path},
    rows::{News, Records},
    world::{To, World},
};

/// A world under way.
pub(crate) struct Load {
    world: World,
    /// The zone whose names come now, with its apex, and whether it proxies.
    zone: Option<(ZoneId, Path, bool)>,
    /// Its names so far.
    names: Vec<(Path, Records)>,
    leads: Vec<(To, ZoneId, Path)>,
}

impl Load {
    pub(crate) fn new(node: NodeChunk, issuers: Vec<Issuer>) -> Self {
        Self { world: World::new(node, issuers), zone: None, names: Vec::new(), leads: Vec::new() }
    }

    /// Accounts, zones, tunnels, challenges and certificates, which come before any name.
    pub(crate) fn heads(&mut self, news: News) {
        self.world.accounts.extend(news.accounts.into_iter().filter_map(|(id, account)| Some((id, account?))));
        let challenges = news.challenges.into_iter().filter_map(|(id, challenge)| Some((id, challenge?)));
        self.world.challenges.extend(challenges);
        for (id, certificate) in news.certificates {
            self.world.put_certificate(id, certificate);
        }
        self.world.tunnels.extend(news.tunnels.into_iter().filter_map(|(id, tunnel)| Some((id, tunnel?))));
        for (id, zone) in news.zones {
            let Some(zone) = zone else { continue };
            self.world.put_zone(id, zone.head, zone.proxies);
        }
        self.world.transfers.extend(news.transfers.into_iter().filter_map(|(id, transfer)| Some((id, transfer?))));
        self.world.account_rules.extend(news.account_rules.into_iter().filter_map(|(id, rules)| Some((id, rules?))));
        self.world.rules.extend(news.rules.into_iter().filter_map(|(id, rules)| Some((id, rules?))));
        self.world.health_checks.extend(news.health_checks.into_iter().filter_map(|(id, checks)| Some((id, checks?))));
    }

    /// The next records.
    pub(crate) fn lines(&mut self, lines: &RecordLines) -> Result<(), StoreError> {
        let mut of_name: Vec<RecordBrief> = Vec::new();
        for record in lines.records() {
            let record = record?;
            if of_name.first().is_some_and(|first| first.zone != record.zone || first.name != record.name) {
                self.briefs(&of_name)?;
                of_name.clear();
            }
            of_name.push(record);
        }
        self.briefs(&of_name)
    }

    /// The records at one name.
    fn briefs(&mut self, records: &[RecordBrief]) -> Result<(), StoreError> {
        let Some(first) = records.first() else { return Ok(()) };
        let Some(proxies) = self.world.proxies(first.zone) else { return Ok(()) };
        if let Some(read) = Records::of(records, self.world.reading(), proxies)? {
            self.name(first.zone, &first.name, read);
        }
        Ok(())
    }

    /// What the records at a name say.
    pub(crate) fn name(&mut self, id: ZoneId, name: &Name, records: Records) {
        if self.zone.as_ref().is_none_or(|(last, ..)| *last != id) {
            self.close();
            self.zone = self.world.zones.get(&id).map(|zone| (id, zone.apex.clone(), zone.proxies));
        }
        let Some((_, apex, proxies)) = &self.zone else { return };
        let absolute = path::path(name.as_str());
        if !path::is_within(&absolute, apex) {
            return;
        }
        let path = Path::from(path::below(&absolute, apex));
        if *proxies {
            self.leads.extend(self.world.to(apex, &path, &records).into_iter().map(|to| (to, id, path.clone())));
        }
        self.names.push((path, records));
    }

    /// The names that came are all of their zone.
    fn close(&mut self) {
        let names = std::mem::take(&mut self.names);
        let zone = self.zone.take().and_then(|(id, ..)| self.world.zones.get_mut(&id));
        if let Some(known) = zone.map(|zone| &mut zone.names) {
            // As a whole where it is the first time, which it always is when they come in order.
            if known.is_empty() {
                *known = BTreeMap::from_iter(names);
            } else {
                known.extend(names);
            }
        }
    }

    /// There is no more.
    pub(crate) fn finish(mut self) -> World {
        self.close();
        self.world.arrange_certificates(|_| {});
        self.world.leads = BTreeSet::from_iter(self.leads);
        self.world
    }
}
