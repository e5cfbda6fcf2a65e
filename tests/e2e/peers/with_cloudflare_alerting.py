"""Alerting rows with the official Python SDK, its validation strict: webhooks, policies, and what a webhook is sent."""

import base64
import hashlib
import hmac
import http.server
import json
import queue
import threading
import time

import cloudflare
from cloudflare import Cloudflare

import api
from api import NODE, refused, same

SDK = Cloudflare(base_url=NODE["api"], api_token=NODE["api_token"], max_retries=0, _strict_response_validation=True)
ACCOUNT = next(iter(SDK.accounts.list())).id
HOOKS, POLICIES = SDK.alerting.destinations.webhooks, SDK.alerting.policies


class Receiver:
    """Takes calls, and answers each with the next of these statuses; the last stays."""

    def __init__(self, *statuses, location=None):
        self.came, statuses = queue.Queue(), list(statuses)
        came = self.came

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                came.put((self.path, dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.port = server.server_port


def hook(url, **more):
    return HOOKS.create(account_id=ACCOUNT, name="ops", url=url, **more).id


def policy(webhook, **more):
    text = {"name": "tunnels", "alert_type": "tunnel_update_event", "enabled": True, **more}
    return POLICIES.create(account_id=ACCOUNT, mechanisms={"webhooks": [{"id": webhook}]}, **text).id


def tunnel(name):
    return SDK.zero_trust.tunnels.cloudflared.create(account_id=ACCOUNT, name=name, config_src="cloudflare").id


def objects():
    made = hook("https://hooks.example.com/x", secret="hush")
    got = HOOKS.get(webhook_id=made, account_id=ACCOUNT)
    same((got.id, got.name, got.url, got.type, got.last_success), (made, "ops", "https://hooks.example.com/x", "generic", None))
    assert "hush" not in got.to_json()
    same(HOOKS.update(webhook_id=made, account_id=ACCOUNT, name="dev", url="https://hooks.example.com/y").id, made)
    same([one.name for one in HOOKS.list(account_id=ACCOUNT)], ["dev"])

    told = policy(made, description="all of them", filters={"event": ["create"]})
    got = POLICIES.get(policy_id=told, account_id=ACCOUNT)
    same((got.name, got.alert_type, got.enabled, got.description), ("tunnels", "tunnel_update_event", True, "all of them"))
    same(([one.id for one in got.mechanisms.webhooks], got.filters.event), ([made], ["create"]))
    same(POLICIES.update(policy_id=told, account_id=ACCOUNT, enabled=False).id, told)
    same([one.enabled for one in POLICIES.list(account_id=ACCOUNT)], [False])
    with refused(cloudflare.BadRequestError, 400, 10_000_409):
        HOOKS.delete(webhook_id=made, account_id=ACCOUNT)
    with refused(cloudflare.BadRequestError, 400, 10_000_400):
        policy(made, alert_type="dos_attack_l7")
    assert POLICIES.delete(policy_id=told, account_id=ACCOUNT).success
    assert HOOKS.delete(webhook_id=made, account_id=ACCOUNT).success
    with refused(cloudflare.NotFoundError, 404, 7003):
        HOOKS.get(webhook_id=made, account_id=ACCOUNT)

    alerts = SDK.alerting.available_alerts.list(account_id=ACCOUNT)
    same([one.type for one in alerts["Tunnel"]], ["tunnel_health_event", "tunnel_update_event"])
    ways = SDK.alerting.destinations.eligible.get(account_id=ACCOUNT)["tunnel_health_event"]
    same([(way.type, way.eligible) for way in ways], [("email", False), ("webhook", True), ("pagerduty", False)])


def signed():
    """A call says who it comes from; one that was not taken comes again under its id."""
    receiver = Receiver(503, 204)
    key = b"a key of some bytes, as it is"
    secret = "whsec_" + base64.b64encode(key).decode()
    told = policy(hook(f"http://127.0.0.1:{receiver.port}/in?a=b", secret=secret))
    made = tunnel("home")
    first, again = receiver.came.get(timeout=30), receiver.came.get(timeout=60)
    same((first[0], again[0], first[2]), ("/in?a=b", "/in?a=b", again[2]))
    for path, fields, body in first, again:
        fields = {name.lower(): value for name, value in fields.items()}
        same((fields["content-type"], fields["cf-webhook-auth"]), ("application/json", secret))
        signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        same(fields["webhook-signature"], f"v1,{signature}")
    ids = [{name.lower(): value for name, value in fields.items()}["webhook-id"] for _, fields, _ in (first, again)]
    same(ids[0], ids[1])
    body = json.loads(again[2])
    same((body["name"], body["alert_type"], body["policy_id"], body["account_id"]), ("ops", "tunnel_update_event", told, ACCOUNT))
    same((body["data"]["tunnel_id"], body["data"]["event"]), (made, "create"))
    assert "“home” was created" in body["text"], body
    while True:
        (one,) = HOOKS.list(account_id=ACCOUNT)
        if one.last_success:
            break
        time.sleep(0.1)
    assert one.last_failure and one.last_failure < one.last_success, one


def refused_inside():
    """Nothing on loopback is called where the operator allows none, whatever the URL says."""
    receiver = Receiver(204)
    for host in ["127.0.0.1", "2130706433", "0x7f.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]:
        with refused(cloudflare.BadRequestError, 400, 10_000_400):
            hook(f"https://{host}:{receiver.port}/")
    made = hook(f"https://localhost:{receiver.port}/")
    policy(made)
    tunnel("home")
    while HOOKS.get(webhook_id=made, account_id=ACCOUNT).last_failure is None:
        time.sleep(0.1)
    assert receiver.came.empty()


def redirected():
    """A redirect is not followed, and the next call is tried all the same."""
    inside = Receiver(204)
    receiver = Receiver(307, location=f"http://127.0.0.1:{inside.port}/")
    made = hook(f"http://127.0.0.1:{receiver.port}/")
    policy(made)
    tunnel("home")
    receiver.came.get(timeout=30)
    while HOOKS.get(webhook_id=made, account_id=ACCOUNT).last_failure is None:
        time.sleep(0.1)
    assert inside.came.empty()


api.run(globals())
