//! The feed when control and node are one process: four bounded channels.
//!
//! Every sender waits when its channel is full, so a slow receiver slows its sender and nothing is lost or piled up:
//! changes wait for the disk, commands for the gateway, events for the store. Counters, the fourth stream, go through `telemetry`
//! while everything is one process.

use tokio::sync::mpsc;

use crate::{Change, Command, Event};

/// Changes on their way. One is enough: publish sends the next when the last is applied.
pub const CHANGES_MAX: usize = 1;

/// Commands on their way; they are rare, and each is acted on at once.
pub const COMMANDS_MAX: usize = 64;

/// Events on their way. A node's whole fleet of agents may come back at once after a restart; beyond this, registrations wait for
/// the store.
pub const EVENTS_MAX: usize = 4096;

/// Control's end.
#[derive(Debug)]
pub struct ControlEnd {
    /// Down: what is in force.
    pub changes: mpsc::Sender<Change>,
    /// Down: orders.
    pub commands: mpsc::Sender<Command>,
    /// Up: what happened.
    pub events: mpsc::Receiver<Event>,
}

/// A node's end.
#[derive(Debug)]
pub struct NodeEnd {
    /// Down: what is in force.
    pub changes: mpsc::Receiver<Change>,
    /// Down: orders.
    pub commands: mpsc::Receiver<Command>,
    /// Up: what happened. Whatever makes events holds a clone.
    pub events: mpsc::Sender<Event>,
}

/// Both ends of a feed within one process. An end that is dropped closes its channels, which ends the loops at the other.
pub fn in_process() -> (ControlEnd, NodeEnd) {
    let (changes, changes_down) = mpsc::channel(CHANGES_MAX);
    let (commands, commands_down) = mpsc::channel(COMMANDS_MAX);
    let (events_up, events) = mpsc::channel(EVENTS_MAX);
    let node = NodeEnd { changes: changes_down, commands: commands_down, events: events_up };
    (ControlEnd { changes, commands, events }, node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_ordered_bounded_and_close_with_their_ends() {
        let (mut control, mut node) = in_process();
        let change = |generation| Change { generation, chunks: Vec::new() };
        control.changes.try_send(change(1)).unwrap();
        assert!(control.changes.try_send(change(2)).is_err(), "a full stream takes no more");
        assert_eq!(node.changes.try_recv().unwrap().generation, 1);
        for generation in 0..10 {
            node.events.try_send(Event::Applied { generation }).unwrap();
        }
        for generation in 0..10 {
            assert_eq!(control.events.try_recv().unwrap(), Event::Applied { generation });
        }
        drop(node);
        assert!(control.commands.is_closed() && control.changes.is_closed());
    }
}
