//! Which of a file's records are kept, found out for all of them at once.
//!
//! It comes to what inserting them one by one, in the order of the file, comes to; a property test holds it to that. Records meet only at
//! their own name, so names are looked at one by one, each with what it has already: read of the zone as a whole where the file brings much
//! of it, by names otherwise. Where CNAMEs lead is asked of the file and the store together, as it is once the CNAME's own line is kept,
//! and not the lines after it.

use std::collections::{HashMap, HashSet};

use poterne_control_store::{Record, Session, Zone};
use poterne_model::{
    AccountId, Entry, Name, RecordData, RecordSet, Rtype, TunnelId, ZoneId,
    conflict::{self, Conflict, Standing},
    name,
};

use super::{kept::entry_of, lines::Lines};
use crate::{
    AppError,
    chain::{self, Source},
};

/// Records of a zone that are read at a time.
const PAGE_ROWS: u32 = 5000;

/// How many times the records of the file a zone's may be, for the zone to be read as a whole.
const WHOLE_ZONE: usize = 4;

/// CNAMEs from which on the names of all zones are read at once.
const MANY_CNAMES: usize = 32;

/// What becomes of a file's lines.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Those that are kept, in the order of their paths, and at each in the order of the file.
    pub(super) accepted: Vec<u32>,
    /// Of each name that has records already and gets others, one of those.
    pub(super) standing: Vec<u32>,
}

/// What is kept of the lines.
pub(super) async fn planned(
    session: &mut Session,
    zone: &Zone,
    lines: &Lines,
    domains: chain::Domains<'_>,
) -> Result<Plan, AppError> {
    let order = lines.order();
    let most = u32::try_from(order.len().saturating_mul(WHOLE_ZONE)).unwrap_or(u32::MAX).max(PAGE_ROWS);
    let mut existing = Existing::new(session, zone, lines, order, most).await?;
    let conflict_zone = conflict_zone(zone);
    let (mut accepted, mut standing, mut refused) = (Vec::with_capacity(order.len()), Vec::new(), None::<(u32, Conflict)>);
    for group in order.chunk_by(|one, other| lines.path(*one) == lines.path(*other)) {
        match (group, existing.at(session, lines.path(group[0])).await?) {
            ([alone], None) if lines.stands_alone(*alone) => accepted.push(*alone),
            (group, existing) => {
                let (stands, before) = (existing.is_some(), accepted.len());
                let told = at_name(lines, group, existing.unwrap_or_default(), &conflict_zone, &mut accepted)?;
                standing.extend(accepted[before..].first().filter(|_| stands));
                // What a file is told is what its first wrong line is.
                if let Some(told) = told
                    && refused.as_ref().is_none_or(|(first, _)| told.0 < *first)
                {
                    refused = Some(told);
                }
            }
        }
    }
    let is_empty = existing.is_empty();
    drop(existing);
    let mut cnames: Vec<u32> = accepted.iter().copied().filter(|at| lines.rtype(*at) == Rtype::Cname).collect();
    cnames.sort_unstable();
    if let Some((first, _)) = &refused {
        cnames.retain(|at| at < first);
    }
    if !cnames.is_empty() {
        let mut overlay = Overlay::new(session, zone, lines, &accepted, is_empty, cnames.len()).await?;
        for at in cnames {
            overlay.upto = at;
            chain::walk_over(&mut overlay, zone.account, &lines.name(at)?, domains).await?;
        }
    }
    match refused {
        None => Ok(Plan { accepted, standing }),
        Some((at, conflict)) => {
            let line = lines.number(at);
            Err(AppError::ZoneFile(vec![(conflict.code(), format!("line {line}: {conflict}"))]))
        }
    }
}

/// What of a zone the rules of [`conflict`] depend on.
pub(super) fn conflict_zone(zone: &Zone) -> conflict::Zone<'_> {
    conflict::Zone { apex: &zone.apex, flattens_all: false }
}

/// Lines of one name: adds those that are kept, and tells of the first that cannot be, behind which nothing of the name is kept.
fn at_name(
    lines: &Lines,
    group: &[u32],
    existing: Vec<Entry>,
    zone: &conflict::Zone<'_>,
    accepted: &mut Vec<u32>,
) -> Result<Option<(u32, Conflict)>, AppError> {
    let mut standing = Standing::of(existing);
    for at in group {
        let entry = lines.entry(*at)?;
        // There already, in these or other letters.
        if standing.has(&entry.rdata) {
            continue;
        }
        match standing.add(entry, zone) {
            Ok(()) => accepted.push(*at),
            Err(conflict) => return Ok(Some((*at, conflict))),
        }
    }
    Ok(None)
}

