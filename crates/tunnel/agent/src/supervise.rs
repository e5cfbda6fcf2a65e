//! Who dials, and when: the pure part of keeping connections up.
//!
//! One [`Slot`] per connection index. Connection 0 comes first, since the edge learns the connector and its configuration from
//! it; the others start as soon as it is registered. Nothing here ends: a slot that fails waits and tries again, for ever.
//!
//! ```text
//!   Held ──(0 registered)──► Waiting ──(due)──► Dialling ──► Up
//!                              ▲                   │          │
//!                              └────(failed, refused)◄────────┘ (lost, renewed)
//! ```
//!
//! Time is [`Duration`] since the agent's start on a monotonic clock, handed in: the wall clock may jump as it likes.

use std::time::Duration;

/// First pause after a loss is random below this: short enough to be back within a second, long enough that a thousand
/// agents of a restarted edge do not arrive in the same millisecond.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long after a loss the pauses stay below a second: most losses are restarts, and restarts are short.
const EAGER: Duration = Duration::from_secs(15);
/// Least pause after the edge refused the token: it will not change its mind by being asked quickly.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Most that an edge's `retryAfter` is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Between the first attempts of connections 1 and up: all promptly, not all at once.
const SPREAD: Duration = Duration::from_millis(20);

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The edge accepted the registration.
    Registered,
    /// No transport could be set up, or it ended before registration.
    Failed,
    /// The edge refused the registration and, perhaps, said when to come again.
    Refused {
        /// Zero when it did not say.
        retry_after: Duration,
    },
    /// The edge asks to try another address (`EDUPCONN`).
    Elsewhere,
    /// A registered connection ended.
    Lost,
    /// A registered connection was ended by us, to be dialled again.
    Renewed,
}

/// Dial this connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// Connection index.
    pub index: u8,
    /// Which of the known addresses to begin with, modulo their number.
    pub address: usize,
    /// Attempts since the last success, as the edge is told (saturating).
    pub attempts: u8,
}

/// The slots of one agent.
#[derive(Debug)]
pub struct Supervisor {
    slots: Vec<Slot>,
    retries: u32,
}

#[derive(Debug)]
struct Slot {
    state: State,
    address: usize,
    attempts: u32,
    lost_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Waiting { due: Duration },
    Dialling,
    Up,
}

impl Supervisor {
    /// `connections` slots (at least one), pauses growing up to 2^`retries` seconds.
    pub fn new(connections: u8, retries: u8) -> Self {
        let slots = (0..connections.max(1))
            .map(|index| Slot {
                state: if index == 0 { State::Waiting { due: Duration::ZERO } } else { State::Held },
                address: usize::from(index),
                attempts: 0,
                lost_at: None,
            })
            .collect();
        Self { slots, retries: u32::from(retries.min(10)) }
    }

    /// Connections that are registered.
    pub fn up(&self) -> usize {
        self.slots.iter().filter(|slot| slot.state == State::Up).count()
    }

    /// When [`Supervisor::due`] will next have something to say, if time alone can bring it.
    pub fn next_due(&self) -> Option<Duration> {
        self.slots.iter().filter_map(|slot| if let State::Waiting { due } = slot.state { Some(due) } else { None }).min()
    }

    /// Connections to dial now; each is `Dialling` from here until an event says otherwise.
    pub fn due(&mut self, now: Duration) -> Vec<Dial> {
        let mut dials = Vec::new();
        for (index, slot) in (0u8..).zip(&mut self.slots) {
            if matches!(slot.state, State::Waiting { due } if due <= now) {
                slot.state = State::Dialling;
                let attempts = u8::try_from(slot.attempts).unwrap_or(u8::MAX);
                dials.push(Dial { index, address: slot.address, attempts });
            }
        }
        dials
    }

