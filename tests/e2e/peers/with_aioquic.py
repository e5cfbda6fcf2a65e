"""HTTP/3 rows, with PyPI's `aioquic` as the visitor and Python's own server as the origin."""

import asyncio
import hashlib
import http.server
import json
import os
import signal
import socket
import ssl
import struct
import sys
import threading

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset

import way

PATIENCE = 60
LONG = os.urandom(1 << 20) * 10
GO_ON = threading.Event()


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        # What an origin offers is not what the edge does.
        self.send_header("Alt-Svc", 'h3=":1"')
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"half")
            GO_ON.wait(PATIENCE)
            self.wfile.write(b"done")
            return
        self.answer(json.dumps({"path": self.path, "fields": self.headers.items()}).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(body)


class Answer:
    def __init__(self):
        self.head, self.body, self.trailers, self.reset = None, bytearray(), None, None
        self.begun, self.ended, self.changed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def status(self):
        return int(dict(self.head)[b":status"])

    def field(self, name):
        return dict(self.head).get(name.encode(), b"").decode()


class Visitor(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}
        self.handshake = None
        self.terminated = None

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.handshake = event
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
            for answer in self.answers.values():
                answer.begun.set(), answer.ended.set(), answer.changed.set()
        if isinstance(event, StreamReset) and event.stream_id in self.answers:
            answer = self.answers[event.stream_id]
            answer.reset = event.error_code
            answer.begun.set(), answer.ended.set(), answer.changed.set()
        for told in self.http.handle_event(event):
            answer = self.answers[told.stream_id]
            if isinstance(told, HeadersReceived) and answer.head is None:
                answer.head = told.headers
                answer.begun.set()
            elif isinstance(told, HeadersReceived):
                answer.trailers = dict(told.headers)
            elif isinstance(told, DataReceived):
                answer.body += told.data
                answer.changed.set()
            if told.stream_ended:
                answer.ended.set(), answer.changed.set()

    def send(self, fields, body=None, ends=True):
        """Sends a request; its stream and its answer to come."""
        stream = self._quic.get_next_available_stream_id()
        answer = self.answers[stream] = Answer()
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in fields], body is None and ends)
        if body is not None:
            self.http.send_data(stream, body, ends)
        self.transmit()
        return stream, answer

    async def ask(self, fields, body=None):
        _, answer = self.send(fields, body)
        await asyncio.wait_for(answer.ended.wait(), PATIENCE)
        assert answer.head is not None, (self.terminated, answer.reset)
        return answer


class Door:
    def __init__(self, where, ticket=None):
        self.where, self.tickets = where, []
        self.configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, server_name=where.hostname, verify_mode=ssl.CERT_REQUIRED, session_ticket=ticket
        )
        self.configuration.load_verify_locations(where.ca_file)

    def open(self):
        return connect(
            "127.0.0.1",
            self.where.https_port,
            configuration=self.configuration,
            create_protocol=Visitor,
            session_ticket_handler=self.tickets.append,
        )

    def get(self, path="/", *more, method="GET"):
        authority = f"{self.where.hostname}:{self.where.https_port}"
        return [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path), *more]


async def pages(door):
    async with door.open() as visitor:
        answer = await visitor.ask(door.get("/page?x=y", ("cookie", "a=b"), ("cookie", "c=d"), ("x-forwarded-for", "192.0.2.1")))
        assert answer.status == 200 and answer.field("server") == "poterne" and answer.field("cf-ray"), answer.head
        offer = f'h3=":{door.where.https_port}"; ma=86400'
        assert answer.field("alt-svc") == offer, answer.head
        told = json.loads(answer.body)
        fields = {name.lower(): value for name, value in told["fields"]}
        assert told["path"] == "/page?x=y" and fields["cookie"] == "a=b; c=d", told
        assert fields["x-forwarded-proto"] == "https" and fields["cf-connecting-ip"] == "127.0.0.1", told
        assert f"\r\nalt-svc: {offer}" in await asyncio.to_thread(by_tcp, door.where), "visitors by TCP are told"
        answer = await visitor.ask(door.get("/cdn-cgi/trace"))
        assert b"\nhttp=http/3\n" in answer.body and b"\ntls=on\n" in answer.body, answer.body