/// What stands at the names of the file, asked for in the order of their paths; a page of it is held at a time.
pub(super) struct Existing<'a> {
    zone: &'a Zone,
    lines: &'a Lines,
    /// A line of each name.
    names: Vec<u32>,
    way: Way,
    /// By path.
    found: HashMap<String, Vec<Entry>>,
}

/// How it is read.
enum Way {
    /// There is none.
    Nothing,
    /// With all of the zone, of which this much was read.
    Whole { after: Option<(ZoneId, Name)>, upto: String, is_over: bool },
    /// By names, of which so many were looked up.
    Names(usize),
}

impl<'a> Existing<'a> {
    /// A zone that has fewer than `most` records is read whole.
    pub(super) async fn new(
        session: &mut Session,
        zone: &'a Zone,
        lines: &'a Lines,
        order: &[u32],
        most: u32,
    ) -> Result<Self, AppError> {
        let way = match session.record_count(zone.id, most).await? {
            0 => Way::Nothing,
            count if count < u64::from(most) => Way::Whole { after: None, upto: String::new(), is_over: false },
            _ => Way::Names(0),
        };
        let mut names: Vec<u32> = if let Way::Nothing = way { Vec::new() } else { order.to_vec() };
        names.dedup_by(|one, other| lines.path(*one) == lines.path(*other));
        Ok(Self { zone, lines, names, way, found: HashMap::new() })
    }

    /// Whether the zone has no records at all.
    fn is_empty(&self) -> bool {
        matches!(self.way, Way::Nothing)
    }

    /// What stands at a name of the file; none where nothing does.
    pub(super) async fn at(&mut self, session: &mut Session, path: &str) -> Result<Option<Vec<Entry>>, AppError> {
        let (lines, names) = (self.lines, &self.names);
        loop {
            match &mut self.way {
                Way::Nothing => break,
                Way::Whole { upto, is_over, .. } if *is_over || path <= upto.as_str() => break,
                Way::Whole { after, upto, is_over } => {
                    self.found.clear();
                    let page = session.record_lines(Some(self.zone.id), after.take(), PAGE_ROWS).await?;
                    for record in page.records() {
                        let record = record?;
                        let path = name::path(record.name.as_str());
                        if names.binary_search_by(|at| lines.path(*at).cmp(path.as_str())).is_ok() {
                            self.found.entry(path).or_default().push(entry_of(record)?);
                        }
                    }
                    *after = page.next();
                    match &*after {
                        Some((_, last)) => *upto = name::path(last.as_str()),
                        None => *is_over = true,
                    }
                }
                Way::Names(count)
                    if *count == names.len() || names[..*count].last().is_some_and(|last| path <= lines.path(*last)) =>
                {
                    break;
                }
                Way::Names(count) => {
                    self.found.clear();
                    let some = &names[*count..names.len().min(*count + PAGE_ROWS as usize)];
                    *count += some.len();
                    let some = some.iter().map(|at| lines.name(*at)).collect::<Result<Vec<_>, _>>()?;
                    for record in session.record_briefs(self.zone.id, &some).await? {
                        self.found.entry(name::path(record.name.as_str())).or_default().push(entry_of(record)?);
                    }
                }
            }
        }
        Ok(self.found.remove(path))
    }
}

/// The store, and over it the lines of the file up to one of them.
struct Overlay<'a> {
    session: &'a mut Session,
    zone: &'a Zone,
    apex: String,
    lines: &'a Lines,
    /// Those that are kept, by path.
    accepted: &'a [u32],
    /// The last line that is seen.
    upto: u32,
    /// Paths below the apex that lie above a line's own, with the first such line.
    above: HashMap<&'a str, u32>,
    /// Whether the store has no records of the zone.
    is_empty: bool,
    /// The apex of every zone, where they were read.
    apexes: Option<HashSet<Name>>,
    zones: HashMap<Name, Option<Zone>>,
    records: HashMap<String, Vec<Record>>,
    enclosers: HashMap<String, Option<String>>,
    tunnels: HashMap<TunnelId, Option<AccountId>>,
}

impl<'a> Overlay<'a> {
    async fn new(
        session: &'a mut Session,
        zone: &'a Zone,
        lines: &'a Lines,
        accepted: &'a [u32],
        is_empty: bool,
        cnames: usize,
    ) -> Result<Self, AppError> {
        let apexes = if cnames < MANY_CNAMES { None } else { Some(session.zone_names().await?.into_iter().collect()) };
        let apex = name::path(zone.apex.as_str());
        let mut above: HashMap<&str, u32> = HashMap::new();
        for at in accepted {
            let mut path = lines.path(*at);
            while let Some((parent, _)) = path.rsplit_once(' ').filter(|(parent, _)| parent.len() > apex.len()) {
                above.entry(parent).and_modify(|first| *first = (*first).min(*at)).or_insert(*at);
                path = parent;
            }
        }
        Ok(Self {
            session,
            zone,
            apex,
            lines,
            accepted,
            upto: 0,
            above,
            is_empty,
            apexes,
            zones: HashMap::new(),
            records: HashMap::new(),
            enclosers: HashMap::new(),
            tunnels: HashMap::new(),
        })
    }

