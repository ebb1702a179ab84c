# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Calls of what has no sidecar, HTTPEndpoint resources and URLs: who is meant, what goes on and what does not, where
redirections lead, bodies of both directions, policies, and resources that change. TLS is in endpoint_tls_test."""

import os
import signal
import threading

from http_app import App, answer
from remora import DEADLINE_S, SLOW, Cut, Folder, Process, Sidecar, equal, eventually, free_port, main, need, test
from remora import REMORAD, component  # isort: skip

MIB = 1 << 20


def endpoint(name, url, headers=(), extra="", more=""):
    lines = ["apiVersion: dapr.io/v1alpha1", "kind: HTTPEndpoint", "metadata:", f"  name: {name}", "spec:"]
    lines += [f"  baseUrl: {url}"] + (["  headers:"] if headers else [])
    for key, value in headers:
        lines += [f"  - name: {key}", f"    value: {value}"]
    return "\n".join(lines) + "\n" + more + extra


def url_of(app, path="", host="127.0.0.1"):
    return f"http://{host}:{app.port}{path}"


def invoke(sidecar, id, path, method="GET", body=None, headers=(), **more):
    return sidecar.call(method, f"/v1.0/invoke/{id}/method/{path}", body, headers, **more)


def failure(reply, words):
    equal(reply.status, 500, reply.text)
    equal(reply.json["errorCode"], "ERR_DIRECT_INVOKE")
    need(words in reply.json["message"], f"{words!r} in {reply.json['message']!r}")


def names(sidecar):
    return [e["name"] for e in sidecar.metadata().get("httpEndpoints", [])]


def replace(sidecar, name, text):
    """A document of the resources, in one step."""
    os.replace(sidecar.folder.write("new", text), sidecar.folder / f"resources/{name}")


# --- who is meant -----------------------------------------------------------------------------------------------------


@test("an endpoint's name counts more than a URL and that more than an app id", "INV-46 INV-47")
def precedence():
    app, outside = App(), App(lambda request, exchange: answer(200, b"outside " + request.target.encode()))
    sidecar = Sidecar(
        endpoint("shop", url_of(outside)),
        endpoint("out.side.er", url_of(outside, "/deep/")),
        app_id="shop",
        flags=["--app-port", str(app.port)],
    )
    equal(invoke(sidecar, "shop", "a/b").text, "outside /a/b")
    equal(invoke(sidecar, "out.side.er", "m").text, "outside /deep/m")
    equal(invoke(sidecar, "out.side.er", "").text, "outside /deep/")
    equal(invoke(sidecar, "shop.default", "x").text, "ok GET")
    equal(invoke(sidecar, url_of(outside), "x?y=1").text, "outside /x?y=1")
    equal(sidecar.call("GET", "/p", headers=[("dapr-app-id", "shop")]).text, "outside /p")
    equal(names(sidecar), ["shop", "out.side.er"])


@test("what cannot be called says why", "INV-46 §8")
def wrong():
    sidecar = Sidecar(
        endpoint("ftp", "ftp://127.0.0.1"), endpoint("none", "''"), endpoint("port", "http://127.0.0.1:x/y"), app_id="a"
    )
    dead = free_port()
    failure(invoke(sidecar, "ftp", "m"), 'Get "ftp://127.0.0.1/m": unsupported protocol scheme "ftp"')
    failure(invoke(sidecar, "none", "m"), 'unsupported protocol scheme ""')
    failure(invoke(sidecar, "port", "m"), 'parse "http://127.0.0.1:x/y/m": invalid port ":x" after host')
    failure(
        invoke(sidecar, f"http://127.0.0.1:{dead}", "a%20b", "POST", b"x"),
        f'Post "http://127.0.0.1:{dead}/a%20b": dial tcp 127.0.0.1:{dead}: connect: connection refused',
    )
    failure(invoke(sidecar, "http://no.such.host.test", "m"), 'Get "http://no.such.host.test/m": dial tcp: lookup ')
    reply = invoke(sidecar, f"http://me:pa55@127.0.0.1:{dead}", "m")
    failure(reply, f'Get "http://me:***@127.0.0.1:{dead}/m"')
    failure(invoke(sidecar, f"http://127.0.0.1:{dead}", "a%2523b%25zz"), 'invalid URL escape "%zz"')
    failure(sidecar.call("CONNECT", "/x", headers=[("dapr-app-id", "ftp")]), "invalid HTTP verb")
    need("spec.baseUrl: unsupported protocol scheme" in sidecar.log(), "a warning")


# --- one request ------------------------------------------------------------------------------------------------------


@test("fixed headers take the place of the client's, and what concerns the sidecar stays here", "INV-50 §8")
def headers():
    app = App()
    sidecar = Sidecar(endpoint("out", url_of(app), [("X-Fixed", "1"), ("X-Twice", "a"), ("X-Twice", "b"), ("X-Num", 5)]))
    sent = [("X-Fixed", "mine"), ("x-twice", "mine"), ("X-Mine", "1"), ("X-Mine", "2"), ("Connection", "X-Hop"),
            ("X-Hop", "1"), ("TE", "trailers"), ("Keep-Alive", "1"), ("Proxy-Authorization", "p"), ("Upgrade", "foo"),
            ("dapr-api-token", "t"), ("dapr-caller-app-id", "evil"), ("Authorization", "Bearer z"),
            ("Cookie", "a=1"), ("Accept-Encoding", "br"), ("User-Agent", "u")]  # fmt: skip
    equal(invoke(sidecar, "out", "m", "PUT", b"body", sent).status, 200)
    (request,) = app.take()
    equal((request.method, request.target, request.body), ("PUT", "/m", b"body"))
    got = sorted((n.lower(), v) for n, v in request.headers if n.lower() != "traceparent")
    wanted = [("accept-encoding", "br"), ("authorization", "Bearer z"), ("content-length", "4"), ("cookie", "a=1"),
              ("host", f"127.0.0.1:{app.port}"), ("user-agent", "u"), ("x-fixed", "1"), ("x-mine", "1"),
              ("x-mine", "2"), ("x-num", "5"), ("x-twice", "b")]  # fmt: skip
    equal(got, wanted)
    invoke(sidecar, f"http://me:pa%3A55@127.0.0.1:{app.port}", "m")
    equal(app.take()[0].header("authorization"), "Basic bWU6cGE6NTU=")


@test("a header that would break out of its line is never sent", "INV-50")
def injection():
    app = App()
    sidecar = Sidecar(endpoint("out", url_of(app), [("X-Bad", '"a\\r\\nX-More: b"')]), endpoint("good", url_of(app)))
    failure(invoke(sidecar, "out", "m"), "the request cannot be sent")
    equal(invoke(sidecar, "good", "m").status, 200)
    equal(len(app.take()), 1)


@test("connections are used again, by one endpoint alone, and end with it", "INV-46")
def pooled():
    app = App()
    sidecar = Sidecar(endpoint("a", url_of(app)), endpoint("b", url_of(app)))
    for _ in range(5):
        for id in ("a", "b", url_of(app)):
            equal(invoke(sidecar, id, "m").status, 200)
    equal((app.connections, len(app.open)), (3, 3))
    os.remove(sidecar.folder / "resources/1.yaml")
    eventually(lambda: len(app.open) == 2, "those of b are closed")
    equal(invoke(sidecar, "a", "m").status, 200)
    equal(app.connections, 3)


@test("servers named by URL are many and connections are not kept to all", "INV-49")
def bounded():
    app = App()
    sidecar = Sidecar(app_id="a")
    for i in range(200):
        equal(invoke(sidecar, f"http://127.1.{i % 250}.1:{app.port}", "m").status, 500)
    for i in range(140):
        equal(invoke(sidecar, f"http://127.0.0.1:{app.port}", f"m{i}").status, 200)
    equal(app.connections, 1)
    need(sidecar.is_alive(), "alive")


# --- redirections -----------------------------------------------------------------------------------------------------


def hops(request, exchange):
    """/go/STATUS/TARGET leads there; everything else tells what came."""
    if request.target.startswith("/go/"):
        _, _, status, target = request.target.split("/", 3)
        target = target.replace("!", "/").replace("@", "?")
        return answer(int(status), b"moved", [("Location", target)] if target != "-" else [])
    return answer(200, f"{request.method} {request.target} ".encode() + request.body)


@test("redirections are followed as the reference's client follows them", "INV-46 §8")
def redirected():
    app, other = App(hops), App(hops)
    sidecar = Sidecar(endpoint("out", url_of(app), [("X-Fixed", "1")]))
    for status in (301, 302, 303):
        equal(invoke(sidecar, "out", f"go/{status}/!end@x=1").text, "GET /end?x=1 ")
        equal(invoke(sidecar, "out", f"go/{status}/..!..!end", "POST", b"b").text, "GET /end ")
        equal(invoke(sidecar, "out", f"go/{status}/!e", "HEAD").status, 200)
        equal([r.method for r in app.take()][-1], "HEAD")
    for status in (307, 308):
        equal(invoke(sidecar, "out", f"go/{status}/!end", "POST", b"body").text, "POST /end body")
        equal(invoke(sidecar, "out", f"go/{status}/!end", "DELETE").text, "DELETE /end ")
        reply = invoke(sidecar, "out", f"go/{status}/!end", "POST", b"x" * MIB)
        equal((reply.status, reply.text, reply.header("location")), (status, "moved", "/end"), "too large to be kept")
        raw = [("Transfer-Encoding", "chunked")]
        reply = invoke(sidecar, "out", f"go/{status}/!end", "POST", b"1\r\nx\r\n0\r\n\r\n", raw)
        equal(reply.status, status, "a streamed body is not sent again")
    for status, target in ((300, "!x"), (304, "!x"), (302, "-")):
        equal(invoke(sidecar, "out", f"go/{status}/{target}").status, status)
    app.take()
    equal(invoke(sidecar, "out", f"go/302/http:!!127.0.0.1:{other.port}!there", headers=[("X-Mine", "1")]).text, "GET /there ")
    equal((other.requests[0].header("x-fixed"), other.requests[0].header("x-mine")), ("1", "1"))
    equal(other.requests[0].header("referer"), url_of(app, f"/go/302/http:!!127.0.0.1:{other.port}!there"))
    equal(invoke(sidecar, url_of(app), f"go/302/http:!!127.0.0.1:{other.port}!x").text, "GET /x ", "a URL's too")


@test("a redirection that leads nowhere is an error, and credentials stay with their host", "INV-46 §8")
def misled():
    app, other = App(hops), App(hops)
    sidecar = Sidecar(endpoint("out", url_of(app, host="localhost"), [("Authorization", "Bearer f"), ("X-F", "1")]))
    looped = App(lambda request, exchange: answer(302, b"", [("Location", "/again")]))
    failure(invoke(sidecar, url_of(looped), "m"), 'Get "/again": stopped after 10 redirects')
    equal(len(looped.take()), 10)
    failure(invoke(sidecar, "out", "go/302/ftp:!!h!x"), 'unsupported protocol scheme "ftp"')
    failure(invoke(sidecar, "out", "go/302/http:!!127.0.0.1:99999!"), "invalid port")
    failure(invoke(sidecar, "out", "go/302/http:!!!x"), "no Host in request URL")
    cookies = [("Cookie", "a=1")]
    invoke(sidecar, "out", f"go/302/http:!!localhost:{other.port}!same", headers=cookies)
    invoke(sidecar, "out", f"go/302/http:!!127.0.0.1:{other.port}!foreign", headers=cookies)
    same, foreign = other.take()
    equal([same.header(n) for n in ("authorization", "cookie", "x-f")], ["Bearer f", "a=1", "1"])
    equal([foreign.header(n) for n in ("authorization", "cookie", "x-f")], [None, None, "1"])


# --- bodies -----------------------------------------------------------------------------------------------------------


def streaming(request, exchange):
    if request.target == "/events":
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.send(b"9\r\ndata: 1\n\n\r\n")
        GATE.wait(DEADLINE_S)
        exchange.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        return None
    if request.target == "/cut":
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        return None
    if request.target == "/early":
        exchange.send(answer(413, b"enough"))
        while exchange.more():  # else what is on its way would reset the connection
            exchange.pending = b""
        return None
    body, _ = exchange.body(request.headers)
    return answer(200, str(len(body)).encode() + b" " + bytes([body[-1]]))


GATE = threading.Event()


@test("bodies of both directions pass as they come", "INV-46 §8")
def streams():
    app = App(streaming, streams=True)
    sidecar = Sidecar(endpoint("out", url_of(app)), app_id="a")
    equal(invoke(sidecar, "out", "up", "POST", b"x" * (16 * MIB) + b"y").text, f"{16 * MIB + 1} y")
    piece = b"10000\r\n" + b"z" * 65536 + b"\r\n"
    equal(
        invoke(sidecar, "out", "up", "POST", piece * 64 + b"0\r\n\r\n", [("Transfer-Encoding", "chunked")]).text,
        f"{64 * 65536} z",
    )
    connection = sidecar.connect()
    connection.send(b"GET /v1.0/invoke/out/method/events HTTP/1.1\r\nHost: x\r\n\r\n")
    need(b"text/event-stream" in connection.until(b"\r\n\r\n"), "the head")
    connection.until(b"data: 1\n\n")  # while the server holds back the rest
    GATE.set()
    connection.until(b"data: 2\n\n")
    connection.close()
    reply = invoke(sidecar, "out", "early", "POST", b"x" * (8 * MIB))
    equal((reply.status, reply.text), (413, "enough"))
    try:
        invoke(sidecar, "out", "cut")
        raise AssertionError("a body that was cut looked whole")
    except Cut:
        pass


@test("servers that misbehave are errors with words, and take nobody else along", "INV-46")
def hostile():
    answers = {
        "/garbage": b"\x00\x01\x02 no HTTP\r\n\r\n",
        "/huge": b"HTTP/1.1 200 OK\r\nX: " + b"a" * (256 * 1024) + b"\r\n\r\n",
        "/status": b"HTTP/1.1 xyz ?\r\n\r\n",
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "/closed": b"",
    }
    app = App(lambda request, exchange: answers.get(request.target, answer(200, b"fine")))
    shut = App(lambda request, exchange: None)
    sidecar = Sidecar(endpoint("out", url_of(app)), endpoint("shut", url_of(shut)))
    for path in ("garbage", "huge", "status", "length"):
        failure(invoke(sidecar, "out", path), f'Get "http://127.0.0.1:{app.port}/{path}": ')
        equal(invoke(sidecar, "out", "m").text, "fine")
    failure(invoke(sidecar, "shut", "m", "POST", b"x"), "EOF")
    need(sidecar.is_alive(), "alive")


# --- policies ---------------------------------------------------------------------------------------------------------

RESILIENCY = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: policies
spec:
  policies:
    retries:
      again: {{policy: constant, duration: 10ms, maxRetries: 3}}
    timeouts:
      soon: 300ms
  targets:
    apps:
      out: {{retry: again}}
      {url}: {{retry: again}}
      slow: {{timeout: soon}}
"""


