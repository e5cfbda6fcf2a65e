//! An echo over WebSocket (RFC 6455), only as much of it as an echo needs: no extension, no subprotocol.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// Longest frame echoed, in bytes; a longer one ends the connection with 1009.
const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Answers an opening handshake, then echoes.
pub(super) async fn echo(mut request: Request, shutdown: CancellationToken) -> Response {
    let Some(accept) = accept(request.headers()) else {
        return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], "This is a WebSocket.\n").into_response();
    };
    let Some(upgrade) = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>() else {
        return (StatusCode::BAD_REQUEST, "This connection cannot become a WebSocket.\n").into_response();
    };
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(stream));
        tokio::select! {
            ended = run(&mut reader, &mut writer) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a WebSocket of the sample site broke");
                }
            }
            () = shutdown.cancelled() => {
                let _ = close(&mut writer, 1001).await;
            }
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    fields.insert(HeaderName::from_static("sec-websocket-accept"), accept);
    response
}

/// The handshake's answer (RFC 6455 §4.2.2), if this is one.
fn accept(headers: &HeaderMap) -> Option<header::HeaderValue> {
    let upgrade = headers.get(header::UPGRADE)?.to_str().ok()?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    if !upgrade.eq_ignore_ascii_case("websocket") || headers.get(header::SEC_WEBSOCKET_VERSION)?.as_bytes() != b"13" {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64_STANDARD.encode(digest).try_into().ok()
}

/// Echoes frame by frame until a close frame, the end, or what the protocol forbids.
async fn run(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    loop {
        let head = match reader.read_u16().await {
            Ok(head) => head.to_be_bytes(),
            Err(_) => return Ok(()),
        };
        let (opcode, masked) = (head[0] & 0x0f, head[1] & 0x80 != 0);
        let length = match head[1] & 0x7f {
            126 => u64::from(reader.read_u16().await?),
            127 => reader.read_u64().await?,
            short => u64::from(short),
        };
        let is_control = opcode & 0x08 != 0;
        let known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
        if !masked || head[0] & 0x70 != 0 || !known || (is_control && (length > 125 || head[0] & 0x80 == 0)) {
            return close(writer, 1002).await;
        }
        if length > FRAME_BYTES_MAX {
            return close(writer, 1009).await;
        }
        let mask = reader.read_u32().await?.to_be_bytes();
        let mut payload = Vec::new();
        reader.take(length).read_to_end(&mut payload).await?;
        if (payload.len() as u64) < length {
            return Ok(());
        }
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        match opcode {
            PONG => {}
            PING => write_frame(writer, 0x80 | PONG, &payload).await?,
            CLOSE => return write_frame(writer, 0x80 | CLOSE, &payload).await,
            _ => write_frame(writer, head[0], &payload).await?,
        }
    }
}

async fn close(writer: &mut (impl AsyncWrite + Unpin), code: u16) -> std::io::Result<()> {
    write_frame(writer, 0x80 | CLOSE, &code.to_be_bytes()).await
}

/// One unmasked frame with this first byte.
async fn write_frame(writer: &mut (impl AsyncWrite + Unpin), first: u8, payload: &[u8]) -> std::io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    writer.write_all(&frame).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    async fn answer(input: &[u8]) -> Vec<u8> {
        let (mut input, mut output) = (input, Vec::new());
        run(&mut input, &mut output).await.unwrap();
        output
    }

    #[test]
    fn the_handshake_of_the_rfc_is_answered_as_there() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, "WebSocket".parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        assert_eq!(accept(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.insert(header::SEC_WEBSOCKET_VERSION, "8".parse().unwrap());
        assert_eq!(accept(&headers), None);
    }

    #[tokio::test]
    async fn text_comes_back_pings_are_answered_and_close_ends() {
        let input = [masked(0x81, b"salut"), masked(0x89, b"p"), masked(0x88, &[3, 232]), masked(0x81, b"late")].concat();
        assert_eq!(answer(&input).await, [&[0x81, 5][..], b"salut", &[0x8a, 1, b'p'], &[0x88, 2, 3, 232]].concat());
    }

    #[tokio::test]
    async fn what_the_protocol_forbids_ends_the_connection() {
        assert_eq!(answer(&[0x81, 0x01, b'x']).await, [0x88, 2, 0x03, 0xea], "an unmasked frame");
        assert_eq!(answer(&[0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]).await, [0x88, 2, 0x03, 0xf1], "a huge frame");
        assert_eq!(answer(&[0x83, 0x80]).await, [0x88, 2, 0x03, 0xea], "an unknown opcode");
    }
}
