//! What publish reads: everything, page by page, and no more of a row than nodes obey.
//!
//! Pages follow one another by key and not by offset, so that the last costs what the first did; a session sees one state, however
//! many pages it reads. A row costs more to hand over than what is in it costs to read, so the database puts a page together as one
//! text: a record is a line of it, a tunnel some words, which say how long the texts after them are.

use poterne_model::{AccountId, Name, RecordData, RecordType, TunnelId, ZoneId, name};

use crate::{
    ConfigSource, Configuration, Record, Session, StoreError,
    database::{Row, query},
    rows::{cell, number, parse, parsed},
    select::Select,
    tunnel::config_source,
};

/// Names whose records are read at once.
const NAMES: usize = 20;

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
    /// The priority beside the content.
    pub priority: Option<u16>,
    /// Seconds; 1 is automatic.
    pub ttl_secs: u32,
    /// Whether the edge stands before it.
    pub proxied: bool,
    /// What else the edge is told of it, JSON; nearly always `{}`.
    pub settings: String,
}

/// The next records, as the database told them: one text, to be read where there is time for it.
#[derive(Debug, Clone)]
pub struct RecordLines {
    text: String,
    /// The owner name that the next page begins after; none at the end.
    next: Option<(ZoneId, Name)>,
}

/// A live tunnel, as far as nodes are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelDetails {
    /// Its id.
    pub id: TunnelId,
    /// Its owner.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Where its configuration lives.
    pub config_source: ConfigSource,
    /// Whether `POST /tunnel` made it.
    pub quick: bool,
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
        let Record { zone, name, kind, content, priority, ttl_secs, proxied, settings, .. } = record;
        Self { zone, name, kind, content, priority, ttl_secs, proxied, settings }
    }
}

/// A line says zone, path, type, content, whether it is proxied, TTL, priority (-1: none) and settings. No content that a verb wrote has
/// tabs or ends of lines in it, and settings are JSON on one line; what a hand wrote is made so.
macro_rules! lines {
    ($which:literal) => {
        concat!(
            "SELECT count(*) AS count, string_agg(line, '\n') AS lines FROM (SELECT zone || '\t' || path || '\t' || type || '\t' ||
                CASE WHEN type IN ('A', 'AAAA', 'CNAME') THEN content
                    ELSE replace(replace(replace(content, '\t', ' '), '\n', ' '), '\r', ' ') END ||
                CASE WHEN proxied THEN '\t1\t' ELSE '\t0\t' END || CAST(ttl AS TEXT) || '\t' ||
                CAST(coalesce(priority, -1) AS TEXT) || '\t' || settings AS line
            FROM record WHERE ",
            $which,
            " ORDER BY zone, path, type, content, priority LIMIT $3) AS page"
        )
    };
}

/// Of every zone, after a name of one.
pub(crate) const LINES: &str = lines!("(zone, path) > ($1, $2)");

/// Of one zone, after a name.
pub(crate) const LINES_OF_ZONE: &str = lines!("zone = $1 AND path > $2");

impl RecordLines {
    /// The owner name that the next page begins after; none where this one is the last.
    pub fn next(&self) -> Option<(ZoneId, Name)> {
        self.next.clone()
    }

    /// The records, by zone and path of their names ([`name::path`]), type, content and priority.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordBrief, StoreError>> + '_ {
        let (mut zone, mut owner) = (None::<(&str, ZoneId)>, None::<(&str, Name)>);
        self.text.lines().map(move |line| {
            let [zone_text, path, kind, content, proxied, ttl, priority, settings] = fields(line)?;
            if zone.is_none_or(|(text, _)| text != zone_text) {
                zone = Some((zone_text, parse(zone_text, "zone of a record")?));
            }
            if owner.as_ref().is_none_or(|(text, _)| *text != path) {
                owner = Some((path, parse(&name::of_path(path), "path of a record")?));
            }
            let (Some((_, zone)), Some((_, name))) = (zone, &owner) else { return Err(damaged("it has no name")) };
            let kind = RecordType::from(kind.to_owned());
            Ok(RecordBrief {
                zone,
                name: name.clone(),
                kind,
                content: content.to_owned(),
                priority: (priority != "-1").then(|| parse(priority, "priority of a record")).transpose()?,
                ttl_secs: parse(ttl, "TTL of a record")?,
                proxied: proxied == "1",
                settings: settings.to_owned(),
            })
        })
    }

    /// Without the last name, whose records may go on after the page; false where there is no other name.
    fn cut(&mut self) -> bool {
        let owner = |line: &str| line.splitn(3, '\t').take(2).map(str::len).sum::<usize>() + 1;
        let Some(last) = self.text.lines().next_back() else { return false };
        let last = last[..owner(last)].to_owned();
        let is_last = |line: &&str| line.len() > last.len() && line.starts_with(&last) && line.as_bytes()[last.len()] == b'\t';
        let dropped: usize = self.text.lines().rev().take_while(is_last).map(|line| line.len() + 1).sum();
        self.text.truncate(self.text.len().saturating_sub(dropped));
        !self.text.is_empty()
    }
}

