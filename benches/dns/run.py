#!/usr/bin/env python3
"""The name server beside nsd and knot, one after the other in turns. See README.md."""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ZONE = "bench.test"
PROXIED = 100
FILE_LINES = 1_000_100
TICK = os.sysconf("SC_CLK_TCK")


def zone(names, proxied):
    """The zone file: for the others whole, for the node without what it proxies."""
    lines = [f"$ORIGIN {ZONE}.", "$TTL 300", "@ SOA ns hostmaster 1 3600 600 86400 300", "@ NS ns", "ns A 127.0.0.1"]
    lines += [f"h{number} A 192.0.2.{number % 250}" for number in range(1, names + 1)]
    lines += ["*.wild A 192.0.2.77"]
    if proxied:
        for number in range(1, PROXIED + 1):
            lines += [f"p{number} A 127.0.0.1", f"p{number} AAAA ::1"]
    return "\n".join(lines) + "\n"


def cold(names, path):
    """Every name once, in no order: no cache has seen it."""
    numbers = list(range(1, names + 1))
    random.Random(1).shuffle(numbers)
    path.write_text("".join(f"h{number}.{ZONE} A\n" for number in numbers))
    return path


class Api:
    def __init__(self, base, token):
        self.base, self.token = base, token

    def ask(self, method, path, body, kind="application/json"):
        request = urllib.request.Request(self.base + path, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)["result"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.read().decode()[:2000]}")

    def file(self, path, text):
        mark = "poterne-bench"
        body = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="zone"\r\n\r\n{text}\r\n--{mark}--\r\n'
        return self.ask("POST", path, body.encode(), f"multipart/form-data; boundary={mark}")


def tree(pid):
    """A process and all that it has started."""
    pids, children = [], {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        pids.append(pid)
        waiting += children.get(pid, [])
    return pids


def cpu(pid):
    """Seconds of CPU that a server has used."""
    ticks = 0
    for member in tree(pid):
        try:
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def free_port():
    """A number that nobody has over UDP or TCP at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return tcp.getsockname()[1]


class Other:
    """Another server with a zone file of ours."""

    def __init__(self, name, directory, file):
        self.name, self.port = name, free_port()
        home = directory / f"{name}-{self.port}"
        home.mkdir()
        config = home / "conf"
        config.write_text(getattr(self, f"{name}_conf")(home, file))
        command = {"nsd": ["nsd", "-d", "-c", config], "knot": ["knotd", "-c", config]}[name]
        self.log = open(home / "log", "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        wait_until_served(self.port, self.process, home / "log")

    def nsd_conf(self, home, file):
        # Its rate limit is per network, and all of these queries come from one.
        return (f'server:\n  ip-address: 127.0.0.1@{self.port}\n  username: ""\n  zonesdir: "{home}"\n  pidfile: "{home}/pid"\n'
                f'  xfrdfile: "{home}/xfrd"\n  zonelistfile: "{home}/zones"\n  database: ""\n  server-count: 2\n  reuseport: yes\n'
                f"  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\n"
                f"zone:\n  name: {ZONE}\n  zonefile: {file}\n")

    def knot_conf(self, home, file):
        return (f"server:\n  listen: 127.0.0.1@{self.port}\n  rundir: {home}\n  udp-workers: 2\n  tcp-workers: 1\n"
                f"  background-workers: 1\ndatabase:\n  storage: {home}/db\nzone:\n  - domain: {ZONE}\n    storage: {file.parent}\n"
                f"    file: {file.name}\n    zonefile-sync: -1\n    journal-content: none\n")

    def end(self):
        self.process.terminate()
        self.process.wait(30)


def wait_until_served(port, process, log):
    """Until the zone's start of authority is answered; a large zone takes its time."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in ZONE.split("."))
    query = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\x00\x00\x06\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        asks.settimeout(0.5)
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"{log.parent.name} ended: {log.read_text()[-2000:]}")
            try:
                asks.sendto(query, ("127.0.0.1", port))
                answer = asks.recv(600)
                if answer[3] & 15 == 0 and answer[7]:
                    return
            except OSError:
                pass
            time.sleep(0.2)
    sys.exit(f"{log.parent.name} does not answer: {log.read_text()[-2000:]}")


def signed_beforehand(file, directory):
    """The same zone signed with the algorithm that the node takes, for servers that do not sign by themselves."""
    if not shutil.which("ldns-signzone"):
        sys.exit("the signed tables need ldns-signzone (Debian: ldnsutils)")
    keys = []
    for options in (["-k"], []):
        made = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", *options, ZONE], cwd=directory, check=True, capture_output=True,
                              text=True)
        keys.append(made.stdout.strip())
    signed = directory / "signed.zone"
    subprocess.run(["ldns-signzone", "-o", ZONE, "-f", signed, file, *keys], cwd=directory, check=True)
    return signed


