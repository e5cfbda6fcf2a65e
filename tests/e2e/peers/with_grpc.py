"""gRPC rows, with PyPI's `grpcio` at both ends. Messages are bytes: no generated code is needed to know that they arrive."""

import queue
import sys
import threading
from concurrent import futures

import grpc

import way

PATIENCE = 60
SERVICE = "/poterne.Rows/"


class Origin(grpc.GenericRpcHandler):
    def __init__(self):
        self.cancelled = threading.Event()

    def service(self, details):
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
        }
        return kinds.get(details.method.removeprefix(SERVICE))

    def unary(self, request, context):
        asked = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-head", asked["x-asked"]),))
        context.set_trailing_metadata((("x-trail", asked["x-asked"]), ("x-trail-bin", b"\x00\xff")))
        return request[::-1]

    def fail(self, request, context):
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now, à demain")

    def count(self, request, context):
        for n in range(int(request)):
            yield str(n).encode()

    def fail_late(self, request, context):
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")

    def sum(self, requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def echo(self, requests, context):
        for request in requests:
            if request == b"last":
                context.add_callback(self.cancelled.set)
            yield request


def unary(origin, channel):
    call = channel.unary_unary(SERVICE + "Unary")
    for request in (b"abc", b"", bytes(range(256)) * 12_000):
        answer, told = call.with_call(request, metadata=(("x-asked", "yes"),), timeout=PATIENCE)
        assert answer == request[::-1], len(answer)
        assert dict(told.initial_metadata())["x-head"] == "yes", told.initial_metadata()
        trailing = dict(told.trailing_metadata())
        assert (trailing["x-trail"], trailing["x-trail-bin"]) == ("yes", b"\x00\xff"), trailing


def failure(origin, channel):
    try:
        channel.unary_unary(SERVICE + "Fail")(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION, error
        assert error.details() == "not now, à demain", error
        assert dict(error.trailing_metadata())["x-why"] == "because", error
    else:
        raise AssertionError("no error")
    messages = channel.unary_stream(SERVICE + "FailLate")(b"", timeout=PATIENCE)
    assert next(messages) == b"one"
    try:
        next(messages)
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "the rest is gone"), error
    else:
        raise AssertionError("no error after the first message")
    try:
        channel.unary_unary(SERVICE + "Absent")(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error


def server_stream(origin, channel):
    messages = channel.unary_stream(SERVICE + "Count")(b"1000", timeout=PATIENCE)
    assert [int(message) for message in messages] == list(range(1000))


def client_stream(origin, channel):
    answer = channel.stream_unary(SERVICE + "Sum")((b"x" * 1000 for _ in range(1000)), timeout=PATIENCE)
    assert answer == b"1000000", answer


def both_ways(origin, channel):
    """Each message waits for the echo of the one before; then the visitor cancels, and the origin hears of it."""
    outgoing = queue.Queue()
    messages = channel.stream_stream(SERVICE + "Echo")(iter(outgoing.get, None), timeout=PATIENCE)
    for n in range(100):
        outgoing.put(str(n).encode())
        assert next(messages) == str(n).encode()
    outgoing.put(None)
    assert list(messages) == []
    assert messages.code() is grpc.StatusCode.OK

    outgoing = queue.Queue()
    messages = channel.stream_stream(SERVICE + "Echo")(iter(outgoing.get, None), timeout=PATIENCE)
    outgoing.put(b"last")
    assert next(messages) == b"last"
    messages.cancel()
    assert origin.cancelled.wait(PATIENCE), "the origin was not told that the visitor cancelled"
    outgoing.put(None)


def main():
    origin = Origin()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((origin,))
    if len(sys.argv) > 1:
        key, chain = (open(path, "rb").read() for path in sys.argv[1:3])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
        url = f"https://127.0.0.1:{port}"
    else:
        port = server.add_insecure_port("127.0.0.1:0")
        url = f"http://127.0.0.1:{port}"
    server.start()
    way.announce(url)
    where = way.wait()
    credentials = grpc.ssl_channel_credentials(open(where.ca_file, "rb").read())
    options = (
        ("grpc.ssl_target_name_override", where.hostname),
        ("grpc.default_authority", f"{where.hostname}:{where.https_port}"),
    )
    with grpc.secure_channel(where.https, credentials, options) as channel:
        for row in (unary, failure, server_stream, client_stream, both_ways):
            row(origin, channel)
            print(f"{row.__name__}: done", file=sys.stderr)
    server.stop(None)


main()