async def upload(door):
    async with door.open() as visitor:
        answer = await visitor.ask(door.get("/", ("content-length", str(len(LONG))), method="POST"), LONG)
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(LONG).digest(), len(answer.body)


async def many(door):
    async with door.open() as visitor:
        answers = await asyncio.gather(*(visitor.ask(door.get(f"/{n}")) for n in range(90)))
        assert [json.loads(answer.body)["path"] for answer in answers] == [f"/{n}" for n in range(90)]


async def malformed(door):
    async with door.open() as visitor:
        plain = door.get("/")
        for fields, status in (
            (plain + [("connection", "close")], 400),
            (plain[:3], 400),
            (plain + [(":path", "/b")], 400),
            (plain + [("host", "other.test")], 400),
            (plain + [("x", "y" * 20_000)], 431),
            (plain + [(f"x-{n}", "y" * 400) for n in range(90)], 431),
            (door.get("/" + "a" * 17_000), 414),
            (door.get("/", method="TRACE"), 405),
            ([(":method", "GET"), (":scheme", "https"), (":authority", "other.test"), (":path", "/")], 409),
        ):
            answer = await visitor.ask(fields)
            assert answer.status == status, (fields[-1][0], status, answer.head)
            assert answer.field("cf-ray") and answer.body, answer.head
        assert (await visitor.ask(plain)).status == 200, "the connection goes on"


async def reset(door):
    """A visitor that gives up in the middle of its request, and one that wants no more of its answer."""
    async with door.open() as visitor:
        stream, _ = visitor.send(door.get("/", ("content-length", "100000"), method="POST"), b"x" * 1000, ends=False)
        visitor._quic.reset_stream(stream, 0x10C)
        visitor.transmit()
        stream, answer = visitor.send(door.get("/", ("content-length", str(len(LONG))), method="POST"), LONG)
        await asyncio.wait_for(answer.changed.wait(), PATIENCE)
        visitor._quic.stop_stream(stream, 0x10C)
        visitor.transmit()
        assert (await visitor.ask(door.get("/"))).status == 200
        assert visitor.terminated is None


async def resumed(door):
    """The second connection of a visitor costs no signature, and nothing is taken before its handshake is done."""
    async with door.open() as visitor:
        assert not visitor.handshake.session_resumed
        await visitor.ask(door.get("/"))
    assert door.tickets, "no ticket was given"
    ticket = door.tickets[0]
    assert not ticket.max_early_data_size, "0-RTT was offered"
    again = Door(door.where, ticket)
    async with again.open() as visitor:
        assert visitor.handshake.session_resumed and not visitor.handshake.early_data_accepted
        assert (await visitor.ask(again.get("/"))).status == 200


