//! Keys of visitors' session tickets: all nodes have the same, each before it is used and while its tickets are good.
//! [`poterne_keys::due_ticket_keys`] says which there are.

use std::collections::BTreeMap;

use poterne_control_store::TicketKey;
use poterne_keys::{DueTicketKeys, Purpose, Secret, due_ticket_keys};

use crate::{App, AppError};

/// Octets of a key.
const OCTETS: usize = 32;

/// What a key that travels is taken for.
const SUBJECT: &[u8] = b"ticket";

impl App {
    /// Does what is due with the keys of session tickets. Returns whether nodes are to have others than before.
    pub async fn tend_ticket_keys(&self) -> Result<bool, AppError> {
        let before = self.0.store.read().await?.ticket_keys().await?;
        if self.ticket_keys_after(&before)?.is_none() {
            return Ok(false);
        }
        let mut session = self.0.store.write().await?;
        let before = session.ticket_keys().await?;
        let Some(after) = self.ticket_keys_after(&before)? else { return Ok(false) };
        session.put_ticket_keys(&after).await?;
        session.commit().await?;
        tracing::info!(keys = after.len(), "the keys of session tickets took a step");
        Ok(true)
    }

    /// Those that there are then; none where nothing is due.
    fn ticket_keys_after(&self, before: &[TicketKey]) -> Result<Option<Vec<TicketKey>>, AppError> {
        let now = u64::try_from(self.now().div_euclid(1_000_000)).unwrap_or(0);
        let mut all: BTreeMap<u64, TicketKey> = before.iter().map(|key| (key.starts_at, key.clone())).collect();
        let starts: Vec<u64> = all.keys().copied().collect();
        let DueTicketKeys { kept, made } = due_ticket_keys(&starts, now);
        all.retain(|start, _| kept.contains(start));
        for starts_at in made {
            let key = Secret::random(OCTETS);
            let sealed = self.0.keys.seal(Purpose::TicketKey, &starts_at.to_be_bytes(), key.expose());
            all.insert(starts_at, TicketKey { starts_at, sealed, wrapped: self.wrapped_ticket_key(&key) });
        }
        for key in all.values_mut() {
            // As it was, where that opens.
            if self.0.node_key.open(Purpose::TicketKey, SUBJECT, &key.wrapped).is_err() {
                let opened = self.0.keys.open(Purpose::TicketKey, &key.starts_at.to_be_bytes(), &key.sealed)?;
                key.wrapped = self.wrapped_ticket_key(&opened);
            }
        }
        let after: Vec<TicketKey> = all.into_values().collect();
        Ok((after != before).then_some(after))
    }

    fn wrapped_ticket_key(&self, key: &Secret) -> Vec<u8> {
        self.0.node_key.seal(Purpose::TicketKey, SUBJECT, key.expose())
    }
}
