"""A corpus of WebSocket frames (RFC 6455 §5), octet for octet, over HTTP/1.1, HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220).

Whatever stands between a visitor and a service has no business with frames: what either writes the other must read, right or wrong, cut
wherever it may be. The origin is a few lines on a socket; of the visitors HTTP/2's is PyPI's `h2`, HTTP/3's is PyPI's `aioquic`.
"""

import asyncio
import base64
import hashlib
import os
import random
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

import way

PATIENCE = 60
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
chance = random.Random(8441)


def frame(opcode, payload=b"", fin=True, mask=True, reserved=0, length=None):
    """One frame; `length`: how its length is written, where that is not the shortest way."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    size, masked = len(payload), 0x80 if mask else 0
    form = length or (7 if size < 126 else 16 if size < 1 << 16 else 64)
    if form == 7:
        head = struct.pack("!BB", first, masked | size)
    elif form == 16:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if not mask:
        return head + payload
    key = chance.randbytes(4)
    stream = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return head + key + (int.from_bytes(payload, "big") ^ stream).to_bytes(size, "big")


def close(code, reason="", **how):
    return frame(CLOSE, struct.pack("!H", code) + reason.encode(), **how)


def both(*frames):
    """The same from either side, each masked as its side must."""
    return b"".join(frame(*args, mask=True, **how) for args, how in frames), b"".join(
        frame(*args, mask=False, **how) for args, how in frames
    )


def f(*args, **how):
    return args, how


MEBIBYTE = chance.randbytes(1 << 20)
# What the visitor writes, and what the origin does at the same time.
CORPUS = {
    "text": both(f(TEXT, "héllo, wörld".encode())),
    "binary": both(f(BINARY, bytes(range(256)))),
    "empty": both(f(TEXT), f(BINARY)),
    "every form of length": both(*(f(BINARY, chance.randbytes(n)) for n in (0, 1, 125, 126, 127, 65535, 65536, 65537))),
    "fragmented": both(f(TEXT, b"one ", fin=False), f(CONTINUATION, b"two ", fin=False), f(CONTINUATION, b"three")),
    "a ping in the middle": both(
        f(BINARY, b"a" * 1000, fin=False), f(PING, b"are you there"), f(CONTINUATION, b"b" * 1000), f(PONG, b"yes")
    ),
    "a thousand small ones": both(*(f(TEXT, b"%d" % n) for n in range(1000))),
    "a mebibyte": both(f(BINARY, MEBIBYTE)),
    "a mebibyte in pieces": both(
        f(BINARY, MEBIBYTE[:1], fin=False),
        *(f(CONTINUATION, MEBIBYTE[n : n + 4096], fin=False) for n in range(1, 1 << 20, 4096)),
        f(CONTINUATION),
    ),
    **{
        f"closed with {code}": (close(code, "the visitor is tired"), close(code, "the origin is tired", mask=False))
        for code in (1000, 1001, 1002, 1007, 1009, 1011, 3000, 4000, 4999)
    },
    "closed without a word": both(f(CLOSE)),
    # What is wrong is for the ends to find out.
    "closed with half a code": both(f(CLOSE, b"\x03")),
    "closed with a code that nobody may send": (close(1006), close(1005, mask=False)),
    "no mask where there must be one, and one where there may be none": (
        frame(TEXT, b"bare", mask=False) + frame(BINARY, bytes(70_000), mask=False),
        frame(TEXT, b"masked") + frame(BINARY, bytes(70_000)),
    ),
    "a mask of nought": (b"\x81\x85\0\0\0\0hello", b"\x81\x85\0\0\0\0hello"),
    "reserved bits": both(f(TEXT, b"compressed?", reserved=4), f(TEXT, b"x", reserved=7)),
    "opcodes of nobody's": both(f(3, b"x"), f(7, b"x"), f(11, b"x"), f(15, b"x")),
    "text that is none": both(f(TEXT, b"\xff\xfe\xc0\x80")),
    "lengths in more octets than they need": both(f(BINARY, b"x", length=16), f(BINARY, b"y" * 300, length=64)),
    "a long ping": both(f(PING, b"p" * 126)),
    "a continuation of nothing": both(f(CONTINUATION, b"x")),
    "half a frame": (frame(BINARY, b"z" * 5000)[:2000], frame(BINARY, b"z" * 5000, mask=False)[:2000]),
    "no frame at all": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
}
NAMES = list(CORPUS)
wrong = []


def pieces(octets):
    """Cut anywhere: the first ones octet by octet."""
    at = 0
    while at < len(octets):
        size = 1 if at < 40 else chance.choice((1, 7, 500, 1400, 16_384, 65_536))
        yield octets[at : at + size]
        at += size


async def origin(reader, writer):
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if not path.startswith("/frames/"):
            return
        # The key's case counts.
        key = next(line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key: "))
        assert fields["upgrade"] == "websocket" and fields["sec-websocket-version"] == "13", head
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        opening = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        writer.write(opening.encode())
        name = NAMES[int(path.rsplit("/", 1)[1])]
        up, down = CORPUS[name]

        async def send():
            for piece in pieces(down):
                writer.write(piece)
                await writer.drain()

        sending = asyncio.create_task(send())
        heard = await reader.readexactly(len(up))
        await sending
        if heard != up:
            wrong.append(f"{name}: the origin read something else")
    except Exception as error:
        wrong.append(f"the origin: {type(error).__name__}: {error}")
    finally:
        writer.close()


class Http1:
    """In clear, or over TLS."""

    def __init__(self, where, secure):
        self.where, self.secure = where, secure

    async def run(self, path, up):
        where = self.where
        tls = {"ssl": where.tls(), "server_hostname": where.hostname} if self.secure else {}
        port = where.https_port if self.secure else where.http_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
        key = base64.b64encode(os.urandom(16)).decode()
        opening = f"GET {path} HTTP/1.1\r\nHost: {where.hostname}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{opening}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head

        async def send():
            for piece in pieces(up):
                writer.write(piece)
                await writer.drain()

        sending = asyncio.create_task(send())
        heard = await reader.read(-1)
        await sending
        writer.close()
        return heard


class Http2:
    def __init__(self, where):
        self.where = where

    async def run(self, path, up):
        where = self.where
        tls = where.tls()
        tls.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", where.https_port, ssl=tls, server_hostname=where.hostname
        )
        h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, validate_outbound_headers=False))
        h2c.initiate_connection()
        writer.write(h2c.data_to_send())
        heard, status, ended, changed = bytearray(), None, False, asyncio.Event()
        stream = None

        async def receive():
            nonlocal status, ended
            while not ended:
                octets = await reader.read(65_536)
                if not octets:
                    break
                for event in h2c.receive_data(octets):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = int(dict(event.headers).get(b":status") or dict(event.headers)[":status"])
                    elif isinstance(event, h2.events.DataReceived):
                        heard.extend(event.data)
                        h2c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        ended = True
                    elif isinstance(event, h2.events.StreamReset) and ended and event.error_code == 0:
                        # RFC 9113 §8.1: all was said, and nothing more is read.
                        pass
                    elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                        raise AssertionError(f"broken off: {event}")
                writer.write(h2c.data_to_send())
                changed.set()

        receiving = asyncio.create_task(receive())

        async def until(reached):
            while not reached():
                assert not receiving.done() or reached(), receiving.exception()
                changed.clear()
                waits = asyncio.create_task(changed.wait())
                await asyncio.wait({receiving, waits}, return_when=asyncio.FIRST_COMPLETED)
                waits.cancel()

        # RFC 8441 §3: not before the edge has said that it knows it.
        await until(lambda: h2c.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1)
        stream = h2c.get_next_available_stream_id()
        authority = f"{where.hostname}:{where.https_port}"
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", path)]
        h2c.send_headers(stream, [*fields, (":authority", authority), ("sec-websocket-version", "13")])
        writer.write(h2c.data_to_send())
        await until(lambda: status is not None)
        assert status == 200, status
        for piece in pieces(up):
            while piece:
                await until(lambda: ended or h2c.local_flow_control_window(stream) > 0)
                room = min(h2c.local_flow_control_window(stream), h2c.max_outbound_frame_size)
                h2c.send_data(stream, piece[:room])
                piece = piece[room:]
                writer.write(h2c.data_to_send())
                await writer.drain()
        await receiving
        assert ended, "the connection ended before the stream did"
        writer.close()
        return bytes(heard)


class Visitor(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.heard, self.status, self.ended, self.broken = bytearray(), None, False, None
        self.changed = asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, (ConnectionTerminated, StreamReset)):
            self.broken = event
        for told in self.http.handle_event(event):
            if isinstance(told, HeadersReceived):
                self.status = int(dict(told.headers)[b":status"])
            elif isinstance(told, DataReceived):
                self.heard += told.data
            self.ended |= told.stream_ended
        self.changed.set()

    async def until(self, reached):
        while not reached():
            assert self.broken is None, self.broken
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), PATIENCE)


class Http3:
    def __init__(self, where):
        self.where = where

    async def run(self, path, up):
        where = self.where
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=where.hostname)
        configuration.load_verify_locations(where.ca_file)
        opened = connect("127.0.0.1", where.https_port, configuration=configuration, create_protocol=Visitor)
        async with opened as visitor:
            stream = visitor._quic.get_next_available_stream_id()
            authority = f"{where.hostname}:{where.https_port}".encode()
            fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"https"), (b":authority", authority)]
            visitor.http.send_headers(stream, [*fields, (b":path", path.encode()), (b"sec-websocket-version", b"13")])
            visitor.transmit()
            await visitor.until(lambda: visitor.status is not None)
            assert visitor.status == 200, visitor.status
            for piece in pieces(up):
                visitor.http.send_data(stream, piece, False)
                visitor.transmit()
                # Others get their turn.
                await asyncio.sleep(0)
            await visitor.until(lambda: visitor.ended)
            return bytes(visitor.heard)


async def main():
    host, port = (sys.argv[1], 80) if len(sys.argv) > 1 else ("127.0.0.1", 0)
    server = await asyncio.start_server(origin, host, port, limit=4 << 20)
    way.announce(f"http://{host}:{server.sockets[0].getsockname()[1]}")
    where = await asyncio.to_thread(way.wait)
    doors = {"HTTP/1.1": Http1(where, False), "HTTP/1.1 over TLS": Http1(where, True), "HTTP/2": Http2(where), "HTTP/3": Http3(where)}
    for kind, door in doors.items():
        for number, name in enumerate(NAMES):
            up, down = CORPUS[name]
            try:
                heard = await asyncio.wait_for(door.run(f"/frames/{number}", up), PATIENCE)
            except Exception as error:
                raise AssertionError(f"{kind}, {name}: {type(error).__name__}: {error}; {wrong}") from error
            assert heard == down, f"{kind}, {name}: {len(heard)} octets of {len(down)}, the first {heard[:40]!r}"
    assert not wrong, wrong


asyncio.run(main())
