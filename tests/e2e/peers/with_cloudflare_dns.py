"""DNS rows with the official Python SDK, PyPI's `cloudflare`, which here refuses every answer that is not of the documented shape."""

import cloudflare
from cloudflare import Cloudflare

import api
from api import NODE, refused, same

SDK = Cloudflare(base_url=NODE["api"], api_token=NODE["api_token"], max_retries=0, _strict_response_validation=True)
RECORDS = SDK.dns.records
ZONE = SDK.zones.create(account={"id": NODE["account_id"]}, name="example.com").id


def create(**record):
    return RECORDS.create(zone_id=ZONE, **{"ttl": 300, **record})


def find(**filters):
    return sorted(record.name for record in RECORDS.list(zone_id=ZONE, **filters))


def create_a(name, content="192.0.2.1", **more):
    return create(type="A", name=name, content=content, **more)


def records():
    made = create_a("www", "192.0.2.7", ttl=1, proxied=True, comment="a comment", tags=["team:web"])
    same((made.name, made.content, made.ttl, made.proxied), ("www.example.com", "192.0.2.7", 1, True))
    same((made.comment, made.tags, made.proxiable), ("a comment", ["team:web"], True))
    same(create(type="AAAA", name="v6", content="2001:DB8:0::1").content, "2001:db8::1")
    mail = create(type="MX", name="@", content="mx.example.com.", priority=10)
    same((mail.name, mail.content, mail.priority, mail.proxied), ("example.com", "mx.example.com", 10, False))
    same(create(type="TXT", name="text", content="told").content.strip('"'), "told")
    service = create(
        type="SRV", name="_sip._tcp", data={"priority": "1", "weight": 5, "port": 5060, "target": "sip.example.com."}
    )
    same(service.content, "5 5060 sip.example.com")
    same((service.data.priority, service.data.port, service.data.target), (1, 5060, "sip.example.com"))
    authority = create(type="CAA", name="@", data={"flags": 0, "tag": "issue", "value": "ca.example"})
    same((authority.content, authority.data.tag), ('0 issue "ca.example"', "issue"))
    https = create(type="HTTPS", name="svc", data={"priority": 1, "target": ".", "value": 'alpn="h2"'})
    same((https.content, https.data.value), ('1 . alpn="h2"', 'alpn="h2"'))
    place = dict(lat_degrees=37, lat_minutes=46, lat_seconds=46, lat_direction="N", altitude=0, size=100)
    place |= dict(long_degrees=122, long_minutes=23, long_seconds=35, long_direction="W", precision_horz=0, precision_vert=0)
    same(create(type="LOC", name="loc", data=place).data.long_degrees, 122)
    alias = create(type="CNAME", name="app", content=f"{NODE['tunnel_id']}.cfargotunnel.com", ttl=1)
    same(alias.proxied, True)

    same(len(list(RECORDS.list(zone_id=ZONE, per_page=4))), 9)
    past = RECORDS.list(zone_id=ZONE, per_page=4, page=4)
    same((past.result, past.result_info.total_count), ([], 9))
    same(find(type="TXT", content={"exact": "told"}), ["text.example.com"])
    same(find(name={"exact": "WWW.example.com"}), ["www.example.com"])
    same(find(name={"startswith": "w"}), ["www.example.com"])
    same(find(tag={"exact": "team:web"}), ["www.example.com"])
    same(find(comment={"contains": "comm"}), ["www.example.com"])
    same(find(proxied=True), ["app.example.com", "www.example.com"])
    same(find(match="any", type="TXT", content={"contains": "192.0.2."}), ["text.example.com", "www.example.com"])
    ordered = [record.name for record in RECORDS.list(zone_id=ZONE, order="name", direction="desc")]
    same(ordered, sorted(ordered, reverse=True))

    at = dict(zone_id=ZONE, dns_record_id=made.id)
    edited = RECORDS.edit(**at, type="A", name="www", ttl=1, content="192.0.2.8")
    same((edited.content, edited.proxied, edited.comment), ("192.0.2.8", True, "a comment"))
    replaced = RECORDS.update(**at, type="A", name="www", ttl=300, content="192.0.2.9")
    same((replaced.content, replaced.proxied, replaced.ttl), ("192.0.2.9", False, 300))
    assert not replaced.comment and replaced.tags == [], replaced
    same(RECORDS.get(**at).content, "192.0.2.9")
    same(RECORDS.delete(**at).id, made.id)
    with refused(cloudflare.NotFoundError, 404, 81044):
        RECORDS.get(**at)
    with refused(cloudflare.NotFoundError, 404, 81044):
        RECORDS.delete(**at)


