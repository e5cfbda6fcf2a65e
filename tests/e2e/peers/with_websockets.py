"""WebSocket rows, with PyPI's `websockets` at both ends."""

import asyncio
import http
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

import way

MESSAGE_MAX = 4 << 20
closes = asyncio.Queue()


async def origin(ws):
    path = ws.request.path
    if path == "/bye":
        await ws.recv()
        await ws.close(4002, "the origin is tired")
    elif path == "/cut":
        await ws.recv()
        ws.transport.abort()
    else:
        try:
            async for message in ws:
                await ws.send(message)
        except ConnectionClosed:
            # Any code but 1000 and 1001 ends the loop so; which one it was is the row's to judge.
            pass
        finally:
            await closes.put((path, ws.close_code, ws.close_reason))


def refuse(connection, request):
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not for you\n")
    return None


async def main():
    async with serve(origin, "127.0.0.1", 0, max_size=MESSAGE_MAX, process_request=refuse) as server:
        way.announce(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        where = await asyncio.to_thread(way.wait)
        in_clear = lambda path: connect(
            f"ws://{where.hostname}:{where.http_port}{path}", host="127.0.0.1", port=where.http_port, max_size=MESSAGE_MAX
        )
        over_tls = lambda path: connect(
            f"wss://{where.hostname}:{where.https_port}{path}",
            host="127.0.0.1",
            port=where.https_port,
            ssl=where.tls(),
            max_size=MESSAGE_MAX,
        )
        for door in (in_clear, over_tls):
            await echo(door)
            await many(door)
            await closed_by_the_visitor(door)
            await closed_by_the_origin(door)
            await cut_by_the_origin(door)
            await refused(door)


async def echo(door):
    async with door("/echo") as ws:
        for message in ["", "héllo", b"", b"\x00\xff" * 100, "x" * 70_000, os.urandom(1 << 20)]:
            await ws.send(message)
            assert await ws.recv() == message, len(message)
        await (await ws.ping(b"are you there"))


async def many(door):
    async with door("/echo") as ws:
        sent = [f"message {n}" for n in range(1000)]

        async def send():
            for message in sent:
                await ws.send(message)

        sending = asyncio.create_task(send())
        received = [await ws.recv() for _ in sent]
        await sending
        assert received == sent


async def closed_by_the_visitor(door):
    ws = await door("/closing")
    await ws.send("one")
    assert await ws.recv() == "one"
    await ws.close(4001, "the visitor is tired")
    while True:
        path, code, reason = await closes.get()
        if path == "/closing":
            break
    assert (code, reason) == (4001, "the visitor is tired"), (code, reason)


async def closed_by_the_origin(door):
    async with door("/bye") as ws:
        await ws.send("go")
        try:
            await ws.recv()
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4002, "the origin is tired"), closed
        else:
            raise AssertionError("a message after the close")


async def cut_by_the_origin(door):
    async with door("/cut") as ws:
        await ws.send("go")
        try:
            await ws.recv()
        except ConnectionClosedError as closed:
            assert closed.rcvd is None, closed
        else:
            raise AssertionError("a message after the cut")


async def refused(door):
    try:
        async with door("/refused"):
            raise AssertionError("the upgrade went through")
    except InvalidStatus as error:
        assert error.response.status_code == 403, error
        assert error.response.body == b"not for you\n", error.response.body


asyncio.run(main())
