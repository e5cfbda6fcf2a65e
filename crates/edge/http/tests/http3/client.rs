//! A client that sends whatever bytes it is told to.

use bytes::{BufMut as _, Bytes, BytesMut};
use poterne_edge_http::http3::{
    frames::{ControlFrames, Piece, RequestFrames},
    qpack::Section,
};

use crate::server::Server;

pub struct Raw {
    pub connection: quinn::Connection,
    /// Kept open: the connection ends with it.
    _control: Option<quinn::SendStream>,
}

impl Raw {
    /// One that has said its settings.
    pub async fn connect(server: &Server) -> Self {
        Self::saying(server, &[]).await
    }

    /// One that has said these settings.
    pub async fn saying(server: &Server, settings: &[u8]) -> Self {
        let connection = server.connect().await;
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(&[0, 4, u8::try_from(settings.len()).unwrap()]).await.unwrap();
        control.write_all(settings).await.unwrap();
        Self { connection, _control: Some(control) }
    }

    /// One that has said nothing yet.
    pub async fn unsettled(server: &Server) -> Self {
        Self { connection: server.connect().await, _control: None }
    }

    /// Sends a whole request; status and text of the answer.
    pub async fn ask(&self, stream: &[u8]) -> (u16, String) {
        let (mut send, mut recv) = self.connection.open_bi().await.unwrap();
        // What is refused before it is read to its end is answered all the same.
        let _ = send.write_all(stream).await;
        let _ = send.finish();
        parse(&recv.read_to_end(100_000).await.unwrap())
    }

    /// The code the connection was closed with.
    pub async fn closed(&self) -> u64 {
        match self.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            error => panic!("not closed by the server: {error}"),
        }
    }
}

/// The stream from which on requests are not taken, once the server has said so.
pub async fn goaway_of(raw: &Raw) -> u64 {
    let mut control = raw.connection.accept_uni().await.unwrap();
    let mut read = BytesMut::new();
    loop {
        read.extend_from_slice(&control.read_chunk(1_000, true).await.unwrap().unwrap().bytes);
        let mut frames = read.clone().freeze().slice(1..);
        if ControlFrames::default().read(&mut frames).unwrap() == 2 {
            return u64::from(*read.last().unwrap());
        }
    }
}

/// Status and text of an answer, as far as it is there; nought without a head.
pub fn parse(answer: &[u8]) -> (u16, String) {
    let (mut frames, mut bytes) = (RequestFrames::new(100_000), Bytes::copy_from_slice(answer));
    let (mut status, mut text) = (0, Vec::new());
    while let Some(piece) = frames.next_piece(&mut bytes).unwrap() {
        match piece {
            Piece::Data(data) => text.extend_from_slice(&data),
            Piece::Section(section) if status == 0 => {
                let mut section = Section::new(section, 100_000).unwrap();
                let line = section.next_line().unwrap().unwrap();
                assert_eq!(line.name.as_bytes(), b":status");
                status = std::str::from_utf8(&line.value).unwrap().parse().unwrap();
            }
            Piece::Section(_) => {}
        }
    }
    (status, String::from_utf8(text).unwrap())
}

/// A frame of HEADERS.
pub fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, &literals(fields))
}

/// A field section in which everything is written out.
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = BytesMut::from(&[0u8, 0][..]);
    for (name, value) in fields {
        string(&mut section, 0x20, 3, name.as_bytes());
        string(&mut section, 0, 7, value.as_bytes());
    }
    section.to_vec()
}

fn string(to: &mut BytesMut, above: u8, bits: u32, octets: &[u8]) {
    let mask = (1usize << bits) - 1;
    if octets.len() < mask {
        to.put_u8(above | u8::try_from(octets.len()).unwrap());
    } else {
        to.put_u8(above | u8::try_from(mask).unwrap());
        let mut rest = octets.len() - mask;
        while rest > 0x7f {
            to.put_u8(0x80 | u8::try_from(rest & 0x7f).unwrap());
            rest >>= 7;
        }
        to.put_u8(u8::try_from(rest).unwrap());
    }
    to.put_slice(octets);
}

/// A frame of any kind below 64.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = if kind < 0x40 { vec![kind] } else { vec![0x40, kind] };
    frame.extend_from_slice(&(0x8000_0000 | u32::try_from(payload.len()).unwrap()).to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
