#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes on the HTTP API port that no ordinary client sends, against a running remorad: odd requests and the answers the
reference runtime was seen to give, requests made for smuggling, clients that leave, and what idle connections cost."""
import os
import signal
import socket
import struct
import subprocess
import time

import remora

BUILD = os.environ.get("REMORA_BUILD", "build")
NO_TARGET = (b'{"errorCode":"ERR_DIRECT_INVOKE","message":"failed getting app id either from the URL path or the header '
             b'dapr-app-id"}')
BAD = b"400 Bad Request"
passed = failed = 0


def check(name, held, why=""):
    global passed, failed
    if held:
        passed += 1
    else:
        failed += 1
        print(f"failed: {name} {why}")


class Sidecar:
    def __init__(self):
        self.sidecar = remora.Sidecar()
        self.port, self.process = self.sidecar.port, self.sidecar.popen

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=remora.DEADLINE_S)

    def ask(self, request, step=None):
        """The whole answer to one request, whose connection is half-closed unless it is closed first."""
        with self.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for at in range(0, len(request), step or len(request)):
                    s.sendall(request[at:at + (step or len(request))])
            except ConnectionError:
                pass  # refused before all of it was sent; the answer is there nevertheless
            try:
                return receive_one(s)
            except ConnectionError:
                return b""

    def pss_kib(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def receive_one(s):
    """One answer: by Content-Length, else nothing for 204, else until the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), None)
    if length is None and head.split(b" ")[1] in (b"204", b"100", b"304"):
        return data
    while length is None or len(body) < length:
        more = s.recv(65536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body


def get(target, *headers):
    return b"".join([b"GET ", target, b" HTTP/1.1\r\nHost: x\r\n", *[h + b"\r\n" for h in headers], b"\r\n"])


# name, request, status line after the version, body
SEEN = [
    ("healthz", get(b"/v1.0/healthz"), b"204 No Content", b""),
    ("query only", get(b"/v1.0/healthz?"), b"204 No Content", b""),
    ("trailing slash", get(b"/v1.0/healthz/"), b"204 No Content", b""),
    ("dup slash middle", get(b"/v1.0//healthz"), b"204 No Content", b""),
    ("dup slash start", get(b"//v1.0/healthz"), b"204 No Content", b""),
    ("dots", get(b"/v1.0/./healthz"), b"204 No Content", b""),
    ("dotdot", get(b"/v1.0/state/../healthz"), b"204 No Content", b""),
    ("encoded route", get(b"/v1%2E0/healthz"), b"404 Not Found", NO_TARGET),
    ("encoded slash in route", get(b"/v1.0%2Fhealthz"), b"404 Not Found", NO_TARGET),
    ("fragment in target", get(b"/v1.0/healthz#x"), b"404 Not Found", NO_TARGET),
    ("absolute-form target", get(b"http://127.0.0.1:3500/v1.0/healthz"), b"204 No Content", b""),
    ("asterisk", get(b"*"), b"404 Not Found", NO_TARGET),
    ("no Host header in 1.1", b"GET /v1.0/healthz HTTP/1.1\r\n\r\n", b"400 Bad Request: missing required Host header",
     b"400 Bad Request: missing required Host header"),
    ("garbage request line", b"HELLO\r\n\r\n", BAD, BAD),
    ("bad header line", get(b"/v1.0/healthz", b"Bad Header"), BAD, BAD),
    ("bad percent", get(b"/v1.0/state/mem/a%zz"), BAD, BAD),
    ("space in target", get(b"/v1.0/state/mem/a b"), BAD, BAD),
    ("two content-length", b"POST /v1.0/state/mem HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]x", BAD, BAD),
    ("HTTP/2.0 in line", b"GET /v1.0/healthz HTTP/2.0\r\nHost: x\r\n\r\n",
     b"505 HTTP Version Not Supported: unsupported protocol version",
     b"505 HTTP Version Not Supported: unsupported protocol version"),
    ("connection close", get(b"/v1.0/healthz", b"Connection: close"), b"204 No Content", b""),
    ("lower-case method", b"get /v1.0/healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"404 Not Found", NO_TARGET),
    ("bare LF", b"GET /v1.0/healthz HTTP/1.1\nHost: x\n\n", b"204 No Content", b""),
    ("expect magic", get(b"/v1.0/healthz", b"Expect: magic", b"Content-Length: 3"), b"417 Expectation Failed", b""),
    ("5 KB header", get(b"/v1.0/healthz", b"X-Long: " + b"y" * 5000), b"204 No Content", b""),
    ("9 KB header", get(b"/v1.0/healthz", b"X-Long: " + b"y" * 9000), b"431 Request Header Fields Too Large",
     b"431 Request Header Fields Too Large"),
    # Stricter than the reference, which is what keeps hidden requests hidden.
    ("both lengths", b"POST /v1.0/state/mem HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", BAD, BAD),
    ("folded header", get(b"/v1.0/healthz", b"A: b", b" c"), BAD, BAD),
    ("unknown coding", get(b"/v1.0/healthz", b"Transfer-Encoding: gzip, chunked"), b"501 Not Implemented", b"Unsupported transfer encoding"),
    ("NUL in a value", get(b"/v1.0/healthz", b"A: \0"), BAD, BAD),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00", BAD, BAD),
]


def odd_requests(sidecar):
    for name, request, status, body in SEEN:
        for step in (None, 1):
            head, _, got = sidecar.ask(request, step).partition(b"\r\n\r\n")
            line = head.split(b"\r\n")[0]
            check(name, line == b"HTTP/1.1 " + status and got == body, f"({step or 'whole'}): {line} {got[:200]}")


def http_1_0(sidecar):
    head = sidecar.ask(b"GET /v1.0/healthz HTTP/1.0\r\n\r\n").split(b"\r\n")
    check("HTTP/1.0", head[0] == b"HTTP/1.0 204 No Content" and b"Connection: close" in head, str(head))


def many_on_one_connection(sidecar):
    with sidecar.connect() as s:
        for _ in range(200):
            s.sendall(get(b"/v1.0/healthz"))
            if not receive_one(s).startswith(b"HTTP/1.1 204"):
                break
        else:
            check("200 requests on one connection", True)
            return
    check("200 requests on one connection", False)


def pipelined(sidecar):
    with sidecar.connect() as s:
        s.sendall(get(b"/v1.0/healthz") * 500)
        s.shutdown(socket.SHUT_WR)
        data = b""
        while more := s.recv(65536):
            data += more
        check("500 pipelined requests of a half-closed client", data.count(b"HTTP/1.1 204") == 500, str(data.count(b"HTTP/1.1 204")))


def leaving(sidecar):
    """Clients that reset in the middle of a head or body, or right after a request."""
    for rest in (b"GET /v1.0/hea", b"POST /v1.0/state/mem HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
                 get(b"/v1.0/healthz"), get(b"/v1.0/healthz") * 100, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"):
        for _ in range(50):
            s = sidecar.connect()
            s.sendall(rest)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
    check("lives after clients left", sidecar.ask(get(b"/v1.0/healthz")).startswith(b"HTTP/1.1 204"))


def idle_cost(sidecar):
    before, held = sidecar.pss_kib(), []
    for _ in range(2000):
        s = sidecar.connect()
        s.sendall(get(b"/v1.0/healthz"))
        receive_one(s)
        held.append(s)
    cost = (sidecar.pss_kib() - before) * 1024 / len(held)
    check("an idle connection costs less than 1.5 KiB", cost < 1536 or "asan" in BUILD, f"{cost:.0f} bytes")
    for s in held:
        s.close()


def ending(sidecar):
    idle = sidecar.connect()
    idle.sendall(get(b"/v1.0/healthz"))
    receive_one(idle)
    sidecar.process.send_signal(signal.SIGTERM)
    check("an idle connection is closed at the end", idle.recv(1) == b"")
    try:
        check("exits in order", sidecar.process.wait(timeout=remora.DEADLINE_S) == 0, str(sidecar.process.returncode))
    except subprocess.TimeoutExpired:
        check("exits in time", False)
        sidecar.process.kill()


def main():
    sidecar = Sidecar()
    try:
        for scene in (odd_requests, http_1_0, many_on_one_connection, pipelined, leaving, idle_cost):
            scene(sidecar)
        check("still runs", sidecar.process.poll() is None)
        ending(sidecar)
    finally:
        sidecar.process.kill()
    print(f"{passed} passed, {failed} failed")
    raise SystemExit(failed > 0)


main()
