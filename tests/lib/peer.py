# SPDX-License-Identifier: Apache-2.0
"""An independent sidecar on grpcio, so that compatibility does not rest on our own code at both ends of the wire. Peer is
the other sidecar with an application in one: it answers CallLocal, CallLocalStream and proxied calls of own.Svc (see
grpc_app). Caller calls a sidecar as another sidecar does. Messages come from tests/lib/peer_proto and the official SDK.
Tests import sdk first. grpcio's TLS knows no Ed25519, so mutual TLS is put around both by a relay (see authority)."""

import os
import subprocess
import tempfile
import threading

import grpc
import grpc_app
from dapr.proto.common.v1 import common_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, unknown_fields
from remora import DEADLINE_S, need

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_proto")
SERVICE = "/dapr.proto.internals.v1.ServiceInvocation/"
PIECE_BYTES = 64 * 1024
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20),
           ("grpc.max_metadata_size", 64 << 10), ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip

# --- messages ---------------------------------------------------------------------------------------------------------


def _load(*names):
    """Descriptors of files of peer_proto; what they import is the SDK's."""
    known = descriptor_pb2.FileDescriptorSet()

    def add(file):
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in [one.name for one in known.file]:
            file.CopyToProto(known.file.add())

    add(common_pb2.DESCRIPTOR)
    add(timestamp_pb2.DESCRIPTOR)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "known"), "wb") as f:
            f.write(known.SerializeToString())
        subprocess.run(["protoc", f"--descriptor_set_in={folder}/known", f"--proto_path={PROTO}",
                        f"--descriptor_set_out={folder}/out", *names], check=True)  # fmt: skip
        with open(os.path.join(folder, "out"), "rb") as f:
            made = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    for file in made.file:
        descriptor_pool.Default().Add(file)


def _class(name):
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"dapr.proto.{name}"))


_load("invocation.proto", "sentry.proto")
Request, Response = _class("internals.v1.InternalInvokeRequest"), _class("internals.v1.InternalInvokeResponse")
RequestStream = _class("internals.v1.InternalInvokeRequestStream")
ResponseStream = _class("internals.v1.InternalInvokeResponseStream")
SignRequest, SignResponse = _class("sentry.v1.SignCertificateRequest"), _class("sentry.v1.SignCertificateResponse")
V1 = 1


