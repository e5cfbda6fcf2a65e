"""What each client of the API does: it is told where the node is in one line on stdin, runs the rows that its arguments name, and
ends with 0 when every one holds."""

import contextlib
import http.server
import json
import sys
import threading

NODE = json.loads(sys.stdin.readline())


def run(rows):
    for name in sys.argv[1:]:
        rows[name]()


def say(thing):
    """To the test, which hears it."""
    print(json.dumps(thing), flush=True)


def wait():
    """Until the test says to go on."""
    if not sys.stdin.readline():
        sys.exit("the test ended first")


def same(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


@contextlib.contextmanager
def refused(kind, status, code):
    """The SDK's error of this kind, with this status and this first code."""
    try:
        yield
    except kind as error:
        same((error.status_code, error.body["errors"][0]["code"]), (status, code))
        assert error.body["success"] is False and error.body["result"] is None, error.body
    else:
        raise AssertionError(f"{code} was expected, and it was accepted")


def service(text):
    """A local service that says this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
