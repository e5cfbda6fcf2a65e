//! What nodes tell: connections, configurations, origins' health, generations.

use poterne_control_store::Micros;
use poterne_feed::Event;
use poterne_model::ConnectorInfo;

use crate::{App, AppError};

/// Longest local configuration kept, in bytes; the gateway bounds it so already.
const LOCAL_CONFIGURATION_BYTES_MAX: usize = 64 * 1024;

impl App {
    /// Takes an event down. The order of a connection's events is the node's.
    pub async fn record_event(&self, event: Event) -> Result<(), AppError> {
        match event {
            Event::ConnectionOpened { tunnel, connector, version, arch, features, connection } => {
                let run_at = connection.opened_at;
                let connector = ConnectorInfo { id: connector, version, arch, features, run_at, connections: Vec::new() };
                let mut session = self.0.store.write().await?;
                session.open_connection(tunnel, &connector, &connection).await?;
                session.commit_silently().await?;
            }
            Event::ConnectionClosed { tunnel, connection, at, .. } => {
                let at = i64::try_from(at).unwrap_or(Micros::MAX / 1_000_000).saturating_mul(1_000_000);
                let mut session = self.0.store.write().await?;
                session.close_connection(tunnel, connection, at).await?;
                session.commit_silently().await?;
            }
            Event::LocalConfiguration { tunnel, connector, config } => {
                let text = std::str::from_utf8(&config).ok().filter(|text| text.len() <= LOCAL_CONFIGURATION_BYTES_MAX);
                let Some(text) = text else {
                    tracing::warn!(%tunnel, %connector, bytes = config.len(), "an agent's configuration is not text or too long; left out");
                    return Ok(());
                };
                let mut session = self.0.store.write().await?;
                session.put_local_configuration(tunnel, connector, text, self.now()).await?;
                session.commit_silently().await?;
            }
            Event::ZoneNotified { zone } => self.zone_notified(zone),
            Event::ZoneTransferred { zone, serial } => self.zone_transferred(zone, serial).await?,
            Event::OriginChecked { zone, check, revision, why } => self.origin_checked(zone, check, revision, why).await?,
            Event::Applied { generation } => tracing::debug!(generation, "generation in force"),
            Event::Refused { generation, reason } => tracing::error!(generation, reason, "a node refused a generation"),
        }
        Ok(())
    }
}