/// What lines are in the order of: zone, path, type and content. Of those that have all of it in common, the priority as a number decides, as
/// it does in the statement, and not its text.
fn key(line: &str) -> &str {
    let end = line.bytes().enumerate().filter(|(_, byte)| *byte == b'\t').nth(3).map_or(line.len(), |(at, _)| at);
    &line[..end]
}

fn fields(line: &str) -> Result<[&str; 8], StoreError> {
    let (mut fields, mut read) = (line.split('\t'), [""; 8]);
    for field in &mut read {
        *field = fields.next().ok_or_else(|| damaged("a tab or the end of a line stands in it"))?;
    }
    if fields.next().is_none() { Ok(read) } else { Err(damaged("a tab or the end of a line stands in it")) }
}

fn priority(row: &Row) -> Result<Option<u16>, StoreError> {
    Ok(cell::<Option<i64>>(row, "priority")?.and_then(|priority| u16::try_from(priority).ok()))
}

fn damaged(why: &str) -> StoreError {
    StoreError::Damaged { what: "record", why: why.to_owned() }
}

impl Session {
    /// The next records of every zone, or of one, by zone and path of their names: those after the name that the last page ended with,
    /// about `rows_max` of them, at least 1. No page ends within a name.
    pub async fn record_lines(
        &mut self,
        zone: Option<ZoneId>,
        after: Option<(ZoneId, Name)>,
        rows_max: u32,
    ) -> Result<RecordLines, StoreError> {
        let after_zone = zone.or(after.as_ref().map(|(zone, _)| *zone)).map(|zone| zone.to_string()).unwrap_or_default();
        let after_path = after.map(|(_, owner)| name::path(owner.as_str())).unwrap_or_default();
        let statement = query(if zone.is_some() { LINES_OF_ZONE } else { LINES }).bind(after_zone).bind(after_path);
        let row = statement.bind(rows_max.max(1)).fetch_one(self.connection()).await?;
        let is_full = cell::<i64>(&row, "count")? >= i64::from(rows_max.max(1));
        let text: Option<String> = cell(&row, "lines")?;
        let mut lines = RecordLines { text: text.unwrap_or_default(), next: None };
        // The order in which an engine joins lines is its own affair; nearly always they are in order.
        if !lines.text.lines().is_sorted_by_key(key) {
            let mut sorted: Vec<&str> = lines.text.lines().collect();
            sorted.sort_by_key(|line| key(line));
            lines.text = sorted.join("\n");
        }
        if !is_full {
            return Ok(lines);
        }
        let last = lines.text.lines().next_back().map(str::to_owned);
        if !lines.cut()
            && let Some(last) = last
        {
            // A name with more records than a page holds.
            let [zone, path, ..] = fields(&last)?;
            let (zone, name): (ZoneId, Name) =
                (parse(zone, "zone of a record")?, parse(&name::of_path(path), "path of a record")?);
            let all = self.records_at(zone, name.as_str()).await?;
            lines.text = all.iter().map(line).collect::<Vec<_>>().join("\n");
        }
        if let Some(last) = lines.text.lines().next_back() {
            let [zone, path, ..] = fields(last)?;
            lines.next = Some((parse(zone, "zone of a record")?, parse(&name::of_path(path), "path of a record")?));
        }
        Ok(lines)
    }

    /// The records at these names of a zone, by the path of their names, type, content and priority.
    pub async fn record_briefs(&mut self, zone: ZoneId, names: &[Name]) -> Result<Vec<RecordBrief>, StoreError> {
        let mut briefs = Vec::with_capacity(names.len());
        let size = if names.len() == 1 { 1 } else { NAMES };
        for names in names.chunks(size) {
            // Statements are prepared by their text: a batch that is not full names its last name again.
            let last = names.last().into_iter().cycle();
            let paths = names.iter().chain(last).take(size).map(|name| name::path(name.as_str()));
            let mut select =
                Select::new("SELECT name, type, content, priority, ttl, proxied, settings FROM record WHERE zone = ");
            select.value(zone.to_string()).sql(" AND ").one_of("path", paths).sql(" ORDER BY path, type, content, priority");
            for row in &select.fetch_all(self.connection()).await? {
                let kind = RecordType::from(cell::<String>(row, "type")?);
                let (name, content, proxied) = (parsed(row, "name")?, cell(row, "content")?, cell(row, "proxied")?);
                let (priority, ttl_secs, settings) = (priority(row)?, number(row, "ttl")?, cell(row, "settings")?);
                briefs.push(RecordBrief { zone, name, kind, content, priority, ttl_secs, proxied, settings });
            }
        }
        Ok(briefs)
    }