def by_tcp(where):
    """The head of an answer over HTTP/1.1."""
    with socket.create_connection(("127.0.0.1", where.https_port)) as plain:
        with where.tls().wrap_socket(plain, server_hostname=where.hostname) as visitor:
            authority = f"{where.hostname}:{where.https_port}"
            visitor.sendall(f"GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: visitor.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[0].decode().lower()


async def turned_away(door):
    try:
        async with door.open():
            raise AssertionError("HTTP/3 was spoken")
    except ConnectionError:
        pass
    head = await asyncio.to_thread(by_tcp, door.where)
    assert head.startswith("http/1.1 200") and "alt-svc" not in head, head


async def vouched(door):
    """The host asks visitors for a certificate, and a rule keeps out whoever shows none that the zone issued."""
    async with door.open() as visitor:
        answer = await visitor.ask(door.get("/shown"))
        assert answer.status == 403, answer.head
    door.configuration.load_cert_chain(os.path.join(door.where.state_dir, "visitor.pem"))
    async with door.open() as visitor:
        answer = await visitor.ask(door.get("/shown", ("client-cert", ":forged:")))
        assert answer.status == 200, answer.head
        shown = {name.lower(): value for name, value in json.loads(answer.body)["fields"]}
        assert (shown["cf-cert-presented"], shown["cf-cert-verified"], shown["cf-cert-revoked"]) == ("true", "true", "false"), shown
        assert shown["client-cert"].startswith(":MII"), shown
    head = await asyncio.to_thread(by_tcp, door.where)
    assert head.startswith("http/1.1 403"), head


async def replaced(door):
    """Another program takes the node's place while an answer is on its way: the connection stays with the one that began it."""
    async with door.open() as old:
        _, slow = old.send(door.get("/slow"))
        while len(slow.body) < 4:
            assert not slow.ended.is_set(), (slow.head, slow.body, old.terminated)
            slow.changed.clear()
            await asyncio.wait_for(slow.changed.wait(), PATIENCE)
        words = ["upgrade", "--json", "--state-dir", door.where.state_dir]
        upgrade = await asyncio.create_subprocess_exec(os.environ["POTERNE_BIN"], *words, stdout=asyncio.subprocess.PIPE)
        told, _ = await upgrade.communicate()
        assert upgrade.returncode == 0
        successor = json.loads(told)["process"]
        try:
            async with door.open() as new:
                for _ in range(20):
                    answer = await new.ask(door.get("/page"))
                    assert answer.status == 200, answer.head
            GO_ON.set()
            await asyncio.wait_for(slow.ended.wait(), PATIENCE)
            assert bytes(slow.body) == b"halfdone" and slow.reset is None, (slow.body, slow.reset, old.terminated)
        finally:
            os.kill(successor, signal.SIGKILL)


async def websocket(door):
    """RFC 9220, to the demo's own echo."""
    async with door.open() as visitor:
        opening = [(":method", "CONNECT"), (":protocol", "websocket"), *door.get("/echo")[1:], ("sec-websocket-version", "13")]
        stream, answer = visitor.send(opening, ends=False)
        await asyncio.wait_for(answer.begun.wait(), PATIENCE)
        assert answer.status == 200, answer.head
        for text in (b"one", b"two" * 40):
            del answer.body[:]
            mask = os.urandom(4)
            length = struct.pack("!B", 0x80 | len(text)) if len(text) < 126 else struct.pack("!BH", 0x80 | 126, len(text))
            visitor.http.send_data(stream, b"\x81" + length + mask + bytes(b ^ mask[n % 4] for n, b in enumerate(text)), False)
            visitor.transmit()
            while not answer.body.endswith(text):
                assert not answer.ended.is_set(), answer.body
                answer.changed.clear()
                await asyncio.wait_for(answer.changed.wait(), PATIENCE)
        refused = await visitor.ask([(":method", "CONNECT"), (":protocol", "connect-udp"), *door.get("/echo")[1:]])
        assert refused.status == 405, refused.head


async def grpc(door):
    """A call whose status comes after its message."""
    async with door.open() as visitor:
        call = door.get("/poterne.Rows/Reverse", ("content-type", "application/grpc"), ("te", "trailers"), method="POST")
        answer = await visitor.ask(call, struct.pack("!BI", 0, 3) + b"abc")
        assert answer.status == 200 and bytes(answer.body) == struct.pack("!BI", 0, 3) + b"cba", (answer.head, answer.body)
        assert answer.trailers[b"grpc-status"] == b"0" and answer.trailers[b"x-trail"] == b"yes", answer.trailers
        absent = await visitor.ask(door.get("/poterne.Rows/None", *call[4:], method="POST"), struct.pack("!BI", 0, 0))
        told = dict(absent.head) | (absent.trailers or {})
        assert told[b"grpc-status"] == b"12", told


def grpc_origin():
    from concurrent import futures

    import grpc as library

    class Handler(library.GenericRpcHandler):
        def service(self, details):
            if details.method == "/poterne.Rows/Reverse":
                return library.unary_unary_rpc_method_handler(self.reverse)

        def reverse(self, request, context):
            context.set_trailing_metadata((("x-trail", "yes"),))
            return request[::-1]

    server = library.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"http://127.0.0.1:{port}"


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_):
        """A visitor that gives up has its connection to us reset, as it should."""


def plain_origin():
    server = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


async def main():
    rows = [globals()[name] for name in sys.argv[1:]]
    server, url = grpc_origin() if rows == [grpc] else plain_origin()
    way.announce(url)
    where = await asyncio.to_thread(way.wait)
    for row in rows:
        await row(Door(where))
        print(f"{row.__name__}: done", file=sys.stderr)
    del server


asyncio.run(main())