@test("policies apply to an endpoint by its name and to a URL by itself", "INV-52 §16")
def policies():
    seen = []

    def flaky(request, exchange):
        if request.target == "/slow":
            GATE.wait(DEADLINE_S)
        seen.append(request.body)
        return answer(503 if len(seen) % 4 else 200, b"")

    app = App(flaky)
    GATE.clear()
    sidecar = Sidecar(
        RESILIENCY.format(url=f'"{url_of(app)}"'), endpoint("out", url_of(app)), endpoint("slow", url_of(app))
    )
    equal(invoke(sidecar, "out", "m", "POST", b"again").status, 200)
    equal(seen, [b"again"] * 4)
    equal(invoke(sidecar, url_of(app), "m").status, 200)
    equal(len(seen), 8)
    chunked = [("Transfer-Encoding", "chunked")]
    equal(invoke(sidecar, "out", "m", "POST", b"1\r\nx\r\n0\r\n\r\n", chunked).status, 503, "streamed: never repeated")
    failure(invoke(sidecar, "slow", "slow"), "context deadline exceeded")
    GATE.set()


# --- resources that change --------------------------------------------------------------------------------------------


@test("endpoints are created, changed and deleted while calls go on", "INV-50 §9")
def reloaded():
    release = threading.Event()

    def slow(request, exchange):
        if request.target.endswith("/slow"):
            release.wait(DEADLINE_S)
        return answer(200, request.target.encode())

    for workers in ("1", "3"):
        release.clear()
        app = App(slow)
        sidecar = Sidecar(component("mem", "state.in-memory"), app_id="a", flags=["--workers", workers])
        write = lambda name, text: replace(sidecar, name, text)  # noqa: E731, B023
        write("e.yaml", endpoint("out", url_of(app, "/one")))
        for _ in range(12):  # by all workers
            eventually(lambda: names(sidecar) and invoke(sidecar, "out", "m").text == "/one/m", "created")
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(invoke(sidecar, "out", "slow").text))
        thread.start()
        eventually(lambda: any(r.target == "/one/slow" for r in app.requests), "a call is under way")
        write("e.yaml", endpoint("out", url_of(app, "/two")))
        eventually(lambda: invoke(sidecar, "out", "m").text == "/two/m", "changed")
        os.remove(sidecar.folder / "resources/e.yaml")
        eventually(lambda: not names(sidecar), "deleted")
        eventually(lambda: invoke(sidecar, "out", "m").status == 500, "it cannot be called")
        release.set()
        thread.join(DEADLINE_S)
        equal(waiting, ["/one/slow"], "the call that was under way")
        for event in ("CREATED", "UPDATED", "DELETED"):
            need(f"Received HTTPEndpoint {event} event: out - triggering SIGHUP reload" in sidecar.log(), event)
        equal(sidecar.log().count("Received HTTPEndpoint"), 3)
        equal(sidecar.stop(), 0)


