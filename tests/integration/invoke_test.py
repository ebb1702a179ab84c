# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Service invocation of the own application over HTTP, and the application channel: streams both ways, who gets which
headers, what happens when the application is away, slow, or not well, how many calls it gets at a time."""

import hashlib
import http.client
import os
import subprocess
import threading
import time

from http_app import App, answer, server_context
from remora import DEADLINE_S, SLOW, Connection, Cut, Sidecar, equal, eventually, free_port, main, need, request_bytes, test

INVOKE = "/v1.0/invoke/back/method"


def sidecar_of(app, *flags, **more):
    return Sidecar(app_id="back", flags=["--app-port", str(app.port), *flags], **more)


def message(reply):
    return reply.json["message"]


def descriptors(sidecar):
    return len(os.listdir(f"/proc/{sidecar.pid}/fd"))


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


# --- streams ----------------------------------------------------------------------------------------------------------


@test("the first byte of an answer is not held back, and neither is a later one", "INV-11 INV-U11")
def events():
    go = threading.Event()

    def handler(request, exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.send(b"9\r\ndata: 1\n\n\r\n")
        need(go.wait(60), "the first event has arrived")
        exchange.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        return b""

    sidecar = sidecar_of(App(handler))
    connection = sidecar.connect()
    connection.send(request_bytes("GET", INVOKE + "/events", [("Accept", "text/event-stream")]))
    head = connection.until(b"\r\n\r\n")
    need(b"text/event-stream" in head, head)
    equal(connection.until(b"\r\n"), b"9")
    equal(connection.exactly(9), b"data: 1\n\n")
    go.set()
    equal(connection.exactly(2), b"\r\n")
    equal(connection.chunks(), b"data: 2\n\n")
    connection.close()


@test("the answer begins before the request has ended", "INV-11")
def both_ways():
    def handler(request, exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:  # echoes chunk by chunk
            size = int(exchange.until(b"\r\n"), 16)
            piece = exchange.exactly(size + 2)
            exchange.send(b"%x\r\n" % size + piece)
            if size == 0:
                return b""

    sidecar = sidecar_of(App(handler, streams=True))
    connection = sidecar.connect()
    connection.send(b"POST " + INVOKE.encode() + b"/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.until(b"\r\n\r\n")
    for word in (b"one", b"two", b"three"):
        connection.send(b"%x\r\n%s\r\n" % (len(word), word))
        equal(connection.until(b"\r\n"), b"%x" % len(word))
        equal(connection.exactly(len(word) + 2), word + b"\r\n")
    connection.send(b"0\r\n\r\n")
    equal(connection.until(b"\r\n\r\n"), b"0")
    connection.send(request_bytes("GET", "/v1.0/healthz"))
    equal(connection.reply().status, 204, "the connection goes on")
    connection.close()


MIB = 1 << 20
BLOCK = hashlib.sha512(b"block").digest() * (MIB // 64)


@test("256 MiB go up and down through a sidecar that hardly grows", "INV-11 §12")
def constant_memory():
    total = 256 if SLOW == 1 else 32

    def handler(request, exchange):
        if request.method == "GET":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (total * MIB))
            for _ in range(total):
                exchange.send(BLOCK)
            return b""
        have, digest = 0, hashlib.md5(exchange.pending)
        have, exchange.pending = len(exchange.pending), b""
        while have < total * MIB:
            piece = exchange.socket.recv(MIB)
            have += len(piece)
            digest.update(piece)
        return answer(200, digest.hexdigest().encode())

    sidecar = sidecar_of(App(handler, streams=True))
    wanted = hashlib.md5()
    for _ in range(total):
        wanted.update(BLOCK)
    before, most = rss_kib(sidecar.pid), 0
    connection = sidecar.connect()
    connection.send(b"POST %s/up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (INVOKE.encode(), total * MIB))
    for i in range(total):
        connection.send(BLOCK)
        most = max(most, rss_kib(sidecar.pid)) if i % 16 == 0 else most
    equal(connection.reply("POST").text, wanted.hexdigest())
    connection.send(request_bytes("GET", INVOKE + "/down"))
    need(b"Content-Length: %d" % (total * MIB) in connection.until(b"\r\n\r\n"), "the length is passed on")
    digest, have = hashlib.md5(connection.pending), len(connection.pending)
    connection.pending = b""
    while have < total * MIB:
        piece = connection.socket.recv(MIB)
        need(piece, f"cut after {have} bytes")
        have += len(piece)
        digest.update(piece)
        most = max(most, rss_kib(sidecar.pid)) if have % 16 == 0 else most
    equal(digest.hexdigest(), wanted.hexdigest())
    print(f"  grew by {most - before} KiB")
    if SLOW == 1:
        need(most - before < 8 * 1024, f"grew by {most - before} KiB")
    connection.close()


@test("a client that does not read holds the application back, and nobody else", "INV-11")
def slow_reader():
    sent = [0]

    def handler(request, exchange):
        if request.target == "/quick":
            return answer(200, b"quick")
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            exchange.send(BLOCK)
            sent[0] += 1
        return b""

    app = App(handler)
    sidecar = sidecar_of(app)
    connection = sidecar.connect()
    connection.send(request_bytes("GET", INVOKE + "/much"))
    connection.until(b"\r\n\r\n")
    last = [-1]

    def stands():
        for _ in range(20):  # other calls go on meanwhile
            equal(sidecar.call("GET", INVOKE + "/quick").text, "quick")
        still = sent[0] == last[0]
        last[0] = sent[0]
        return still

    eventually(stands, "the application is held back")
    need(sent[0] < 32, f"{sent[0]} MiB were taken in")
    connection.close()


@test("an answer that is cut is seen as cut, whatever its framing", "INV-22")
def cut_answers():
    answers = {
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    }

    def handler(request, exchange):
        exchange.send(answers[request.target])
        return None

    sidecar = sidecar_of(App(handler))
    for path in answers:
        connection = sidecar.connect()
        connection.send(request_bytes("GET", INVOKE + path))
        try:
            reply = connection.reply()
            raise AssertionError(f"a whole answer: {reply}")
        except (Cut, ConnectionResetError):
            pass
        connection.close()


@test("a client that leaves in the middle of a body leaves no half request that looks whole", "INV-11 §8")
def client_leaves_body():
    seen = []

    def handler(request, exchange):
        try:
            seen.append(exchange.body(request.headers))
        except EOFError:
            seen.append("cut")
        return answer(200)

    sidecar = sidecar_of(App(handler, streams=True))
    for head in (b"Content-Length: 100", b"Transfer-Encoding: chunked"):
        connection = sidecar.connect()
        connection.send(b"POST " + INVOKE.encode() + b"/x HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n5\r\nhello\r\n")
        connection.close()
    eventually(lambda: len(seen) == 2, "both ended")
    equal(seen, ["cut", "cut"])


@test("a client that leaves while it waits ends the call to the application", "INV-U11 §7")
def client_leaves():
    gone = threading.Event()

    def handler(request, exchange):
        if not exchange.more():
            gone.set()
        return None

    app = App(handler)
    sidecar = sidecar_of(app)
    connection = sidecar.connect()
    connection.send(request_bytes("GET", INVOKE + "/wait"))
    eventually(lambda: app.requests, "the application has it")
    need(not gone.is_set(), "it is waited for")
    connection.close()
    need(gone.wait(DEADLINE_S), "the application is told")


# --- headers and protocols --------------------------------------------------------------------------------------------


@test("an application may be called over HTTPS with any certificate", "INV-41 INV-43")
def https():
    app = App(lambda request, exchange: answer(200, request.body[::-1]), tls=server_context())
    sidecar = sidecar_of(app, "--app-protocol", "https")
    for size in (0, 5, 300_000):
        body = os.urandom(size)
        reply = sidecar.call("POST", INVOKE + "/x", body)
        equal((reply.status, reply.body == body[::-1]), (200, True))
    equal(app.connections, 2, "one to see that it listens, one for all calls")


@test("an application that speaks no TLS is a clear error, not a hang", "INV-41")
def no_tls():
    app = App()
    sidecar = sidecar_of(app, "--app-protocol", "https")
    reply = sidecar.call("GET", INVOKE + "/x")
    equal(reply.status, 500)
    need("tls: first record does not look like a TLS handshake" in message(reply), message(reply))
    need(f'Get \\"https://127.0.0.1:{app.port}/x\\"'.replace("\\", "") in message(reply), message(reply))


@test("the token of the application goes with every call, the client's never", "§7 INV-26")
def tokens():
    app = App()
    sidecar = sidecar_of(app, env={"APP_API_TOKEN": "secret-of-app", "DAPR_API_TOKEN": "secret-of-api"})
    equal(sidecar.call("GET", INVOKE + "/x").status, 401)
    equal(sidecar.call("GET", INVOKE + "/x", headers=[("dapr-api-token", "secret-of-api")]).status, 200)
    equal([request.all("dapr-api-token") for request in app.asked + app.requests], [["secret-of-app"]] * 3)
    plain = App()
    sidecar = sidecar_of(plain)
    equal(sidecar.call("GET", INVOKE + "/x", headers=[("dapr-api-token", "mine")]).status, 200)
    equal(plain.requests[0].all("dapr-api-token"), [])
    need("secret-of" not in sidecar.log(), "no token is logged")


@test("invocation over HTTP/2 reaches the application", "INV-61 §4")
def http2():
    app = App(lambda request, exchange: answer(201, request.body, [("X-A", "1")]))
    sidecar = sidecar_of(app)
    done = subprocess.run(
        ["curl", "-s", "-i", "--http2-prior-knowledge", "-d", "hello", "-H", "cookie: a=1", "-H", "cookie: b=2"]
        + [f"http://127.0.0.1:{sidecar.port}{INVOKE}/x"],
        capture_output=True,
        timeout=30,
        check=True,
    ).stdout
    need(done.startswith(b"HTTP/2 201") and done.endswith(b"hello") and b"x-a: 1" in done, done)
    equal(app.requests[0].all("cookie"), ["a=1; b=2"])


@test("an application may speak HTTP/2 without TLS", "§3 §7 XC-01")
def h2c():
    app = Sidecar(app_id="inner")  # its API is such an application
    flags = ["--app-port", str(app.port), "--app-protocol", "h2c"]
    sidecar = Sidecar(app_id="back", flags=flags)
    equal(sidecar.call("GET", INVOKE + "/v1.0/metadata").json["id"], "inner")
    equal(sidecar.call("PUT", INVOKE + "/v1.0/metadata/colour", b"red " * 20_000).status, 400, "larger than a value may be")
    equal(sidecar.call("PUT", INVOKE + "/v1.0/metadata/colour", b"red").status, 204)
    equal(app.metadata()["extended"]["colour"], "red")
    equal(sidecar.call("GET", INVOKE + "/nowhere").json["errorCode"], "ERR_DIRECT_INVOKE")
    equal(sidecar.call("HEAD", INVOKE + "/v1.0/healthz").status, 404)
    app.kill()
    reply = sidecar.call("GET", INVOKE + "/v1.0/metadata", timeout=60)
    equal(reply.status, 500)
    need("failed to invoke, id: back, err: Get " in message(reply), message(reply))


@test("the JDK's offer of HTTP/2 is no hindrance", "INV-61")
def upgrade():
    app = App(lambda request, exchange: answer(200, request.body))
    sidecar = sidecar_of(app)
    headers = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    reply = sidecar.call("POST", "/orders", b"hi", [*headers, ("dapr-app-id", "back")])
    equal((reply.status, reply.text), (200, "hi"))
    equal([app.requests[0].header(name) for name in ("Upgrade", "HTTP2-Settings", "Connection")], [None] * 3)


@test("a reverse proxy in front of the application may use a stock client", "INV-24 INV-63")
def stock_client():
    app = App(lambda request, exchange: answer(200, request.target.encode()))
    sidecar = sidecar_of(app)
    client = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=30)
    for i in range(20):
        client.request("GET", f"/checkout/{i}?b=1&b=2", headers={"dapr-app-id": "back"})
        reply = client.getresponse()
        equal((reply.status, reply.read()), (200, b"/checkout/%d?b=1&b=2" % i))
    client.close()
    equal(app.connections, 2, "one to see that it listens, one for all calls")


# --- an application that is away --------------------------------------------------------------------------------------


@test("an application that restarts is called again at once, and not before it is there", "§7 §8")
def restart():
    app = App()
    sidecar = sidecar_of(app)
    equal(sidecar.call("GET", INVOKE + "/x").status, 200)
    app.stop()
    reply = sidecar.call("GET", INVOKE + "/x")
    equal(reply.status, 500)
    wanted = f'failed to invoke, id: back, err: Get "http://127.0.0.1:{app.port}/x": dial tcp 127.0.0.1:{app.port}: '
    equal(message(reply), wanted + "connect: connection refused")
    app.start()
    for _ in range(3):
        equal(sidecar.call("GET", INVOKE + "/x").status, 200)


@test("connections an application has closed in the meantime fail no safe request", "§7")
def closed_meanwhile():
    def handler(request, exchange):
        exchange.send(answer(200, b"ok"))
        return None  # closes without having said so

    sidecar = sidecar_of(App(handler))
    for _ in range(200):
        equal(sidecar.call("GET", INVOKE + "/x").status, 200)


@test("the application may listen on a name and on IPv6", "§7")
def addresses():
    for host, address in (("localhost", "localhost"), ("::1", "::1")):
        try:
            app = App(host="::1" if address == "::1" else "127.0.0.1", port=free_port())
        except OSError:
            continue  # no IPv6 here
        sidecar = sidecar_of(app, "--app-channel-address", address)
        equal(sidecar.call("GET", INVOKE + "/x").status, 200, host)


# --- places -----------------------------------------------------------------------------------------------------------


class Gate:
    """An application that counts who is inside and lets them out when told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = self.most = self.done = 0
        self.out = threading.Semaphore(0)
        self.app = App(self.handle)

    def handle(self, request, exchange):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        need(self.out.acquire(timeout=60), "somebody is let out")
        with self.lock:
            self.inside -= 1
            self.done += 1
        return answer(200)


