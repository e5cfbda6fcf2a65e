"""PyPI's `dns-lexicon`: its provider's four verbs.

The provider is asked directly: lexicon's `Client` first downloads the list of public suffixes, and knows of one API only.
"""

import json
import urllib.request

from lexicon._private.providers.cloudflare import Provider
from lexicon.config import ConfigResolver
from lexicon.exceptions import AuthenticationError

import api
from api import NODE, same


def post(path, body):
    headers = {"Authorization": f"Bearer {NODE['api_token']}", "Content-Type": "application/json"}
    request = urllib.request.Request(NODE["api"] + path, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["result"]


def provider(domain="example.com", **options):
    options = {"auth_token": NODE["api_token"], **options}
    config = {"provider_name": "cloudflare", "domain": domain, "cloudflare": options}
    made = Provider(ConfigResolver().with_dict(config))
    made.api_endpoint, made.domain = NODE["api"], domain
    made.authenticate()
    return made


def verbs():
    zone = post("/zones", {"name": "example.com", "account": {"id": NODE["account_id"]}})["id"]
    # More zones than it reads in one go.
    for n in range(60):
        post("/zones", {"name": f"more-{n}.example.org", "account": {"id": NODE["account_id"]}})
    lexicon = provider()
    same(lexicon.domain_id, zone)
    same(provider(zone_id=zone).domain_id, zone)
    try:
        provider(domain="absent.example")
    except AuthenticationError as error:
        same(str(error), "No domain found")
    else:
        raise AssertionError("a zone that is not there was found")

    def told(rtype, name=None, content=None):
        return [(record["name"], record["content"]) for record in lexicon.list_records(rtype, name, content)]

    for _ in range(2):
        assert lexicon.create_record("A", "www.example.com", "192.0.2.1")
        assert lexicon.create_record("TXT", "_acme-challenge", "told")
        assert lexicon.create_record("SRV", "_sip._tcp", "10 20 5060 sip.example.com")
    same(told("A"), [("www.example.com", "192.0.2.1")])
    same(told("TXT", "_acme-challenge.example.com", "told"), [("_acme-challenge.example.com", "told")])
    same([name for name, _ in told("SRV")], ["_sip._tcp.example.com"])

    assert lexicon.create_record("A", "www.example.com", "192.0.2.2")
    same(sorted(content for _, content in told("A", "www")), ["192.0.2.1", "192.0.2.2"])
    assert lexicon.delete_record(None, "A", "www", "192.0.2.2")
    assert lexicon.update_record(None, "A", "www", "192.0.2.3")
    same(told("A"), [("www.example.com", "192.0.2.3")])
    identifier = lexicon.list_records("A")[0]["id"]
    assert lexicon.update_record(identifier, "A", "www", "192.0.2.4")
    same(told("A"), [("www.example.com", "192.0.2.4")])
    assert lexicon.delete_record(None, "TXT", "_acme-challenge", "told")
    same(told("TXT"), [])


api.run(globals())
