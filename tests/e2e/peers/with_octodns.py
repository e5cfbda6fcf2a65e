"""PyPI's `octodns-cloudflare`: a zone is brought to what a file says, and then nothing is left to do."""

import pathlib
import textwrap

from octodns.manager import Manager

import api
from api import NODE, same

RECORDS = """
? ''
: - type: A
    value: 192.0.2.1
    octodns: {cloudflare: {proxied: true, auto-ttl: true}}
  - {type: MX, ttl: 600, values: [{preference: 10, exchange: mx.example.com.}]}
  - {type: CAA, values: [{flags: 0, tag: issue, value: ca.example}]}
  - {type: TXT, values: ["v=spf1 -all", "other text", "with \\\\; semicolon"]}
www: {type: CNAME, value: example.com., ttl: 300}
wide: {type: A, ttl: 120, values: [192.0.2.1, 192.0.2.2, 192.0.2.3]}
_sip._tcp: {type: SRV, ttl: 600, values: [{priority: 1, weight: 2, port: 5060, target: sip.example.com.}]}
sub: {type: NS, ttl: 3600, values: [ns1.example.org., ns2.example.org.]}
v6: {type: AAAA, value: "2001:DB8::1"}
commented: {type: A, value: 192.0.2.9, octodns: {cloudflare: {comment: a comment, tags: ["team:web"]}}}
"""

LATER = RECORDS.replace("192.0.2.3]", "192.0.2.4]").replace("www: {type: CNAME", "w3: {type: CNAME")


def sync():
    """What octodns-sync plans and does, as the program's own manager tells it."""
    zones = pathlib.Path("zones")
    zones.mkdir()
    pathlib.Path("octodns.yaml").write_text(
        textwrap.dedent(f"""
            providers:
              files: {{class: octodns.provider.yaml.YamlProvider, directory: ./zones, enforce_order: false}}
              cloudflare:
                class: octodns_cloudflare.CloudflareProvider
                token: {NODE["api_token"]}
                account_id: {NODE["account_id"]}
                api_url: {NODE["api"]}
            zones:
              example.com.: {{sources: [files], targets: [cloudflare]}}
        """)
    )

    def run(records):
        (zones / "example.com.yaml").write_text(records)
        return Manager("octodns.yaml").sync(dry_run=False, force=True)

    same(run(RECORDS), 10)
    same(run(RECORDS), 0)
    # One value of three, a new name and one that goes.
    same(run(LATER), 3)
    same(run(LATER), 0)


api.run(globals())