@test("no more calls than allowed are in the application, of all workers together", "§7")
def places():
    for workers in (1, 3):
        gate = Gate()
        sidecar = sidecar_of(gate.app, "--app-max-concurrency", "3", "--workers", str(workers))
        statuses = []
        call = lambda: statuses.append(sidecar.call("GET", INVOKE + "/x").status)  # noqa: E731
        threads = [threading.Thread(target=call) for _ in range(12)]
        for thread in threads:
            thread.start()
        eventually(lambda: gate.inside == 3, "three are inside")
        for _ in range(12):
            gate.out.release()
        for thread in threads:
            thread.join(60)
        equal((statuses, gate.most), ([200] * 12, 3))


@test("who leaves the queue in front of the application gives its place to the next", "§7")
def leave_queue():
    gate = Gate()
    sidecar = sidecar_of(gate.app, "--app-max-concurrency", "1")
    first = sidecar.connect()
    first.send(request_bytes("GET", INVOKE + "/first"))
    eventually(lambda: gate.inside == 1, "the first is inside")
    before = descriptors(sidecar)
    leavers = [sidecar.connect() for _ in range(5)]
    for leaver in leavers:
        leaver.send(request_bytes("GET", INVOKE + "/leaves"))
    last = sidecar.connect()
    last.send(request_bytes("GET", INVOKE + "/last"))
    eventually(lambda: descriptors(sidecar) >= before + 6, "all are connected")
    for leaver in leavers:
        leaver.close()
    eventually(lambda: descriptors(sidecar) <= before + 1, "all but the last have left")
    gate.out.release()
    equal(first.reply().status, 200)
    gate.out.release()
    equal(last.reply().status, 200)
    eventually(lambda: gate.inside == 0, "all are out")
    need("/leaves" not in [request.target for request in gate.app.requests[2:]], "who left does not come in after the last")
    first.close()
    last.close()


