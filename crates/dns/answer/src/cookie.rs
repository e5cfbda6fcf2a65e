//! Server cookies (RFC 7873), in the form that servers of different make share (RFC 9018).
//!
//! ```text
//! client cookie  8 octets, the client's own
//! server cookie  version 1 · reserved 3 · timestamp u32 · hash 8       SipHash-2-4 of all before it and the client's address
//! ```

use std::{fmt, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use poterne_keys::{NodeKey, Purpose};
use poterne_snapshot::NodeChunk;
use smallvec::SmallVec;
use subtle::ConstantTimeEq as _;

use crate::{Client, Cookie, Service, siphash::siphash_2_4};

/// Octets of a client cookie and the server cookie after it.
pub(crate) const PAIR: usize = 24;

const VERSION: u8 = 1;

/// RFC 9018 §4.3: how long a cookie is believed, how far ahead a sibling's clock may be, and from what age a new one is made.
const AGE_SECS_MAX: u32 = 3600;
const AHEAD_SECS_MAX: u32 = 300;
const RENEW_AFTER_SECS: u32 = 1800;

/// What a wrapped secret is taken for.
const SUBJECT: &[u8] = b"cookie";

/// Opens the secrets that all nodes share, which come wrapped in the snapshot. They change seldom, so what was opened last is kept.
pub struct CookieOpener {
    node_key: NodeKey,
    last: ArcSwap<Opened>,
}

#[derive(Default)]
struct Opened {
    wrapped: Vec<Bytes>,
    secrets: Secrets,
}

/// The first makes cookies, the others are believed.
type Secrets = SmallVec<[[u8; 16]; 4]>;

impl CookieOpener {
    /// With the key that they are wrapped with.
    pub fn new(node_key: NodeKey) -> Self {
        Self { node_key, last: ArcSwap::default() }
    }

    /// Those that can be opened: a node whose key is another goes on with its own.
    fn opened(&self, node: &NodeChunk) -> Secrets {
        let last = self.last.load();
        if last.wrapped == node.cookie_secrets {
            return last.secrets.clone();
        }
        let open = |wrapped: &Bytes| -> Option<[u8; 16]> {
            let opened = self.node_key.open(Purpose::CookieSecret, SUBJECT, wrapped);
            opened.ok()?.expose().try_into().ok()
        };
        let secrets: Secrets = node.cookie_secrets.iter().filter_map(open).collect();
        self.last.store(Arc::new(Opened { wrapped: node.cookie_secrets.clone(), secrets: secrets.clone() }));
        secrets
    }
}

impl fmt::Debug for CookieOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieOpener")
    }
}

/// What a client's option says, and what it is answered with.
pub(crate) struct Judged {
    pub(crate) state: Cookie,
    pub(crate) reply: Option<[u8; PAIR]>,
}

/// `option` is of 8, or of 16 to 40 octets.
pub(crate) fn judge(service: &Service, node: &NodeChunk, client: &Client, option: Option<&[u8]>) -> Judged {
    let none = Judged { state: Cookie::Absent, reply: None };
    let Some((own, server)) = option.and_then(|option| option.split_first_chunk::<8>()) else { return none };
    let mut secrets = service.cookie_opener.as_ref().map(|opener| opener.opened(node)).unwrap_or_default();
    secrets.extend_from_slice(&service.cookie_secrets);
    let Some(secret) = secrets.first() else { return none };
    let age = verify(&secrets, client, own, server);
    let state = match age {
        Some(_) => Cookie::Valid,
        None if server.is_empty() => Cookie::Asked,
        None => Cookie::Wrong,
    };
    let mut reply = [0; PAIR];
    match age {
        Some(age) if age <= RENEW_AFTER_SECS => {
            reply[..8].copy_from_slice(own);
            reply[8..].copy_from_slice(server);
        }
        _ => reply = make(secret, own, [VERSION, 0, 0, 0], client.now_secs, client.address),
    }
    Judged { state, reply: Some(reply) }
}

