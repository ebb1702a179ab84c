# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 900
"""Experiment stream: 1 GiB up, 1 GiB down, and a thousand streams of server-sent events at once, through two sidecars, plain
and with mutual TLS. Neither kernel grows by more than 8 MiB for the big bodies, a reader that stops is waited for by the
application, and the first byte of an answer is at the client within 5 ms of the application's sending it."""
import _prove

import sdk  # noqa: F401  isort: skip

import hashlib
import select
import socket
import statistics
import threading
import time

import authority
import http_app
import measure
import remora
from _grpc import forget_peak, status_kib
from _mesh import Pair
from _prove import by_length

BYTES = by_length(32 << 20, 1 << 30, 1 << 30)
STREAMS = by_length(100, 1000, 1000)
EVENTS = by_length(3, 10, 30)
GROWTH_MIB_MAX = 8
FIRST_BYTE_MS_MAX = 5
STALL_MIB_MAX = 24  # what sockets and windows of six ends may hold of a body that nobody reads
PIECE = bytes(range(256)) * 256
claims = _prove.Claims()
measure.raise_fd_limit()
figures = {}


class Application:
    """Takes bodies, makes them, sends events when told to."""

    def __init__(self):
        self.app = http_app.App(self.serve, streams=True)
        self.port = self.app.port
        self.bytes = 4 << 20  # of the next bodies; the first make resident for good what is none of the growth
        self.taken = self.sent = 0
        self.streams = []
        self.first_sent = 0.0
        self.lock = threading.Lock()

    def serve(self, request, exchange):
        path = request.target.partition("?")[0]
        return getattr(self, path.strip("/") or "root")(request, exchange)

    def x(self, request, exchange):
        return http_app.answer(200)

    def up(self, request, exchange):
        """Counts and digests without keeping."""
        digest, self.taken = hashlib.blake2b(), 0
        left = int(request.header("content-length") or 0)
        chunked = "chunked" in (request.header("transfer-encoding") or "")
        while chunked or left:
            if chunked:
                size = int(exchange.until(b"\r\n"), 16)
                piece = exchange.exactly(size + 2)[:-2]
                if not size:
                    break
            else:
                piece = exchange.pending[:left] or exchange.socket.recv(min(left, 1 << 18))
                exchange.pending = exchange.pending[len(piece):]
                if not piece:
                    raise EOFError
                left -= len(piece)
            digest.update(piece)
            self.taken += len(piece)
        return http_app.answer(200, digest.hexdigest().encode())

    def down(self, request, exchange):
        self.sent = 0
        exchange.send(b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % self.bytes)
        while self.sent < self.bytes:
            exchange.send(PIECE)
            self.sent += len(PIECE)
        return b""

    def first(self, request, exchange):
        """An answer whose first byte comes late, and whose last never."""
        exchange.send(b"HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.02)  # the head is on its way by itself; what is measured is the piece
        self.first_sent = time.monotonic()
        exchange.send(b"9\r\ndata: a\n\n\r\n")
        exchange.until(b"never")

    def events(self, request, exchange):
        exchange.send(b"HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self.lock:
            self.streams.append(exchange.socket)
        exchange.until(b"never")


def kernels(pair):
    return [pair.front.pid, pair.back.pid]


def measured(name, pair, function):
    """Runs it and judges by how much either kernel grew meanwhile at most."""
    before = []
    for pid in kernels(pair):
        forget_peak(pid)
        before.append(status_kib(pid, "VmRSS"))
    began = time.monotonic()
    function()
    seconds = time.monotonic() - began
    grown = max(status_kib(pid, "VmHWM") - start for pid, start in zip(kernels(pair), before)) / 1024
    figures[f"{name} MiB"] = grown
    figures[f"{name} MB/s"] = BYTES / seconds / 1e6
    if _prove.SANITIZED:
        _prove.say(f"{name}: grew by {grown:.1f} MiB, not judged here")
    else:
        claims.at_most(f"{name}: growth of either kernel, MiB", grown, GROWTH_MIB_MAX, digits=1)
    _prove.say(f"{name}: {figures[f'{name} MB/s']:.0f} MB/s")


def connect(pair, timeout=120):
    return remora.Connection(pair.front.address, timeout)


def upload(pair, app, chunked):
    connection = connect(pair)
    head = "POST /v1.0/invoke/back/method/up HTTP/1.1\r\nHost: a\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {app.bytes}\r\n\r\n"
    connection.send(head.encode())
    digest = hashlib.blake2b()
    framed = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
    for _ in range(app.bytes // len(PIECE)):
        digest.update(PIECE)
        connection.send(framed if chunked else PIECE)
    if chunked:
        connection.send(b"0\r\n\r\n")
    reply = connection.reply()
    claims.holds(f"{app.bytes >> 20} MiB up arrive whole{' (chunked)' if chunked else ''}",
                 reply.status == 200 and reply.text == digest.hexdigest(), f"{reply.status}, {app.taken} bytes")  # fmt: skip
    connection.close()


def download(pair, app):
    connection = connect(pair)
    connection.send(remora.request_bytes("GET", "/v1.0/invoke/back/method/down"))
    head = connection.until(b"\r\n\r\n")
    chunked = b"chunked" in head.lower()
    got, digest, left = 0, hashlib.blake2b(), b""
    if chunked:
        while size := int(connection.until(b"\r\n"), 16):
            piece = connection.exactly(size + 2)[:-2]
            digest.update(piece)
            got += len(piece)
    else:
        left, connection.pending = connection.pending, b""
        while got < app.bytes:
            piece = left or connection.socket.recv(1 << 20)
            left = b""
            if not piece:
                break
            digest.update(piece)
            got += len(piece)
    wanted = hashlib.blake2b()
    for _ in range(app.bytes // len(PIECE)):
        wanted.update(PIECE)
    claims.holds(f"{app.bytes >> 20} MiB down arrive whole", got == app.bytes and digest.digest() == wanted.digest(), f"{got} bytes")
    connection.close()


def stall(pair, app):
    """A client that stops reading: the application is stopped too, nothing piles up between."""
    connection = connect(pair)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.send(remora.request_bytes("GET", "/v1.0/invoke/back/method/down"))
    connection.until(b"\r\n\r\n")
    state = {"sent": -1, "since": time.monotonic()}

    def is_still():
        if app.sent != state["sent"]:
            state.update(sent=app.sent, since=time.monotonic())
        return time.monotonic() - state["since"] > 0.5

    remora.eventually(is_still, "the application is stopped", 60)
    claims.at_most("sent to a client that does not read, MiB", app.sent / (1 << 20), min(STALL_MIB_MAX, BYTES >> 20), digits=1)
    connection.close()


def first_byte(pair, app):
    times = []
    for _ in range(by_length(5, 40, 100)):
        connection = connect(pair)
        connection.send(remora.request_bytes("GET", "/v1.0/invoke/back/method/first"))
        connection.until(b"data: a")
        times.append((time.monotonic() - app.first_sent) * 1000)
        connection.close()
    figures["first ms"] = statistics.median(times)
    claims.at_most("first byte after the application's, ms (median)", figures["first ms"], FIRST_BYTE_MS_MAX * _prove.PATIENCE)


def events(pair, app):
    """All streams are open at once; every event reaches every client."""
    app.streams.clear()
    before = [measure.private_kib(pid) for pid in kernels(pair)]
    clients = []
    for _ in range(STREAMS):
        connection = connect(pair)
        connection.send(remora.request_bytes("GET", "/v1.0/invoke/back/method/events"))
        connection.socket.setblocking(False)
        clients.append(connection.socket)
    remora.eventually(lambda: len(app.streams) == STREAMS, f"{STREAMS} streams reach the application", 60)
    poll = select.poll()
    have = {}
    for sock in clients:
        poll.register(sock, select.POLLIN)
        have[sock.fileno()] = [sock, b""]
    slowest = 0.0
    for number in range(EVENTS):
        word = b"data: event-%d\n\n" % number
        began = time.monotonic()
        for sock in app.streams:
            sock.sendall(b"%x\r\n%s\r\n" % (len(word), word))
        waiting = set(have)
        while waiting and time.monotonic() < began + 30:
            for fd, _ in poll.poll(1000):
                entry = have[fd]
                entry[1] = entry[1][-100:] + entry[0].recv(65536)
                if word in entry[1]:
                    waiting.discard(fd)
        if waiting:
            claims.holds(f"event {number} reaches all", False, f"{len(waiting)} streams wait for it")
        slowest = max(slowest, time.monotonic() - began)
    grown = [(measure.private_kib(pid) - start) / STREAMS for pid, start in zip(kernels(pair), before)]
    claims.holds(f"{EVENTS} events reach all of {STREAMS} streams", True, f"the slowest round took {slowest * 1000:.0f} ms")
    figures["KiB a stream"] = max(grown)
    _prove.say(f"memory of an open stream: {grown[0]:.1f} KiB in the front, {grown[1]:.1f} KiB in the back sidecar")
    for sock in clients:
        sock.close()


def run(name, certificates):
    app = Application()
    pair = Pair(app, certificates)
    upload(pair, app, False)
    download(pair, app)
    app.bytes = BYTES
    measured(f"up{name}", pair, lambda: upload(pair, app, False))
    measured(f"up, chunked{name}", pair, lambda: upload(pair, app, True))
    measured(f"down{name}", pair, lambda: download(pair, app))
    stall(pair, app)
    first_byte(pair, app)
    events(pair, app)
    pair.stop()


run("", None)
if not _prove.SHORT:
    run(" mTLS", authority.Authority("ecdsa"))
growth = max(value for name, value in figures.items() if name.endswith("MiB"))
claims.end(f"{BYTES >> 20} MiB bodies: growth at most {growth:.1f} MiB, up {figures['up MB/s']:.0f} MB/s, down "
           f"{figures['down MB/s']:.0f} MB/s; first byte {figures['first ms']:.1f} ms after the application's; {STREAMS} event "
           f"streams at {figures['KiB a stream']:.1f} KiB each")
