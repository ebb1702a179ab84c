# SPDX-License-Identifier: Apache-2.0
"""Collectors of spans for tests: one over HTTP (OTLP and Zipkin alike) and one over gRPC, which remember what they were
sent and answer as they are told. Import sdk before."""

import http.server
import json
import socket
import ssl
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from remora import DEADLINE_S, eventually

OTLP_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Request:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.at = time.monotonic()

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def otlp(self):
        return trace_service_pb2.ExportTraceServiceRequest.FromString(self.body)

    @property
    def zipkin(self):
        return json.loads(self.body)


class Collector:
    """HTTP; serves as an application, too. `answers` are taken one a request, the last one stays: (status, headers, body), or "hang" or "cut"."""

    def __init__(self, *answers, tls=None, asks_for=None, port=0):
        self.requests, self.answers = [], list(answers) or [(200, [], b"")]
        self.lock, self.is_over = threading.Lock(), threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                answer = collector.take(Request(self.path, list(self.headers.items()), body))
                if answer == "hang":
                    collector.is_over.wait(DEADLINE_S)
                if answer in ("hang", "cut"):
                    self.close_connection = True
                    return
                status, headers, text = answer
                self.send_response(status)
                for name, value in [*headers, ("Content-Length", str(len(text)))]:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # clients leave, or do not trust it
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            if asks_for:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(asks_for)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, request):
        with self.lock:
            self.requests.append(request)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def otlp_spans(self):
        return [span for _, span in self.otlp_pairs()]

    def otlp_pairs(self):
        """(the resource's attributes, the span as the recordings show it) of all requests."""
        return [pair for request in list(self.requests) for pair in pairs_of(request.otlp)]

    def zipkin_spans(self):
        return [span for request in list(self.requests) for span in request.zipkin]

    def wait_for(self, count, spans):
        """Until so many spans are there; `spans` is one of the two above."""
        return eventually(lambda: len(spans()) >= count and spans(), f"{count} spans")

    def end(self):
        self.is_over.set()
        self.server.shutdown()
        self.server.server_close()


def attributes_of(message):
    return {pair.key: pair.value.string_value for pair in message.attributes}


def pairs_of(request):
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield attributes_of(resource_spans.resource), span


def as_json(message):
    """As in recordings/otlp.json: names as in JSON, ids left out of sight."""
    return json_format.MessageToDict(message)


class GrpcCollector:
    """`answers` as above: None for success, a serialized answer, or (code, text, trailing metadata)."""

    def __init__(self, *answers):
        self.requests, self.answers, self.lock = [], list(answers) or [b""], threading.Lock()
        collector = self

        def export(request, context):
            with collector.lock:
                collector.requests.append((request, dict(context.invocation_metadata()), context.time_remaining()))
                answer = collector.answers.pop(0) if len(collector.answers) > 1 else collector.answers[0]
            if isinstance(answer, tuple):
                code, text, trailers = answer
                context.set_trailing_metadata(trailers)
                context.abort(code, text)
            return answer

        handler = grpc.unary_unary_rpc_method_handler(export)
        service, method = OTLP_METHOD[1:].split("/")
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def pairs(self):
        requests = [trace_service_pb2.ExportTraceServiceRequest.FromString(body) for body, _, _ in list(self.requests)]
        return [pair for request in requests for pair in pairs_of(request)]

    def end(self):
        self.server.stop(0)


class Deaf:
    """A port that takes connections and says nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def end(self):
        self.socket.close()