# --- health and start -------------------------------------------------------------------------------------------------


class Patient:
    """An application whose health is what the test says: a status, or a function of the exchange."""

    def __init__(self, health=200):
        self.health, self.probes = health, 0
        self.app = App(self.handle)

    def handle(self, request, exchange):
        if request.target != "/healthz":
            return answer(200, b"served")
        self.probes += 1
        health = self.health
        return health(exchange) if callable(health) else answer(health)


HEALTH = ["--enable-app-health-check", "--app-health-probe-interval=1", "--app-health-probe-timeout=900"]
UNHEALTHY = "failed to invoke, id: back, err: rpc error: code = Internal desc = app is not in a healthy state"


@test("an application that is not well gets no calls, and again some when it is", "§3 APPHEALTH")
def health():
    patient = Patient(503)
    sidecar = sidecar_of(patient.app, *HEALTH, "--app-health-threshold=2")
    reply = sidecar.call("GET", INVOKE + "/x")
    equal((reply.status, message(reply)), (500, UNHEALTHY), "unwell until the first good probe")

    def turns_bad():
        """A probe that comes too late, on a machine that stands still, is a bad one too; then it is done again."""
        patient.health = 204
        eventually(lambda: sidecar.call("GET", INVOKE + "/x").status == 200, "it is well")
        patient.app.take()
        patient.health = lambda exchange: None  # closes
        eventually(lambda: sidecar.call("GET", INVOKE + "/x").status == 500, "it is unwell")
        served = [request for request in patient.app.take() if request.target == "/x"]
        return served and "App entered un-healthy status: Network error: EOF" in sidecar.log()

    eventually(turns_bad, "one bad probe does not make it unwell, two do")
    for _ in range(10):
        equal(message(sidecar.call("GET", INVOKE + "/x")), UNHEALTHY)
    equal([request for request in patient.app.take() if request.target == "/x"], [])
    log = sidecar.log()
    need("App health probes starting" in log, log)
    changes = [line for line in log.splitlines() if "healthy status" in line]
    need(len(changes) >= 2 and len(changes) % 2 == 0, changes)
    for i, line in enumerate(changes):
        need(("App entered healthy" if i % 2 == 0 else "App entered un-healthy") in line, "each change is logged once")


