# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Experiment rotate: certificates that live for 4 s, under load for five minutes (LONG=1: half an hour), and the trust bundle
exchanged twice meanwhile, each time with a time in which both are trusted. Serials seen at both ends go on changing, no
call fails, a stream that is open all the time is not cut, and memory does not grow."""
import _prove

import sdk  # noqa: F401  isort: skip

import os
import socket
import ssl
import threading
import time

import authority
import grpc
import http_app
import measure
import mesh
import peer
import remora
from cryptography import x509
from http_app import answer
from _prove import by_length

SECONDS = by_length(20, 300, 1800)
LIFETIME_S = 4
CALLERS = 2
WATCH_S = 0.5  # between looks at what is shown
claims = _prove.Claims()

ca = authority.Authority("ecdsa", lifetime_s=LIFETIME_S, backdate_s=0)
folder = remora.Folder()


def write_anchors():
    """As a volume of the cluster changes: by a rename."""
    folder.write(".new", ca.anchors())
    os.rename(folder / ".new", folder / "ca.crt")


class ByFile:
    """An authority as Mesh wants it, whose trust bundle is a file that changes."""

    flags = staticmethod(ca.flags)

    @staticmethod
    def environment():
        return {"DAPR_TRUST_ANCHORS_FILE": folder / "ca.crt"}


def serve(request, exchange):
    if request.target.startswith("/events"):
        exchange.send(b"HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            exchange.send(b"9\r\ndata: a\n\n\r\n")
            time.sleep(0.2)  # the pace of the events, not a wait
    return answer(200, b"ok")


write_anchors()
app = http_app.App(serve)
net = mesh.Mesh(ByFile)
front = net.sidecar("front")
back = net.sidecar("back", app=app)
mesh.reaches(front, "back")
stop_at = time.monotonic() + SECONDS
failures, done = [], [0] * CALLERS
seen = {"front": [], "back": []}


def call(number):
    """Calls one after the other, each on the same connection of HTTP/1."""
    connection = front.connect()
    while time.monotonic() < stop_at:
        try:
            connection.send(remora.request_bytes("GET", "/v1.0/invoke/back/method/x"))
            reply = connection.reply()
            if reply.status != 200:
                failures.append(repr(reply))
        except (OSError, remora.Cut) as error:
            failures.append(repr(error))
            connection = front.connect()
        done[number] += 1


def call_grpc():
    with grpc.insecure_channel(f"127.0.0.1:{front.grpc_port}", peer.OPTIONS) as channel:
        from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2

        request = invoke_pb2.InvokeServiceRequest(id="back")
        request.message.method = "x"
        request.message.http_extension.verb = 1
        while time.monotonic() < stop_at:
            try:
                dapr_pb2_grpc.DaprStub(channel).InvokeService(request, timeout=10)
            except grpc.RpcError as error:
                failures.append(f"{error.code()} {error.details()}")
            time.sleep(0.02)  # beside the others it only has to be there


def stream():
    connection = front.connect()
    connection.socket.settimeout(30)
    connection.send(remora.request_bytes("GET", "/v1.0/invoke/back/method/events"))
    while time.monotonic() < stop_at:
        try:
            if not connection.receive():
                raise remora.Cut("the end")
            connection.pending = b""
        except (OSError, remora.Cut) as error:
            failures.append(f"the open stream was cut: {error!r}")
            return
    connection.close()


def shown_by(sidecar):
    """The serial that the internal port shows to somebody who asks for nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", sidecar.internal_port), 5) as sock, context.wrap_socket(sock) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number


def watch():
    while time.monotonic() < stop_at:
        for name, sidecar in (("front", front), ("back", back)):
            try:
                serial = shown_by(sidecar)
            except OSError as error:
                failures.append(f"{name} shows no certificate: {error!r}")
                continue
            if serial not in seen[name]:
                seen[name].append(serial)
        time.sleep(WATCH_S)


def rotate():
    """A new root is trusted before it signs, the old one for a lifetime after."""
    ca.prepare()
    write_anchors()
    count = len(ca.requests)
    remora.eventually(lambda: len(ca.requests) >= count + 4, "both have asked again", 30)
    ca.rotate()
    time.sleep(LIFETIME_S)  # what the old one signed has ended by then
    ca.forget()
    write_anchors()


before = [measure.private_kib(one.pid) for one in (front, back)]
threads = [threading.Thread(target=call, args=(n,)) for n in range(CALLERS)]
threads += [threading.Thread(target=function) for function in (call_grpc, stream, watch)]
for thread in threads:
    thread.start()
for turn in range(2):
    while time.monotonic() < stop_at - SECONDS * (2 - turn) / 3:
        time.sleep(0.1)
    rotate()
for thread in threads:
    thread.join()
for text in failures[:20]:
    _prove.say(text)
claims.holds(f"no call of {sum(done)} failed", not failures and sum(done) > 0, f"{len(failures)} failed")
for name, serials in seen.items():
    issued = ca.serials(authority.spiffe_id(name))
    claims.at_least(f"serials of {name} seen", len(serials), SECONDS / LIFETIME_S * 2 * 0.6, digits=0)
    claims.holds(f"{name} showed them in the order of their issue", serials == [one for one in issued if one in serials],
                 f"{len(issued)} issued")  # fmt: skip
grown = max(measure.private_kib(one.pid) - start for one, start in zip((front, back), before)) / 1024
if not _prove.SANITIZED:
    claims.at_most("growth of either kernel, MiB", grown, 4, digits=1)
for one in (front, back):
    _prove.stop(one)
claims.end(f"{len(seen['front'])} + {len(seen['back'])} certificates in {SECONDS} s and two trust bundles, {sum(done)} calls, "
           f"{len(failures)} failed, growth {grown:.1f} MiB")
