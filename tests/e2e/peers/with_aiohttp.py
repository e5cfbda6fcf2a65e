"""HTTP rows, with PyPI's `aiohttp` at both ends: streams that must stay streams, back-pressure, long bodies, many requests at once."""

import asyncio
import hashlib
import resource
import sys

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

import way

PIECE = 64 << 10
LONG = 256 << 20
# What windows, socket buffers and the two ends' own buffers may hold of a body that its reader does not take.
HELD_MAX = 64 << 20
AT_ONCE = 1000


def pieces(total):
    """Bytes that repeat at no power of two, so that a lost or doubled piece changes the sum."""
    pattern = bytes(n % 251 for n in range(PIECE + 251))
    for n in range(total // PIECE):
        yield pattern[n % 251 : n % 251 + PIECE]


class Origin:
    def __init__(self):
        self.acknowledged = {}
        self.sent = 0
        self.read_on = asyncio.Event()
        self.waiting = 0
        self.all_here = asyncio.Event()

    def app(self):
        app = web.Application(client_max_size=0)
        app.router.add_get("/", self.hello)
        app.router.add_get("/events", self.events)
        app.router.add_post("/acknowledge/{n}", self.acknowledge)
        app.router.add_get("/down", self.down)
        app.router.add_post("/up", self.up)
        app.router.add_get("/gather", self.gather)
        return app

    async def hello(self, _):
        return web.Response(text="hello")

    async def events(self, request):
        """Each event is sent only when the one before was acknowledged: nothing on the way may keep one back."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        for n in range(20):
            self.acknowledged[n] = asyncio.Event()
            await response.write(f"data: event {n}\n\n".encode())
            await self.acknowledged[n].wait()
        return response

    async def acknowledge(self, request):
        self.acknowledged[int(request.match_info["n"])].set()
        return web.Response()

    async def down(self, request):
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        self.sent = 0
        await response.prepare(request)
        for piece in pieces(LONG):
            await response.write(piece)
            self.sent += len(piece)
        return response

    async def up(self, request):
        await self.read_on.wait()
        digest, count = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            digest.update(piece)
            count += len(piece)
        return web.json_response(
            {"sha256": digest.hexdigest(), "bytes": count, "transfer_encoding": request.headers.get("Transfer-Encoding")}
        )

    async def gather(self, _):
        self.waiting += 1
        if self.waiting == AT_ONCE:
            self.all_here.set()
        await self.all_here.wait()
        return web.Response(text="here")


class Visitor:
    def __init__(self, where, session, base):
        self.where, self.session, self.base = where, session, base
        self.host = {"Host": where.hostname}

    def get(self, path):
        return self.session.get(self.base + path, headers=self.host, server_hostname=self.where.hostname)

    def post(self, path, **more):
        return self.session.post(self.base + path, headers=self.host, server_hostname=self.where.hostname, **more)

    async def settle(self, counter):
        """Waits until the counter stands still while other requests go through and come back."""
        still, last = 0, counter()
        while still < 50:
            async with self.get("/") as response:
                assert await response.text() == "hello"
            still, last = (still + 1, last) if counter() == last else (0, counter())
        return last


async def events(origin, visitor):
    async with visitor.get("/events") as response:
        assert response.status == 200 and response.headers["Content-Type"] == "text/event-stream", response
        for n in range(20):
            assert await response.content.readline() == f"data: event {n}\n".encode()
            assert await response.content.readline() == b"\n"
            async with visitor.post(f"/acknowledge/{n}") as done:
                assert done.status == 200
        assert await response.content.read() == b""


async def down(origin, visitor):
    async with visitor.get("/down") as response:
        assert response.status == 200 and "Content-Length" not in response.headers
        held = await visitor.settle(lambda: origin.sent)
        assert PIECE <= held <= HELD_MAX, f"{held} bytes were taken of a body that nobody read"
        digest = hashlib.sha256()
        async for piece in response.content.iter_any():
            digest.update(piece)
        assert digest.hexdigest() == DIGEST


async def up(origin, visitor):
    offered = 0

    async def body():
        nonlocal offered
        for piece in pieces(LONG):
            offered += len(piece)
            yield piece

    async def settle():
        held = await visitor.settle(lambda: offered)
        assert PIECE <= held <= HELD_MAX, f"{held} bytes were taken of a body that nobody read"
        origin.read_on.set()

    origin.read_on.clear()
    settling = asyncio.create_task(settle())
    async with visitor.post("/up", data=body()) as response:
        told = await response.json()
    await settling
    assert told == {"sha256": DIGEST, "bytes": LONG, "transfer_encoding": "chunked"}, told


async def gather(origin, visitor):
    async def one():
        async with visitor.get("/gather") as response:
            return response.status, await response.text()

    origin.waiting = 0
    origin.all_here.clear()
    answers = await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    assert answers == [(200, "here")] * AT_ONCE, [answer for answer in answers if answer != (200, "here")][:3]


async def main():
    rows = [globals()[name] for name in sys.argv[1:]]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    origin = Origin()
    runner = web.AppRunner(origin.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2 * AT_ONCE)
    await site.start()
    way.announce(f"http://127.0.0.1:{runner.addresses[0][1]}")
    where = await asyncio.to_thread(way.wait)
    connector = TCPConnector(limit=0, ssl=where.tls())
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=None)) as session:
        for base in (f"http://{where.http}", f"https://{where.https}"):
            for row in rows:
                await row(origin, Visitor(where, session, base))
    await runner.cleanup()


if {"up", "down"} & set(sys.argv):
    whole = hashlib.sha256()
    for piece in pieces(LONG):
        whole.update(piece)
    DIGEST = whole.hexdigest()
asyncio.run(main())
