"""A collector that reads spans with PyPI's `opentelemetry-proto`, and a service that says what it read of the trace it is part of.

`POST /v1/traces` is the collector's; `GET /spans` tells what it was sent; whatever else is asked is the service's to answer. With `put_off`, the
first batch is put off."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

LOCK, SPANS = threading.Lock(), []
PUT_OFF = ["put_off"] if "put_off" in sys.argv[1:] else []


def attributes(pairs):
    told = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
    assert len(told) == len(pairs), f"an attribute stands twice: {pairs}"
    return told


def read(request):
    for resource in request.resource_spans:
        program = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            assert scope.scope.name == "poterne", scope.scope
            for span in scope.spans:
                assert span.start_time_unix_nano <= span.end_time_unix_nano, span
                yield {
                    "service": program["service.name"],
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "flags": span.flags,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": Status.StatusCode.Name(span.status.code),
                    "attributes": attributes(span.attributes),
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **fields}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf", self.headers
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with LOCK:
            if PUT_OFF:
                PUT_OFF.pop()
                return self.answer(503, Retry_After="0")
            SPANS.extend(read(ExportTraceServiceRequest.FromString(body)))
        self.answer(200, ExportTraceServiceResponse().SerializeToString(), Content_Type="application/x-protobuf")

    def do_GET(self):
        if self.path == "/spans":
            with LOCK:
                told = list(SPANS)
        else:
            names = ("traceparent", "tracestate", "cf-ray")
            told = {name: self.headers.get_all(name, []) for name in names}
        self.answer(200, json.dumps(told).encode(), Content_Type="application/json")


server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
print(json.dumps({"url": "http://127.0.0.2:%d" % server.server_address[1]}), flush=True)
server.serve_forever()
