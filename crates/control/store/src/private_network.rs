//! Private routes and virtual networks. What is deleted is marked so, and told of until newer ones push it out.

use poterne_model::{
    AccountId, Timestamp, TunnelId,
    private_network::{Route, VirtualNetwork},
};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parsed},
};

/// Most deleted routes, and most deleted virtual networks, of an account that are still told of.
const DELETED_MAX: u32 = 1000;

impl Session {
    /// An account's virtual networks, deleted ones included: the default first, then by name.
    pub async fn virtual_networks(&mut self, account: AccountId) -> Result<Vec<VirtualNetwork>, StoreError> {
        let statement = "SELECT * FROM virtual_network WHERE account = $1 ORDER BY is_default DESC, name, created_at, id";
        query(statement).bind(account.to_string()).fetch_all(self.connection()).await?.iter().map(virtual_network).collect()
    }

    /// Writes a virtual network as it is now, new or not.
    pub async fn put_virtual_network(&mut self, account: AccountId, one: &VirtualNetwork) -> Result<(), StoreError> {
        let statement = "INSERT INTO virtual_network (id, account, name, comment, is_default, created_at, deleted_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name, comment = excluded.comment,
            is_default = excluded.is_default, deleted_at = excluded.deleted_at";
        query(statement)
            .bind(one.id.to_string())
            .bind(account.to_string())
            .bind(&one.name)
            .bind(&one.comment)
            .bind(one.is_default)
            .bind(one.created_at.as_micros())
            .bind(one.deleted_at.map(Timestamp::as_micros))
            .execute(self.connection())
            .await?;
        if one.deleted_at.is_some() {
            let statement = "DELETE FROM virtual_network WHERE id IN (SELECT id FROM virtual_network
                WHERE account = $1 AND deleted_at IS NOT NULL ORDER BY deleted_at DESC, id LIMIT 100000 OFFSET $2)";
            query(statement).bind(account.to_string()).bind(DELETED_MAX).execute(self.connection()).await?;
        }
        Ok(())
    }

    /// An account's routes, deleted ones included, in the order they were made.
    pub async fn private_routes(&mut self, account: AccountId) -> Result<Vec<Route>, StoreError> {
        let statement = query("SELECT * FROM private_route WHERE account = $1 ORDER BY created_at, id").bind(account.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(route).collect()
    }

    /// How many routes in force lead into a tunnel.
    pub async fn private_route_count(&mut self, tunnel: TunnelId) -> Result<u64, StoreError> {
        let statement = query("SELECT count(*) AS count FROM private_route WHERE tunnel = $1 AND deleted_at IS NULL");
        let row = statement.bind(tunnel.to_string()).fetch_one(self.connection()).await?;
        Ok(cell::<i64>(&row, "count")?.unsigned_abs())
    }

    /// A new route. Conflict when its virtual network has one for that network.
    pub async fn insert_private_route(&mut self, account: AccountId, route: &Route) -> Result<(), StoreError> {
        let statement = "INSERT INTO private_route (id, account, network, tunnel, virtual_network, comment, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(route.id.to_string())
            .bind(account.to_string())
            .bind(route.network.to_string())
            .bind(route.tunnel.to_string())
            .bind(route.virtual_network.to_string())
            .bind(&route.comment)
            .bind(route.created_at.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "route")
    }

    /// Writes a route as it is now.
    pub async fn update_private_route(&mut self, account: AccountId, route: &Route) -> Result<(), StoreError> {
        let statement = "UPDATE private_route SET network = $2, tunnel = $3, virtual_network = $4, comment = $5, deleted_at = $6
            WHERE id = $1";
        let done = query(statement)
            .bind(route.id.to_string())
            .bind(route.network.to_string())
            .bind(route.tunnel.to_string())
            .bind(route.virtual_network.to_string())
            .bind(&route.comment)
            .bind(route.deleted_at.map(Timestamp::as_micros))
            .execute(self.connection())
            .await?;
        changed(done, "route")?;
        if route.deleted_at.is_some() { self.forget_private_routes(account).await } else { Ok(()) }
    }

    /// Marks the routes into a tunnel deleted; how many there were.
    pub async fn delete_private_routes_of(
        &mut self,
        account: AccountId,
        tunnel: TunnelId,
        now: Micros,
    ) -> Result<u64, StoreError> {
        let statement = query("UPDATE private_route SET deleted_at = $2 WHERE tunnel = $1 AND deleted_at IS NULL");
        let count = statement.bind(tunnel.to_string()).bind(now).execute(self.connection()).await?;
        if count > 0 {
            self.forget_private_routes(account).await?;
        }
        Ok(count)
    }

    async fn forget_private_routes(&mut self, account: AccountId) -> Result<(), StoreError> {
        let statement = "DELETE FROM private_route WHERE id IN (SELECT id FROM private_route
            WHERE account = $1 AND deleted_at IS NOT NULL ORDER BY deleted_at DESC, id LIMIT 100000 OFFSET $2)";
        query(statement).bind(account.to_string()).bind(DELETED_MAX).execute(self.connection()).await?;
        Ok(())
    }
}

fn instants(row: &Row) -> Result<(Timestamp, Option<Timestamp>), StoreError> {
    let deleted_at: Option<Micros> = cell(row, "deleted_at")?;
    Ok((Timestamp::from_micros(cell(row, "created_at")?), deleted_at.map(Timestamp::from_micros)))
}

fn virtual_network(row: &Row) -> Result<VirtualNetwork, StoreError> {
    let (created_at, deleted_at) = instants(row)?;
    Ok(VirtualNetwork {
        id: parsed(row, "id")?,
        name: cell(row, "name")?,
        comment: cell(row, "comment")?,
        is_default: cell(row, "is_default")?,
        created_at,
        deleted_at,
    })
}

fn route(row: &Row) -> Result<Route, StoreError> {
    let (created_at, deleted_at) = instants(row)?;
    Ok(Route {
        id: parsed(row, "id")?,
        network: parsed(row, "network")?,
        tunnel: parsed(row, "tunnel")?,
        virtual_network: parsed(row, "virtual_network")?,
        comment: cell(row, "comment")?,
        created_at,
        deleted_at,
    })
}
