# SPDX-License-Identifier: Apache-2.0
"""What two sidecars of different makers must be able to do with each other: each check is a function of a Bed, in which
the independent peer (tests/lib/peer.py) is the other sidecar. interop_test runs them once with and once without mutual
TLS, the experiment of the same name in every combination, and against DAPRD= where that is given."""

import json
import threading

import authority
import grpc
import grpc_app
import http_app
import mesh
import peer
import remora
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from http_app import answer
from remora import DEADLINE_S, Connection, Cut, equal, eventually, need

CHECKS = []
SVC = "/own.Svc/"
BIG_BYTES = 8 << 20
VERBS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")


def check(sentence):
    def register(function):
        function.sentence = sentence
        CHECKS.append(function)
        return function

    return register


class Bed:
    """`front` has no application; `back` has one of HTTP, `gback` one of gRPC; the peer is `py`, the old peer `pyold`."""

    def __init__(self, certificates=None, kind=None, flags=()):
        self.authority, self.kind = certificates, kind
        self.mesh = mesh.Mesh(certificates)
        self.app = http_app.App(self.serve, streams=True)
        self.grpc_app = grpc_app.App()
        self.handle = lambda request, exchange: answer(200, b"ok", [("Content-Type", "text/plain")])
        options = {"kind": kind, "flags": ["--max-body-size", "64Mi", *flags]}
        self.front = self.mesh.sidecar("front", **options)
        self.back = self.mesh.sidecar("back", app=self.app, **options)
        self.gback = self.mesh.sidecar("gback", app=self.grpc_app, protocol="grpc", **options)
        self.peer, self.old = self.make_peer("py"), self.make_peer("pyold", streams=False)
        self.callers = {}
        for app_id in ("py", "pyold", "back"):
            mesh.reaches(self.front, app_id, "ready")
        eventually(lambda: self.mesh.addresses("gback"), "gback has registered")
        self.peer.take(), self.old.take(), self.app.take()

    def serve(self, request, exchange):
        """The application reads bodies itself, so that it may answer before their end."""
        if request.target == "/ready":
            return answer(200)
        return self.handle(request, exchange)

    def make_peer(self, app_id, **more):
        if self.authority:
            made = authority.MutualPeer(self.authority.identity(app_id), **more)
        else:
            made = peer.Peer(**more)
        self.mesh.register(app_id, made.address)
        return made

    def caller(self, sidecar):
        if sidecar not in self.callers:
            self.callers[sidecar] = (
                authority.MutualCaller(sidecar.internal, self.authority.identity("py"))
                if self.authority
                else peer.Caller(sidecar.internal)
            )
        return self.callers[sidecar]

    def channel(self, sidecar):
        return grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}", peer.OPTIONS)

    def invoke(self, method="m", verb="GET", body=None, headers=(), app_id="py"):
        return mesh.invoke(self.front, app_id, method, verb, body, headers)

    def end(self):
        for caller in self.callers.values():
            caller.close()
        for one in (self.front, self.back, self.gback):
            one.stop()
        for one in (self.peer, self.old, self.grpc_app):
            one.stop()
        self.app.stop()


def refused(function, *words, **more):
    try:
        made = function(*words, **more)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"it was not refused: {made}")


# --- the sidecar calls the peer ---------------------------------------------------------------------------------------


@check("an HTTP call reaches the other sidecar as its own kind would send it")
def call_of_http(bed):
    bed.peer.take()
    reply = bed.invoke("a/b?x=1&y=a%20b", "POST", b'{"n":1}',
                       [("Content-Type", "application/json; charset=utf-8"), ("X-Two", "1"), ("X-Two", "2"),
                        ("dapr-caller-app-id", "evil"), ("Keep-Alive", "timeout=1"), ("TE", "gzip")])  # fmt: skip
    equal((reply.status, reply.body, reply.header("x-peer")), (200, b'{"n":1}', "py"))
    equal(reply.header("content-type"), "application/json; charset=utf-8")
    (call,) = bed.peer.take()
    need(call.is_stream, "as a stream")
    equal((call.method.lstrip("/"), call.verb, call.query), ("a/b", "POST", "x=1&y=a%20b"))
    equal((call.content_type, call.body), ("application/json; charset=utf-8", b'{"n":1}'))
    equal(sorted(",".join(call.all("x-two")).replace(" ", "").split(",")), ["1", "2"])
    equal((call.all("dapr-caller-app-id"), call.all("dapr-callee-app-id"), call.all("dapr-caller-namespace")),
          (["front"], ["py"], ["default"]))  # fmt: skip
    for name in ("keep-alive", "te", "connection", "dapr-app-id", "transfer-encoding"):
        equal(call.all(name), [], name)
    need(call.all("x-forwarded-for") and call.all("forwarded"), f"it says for whom it calls: {call.metadata}")
    equal(bed.peer.problems, [])


