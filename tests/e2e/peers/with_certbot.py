"""PyPI's `certbot-dns-cloudflare`: the plugin's authenticator, given a challenge as certbot gives it."""

import os
import pathlib
import sys
from types import SimpleNamespace

import josepy
from acme import challenges, messages
from certbot import achallenges, errors
from certbot._internal.display import obj as display
from certbot_dns_cloudflare._internal.dns_cloudflare import Authenticator
from cloudflare import Cloudflare
from cryptography.hazmat.primitives.asymmetric import rsa

import api
from api import NODE, same

# Where the plugin's own SDK looks when nobody tells it.
os.environ["CLOUDFLARE_BASE_URL"] = NODE["api"]
SDK = Cloudflare(api_token=NODE["api_token"])
# What the plugin tells its user while it waits.
display.set_display(display.FileDisplay(sys.stderr, force_interactive=False))
KEY = josepy.JWKRSA(key=rsa.generate_private_key(65537, 2048))


def authenticator(token):
    # Each has its own: the plugin reads it anew whenever it is asked.
    file = pathlib.Path(f"credentials-{token}.ini")
    file.touch(0o600)
    file.write_text(f"dns_cloudflare_api_token = {token}\n")
    options = SimpleNamespace(dns_cloudflare_credentials=str(file), dns_cloudflare_propagation_seconds=0)
    return Authenticator(options, "dns-cloudflare")


def challenge(name, token):
    return achallenges.KeyAuthorizationAnnotatedChallenge(
        challb=messages.ChallengeBody(chall=challenges.DNS01(token=token), uri="", status=messages.STATUS_PENDING),
        identifier=messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name),
        account_key=KEY,
    )


def authenticate():
    zone = SDK.zones.create(account={"id": NODE["account_id"]}, name="example.com").id

    def told():
        records = SDK.dns.records.list(zone_id=zone, type="TXT")
        return sorted((record.name, record.content.strip('"'), record.ttl) for record in records)

    # A name and its wildcard are validated at the same owner name.
    asked = [challenge("www.example.com", b"1" * 32), challenge("www.example.com", b"2" * 32)]
    wanted = sorted(("_acme-challenge.www.example.com", one.validation(KEY), 120) for one in asked)
    plugin = authenticator(NODE["api_token"])
    same(len(plugin.perform(asked)), 2)
    same(told(), wanted)
    # A run that was cut off left its records behind.
    plugin.perform(asked)
    same(told(), wanted)
    plugin.cleanup(asked[:1])
    same([content for _, content, _ in told()], [asked[1].validation(KEY)])
    plugin.cleanup(asked)
    same(told(), [])

    for token in ("wrong", "A" * 40):
        try:
            authenticator(token).perform(asked)
        except errors.PluginError as error:
            assert "Did you enter a valid Cloudflare Token?" in str(error), error
        else:
            raise AssertionError(f"{token} was accepted")
    try:
        plugin.perform([challenge("www.example.net", b"3" * 32)])
    except errors.PluginError as error:
        assert "entered correctly and is already associated" in str(error), error
    else:
        raise AssertionError("a zone that is not there was found")


api.run(globals())
