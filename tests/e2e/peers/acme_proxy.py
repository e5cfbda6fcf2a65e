"""Stands in front of `pebble`, and adds what its version lacks: renewal information (RFC 9773), profiles, what CAA records call it, limits, and
nonces that are refused at a known moment. One JSON object on the command line says what; each order that passes is a line of JSON in `log`.
"""

import base64
import http.client
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLD = json.loads(sys.argv[1])
UPSTREAM, MODES = TOLD["upstream"], set(TOLD["modes"])
CONTEXT = ssl.create_default_context(cafile=TOLD["ca"])
LOCK = threading.Lock()
#: Certificates that were asked about, the first first.
ASKED = []
#: Paths at which a nonce was refused.
REFUSED = set()


def note(what):
    with LOCK, open(TOLD["log"], "a") as log:
        print(json.dumps(what), file=log, flush=True)


def instant(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def problem(kind, detail, status):
    return json.dumps({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status}).encode()


def payload(body):
    """What a signed request says; an empty one says nothing."""
    encoded = json.loads(body)["payload"]
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))) if encoded else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, fields, body):
        self.send_response(status)
        for name, value in fields:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pass_on(self, method, path, body=None):
        connection = http.client.HTTPSConnection(UPSTREAM, context=CONTEXT, timeout=30)
        # The host stays: links lead back here, and what is signed names them so.
        fields = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "content-length")}
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        told = response.status, response.getheaders(), response.read()
        connection.close()
        return told

    def nonce(self):
        _, fields, _ = self.pass_on("HEAD", "/nonce-plz")
        return next(value for name, value in fields if name.lower() == "replay-nonce")

    def do_HEAD(self):
        self.answer(*self.pass_on("HEAD", self.path))

    def do_GET(self):
        if "ari" in MODES and self.path.startswith("/ari/"):
            return self.renewal_info(self.path.removeprefix("/ari/"))
        status, fields, body = self.pass_on("GET", self.path)
        if self.path == "/dir" and "ari" in MODES:
            directory = json.loads(body)
            directory["renewalInfo"] = f"https://{self.headers['Host']}/ari"
            directory["meta"] |= {"profiles": {"shortlived": "for a while"}, "caaIdentities": ["pebble.test"]}
            body = json.dumps(directory).encode()
        return self.answer(status, fields, body)

    def renewal_info(self, certificate):
        with LOCK:
            if certificate not in ASKED:
                ASKED.append(certificate)
            is_first = ASKED[0] == certificate
        note({"asked": certificate})
        now = time.time()
        # The first is to be renewed at once, as where it is about to be revoked; the next ones next week.
        start = now - 7200 if is_first else now + 7 * 86400
        window = {"suggestedWindow": {"start": instant(start), "end": instant(start + 3600)}}
        self.answer(200, [("Content-Type", "application/json"), ("Retry-After", "21600")], json.dumps(window).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_order = self.path == "/order-plz"
        if "nonces" in MODES and self.path not in REFUSED:
            REFUSED.add(self.path)
            note({"refused": self.path})
            fields = [("Content-Type", "application/problem+json"), ("Replay-Nonce", self.nonce())]
            return self.answer(400, fields, problem("badNonce", "another one, please", 400))
        if "limited" in MODES and is_order:
            note({"limited": payload(body)})
            fields = [("Content-Type", "application/problem+json"), ("Retry-After", "7200"), ("Replay-Nonce", self.nonce())]
            return self.answer(429, fields, problem("rateLimited", "too many certificates were issued this week", 429))
        status, fields, told = self.pass_on("POST", self.path, body)
        if is_order:
            wanted = payload(body)
            note({"ordered": wanted, "status": status})
            if status == 201:
                told = json.dumps(json.loads(told) | {key: wanted[key] for key in ("replaces", "profile") if key in wanted}).encode()
        return self.answer(status, fields, told)


server = ThreadingHTTPServer(("127.0.0.1", TOLD["port"]), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(TOLD["cert"], TOLD["key"])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(json.dumps({"ready": True}), flush=True)
server.serve_forever()