@check("every method of HTTP is named")
def verbs(bed):
    for verb in VERBS:
        bed.peer.take()
        reply = bed.invoke("v", verb, b"x" if verb in ("POST", "PUT", "PATCH") else None)
        equal((reply.status, reply.header("x-verb")), (200, verb), verb)
        equal([call.verb for call in bed.peer.take()], [verb])


@check("statuses and headers of the other application come back")
def statuses(bed):
    for status in (201, 204, 302, 304, 400, 404, 429, 500, 503):
        bed.peer.handler = lambda call, status=status: peer.Answer(
            status, b"" if status in (204, 304) else b"body", [("X-Multi", "1"), ("X-Multi", "2"), ("Location", "/l")], "a/b"
        )
        reply = bed.invoke("s", headers=[("X-Try", str(status))])
        equal(reply.status, status)
        equal([v for n, v in reply.headers if n.lower() == "x-multi"], ["1", "2"])
        equal(reply.header("location"), "/l")
        equal(reply.body, b"" if status in (204, 304) else b"body")
    bed.peer.handler = peer.echo


@check("a body of many pieces goes up and comes down whole")
def big(bed):
    data = bytes(range(256)) * (BIG_BYTES // 256)
    reply = bed.invoke("big", "POST", data, [("Content-Type", "application/octet-stream")])
    equal(reply.status, 200)
    need(reply.body == data, f"{len(reply.body)} bytes are the same")
    equal(bed.peer.problems, [])


@check("a chunked body is passed on as it comes, and so is the answer")
def streams(bed):
    seen = []

    def handler(call):
        def pieces():
            for piece in call.pieces:
                if piece:
                    seen.append(piece)
                    yield b"<" + piece + b">"

        return peer.Answer(200, pieces(), content_type="text/event-stream")

    bed.peer.handler = handler
    connection = Connection(bed.front.address)
    connection.send(b"POST /v1.0/invoke/py/method/s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    eventually(lambda: seen == [b"a"], "the first piece arrives before the last was sent")
    connection.until(b"\r\n\r\n")
    eventually(lambda: b"<a>" in connection.pending or connection.receive() and False, "its answer too")
    connection.send(b"1\r\nb\r\n0\r\n\r\n")
    connection.until(b"<b>")
    connection.until(b"0\r\n\r\n")
    connection.close()
    bed.peer.handler = peer.echo


@check("an answer that is cut is seen as cut")
def cut_answer(bed):
    def handler(call):
        def pieces():
            yield b"some"
            call.context.abort(grpc.StatusCode.INTERNAL, "gone")

        return peer.Answer(200, pieces(), content_type="text/plain")

    bed.peer.handler = handler
    try:
        reply = bed.invoke("cut")
        raise AssertionError(f"it was not cut: {reply}")
    except (Cut, ConnectionResetError):
        pass
    finally:
        bed.peer.handler = peer.echo


@check("who leaves is not waited for by the other sidecar")
def leaving(bed):
    calls = []

    def handler(call):
        calls.append(call)

        def pieces():
            yield b"first"
            call.was_cancelled.wait(DEADLINE_S * 4)  # longer than the test waits: the end of the call tells it too

        return peer.Answer(200, pieces(), content_type="text/plain")

    bed.peer.handler = handler
    connection = Connection(bed.front.address)
    connection.send(remora.request_bytes("GET", "/v1.0/invoke/py/method/leave"))
    connection.until(b"first")
    connection.close()
    need(calls[0].was_cancelled.wait(DEADLINE_S), "it is told")
    bed.peer.handler = peer.echo


@check("failures of the other sidecar are failures of the call, with its code and words")
def failures(bed):
    def handler(call):
        call.context.abort(grpc.StatusCode.PERMISSION_DENIED, "access control policy has denied access to id: x")

    bed.peer.handler = handler
    reply = bed.invoke("denied")
    bed.peer.handler = peer.echo
    equal((reply.status, reply.json["errorCode"]), (403, "ERR_DIRECT_INVOKE"))
    need("access control policy has denied access" in reply.json["message"], reply.json["message"])

    def broken(call):
        call.context.abort(grpc.StatusCode.INTERNAL, "error invoking app channel: nobody is there")

    bed.peer.handler = broken
    reply = bed.invoke("broken")
    bed.peer.handler = peer.echo
    equal(reply.status, 500)
    equal(reply.json, {"errorCode": "ERR_DIRECT_INVOKE",
                       "message": "failed to invoke, id: py, err: rpc error: code = Internal desc = error invoking app "
                                  "channel: nobody is there"})  # fmt: skip


@check("a sidecar without streams is called in one message")
def unary_fallback(bed):
    bed.old.take(), bed.old.methods.clear()
    reply = bed.invoke("old?q=1", "PUT", b"body", [("Content-Type", "text/x")], app_id="pyold")
    equal((reply.status, reply.body, reply.header("x-verb"), reply.header("content-type")), (200, b"body", "PUT", "text/x"))
    equal(bed.old.methods, ["CallLocal"])
    (call,) = bed.old.take()
    equal((call.method.lstrip("/"), call.query, call.all("dapr-caller-app-id")), ("old", "q=1", ["front"]))
    equal(bed.old.problems, [])


def invoke_service(bed, app_id, method="m", data=b"d", content_type="text/plain", verb="POST", type_url="", metadata=()):
    request = invoke_pb2.InvokeServiceRequest(id=app_id)
    request.message.method, request.message.content_type = method, content_type
    request.message.data.CopyFrom(any_pb2.Any(type_url=type_url, value=data))
    request.message.http_extension.verb = common_pb2.HTTPExtension.Verb.Value(verb)
    with bed.channel(bed.front) as channel:
        return dapr_pb2_grpc.DaprStub(channel).InvokeService.with_call(request, timeout=DEADLINE_S, metadata=metadata)


@check("InvokeService reaches the other sidecar; an HTTP status becomes a code")
def invoke_service_http(bed):
    bed.peer.take()
    response, call = invoke_service(bed, "py", metadata=[("x-me", "1"), ("x-b-bin", b"\0\xff")])
    equal((response.data.value, response.content_type), (b"d", "text/plain"))
    equal(dict(call.trailing_metadata()).get("dapr-http-status", "200"), "200")
    (got,) = bed.peer.take()
    equal((got.method, got.verb, got.content_type, got.body), ("m", "POST", "text/plain", b"d"))
    equal((got.all("x-me"), got.all("dapr-caller-app-id"), got.all("dapr-callee-app-id")), (["1"], ["front"], ["py"]))
    bed.peer.handler = lambda call: peer.Answer(404, b"none of that", content_type="text/plain")
    error = refused(invoke_service, bed, "py")
    bed.peer.handler = peer.echo
    equal(error.code(), grpc.StatusCode.NOT_FOUND)


@check("InvokeService: an application of gRPC behind the other sidecar answers with message, type and error as they are")
def invoke_service_grpc(bed):
    grpc_headers = [("content-type", "application/grpc"), ("x-init", "i")]
    bed.peer.handler = lambda call: peer.Answer(0, call.body, grpc_headers, "a/b", type_url=call.type_url)
    response, _ = invoke_service(bed, "py", type_url="type.googleapis.com/own.Thing")
    equal((response.data.type_url, response.data.value, response.content_type),
          ("type.googleapis.com/own.Thing", b"d", "a/b"))  # fmt: skip
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="R", domain="d"))
    bed.peer.handler = lambda call: peer.Answer(9, b"", grpc_headers, message="not now", details=[detail])
    error = refused(invoke_service, bed, "py")
    bed.peer.handler = peer.echo
    equal((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, "not now"))
    equal([d.type_url for d in rpc_status.from_call(error).details], [detail.type_url])


