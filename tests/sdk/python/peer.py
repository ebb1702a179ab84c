# SPDX-License-Identifier: Apache-2.0
"""The official grpcio as a peer, for interop of every client with every server:

  peer.py serve PORT         the service interop.Peer on 127.0.0.1
  peer.py call TARGET APP    calls it through a sidecar that knows it as APP, or directly when APP is `-`
  peer.py dapr TARGET        calls the sidecar's own API, which has an in-memory store `mem`

The peers of the other languages (js/peer.js, go/) serve and call the same. Messages of interop.Peer are plain bytes:

  Echo   unary          answers the request. Values of x-echo and x-echo-bin come back as initial metadata of the same
                        names and as trailers x-last and x-last-bin. With x-fail the request is the rich details of an
                        error DATA_LOSS; with x-who the answer is the metadata that arrived, `name: value` a line
  Count  server stream  "N SIZE" asks for N messages of SIZE bytes
  Sum    client stream  answers "N BYTES" of what came
  Chat   both           answers each message at once, ends when the client does
  Hang   server stream  sends its metadata and nothing more, until the caller leaves
  Hung   unary          how many callers left Hang"""

import os
import sys
import threading
import time
from concurrent import futures

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, state_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

WORDS = "ünlucky: 100 % gone"
LARGE = 6 << 20
SIZES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def equal(got, wanted):
    assert got == wanted, f"got {got!r:.300}, not {wanted!r:.300}"


# --- server -----------------------------------------------------------------------------------------------------------


class Served(grpc.GenericRpcHandler):
    def __init__(self):
        self.lock = threading.Lock()
        self.hung = 0
        self.methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Hang": grpc.unary_stream_rpc_method_handler(self.hang),
            "Hung": grpc.unary_unary_rpc_method_handler(lambda _, __: str(self.hung).encode()),
        }

    def service(self, details):
        service, _, method = details.method.lstrip("/").partition("/")
        return self.methods.get(method) if service == "interop.Peer" else None

    def echo(self, request, context):
        came = context.invocation_metadata()
        context.send_initial_metadata([(k, v) for k, v in came if k in ("x-echo", "x-echo-bin")])
        last = [(k.replace("x-echo", "x-last"), v) for k, v in came if k in ("x-echo", "x-echo-bin")]
        context.set_trailing_metadata(last)
        if any(k == "x-fail" for k, _ in came):
            context.abort_with_status(rpc_status.to_status(status_pb2.Status.FromString(request)))
        if any(k == "x-who" for k, _ in came):
            return "".join(f"{k}: {v}\n" for k, v in came if not k.endswith("-bin")).encode()
        return request

    def count(self, request, context):
        number, size = map(int, request.split())
        for i in range(number):
            yield bytes([i % 256]) * size

    def sum(self, requests, context):
        number = size = 0
        for request in requests:
            number += 1
            size += len(request)
        return f"{number} {size}".encode()

    def chat(self, requests, context):
        yield from requests

    def hang(self, request, context):
        left = threading.Event()
        context.add_callback(left.set)
        context.send_initial_metadata([("x-here", "yes")])
        left.wait()
        with self.lock:
            self.hung += 1
        return iter(())


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=300), options=SIZES)
    server.add_generic_rpc_handlers([Served()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("serving", flush=True)
    server.wait_for_termination()


# --- client of interop.Peer -------------------------------------------------------------------------------------------


class Peer:
    def __init__(self, target, app, **options):
        self.channel = grpc.insecure_channel(target, options=SIZES, **options)
        self.metadata = [] if app == "-" else [("dapr-app-id", app)]

    def call(self, kind, method):
        made = getattr(self.channel, kind)(f"/interop.Peer/{method}")
        return lambda message, *more, **named: made(
            message, metadata=[*self.metadata, *more], timeout=named.get("timeout", 60)
        )

    def echo(self, message, *more):
        made = self.channel.unary_unary("/interop.Peer/Echo")
        return made.with_call(message, metadata=[*self.metadata, *more], timeout=60)

    def hung(self):
        return int(self.call("unary_unary", "Hung")(b""))

    def until_hung(self, number):
        deadline = time.monotonic() + 30
        while self.hung() < number:
            assert time.monotonic() < deadline, "the application does not know that its caller left"
            time.sleep(0.01)


def unary(p):
    for message in (b"", b"a", bytes(range(256)) * 400):
        equal(p.echo(message)[0], message)
    equal(p.echo(b"z" * LARGE)[0] == b"z" * LARGE, True)


def compression(p, target, app):
    small = Peer(target, app, compression=grpc.Compression.Gzip)
    equal(small.echo(b"c" * 300_000)[0] == b"c" * 300_000, True)


def metadata(p):
    _, call = p.echo(b"", ("x-echo", "one"), ("x-echo", "two"), ("x-echo-bin", bytes(range(256))))
    for name, came in (("x-echo", call.initial_metadata()), ("x-last", call.trailing_metadata())):
        equal(", ".join(v for k, v in came if k == name), "one, two")  # Node joins the values of one name
        equal([v for k, v in came if k == name + "-bin"], [bytes(range(256))])


def errors(p):
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="GONE", domain="interop"))
    status = status_pb2.Status(code=grpc.StatusCode.DATA_LOSS.value[0], message=WORDS, details=[detail])
    try:
        p.echo(status.SerializeToString(), ("x-fail", "yes"))
    except grpc.RpcError as error:
        equal((error.code(), error.details()), (grpc.StatusCode.DATA_LOSS, WORDS))
        equal(rpc_status.from_call(error), status)
    else:
        raise AssertionError("it did not fail")
    try:
        p.call("unary_unary", "Nothing")(b"")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    else:
        raise AssertionError("it did not fail")


