#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP middleware before the API (httpPipeline) and before the application (appHttpPipeline): what each component does
to requests, their order, what is changed while requests come, and that nothing ever goes past one that is away."""

import json
import os
import signal
import threading

from http_app import App, answer
from remora import BUILD, Folder, Sidecar, call, component, equal, eventually, main, need, test

INVOKE = "/v1.0/invoke/back/method"
PLUGINS = ["--plugins-path", os.path.join(BUILD, "plugins"), "--plugins-path", os.path.join(BUILD, "tests", "plugins")]
KINDS = {"verdicts": "verdicts", "up": "uppercase", "alias": "routeralias", "check": "routerchecker", "limit": "ratelimit"}


def kind(name):
    return f"middleware.http.{KINDS[name]}"


def pipeline(*names):
    return "{handlers: [" + ", ".join(f"{{name: {name}, type: {kind(name)}}}" for name in names) + "]}"


class Bed:
    """A sidecar with an application that tells what it was asked, and middleware before either."""

    def __init__(self, api=(), app=(), flags=(), public=False, **metadata):
        self.app = App(lambda request, exchange: answer(200, request.body, [("X-From", "app")]))
        self.resources = {name: component(name, kind(name), metadata.get(name, {})) for name in {*api, *app, *metadata}}
        self.folder = folder = Folder()
        config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
                              f"spec:\n  httpPipeline: {pipeline(*api)}\n  appHttpPipeline: {pipeline(*app)}\n")
        self.sidecar = Sidecar(component("mem", "state.in-memory"), *self.resources.values(), app_id="back", folder=folder,
                         flags=["--app-port", str(self.app.port), "--config", config, *PLUGINS, *flags], wait=False, public=public)
        # The health of the API is behind its middleware too.
        eventually(lambda: "dapr initialized" in self.sidecar.log(), "the sidecar is ready")

    def call(self, method, target, body=None, headers=()):
        return self.sidecar.call(method, target, body, headers)

    def seen(self):
        """The last request that reached the application."""
        return self.app.requests[-1]

    def resource(self, name):
        return os.path.join(self.folder / "resources", name)

    def pid(self):
        """Of the middleware's plugin; None while it is away, or the metadata are refused."""
        reply = self.call("GET", "/v1.0/metadata")
        plugins = reply.json["remora"]["plugins"] if reply.status == 200 else []
        return next((plugin.get("pid") for plugin in plugins if plugin["name"] == "middleware"), None)

    def write(self, name, text):
        """A component's document, exchanged as a whole."""
        path = self.resource(f"{name}-later.yaml")
        with open(f"{path}.new", "w") as f:
            f.write(text)
        os.replace(f"{path}.new", path)


# --- each of them -----------------------------------------------------------------------------------------------------


@test("uppercase before the API changes what is stored and what is invoked", "INV-U09")
def uppercase():
    bed = Bed(api=["up"])
    equal(bed.call("POST", INVOKE + "/a", "grün, \u0131 ".encode() + b"\xff\x00z").body, "GRÜN, I ".encode() + b"\xff\x00Z")
    equal(bed.call("PUT", INVOKE + "/a", b"").body, b"")
    equal(bed.call("GET", INVOKE + "/a").body, b"")
    equal(bed.seen().method, "GET")
    equal(bed.call("POST", "/v1.0/state/mem", b'[{"key":"k","value":"v"}]').status, 204)
    equal(bed.call("GET", "/v1.0/state/mem/K").body, b'"V"')


@test("uppercase before the application changes what that gets, streams too", "INV-U09")
def uppercase_app():
    bed = Bed(app=["up"], flags=["--max-body-size", "64Ki"])
    equal(bed.call("POST", INVOKE + "/a?x=1", b"abc").body, b"ABC")
    equal((bed.seen().target, bed.seen().body), ("/a?x=1", b"ABC"))
    connection = bed.sidecar.connect()
    connection.send(f"POST {INVOKE}/s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".encode())
    connection.send(b"4\r\ndefg\r\n0\r\n\r\n")
    reply = connection.reply("POST")
    equal((reply.status, reply.body), (200, b"ABCDEFG"))
    connection.close()
    large = bed.call("POST", INVOKE + "/large", b"x" * (64 * 1024 + 1))
    equal(large.status, 500)
    need("too large for the middleware" in large.text, large.text)
    equal(bed.call("POST", INVOKE + "/a", b"x" * 65536).body, b"X" * 65536)