@check("calls of its own services are proxied, of all four kinds, with metadata and trailers")
def proxied(bed):
    to_py = (("dapr-app-id", "py"), ("x-me", "1"), ("x-b-bin", b"\0\xff"))
    with bed.channel(bed.front) as channel:
        got, call = channel.unary_unary(SVC + "Do").with_call(b"m", metadata=to_py, timeout=DEADLINE_S)
        equal(got, b"m")
        equal([p for p in call.initial_metadata() if p[0].startswith("x-")], [("x-init", "i1"), ("x-init-bin", b"\0\xff")])
        equal([tuple(p) for p in call.trailing_metadata() if p[0].startswith("x-")],
              [("x-trail", "t1"), ("x-trail-bin", b"\1\2")])  # fmt: skip
        received = bed.peer.calls(SVC + "Do")[-1]
        equal((received.values("x-me"), received.values("x-b-bin")), (["1"], [b"\0\xff"]))
        equal((received.values("dapr-caller-app-id"), received.values("dapr-callee-app-id")), (["front"], ["py"]))
        need(received.has_deadline and received.left_s <= DEADLINE_S + 0.1, f"the other sidecar knows the deadline: {received.left_s}")
        streaming = (*to_py, ("dapr-stream", "true"))
        equal(channel.stream_unary(SVC + "Join")(iter([b"a", b"b"]), metadata=streaming, timeout=DEADLINE_S), b"ab")
        equal(list(channel.unary_stream(SVC + "Split")(b"xy", metadata=streaming, timeout=DEADLINE_S)), [b"x", b"y"])
        words = [b"%d" % i for i in range(50)]
        equal(list(channel.stream_stream(SVC + "Chat")(iter(words), metadata=streaming, timeout=DEADLINE_S)),
              [word + b"!" for word in words])  # fmt: skip
        big_message = bytes(3 << 20)
        need(channel.unary_unary(SVC + "Do")(big_message, metadata=to_py, timeout=DEADLINE_S) == big_message, "3 MiB")


