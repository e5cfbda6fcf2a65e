"""Poterne for the peers' bench: the node and its agent as shipped, by the commands that a user types.

poterne      our agent over QUIC         poterne-h2     our agent over HTTP/2
poterne-stock, poterne-stock-h2          the stock agent that CLOUDFLARED_BIN names
poterne-proxy                            no tunnel: an address record that leads straight to the origin
"""
import json
import os
import time
import urllib.request

from core import HOST, Running

# Where an origin of our own listens, at port 80.
ORIGIN = "127.0.0.80"

TARGET = os.environ.get("POTERNE_TARGET") or os.path.join(os.path.dirname(__file__), "..", "..", "target", "dist")
SERVER = os.path.realpath(os.path.join(TARGET, "poterne"))
AGENT = os.path.realpath(os.path.join(TARGET, "poterne-agent"))


def node(c):
    """A node that serves the bench's zone, without a record yet."""
    tunnel, http, https, api, metrics = (c.port() for _ in range(5))
    state = os.path.join(c.dir, "state")
    config = c.file("poterne.toml", f"""version = 1
[node]
state_dir = "{state}"
[edge]
http = ["127.0.0.1:{http}"]
https = ["127.0.0.1:{https}"]
certificates = [{{ cert = "{c.cert}", key = "{c.key}" }}]
connections_per_address_max = 20000
origins_allowed = [{{ cidr = "127.0.0.0/8" }}]
[tunnel]
listen = ["{c.server_ip}:{tunnel}"]
edges = ["{c.server_ip}:{tunnel}"]
[control]
listen = "127.0.0.1:{api}"
metrics = "127.0.0.1:{metrics}"
activate = ["{HOST}"]
""")
    server = c.spawn([SERVER, "serve", "--config", config], "server")
    deadline = time.time() + 15
    while not os.path.exists(os.path.join(state, "admin.sock")):
        if time.time() > deadline:
            raise RuntimeError(f"the node did not start; logs in {c.dir}")
        time.sleep(0.05)

    def verb(*words):
        done = c.run([SERVER, *words, "--config", config])
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}{done.stdout}")
        return done.stdout.strip()

    verb("zone", "add", HOST)
    verb("zone", "activate", HOST)
    return http, https, tunnel, api, state, verb, server


def tunnelled(c):
    """A node whose one hostname leads to the origin through a tunnel; gives its addresses and the tunnel's token."""
    http, https, tunnel, _, state, verb, server = node(c)
    verb("tunnel", "create", "bench")
    verb("tunnel", "route", HOST, "bench", f"http://127.0.0.1:{c.origin_port}")
    return http, https, tunnel, state, verb("tunnel", "token", "bench"), server


def proxy(c):
    """Plain HTTP to the origin whatever the visitor speaks, as the peers do. An address record leads to port 80, without a rule that says
    otherwise: the harness's origin is started once more there, from its own file, and counts to nobody."""
    with open(os.path.join(c.dir, "..", "origin", "nginx.conf")) as f:
        conf = f.read()
    here = f"listen 127.0.0.1:{c.origin_port} "
    if here not in conf:
        raise RuntimeError("only the origin that is nginx can be proxied to")
    own = os.path.join(c.dir, "origin")
    os.makedirs(own)
    conf = conf.replace(here, f"listen {ORIGIN}:80 ").replace("/origin/pid;", f"/{c.name}/origin.pid;")
    c.spawn(["nginx", "-c", c.file("origin.conf", conf), "-p", own])
    http, https, _, api, _, verb, server = node(c)
    token = json.loads(verb("token", "create", "--name", "bench", "--permissions", "all", "--json"))["secret"]

    def call(method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        fields = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        asked = urllib.request.Request(f"http://127.0.0.1:{api}/client/v4{path}", data, fields, method=method)
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)["result"]

    zone = call("GET", f"/zones?name={HOST}")[0]["id"]
    call("PATCH", f"/zones/{zone}/settings/ssl", {"value": "flexible"})
    call("POST", f"/zones/{zone}/dns_records", {"type": "A", "name": HOST, "content": ORIGIN, "proxied": True})
    return Running(("127.0.0.1", http), ("127.0.0.1", https), {"server": [server]})


def poterne(c, protocol="quic"):
    http, https, _, _, token, server = tunnelled(c)
    agent = c.spawn([AGENT, "tunnel", "run", "--protocol", protocol, "--state-dir", os.path.join(c.dir, "agent"), "--token", token], "client")
    return Running(("127.0.0.1", http), ("127.0.0.1", https), {"server": [server], "client": [agent]})


def stock(c, protocol="quic"):
    program = os.environ.get("CLOUDFLARED_BIN")
    if not program:
        raise RuntimeError("CLOUDFLARED_BIN names no stock agent")
    http, https, tunnel, state, token, server = tunnelled(c)
    edges = ["--edge", f"{c.server_ip}:{tunnel}"] * 4
    agent = c.spawn([program, "tunnel", "--no-autoupdate", "--no-prechecks", *edges, "--cacert", os.path.join(state, "ca.pem"), "--protocol", protocol, "--metrics", "127.0.0.1:0", "run", "--token", token], "client")
    return Running(("127.0.0.1", http), ("127.0.0.1", https), {"server": [server], "client": [agent]})


PEERS = {
    "poterne": ("tunnel", poterne),
    "poterne-h2": ("tunnel", lambda c: poterne(c, "http2")),
    "poterne-stock": ("tunnel", stock),
    "poterne-stock-h2": ("tunnel", lambda c: stock(c, "http2")),
    "poterne-proxy": ("proxy", proxy),
}
