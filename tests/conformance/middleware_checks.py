# SPDX-License-Identifier: Apache-2.0
"""The requirements every HTTP middleware must meet; see checks.py. What becomes of a request is its own affair; that the
verdict makes sense, whatever the request, is judged."""
import string

from checks import HANDLE, MIB, check
from kernel import need
import plugin_pb2 as pb

TOKEN = set(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
HEADERS_MAX = 32


def request(path=b"/v1.0/state/s/k", method="GET", **more):
    return pb.MiddlewareRequest(method=method, path=path, **more)


def header(name, value):
    return pb.MiddlewareHeader(name=name, value=value)


def is_sound(headers):
    """Names that are tokens, values that end no line."""
    return all(h.name and set(h.name) <= TOKEN and not set(h.value) & set(b"\r\n\0") for h in headers)


def judged(answer, what):
    """A verdict that the kernel would not refuse, or a failure with words."""
    if answer.status.code != 0:
        need(answer.status.message, f"{what} failed without words")
        need(answer.status.code != pb.CODE_UNIMPLEMENTED, f"{what} is not implemented")
        return
    reply = answer.message(pb.MiddlewareReply)
    need(reply.status == 0 or 200 <= reply.status <= 599, f"{what} is answered with {reply.status}")
    need(len(reply.headers) <= HEADERS_MAX and len(reply.sets) <= HEADERS_MAX and len(reply.removes) <= HEADERS_MAX,
         f"{what} has too many headers")
    need(is_sound(reply.headers) and is_sound(reply.sets), f"{what} has a header that is none")
    need(not reply.path or reply.path.startswith(b"/"), f"{what} goes on to {reply.path!r}")
    need(all(33 <= byte != 127 for byte in reply.path + reply.query), f"{what} goes on to {reply.path!r}?{reply.query!r}")


def handle(link, what, message, body=b""):
    judged(link.call(pb.METHOD_MIDDLEWARE_HANDLE, HANDLE, message, body), what)


@check(needs="middleware")
def middleware_requests(bench):
    """gives a verdict on requests of every method, to the API and to the application, with and without a body"""
    link = bench.component()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X-OWN"):
        for is_for_app in (False, True):
            handle(link, method, request(method=method, is_for_app=is_for_app, authority=b"localhost:3500",
                                         peer_address="" if is_for_app else "127.0.0.1",
                                         headers=[header("Accept", b"*/*")]), b"body" if method == "POST" else b"")


@check(needs="middleware")
def middleware_odd(bench):
    """gives one on paths, queries and headers of any bytes and of any length"""
    link = bench.component()
    for path in (b"/", b"*", b"//", b"/%", b"/%00%0d%0aX:%201", b"/\xff\xfe", b"/" + b"a" * 60000, b"/a/../b"):
        handle(link, f"the path {path[:20]!r}", request(path))
    for query in (b"", b"=", b"&&&", b"a=%zz", b"\xff", b"q=" + b"x" * 60000):
        handle(link, f"the query {query[:20]!r}", request(query=query))
    for address in ("::1", "2001:db8::1%eth0", "x" * 1000, "\U0001f600"):
        handle(link, f"the address {address[:20]}", request(peer_address=address))
    names = ("Authorization", "X-Forwarded-For", "X-Real-IP", "Content-Type", "Cookie")
    for value in (b"", b"Bearer", b"Bearer " + b"x" * 60000, b"\xff\xfe", b",,,", b"a.b.c"):
        handle(link, f"headers of {value[:10]!r}", request(headers=[header(name, value) for name in names]))
    handle(link, "many headers", request(headers=[header(f"X-{i}", b"v") for i in range(1000)]))


@check(needs="middleware")
def middleware_bodies(bench):
    """gives one on a body of nothing, of any bytes and of a mebibyte, if it reads bodies"""
    link = bench.component()
    for body in (b"", b"\0\xff\xc3", MIB * b"\xc3\xa9"[:1], MIB * b"x"):
        handle(link, f"a body of {len(body)} bytes", request(method="POST"), body)


@check(needs="middleware")
def middleware_pipelined(bench):
    """gives one on many requests at once"""
    link = bench.component()
    calls = [link.open(pb.METHOD_MIDDLEWARE_HANDLE, HANDLE, request(f"/{i}".encode())) for i in range(200)]
    for call in calls:
        judged(link.finish(call), "one of many")