@check("errors of proxied calls come with code, words, details and trailers")
def proxied_errors(bed):
    to_py = (("dapr-app-id", "py"),)
    with bed.channel(bed.front) as channel:
        error = refused(channel.unary_unary(SVC + "Fail"), b"", metadata=to_py, timeout=DEADLINE_S)
        equal((error.code(), error.details()), (grpc.StatusCode.ALREADY_EXISTS, "doppelt: äöü % \n"))
        equal(dict(error.trailing_metadata()).get("x-trail"), "t2")
        error = refused(channel.unary_unary(SVC + "Rich"), b"", metadata=to_py, timeout=DEADLINE_S)
        equal(status_pb2.Status.FromString(rpc_status.from_call(error).SerializeToString()).details[0].type_url,
              "type.googleapis.com/google.rpc.ErrorInfo")  # fmt: skip
        error = refused(channel.unary_unary(SVC + "Nope"), b"", metadata=to_py, timeout=DEADLINE_S)
        equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        error = refused(channel.unary_unary(SVC + "Sleepless"), b"", metadata=to_py, timeout=0.3)
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        # The one whose deadline was over may not have got there, or may still be on its way.
        call = channel.unary_unary(SVC + "Sleepless").future(b"", metadata=(*to_py, ("x-leaver", "1")), timeout=DEADLINE_S * 4)
        leavers = lambda: [one for one in bed.peer.calls(SVC + "Sleepless") if one.values("x-leaver")]  # noqa: E731
        eventually(leavers, "the call is there")
        need(not leavers()[0].was_cancelled.is_set(), "it is under way")
        call.cancel()
        need(leavers()[0].was_cancelled.wait(DEADLINE_S), "it is told that the client left")


# --- the peer calls the sidecar ---------------------------------------------------------------------------------------


def read_all(bed, respond):
    """The application keeps what it got and answers with `respond(request)`."""
    kept = []

    def handle(request, exchange):
        request.body, request.chunks = exchange.body(request.headers)
        kept.append(request)
        return respond(request)

    bed.handle = handle
    return kept


