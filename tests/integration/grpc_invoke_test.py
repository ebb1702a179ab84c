# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""InvokeService over gRPC: to a gRPC application (OnInvoke) and to an HTTP one, with what the reference makes of their
answers; the exchanges of recordings/grpc.json that one sidecar can show; health and starting questions of gRPC apps."""

import sdk  # noqa: F401  isort: skip

import json

import grpc
import grpc_app
import http_app
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2, metadata_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from remora import DEADLINE_S, Sidecar, equal, eventually, main, need, shared, test

ON_INVOKE = "/dapr.proto.runtime.v1.AppCallback/OnInvoke"
LIST = "/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions"
HEALTH = "/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck"
GET, POST = common_pb2.HTTPExtension.GET, common_pb2.HTTPExtension.POST


def answer_http(request, exchange):
    """By path: /st/N a status, everything else what came."""
    path = request.target.partition("?")[0]
    status = int(path[4:]) if path.startswith("/st/") else 200
    body = b"body of " + path.encode() if status != 200 else request.body
    headers = [("Content-Type", "text/own"), ("X-App", "callee"), ("Cache-Control", "no-store")]
    return http_app.answer(status, body, headers)


APP = grpc_app.App()
SIDECAR = Sidecar(app_id="gs", flags=["--app-port", str(APP.port), "--app-protocol", "grpc"])
HTTP_APP = http_app.App(answer_http)
HTTP_SIDECAR = Sidecar(app_id="hs", flags=["--app-port", str(HTTP_APP.port)])
LONE = Sidecar(app_id="gf")
ENDPOINT = """kind: HTTPEndpoint
metadata: {name: out}
spec: {baseUrl: "%s", headers: [{name: X-Fixed, value: fixed}]}
"""


def stub(sidecar):
    return dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def invoke(sidecar, id, method="m", data=b"", content_type="", verb=None, query="", type_url="", metadata=()):
    message = common_pb2.InvokeRequest(
        method=method, data=any_pb2.Any(type_url=type_url, value=data), content_type=content_type
    )
    if verb is not None:
        message.http_extension.CopyFrom(common_pb2.HTTPExtension(verb=verb, querystring=query))
    request = invoke_pb2.InvokeServiceRequest(id=id, message=message)
    return stub(sidecar).InvokeService.with_call(request, metadata=metadata, timeout=DEADLINE_S)


def refused(*words, **more):
    try:
        invoke(*words, **more)
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


def values(metadata, name):
    return [value for key, value in metadata if key == name]


@test("a gRPC application gets the call as it was made, and its answer returns", "INV-U10 GRPC-INVOKE")
def _():
    def answer(request, context):
        context.send_initial_metadata([("x-init", "i1"), ("x-bin-bin", b"\0\1")])
        context.set_trailing_metadata([("x-trail", "t1")])
        data = any_pb2.Any(type_url="type.googleapis.com/own.Thing", value=b"back")
        return common_pb2.InvokeResponse(data=data, content_type="text/x")

    APP.invoke = answer
    metadata = (("x-me", "1"), ("x-me", "2"), ("x-b-bin", b"\xff"), ("dapr-caller-app-id", "evil"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("baggage", "a=1"))
    got = []
    APP.invoke = lambda request, context: (got.append(request), answer(request, context))[1]
    reply, call = invoke(SIDECAR, "gs", "a/b", b"there", "text/plain", GET, "a=1&b=2", "type.googleapis.com/own.Q",
                         metadata)
    equal((reply.data.type_url, reply.data.value, reply.content_type), ("type.googleapis.com/own.Thing", b"back", "text/x"))
    equal((got[0].method, got[0].data.value, got[0].data.type_url, got[0].content_type),
          ("a/b", b"there", "type.googleapis.com/own.Q", "text/plain"))
    equal((got[0].http_extension.verb, got[0].http_extension.querystring), (GET, "a=1&b=2"))
    seen = APP.calls(ON_INVOKE)[-1]
    equal((seen.values("x-me"), seen.values("x-b-bin"), seen.values("baggage")), (["1", "2"], [b"\xff"], ["a=1"]))
    equal((seen.values("dapr-caller-app-id"), seen.values("dapr-callee-app-id"), seen.values("dapr-caller-namespace")),
          (["gs"], ["gs"], ["default"]))
    need(seen.values("traceparent")[0].startswith("00-0af7651916cd43dd8448eb211c80319c-"), seen.values("traceparent"))
    equal((values(call.initial_metadata(), "x-init"), values(call.initial_metadata(), "x-bin-bin"),
           values(call.initial_metadata(), "baggage")), (["i1"], [b"\0\1"], ["a=1"]))
    equal(len(values(call.initial_metadata(), "traceparent")), 1)
    equal((values(call.trailing_metadata(), "x-trail"), len(values(call.trailing_metadata(), "traceparent"))), (["t1"], 1))


@test("without content type, extension or data it arrives all the same", "GRPC-INVOKE")
def _():
    got = []
    APP.invoke = lambda request, context: (got.append(request), common_pb2.InvokeResponse())[1]
    reply, _ = invoke(SIDECAR, "gs")
    equal((reply.data.value, reply.content_type), (b"", ""))
    equal((got[0].data.value, got[0].content_type, got[0].HasField("http_extension")), (b"", "", False))
    reply, _ = stub(SIDECAR).InvokeService.with_call(
        invoke_pb2.InvokeServiceRequest(id="gs", message=common_pb2.InvokeRequest(method="m")), timeout=DEADLINE_S)
    equal(reply.data.value, b"")


@test("errors of a gRPC application pass with code, words, details and trailers", "INV-U03 GRPC-INVOKE")
def _():
    def not_found(request, context):
        context.set_trailing_metadata([("x-trail", "t1")])
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    APP.invoke = not_found
    error = refused(SIDECAR, "gs", "nf", b"x")
    equal((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such thing"))
    equal(values(error.trailing_metadata(), "x-trail"), ["t1"])
    APP.invoke = lambda request, context: APP.rich(request, context)
    error = refused(SIDECAR, "gs", "rich", b"x")
    equal((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, "rich one"))
    detail = error_details_pb2.ErrorInfo()
    need(rpc_status.from_call(error).details[0].Unpack(detail), "an ErrorInfo")
    equal((detail.reason, detail.domain), ("R", "d"))
    APP.invoke = lambda request, context: APP.kaboom(request, context)
    error = refused(SIDECAR, "gs", "boom")
    equal((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, "Exception calling application: kaboom"))


@test("large data passes both ways", "GRPC-INVOKE")
def _():
    APP.invoke = lambda request, context: common_pb2.InvokeResponse(data=request.data)
    data = bytes(range(256)) * 12000
    equal(invoke(SIDECAR, "gs", "m", data)[0].data.value == data, True)
    data = data[:1000000]
    equal(invoke(HTTP_SIDECAR, "hs", "m", data, verb=POST)[0].data.value == data, True)


@test("what cannot be called is told as the reference tells it", "GRPC-INVOKE INV-U02 ERR_NOT_RESOLVED")
def _():
    for sidecar, id, method, words in (
        (SIDECAR, "nobody", "m", "failed to invoke, id: nobody, err: couldn't find service: nobody"),
        (SIDECAR, "", "m", "failed to invoke, id: , err: app id is empty"),
        (LONE, "gf", "m", "failed to invoke, id: gf, err: cannot invoke local endpoint: app channel not initialized"),
        (SIDECAR, "gs", "a/b/c?x=1", "failed to invoke, id: gs, err: rpc error: code = InvalidArgument desc = invalid "
         'method: method contains forbidden character: "a/b/c?x=1"'),
    ):
        error = refused(sidecar, id, method)
        equal((error.code(), error.details()), (grpc.StatusCode.INTERNAL, words))


@test("an HTTP application gets a request and its answer returns", "INV-U10 GRPC-INVOKE")
def _():
    reply, call = invoke(HTTP_SIDECAR, "hs", "orders/1", b"hello", "text/plain", POST, "x=1&y=a%20b",
                         metadata=(("x-me", "1"), ("x-b-bin", b"\1"), ("dapr-caller-app-id", "evil")))
    equal((reply.data.value, reply.content_type), (b"hello", "text/own"))
    request = HTTP_APP.requests[-1]
    equal((request.method, request.target, request.body), ("POST", "/orders/1?x=1&y=a%20b", b"hello"))
    seen = {name.lower(): value for name, value in request.headers}
    equal((seen["content-type"], seen["x-me"], seen["dapr-caller-app-id"]), ("text/plain", "1", "hs"))
    need("x-b-bin" not in seen and "dapr-api-token" not in seen and "te" not in seen, seen)
    initial = call.initial_metadata()
    equal((values(initial, "dapr-http-status"), values(initial, "x-app"), values(initial, "dapr-cache-control")),
          (["200"], ["callee"], ["no-store"]))
    equal(len(values(initial, "traceparent")), 1)


@test("an HTTP status becomes a gRPC code with details", "INV-U02 GRPC-INVOKE")
def _():
    for status, code, text in (
        (400, "INTERNAL", "Bad Request"), (401, "UNAUTHENTICATED", "Unauthorized"), (403, "PERMISSION_DENIED", "Forbidden"),
        (404, "NOT_FOUND", "Not Found"), (409, "ALREADY_EXISTS", "Conflict"), (429, "RESOURCE_EXHAUSTED", "Too Many Requests"),
        (500, "UNKNOWN", "Internal Server Error"), (501, "UNIMPLEMENTED", "Not Implemented"),
        (503, "UNAVAILABLE", "Service Unavailable"), (504, "DEADLINE_EXCEEDED", "Gateway Timeout"),
    ):
        error = refused(HTTP_SIDECAR, "hs", f"st/{status}", verb=GET)
        equal((error.code().name, error.details()), (code, text))
        detail = error_details_pb2.ErrorInfo()
        need(rpc_status.from_call(error).details[0].Unpack(detail), "an ErrorInfo")
        equal((detail.reason, detail.domain, dict(detail.metadata)),
              (text, "dapr.io", {"http.code": str(status), "http.error_message": f"body of /st/{status}"}))
    error = refused(HTTP_SIDECAR, "hs", "m")
    equal((error.code(), error.details()),
          (grpc.StatusCode.INTERNAL,
           "failed to invoke, id: hs, err: rpc error: code = InvalidArgument desc = invalid HTTP verb"))


@test("over HTTP a gRPC application is called too", "INV-U03 GRPC-INVOKE")
def _():
    got = []

    def answer(request, context):
        got.append(request)
        if request.method == "nf":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return common_pb2.InvokeResponse(data=any_pb2.Any(value=b"[1]"), content_type="application/json")

    APP.invoke = answer
    reply = SIDECAR.call("POST", "/v1.0/invoke/gs/method/a/b?x=1", b"body", [("Content-Type", "text/plain"), ("X-Me", "1")])
    equal((reply.status, reply.body, reply.header("content-type")), (200, b"[1]", "application/json"))
    equal((got[0].method, got[0].data.value, got[0].content_type), ("a/b", b"body", "text/plain"))
    equal((got[0].http_extension.verb, got[0].http_extension.querystring), (POST, "x=1"))
    equal(APP.calls(ON_INVOKE)[-1].values("x-me"), ["1"])
    reply = SIDECAR.call("GET", "/v1.0/invoke/gs/method/nf")
    equal((reply.status, json.loads(reply.body)["code"]), (404, 5))


@test("the starting questions are asked with the token and a refusal is no harm", "GRPC-INVOKE")
def _():
    app = grpc_app.App()
    sidecar = Sidecar(app_id="gs", flags=["--app-port", str(app.port), "--app-protocol", "grpc"],
                      env={"APP_API_TOKEN": "tok"})
    eventually(lambda: app.calls(LIST), "it is asked")
    equal([call.values("dapr-api-token") for call in app.calls(LIST)], [["tok"]])
    equal(sidecar.stop(), 0)
    app.stop()


@test("a gRPC application's health is asked for, and decides", "GRPC-INVOKE")
def _():
    app = grpc_app.App()
    app.is_healthy = False
    sidecar = Sidecar(app_id="gs", flags=["--app-port", str(app.port), "--app-protocol", "grpc",
                                          "--enable-app-health-check", "--app-health-probe-interval", "1",
                                          "--app-health-threshold", "1"])
    eventually(lambda: app.calls(HEALTH), "it is asked")
    error = refused(sidecar, "gs")
    equal(error.code(), grpc.StatusCode.INTERNAL)
    need("app is not in a healthy state" in error.details(), error.details())
    error = None
    try:
        grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}").unary_unary("/own.Svc/Do")(
            b"", metadata=(("dapr-app-id", "gs"),), timeout=DEADLINE_S)
    except grpc.RpcError as refusal:
        error = refusal
    need(error is not None and "app is not in a healthy state" in error.details(), error)
    equal(app.calls("/own.Svc/Do") + app.calls(ON_INVOKE), [])
    app.is_healthy = True

    def works():
        try:
            return invoke(sidecar, "gs", data=b"x")[0].data.value == b"x"
        except grpc.RpcError:
            return False

    eventually(works, "it is healthy again")
    equal(sidecar.stop(), 0)
    app.stop()


@test("every invocation of the recordings is known here", "GRPC-RECORDED")
def _():
    """The messages of these entries were recorded undecodable; their cases are the tests above. A new one would be missed."""
    with open(shared("recordings", "grpc.json"), encoding="utf-8") as f:
        names = {e["name"] for e in json.load(f)["entries"] if e["name"].startswith(("InvokeService", "proxy"))}
    equal(names, {
        "InvokeService via other sidecar", "InvokeService query", "InvokeService type_url", "InvokeService metadata",
        "InvokeService app headers", "InvokeService app NOT_FOUND", "InvokeService app raises",
        "InvokeService app rich error", "InvokeService empty answer", "InvokeService no content type",
        "InvokeService json content type", "InvokeService self", "InvokeService unknown app", "InvokeService no id",
        "InvokeService target without app", "InvokeService no method", "InvokeService nested method",
        "InvokeService no http ext", "proxy: own service", "proxy: failing", "proxy: self", "proxy: no id",
        "proxy: unknown id", "proxy: unimplemented in app", "proxy: with traceparent",
    })


@test("InvokeService reaches endpoints that have no sidecar, by name and by URL", "INV-46 INV-47 §8")
def of_endpoints():
    url = f"http://127.0.0.1:{HTTP_APP.port}"
    sidecar = Sidecar(ENDPOINT % (url + "/base"), app_id="ge")
    for id, target in (("out", "/base/m/x?y=1"), (url, "/m/x?y=1")):
        HTTP_APP.take()
        answer, call = invoke(sidecar, id, "m/x", b"data", "text/mine", POST, "y=1", metadata=[("x-mine", "1")])
        equal((answer.data.value, answer.content_type), (b"data", "text/own"))
        equal(dict(call.initial_metadata())["dapr-http-status"], "200")
        (request,) = HTTP_APP.take()
        equal((request.method, request.target, request.body), ("POST", target, b"data"))
        equal((request.header("content-type"), request.header("x-mine")), ("text/mine", "1"))
        equal(request.header("x-fixed"), "fixed" if id == "out" else None)
    error = refused(sidecar, url, "st/404", verb=GET)
    equal((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "Not Found"))
    error = refused(sidecar, "http://127.0.0.1:1", "m", verb=GET)
    equal(error.code(), grpc.StatusCode.INTERNAL)
    need('Get "http://127.0.0.1:1/m": dial tcp 127.0.0.1:1: connect: connection refused' in error.details(), error.details())
    need("invalid HTTP verb" in refused(sidecar, "out", "m").details(), "a message without a verb")
    listed = stub(sidecar).GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=DEADLINE_S)
    equal([e.name for e in listed.http_endpoints], ["out"])


main()
