# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""The gRPC API as grpcio sees it: sockets, limits, deadlines, leaving, compression, metadata, health, and that every
method of the public API is either served or says its name."""

import sdk  # noqa: F401  isort: skip

import os
import re
import signal
import socket
import threading

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2, dapr_pb2_grpc, metadata_pb2, state_pb2
from remora import DEADLINE_S, TOP, Folder, Sidecar, call, component, equal, eventually, main, need, test

MEM = component("mem", "state.in-memory")
SIDECAR = Sidecar(MEM, app_id="g")
DAPR = "/dapr.proto.runtime.v1.Dapr/"


def channel(target=None, **options):
    return grpc.insecure_channel(target or f"127.0.0.1:{SIDECAR.grpc_port}", **options)


def stub(target=None, **options):
    return dapr_pb2_grpc.DaprStub(channel(target, **options))


def save(s, key, value):
    item = common_pb2.StateItem(key=key, value=value)
    s.SaveState(state_pb2.SaveStateRequest(store_name="mem", states=[item]), timeout=30)


def get(s, key, **more):
    return s.GetState(state_pb2.GetStateRequest(store_name="mem", key=key), timeout=30, **more)


def refused(function):
    try:
        function()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


@test("every method of the public API is served or says its name", "GRPC-METHODS")
def _():
    with open(os.path.join(TOP, "kernel", "api", "methods.def"), encoding="utf-8") as f:
        text = f.read()
    served = set(re.findall(r"^(?:GRPC_)?METHOD\((\w+),", text, re.M))
    unserved = set(re.findall(r"^UNSERVED\((\w+)\)", text, re.M))
    methods = {m.name for m in dapr_pb2.DESCRIPTOR.services_by_name["Dapr"].methods}
    equal(served | unserved, methods)
    equal(served & unserved, set())
    raw = channel()
    for name in unserved:
        error = refused(lambda n=name: raw.unary_unary(DAPR + n)(b"", timeout=10))
        equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, name)
        need(name in error.details(), error.details())


@test("messages up to the limit pass, larger ones are refused", "GRPC-LIMITS")
def _():
    s = stub(options=[("grpc.max_receive_message_length", 8 << 20)])
    value = b"x" * (4 * 1024 * 1024 - 100)
    save(s, "large", value)
    equal(get(s, "large").data, value)
    error = refused(lambda: save(s, "larger", value + b"y" * 200))
    equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    need("larger than max" in error.details(), error.details())
    equal(get(s, "large").data, value)


@test("compressed requests are understood", "GRPC-COMPRESSION")
def _():
    s = stub(compression=grpc.Compression.Gzip)
    save(s, "zip", b"z" * 1000000)
    equal(get(s, "zip").data, b"z" * 1000000)
    error = refused(lambda: get(stub(compression=grpc.Compression.Deflate), "zip"))
    equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)


@test("many clients call at a time, large and small values mixed", "GRPC-CONCURRENCY")
def _():
    failures = []

    def run(number):
        try:
            s = stub(options=[("grpc.use_local_subchannel_pool", 1)])
            for i in range(50):
                value = os.urandom(number * 20000 + i)
                save(s, f"{number}-{i}", value)
                equal(get(s, f"{number}-{i}").data == value, True)
        except Exception as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])


@test("a store that hangs holds calls no longer than their deadline", "GRPC-DEADLINE")
def _():
    sidecar = Sidecar(MEM)
    s = stub(f"127.0.0.1:{sidecar.grpc_port}")
    save(s, "k", b"v")
    plugin = sidecar.plugin_pid("in-memory")
    os.kill(plugin, signal.SIGSTOP)
    try:
        request = state_pb2.GetStateRequest(store_name="mem", key="k")
        futures = [s.GetState.future(request, timeout=0.5) for _ in range(20)]
        equal({f.exception().code() for f in futures}, {grpc.StatusCode.DEADLINE_EXCEEDED})
    finally:
        os.kill(plugin, signal.SIGCONT)
    equal(get(s, "k").data, b"v")
    sidecar.signal(signal.SIGTERM)
    equal(sidecar.wait(), 0)


@test("clients that leave in the middle leave nothing behind", "GRPC-CANCEL")
def _():
    s = stub()
    for _ in range(200):
        future = s.GetState.future(state_pb2.GetStateRequest(store_name="mem", key="large"))
        future.cancel()
    for _ in range(20):
        c = grpc.insecure_channel(f"127.0.0.1:{SIDECAR.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)])
        dapr_pb2_grpc.DaprStub(c).GetState.future(state_pb2.GetStateRequest(store_name="mem", key="large"))
        c.close()
    equal(get(s, "none").data, b"")


@test("metadata of any kind does not disturb", "GRPC-METADATA")
def _():
    metadata = [("x-own", "value"), ("x-own-bin", bytes(range(256))), ("x-long", "v" * 4000)]
    equal(get(stub(), "none", metadata=metadata).data, b"")
    error = refused(lambda: get(stub(), "none", metadata=[("x-long", "v" * 60000)]))
    equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)


@test("the sidecar's own metadata has the features and the application's address", "GRPC-METADATA")
def _():
    with socket.create_server(("127.0.0.1", 0)) as application:
        port = application.getsockname()[1]
        flags = ["--app-port", str(port), "--disable-init-endpoints=config,subscribe"]
        sidecar = Sidecar(MEM, flags=flags)
        metadata = stub(f"127.0.0.1:{sidecar.grpc_port}").GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=30)
        app = metadata.app_connection_properties
        equal((app.port, app.protocol, app.channel_address), (port, "http", "127.0.0.1"))
        equal(list(metadata.enabled_features), ["HotReload"])
        equal(sidecar.stop(), 0)


@test("the health service answers", "GRPC-HEALTH")
def _():
    equal(channel().unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10), b"\x08\x01")


@test("services that are nobody's are refused", "GRPC-PROXY")
def _():
    error = refused(lambda: channel().unary_unary("/own.Svc/Do")(b"", timeout=10))
    equal(error.code(), grpc.StatusCode.UNKNOWN)


@test("nested messages and strings that are no text are refused", "GRPC-HOSTILE")
def _():
    raw = channel()
    for body in (b"\x0a\x03\xff\xff\xff", b"\x0a\x02a\x00", b"\x12" + b"\xff" * 9, b"\x0b" * 5000):
        error = refused(lambda b=body: raw.unary_unary(DAPR + "GetState")(b, timeout=10))
        equal(error.code(), grpc.StatusCode.INTERNAL, body[:8])


@test("an HTTP/1.1 client on the gRPC port is told so", "GRPC-HTTP1")
def _():
    equal(call(("127.0.0.1", SIDECAR.grpc_port), "POST", DAPR + "GetState", b"").status, 505)


@test("HTTP/2 on the HTTP port is off when the user says so", "HTTP-H2C")
def _():
    sidecar = Sidecar(MEM, env={"DAPR_HTTP_DISABLE_H2C": "true"})
    with socket.create_connection(sidecar.address, 10) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        need(s.recv(100).startswith(b"HTTP/1.1 505"), "HTTP/1.1 answers")
    equal(get(stub(f"127.0.0.1:{sidecar.grpc_port}"), "k").data, b"")


@test("over Unix sockets both APIs are there, and gone at the end", "GRPC-UNIX")
def _():
    folder = Folder()
    sidecar = Sidecar(MEM, app_id="u", http=False, wait=False, flags=["--unix-domain-socket", folder.path])
    path = folder / "dapr-u-grpc.socket"
    eventually(lambda: os.path.exists(path) and os.path.exists(folder / "dapr-u-http.socket"), "the sockets appear")
    s = stub(f"unix:{path}")

    def is_healthy():
        try:
            return call(folder / "dapr-u-http.socket", "GET", "/v1.0/healthz").status == 204
        except ConnectionRefusedError:  # the file is there a moment before anybody listens
            return False

    eventually(is_healthy, "it is healthy")
    save(s, "k", b"v")
    equal(get(s, "k").data, b"v")
    s.Shutdown(dapr_pb2.ShutdownRequest(), timeout=10)
    equal(sidecar.wait(), 0)
    equal(os.listdir(folder.path), [name for name in os.listdir(folder.path) if not name.endswith(".socket")])


@test("calls under way are answered when the sidecar ends", "GRPC-DRAIN")
def _():
    sidecar = Sidecar(MEM, flags=["--dapr-graceful-shutdown-seconds", str(DEADLINE_S)])
    s = stub(f"127.0.0.1:{sidecar.grpc_port}")
    save(s, "k", b"x" * 100000)
    plugin = sidecar.plugin_pid("in-memory")
    os.kill(plugin, signal.SIGSTOP)
    request = state_pb2.GetStateRequest(store_name="mem", key="k")
    futures = [s.GetState.future(request, timeout=DEADLINE_S) for _ in range(50)]
    s.GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=DEADLINE_S)  # comes after them on the same connection
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: "beginning shutdown" in sidecar.log(), "the end has begun")
    equal([f.done() for f in futures], [False] * 50)
    os.kill(plugin, signal.SIGCONT)
    equal([len(f.result().data) for f in futures], [100000] * 50)
    equal(sidecar.wait(), 0)
    SIDECAR.signal(signal.SIGTERM)
    equal(SIDECAR.wait(), 0)


main()