@check("a peer's call reaches the HTTP application as an HTTP request")
def called_http(bed):
    kept = read_all(bed, lambda request: answer(201, b"made", [("Content-Type", "a/b"), ("X-R", "1"), ("X-R", "2"),
                                                               ("Connection", "X-Hop"), ("X-Hop", "1")]))  # fmt: skip
    caller = bed.caller(bed.back)
    for kind in ("unary", "stream"):
        head = peer.head("p/q", "PUT", [("X-One", "1"), ("Connection", "X-Gone"), ("X-Gone", "1"), ("x-two", "a"), ("x-two", "b")],
                         "k=v&l=%20", "text/x")  # fmt: skip
        result = caller.unary(head, b"body") if kind == "unary" else caller.stream(head, [b"bo", b"dy"])
        equal((result.status, result.body, result.content_type), (201, b"made", "a/b"), kind)
        equal((result.all("x-r"), result.all("x-hop")), (["1", "2"], []), kind)
        request = kept.pop()
        equal((request.method, request.target, request.body), ("PUT", "/p/q?k=v&l=%20", b"body"), kind)
        equal((request.header("x-one"), request.all("x-two"), request.header("content-type")), ("1", ["a", "b"], "text/x"))
        equal((request.all("dapr-caller-app-id"), request.all("dapr-callee-app-id")), (["py"], ["back"]))
        equal((request.header("x-gone"), request.header("destination-app-id") and None), (None, None), kind)
        need(request.header("host"), "it has a host")


@check("every method of HTTP is understood, and no method is POST for none")
def called_verbs(bed):
    kept = read_all(bed, lambda request: answer(200, b"" if request.method == "HEAD" else b"ok"))
    for verb in (*VERBS, "TRACE"):
        equal(bed.caller(bed.back).stream(peer.head("v", verb)).status, 200, verb)
        equal(kept.pop().method, verb)


