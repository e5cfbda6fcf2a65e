"""PyPI's `schemathesis` and `openapi-spec-validator`: the document is one of OpenAPI 3.1, and the API is what it says."""

import json
import pathlib
import subprocess
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

import api
from api import NODE, same

# How many requests are made up at most, of the 1,200 a minute that a token may make, and for how long: eight for each operation.
RATE = 1100
REQUESTS_EACH = 8

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]


def ask(method, path, body=None):
    request = urllib.request.Request(NODE["api"] + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("authorization", f"Bearer {NODE['api_token']}")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["result"]


def document():
    """It is valid."""
    with urllib.request.urlopen(NODE["api"] + "/openapi.json") as answer:
        OpenAPIV31SpecValidator(json.load(answer)).validate()


def scene(number):
    """Objects of every kind, by the path's variables that mean them."""
    account = NODE["account_id"]
    of = f"/accounts/{account}"
    zone = ask("POST", "/zones", {"name": f"scene{number}.example.com"})["id"]
    tunnel = ask("POST", f"{of}/cfd_tunnel", {"name": f"scene{number}"})["id"]
    words = ask("POST", f"{of}/rules/lists", {"name": f"scene{number}", "kind": "ip"})["id"]
    operation = ask("POST", f"{of}/rules/lists/{words}/items", [{"ip": "198.51.100.1"}])["operation_id"]
    block = [{"action": "block", "expression": "true"}]
    ruleset = {"name": "scene", "kind": "custom", "phase": "http_request_firewall_custom", "rules": block}
    zone_ruleset, account_ruleset = ask("POST", f"/zones/{zone}/rulesets", ruleset), ask("POST", f"{of}/rulesets", ruleset)
    dns_read = next(group["id"] for group in ask("GET", "/user/tokens/permission_groups") if group["name"] == "DNS Read")
    policy = {"permission_groups": [{"id": dns_read}], "resources": {"com.cloudflare.api.account.zone.*": "*"}}
    rule = {"mode": "block", "configuration": {"target": "ip", "value": f"192.0.2.{number + 1}"}}
    rules = "firewall/access_rules/rules"
    token = {"name": "scene", "policies": [policy]}
    shared = {
        "account": account,
        "zone": zone,
        "record": ask("POST", f"/zones/{zone}/dns_records", {"type": "A", "name": "scene", "content": "192.0.2.9"})["id"],
        "tunnel": tunnel,
        "route": ask("POST", f"{of}/teamnet/routes", {"network": f"10.{number}.0.0/16", "tunnel_id": tunnel})["id"],
        "network": ask("POST", f"{of}/teamnet/virtual_networks", {"name": f"scene{number}"})["id"],
        "list": words,
        "item": ask("GET", f"{of}/rules/lists/{words}/items")[0]["id"],
        "operation": operation,
        "member": ask("POST", f"{of}/members", {"email": f"scene{number}@example.com", "roles": ["DNS"]})["id"],
        "membership": ask("GET", "/memberships")[0]["id"],
        "setting": "brotli",
        "phase": "http_request_firewall_custom",
        "version": "1",
        "role": ask("GET", f"{of}/roles")[0]["id"],
        "plan": ask("GET", f"/zones/{zone}/available_plans")[0]["id"],
        "ip": f"10.{number}.0.1",
    }
    by_owner = {
        "/zones/": {
            "ruleset": zone_ruleset["id"],
            "rule": zone_ruleset["rules"][0]["id"],
            "access_rule": ask("POST", f"/zones/{zone}/{rules}", rule)["id"],
        },
        "/accounts/": {
            "ruleset": account_ruleset["id"],
            "rule": account_ruleset["rules"][0]["id"],
            "access_rule": ask("POST", f"{of}/{rules}", rule)["id"],
            "token": ask("POST", f"{of}/tokens", token)["id"],
        },
        "/user/": {
            "access_rule": ask("POST", f"/user/{rules}", rule)["id"],
            "token": ask("POST", "/user/tokens", token)["id"],
        },
    }
    return shared, by_owner


def configuration():
    """Each operation is given objects that are there; what deletes gets a scene of its own."""
    document = json.load(urllib.request.urlopen(NODE["api"] + "/openapi.json"))
    scenes = [scene(0), scene(1)]
    lines = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "servers":
                continue
            shared, by_owner = scenes[1 if method == "delete" else 0]
            known = shared | next((of for start, of in by_owner.items() if path.startswith(start)), {})
            if "access_rules" in path:
                known["rule"] = known["access_rule"]
            names = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
            values = ", ".join(f'"path.{name}" = "{known[name]}"' for name in names if name in known)
            lines += ["[[operations]]", f'include-operation-id = "{operation["operationId"]}"', f"parameters = {{ {values} }}"]
    pathlib.Path("schemathesis.toml").write_text("\n".join(lines))
    return document


def fuzz():
    """What is made up within the document's words, and beyond them, is answered as it says."""
    document = configuration()
    command = [sys.executable, "-m", "schemathesis.cli", "run", NODE["api"] + "/openapi.json"]
    command += ["--header", f"Authorization: Bearer {NODE['api_token']}", "--checks", ",".join(CHECKS)]
    told = sum(method != "servers" for item in document["paths"].values() for method in item)
    seconds = told * REQUESTS_EACH * 60 // RATE
    command += ["--max-time", str(seconds), "--seed", "8600", "--generation-database", "none", "--continue-on-failure"]
    command += ["--rate-limit", f"{RATE}/m", "--report", "json", "--report-json-path", "report.json", "--no-color"]
    # How much the generator throws away of what it makes up for an id of one form says nothing of the API.
    command += ["--suppress-health-check", "filter_too_much"]
    ended = subprocess.run(command, check=False, stdout=sys.stderr).returncode
    assert ended == 0, "schemathesis found something, see above"
    report = json.loads(pathlib.Path("report.json").read_text())
    same((report["operations"]["total"], report["operations"]["tested"]), (told, told))


api.run({"document": document, "fuzz": fuzz})
