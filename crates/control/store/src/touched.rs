//! What changed, so that publish need not read everything to find out.
//!
//! Whatever writes a row that nodes obey says so, in the same transaction, under the number that its commit will take. Said twice, the
//! later number stays: the table is as long as the number of things that ever changed since publish last forgot.

use poterne_model::{AccountId, CertificatePackId, ChallengeId, Name, TunnelId, ZoneId};

use crate::{
    Session, StoreError,
    database::{Row, query},
    rows::{cell, parse, parsed},
};

/// Something that nodes obey and that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Touched {
    /// What all nodes are told of themselves, as far as the store knows it.
    Node,
    /// An account's own words and lists.
    Account(AccountId),
    /// A zone's head: its status, settings and rulesets; or the zone is gone.
    Zone(ZoneId),
    /// The records at one owner name.
    Name(ZoneId, Name),
    /// The records at very many names of a zone: what they are is read of the whole zone.
    Names(ZoneId),
    /// A tunnel, its secrets or its configuration.
    Tunnel(TunnelId),
    /// A challenge.
    Challenge(ChallengeId),
    /// A pack's certificate: another one, or none.
    Certificate(CertificatePackId),
}

impl Session {
    pub(crate) async fn touch(&mut self, what: &Touched) -> Result<(), StoreError> {
        let (kind, id, name) = match what {
            Touched::Node => ("node", String::new(), ""),
            Touched::Account(id) => ("account", id.to_string(), ""),
            Touched::Zone(id) => ("zone", id.to_string(), ""),
            Touched::Name(id, name) => ("name", id.to_string(), name.as_str()),
            Touched::Names(id) => ("names", id.to_string(), ""),
            Touched::Tunnel(id) => ("tunnel", id.to_string(), ""),
            Touched::Challenge(id) => ("challenge", id.to_string(), ""),
            Touched::Certificate(id) => ("certificate", id.to_string(), ""),
        };
        let statement = "INSERT INTO touched (kind, id, name, change) VALUES ($1, $2, $3, $4)
            ON CONFLICT (kind, id, name) DO UPDATE SET change = excluded.change";
        let change = i64::try_from(self.next_change()).unwrap_or(i64::MAX);
        query(statement).bind(kind).bind(id).bind(name).bind(change).execute(self.connection()).await?;
        Ok(())
    }

    /// Says that records at so many names of a zone changed that it is read as a whole: more than [`crate::NAMES_TOUCHED_MAX`].
    pub async fn touch_all_names(&mut self, zone: ZoneId) -> Result<(), StoreError> {
        self.touch(&Touched::Names(zone)).await
    }

    /// The number of the last change with which so many names of the zone changed; none where there was none, or it is forgotten.
    pub async fn all_names_touched_at(&mut self, zone: ZoneId) -> Result<Option<u64>, StoreError> {
        let statement = query("SELECT change FROM touched WHERE kind = 'names' AND id = $1 AND name = ''");
        let row = statement.bind(zone.to_string()).fetch_optional(self.connection()).await?;
        row.map(|row| Ok(cell::<i64>(&row, "change")?.unsigned_abs())).transpose()
    }

    /// Says that records at these names of a zone changed.
    pub async fn touch_names(&mut self, zone: ZoneId, names: impl IntoIterator<Item = Name>) -> Result<(), StoreError> {
        for name in names {
            self.touch(&Touched::Name(zone, name)).await?;
        }
        Ok(())
    }

    /// What changed after that change, in the order it did; at most `rows_max`, and none when there is more.
    pub async fn touched_since(&mut self, change: u64, rows_max: u32) -> Result<Option<Vec<Touched>>, StoreError> {
        let since = i64::try_from(change).unwrap_or(i64::MAX);
        let statement = "SELECT kind, id, name FROM touched WHERE change > $1 ORDER BY change LIMIT $2";
        let rows = query(statement).bind(since).bind(i64::from(rows_max) + 1).fetch_all(self.connection()).await?;
        if rows.len() > rows_max as usize {
            return Ok(None);
        }
        rows.iter().map(touched).collect::<Result<_, _>>().map(Some)
    }

    /// Forgets what changed up to and including that change, because every node obeys it: the oldest `rows_max` of it, so that others need
    /// not wait long for their turn to write. Returns how many that were.
    pub async fn forget_touched(&mut self, change: u64, rows_max: u32) -> Result<u64, StoreError> {
        let up_to = i64::try_from(change).unwrap_or(i64::MAX);
        let statement = "DELETE FROM touched WHERE (kind, id, name) IN
            (SELECT kind, id, name FROM touched WHERE change <= $1 ORDER BY change LIMIT $2)";
        query(statement).bind(up_to).bind(rows_max).execute(self.connection()).await
    }
}

fn touched(row: &Row) -> Result<Touched, StoreError> {
    let id: &str = cell(row, "id")?;
    Ok(match cell(row, "kind")? {
        "node" => Touched::Node,
        "account" => Touched::Account(parse(id, "touched account")?),
        "zone" => Touched::Zone(parse(id, "touched zone")?),
        "name" => Touched::Name(parse(id, "touched zone")?, parsed(row, "name")?),
        "names" => Touched::Names(parse(id, "touched zone")?),
        "tunnel" => Touched::Tunnel(parse(id, "touched tunnel")?),
        "challenge" => Touched::Challenge(parse(id, "touched challenge")?),
        "certificate" => Touched::Certificate(parse(id, "touched certificate")?),
        other => return Err(StoreError::Damaged { what: "touched", why: format!("kind {other:?} is not known") }),
    })
}
