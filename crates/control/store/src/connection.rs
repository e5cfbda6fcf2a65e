//! Connections and connectors, as the nodes tell.

use poterne_model::{ConnectionId, ConnectionInfo, ConnectorId, ConnectorInfo, TunnelId, tunnel::Transport};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, number, parsed},
};

const MICROS: i64 = 1_000_000;

impl Session {
    /// A connection was registered. `connector` describes the agent; its `connections` are not read. False when the tunnel is
    /// gone meanwhile.
    pub async fn open_connection(
        &mut self,
        tunnel: TunnelId,
        connector: &ConnectorInfo,
        connection: &ConnectionInfo,
    ) -> Result<bool, StoreError> {
        let opened_at = micros(connection.opened_at);
        let statement = "UPDATE tunnel SET first_connected_at = coalesce(first_connected_at, $2),
            conns_active_at = coalesce(conns_active_at, $2), conns_inactive_at = NULL WHERE id = $1 AND deleted_at IS NULL";
        let done = query(statement).bind(tunnel.to_string()).bind(opened_at).execute(self.connection()).await?;
        if done == 0 {
            return Ok(false);
        }
        let statement = "INSERT INTO connector (tunnel, id, version, arch, features, run_at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (tunnel, id) DO UPDATE SET version = excluded.version, arch = excluded.arch, features = excluded.features";
        query(statement)
            .bind(tunnel.to_string())
            .bind(connector.id.to_string())
            .bind(&connector.version)
            .bind(&connector.arch)
            .bind(serde_json::to_string(&connector.features).expect("a list of texts is always JSON"))
            .bind(micros(connector.run_at))
            .execute(self.connection())
            .await?;
        let statement = "INSERT INTO connection (id, tunnel, connector, number, transport, origin_ip, location, opened_at, draining)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET tunnel = excluded.tunnel,
            connector = excluded.connector, number = excluded.number, transport = excluded.transport, origin_ip = excluded.origin_ip,
            location = excluded.location, opened_at = excluded.opened_at, draining = excluded.draining";
        query(statement)
            .bind(connection.id.to_string())
            .bind(tunnel.to_string())
            .bind(connector.id.to_string())
            .bind(connection.index)
            .bind(transport_word(connection.transport))
            .bind(connection.origin_ip.to_string())
            .bind(&connection.location)
            .bind(opened_at)
            .bind(connection.draining)
            .execute(self.connection())
            .await?;
        Ok(true)
    }

    /// A connection is gone. Told twice, the second does nothing.
    pub async fn close_connection(&mut self, tunnel: TunnelId, connection: ConnectionId, at: Micros) -> Result<(), StoreError> {
        let done = query("DELETE FROM connection WHERE id = $1 AND tunnel = $2")
            .bind(connection.to_string())
            .bind(tunnel.to_string())
            .execute(self.connection())
            .await?;
        if done > 0 {
            self.after_loss(Some(tunnel), at).await?;
        }
        Ok(())
    }

    /// Forgets every connection: after a start none of those on record is alive, since no node has told of one yet. `at`: when
    /// their node was last known to be alive; the last of them to open knows better.
    pub async fn forget_connections(&mut self, at: Micros) -> Result<(), StoreError> {
        let row = query("SELECT max(opened_at) AS last FROM connection").fetch_one(self.connection()).await?;
        let at = cell::<Option<i64>>(&row, "last")?.unwrap_or(0).max(at);
        let done = query("DELETE FROM connection").execute(self.connection()).await?;
        if done > 0 {
            self.after_loss(None, at).await?;
        }
        query("DELETE FROM connector").execute(self.connection()).await?;
        Ok(())
    }