def streams(p):
    count = p.call("unary_stream", "Count")
    equal([len(m) for m in count(b"10000 100")], [100] * 10000)
    equal([len(m) for m in count(b"16 1000000")], [1000000] * 16)
    equal(list(count(b"0 0")), [])
    total = p.call("stream_unary", "Sum")
    equal(total(iter([b"x" * 100] * 10000)), b"10000 1000000")
    equal(total(iter([b"x" * 1000000] * 16)), b"16 16000000")
    equal(total(iter([])), b"0 0")


def chat(p):
    heard = threading.Semaphore(0)
    said = []

    def talk():
        for i in range(200):
            said.append(str(i).encode() * (1 + i))
            yield said[-1]
            assert heard.acquire(timeout=30)

    got = []
    for message in p.call("stream_stream", "Chat")(talk()):
        got.append(message)
        heard.release()
    equal(got, said)


def leaving(p):
    before = p.hung()
    stream = p.call("unary_stream", "Hang")(b"")
    equal(dict(stream.initial_metadata())["x-here"], "yes")
    stream.cancel()
    p.until_hung(before + 1)
    assert any(late(p, seconds) for seconds in (0.3, 3, 30)), "no call reached the application"
    p.until_hung(before + 2)


def late(p, seconds):
    """Whether the call reached the application before its deadline, on a machine that may be slow."""
    stream = p.call("unary_stream", "Hang")(b"", timeout=seconds)
    try:
        list(stream)
    except grpc.RpcError as error:
        # grpc-go resets the call when its clock is the first; between it and us stands then nobody who knows better.
        is_cancelled = error.code() == grpc.StatusCode.CANCELLED and not p.metadata
        assert is_cancelled or error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        return any(name == "x-here" for name, _ in stream.initial_metadata())
    raise AssertionError("no deadline")


def many(p):
    echo = p.channel.unary_unary("/interop.Peer/Echo")
    calls = [echo.future(b"%d" % i, metadata=p.metadata, timeout=60) for i in range(200)]
    equal([call.result() for call in calls], [b"%d" % i for i in range(200)])


def who(p, app):
    """Who calls (CALLER, or the application itself) is told by the sidecar, whatever the client says; what is the client's
    own passes."""
    came, _ = p.echo(b"", ("x-who", "yes"), ("x-own", "kept"), ("dapr-caller-app-id", "evil"))
    told = {}
    for line in came.decode().splitlines():
        name, _, value = line.partition(": ")
        told.setdefault(name, []).append(value)
    caller = os.environ.get("CALLER", app)
    wanted = {"dapr-caller-app-id": [caller], "dapr-callee-app-id": [app], "x-own": ["kept"], "dapr-app-id": None}
    equal({name: told.get(name) for name in wanted}, wanted)


def call(target, app):
    p = Peer(target, app)
    for part in (unary, metadata, errors, streams, chat, leaving, many):
        part(p)
        print(f"ok {part.__name__}", flush=True)
    compression(p, target, app)
    if app != "-":
        who(p, app)
    print("all is well")


# --- client of the sidecar's own API ----------------------------------------------------------------------------------


class Store:
    """The store `mem` of the sidecar."""

    def __init__(self, target, **more):
        self.stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(target, options=SIZES, **more))

    def save(self, value):
        item = common_pb2.StateItem(key="py", value=value)
        self.stub.SaveState(state_pb2.SaveStateRequest(store_name="mem", states=[item]), timeout=60)

    def get(self, store="mem"):
        request = state_pb2.GetStateRequest(store_name=store, key="py")
        return self.stub.GetState(request, timeout=60, metadata=[("x-own-bin", bytes(range(256)))]).data


def values(target):
    for more in ({}, {"compression": grpc.Compression.Gzip}):
        store = Store(target, **more)
        for value in (b"", bytes(range(256)), b"v" * (5 << 20)):
            store.save(value)
            equal(store.get() == value, True)
    store.save(b"z" * 500_000)
    request = state_pb2.GetStateRequest(store_name="mem", key="py")
    calls = [store.stub.GetState.future(request, timeout=60) for _ in range(200)]
    equal({len(call.result().data) for call in calls}, {500_000})


def refused(function, *words):
    try:
        function(*words)
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


def refusals(target):
    store = Store(target)
    error = refused(store.get, "ghost")
    equal((error.code(), error.details()), (grpc.StatusCode.INVALID_ARGUMENT, "state store ghost is not found"))
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(error).details[0].Unpack(info)
    equal((info.reason, info.domain), ("DAPR_STATE_NOT_FOUND", "dapr.io"))
    error = refused(store.save, b"v" * (17 << 20))
    equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert "larger than max" in error.details(), error.details()


def health(target):
    channel = grpc.insecure_channel(target)
    equal(channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60), b"\x08\x01")
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60)
    equal(next(watch), b"\x08\x01")
    watch.cancel()


def dapr(target):
    for part in (values, refusals, health):
        part(target)
        print(f"ok {part.__name__}", flush=True)
    print("all is well")


if __name__ == "__main__":
    {"serve": serve, "call": call, "dapr": dapr}[sys.argv[1]](*sys.argv[2:])
