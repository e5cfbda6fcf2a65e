//! Names that are to have one certificate, and then the next.

use poterne_model::{CertificatePackId, Name, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, number, parse, parsed},
    touched::Touched,
};

/// A pack. What its words mean is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePack {
    /// Its id.
    pub id: CertificatePackId,
    /// Its zone.
    pub zone: ZoneId,
    /// What it is for: `universal`, `total_tls`, `advanced`, `sni_custom`.
    pub kind: String,
    /// Its names.
    pub hosts: Vec<Name>,
    /// The authority that was asked for, by the API's word.
    pub authority: Option<String>,
    /// How its names are to be proven, as the protocol calls it.
    pub method: Option<String>,
    /// How long it was asked to last, in days.
    pub validity_days: Option<u32>,
    /// Of two that somebody brought, the greater is used.
    pub priority: i32,
    /// What is done about the chain of one that somebody brought, by the API's word.
    pub bundle_method: String,
    /// Its life so far, as JSON.
    pub course: String,
    /// When something of it is due.
    pub due_at: Option<Micros>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
}

impl Session {
    /// A new one.
    pub async fn insert_certificate_pack(&mut self, pack: &CertificatePack) -> Result<(), StoreError> {
        let statement = "INSERT INTO certificate_pack
            (id, zone, kind, hosts, authority, method, validity_days, priority, bundle_method, course, due_at, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        query(statement)
            .bind(pack.id.to_string())
            .bind(pack.zone.to_string())
            .bind(pack.kind.as_str())
            .bind(joined(&pack.hosts))
            .bind(pack.authority.clone())
            .bind(pack.method.clone())
            .bind(pack.validity_days.map(i64::from))
            .bind(i64::from(pack.priority))
            .bind(pack.bundle_method.as_str())
            .bind(pack.course.as_str())
            .bind(pack.due_at)
            .bind(pack.created_at)
            .bind(pack.modified_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes down what may change of one.
    pub async fn put_certificate_pack(&mut self, pack: &CertificatePack) -> Result<(), StoreError> {
        let statement = "UPDATE certificate_pack SET hosts = $2, priority = $3, bundle_method = $4, course = $5, due_at = $6,
            modified_at = $7 WHERE id = $1";
        let done = query(statement)
            .bind(pack.id.to_string())
            .bind(joined(&pack.hosts))
            .bind(i64::from(pack.priority))
            .bind(pack.bundle_method.as_str())
            .bind(pack.course.as_str())
            .bind(pack.due_at)
            .bind(pack.modified_at)
            .execute(self.connection())
            .await?;
        changed(done, "certificate pack")
    }

    /// One of them.
    pub async fn certificate_pack(&mut self, id: CertificatePackId) -> Result<Option<CertificatePack>, StoreError> {
        let statement = query("SELECT * FROM certificate_pack WHERE id = $1").bind(id.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(pack).transpose()
    }

    /// A zone's, the oldest first.
    pub async fn certificate_packs(&mut self, zone: ZoneId) -> Result<Vec<CertificatePack>, StoreError> {
        let statement = query("SELECT * FROM certificate_pack WHERE zone = $1 ORDER BY created_at, id").bind(zone.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(pack).collect()
    }

    /// Takes one away, with its certificate.
    pub async fn delete_certificate_pack(&mut self, id: CertificatePackId) -> Result<(), StoreError> {
        let done = query("DELETE FROM certificate_pack WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "certificate pack")?;
        self.touch(&Touched::Certificate(id)).await
    }

    /// Takes up at most `count` packs of which something is due, the longest due first: they are due again at `again_at`, unless
    /// [`put_certificate_pack`](Self::put_certificate_pack) says otherwise.
    pub async fn take_certificate_packs_due(
        &mut self,
        now: Micros,
        again_at: Micros,
        count: u32,
    ) -> Result<Vec<CertificatePack>, StoreError> {
        let statement = "SELECT * FROM certificate_pack WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2";
        let rows = query(statement).bind(now).bind(i64::from(count)).fetch_all(self.connection()).await?;
        let packs: Vec<CertificatePack> = rows.iter().map(pack).collect::<Result<_, _>>()?;
        for pack in &packs {
            let statement = query("UPDATE certificate_pack SET due_at = $2 WHERE id = $1").bind(pack.id.to_string());
            statement.bind(again_at).execute(self.connection()).await?;
        }
        Ok(packs)
    }

    /// When something of a pack is due next.
    pub async fn next_certificate_pack_due(&mut self) -> Result<Option<Micros>, StoreError> {
        let statement = query("SELECT min(due_at) AS due_at FROM certificate_pack WHERE due_at IS NOT NULL");
        statement.fetch_optional(self.connection()).await?.as_ref().map_or(Ok(None), |row| cell(row, "due_at"))
    }

    /// A zone's names that the edge stands before and that lie deeper than one label below its apex, by name; at most `rows_max`.
    pub async fn deeper_proxied_names(&mut self, zone: ZoneId, apex: &Name, rows_max: u32) -> Result<Vec<Name>, StoreError> {
        self.proxied_names_like(zone, format!("%.%.{apex}"), rows_max).await
    }

    /// The zone's proxied names, in order.
    pub async fn proxied_names(&mut self, zone: ZoneId, rows_max: u32) -> Result<Vec<Name>, StoreError> {
        self.proxied_names_like(zone, "%".to_owned(), rows_max).await
    }

    async fn proxied_names_like(&mut self, zone: ZoneId, like: String, rows_max: u32) -> Result<Vec<Name>, StoreError> {
        // `_` and `%` stand for anything in a pattern; a name has none but `_`, for which one character too many passes here, and is
        // told apart by whoever asks.
        let statement =
            "SELECT DISTINCT name FROM record WHERE zone = $1 AND proxied = $2 AND name LIKE $3 ORDER BY name LIMIT $4";
        let statement = query(statement).bind(zone.to_string()).bind(true).bind(like).bind(rows_max);
        statement.fetch_all(self.connection()).await?.iter().map(|row| parsed(row, "name")).collect()
    }

    /// The zones that serve and are not paused, after one, by id: for whoever looks at all of them.
    pub async fn zones_proxying_after(&mut self, after: Option<ZoneId>, rows_max: u32) -> Result<Vec<ZoneId>, StoreError> {
        let statement = "SELECT id FROM zone WHERE status = 'active' AND paused = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = after.map_or_else(String::new, |id| id.to_string());
        let statement = query(statement).bind(false).bind(after).bind(rows_max);
        statement.fetch_all(self.connection()).await?.iter().map(|row| parsed(row, "id")).collect()
    }
}

/// Names as they are kept.
pub(crate) fn joined(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
}

/// What [`joined`] wrote.
pub(crate) fn names(text: &str) -> Result<Vec<Name>, StoreError> {
    text.split_whitespace().map(|name| parse(name, "hosts")).collect()
}

fn pack(row: &Row) -> Result<CertificatePack, StoreError> {
    let validity_days = cell::<Option<i64>>(row, "validity_days")?.map(u32::try_from).transpose();
    Ok(CertificatePack {
        id: parsed(row, "id")?,
        zone: parsed(row, "zone")?,
        kind: cell(row, "kind")?,
        hosts: names(cell(row, "hosts")?)?,
        authority: cell(row, "authority")?,
        method: cell(row, "method")?,
        validity_days: validity_days
            .map_err(|_| StoreError::Damaged { what: "validity_days", why: "it is out of range".into() })?,
        priority: number(row, "priority")?,
        bundle_method: cell(row, "bundle_method")?,
        course: cell(row, "course")?,
        due_at: cell(row, "due_at")?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
    })
}