    /// A tunnel's connectors that have a connection, oldest first.
    pub async fn connectors(&mut self, tunnel: TunnelId) -> Result<Vec<ConnectorInfo>, StoreError> {
        let statement = "SELECT connector.version, connector.arch, connector.features, connector.run_at, connection.*
            FROM connection JOIN connector ON connector.tunnel = connection.tunnel AND connector.id = connection.connector
            WHERE connection.tunnel = $1 ORDER BY connector.run_at, connector.id, connection.number, connection.id";
        let rows = query(statement).bind(tunnel.to_string()).fetch_all(self.connection()).await?;
        let mut connectors: Vec<ConnectorInfo> = Vec::new();
        for row in &rows {
            let id: ConnectorId = parsed(row, "connector")?;
            let connection = connection(row)?;
            match connectors.last_mut().filter(|last| last.id == id) {
                Some(connector) => connector.connections.push(connection),
                None => connectors.push(connector(row, id, connection)?),
            }
        }
        Ok(connectors)
    }

    /// How many live connections a tunnel has.
    pub async fn connection_count(&mut self, tunnel: TunnelId) -> Result<u64, StoreError> {
        let row = query("SELECT count(*) AS count FROM connection WHERE tunnel = $1")
            .bind(tunnel.to_string())
            .fetch_one(self.connection())
            .await?;
        number(&row, "count")
    }

    async fn after_loss(&mut self, tunnel: Option<TunnelId>, at: Micros) -> Result<(), StoreError> {
        let tunnel = tunnel.map(|id| id.to_string());
        let statement =
            "UPDATE tunnel SET last_loss_at = $2 WHERE (CAST($1 AS TEXT) IS NULL AND conns_active_at IS NOT NULL) OR id = $1";
        query(statement).bind(&tunnel).bind(at).execute(self.connection()).await?;
        let statement = "UPDATE tunnel SET conns_active_at = NULL, conns_inactive_at = $2 WHERE conns_active_at IS NOT NULL
            AND (CAST($1 AS TEXT) IS NULL OR id = $1) AND NOT EXISTS (SELECT 1 FROM connection WHERE connection.tunnel = tunnel.id)";
        query(statement).bind(&tunnel).bind(at).execute(self.connection()).await?;
        let statement = "DELETE FROM connector WHERE (CAST($1 AS TEXT) IS NULL OR tunnel = $1) AND NOT EXISTS
            (SELECT 1 FROM connection WHERE connection.tunnel = connector.tunnel AND connection.connector = connector.id)";
        query(statement).bind(&tunnel).execute(self.connection()).await?;
        Ok(())
    }
}

fn connector(row: &Row, id: ConnectorId, first: ConnectionInfo) -> Result<ConnectorInfo, StoreError> {
    let features = serde_json::from_str(cell(row, "features")?);
    Ok(ConnectorInfo {
        id,
        version: cell(row, "version")?,
        arch: cell(row, "arch")?,
        features: features.map_err(|error| StoreError::Damaged { what: "connector", why: error.to_string() })?,
        run_at: seconds(row, "run_at")?,
        connections: vec![first],
    })
}

fn connection(row: &Row) -> Result<ConnectionInfo, StoreError> {
    let transport = match cell(row, "transport")? {
        "quic" => Transport::Quic,
        "http2" => Transport::Http2,
        other => return Err(StoreError::Damaged { what: "connection", why: format!("its transport is {other:?}") }),
    };
    Ok(ConnectionInfo {
        id: parsed(row, "id")?,
        index: number(row, "number")?,
        transport,
        origin_ip: parsed(row, "origin_ip")?,
        location: cell(row, "location")?,
        opened_at: seconds(row, "opened_at")?,
        draining: cell(row, "draining")?,
    })
}

fn transport_word(transport: Transport) -> &'static str {
    match transport {
        Transport::Quic => "quic",
        Transport::Http2 => "http2",
    }
}

fn micros(seconds: u64) -> Micros {
    i64::try_from(seconds).unwrap_or(i64::MAX / MICROS).saturating_mul(MICROS)
}

fn seconds(row: &Row, column: &'static str) -> Result<u64, StoreError> {
    Ok(cell::<i64>(row, column)?.max(0).unsigned_abs() / MICROS.unsigned_abs())
}