@test("what is broken or doubled changes nothing, and scopes decide", "INV-50 §5 §9")
def broken():
    app = App(lambda request, exchange: answer(200, request.target.encode()))
    sidecar = Sidecar(
        endpoint("out", url_of(app, "/1")), endpoint("not-ours", url_of(app), extra="scopes: [other]\n"), app_id="a"
    )
    write = lambda name, text: replace(sidecar, name, text)  # noqa: E731
    equal(names(sidecar), ["out"])
    write("0.yaml", endpoint("out", url_of(app, "/2")).replace("spec:", "spec: 5\nx:"))
    eventually(lambda: "daprd load HTTPEndpoint error" in sidecar.log(), "a warning")
    equal(invoke(sidecar, "out", "m").text, "/1/m")
    write("0.yaml", endpoint("out", url_of(app, "/2")))
    eventually(lambda: invoke(sidecar, "out", "m").text == "/2/m", "put right")
    write("2.yaml", endpoint("out", url_of(app, "/3")))
    words = "failed to load HTTP endpoints: duplicate definition of HTTPEndpoint name out with existing out"
    eventually(lambda: words in sidecar.log(), "a complaint")
    equal(invoke(sidecar, "out", "m").text, "/2/m")
    os.remove(sidecar.folder / "resources/2.yaml")
    write("0.yaml", endpoint("out", url_of(app), extra="scopes: [other]\n"))
    eventually(lambda: names(sidecar) == [], "not ours any more")


