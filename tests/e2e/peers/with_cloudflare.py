"""Rows with the official Python SDK, PyPI's `cloudflare`, which here refuses every answer that is not of the documented shape:
tokens, zones and tunnels. Its DNS rows are in with_cloudflare_dns.py."""

import urllib.error
import urllib.request

import cloudflare
from cloudflare import Cloudflare

import api
from api import NODE, refused, same, service

ACCOUNT = NODE["account_id"]


def client(token=NODE["api_token"]):
    return Cloudflare(base_url=NODE["api"], api_token=token, max_retries=0, _strict_response_validation=True)


SDK = client()


def who():
    same(SDK.user.tokens.verify().status, "active")
    user = SDK.user.get()
    assert user.email.startswith("admin@") and user.suspended is False, user
    same([account.id for account in SDK.accounts.list()], [ACCOUNT])
    same(SDK.accounts.get(account_id=ACCOUNT).name, "default")
    with refused(cloudflare.NotFoundError, 404, 7003):
        SDK.accounts.get(account_id="0" * 32)
    with refused(cloudflare.AuthenticationError, 401, 1000):
        client("A" * 40).user.tokens.verify()


def tokens():
    groups = {group.name: group.id for group in SDK.user.tokens.permission_groups.list()}
    every_zone = {"com.cloudflare.api.account.zone.*": "*"}
    may = [{"id": groups["DNS Write"]}, {"id": groups["Zone Read"]}]
    made = SDK.user.tokens.create(
        name="records", policies=[{"effect": "allow", "permission_groups": may, "resources": every_zone}]
    )
    same((made.name, made.status), ("records", "active"))
    limited = client(made.value)
    same(limited.user.tokens.verify().id, made.id)
    same([zone.id for zone in limited.zones.list()], [NODE["zone_id"]])
    limited.dns.records.create(zone_id=NODE["zone_id"], type="TXT", name="by-token", content="x", ttl=60)
    with refused(cloudflare.PermissionDeniedError, 403, 10000):
        limited.zones.edit(zone_id=NODE["zone_id"], paused=True)
    with refused(cloudflare.PermissionDeniedError, 403, 10000):
        limited.zones.create(account={"id": ACCOUNT}, name="example.com")
    # Of what is outside its resources a token does not even learn that it is there.
    with refused(cloudflare.NotFoundError, 404, 7003):
        limited.zero_trust.tunnels.cloudflared.create(account_id=ACCOUNT, name="no")
    same(SDK.user.tokens.get(token_id=made.id).name, "records")
    assert made.id in [token.id for token in SDK.user.tokens.list()]

    rolled = SDK.user.tokens.value.update(token_id=made.id)
    assert rolled != made.value
    with refused(cloudflare.AuthenticationError, 401, 1000):
        limited.user.tokens.verify()
    same(client(rolled).user.tokens.verify().id, made.id)
    same(SDK.user.tokens.delete(token_id=made.id).id, made.id)
    with refused(cloudflare.AuthenticationError, 401, 1000):
        client(rolled).user.tokens.verify()
    with refused(cloudflare.NotFoundError, 404, 7003):
        SDK.user.tokens.get(token_id=made.id)


def zones():
    def create(name):
        return SDK.zones.create(account={"id": ACCOUNT}, name=name, type="full")

    made = create("example.com")
    same((made.name, made.status, made.type, made.paused, made.account.id), ("example.com", "pending", "full", False, ACCOUNT))
    assert "#dns_records:edit" in made.permissions, made.permissions
    with refused(cloudflare.BadRequestError, 400, 1061):
        create("example.com")
    for n in range(4):
        create(f"more-{n}.example.org")
    names = {"poterne.localhost", "example.com", *(f"more-{n}.example.org" for n in range(4))}

    # The SDK goes on until a page is empty: there is one more behind the last.
    same({zone.name for zone in SDK.zones.list(per_page=2)}, names)
    page = SDK.zones.list(per_page=4, page=9)
    same((page.result, page.result_info.total_count, page.result_info.per_page), ([], 6, 4))
    by_name = SDK.zones.list(order="name", direction="desc")
    same([zone.name for zone in by_name], sorted(names, reverse=True))
    same([zone.id for zone in SDK.zones.list(name="EXAMPLE.com")], [made.id])
    same([zone.name for zone in SDK.zones.list(status="active")], ["poterne.localhost"])
    same(list(SDK.zones.list(name="absent.example")), [])

    same(SDK.zones.edit(zone_id=made.id, paused=True).paused, True)
    same(SDK.zones.get(zone_id=made.id).paused, True)
    same(SDK.zones.delete(zone_id=made.id).id, made.id)
    with refused(cloudflare.NotFoundError, 404, 7003):
        SDK.zones.get(zone_id=made.id)