@test("a body larger than --max-body-size is refused before middleware that reads it", "INV-U09")
def large():
    bed = Bed(api=["up"], flags=["--max-body-size", "16Ki"])
    equal(bed.call("POST", INVOKE + "/a", b"x" * 16384).body, b"X" * 16384)
    reply = bed.call("POST", INVOKE + "/a", b"x" * 16385)
    equal((reply.status, reply.json["errorCode"]), (400, "ERR_MALFORMED_REQUEST"))


@test("routeralias: paths stand for others, their parts become parameters", "INV-U09")
def alias():
    routes = {"/hello/{id}/info": f"{INVOKE}/info", "/n/{no:[0-9]+}": f"{INVOKE}/n?k=v", "/all/{rest:.*}": f"{INVOKE}/r"}
    bed = Bed(api=["alias"], alias={"routes": json.dumps(routes)})
    for target, seen in (
        ("/hello/7/info", "/info?id=7"),
        ("/hello/a%20b%26c/info?q=1", "/info?q=1&id=a+b%26c"),
        ("/n/12", "/n?k=v&no=12"),
        ("/all/x/y/z", "/r?rest=x%2Fy%2Fz"),
        ("/all/%22%C3%A9%3D%26", "/r?rest=%22%C3%A9%3D%26"),
    ):
        equal(bed.call("GET", target).status, 200, target)
        equal(bed.seen().target, seen, target)
    count = len(bed.app.requests)
    for target in ("/hello/7/8/info", "/n/x", "/hello//info", "/", "/all/%0d%0a"):
        equal(bed.call("GET", target).status, 404, target)
    equal(len(bed.app.requests), count)
    old = Bed(api=["alias"], alias={"/old/{x}": f"{INVOKE}/o"})
    equal(old.call("GET", "/old/1").status, 200)
    equal(old.seen().target, "/o?x=1")


@test("routerchecker: what the rule does not match is refused with 400", "INV-U09")
def checker():
    bed = Bed(api=["check"], check={"rule": "^[A-Za-z0-9/._-]+$"})
    equal(bed.call("GET", INVOKE + "/a.b-c").status, 200)
    reply = bed.call("GET", INVOKE + "/a?x=1")
    equal((reply.status, reply.body, reply.header("Content-Type")), (400, b"invalid router", "text/plain; charset=utf-8"))
    equal(bed.call("GET", INVOKE + "/a%20b").status, 400)
    equal(len(bed.app.requests), 1)
    slow = Bed(api=["check"], check={"rule": "^/((a|a)*)*$"})
    equal(slow.call("GET", "/" + "a" * 4000 + "!").status, 400, "a rule without end is no match")


@test("ratelimit: so many requests a second for an address and path, and headers that say so", "INV-U09")
def limit():
    bed = Bed(api=["limit"], limit={"maxRequestsPerSecond": "0.001"})
    first, second = bed.call("GET", INVOKE + "/a"), bed.call("GET", INVOKE + "/a")
    equal((first.status, second.status), (200, 429))
    equal((second.body, second.header("Content-Type")),
          (b"You have reached maximum request limit.", "text/plain; charset=utf-8"))
    for reply in (first, second):
        equal([reply.header(name) for name in ("X-Rate-Limit-Limit", "X-Rate-Limit-Duration", "RateLimit-Reset",
                                               "RateLimit-Remaining", "X-Rate-Limit-Request-Remote-Addr")],
              ["0.00", "1", "1", "0", "127.0.0.1"])
    equal(first.header("X-From"), "app")
    equal(bed.call("GET", INVOKE + "/b").status, 200, "another path has a bucket of its own")
    equal(bed.call("GET", INVOKE + "/a", headers=[("X-Forwarded-For", "10.0.0.1")]).status, 429, "a header is no address")


# --- pipelines --------------------------------------------------------------------------------------------------------


@test("components see what their predecessors have left", "INV-U09")
def order():
    metadata = {"alias": {"/go": f"{INVOKE}/went"}, "check": {"rule": "^/v1.0/invoke/back/method/went"}}
    bed = Bed(api=["alias", "check", "up"], **metadata)
    equal(bed.call("POST", "/go", b"abc").body, b"ABC")
    equal(bed.call("POST", "/stay", b"abc").status, 400)
    other = Bed(api=["check", "alias", "up"], **metadata)
    equal(other.call("POST", "/go", b"abc").status, 400)
    both = Bed(api=["alias"], app=["check"], alias={"/go": f"{INVOKE}/went"}, check={"rule": "^/went$"})
    equal(both.call("GET", "/go").status, 200)
    refused = both.call("GET", INVOKE + "/other")
    equal((refused.status, refused.body), (400, b"invalid router"))
    equal(len(both.app.requests), 1)