    /// The next live tunnels by id: at most `rows_max` after that one. An empty page is the end.
    pub async fn tunnel_page(&mut self, after: Option<TunnelId>, rows_max: u32) -> Result<Vec<TunnelDetails>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let row = query(TUNNELS).bind(after).bind(rows_max).fetch_one(self.connection()).await?;
        let text: Option<&str> = cell(&row, "tunnels")?;
        let mut rest = text.unwrap_or_default();
        let mut tunnels = Vec::new();
        while !rest.is_empty() {
            tunnels.push(tunnel(&mut rest)?);
        }
        // In whatever order the engine joined them.
        tunnels.sort_by_key(|tunnel| tunnel.id.to_string());
        Ok(tunnels)
    }

    /// A live tunnel with what nodes must know of it.
    pub async fn tunnel_details(&mut self, id: TunnelId) -> Result<Option<TunnelDetails>, StoreError> {
        let Some(tunnel) = self.tunnel(id).await?.filter(|tunnel| tunnel.deleted_at.is_none()) else { return Ok(None) };
        let digests = self.secrets(id).await?.into_iter().map(|secret| secret.digest).collect();
        let configuration = self.configuration(id).await?;
        let crate::Tunnel { account, name, config_source, quick, .. } = tunnel;
        Ok(Some(TunnelDetails { id, account, name, config_source, quick, digests, configuration }))
    }
}

/// As [`lines`] says a record.
fn line(record: &Record) -> String {
    let content = match record.kind {
        RecordType::Other(_) => record.content.replace(['\t', '\n', '\r'], " "),
        _ => record.content.clone(),
    };
    let path = name::path(record.name.as_str());
    let (proxied, priority) = (u8::from(record.proxied), record.priority.map_or(-1, i32::from));
    let Record { zone, ttl_secs, settings, .. } = record;
    format!("{zone}\t{path}\t{}\t{content}\t{proxied}\t{ttl_secs}\t{priority}\t{settings}", record.kind.as_str())
}

/// A tunnel is nine words, and then its name and configuration, as many bytes as the last two of them say; a version of -1 says that
/// there is no configuration.
pub(crate) const TUNNELS: &str = "SELECT string_agg(page.id || ' ' || account || ' ' || config_src || CASE WHEN quick THEN ' 1 ' ELSE ' 0 ' END ||
        coalesce((SELECT string_agg(hex(digest), ',' ORDER BY number) FROM tunnel_secret WHERE tunnel_secret.tunnel = page.id), '') ||
        ' ' || CAST(coalesce(version, -1) AS TEXT) || ' ' || CAST(coalesce(one.created_at, 0) AS TEXT) || ' ' ||
        CAST(octet_length(name) AS TEXT) || ' ' || CAST(octet_length(coalesce(config, '')) AS TEXT) || ' ' ||
        name || coalesce(config, ''), '') AS tunnels
    FROM (SELECT id, account, name, config_src, quick FROM tunnel WHERE deleted_at IS NULL AND id > $1 ORDER BY id LIMIT $2) AS page
    LEFT JOIN tunnel_configuration AS one ON one.tunnel = page.id AND one.version =
        (SELECT max(version) FROM tunnel_configuration AS other WHERE other.tunnel = page.id)";

/// Takes the next tunnel off the text.
fn tunnel(rest: &mut &str) -> Result<TunnelDetails, StoreError> {
    let early = || StoreError::Damaged { what: "tunnel", why: "the text that the database made of it ends early".to_owned() };
    let mut words = [""; 9];
    for word in &mut words {
        (*word, *rest) = rest.split_once(' ').ok_or_else(early)?;
    }
    let [id, account, source, quick, digests, version, created_at, name_bytes, config_bytes] = words;
    let mut texts = [name_bytes, config_bytes];
    for text in &mut texts {
        (*text, *rest) = rest.split_at_checked(parse(text, "length")?).ok_or_else(early)?;
    }
    let (name, json) = (texts[0].to_owned(), texts[1].to_owned());
    let version: i32 = parse(version, "configuration's version")?;
    let created_at = parse(created_at, "configuration's time")?;
    Ok(TunnelDetails {
        id: parse(id, "id")?,
        account: parse(account, "account")?,
        name,
        config_source: config_source(source)?,
        quick: quick == "1",
        digests: digests.split(',').filter(|digest| !digest.is_empty()).map(digest).collect::<Result<_, _>>()?,
        configuration: (version >= 0).then_some(Configuration { version, json, created_at }),
    })
}

/// Of 64 hexadecimal digits.
fn digest(text: &str) -> Result<[u8; 32], StoreError> {
    let wrong = || StoreError::Damaged { what: "tunnel secret", why: "its digest has not 32 bytes".to_owned() };
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return Err(wrong());
    }
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}