    /// The zone that answers for a name.
    async fn zone_of(&mut self, name: &Name) -> Result<Option<Zone>, AppError> {
        if let Some(apexes) = &self.apexes {
            let is_own = name.is_within(&self.zone.apex);
            let deepest = name::ancestors(name.as_str()).find(|ancestor| apexes.contains(*ancestor));
            match deepest {
                None => return Ok(None),
                Some(deepest) if is_own && deepest == self.zone.apex.as_str() => return Ok(Some(self.zone.clone())),
                Some(_) => {}
            }
        }
        if let Some(zone) = self.zones.get(name) {
            return Ok(zone.clone());
        }
        let zone = chain::zone_answering(self.session, self.zone.account, name).await?;
        self.zones.insert(name.clone(), zone.clone());
        Ok(zone)
    }

    /// The lines at a path that are seen.
    fn seen(&self, path: &str) -> &'a [u32] {
        let lines = self.lines;
        let from = self.accepted.partition_point(|at| lines.path(*at) < path);
        let same = self.accepted[from..].partition_point(|at| lines.path(*at) == path);
        let of_path = &self.accepted[from..from + same];
        // In the order of the file.
        &of_path[..of_path.partition_point(|at| *at <= self.upto)]
    }

    /// The records at exactly this path, of the store and of the lines seen.
    async fn own(&mut self, path: &str) -> Result<Vec<RecordSet>, AppError> {
        let mut sets = Vec::new();
        if !self.is_empty {
            if !self.records.contains_key(path) {
                let stored = self.session.records_at(self.zone.id, &name::of_path(path)).await?;
                self.records.insert(path.to_owned(), stored);
            }
            sets = Record::sets(&self.records[path])?;
        }
        for at in self.seen(path) {
            let Entry { name, rdata, ttl_secs, proxied, .. } = self.lines.entry(*at)?;
            let records = vec![RecordData::from(&rdata)];
            sets.push(RecordSet { name, kind: rdata.rtype().into(), ttl_secs, proxied, records });
        }
        Ok(sets)
    }

    /// Whether a line that is seen stands below the path.
    fn is_above(&self, path: &str) -> bool {
        self.above.get(path).is_some_and(|first| *first <= self.upto)
    }

    /// The path of the closest encloser of one that has no records; none where it exists all the same.
    async fn encloser(&mut self, name: &Name, path: &str) -> Result<Option<String>, AppError> {
        if path.len() <= self.apex.len() || self.is_above(path) {
            return Ok(None);
        }
        let mut longest = self.apex.clone();
        if !self.is_empty {
            if !self.enclosers.contains_key(path) {
                let stored = self.session.closest_encloser(self.zone, name).await?;
                self.enclosers.insert(path.to_owned(), stored);
            }
            match &self.enclosers[path] {
                None => return Ok(None),
                Some(stored) => longest.clone_from(stored),
            }
        }
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once(' ').filter(|(parent, _)| parent.len() > longest.len()) {
            if self.is_above(parent) || !self.seen(parent).is_empty() {
                return Ok(Some(parent.to_owned()));
            }
            above = parent;
        }
        Ok(Some(longest))
    }
}

impl Source for Overlay<'_> {
    async fn answering(&mut self, name: &Name) -> Result<Vec<RecordSet>, AppError> {
        let Some(zone) = self.zone_of(name).await? else { return Ok(Vec::new()) };
        if zone.id != self.zone.id {
            return Ok(Record::sets(&self.session.records_answering(&zone, name).await?)?);
        }
        let path = name::path(name.as_str());
        let own = self.own(&path).await?;
        if !own.is_empty() {
            return Ok(own);
        }
        match self.encloser(name, &path).await? {
            Some(encloser) => self.own(&format!("{encloser} *")).await,
            None => Ok(Vec::new()),
        }
    }

    async fn tunnel_account(&mut self, tunnel: TunnelId) -> Result<Option<AccountId>, AppError> {
        if let Some(account) = self.tunnels.get(&tunnel) {
            return Ok(*account);
        }
        let account = chain::tunnel_account(self.session, tunnel).await?;
        self.tunnels.insert(tunnel, account);
        Ok(account)
    }
}
