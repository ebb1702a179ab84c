# SPDX-License-Identifier: Apache-2.0
"""An application of grpcio in the test's own process: a service of raw bytes with calls of all four kinds, and the
callbacks a sidecar asks for. What it receives is kept. Tests import sdk first."""

import threading
import time
from concurrent import futures

import grpc
from dapr.proto.common.v1 import common_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from remora import DEADLINE_S, free_port

CALLBACK = "dapr.proto.runtime.v1.AppCallback"
HEALTH = "dapr.proto.runtime.v1.AppCallbackHealthCheck"


class Received:
    """One call: its name, its metadata in order, whether it has a deadline."""

    def __init__(self, method, context):
        self.method = method
        self.metadata = [(name, value) for name, value in context.invocation_metadata()]
        left = context.time_remaining()
        self.has_deadline = left is not None and left < 365 * 24 * 3600
        self.left_s = left
        self.was_cancelled = threading.Event()
        context.add_callback(self.was_cancelled.set)

    def values(self, name):
        return [value for n, value in self.metadata if n == name]


class App:
    """`/own.Svc/*` and the callbacks. `invoke` is called with OnInvoke's request and context."""

    def __init__(self, port=None, options=(), workers=64, start=True, tls=None):
        self.port = port or free_port()
        self.options, self.workers = list(options), workers
        self.tls = tls  # paths of certificate and key
        self.received = []
        self.produced = 0  # bytes of endless answers
        self.is_healthy = True
        self.has_health = True
        self.invoke = lambda request, context: common_pb2.InvokeResponse(
            data=any_pb2.Any(type_url=request.data.type_url, value=request.data.value), content_type=request.content_type
        )
        self.release = threading.Event()
        self.server = None
        if start:
            self.start()

    def start(self):
        self.server = grpc.server(
            futures.ThreadPoolExecutor(self.workers),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20),
                     ("grpc.max_send_message_length", 64 << 20), *self.options],
        )
        self.server.add_generic_rpc_handlers(self.handlers())
        deadline = time.monotonic() + DEADLINE_S
        while True:  # a server that has just ended may still hold the port
            try:
                if self.bind(f"127.0.0.1:{self.port}"):
                    break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
        self.server.start()
        return self

    def handlers(self):
        return [_Router(self)]

    def bind(self, address):
        if not self.tls:
            return self.server.add_insecure_port(address)
        cert, key = (open(path, "rb").read() for path in self.tls)
        return self.server.add_secure_port(address, grpc.ssl_server_credentials([(key, cert)]))

    def stop(self, grace=None):
        self.server.stop(grace).wait()

    def calls(self, method):
        return [call for call in self.received if call.method == method]

    # --- own.Svc ---

    def echo(self, request, context):
        context.send_initial_metadata([("x-init", "i1"), ("x-init-bin", b"\0\xff")])
        context.set_trailing_metadata([("x-trail", "t1"), ("x-trail-bin", b"\1\2")])
        return request

    def hold(self, request, context):
        self.release.wait(DEADLINE_S)
        return request

    def sleepless(self, request, context):
        """Answers nobody who does not leave."""
        left = threading.Event()
        if context.add_callback(left.set):  # else it has left already
            left.wait(DEADLINE_S * 4)
        return request

    def fail(self, request, context):
        context.set_trailing_metadata([("x-trail", "t2")])
        context.abort(grpc.StatusCode.ALREADY_EXISTS, "doppelt: äöü % \n")

    def rich(self, request, context):
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason="R", domain="d"))
        status = status_pb2.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="rich one", details=[detail])
        context.abort_with_status(rpc_status.to_status(status))

    def kaboom(self, request, context):
        raise RuntimeError("kaboom")

    def join(self, requests, context):
        return b"".join(requests)

    def split(self, request, context):
        for byte in request:
            yield bytes([byte])

    def chat(self, requests, context):
        for request in requests:
            yield request + b"!"

    def endless(self, request, context):
        while context.is_active():
            self.produced += 10000
            yield b"x" * 10000

    def early(self, requests, context):
        """Answers without having read."""
        next(requests)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


UNARY = {"Do": App.echo, "Hold": App.hold, "Sleepless": App.sleepless, "Fail": App.fail, "Rich": App.rich,
         "Kaboom": App.kaboom}
STREAM_UNARY = {"Join": App.join, "Early": App.early}
UNARY_STREAM = {"Split": App.split, "Endless": App.endless}
STREAM_STREAM = {"Chat": App.chat}


class _Router(grpc.GenericRpcHandler):
    def __init__(self, app):
        self.app = app

    def kept(self, method, function):
        def call(request, context):
            self.app.received.append(Received(method, context))
            return function(request, context)

        return call

    def service(self, handler_call_details):
        app = self.app
        _, service, name = handler_call_details.method.split("/")
        method = handler_call_details.method
        if service == "own.Svc":
            for kinds, make in (
                (UNARY, grpc.unary_unary_rpc_method_handler),
                (STREAM_UNARY, grpc.stream_unary_rpc_method_handler),
                (UNARY_STREAM, grpc.unary_stream_rpc_method_handler),
                (STREAM_STREAM, grpc.stream_stream_rpc_method_handler),
            ):
                if name in kinds:
                    return make(self.kept(method, kinds[name].__get__(app)))
        if service == CALLBACK and name == "OnInvoke":
            return grpc.unary_unary_rpc_method_handler(
                self.kept(method, lambda request, context: app.invoke(request, context)),
                request_deserializer=common_pb2.InvokeRequest.FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
        if service == CALLBACK and name == "ListTopicSubscriptions":
            return grpc.unary_unary_rpc_method_handler(self.kept(method, lambda request, context: b""))
        if service == HEALTH and app.has_health:
            return grpc.unary_unary_rpc_method_handler(self.kept(method, self.health))
        return None

    def health(self, request, context):
        if not self.app.is_healthy:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not well")
        return b""
