#!/usr/bin/env python3
"""Runs the harness's dns.sh with a node of ours as one more server. See README.md."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROXIED = 100
FILE_LINES = 1_000_100


def zone(names, proxied):
    """The zone file: for the others whole, for the node without what it proxies."""
    lines = ["$ORIGIN bench.test.", "$TTL 300", "@ SOA ns hostmaster 1 3600 600 86400 300", "@ NS ns", "ns A 127.0.0.1"]
    lines += [f"h{number} A 192.0.2.{number % 250}" for number in range(1, names + 1)]
    lines += ["*.wild A 192.0.2.77"]
    if proxied:
        for number in range(1, PROXIED + 1):
            lines += [f"p{number} A 127.0.0.1", f"p{number} AAAA ::1"]
    return "\n".join(lines) + "\n"


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


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--names", type=int, default=1000)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--secs", type=int, default=2)
    options.add_argument("--bin", default=str(ROOT / "target/dist/poterne"))
    options.add_argument("--tables", default="hits,mixed,mixed-do")
    options = options.parse_args()
    harness = pathlib.Path(os.environ.get("POTERNE_BENCH") or sys.exit("POTERNE_BENCH names no harness: a directory that holds dns.sh"))
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        config = directory / "poterne.toml"
        config.write_text("version = 1\n")
        command = [options.bin, "serve", "--ready-fd", "1", "--config", str(config), "--state-dir", str(directory / "state")]
        settings = ["node.public_addresses=127.0.0.1,::1", "control.activate=bench.test"]
        settings += [f"{key}=127.0.0.1:0" for key in ("edge.http", "edge.https", "tunnel.listen", "control.listen", "control.metrics")]
        settings += ["dns.listen=127.0.0.1:0", "dns.listen_tls=[]", "dns.nameservers=ns.bench.test"]
        for setting in settings:
            command += ["--set", setting]
        log = open(directory / "node.log", "w")
        node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ, POTERNE_LOG="warn"))
        try:
            ready = json.loads(node.stdout.readline())
            token = subprocess.run(
                [options.bin, "token", "create", "--name", "bench", "--permissions", "all", "--json", "--state-dir", ready["state_dir"]],
                check=True, capture_output=True, text=True)
            api = Api(ready["api"], json.loads(token.stdout)["secret"])
            account = api.ask("GET", "/accounts", None)[0]["id"]
            made = api.ask("POST", "/zones", json.dumps({"name": "bench.test", "account": {"id": account}}).encode())
            records = f"/zones/{made['id']}/dns_records"
            begun = time.monotonic()
            lines = zone(options.names, False).splitlines(keepends=True)
            for at in range(0, len(lines), FILE_LINES):
                # Each file has its own head; the API bounds how long one may be.
                head = "" if at == 0 else "".join(lines[:2])
                api.file(f"{records}/import", head + "".join(lines[at : at + FILE_LINES]))
            print(f"poterne: {options.names} names imported and answered after {time.monotonic() - begun:.1f} s", flush=True)
            posts = [{"type": "A", "name": f"p{number}", "content": "192.0.2.1", "proxied": True, "ttl": 1} for number in range(1, PROXIED + 1)]
            api.ask("POST", f"{records}/batch", json.dumps({"posts": posts}).encode())
            theirs = directory / "bench.zone"
            theirs.write_text(zone(options.names, True))
            port = ready["dns"].rsplit(":", 1)[1]
            for table in options.tables.split(","):
                print(f"== {table}", flush=True)
                environment = dict(os.environ, ZONEFILE=str(theirs), QUERIES=str(HERE / table.removesuffix("-do")))
                if table.endswith("-do"):
                    environment["DO"] = "1"
                subprocess.run(["bash", str(harness / "dns.sh"), str(options.pairs), str(options.secs), f"poterne:{port}:{node.pid}"],
                               check=True, env=environment)
            with open(f"/proc/{node.pid}/smaps_rollup") as rollup:
                print("poterne RSS KiB:", next(line.split()[1] for line in rollup if line.startswith("Rss")))
        finally:
            node.terminate()
            node.wait(30)


main()