@test("a path of one's own is probed, with the token", "§1 §7 APPHEALTH")
def health_path():
    patient = Patient()
    app = App(lambda request, exchange: answer(200))
    flags = [*HEALTH, "--app-health-check-path", "alive?deep=1"]
    sidecar_of(app, *flags, env={"APP_API_TOKEN": "t"})
    eventually(lambda: app.requests, "it is probed")
    equal((app.requests[0].target, app.requests[0].all("dapr-api-token")), ("/alive?deep=1", ["t"]))
    patient.app.stop()


@test("the metadata tell how the application is called and probed", "§6")
def metadata():
    app = App()
    sidecar = sidecar_of(app, *HEALTH, "--app-max-concurrency", "7", "--app-health-check-path", "/alive")
    health = {
        "healthCheckPath": "/alive",
        "healthProbeInterval": "1s",
        "healthProbeTimeout": "900ms",
        "healthThreshold": 3,
    }
    equal(
        sidecar.metadata()["appConnectionProperties"],
        {"port": app.port, "protocol": "http", "channelAddress": "127.0.0.1", "maxConcurrency": 7, "health": health},
    )


@test("a block shutdown ends early when the application says that it is not well", "§10")
def block_shutdown():
    patient = Patient()
    patience = ["--enable-app-health-check", "--app-health-probe-interval=5", "--app-health-probe-timeout=5000"]
    sidecar = sidecar_of(patient.app, *patience, "--app-health-threshold=1", "--dapr-block-shutdown-duration=300s")
    eventually(lambda: sidecar.call("GET", INVOKE + "/x").status == 200, "it is well")
    sidecar.signal(15)
    eventually(lambda: "Blocking graceful shutdown for 5m0s or until app reports unhealthy..." in sidecar.log(), "it waits")
    equal(sidecar.call("GET", INVOKE + "/x").status, 200, "it still works")
    patient.health = 500
    equal(sidecar.wait(), 0)
    need("App reported unhealthy, entering shutdown..." in sidecar.log(), "it says why")