@check("a peer's stream is passed on as it comes, both ways")
def called_streams(bed):
    seen, more = [], threading.Event()

    def handle(request, exchange):
        exchange.send(b"HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(exchange.until(b"\r\n"), 16):
            seen.append(exchange.exactly(size + 2)[:-2])
            exchange.send(b"%x\r\n<%s>\r\n" % (size + 2, seen[-1]))
        exchange.send(b"0\r\n\r\n")

    bed.handle = handle

    def pieces():
        yield b"a"
        more.wait(DEADLINE_S)
        yield b"b"

    call = bed.caller(bed.back).open(peer.head("s", "POST"), pieces())
    first = next(call)
    equal(first.response.status.code, 200)
    got = first.payload.data
    while b"<a>" not in got:
        got += next(call).payload.data
    equal(seen, [b"a"])
    more.set()
    equal(b"".join(message.payload.data for message in call), b"<b>")


@check("a body of many pieces of a peer's is whole, and so is the answer")
def called_big(bed):
    kept = read_all(bed, lambda request: answer(200, request.body))
    data = bytes(range(256)) * (BIG_BYTES // 256)
    pieces = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]
    result = bed.caller(bed.back).stream(peer.head("big", "POST"), pieces)
    need(kept[0].body == data and result.body == data, f"{len(kept[0].body)} up, {len(result.body)} down are the same")


@check("failures of the application are statuses, failures to reach it are codes")
def called_failures(bed):
    caller = bed.caller(bed.back)
    for status in (204, 302, 404, 500, 503):
        read_all(bed, lambda request, status=status: answer(status, b"" if status == 204 else b"e"))
        equal(caller.stream(peer.head("f")).status, status)
        equal(caller.unary(peer.head("f")).status, status)
    bed.handle = lambda request, exchange: None
    for ask in (caller.stream, caller.unary):
        error = refused(ask, peer.head("f"))
        equal(error.code(), grpc.StatusCode.INTERNAL)
        need("error invoking app channel" in error.details(), error.details())


@check("a peer that leaves takes its call with it")
def called_and_left(bed):
    ended = threading.Event()

    def handle(request, exchange):
        exchange.send(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        try:
            exchange.until(b"never")
        except (EOFError, OSError):
            ended.set()

    bed.handle = handle
    call = bed.caller(bed.back).open(peer.head("l"))
    next(call)
    call.cancel()
    need(ended.wait(DEADLINE_S), "the application is told")


@check("a peer's call reaches the gRPC application as OnInvoke")
def called_grpc(bed):
    caller = bed.caller(bed.gback)
    head = peer.head("m", "POST", content_type="a/b", callee="gback")
    head.message.data.type_url = "type.googleapis.com/own.Thing"
    for ask in (lambda: caller.unary(head, b"x"), lambda: caller.stream(head, [b"x"])):
        result = ask()
        equal((result.status, result.body, result.content_type), (0, b"x", "a/b"))
        received = bed.grpc_app.calls(f"/{grpc_app.CALLBACK}/OnInvoke")[-1]
        equal((received.values("dapr-caller-app-id"), received.values("dapr-callee-app-id")), (["py"], ["gback"]))


@check("a peer may have calls of the application's own services proxied")
def called_proxied(bed):
    channel = bed.caller(bed.gback).channel
    metadata = (("dapr-app-id", "gback"), ("dapr-callee-app-id", "gback"), ("dapr-caller-app-id", "py"), ("x-me", "1"))
    answered, call = channel.unary_unary(SVC + "Do").with_call(b"m", metadata=metadata, timeout=DEADLINE_S)
    equal(answered, b"m")
    equal([tuple(p) for p in call.trailing_metadata() if p[0].startswith("x-")], [("x-trail", "t1"), ("x-trail-bin", b"\1\2")])
    received = bed.grpc_app.calls(SVC + "Do")[-1]
    equal((received.values("x-me"), received.values("dapr-caller-app-id")), (["1"], ["py"]))
    words = [b"%d" % i for i in range(20)]
    equal(list(channel.stream_stream(SVC + "Chat")(iter(words), metadata=(*metadata, ("dapr-stream", "true")),
                                                    timeout=DEADLINE_S)), [word + b"!" for word in words])  # fmt: skip
    error = refused(channel.unary_unary(SVC + "Rich"), b"", metadata=metadata, timeout=DEADLINE_S)
    equal(error.code(), grpc.StatusCode.FAILED_PRECONDITION)


@check("what is no call is refused, and the next one is served")
def called_wrongly(bed):
    caller = bed.caller(bed.back)
    read_all(bed, lambda request: answer(200, b"ok"))
    bed.app.take()
    for what, messages in (
        ("nothing", []),
        ("no head", [peer.RequestStream()]),
        ("a piece first", [piece(0)]),
        ("no message", [headed(peer.Request(ver=peer.V1))]),
        ("pieces out of order", [headed(peer.head("x", "POST")), piece(1)]),
        ("a piece twice", [headed(peer.head("x", "POST")), piece(0), piece(0)]),
        ("two heads", [headed(peer.head("x", "POST")), headed(peer.head("y", "POST"))]),
    ):
        try:
            error = refused(list, caller._stream(iter(messages), timeout=DEADLINE_S))
        except AssertionError as problem:
            raise AssertionError(f"{what}: {problem}") from None
        need(error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED),
             f"{what}: {error.code()}")  # fmt: skip
    for data in (b"", b"four", b"sixsix"):
        said = peer.head("x", "POST", [("Content-Length", "5")])
        for ask in (lambda: caller.stream(said, [data] if data else []), lambda: caller.unary(said, data)):
            error = refused(ask)
            need(error.code() == grpc.StatusCode.INVALID_ARGUMENT, f"{data!r} that was to be 5 bytes: {error.code()}")
    for method in ("a?b", "a#b", "a\nb", "a\0b"):
        error = refused(caller.stream, peer.head(method))
        equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT, repr(method))
    garbage = caller.channel.unary_unary(peer.SERVICE + "CallLocal")
    for data in (b"\xff\xff\xff", b"\x1a\xff\xff\xff\xff\x0f", b"\x12\x04\x0a\x02\xff\xfe"):
        need(refused(garbage, data, timeout=DEADLINE_S).code() is not None, "it has a code")
    equal(caller.stream(peer.head("x")).status, 200)


def headed(request, ver=None):
    if ver is not None:
        request.ver = ver
    return peer.RequestStream(request=request)


def piece(number, data=b"x"):
    made = peer.RequestStream()
    made.payload.seq, made.payload.data = number, data
    return made


@check("two sidecars with both ends of ours, or of another maker, agree")
def front_to_back(bed):
    kept = read_all(bed, lambda request: answer(200, json.dumps([request.method, request.target]).encode()))
    reply = bed.invoke("x/y?z=1", "POST", b"abc", app_id="back")
    equal((reply.status, reply.json), (200, ["POST", "/x/y?z=1"]))
    equal(kept[0].body, b"abc")
    response, _ = invoke_service(bed, "gback", data=b"zz")
    equal(response.data.value, b"zz")
    with bed.channel(bed.front) as channel:
        equal(channel.unary_unary(SVC + "Do")(b"m", metadata=(("dapr-app-id", "gback"),), timeout=DEADLINE_S), b"m")