def conflicts():
    create_a("www")
    create(type="CNAME", name="alias", content="elsewhere.example.org")
    create(type="TXT", name="text", content="told")
    foreign = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d.cfargotunnel.com"
    before = RECORDS.export(zone_id=ZONE)
    for code, record in [
        (81058, dict(type="A", name="www", content="192.0.2.1")),
        (81058, dict(type="TXT", name="text", content='"told"')),
        (81053, dict(type="CNAME", name="www", content="elsewhere.example.org")),
        (81053, dict(type="CNAME", name="alias", content="another.example.org")),
        (81054, dict(type="A", name="alias", content="192.0.2.1")),
        (1004, dict(type="CNAME", name="tunnel", content=foreign)),
        (9005, dict(type="A", name="wrong", content="300.1.1.1")),
        (9004, dict(type="A", name="private", content="10.0.0.1", proxied=True)),
    ]:
        with refused(cloudflare.BadRequestError, 400, code):
            create(**record)
    same(without_dates(RECORDS.export(zone_id=ZONE)), without_dates(before))


def without_dates(file):
    """A zone file without the lines that tell when it was written, and the serial."""
    return [line for line in file.splitlines() if "Exported" not in line and "SOA" not in line]


def batches():
    first, second, gone = (create_a(name) for name in ("first", "second", "gone"))
    done = RECORDS.batch(
        zone_id=ZONE,
        deletes=[{"id": gone.id}],
        patches=[{"id": first.id, "type": "A", "name": "first", "ttl": 300, "content": "192.0.2.2"}],
        puts=[{"id": second.id, "type": "A", "name": "moved", "ttl": 60, "content": "192.0.2.3"}],
        posts=[{"type": "A", "name": f"new-{n}", "ttl": 60, "content": "192.0.2.4"} for n in range(20)],
    )
    same([record.id for record in done.deletes], [gone.id])
    same([record.content for record in done.patches], ["192.0.2.2"])
    same([(record.id, record.name) for record in done.puts], [(second.id, "moved.example.com")])
    same([record.name for record in done.posts], [f"new-{n}.example.com" for n in range(20)])
    same(len(find()), 22)

    before = RECORDS.export(zone_id=ZONE)
    with refused(cloudflare.BadRequestError, 400, 81058):
        RECORDS.batch(
            zone_id=ZONE,
            deletes=[{"id": first.id}],
            posts=[
                {"type": "A", "name": "good", "ttl": 60, "content": "192.0.2.4"},
                {"type": "A", "name": "new-1", "ttl": 60, "content": "192.0.2.4"},
            ],
        )
    same(without_dates(RECORDS.export(zone_id=ZONE)), without_dates(before))


def files():
    create_a("www", "192.0.2.7", ttl=1, proxied=True, comment="a comment", tags=["team:web"])
    create(type="MX", name="@", content="mx.example.com", priority=10)
    create(type="TXT", name="text", content='with "quotes" and a long tail ' + 300 * "x")
    create(type="CAA", name="@", data={"flags": 0, "tag": "issue", "value": "ca.example"})
    first = RECORDS.export(zone_id=ZONE)
    assert "www.example.com." in first and "192.0.2.7" in first, first
    for record in list(RECORDS.list(zone_id=ZONE)):
        RECORDS.delete(zone_id=ZONE, dns_record_id=record.id)
    done = RECORDS.import_(zone_id=ZONE, file=first)
    same((done.recs_added, done.total_records_parsed), (4, 4))
    same(without_dates(RECORDS.export(zone_id=ZONE)), without_dates(first))
    same(find(proxied=True, tag={"exact": "team:web"}, comment={"exact": "a comment"}), ["www.example.com"])

    other = SDK.zones.create(account={"id": NODE["account_id"]}, name="example.org").id
    file = "$ORIGIN example.org.\n$TTL 300\n@ IN SOA a. b. 1 2 3 4 5\nwww A 192.0.2.1 ; hello\nmail 60 IN MX 5 mx\n"
    same(RECORDS.import_(zone_id=other, file=file, proxied="true").recs_added, 2)
    made = {record.type: record for record in RECORDS.list(zone_id=other)}
    same((made["A"].name, made["A"].proxied, made["A"].comment), ("www.example.org", True, "hello"))
    same((made["MX"].content, made["MX"].priority, made["MX"].ttl), ("mx.example.org", 5, 60))


api.run(globals())
