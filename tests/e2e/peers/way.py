"""What each peer does: it starts an origin, says where that is, waits to be told the way in from outside, then runs its rows.

One process holds both ends, the service behind the tunnel and the visitor in front of the edge, so that what one end sent and the
other received can be compared at any moment, and nothing has to wait for a clock.
"""

import json
import ssl
import sys


class Way:
    """How a visitor reaches the origin."""

    def __init__(self, told):
        self.hostname = told["hostname"]
        self.http = told["http"]
        self.https = told["https"]
        self.ca_file = told["ca_file"]
        self.state_dir = told["state_dir"]

    @property
    def https_port(self):
        return int(self.https.rsplit(":", 1)[1])

    @property
    def http_port(self):
        return int(self.http.rsplit(":", 1)[1])

    def tls(self):
        return ssl.create_default_context(cafile=self.ca_file)


def announce(url):
    """Says where the origin is."""
    print(json.dumps({"url": url}), flush=True)


def wait():
    """Waits until the origin is reachable from outside."""
    line = sys.stdin.readline()
    if not line:
        sys.exit("the test ended before it told the way in")
    return Way(json.loads(line))
