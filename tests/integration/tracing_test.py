# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""Spans as collectors get them, compared with what the reference sends; which collector it is; collectors that are slow,
absent or say no; trace context and baggage on both surfaces. Numbers with § are sections of the behaviour that is
matched."""

import sdk  # noqa: F401  isort: skip

import json
import os
import re
import signal
import subprocess
import time
from concurrent import futures

import grpc
from collectors import Collector, Deaf, GrpcCollector, as_json, attributes_of
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2, secret_pb2, state_pb2
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from remora import Folder, Sidecar, call, component, equal, eventually, free_port, main, need, shared, test

MEM = component("mem", "state.in-memory")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
ZERO = "00-00000000000000000000000000000000-0000000000000000-00"
DAPR = "/dapr.proto.runtime.v1.Dapr/"


def traced(tracing, env=(), flags=(), resources=(MEM,), delay_ms=20, **more):
    """A sidecar with this under spec.tracing (None: no Configuration at all)."""
    folder = Folder()
    if tracing is not None:
        folder.write("config.yaml", f"kind: Configuration\nspec:\n  tracing: {tracing}\n")
        flags = [*flags, "--config", folder / "config.yaml"]
    metrics = free_port()
    environment = {"PATH": os.environ["PATH"], "OTEL_BSP_SCHEDULE_DELAY": str(delay_ms), **dict(env)}
    sidecar = Sidecar(
        *resources, flags=["--metrics-port", str(metrics), *flags], env=environment, folder=folder, **more
    )
    sidecar.metrics_address = ("127.0.0.1", metrics)
    return sidecar


def otlp(port, extra="", protocol="http", rate="1"):
    return (
        f"{{samplingRate: '{rate}', otel: {{endpointAddress: '127.0.0.1:{port}', protocol: {protocol}, "
        f"isSecure: false{extra}}}}}"
    )


def zipkin(port):
    return f"{{samplingRate: '1', zipkin: {{endpointAddress: 'http://127.0.0.1:{port}/api/v2/spans'}}}}"


def outcome(sidecar, exporter, name):
    text = call(sidecar.metrics_address, "GET", "/").text
    found = re.search(rf'^remora_spans_total{{app_id="shop",exporter="{exporter}",outcome="{name}"}} (\d+)', text, re.M)
    return int(found[1]) if found else 0


def change(sidecar, tracing, words="spans go to other collectors from now on"):
    """Puts this under spec.tracing and waits for these words in the log."""
    said = sidecar.log().count(words)
    # As a whole: half of it would be a Configuration without tracing.
    new = sidecar.folder.write("config.new", f"kind: Configuration\nspec:\n  tracing: {tracing}\n")
    os.replace(new, sidecar.folder / "config.yaml")
    sidecar.signal(signal.SIGHUP)
    eventually(lambda: sidecar.log().count(words) > said, words)


def ask(connection):
    """On a connection that stays: opening one for each of thousands of requests would be the test."""
    connection.send(b"GET /v1.0/state/mem/a HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection.reply().status


def recorded(file, name):
    with open(shared("recordings", file)) as f:
        return next(entry for entry in json.load(f)["entries"] if entry["name"] == name)


def replay(sidecar, entry):
    request = entry["request"]
    headers = [h for h in request["headers"] if h[0] not in ("Host", "Content-Length")]
    headers.append(("Host", f"127.0.0.1:{sidecar.port}"))
    return sidecar.call(request["method"], request["target"], request["body"], headers)


# --- what a span looks like -------------------------------------------------------------------------------------------

STATE = ("state save on front", "state get of front", "error on front")


def plain_otlp(span):
    """Ids, times and ports by their form only."""
    for key in ("traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano"):
        span[key] = f"<{key}>"
    attributes = {pair["key"]: pair["value"]["stringValue"] for pair in span["attributes"]}
    need(re.fullmatch(r"\d+|<CLIENT_PORT>", attributes.pop("server.port")), "a port")
    return {**span, "attributes": attributes}


@test("OTLP over HTTP: spans of the state API are the recorded ones", "§13 INV-55")
def otlp_spans():
    collector = Collector()
    sidecar = traced(otlp(collector.port))
    for count, name in enumerate(STATE, 1):
        entry = recorded("otlp.json", name)
        replay(sidecar, entry)
        pairs = collector.wait_for(count, collector.otlp_pairs)
        wanted = entry["collector_received"][0]["body_decoded"]["resourceSpans"][0]
        resource, span = pairs[-1]
        equal(resource, {"service.name": "shop"})
        equal(plain_otlp(as_json(span)), plain_otlp(wanted["scopeSpans"][0]["spans"][0]), name)
    request = collector.requests[-1]
    message = as_json(request.otlp)["resourceSpans"][0]
    equal(message["schemaUrl"], wanted["schemaUrl"])
    equal(message["scopeSpans"][0]["scope"], wanted["scopeSpans"][0]["scope"])
    equal((request.path, request.header("Content-Type")), ("/v1/traces", "application/x-protobuf"))
    sidecar.end(), collector.end()


@test("Zipkin: spans of the state API are the recorded ones, member by member", "§13 INV-57")
def zipkin_spans():
    collector = Collector((202, [], b""))
    sidecar = traced(zipkin(collector.port))
    for count, name in enumerate(STATE, 1):
        entry = recorded("zipkin.json", name)
        replay(sidecar, entry)
        span = collector.wait_for(count, collector.zipkin_spans)[-1]
        wanted = entry["collector_received"][0]["body"][0]
        equal(list(span), list(wanted), "members in order")
        equal(list(span["tags"]), list(wanted["tags"]), "tags in order")
        for key in ("timestamp", "duration"):
            need(isinstance(span[key], int) and span[key] > 0, key)
        need(re.fullmatch("[0-9a-f]{32}", span["traceId"]) and re.fullmatch("[0-9a-f]{16}", span["id"]), span)
        for text in (span, wanted):
            for key in ("timestamp", "duration", "traceId", "id", "localEndpoint"):
                text.pop(key)
            text["tags"].pop("server.port"), text["tags"].pop("service.name")
        equal(span, wanted, name)
    request = collector.requests[-1]
    equal((request.path, request.header("Content-Type")), ("/api/v2/spans", "application/json"))
    sidecar.end(), collector.end()


@test("health is not traced; secrets, bulk and unknown paths are", "§13")
def which_paths():
    collector = Collector()
    sidecar = traced(otlp(collector.port))
    for target in ("/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/secrets/none/k", "/zzz?a=b", "/v1.0/metadata"):
        sidecar.call("GET", target)
    spans = {span.name: attributes_of(span) for span in collector.wait_for(3, collector.otlp_spans)}
    equal(sorted(spans), ["/v1.0/metadata", "/v1.0/secrets/none/k", "/zzz"])
    secret = spans["/v1.0/secrets/none/k"]
    equal((secret["db.system"], secret["db.name"]), ("secrets", "none"))
    equal((spans["/zzz"]["url.full"], spans["/zzz"]["dapr.status_code"]), ("/zzz?a=b", "404"))
    sidecar.end(), collector.end()


@test("headers named dapr-… become attributes, a token never", "§13")
def attributes():
    collector = Collector()
    sidecar = traced(otlp(collector.port), env={"DAPR_API_TOKEN": "very-secret"})
    headers = [("Dapr-Tenant", "blue"), ("dapr-api-token", "very-secret"), ("X-Other", "1")]
    equal(sidecar.call("GET", "/v1.0/state/mem/a", headers=headers).status, 204)
    span = collector.wait_for(1, collector.otlp_spans)[0]
    equal(attributes_of(span)["dapr-tenant"], "blue")
    need(b"very-secret" not in collector.requests[0].body, "the token is in the span")
    need("very-secret" not in sidecar.log(), "the token is in the log")
    sidecar.end(), collector.end()


@test("bytes of a path that are no text do not spoil a batch", "§13")
def odd_bytes():
    collectors = Collector(), Collector()
    tracing = otlp(collectors[0].port)[:-1] + ", " + zipkin(collectors[1].port)[len("{samplingRate: '1', ") :]
    sidecar = traced(tracing)
    sidecar.call("GET", "/v1.0/state/mem/%FF%22%0A")
    sidecar.call("GET", "/v1.0/state/mem/" + "x" * 3000)
    names = {span.name for span in collectors[0].wait_for(2, collectors[0].otlp_spans)}
    equal(names, {'/v1.0/state/mem/\ufffd"\n', "/v1.0/state/mem/" + "x" * 3000})
    collectors[1].wait_for(2, collectors[1].zipkin_spans)
    sidecar.end(), [collector.end() for collector in collectors]


# --- trace context ----------------------------------------------------------------------------------------------------


@test("a parent's trace goes on in an answer and a span of its own", "§13")
def parents():
    collector = Collector()
    sidecar = traced(otlp(collector.port))
    reply = sidecar.call("GET", "/v1.0/state/mem/a", headers=[("traceparent", PARENT), ("tracestate", "a=1,b=2")])
    span = collector.wait_for(1, collector.otlp_spans)[0]
    equal((span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state), (TRACE, SPAN, "a=1,b=2"))
    equal(reply.header("Traceparent"), f"00-{TRACE}-{span.span_id.hex()}-01")
    equal(reply.header("Tracestate"), "a=1,b=2")
    need(span.span_id.hex() != SPAN, "a span of its own")
    unsampled = sidecar.call("GET", "/v1.0/state/mem/b", headers=[("traceparent", PARENT[:-1] + "0")])
    need(re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", unsampled.header("Traceparent")), unsampled)
    odd = sidecar.call("GET", "/v1.0/state/mem/c", headers=[("traceparent", "zzz"), ("tracestate", "a=1")])
    spans = collector.wait_for(2, collector.otlp_spans)
    equal([s.name for s in spans], ["/v1.0/state/mem/a", "/v1.0/state/mem/c"], "the unsampled one is left out")
    need(spans[1].trace_id.hex() != TRACE and spans[1].parent_span_id == b"", "a trace of its own")
    equal(odd.header("Tracestate"), None)
    sidecar.end(), collector.end()


@test("without tracing a context is handed on as it came", "§13 §22")
def handed_on():
    sidecar = traced(None)
    equal(sidecar.call("GET", "/v1.0/state/mem/a").header("Traceparent"), ZERO)
    equal(sidecar.call("GET", "/v1.0/state/mem/a", headers=[("traceparent", PARENT)]).header("Traceparent"), PARENT)
    equal(sidecar.call("GET", "/v1.0/state/mem/a", headers=[("traceparent", "zzz")]).header("Traceparent"), ZERO)
    need("Dapr trace sampler initialized: ParentBased{root:TraceIDRatioBased{0.0001}," in sidecar.log(), "the sampler")
    sidecar.end()


@test("a rate without a collector makes contexts and nothing else", "§13")
def without_collector():
    sidecar = traced("{samplingRate: '1'}")
    first, second = (sidecar.call("GET", "/v1.0/state/mem/a").header("Traceparent") for _ in range(2))
    need(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", first) and first != second, (first, second))
    sidecar.end()
    sidecar = traced("{samplingRate: '0'}")
    need(sidecar.call("GET", "/v1.0/state/mem/a").header("Traceparent").endswith("-00"), "never sampled")
    sidecar.end()


@test("spans can be lines of the log", "§13")
def in_the_log():
    sidecar = traced("{samplingRate: '1', stdout: true}")
    reply = sidecar.call("GET", "/v1.0/state/mem/a")
    trace = reply.header("Traceparent").split("-")[1]
    line = eventually(lambda: next((x for x in sidecar.log().splitlines() if trace in x), None), "a line")
    need("/v1.0/state/mem/a" in line and "scope=dapr.runtime.trace" in line, line)
    sidecar.end()


@test("baggage is checked on both surfaces and echoed over HTTP", "§13 §22")
def baggage():
    sidecar = traced(None)
    headers = [("baggage", "a=1"), ("baggage", "b=2;p=3")]
    equal(sidecar.call("GET", "/v1.0/state/mem/a", headers=headers).header("Baggage"), "a=1,b=2;p=3")
    for bad, words in (("=x", 'invalid key: ""'), ("a=1,b", 'invalid baggage list-member: "b"')):
        reply = sidecar.call("GET", "/v1.0/state/mem/a", headers=[("baggage", bad)])
        equal((reply.status, reply.text), (400, f"invalid baggage header: {words}\n"))
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        stub, request = dapr_pb2_grpc.DaprStub(channel), state_pb2.GetStateRequest(store_name="mem", key="a")
        equal(stub.GetState(request, metadata=[("baggage", "a=1"), ("baggage", "b=2")]).data, b"")
        try:
            stub.GetState(request, metadata=[("baggage", "=x")])
            raise AssertionError("it was taken")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
            equal(error.details(), 'invalid baggage header: invalid key: ""')
    sidecar.end()


def binary(trace=TRACE, span=SPAN, flags=1):
    return b"\0\0" + bytes.fromhex(trace) + b"\1" + bytes.fromhex(span) + b"\2" + bytes([flags])


@test("calls over gRPC have spans too, and grpc-trace-bin both ways", "§13")
def grpc_spans():
    collector = Collector()
    sidecar = traced(otlp(collector.port), resources=(MEM, component("env", "secretstores.local.env")))
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        stub = dapr_pb2_grpc.DaprStub(channel)
        save = state_pb2.SaveStateRequest(store_name="mem", states=[{"key": "a", "value": b"1"}])
        _, first = stub.SaveState.with_call(save, metadata=[("grpc-trace-bin", binary()), ("dapr-tenant", "blue")])
        get = state_pb2.GetStateRequest(store_name="ghost", key="a")
        try:
            stub.GetState(get, metadata=[("traceparent", PARENT)])
            raise AssertionError("there is no such store")
        except grpc.RpcError:
            pass
        stub.GetSecret(secret_pb2.GetSecretRequest(store_name="env", key="PATH"))
        stub.GetState(state_pb2.GetStateRequest(store_name="mem", key="b"), metadata=[("grpc-trace-bin", binary(flags=0))])
        stub.GetState(state_pb2.GetStateRequest(store_name="mem", key="c"), metadata=[("grpc-trace-bin", b"nonsense")])
    spans = collector.wait_for(4, collector.otlp_spans)
    save, get, secret, odd = spans
    equal((save.name, save.kind, save.trace_id.hex(), save.parent_span_id.hex()), (DAPR + "SaveState", 3, TRACE, SPAN))
    equal(
        attributes_of(save),
        {
            "dapr.api": DAPR + "SaveState",
            "dapr.protocol": "grpc",
            "dapr-tenant": "blue",
            "db.connection_string": "state",
            "db.name": "mem",
            "db.statement": DAPR + "SaveState",
            "db.system": "state",
            "rpc.service": "Dapr",
        },
    )
    answered = dict(first.initial_metadata()).get("grpc-trace-bin")
    if answered is not None:  # grpcio may keep it to itself
        equal(answered, binary(span=save.span_id.hex()))
    equal((get.trace_id.hex(), get.status.code, get.status.message), (TRACE, 2, "state store ghost is not found"))
    equal((attributes_of(secret)["db.system"], attributes_of(secret)["db.name"]), ("secrets", "env"))
    need(odd.trace_id.hex() != TRACE, "a malformed context is none")
    sidecar.end(), collector.end()


@test("an invocation is named after its target, whichever way it came", "§13 INV-55 INV-57")
def invocations():
    collector, app = Collector(), Collector((200, [], b""))
    sidecar = traced(otlp(collector.port), app_id="back", flags=["--app-port", str(app.port)])
    before = len(collector.requests)
    for entry in (recorded("otlp.json", name) for name in ("invoke front to back", "invoke with traceparent")):
        reply = replay(sidecar, entry)
        span = collector.wait_for(before + 1, collector.otlp_spans)[-1]
        before += 1
        wanted = entry["collector_received"][1]["body_decoded"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        got, wanted = plain_otlp(as_json(span)), plain_otlp(wanted)
        for text in (got, wanted):
            text.pop("parentSpanId", None)
        equal(got, wanted, entry["name"])
        context = f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
        equal((reply.header("Traceparent"), app.requests[-1].header("traceparent")), (context, context))
    sidecar.call("GET", "/orders/7?x=1", headers=[("dapr-app-id", "back"), ("baggage", "a=1")])
    span = collector.wait_for(before + 1, collector.otlp_spans)[-1]
    equal(span.name, "CallLocal/back/orders/7")
    equal((attributes_of(span)["net.peer.name"], attributes_of(span)["url.full"]), ("back", "/orders/7?x=1"))
    equal((app.requests[-1].path, app.requests[-1].header("baggage")), ("/orders/7?x=1", "a=1"))
    app.answers = [(503, [], b"x")]
    sidecar.call("GET", "/v1.0/invoke/back/method/fail")
    span = collector.wait_for(before + 2, collector.otlp_spans)[-1]
    equal((span.name, span.status.message), ("CallLocal/back/fail", "Code(503): Service Unavailable"))
    sidecar.end(), collector.end(), app.end()


def grpc_app():
    """An application with one method of its own, OnInvoke and nothing else; returns it, its port, what it was sent."""
    seen = []

    def echo(request, context):
        seen.append(dict(context.invocation_metadata()))
        if request == b"fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing, is there?")
        return request if request == b"hello" else b""

    server = grpc.server(futures.ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler("own.Svc", {"Do": handler}),
            grpc.method_handlers_generic_handler("dapr.proto.runtime.v1.AppCallback", {"OnInvoke": handler}),
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port, seen


@test("calls to a gRPC application have spans and are counted, its own services and InvokeService alike", "§12 §13 INV-U07")
def grpc_invocations():
    collector, (app, port, seen) = Collector(), grpc_app()
    sidecar = traced(otlp(collector.port), flags=["--app-port", str(port), "--app-protocol", "grpc"])
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        do = channel.unary_unary("/own.Svc/Do")
        metadata = [("dapr-app-id", "shop"), ("traceparent", PARENT), ("baggage", "a=1")]
        equal(do(b"hello", metadata=metadata), b"hello")
        try:
            do(b"fail", metadata=metadata)
            raise AssertionError("it does not fail")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.NOT_FOUND)
        stub = dapr_pb2_grpc.DaprStub(channel)
        invoke = {"id": "shop", "message": {"method": "buy", "http_extension": {"verb": "POST"}}}
        _, call_ = stub.InvokeService.with_call(invoke_pb2.InvokeServiceRequest(**invoke), metadata=metadata[1:])
    good, bad, invoked = collector.wait_for(3, collector.otlp_spans)
    equal((good.name, good.kind, good.trace_id.hex(), good.parent_span_id.hex()), ("/own.Svc/Do", 2, TRACE, SPAN))
    equal((bad.status.code, bad.status.message), (2, "no such thing, is there?"))
    equal((invoked.name, attributes_of(invoked)["net.peer.name"]), ("CallLocal/shop/buy", "shop"))
    for span, metadata in zip((good, bad, invoked), [m for m in seen if "traceparent" in m]):
        context = f"00-{TRACE}-{span.span_id.hex()}-01"
        equal((metadata["traceparent"], metadata["baggage"]), (context, "a=1"))
    equal(dict(call_.initial_metadata())["traceparent"], f"00-{TRACE}-{invoked.span_id.hex()}-01")
    text = eventually(lambda: (said := call(sidecar.metrics_address, "GET", "/").text) and 'OnInvoke",grpc_client_status="OK"} 1' in
                      said and said, "the last call is counted")  # fmt: skip
    for method, status in (
        ("/own.Svc/Do", "OK"),
        ("/own.Svc/Do", "NotFound"),
        ("/dapr.proto.runtime.v1.AppCallback/OnInvoke", "OK"),
    ):
        labels = f'{{app_id="shop",grpc_client_method="{method}",grpc_client_status="{status}"}} 1\n'
        need("dapr_grpc_io_client_completed_rpcs" + labels in text, f"{labels} is not in {text}")
        need("dapr_grpc_io_client_roundtrip_latency_count" + labels in text, labels)
    need('dapr_grpc_io_client_sent_bytes_per_rpc_count{app_id="shop",grpc_client_method="/own.Svc/Do"} 2' in text, text)
    sidecar.end(), collector.end(), app.stop(0)


# --- which collector --------------------------------------------------------------------------------------------------


@test("OTLP over gRPC: the same message, with metadata and a deadline", "§13")
def otlp_grpc():
    collector = GrpcCollector()
    sidecar = traced(otlp(collector.port, ", headers: ['X-Key=a%20b'], timeout: 60s", protocol="grpc"))
    sidecar.call("GET", "/v1.0/state/mem/a")
    (resource, span), *_ = eventually(collector.pairs, "a span")
    equal((resource["service.name"], span.name), ("shop", "/v1.0/state/mem/a"))
    _, metadata, remaining = collector.requests[0]
    equal(metadata["x-key"], "a b")
    need(10 < remaining <= 60, remaining)  # ten are those of who says nothing
    eventually(lambda: outcome(sidecar, "otlp", "sent") == 1, "it is counted")
    sidecar.end(), collector.end()


@test("the environment can name the collector, the service and its attributes", "§13")
def environment():
    collector = Collector()
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}/base",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc",
        "OTEL_SERVICE_NAME": "till",
        "OTEL_RESOURCE_ATTRIBUTES": "zone=north,service.name=no",
    }
    sidecar = traced(None, env=env)
    sidecar.call("GET", "/v1.0/state/mem/a")
    resource, _ = collector.wait_for(1, collector.otlp_pairs)[0]
    equal(resource, {"service.name": "till", "zone": "north"})
    equal((collector.requests[0].path, collector.requests[0].header("x-key")), ("/base/v1/traces", "abc"))
    need("abc" not in sidecar.log(), "headers are secret")
    sidecar.end()
    other = Collector()
    sidecar = traced(otlp(other.port), env=env)
    sidecar.call("GET", "/v1.0/state/mem/a")
    other.wait_for(1, other.otlp_spans)
    equal(other.requests[0].header("x-key"), None, "a Configuration counts as a whole")
    equal(len(collector.requests), 1)
    sidecar.end(), collector.end(), other.end()


@test("settings that make no sense end the start with the reference's words", "§13")
def refused():
    for tracing, words in (
        ("{otel: {endpointAddress: 'a:1', protocol: udp}}", "invalid protocol udp provided for Otel endpoint"),
        ("{zipkin: {endpointAddress: 'localhost:9411'}}", 'invalid collector URL \\"localhost:9411\\"'),
    ):
        sidecar = traced(tracing, wait=False)
        equal(sidecar.wait(), 1)
        need(words in sidecar.log() and "level=fatal" in sidecar.log(), sidecar.log())


def certificates(folder):
    """A self-signed certificate for 127.0.0.1 and its key."""
    pem, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=collector "
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem],
        check=True,
        capture_output=True,
    )
    return pem, key


@test("a collector behind TLS must prove itself", "§13")
def tls():
    pem, key = certificates(Folder())
    collector = Collector(tls=(pem, key))
    tracing = otlp(collector.port).replace("isSecure: false", "isSecure: true")
    sidecar = traced(tracing, env={"SSL_CERT_FILE": str(pem)})
    sidecar.call("GET", "/v1.0/state/mem/a")
    collector.wait_for(1, collector.otlp_spans)
    sidecar.end()
    seen = len(collector.requests)
    sidecar = traced(tracing)
    sidecar.call("GET", "/v1.0/state/mem/a")
    eventually(lambda: "spans cannot be sent" in sidecar.log(), "a warning")
    equal(len(collector.requests), seen, "nothing is told to a stranger")
    sidecar.end(), collector.end()
    # The environment names the authority, and a certificate of ours for a collector that asks for one.
    collector = Collector(tls=(pem, key), asks_for=pem)
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{collector.port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(pem),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(pem),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(key),
    }
    sidecar = traced(None, env=env)
    sidecar.call("GET", "/v1.0/state/mem/a")
    collector.wait_for(1, collector.otlp_spans)
    sidecar.end(), collector.end()


@test("a changed Configuration sends spans elsewhere, and what waited to where it belongs", "§9 §13")
def exchanged():
    first, second = Collector(), Collector()
    sidecar = traced(otlp(first.port), flags=["--workers", "3"], delay_ms=600000)

    def context():
        contexts.append(sidecar.call("GET", "/v1.0/state/mem/a").header("Traceparent"))
        return contexts[-1]

    def spans(*collectors):
        return sorted(span.span_id.hex() for collector in collectors for span in collector.otlp_spans())

    contexts = []
    for _ in range(30):
        context()
    change(sidecar, otlp(second.port))
    eventually(lambda: len(spans(first)) == 30, "what waited has been sent")
    for _ in range(30):
        context()
    change(sidecar, otlp(second.port, rate="0"), "TraceIDRatioBased{0}")
    eventually(lambda: all(context().endswith("-00") for _ in range(10)), "nothing is sampled")
    need(len(second.requests) == 0, "the same collector goes on as it was")
    change(sidecar, "{}")
    eventually(lambda: all(context() == ZERO for _ in range(10)), "no tracing any more")
    sampled = sorted(text.split("-")[2] for text in contexts if text.endswith("-01"))

    eventually(lambda: spans(first, second) == sampled, "each span has arrived once")
    need(spans(second), "at both")
    equal(sidecar.stop(), 0)
    first.end(), second.end()


@test("a collector that is silent for three seconds gets what it had to get though another one has its place", "§13")
def patience():
    first, second = Collector("hang", (503, [], b""), (200, [], b"")), Collector()
    sidecar = traced(otlp(first.port, ", timeout: 3s"), flags=["--workers", "1"], delay_ms=600000)
    for _ in range(5):
        sidecar.call("GET", "/v1.0/state/mem/a")
    change(sidecar, otlp(second.port))
    eventually(lambda: outcome(sidecar, "otlp", "sent") + outcome(sidecar, "otlp", "failed") == 5, "an outcome")
    equal((outcome(sidecar, "otlp", "sent"), len(first.requests)), (5, 3))
    sidecar.end(), first.end(), second.end()


@test("the end does not wait longer for a collector that is out of use", "§13")
def impatience():
    deaf, second = Deaf(), Collector()
    sidecar = traced(otlp(deaf.port, ", timeout: 1h"), flags=["--workers", "1"], delay_ms=600000)
    sidecar.call("GET", "/v1.0/state/mem/a")
    change(sidecar, otlp(second.port))
    equal(sidecar.stop(20), 0)
    deaf.end(), second.end()


# --- collectors in trouble --------------------------------------------------------------------------------------------


@test("spans of many workers arrive, each once", "§13")
def many():
    collector = Collector()
    sidecar = traced(otlp(collector.port), flags=["--workers", "3"], delay_ms=1000)  # however slowly they come
    for _ in range(8):
        connection = sidecar.connect()
        for _ in range(250):
            equal(ask(connection), 204)
        connection.close()
    spans = collector.wait_for(2000, collector.otlp_spans)
    equal((len(spans), len({span.span_id for span in spans})), (2000, 2000))
    eventually(lambda: outcome(sidecar, "otlp", "sent") == 2000, "all are counted")
    need(len(collector.requests) < 500, f"{len(collector.requests)} requests: spans travel together")
    sidecar.end(), collector.end()


@test("a collector that says later gets the batch again when it asked for", "§13")
def again():
    collector = Collector((429, [("Retry-After", "1")], b""), (503, [], b""), (200, [], b""))
    sidecar = traced(otlp(collector.port))
    sidecar.call("GET", "/v1.0/state/mem/a")
    eventually(lambda: outcome(sidecar, "otlp", "sent") == 1, "it was taken in the end")
    first, second, third = collector.requests
    equal(first.body, second.body)
    need(second.at - first.at > 0.9 and third.at - second.at > 0.9, "there were pauses")
    text = sidecar.log()
    need("it answers 429 Too Many Requests" in text and "are sent to 127.0.0.1" in text, text)
    sidecar.end(), collector.end()


@test("what a collector refuses for good is counted and not sent again", "§13")
def for_good():
    partial = trace_service_pb2.ExportTraceServiceResponse(
        partial_success={"rejected_spans": 1, "error_message": "not this one"}
    )
    collector = Collector((400, [], b"no"), (200, [], partial.SerializeToString()), (200, [], b""))
    sidecar = traced(otlp(collector.port))
    for count, (name, value) in enumerate((("failed", 1), ("refused", 1), ("sent", 1)), 1):
        sidecar.call("GET", "/v1.0/state/mem/a")
        eventually(lambda: outcome(sidecar, "otlp", name) == value, name)
        equal(len(collector.requests), count)
    sidecar.end(), collector.end()


@test("over gRPC a status tells whether to come again", "§13")
def grpc_again():
    info = any_pb2.Any()
    info.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=100000000)))
    details = status_pb2.Status(code=8, message="busy", details=[info]).SerializeToString()
    collector = GrpcCollector(
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", (("grpc-status-details-bin", details),)),
        b"",
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "for good", ()),
        (grpc.StatusCode.INVALID_ARGUMENT, "what", ()),
        b"",
    )
    sidecar = traced(otlp(collector.port, protocol="grpc"))
    for name, value in (("sent", 1), ("failed", 1), ("failed", 2), ("sent", 2)):
        sidecar.call("GET", "/v1.0/state/mem/a")
        eventually(lambda: outcome(sidecar, "otlp", name) == value, f"{name} {value}")
    equal(len(collector.requests), 5)
    sidecar.end(), collector.end()


@test("a collector that comes late gets what waited for it", "§13")
def late():
    port = free_port()
    sidecar = traced(otlp(port))
    sidecar.call("GET", "/v1.0/state/mem/a")
    eventually(lambda: "spans cannot be sent" in sidecar.log(), "a warning")
    collector = Collector(port=port)
    collector.wait_for(1, collector.otlp_spans)
    eventually(lambda: "again" in sidecar.log(), "and its end")
    sidecar.end(), collector.end()


@test("requests never wait for a collector that hangs, and more spans than there is room for are counted", "§13")
def hangs():
    deaf = Deaf()
    attempt = ", timeout: 1h"  # longer than a request is waited for here, or the end
    sidecar = traced(otlp(deaf.port, attempt))
    connection = sidecar.connect()
    for _ in range(3500):
        equal(ask(connection), 204)
    need(outcome(sidecar, "otlp", "dropped") > 0, "spans were dropped")
    equal(outcome(sidecar, "otlp", "sent"), 0)
    equal(sidecar.stop(), 0)
    sidecar = traced(otlp(deaf.port, attempt, protocol="grpc"))
    sidecar.call("GET", "/v1.0/state/mem/a")
    equal(sidecar.stop(), 0)
    deaf.end()


@test("what has not been sent yet is sent at the end", "§13")
def flushed():
    for make in (Collector, GrpcCollector):
        collector = make()
        sidecar = traced(otlp(collector.port, protocol="http" if make is Collector else "grpc"), delay_ms=600000)
        for _ in range(20):
            sidecar.call("GET", "/v1.0/state/mem/a")
        equal(len(collector.requests), 0)
        started = time.monotonic()
        equal(sidecar.stop(), 0)
        count = len(collector.otlp_spans() if make is Collector else collector.pairs())
        need(count == 20 or time.monotonic() - started > 2, f"{count} spans")  # the collector has so long to take them
        collector.end()


@test("an answer that is cut or too long costs an attempt, not the exporter", "§13")
def odd_answers():
    collector = Collector("cut", (200, [("X", "y")], b"\xff" * 200000), (500, [], b""), (200, [], b""))
    sidecar = traced(zipkin(collector.port))
    for name, value in (("sent", 1), ("failed", 1), ("sent", 2)):
        sidecar.call("GET", "/v1.0/state/mem/a")
        eventually(lambda: outcome(sidecar, "zipkin", name) == value, f"{name} {value}")
    equal(len(collector.requests), 4)
    equal(collector.requests[0].body, collector.requests[1].body, "the same again")
    sidecar.end(), collector.end()


if __name__ == "__main__":
    main()
