//! Answers on their way out over UDP: those to the packets that came together leave together (`sendmmsg`), since a call of the system
//! costs as much as making an answer.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr, UdpSocket},
};

use poterne_dns_answer::UDP_OCTETS_MAX;
use quinn_udp::{Transmit, UdpSocketState};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// Most answers that wait for each other: as many as packets are received at a time.
const PLACES: usize = quinn_udp::BATCH_SIZE;

/// The answers of one socket that wait. 39 KiB where all have room.
pub(crate) struct Departures {
    room: Vec<[u8; UDP_OCTETS_MAX]>,
    waiting: Vec<Departure>,
}

/// Whose the answer is that stands in the place of the same number.
#[derive(Clone, Copy)]
struct Departure {
    to: SocketAddr,
    /// The address that was asked, where the socket receives for several.
    from: Option<IpAddr>,
    octets: usize,
}

impl Departures {
    /// With room for so many, [`PLACES`] at most.
    pub(crate) fn of(places: usize) -> Self {
        let places = places.min(PLACES);
        Self { room: vec![[0; UDP_OCTETS_MAX]; places], waiting: Vec::with_capacity(places) }
    }

    /// Whether there is no place for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() == self.room.len()
    }

    /// Where the next answer is to be made; there must be a place.
    pub(crate) fn place(&mut self) -> &mut [u8; UDP_OCTETS_MAX] {
        &mut self.room[self.waiting.len()]
    }

    /// Takes the first octets of [`Departures::place`] for an answer.
    pub(crate) fn push(&mut self, to: SocketAddr, from: Option<IpAddr>, octets: usize) {
        self.waiting.push(Departure { to, from, octets });
    }

    /// Sends what waits; nothing waits afterwards. `lost` is told of each that the system did not take.
    pub(crate) fn send(&mut self, socket: &UdpSocket, lost: impl FnMut(SocketAddr, io::Error)) {
        match self.waiting[..] {
            [] => {}
            // As most servers do most of the time.
            [one] => self.send_one(one, socket, lost),
            _ => self.send_all(socket, lost),
        }
        self.waiting.clear();
    }

    /// The same from the addresses that were asked, one by one: which address one leaves from is said in a way that only `quinn-udp` knows.
    pub(crate) fn send_from_each(
        &mut self,
        socket: &UdpSocket,
        state: &UdpSocketState,
        mut lost: impl FnMut(SocketAddr, io::Error),
    ) {
        for (departure, room) in self.waiting.iter().zip(&self.room) {
            let contents = &room[..departure.octets];
            let transmit =
                Transmit { destination: departure.to, ecn: None, contents, segment_size: None, src_ip: departure.from };
            if let Err(error) = state.try_send(socket.into(), &transmit) {
                lost(departure.to, error);
            }
        }
        self.waiting.clear();
    }

    fn send_one(&self, one: Departure, socket: &UdpSocket, mut lost: impl FnMut(SocketAddr, io::Error)) {
        if let Err(error) = socket.send_to(&self.room[0][..one.octets], one.to) {
            lost(one.to, error);
        }
    }

    fn send_all(&self, socket: &UdpSocket, mut lost: impl FnMut(SocketAddr, io::Error)) {
        let addresses: Vec<SocketAddrAny> = self.waiting.iter().map(|departure| departure.to.into()).collect();
        let octets = self.waiting.iter().zip(&self.room).map(|(departure, room)| [IoSlice::new(&room[..departure.octets])]);
        let octets: Vec<[IoSlice<'_>; 1]> = octets.collect();
        let mut nothing: [SendAncillaryBuffer<'_, '_, '_>; PLACES] = std::array::from_fn(|_| SendAncillaryBuffer::default());
        let messages = addresses.iter().zip(&octets).zip(&mut nothing);
        let mut messages: Vec<MMsgHdr<'_>> =
            messages.map(|((to, octets), nothing)| MMsgHdr::new_with_addr(to, octets, nothing)).collect();
        let mut at = 0;
        while at < messages.len() {
            match sendmmsg(socket, &mut messages[at..], SendFlags::empty()) {
                // An error is told of the first alone: of a later one, when that has become the first.
                Ok(sent) => at += sent.max(1),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    lost(self.waiting[at].to, error.into());
                    at += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    #[test]
    fn each_goes_to_its_own_client_and_one_that_cannot_keeps_no_other() {
        let (server, mut departures) = (socket(), Departures::of(PLACES));
        let clients: Vec<UdpSocket> = (0..PLACES).map(|_| socket()).collect();
        // Nobody can be reached from an IPv4 socket under an IPv6 address.
        let nowhere: SocketAddr = "[2001:db8::1]:53".parse().unwrap();
        for (number, client) in clients.iter().enumerate() {
            assert!(!departures.is_full());
            departures.place()[..=number].fill(u8::try_from(number).unwrap());
            let to = if number % 5 == 2 { nowhere } else { client.local_addr().unwrap() };
            departures.push(to, None, number + 1);
        }
        assert!(departures.is_full());
        let mut lost = Vec::new();
        departures.send(&server, |to, _| lost.push(to));
        assert_eq!(lost, vec![nowhere; (0..PLACES).filter(|number| number % 5 == 2).count()]);
        for (number, client) in clients.iter().enumerate().filter(|(number, _)| number % 5 != 2) {
            let mut received = [0; 100];
            let (octets, from) = client.recv_from(&mut received).unwrap();
            assert_eq!(
                (&received[..octets], from),
                (&*vec![u8::try_from(number).unwrap(); number + 1], server.local_addr().unwrap())
            );
        }
        // And then the same again, with one alone.
        departures.place()[..2].copy_from_slice(b"hi");
        departures.push(clients[0].local_addr().unwrap(), None, 2);
        departures.send(&server, |to, error| panic!("{to}: {error}"));
        let mut received = [0; 100];
        assert_eq!(clients[0].recv(&mut received).unwrap(), 2);
        departures.send(&server, |to, error| panic!("{to}: {error}"));
    }
}
