# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Exchanges of recordings/invoke.json, replayed against one sidecar that is asked for its own application, or for what has
no sidecar."""

import copy

from http_app import App, answer
from invoke_recordings import DIFFERENCES, Setup, check, check_response, compare, counts, entries, replay, without
from remora import Sidecar, equal, free_port, main, need, test

ENDPOINT = """apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: outside
spec:
  baseUrl: http://127.0.0.1:{port}/base
  headers:
  - name: X-Fixed
    value: fixed
"""
TEXT = ("Content-Type", "text/plain")
ODD = [("Access-Control-Allow-Origin", "*"), ("Cache-Control", "no-store"), ("Connection", "X-Hop"),
       ("Content-Encoding", "x-odd"), ("Content-Language", "en"), TEXT, ("Dapr-Thing", "1"), ("Keep-Alive", "timeout=5"),
       ("Server", "s/1"), ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("Vary", "Accept"), ("X-Hop", "1"),
       ("x-lower", "a"), ("X-Multi", "1"), ("X-Multi", "2")]  # fmt: skip


def outside(request, exchange):
    answers = {
        "/base/e404": answer(404, b"body", [TEXT]),
        "/base/e500": answer(500, b"body", [TEXT]),
        "/base/r302": answer(302, b"away", [("Location", "/base/landed?x=2")]),
        "/base/hdr": answer(200, b"ok", ODD),
    }
    data = answers.get(request.target, answer(200, b"ok " + request.method.encode(), [TEXT, ("X-App", "callee")]))
    return data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else data


class Outside(Setup):
    """A sidecar with an HTTPEndpoint."""

    left_out = {"URL unknown host"}  # the words are those of the resolver of that machine

    def __init__(self):
        self.app = App(outside)
        self.values = {"<OUT_PORT>": str(self.app.port), "<DEAD_PORT>": str(free_port())}
        self.sidecar = Sidecar(ENDPOINT.format(port=self.app.port), app_id="front")

    def exchange(self, entry):
        reply = super().exchange(entry)
        for request in self.app.requests:  # which library asks is nobody's concern
            request.headers = [h for h in request.headers if not h[1].startswith("remora/")]
        return reply


def no_tls(response, request):
    """The recorded server waited for more, until the client had enough."""
    body = response["body"].replace("net/http: TLS handshake timeout", "tls: first record does not look like a TLS handshake")
    return {**response, "body": body}, request


DIFFERENCES += [
    ("endpoint POST", "a token for the sidecar is told to nobody", without("dapr-api-token")),
    ("URL https to plain", "a server that speaks no TLS is not waited for", no_tls),
]


@test("recorded invocations of an application are answered as recorded", "INV-12 INV-13 INV-16 INV-17 INV-20 INV-22")
def invocations():
    replay("I")


@test("recorded invocations of itself are answered as recorded", "INV-12 INV-16")
def of_itself():
    setup = replay("IS")
    setup.app.stop()
    entry = next(entry for entry in entries() if entry["name"] == "self, app down")
    problems = []
    check_response(entry["response"], setup.exchange(entry), setup, problems)
    equal(problems, [])
    counts["of the mesh"] -= 1
    counts["same"] += 1


@test("recorded invocations with tokens: the application gets its own and no other", "INV-26 §7")
def with_tokens():
    setup = replay("IT")
    asked = next(entry for entry in entries() if entry["name"].startswith("start requests"))["received"]["app"][0]
    problems = []
    got = setup.app.asked[0]
    equal((got.method, got.target), (asked["method"], asked["target"]))
    wanted = [(n.lower(), v) for n, v in asked["headers"] if n not in ("Host", "User-Agent", "Accept-Encoding")]
    compare(wanted, [(n.lower(), v) for n, v in got.headers if n != "Host"], "application", problems)
    equal(problems, [])


@test("recorded calls of an HTTPEndpoint and of URLs are answered as recorded", "INV-46 INV-47 INV-48 INV-49 INV-50 §8")
def of_endpoints():
    setup, bad = Outside(), []
    for recorded in entries():
        if recorded["setup"] != "IE" or recorded["name"] in setup.left_out:
            continue
        entry = copy.deepcopy(recorded)
        entry["received"]["app"] = entry["received"].get("outside", [])
        bad += check(setup, entry)
    equal(bad, [])
    setup.exchange(next(entry for entry in entries() if entry["name"] == "endpoint 302 followed"))
    equal([r.target for r in setup.app.take()], ["/base/r302", "/base/landed?x=2"], "redirected")


@test("enough was compared, and every difference has a reason", "INV-12")
def all_compared():
    counts["not yet"] = sum(entry["setup"] == "IM" for entry in entries())
    print("  " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    equal(counts["unexplained"], 0)
    need(counts["same"] >= 130, "most are the same")


if __name__ == "__main__":
    main()