def tunnels():
    of = SDK.zero_trust.tunnels.cloudflared
    made = of.create(account_id=ACCOUNT, name="web", config_src="cloudflare")
    same((made.name, made.status, made.remote_config, made.deleted_at), ("web", "inactive", True, None))
    same(made.model_extra["credentials_file"]["TunnelID"], made.id)
    with refused(cloudflare.ConflictError, 409, 1013):
        of.create(account_id=ACCOUNT, name="web")
    same(of.token.get(tunnel_id=made.id, account_id=ACCOUNT), made.model_extra["token"])

    before = of.configurations.get(tunnel_id=made.id, account_id=ACCOUNT)
    same((before.version, before.config), (0, None))
    rules = [
        {
            "hostname": "app.poterne.localhost",
            "service": "https://localhost:8443",
            "origin_request": {"no_tls_verify": True, "connect_timeout": 10, "http_host_header": "inside"},
        },
        {"hostname": "", "service": "http_status:404"},
    ]
    put = of.configurations.update(tunnel_id=made.id, account_id=ACCOUNT, config={"ingress": rules})
    same((put.version, put.source), (1, "cloudflare"))
    rule = of.configurations.get(tunnel_id=made.id, account_id=ACCOUNT).config.ingress[0]
    same((rule.hostname, rule.service), ("app.poterne.localhost", "https://localhost:8443"))
    options = rule.origin_request
    same((options.no_tls_verify, options.connect_timeout, options.http_host_header), (True, 10, "inside"))
    with refused(cloudflare.BadRequestError, 400, 10000400):
        of.configurations.update(tunnel_id=made.id, account_id=ACCOUNT, config={"ingress": rules[:1]})
    same(of.configurations.get(tunnel_id=made.id, account_id=ACCOUNT).version, 1)

    same(list(of.connections.get(tunnel_id=made.id, account_id=ACCOUNT)), [])
    of.connections.delete(tunnel_id=made.id, account_id=ACCOUNT)
    same(of.edit(tunnel_id=made.id, account_id=ACCOUNT, name="site").name, "site")

    def names(**filters):
        return sorted(tunnel.name for tunnel in of.list(account_id=ACCOUNT, **filters))

    same(names(), ["demo", "site"])
    same(names(per_page=1), ["demo", "site"])
    same(names(name="site"), ["site"])
    same(names(include_prefix="de"), ["demo"])
    same(names(exclude_prefix="de"), ["site"])
    same(names(uuid=made.id), ["site"])
    same(names(status="healthy"), [])
    same([tunnel.name for tunnel in SDK.zero_trust.tunnels.list(account_id=ACCOUNT, tun_types=["warp_connector"])], [])

    assert of.delete(tunnel_id=made.id, account_id=ACCOUNT).deleted_at
    same(names(is_deleted=False), ["demo"])
    same(names(is_deleted=True), ["site"])
    assert of.get(tunnel_id=made.id, account_id=ACCOUNT).deleted_at, "a deleted tunnel is told of"
    same(of.create(account_id=ACCOUNT, name="site").name, "site")