/// How old a cookie is, if it is to be believed.
fn verify(secrets: &[[u8; 16]], client: &Client, own: &[u8; 8], server: &[u8]) -> Option<u32> {
    let server: &[u8; 16] = server.try_into().ok()?;
    let [version, r0, r1, r2, t0, t1, t2, t3, ..] = *server;
    if version != VERSION {
        return None;
    }
    let stamp = u32::from_be_bytes([t0, t1, t2, t3]);
    // Serial arithmetic: the number goes round in 2106.
    let age = client.now_secs.wrapping_sub(stamp);
    let is_fresh = age <= AGE_SECS_MAX || stamp.wrapping_sub(client.now_secs) <= AHEAD_SECS_MAX;
    let matches = |secret: &[u8; 16]| {
        let made = make(secret, own, [version, r0, r1, r2], stamp, client.address);
        bool::from(made[8..].ct_eq(server))
    };
    let is_ours = is_fresh && secrets.iter().any(matches);
    is_ours.then_some(if age <= AGE_SECS_MAX { age } else { 0 })
}

fn make(secret: &[u8; 16], own: &[u8; 8], head: [u8; 4], stamp: u32, address: IpAddr) -> [u8; PAIR] {
    let mut hashed = [0; 32];
    hashed[..8].copy_from_slice(own);
    hashed[8..12].copy_from_slice(&head);
    hashed[12..16].copy_from_slice(&stamp.to_be_bytes());
    let length = match address.to_canonical() {
        IpAddr::V4(address) => {
            hashed[16..20].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            hashed[16..].copy_from_slice(&address.octets());
            32
        }
    };
    let mut pair = [0; PAIR];
    pair[..16].copy_from_slice(&hashed[..16]);
    pair[16..].copy_from_slice(&siphash_2_4(secret, &hashed[..length]));
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    const SECRET: [u8; 16] = [0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf];
    const OWN: [u8; 8] = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
    const SERVER: [u8; 16] = [0x01, 0x00, 0x00, 0x00, 0x5c, 0xf7, 0x9f, 0x11, 0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80];

    fn client(address: &str, now_secs: u32) -> Client {
        Client { address: address.parse().unwrap(), transport: Transport::Udp, now_secs, turn: 0 }
    }

    fn service(secrets: &[[u8; 16]]) -> Service {
        Service { cookie_secrets: secrets.to_vec(), ..Service::default() }
    }

    fn judge(service: &Service, client: &Client, option: Option<&[u8]>) -> Judged {
        super::judge(service, &NodeChunk::default(), client, option)
    }

    /// RFC 9018 appendix A.1 and A.4.
    #[test]
    fn it_makes_the_cookies_of_the_rfc() {
        let judged = judge(&service(&[SECRET]), &client("198.51.100.100", 1_559_731_985), Some(&OWN));
        assert_eq!((judged.state, judged.reply.unwrap()[8..].to_vec()), (Cookie::Asked, SERVER.to_vec()));
        let secret = [0xdd, 0x3b, 0xdf, 0x93, 0x44, 0xb6, 0x78, 0xb1, 0x85, 0xa6, 0xf5, 0xcb, 0x60, 0xfc, 0xa7, 0x15];
        let own = [0x22, 0x68, 0x1a, 0xb9, 0x7d, 0x52, 0xc2, 0x98];
        let made = make(&secret, &own, [1, 0, 0, 0], 1_559_741_817, "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap());
        assert_eq!(made[8..], [0x01, 0, 0, 0, 0x5c, 0xf7, 0xc5, 0x79, 0x26, 0x55, 0x6b, 0xd0, 0x93, 0x4c, 0x72, 0xf8]);
    }

    #[test]
    fn a_cookie_is_believed_at_its_address_for_an_hour_under_any_secret_in_force() {
        let option = [&OWN[..], &SERVER].concat();
        let judged = |secrets: &[[u8; 16]], address: &str, now: u32| {
            let judged = judge(&service(secrets), &client(address, now), Some(&option));
            (judged.state, judged.reply.unwrap()[8..] == SERVER)
        };
        let (here, then) = ("198.51.100.100", 1_559_731_985);
        assert_eq!(judged(&[SECRET], here, then), (Cookie::Valid, true));
        assert_eq!(judged(&[SECRET], "::ffff:198.51.100.100", then), (Cookie::Valid, true));
        assert_eq!(judged(&[[1; 16], SECRET], here, then + 60), (Cookie::Valid, true));
        assert_eq!(judged(&[SECRET], here, then + 3600), (Cookie::Valid, false), "an old one is renewed");
        assert_eq!(judged(&[SECRET], here, then - 300), (Cookie::Valid, true));
        for (secret, address, now) in
            [([1; 16], here, then), (SECRET, "198.51.100.101", then), (SECRET, here, then + 3601), (SECRET, here, then - 301)]
        {
            assert_eq!(judged(&[secret], address, now), (Cookie::Wrong, false), "{address} {now}");
        }
    }

    #[test]
    fn what_all_nodes_share_goes_before_a_nodes_own() {
        let (here, then) = ("198.51.100.100", 1_559_731_985);
        let (one, other) = (NodeKey::generate(), NodeKey::generate());
        let wrapped = |key: &NodeKey, secret: [u8; 16]| Bytes::from(key.seal(Purpose::CookieSecret, SUBJECT, &secret));
        let service = |key: &NodeKey, own: u8| Service {
            cookie_opener: Some(Arc::new(CookieOpener::new(key.clone()))),
            ..service(&[[own; 16]])
        };
        let node = |wrapped: Vec<Bytes>| NodeChunk { cookie_secrets: wrapped, ..NodeChunk::default() };
        let ask = |service: &Service, node: &NodeChunk, option: &[u8]| {
            let judged = super::judge(service, node, &client(here, then), Some(option));
            (judged.state, judged.reply.unwrap().to_vec())
        };
        let (first, second) = (service(&one, 1), service(&other, 2));
        let (at_first, at_second) = (node(vec![wrapped(&one, SECRET)]), node(vec![wrapped(&other, SECRET)]));
        let (state, made) = ask(&first, &at_first, &OWN);
        assert_eq!((state, &made[8..]), (Cookie::Asked, &SERVER[..]), "not by its own");
        assert_eq!(ask(&second, &at_second, &made), (Cookie::Valid, made.clone()), "known to its sibling");
        // The next is believed first, and then makes them.
        let next = node(vec![wrapped(&one, SECRET), wrapped(&one, [9; 16])]);
        assert_eq!(ask(&first, &next, &made), (Cookie::Valid, made.clone()));
        let (_, same) = ask(&first, &next, &OWN);
        assert_eq!(same, made);
        let turned = node(vec![wrapped(&one, [9; 16]), wrapped(&one, SECRET)]);
        assert_eq!(ask(&first, &turned, &made).0, Cookie::Valid);
        let (_, new) = ask(&first, &turned, &OWN);
        assert_ne!(new, made);
        assert_eq!(ask(&first, &next, &new).0, Cookie::Valid, "by a node that has not heard of it yet");
        let over = node(vec![wrapped(&one, [9; 16])]);
        assert_eq!(ask(&first, &over, &made).0, Cookie::Wrong);
        // What is wrapped for another node is as good as none, and a node's own cookies are believed before and after.
        let (state, own) = ask(&first, &at_second, &OWN);
        assert!(state == Cookie::Asked && own != made);
        assert_eq!(ask(&first, &at_first, &own).0, Cookie::Valid);
    }

    #[test]
    fn other_forms_are_wrong_and_none_is_none() {
        let state = |option: Option<&[u8]>| judge(&service(&[SECRET]), &client("::1", 9), option).state;
        assert_eq!(state(None), Cookie::Absent);
        assert_eq!(state(Some(&OWN)), Cookie::Asked);
        assert_eq!(state(Some(&[2; 24])), Cookie::Wrong);
        assert_eq!(state(Some(&[1; 40])), Cookie::Wrong);
        let none = judge(&service(&[]), &client("::1", 9), Some(&OWN));
        assert_eq!((none.state, none.reply), (Cookie::Absent, None));
    }
}