@test("the application is asked at its start what it is asked once, unless told otherwise", "§7 PUB-51")
def init_endpoints():
    app = App()
    sidecar = sidecar_of(app)
    need("Application configuration loaded" in sidecar.log(), "it says so")
    equal([request.target for request in app.asked], ["/dapr/config", "/dapr/subscribe"])
    equal([request.header("dapr-app-id") for request in app.asked], ["back", "back"])
    app = App()
    log = sidecar_of(app, "--disable-init-endpoints=config,subscribe").log()
    equal(app.asked, [])
    need("Skipping programmatic dapr configuration loading" in log, log)
    need("Skipping programmatic subscription loading" in log, log)


@test("odd answers to what is asked at the start do not keep the sidecar from its work", "§7")
def odd_init():
    for data in (answer(200, b"{nonsense"), answer(500, b"no"), answer(200, b""), b"garbage\r\n\r\n", b""):
        app = App()
        app.init = lambda request, data=data: data or None
        sidecar = sidecar_of(app)
        equal(sidecar.call("GET", INVOKE + "/x").status, 200)


@test("an end in the middle of a call waits for its answer", "§10")
def end_waits():
    go = threading.Event()

    def handler(request, exchange):
        need(go.wait(60), "told to go on")
        return answer(200, b"late")

    app = App(handler)
    sidecar = sidecar_of(app, "--dapr-graceful-shutdown-seconds=60")
    connection = sidecar.connect()
    connection.send(request_bytes("POST", INVOKE + "/x", [], b"1"))
    eventually(lambda: app.requests, "the application has it")
    sidecar.signal(15)
    eventually(lambda: "Closing HTTP server" in sidecar.log(), "the end has begun")
    go.set()
    equal(connection.reply("POST").text, "late")
    equal(sidecar.wait(), 0)
    connection.close()