@test("a name that is defined twice ends the start", "§5")
def doubled():
    folder = Folder()
    os.mkdir(folder / "resources")
    folder.write("resources/a.yaml", endpoint("x", "http://a") + "---\n" + endpoint("x", "http://b"))
    command = [REMORAD, "--app-id", "a", "--resources-path", folder / "resources", "--run-dir", folder / "run"]
    command += ["--dapr-http-port", str(free_port()), "--dapr-grpc-port", str(free_port()), "--metrics-port", "0"]
    process = Process(command, folder)
    equal(process.wait(), 1)
    need(
        "Fatal error from runtime: failed to load HTTP endpoints: duplicate definition of HTTPEndpoint name x with "
        "existing x" in process.log(),
        process.log(),
    )


@test("SIGHUP reads endpoints again where hot reload is off", "§9")
def hangup():
    app = App(lambda request, exchange: answer(200, request.target.encode()))
    off = "kind: Configuration\nmetadata: {name: c}\nspec: {features: [{name: HotReload, enabled: false}]}\n"
    config = Folder().write("c.yaml", off)
    sidecar = Sidecar(endpoint("out", url_of(app, "/1")), app_id="a", flags=["--config", config])
    sidecar.folder.write("resources/0.yaml", endpoint("out", url_of(app, "/2")))
    equal(invoke(sidecar, "out", "m").text, "/1/m")
    sidecar.signal(signal.SIGHUP)
    eventually(lambda: invoke(sidecar, "out", "m").text == "/2/m", "read again")


@test("calls fail nowhere while endpoints change all the time", "§9")
def restless():
    app = App()
    sidecar = Sidecar(endpoint("out", url_of(app)), app_id="a", flags=["--workers", "3"])
    bad, over = [], threading.Event()

    def ask():
        while not over.is_set():
            reply = invoke(sidecar, "out", "m", "POST", b"x")
            if reply.status != 200:
                bad.append(reply.text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(10 // SLOW + 2):
        replace(sidecar, "0.yaml", endpoint("out", url_of(app), [("X-I", i)]))
        eventually(lambda: app.requests and app.requests[-1].header("x-i") == str(i), f"change {i}")  # noqa: B023
    over.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    equal(bad, [])


if __name__ == "__main__":
    main()