@test("a pipeline may name what is not there: requests pass, and the log says so", "INV-U09")
def missing():
    bed = Bed(api=["up"], app=["check"], check={"rule": "^$"})
    other = Sidecar(app_id="back", flags=["--app-port", str(bed.app.port), "--config", str(bed.folder / "config.yaml")])
    equal(other.call("POST", INVOKE + "/a", b"abc").body, b"abc")
    for words in ("spec.httpPipeline of the Configuration names the middleware 'up'", "names the middleware 'check'"):
        eventually(lambda words=words: words in other.log(), words)


@test("the public port has no middleware before it", "INV-U09")
def elsewhere():
    bed = Bed(api=["check"], public=True, check={"rule": "^/v1.0/healthz$"})
    equal(bed.call("GET", "/v1.0/metadata").status, 400)
    equal(bed.call("GET", "/v1.0/healthz").status, 204)
    equal(call(bed.sidecar.public, "GET", "/v1.0/metadata").status, 200)


@test("components are exchanged while requests come, and take effect at once", "INV-U09 RELOAD-1")
def reload():
    bed = Bed(api=["check"])
    equal(bed.call("GET", INVOKE + "/a").status, 200)
    os.unlink(bed.resource("1.yaml"))
    bed.write("check", component("check", kind("check"), {"rule": "^/v1.0/(healthz|metadata)"}))
    eventually(lambda: bed.call("GET", INVOKE + "/a").status == 400, "the rule is in force")
    bed.write("check", component("check", kind("check"), {"rule": "("}))
    eventually(lambda: "failed to compile rule" in bed.sidecar.log(), "a broken rule is refused")
    equal(bed.call("GET", INVOKE + "/a").status, 400, "and changes nothing")
    os.unlink(bed.resource("check-later.yaml"))
    eventually(lambda: bed.call("GET", INVOKE + "/a").status == 200, "the component is gone")


SENSELESS = ("status 99", "status 100", "status 600", "status -1", "odd name", "split value", "empty name", "split set",
             "odd method", "bare path", "path with a query", "path with a blank", "split query", "many headers",
             "large body", "what it does not know", "crash")


@test("a verdict that makes no sense, or none, is answered with 500 before the API and before the application", "INV-U09")
def senseless():
    for where in ("api", "app"):
        bed = Bed(**{where: ["verdicts"]})
        for name in SENSELESS:
            reply = bed.call("POST", INVOKE + "/a", b"body", [("X-Verdict", name)])
            equal((reply.status, reply.json["errorCode"]), (500, "ERR_MIDDLEWARE"), f"{where}: {name}")
            need(reply.header("X-B") is None, "a header of a header")
        equal(bed.app.requests, [])
        eventually(lambda bed=bed: bed.call("POST", INVOKE + "/a", b"body").body == b"body", "it is back")
        reply = bed.call("POST", INVOKE + "/a", b"body", [("X-Verdict", "good"), ("X-Good", "no")])
        equal((reply.status, reply.body, reply.header("X-From")), (200, b"other", "app"), where)
        need(reply.header("X-Good") is not None, where)
        seen = bed.seen()
        equal((seen.method, seen.target), ("PUT", "/a?q=1"), where)
        names = [name.lower() for name, _ in seen.headers]
        equal((names.count("x-good"), names.count("x-verdict")), (1, 0), where)
        reply = bed.call("POST", INVOKE + "/a", b"body", [("X-Verdict", "teapot")])
        equal((reply.status, reply.body), (418, b"short"), where)


@test("nothing goes past middleware whose plugin is killed again and again", "INV-U09 ARCH-5")
def killed():
    bed = Bed(api=["check"], app=["check"], check={"rule": "^/(v1.0/(healthz|metadata|invoke/back/method/good)|good)"})
    statuses, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            for path in ("/bad", "/good"):
                statuses.append((path, bed.call("GET", INVOKE + path).status))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(5):
            pid = eventually(bed.pid, "the plugin has connected")
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: bed.pid() not in (None, pid), "it is back")
        served = len(bed.app.requests)
        eventually(lambda: len(bed.app.requests) > served, "it serves those who ask")
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    need({status for path, status in statuses if path == "/bad"} <= {400, 500, 503}, set(statuses))
    need(("/good", 200) in statuses, set(statuses))
    equal({request.target for request in bed.app.requests}, {"/good"})
    eventually(lambda: bed.call("GET", INVOKE + "/good").status == 200, "it serves again")


if __name__ == "__main__":
    main()