def measure(server, queries, options, dnssec):
    """One turn: microseconds of the server's CPU a query, and queries a second."""
    before = cpu(server.pid)
    words = ["dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", str(queries), "-l", str(options.secs), "-c", "4", "-q", "100"]
    told = subprocess.run(words + (["-D"] if dnssec else []), capture_output=True, text=True).stdout
    spent = cpu(server.pid) - before
    numbers = {key: float(re.search(rf"{key}:\s+([0-9.]+)", told)[1]) for key in ("Queries completed", "Queries lost", "Queries per second")}
    micros = spent * 1e6 / numbers["Queries completed"]
    codes = re.search(r"Response codes:\s+(.*)", told)[1]
    print(f"{server.name:8} {micros:6.2f} us CPU a query, {numbers['Queries per second']:9.0f} a second, {numbers['Queries lost']:.0f} lost, {codes}",
          flush=True)
    return micros


def table(title, servers, queries, options, dnssec):
    print(f"== {title}", flush=True)
    turns = {server.name: [] for server in servers}
    for _ in range(options.pairs):
        for server in servers:
            turns[server.name].append(measure(server, queries, options, dnssec))
    ours = turns["poterne"]
    for name, theirs in turns.items():
        line = f"-- {name}: median {statistics.median(theirs):.2f} us"
        if name != "poterne":
            ratios = [one / other for one, other in zip(ours, theirs)]
            line += f"; poterne to {name}: median {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(line, flush=True)


class Node:
    """A node of ours, with the zone filled through its API."""

    name = "poterne"

    def __init__(self, options, directory):
        config = directory / "poterne.toml"
        config.write_text("version = 1\n")
        command = [options.bin, "serve", "--ready-fd", "1", "--config", str(config), "--state-dir", str(directory / "state")]
        settings = ["node.public_addresses=127.0.0.1,::1", f"control.activate={ZONE}"]
        settings += [f"{key}=127.0.0.1:0" for key in ("edge.http", "edge.https", "tunnel.listen", "control.listen", "control.metrics")]
        settings += ["dns.listen=127.0.0.1:0", "dns.listen_tls=[]", f"dns.nameservers=ns.{ZONE}"]
        for setting in settings:
            command += ["--set", setting]
        log = open(directory / "node.log", "w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ, POTERNE_LOG="warn"))
        self.pid = self.process.pid
        ready = json.loads(self.process.stdout.readline())
        self.port = int(ready["dns"].rsplit(":", 1)[1])
        token = subprocess.run(
            [options.bin, "token", "create", "--name", "bench", "--permissions", "all", "--json", "--state-dir", ready["state_dir"]],
            check=True, capture_output=True, text=True)
        self.api = Api(ready["api"], json.loads(token.stdout)["secret"])
        account = self.api.ask("GET", "/accounts", None)[0]["id"]
        made = self.api.ask("POST", "/zones", json.dumps({"name": ZONE, "account": {"id": account}}).encode())
        self.zone = f"/zones/{made['id']}"

    def fill(self, names):
        begun = time.monotonic()
        lines = zone(names, False).splitlines(keepends=True)
        for at in range(0, len(lines), FILE_LINES):
            # Each file has its own head; the API bounds how long one may be.
            head = "" if at == 0 else "".join(lines[:2])
            self.api.file(f"{self.zone}/dns_records/import", head + "".join(lines[at : at + FILE_LINES]))
        print(f"poterne: {names} names imported and answered after {time.monotonic() - begun:.1f} s", flush=True)
        posts = [{"type": "A", "name": f"p{number}", "content": "192.0.2.1", "proxied": True, "ttl": 1} for number in range(1, PROXIED + 1)]
        self.api.ask("POST", f"{self.zone}/dns_records/batch", json.dumps({"posts": posts}).encode())

    def sign(self):
        self.api.ask("PATCH", f"{self.zone}/dnssec", json.dumps({"status": "active"}).encode())

    def resident_kib(self):
        rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return next(line.split()[1] for line in rollup.splitlines() if line.startswith("Rss"))

    def end(self):
        self.process.terminate()
        self.process.wait(30)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--names", type=int, default=1000)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--secs", type=int, default=2)
    options.add_argument("--bin", default=str(ROOT / "target/dist/poterne"))
    options.add_argument("--tables", default="hits,mixed,mixed-do,hits-signed,mixed-signed")
    options.add_argument("--others", default="nsd,knot")
    options = options.parse_args()
    tables = options.tables.split(",")
    others = [name for name in options.others.split(",") if name]
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        running = []
        try:
            node = Node(options, directory)
            running.append(node)
            node.fill(options.names)
            theirs = directory / "bench.zone"
            theirs.write_text(zone(options.names, True))
            for signed in (False, True):
                chosen = [name for name in tables if name.endswith("-signed") == signed]
                if not chosen:
                    continue
                file = theirs
                if signed:
                    file = signed_beforehand(theirs, directory)
                    node.sign()
                servers = [Other(name, directory, file) for name in others]
                running += servers
                for name in chosen:
                    asked = re.sub("-(do|signed)$", "", name)
                    queries = cold(options.names, directory / "cold") if asked == "cold" else HERE / asked
                    table(name, [*servers, node], queries, options, signed or name.endswith("-do"))
                for server in servers:
                    running.remove(server)
                    server.end()
            print("poterne RSS KiB:", node.resident_kib())
        finally:
            for server in running:
                server.end()


main()