@test("calls to the application are counted as the reference counts them", "§12")
def metrics():
    app = App(lambda request, exchange: answer(503 if request.target == "/bad" else 200, b"12345"))
    port = free_port()
    sidecar = sidecar_of(app, "--metrics-port", str(port))
    sidecar.call("POST", INVOKE + "/o/1", b"123")
    sidecar.call("GET", INVOKE + "/bad")
    connection = Connection(("127.0.0.1", port))
    connection.send(request_bytes("GET", "/metrics"))
    lines = connection.reply().text.splitlines()
    connection.close()
    for line in (
        'dapr_http_client_completed_count{app_id="back",method="GET",path="/dapr/config",status="404"} 1',
        'dapr_http_client_completed_count{app_id="back",method="GET",path="/bad",status="503"} 1',
        'dapr_http_client_completed_count{app_id="back",method="POST",path="/o/1",status="200"} 1',
        'dapr_http_client_sent_bytes_sum{app_id="back",method="POST",path="/o/1",status=""} 3',
        'dapr_http_client_received_bytes_sum{app_id="back"} 10',
        'dapr_http_client_roundtrip_latency_count{app_id="back",method="POST",path="/o/1",status="200"} 1',
    ):
        need(line in lines, f"{line} is not in {[l for l in lines if 'http_client' in l and 'bucket' not in l]}")


if __name__ == "__main__":
    main()
