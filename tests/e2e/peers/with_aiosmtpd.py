"""Mail rows: PyPI's `aiosmtpd` is the server that a node hands its mails to, and what it gets is read by Python's own `email`."""

import email
import email.policy
import email.utils
import json
import queue
import socket
import ssl
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

import api
from api import NODE, same

PORT = NODE["smtp_port"]


class Box:
    """Takes messages, after it has put off so many."""

    def __init__(self, put_off=0):
        self.came, self.left = queue.Queue(), put_off

    async def handle_DATA(self, server, session, envelope):
        self.came.put(envelope)
        if self.left:
            self.left -= 1
            return "451 Try again later"
        return "250 OK"


class Server(Controller):
    def __init__(self, box, **options):
        super().__init__(box, hostname="127.0.0.1", port=PORT, ssl_context=options.pop("context", None))
        self.options = options

    def factory(self):
        return SMTP(self.handler, enable_SMTPUTF8=False, **self.options)

    def _trigger_server(self):
        """Asks itself whether it is there; over TLS not with its own context, which is a server's."""
        if self.ssl_context is None:
            return super()._trigger_server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as plain, context.wrap_socket(plain) as secured:
            secured.recv(1024)


def call(method, path, body=None):
    request = urllib.request.Request(NODE["api"] + path, method=method, data=json.dumps(body).encode() if body else None)
    request.add_header("Authorization", f"Bearer {NODE['api_token']}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return json.load(response)["result"]


def invite(address):
    account = call("GET", "/accounts")[0]["id"]
    return call("POST", f"/accounts/{account}/members", {"email": address, "roles": ["DNS"]})


def parsed(envelope):
    for line in envelope.original_content.split(b"\r\n"):
        assert len(line) <= 998 and b"\n" not in line, line
    return email.message_from_bytes(envelope.original_content, policy=email.policy.default)


def link(text):
    return next(line for line in text.splitlines() if "/invitation#" in line)


def invitation():
    box = Box()
    server = Server(box)
    server.start()
    told = invite("ada@example.com")
    same(told["invitation"], {"by_mail": True})
    envelope = box.came.get(timeout=30)
    same((envelope.mail_from, envelope.rcpt_tos), ("poterne@example.net", ["ada@example.com"]))
    message = parsed(envelope)
    same(message.defects, [])
    same((message["From"], message["To"]), ("Poterne <poterne@example.net>", "ada@example.com"))
    same(message["Auto-Submitted"], "auto-generated")
    assert message["Message-ID"].endswith("@node.example.net>"), message["Message-ID"]
    assert email.utils.parsedate_to_datetime(message["Date"]).year >= 2026, message["Date"]
    subject = "Invitation to the account “default” on node.example.net / Invitation au compte « default » sur node.example.net"
    same(message["Subject"], subject)
    same(message.get_content_type(), "multipart/alternative")
    plain, html = message.iter_parts()
    same((plain.get_content_type(), html.get_content_type()), ("text/plain", "text/html"))
    text = plain.get_content()
    assert "invites you to join the account “default”" in text and "vous invite à rejoindre" in text, text
    assert f'href="{link(text)}"' in html.get_content(), html.get_content()
    # Nobody who asks the API learns the link.
    account = call("GET", "/accounts")[0]["id"]
    secret = link(text).split("#")[1]
    for told in [told, call("GET", f"/accounts/{account}/members"), call("GET", f"/accounts/{account}/audit_logs")]:
        assert secret not in json.dumps(told), told
    server.stop()


def put_off():
    box = Box(put_off=1)
    server = Server(box)
    server.start()
    invite("ada@example.com")
    first = parsed(box.came.get(timeout=30))
    api.say({"put_off": True})
    api.wait()
    again = parsed(box.came.get(timeout=60))
    same(again["Message-ID"], first["Message-ID"])
    same(again["Subject"], "Invitation au compte « default » sur node.example.net")
    server.stop()


def over_tls():
    def authenticate(server, session, envelope, mechanism, data):
        fine = data.login == b"ada@example.net" and data.password == b"open sesame"
        return AuthResult(success=fine, handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(NODE["certificate"], NODE["key"])
    box = Box()
    server = Server(box, context=context, authenticator=authenticate, auth_required=True, auth_require_tls=False)
    server.start()
    api.say({"listens": True})
    message = parsed(box.came.get(timeout=30))
    assert message["Subject"].startswith("Test message from node.example.net"), message["Subject"]
    api.wait()
    assert box.came.empty()
    server.stop()


api.run(globals())