def has_unknown(message):
    """Whether there is anything in it that the other sidecars do not know."""
    if len(unknown_fields.UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type and any(map(has_unknown, value.values())):
                return True
        elif any(map(has_unknown, value if hasattr(value, "add") or isinstance(value, list) else [value])):
            return True
    return False


def lists(pairs):
    """[(name, value)] → {name: [values]}."""
    made = {}
    for name, value in pairs:
        made.setdefault(name, []).append(value)
    return made


# --- the callee -------------------------------------------------------------------------------------------------------


class Call:
    """What a sidecar asks of this one's application."""

    def __init__(self, head, pieces, is_stream, context):
        self.head, self.pieces, self.is_stream, self.context = head, pieces, is_stream, context
        message = head.message
        self.method, self.content_type = message.method, message.content_type
        self.verb = common_pb2.HTTPExtension.Verb.Name(message.http_extension.verb)
        self.query = message.http_extension.querystring
        self.metadata = {name: list(values.values) for name, values in head.metadata.items()}
        self.type_url = message.data.type_url
        left = context.time_remaining()
        self.left_s = left if left is not None and left < 365 * 24 * 3600 else None
        self.was_cancelled = threading.Event()
        context.add_callback(self.was_cancelled.set)
        self._body = None

    def all(self, name):
        return [v for n, values in self.metadata.items() if n.lower() == name.lower() for v in values]

    def value(self, name):
        return next(iter(self.all(name)), None)

    @property
    def body(self):
        if self._body is None:
            self._body = b"".join(self.pieces)
        return self._body


class Answer:
    """`body` is bytes or yields bytes. A status below 17 is that of a gRPC application (`is_grpc`)."""

    def __init__(self, status=200, body=b"", headers=(), content_type="", message="", trailers=(), details=(), type_url=""):
        self.status, self.body, self.headers, self.content_type = status, body, headers, content_type
        self.message, self.trailers, self.details, self.type_url = message, trailers, details, type_url

    def head(self):
        made = Response()
        made.status.code, made.status.message = self.status, self.message
        made.status.details.extend(self.details)
        for to, pairs in ((made.headers, self.headers), (made.trailers, self.trailers)):
            for name, values in lists(pairs).items():
                to[name].values.extend(values)
        made.message.content_type = self.content_type
        made.message.data.type_url = self.type_url
        return made

    def pieces(self):
        if not isinstance(self.body, bytes):
            yield from self.body
            return
        for at in range(0, len(self.body), PIECE_BYTES):
            yield self.body[at : at + PIECE_BYTES]


def echo(call):
    return Answer(200, call.body, [("X-Peer", "py"), ("X-Verb", call.verb)], call.content_type or "text/plain")


class Peer(grpc_app.App):
    """`handler(call)` gives an Answer. Without `streams` it is an old sidecar that has no CallLocalStream."""

    def __init__(self, handler=echo, streams=True, **more):
        self.handler, self.streams = handler, streams
        self.calls_local = []  # what was asked of the application
        self.methods = []  # of the service, in order
        self.problems = []  # what another sidecar would not understand
        super().__init__(options=OPTIONS, **more)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        super().start()
        return self

    def handlers(self):
        return [_Router(self), *super().handlers()]

    def take(self):
        taken, self.calls_local = self.calls_local, []
        return taken

    def answer(self, head, pieces, is_stream, context):
        if has_unknown(head):
            self.problems.append(f"unknown fields: {head}")
        if head.ver != V1:
            self.problems.append(f"version {head.ver}")
        call = Call(head, pieces, is_stream, context)
        self.calls_local.append(call)
        return self.handler(call)

    def unary(self, request, context):
        self.methods.append("CallLocal")
        answer = self.answer(request, [request.message.data.value], False, context)
        made = answer.head()
        made.message.data.value = b"".join(answer.pieces())
        return made

    def stream(self, requests, context):
        self.methods.append("CallLocalStream")
        first = next(requests, None)
        if first is None or not first.HasField("request"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no head")
        if first.request.message.data.value:
            self.problems.append("the head of a stream has a body")
        answer = self.answer(first.request, self.received_pieces(first, requests), True, context)
        yield from stream_of(ResponseStream, "response", answer.head(), answer.pieces())

    def received_pieces(self, first, requests):
        """The numbers of the pieces count from 0."""
        expected = 0
        message = first
        while message is not None:
            if message is not first and message.HasField("request"):
                self.problems.append("a second head")
            if message.HasField("payload"):
                if message.payload.seq != expected:
                    self.problems.append(f"piece {message.payload.seq}, not {expected}")
                expected += 1
                yield message.payload.data
            message = next(requests, None)


def stream_of(kind, head_name, head, pieces):
    """Messages of a stream as the sidecars send them: the first has the head, and a piece if there is one by then."""
    made, number = kind(), 0
    getattr(made, head_name).CopyFrom(head)
    yield made
    for piece in pieces:
        made = kind()
        made.payload.data, made.payload.seq = piece, number
        number += 1
        yield made


class _Router(grpc.GenericRpcHandler):
    def __init__(self, peer):
        self.peer = peer

    def service(self, handler_call_details):
        if handler_call_details.method == SERVICE + "CallLocal":
            return grpc.unary_unary_rpc_method_handler(
                self.peer.unary, Request.FromString, lambda answer: answer.SerializeToString()
            )
        if handler_call_details.method == SERVICE + "CallLocalStream" and self.peer.streams:
            return grpc.stream_stream_rpc_method_handler(
                self.peer.stream, RequestStream.FromString, lambda answer: answer.SerializeToString()
            )
        return None


# --- the caller -------------------------------------------------------------------------------------------------------


def head(method, verb="GET", headers=(), query="", content_type="", caller="py", callee="back", namespace="default",
         more=True):
    """The head of a call as another sidecar writes it; without `more` nothing is added to the headers."""
    made = Request(ver=V1)
    made.message.method, made.message.content_type = method, content_type
    made.message.http_extension.verb = common_pb2.HTTPExtension.Verb.Value(verb)
    made.message.http_extension.querystring = query
    pairs = list(headers)
    if more:
        pairs += [("dapr-caller-app-id", caller), ("dapr-callee-app-id", callee), ("dapr-caller-namespace", namespace),
                  ("destination-app-id", callee), ("X-Forwarded-For", "192.0.2.7")]  # fmt: skip
    for name, values in lists(pairs).items():
        made.metadata[name].values.extend(values)
    return made


class Result:
    """An answer of the other sidecar; `pieces` are what came one by one."""

    def __init__(self, response, pieces, initial, trailing):
        self.response, self.pieces, self.initial, self.trailing = response, pieces, initial, trailing
        self.status, self.message = response.status.code, response.status.message
        self.headers = {n: list(v.values) for n, v in response.headers.items()}
        self.body = b"".join(pieces)
        self.content_type = response.message.content_type

    def all(self, name):
        return [v for n, values in self.headers.items() if n.lower() == name.lower() for v in values]


class Caller:
    """Calls the internal port of a sidecar; failures are grpc.RpcError."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, OPTIONS)
        dump = lambda message: message.SerializeToString()  # noqa: E731
        self._unary = self.channel.unary_unary(SERVICE + "CallLocal", dump, Response.FromString)
        self._stream = self.channel.stream_stream(SERVICE + "CallLocalStream", dump, ResponseStream.FromString)

    def close(self):
        self.channel.close()

    def unary(self, head, body=b"", metadata=(), timeout=None):
        head.message.data.value = body
        response, call = self._unary.with_call(head, timeout=timeout or DEADLINE_S, metadata=metadata)
        need(not has_unknown(response), f"unknown fields in {response}")
        return Result(response, [response.message.data.value], call.initial_metadata(), call.trailing_metadata())

    def open(self, head, pieces=(), metadata=(), timeout=None):
        """The call itself, to be iterated, cancelled …"""
        messages = stream_of(RequestStream, "request", head, pieces)
        return self._stream(messages, timeout=timeout or DEADLINE_S, metadata=metadata)

    def stream(self, head, pieces=(), metadata=(), timeout=None):
        call = self.open(head, pieces, metadata, timeout)
        response, got = None, []
        for message in call:
            need(not has_unknown(message), f"unknown fields in {message}")
            need(message.HasField("response") == (response is None), "the head comes first, and once")
            response = response or message.response
            if message.HasField("payload"):
                need(message.payload.seq == len(got), f"piece {message.payload.seq}, not {len(got)}")
                got.append(message.payload.data)
        need(response is not None, "there was a head")
        return Result(response, got, call.initial_metadata(), call.trailing_metadata())
