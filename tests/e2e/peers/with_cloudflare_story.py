"""The story of a zone, told by a user who has the official Python SDK (PyPI's `cloudflare`), strict about the shape of answers: from the
provider before, through scan, review and delegation, to a service behind a tunnel, and signed. The test is the registrar and the agent's
owner: it is told what they would read off the API, and says when they are done."""

import time

from cloudflare import Cloudflare

import api
from api import NODE, same, service

SDK = Cloudflare(base_url=NODE["api"], api_token=NODE["api_token"], max_retries=0, _strict_response_validation=True)
RECORDS = SDK.dns.records


def until(what, ask, wanted):
    """Asks until it is so; only a failure takes as long as this may."""
    for _ in range(600):
        got = ask()
        if got == wanted:
            return
        time.sleep(0.1)
    raise AssertionError(f"{what} is {got!r} still")


def story():
    account = next(iter(SDK.accounts.list())).id
    zone = SDK.zones.create(account={"id": account}, name="example.com")
    same(zone.status, "pending")

    def make(kind, name, content, proxied=True):
        return RECORDS.create(zone_id=zone.id, type=kind, name=name, content=content, ttl=1, proxied=proxied)

    # 1. What it has elsewhere, reviewed; what nobody could guess, from the old provider's file; then the name servers.
    RECORDS.scan_trigger(zone_id=zone.id)

    def scan():
        return SDK.get(f"/zones/{zone.id}/poterne/scan", cast_to=object)["result"]

    until("the scan", lambda: scan()["status"], "ended")
    found = {(record.name, record.type): record for record in RECORDS.scan_list(zone_id=zone.id)}
    same(
        sorted((name, kind, record.proxied) for (name, kind), record in found.items()),
        [
            ("blog.example.com", "A", True),
            ("example.com", "A", True),
            ("example.com", "MX", False),
            ("mail.example.com", "A", False),
            ("www.example.com", "A", True),
        ],
    )
    unwanted = found.pop(("blog.example.com", "A")).id
    accepts = [{"id": record.id} for record in found.values()]
    decided = RECORDS.scan_review(zone_id=zone.id, accepts=accepts, rejects=[{"id": unwanted}])
    same((len(decided.accepts), decided.rejects), (4, [unwanted]))
    same(list(RECORDS.scan_list(zone_id=zone.id)), [])
    file = "$ORIGIN example.com.\nunguessed 300 IN A 185.49.140.83\n"
    same(RECORDS.import_(zone_id=zone.id, file=file).recs_added, 1)
    warned = any("Remove the DS" in warning for warning in scan()["warnings"])
    api.say({"name_servers": zone.name_servers, "warned": warned})
    api.wait()
    SDK.zones.activation_check.trigger(zone_id=zone.id)
    until("the zone", lambda: SDK.zones.get(zone_id=zone.id).status, "active")

    # 2. One proxied address, and a name that follows it.
    www = next(iter(RECORDS.list(zone_id=zone.id, name={"exact": "www.example.com"})))
    RECORDS.edit(zone_id=zone.id, dns_record_id=www.id, type="A", name="www", ttl=1, content="1.2.3.4", proxied=True)
    make("CNAME", "git", "www.example.com")
    api.say({"done": 2})
    api.wait()

    # 3. www leads to a tunnel, and with it all that points at www: at any depth, wildcards and the apex too.
    tunnels = SDK.zero_trust.tunnels.cloudflared
    tunnel = tunnels.create(account_id=account, name="home", config_src="cloudflare")
    rules = [{"hostname": "", "service": service("behind the tunnel")}]
    tunnels.configurations.update(tunnel_id=tunnel.id, account_id=account, config={"ingress": rules})
    api.say({"tunnel": tunnel.id, "token": tunnel.model_extra["token"]})
    api.wait()
    apex = next(iter(RECORDS.list(zone_id=zone.id, name={"exact": "example.com"}, type="A")))
    for record in (www, apex):
        RECORDS.delete(zone_id=zone.id, dns_record_id=record.id)
    make("CNAME", "www", f"{tunnel.id}.cfargotunnel.com")
    make("CNAME", "a", "b.example.com")
    make("CNAME", "b", "git.example.com")
    make("CNAME", "*", "a.example.com")
    make("CNAME", "@", "www.example.com")
    api.say({"done": 3})
    api.wait()

    # And signed.
    dnssec = SDK.dns.dnssec.edit(zone_id=zone.id, status="active")
    same((dnssec.status, dnssec.algorithm), ("pending", "13"))
    api.say({"ds": dnssec.ds})
    api.wait()
    SDK.zones.activation_check.trigger(zone_id=zone.id)
    until("its signing", lambda: SDK.dns.dnssec.get(zone_id=zone.id).status, "active")
    api.say({"done": 4})
    # The service is this process.
    api.wait()


api.run(globals())