def visit(hostname):
    """The status and the body."""
    request = urllib.request.Request(f"http://{NODE['http']}/", headers={"Host": hostname})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def live():
    """What the API has answered is true for the next visitor."""
    of = SDK.zero_trust.tunnels.cloudflared
    made = of.create(account_id=ACCOUNT, name="web", config_src="cloudflare")
    api.say({"tunnel": made.id, "token": made.model_extra["token"]})
    api.wait()
    # Each answer is of one moment, and not that of the node's verb, by which the test waited.
    while [len(connector.conns) for connector in of.connections.get(tunnel_id=made.id, account_id=ACCOUNT)] != [4]:
        pass
    same(of.get(tunnel_id=made.id, account_id=ACCOUNT).status, "healthy")

    def lead(hostname, url):
        rules = [{"hostname": hostname, "service": url}, {"hostname": "", "service": "http_status:404"}]
        of.configurations.update(tunnel_id=made.id, account_id=ACCOUNT, config={"ingress": rules})

    def reaches(hostname, text, before):
        """The node's part is done when the API answers: its own pages (530, 1001) are never seen. The agent is told then, too, and
        may answer by what it knew before while that is on its way."""
        answer = visit(hostname)
        while answer in before:
            answer = visit(hostname)
        same(answer, (200, text))

    target = f"{made.id}.cfargotunnel.com"
    urls = {name: service(name) for name in ("first", "second")}
    for n in range(10):
        hostname = f"app-{n}.poterne.localhost"
        same(visit(hostname)[0], 409)
        lead(hostname, urls["first"])
        record = SDK.dns.records.create(
            zone_id=NODE["zone_id"], type="CNAME", name=f"app-{n}", content=target, ttl=1, proxied=True
        )
        same((record.name, record.content, record.proxied), (hostname, target, True))
        reaches(hostname, "first", [(404, "")])
        lead(hostname, urls["second"])
        reaches(hostname, "second", [(200, "first")])
        SDK.dns.records.delete(dns_record_id=record.id, zone_id=NODE["zone_id"])
        same(visit(hostname)[0], 409)
    with refused(cloudflare.BadRequestError, 400, 1022):
        of.delete(tunnel_id=made.id, account_id=ACCOUNT)


def rules():
    """An entry point is put by its phase, and is obeyed when the SDK has its answer."""
    zone, port = NODE["zone_id"], NODE["http"].rsplit(":", 1)[1]

    class Stays(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    def visit(path):
        host = {"Host": f"{NODE['hostname']}:{port}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=host)
        try:
            with urllib.request.build_opener(Stays).open(asked, timeout=60) as answer:
                return answer.status, answer.headers["Location"]
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Location"]

    phases = SDK.rulesets.phases
    with refused(cloudflare.NotFoundError, 404, 10003):
        phases.get("http_request_dynamic_redirect", zone_id=zone)
    same(visit("/moved?a=1")[0], 530)
    target = {"expression": 'concat("https://example.com", lower(http.request.uri.path))'}
    redirect = {
        "ref": "moved",
        "action": "redirect",
        "expression": 'starts_with(http.request.uri.path, "/moved")',
        "action_parameters": {"from_value": {"status_code": 301, "target_url": target, "preserve_query_string": True}},
    }
    made = phases.update("http_request_dynamic_redirect", zone_id=zone, rules=[redirect])
    # The SDK hands rulesets on as they came.
    rule = made["rules"][0]
    same((made["kind"], made["version"], rule["ref"], rule["action"]), ("zone", "1", "moved", "redirect"))
    same(visit("/moved/HERE?a=1"), (301, "https://example.com/moved/here?a=1"))
    block = {"action": "block", "expression": 'http.request.uri.path wildcard "/private/*"'}
    firewall = phases.update("http_request_firewall_custom", zone_id=zone, rules=[block])
    same(visit("/PRIVATE/x")[0], 403)
    with refused(cloudflare.BadRequestError, 400, 20127):
        phases.update("http_request_firewall_custom", zone_id=zone, rules=[{**block, "expression": "http.hst eq 1"}])
    blocks = firewall["rules"][0]["id"]
    SDK.rulesets.rules.edit(blocks, ruleset_id=firewall["id"], zone_id=zone, **block, enabled=False)
    same(visit("/private/x")[0], 530)
    SDK.rulesets.delete(made["id"], zone_id=zone)
    same(visit("/moved/HERE")[0], 530)


api.run(globals())