    /// Takes what happened to connection `index`. `random` is any uniformly random number; an unknown index changes nothing.
    pub fn handle(&mut self, index: u8, event: Event, now: Duration, random: u64) {
        let retries = self.retries;
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        match event {
            Event::Registered => {
                slot.state = State::Up;
                slot.attempts = 0;
                slot.lost_at = None;
                self.release(now);
            }
            Event::Lost => {
                slot.lost_at = Some(now);
                slot.attempts = 0;
                slot.address += 1;
                slot.wait(now, below(random, FIRST_PAUSE));
            }
            Event::Renewed => slot.state = State::Waiting { due: now },
            Event::Failed => {
                slot.address += 1;
                let pause = slot.pause(now, random, retries);
                slot.wait(now, pause);
            }
            Event::Elsewhere => {
                slot.address += 1;
                let pause = slot.pause(now, random, retries).min(Duration::from_secs(1));
                slot.wait(now, pause);
            }
            Event::Refused { retry_after } => {
                let floor = retry_after.min(RETRY_AFTER_MAX).max(REFUSED_PAUSE);
                let pause = floor + slot.pause(now, random, retries);
                slot.wait(now, pause);
            }
        }
    }

    /// Lets the held connections go, once the first is registered.
    fn release(&mut self, now: Duration) {
        let mut due = now;
        for slot in self.slots.iter_mut().filter(|slot| slot.state == State::Held) {
            slot.state = State::Waiting { due };
            due += SPREAD;
        }
    }
}

impl Slot {
    fn wait(&mut self, now: Duration, pause: Duration) {
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Waiting { due: now + pause };
    }

    /// Uniform in [0, 2^n s), n growing to `retries` (reference §6.3); below half a second soon after a loss.
    fn pause(&self, now: Duration, random: u64, retries: u32) -> Duration {
        if self.lost_at.is_some_and(|lost| now.saturating_sub(lost) < EAGER) {
            return below(random, Duration::from_millis(500));
        }
        below(random, Duration::from_secs(1 << self.attempts.min(retries)))
    }
}

/// Uniform in [0, limit), in milliseconds.
fn below(random: u64, limit: Duration) -> Duration {
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(random % limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn indexes(dials: &[Dial]) -> Vec<u8> {
        dials.iter().map(|dial| dial.index).collect()
    }

    /// Four connections, all registered at 0.
    fn whole() -> Supervisor {
        let mut supervisor = Supervisor::new(4, 5);
        supervisor.due(Duration::ZERO);
        supervisor.handle(0, Event::Registered, Duration::ZERO, 0);
        supervisor.due(SECOND);
        for index in 1..4 {
            supervisor.handle(index, Event::Registered, SECOND, 0);
        }
        assert_eq!(supervisor.up(), 4);
        supervisor
    }

    #[test]
    fn the_first_connection_goes_alone_and_the_others_follow_at_once() {
        let mut supervisor = Supervisor::new(4, 5);
        assert_eq!(indexes(&supervisor.due(Duration::ZERO)), [0]);
        assert_eq!(supervisor.next_due(), None);
        supervisor.handle(0, Event::Registered, SECOND, 0);
        assert_eq!(indexes(&supervisor.due(SECOND)), [1]);
        assert_eq!(indexes(&supervisor.due(SECOND + SPREAD * 2)), [2, 3]);
    }

    #[test]
    fn all_lost_are_dialled_again_within_a_second_until_the_edge_is_back() {
        let mut supervisor = whole();
        let mut now = Duration::from_secs(100);
        for index in 0..4 {
            supervisor.handle(index, Event::Lost, now, u64::MAX);
        }
        assert_eq!(supervisor.up(), 0);
        // The edge stays away for ten seconds: no pause ever reaches a second.
        while now < Duration::from_secs(110) {
            let due = supervisor.next_due().unwrap();
            assert!(due - now < SECOND, "pause of {:?}", due - now);
            now = due;
            for dial in supervisor.due(now) {
                supervisor.handle(dial.index, Event::Failed, now, u64::MAX - 1);
            }
        }
    }

    #[test]
    fn a_renewed_connection_is_dialled_at_once_at_the_same_edge() {
        let mut supervisor = whole();
        let before = supervisor.slots[2].address;
        supervisor.handle(2, Event::Renewed, SECOND * 9, u64::MAX);
        assert_eq!(supervisor.up(), 3);
        assert_eq!(supervisor.due(SECOND * 9), [Dial { index: 2, address: before, attempts: 0 }]);
    }

    #[test]
    fn pauses_grow_to_the_cap_and_no_further() {
        let mut supervisor = Supervisor::new(1, 5);
        let mut now = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for attempt in 0..100u32 {
            assert_eq!(supervisor.due(now).len(), 1, "attempt {attempt}");
            supervisor.handle(0, Event::Failed, now, 31_999);
            let pause = supervisor.next_due().unwrap() - now;
            longest = longest.max(pause);
            now += pause;
        }
        assert_eq!(longest, Duration::from_millis(31_999));
    }

    #[test]
    fn a_refusal_is_obeyed_but_not_for_ever() {
        let mut supervisor = Supervisor::new(1, 5);
        supervisor.due(Duration::ZERO);
        supervisor.handle(0, Event::Refused { retry_after: Duration::from_secs(60) }, Duration::ZERO, 0);
        assert!(supervisor.due(Duration::from_secs(59)).is_empty());
        assert_eq!(supervisor.due(Duration::from_secs(60)).len(), 1);
        supervisor.handle(0, Event::Refused { retry_after: Duration::MAX }, SECOND, 0);
        assert_eq!(supervisor.next_due(), Some(SECOND + RETRY_AFTER_MAX));
        supervisor.due(Duration::from_secs(4000));
        supervisor.handle(0, Event::Refused { retry_after: Duration::ZERO }, Duration::from_secs(4000), 0);
        assert_eq!(supervisor.next_due(), Some(Duration::from_secs(4000) + REFUSED_PAUSE));
    }

    #[test]
    fn an_agent_whose_tunnel_was_deleted_does_not_hammer() {
        let mut supervisor = whole();
        let (lost, told) = (Duration::from_secs(100), Duration::from_secs(30));
        for index in 0..4 {
            supervisor.handle(index, Event::Lost, lost, u64::MAX);
        }
        // All are refused as soon as they ask, by an edge that says how long to wait; chance gives the shortest pauses there are.
        let (mut asked, mut now) = (0, lost);
        while now < lost + Duration::from_secs(3600) {
            now = supervisor.next_due().expect("it never gives up");
            for dial in supervisor.due(now) {
                asked += 1;
                supervisor.handle(dial.index, Event::Refused { retry_after: told }, now, 0);
            }
        }
        assert!(asked <= 4 * (3600 / 30 + 2), "asked {asked} times in an hour");
    }

    #[test]
    fn each_failure_tries_another_address_and_counts() {
        let mut supervisor = Supervisor::new(1, 0);
        let first = supervisor.due(Duration::ZERO)[0];
        supervisor.handle(0, Event::Failed, Duration::ZERO, 0);
        let second = supervisor.due(SECOND)[0];
        assert_eq!((first.attempts, second.attempts), (0, 1));
        assert_eq!(second.address, first.address + 1);
    }

    proptest! {
        /// Whatever happens, in whatever order, every slot is up, being dialled, held for the first, or due within bounds.
        #[test]
        fn nothing_ever_gives_up(history in prop::collection::vec((0u8..6, 0u8..6, any::<u64>(), 0u64..5_000), 0..200)) {
            let mut supervisor = Supervisor::new(4, 5);
            let mut now = Duration::ZERO;
            for (index, event, random, step) in history {
                now += Duration::from_millis(step);
                supervisor.due(now);
                let event = match event {
                    0 => Event::Registered,
                    1 => Event::Failed,
                    2 => Event::Refused { retry_after: Duration::from_millis(random % 10_000) },
                    3 => Event::Elsewhere,
                    4 => Event::Renewed,
                    _ => Event::Lost,
                };
                supervisor.handle(index, event, now, random);
                for slot in &supervisor.slots {
                    if let State::Waiting { due } = slot.state {
                        prop_assert!(due <= now + Duration::from_secs(10 + 32));
                    }
                }
                let first_is_stuck = supervisor.slots[0].state == State::Held;
                prop_assert!(!first_is_stuck);
            }
        }
    }
}
