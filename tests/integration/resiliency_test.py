#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""Resiliency documents at work: a state store that fails as told (tests/plugins/flaky), the own application, and one
behind another sidecar; retries, timeouts, circuit breakers, their metrics, and changes while all of it runs."""

import sdk  # noqa: F401  isort: skip

import os
import re
import signal
import threading
import time

import grpc
import grpc_app
from dapr.proto.runtime.v1 import dapr_pb2_grpc, metadata_pb2, state_pb2
from http_app import App, answer
from mesh import Mesh, reaches
from remora import BUILD, SLOW, Sidecar, Store, call, component, equal, eventually, free_port, main, need, request_bytes, test

FLAGS = ["--plugins-path", os.path.join(BUILD, "plugins"), "--plugins-path", os.path.join(BUILD, "tests", "plugins")]
# The second is the same process, which counts for both, and has no policy.
FLAKY = component("flaky", "state.flaky") + "---\n" + component("counter", "state.flaky")


def policies(spec, name="rz", scopes=""):
    """A document; `spec` as YAML in braces, or a block indented by two."""
    spec = f" {spec}\n" if spec.startswith("{") else f"\n{spec}"
    return f"apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: {name}\n{scopes}spec:{spec}"


def store_of(spec, *flags, **more):
    port = free_port()
    sidecar = Sidecar(FLAKY, policies(spec), flags=[*FLAGS, "--metrics-port", str(port), *flags], **more)
    sidecar.metrics = ("127.0.0.1", port)
    return sidecar, Store(sidecar, "flaky")


def back_of(handler, spec, *flags):
    app = App(handler)
    port = free_port()
    flags = ["--app-port", str(app.port), "--metrics-port", str(port), *flags]
    sidecar = Sidecar(policies(spec), app_id="back", flags=flags)
    sidecar.metrics = ("127.0.0.1", port)
    return sidecar, app


def metric(sidecar, family, **labels):
    """The value of the one sample with these labels; None without one."""
    found = []
    for line in call(sidecar.metrics, "GET", "/metrics").text.splitlines():
        if line.startswith(family + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            found.append(float(line.rsplit(" ", 1)[1]))
    need(len(found) <= 1, f"{family} {labels}: {found}")
    return found[0] if found else None


def calls(store):
    return int(Store(store.sidecar, "counter").get("calls").text)


def invoke(sidecar, method="m", verb="GET", body=None, app_id="back", **more):
    return sidecar.call(verb, f"/v1.0/invoke/{app_id}/method/{method}", body, **more)


def fails(count, status=503):
    """A handler that fails so many times, then answers how often it was asked."""
    asked = []

    def handler(request, exchange):
        asked.append(request)
        if len(asked) <= count:
            return answer(status, b"not yet", [("X-Try", str(len(asked)))])
        return answer(200, b"%d" % len(asked))

    return handler


# --- components -------------------------------------------------------------------------------------------------------

RETRY = "{policies: {retries: {twice: {duration: 20ms, maxRetries: 2}}}, targets: {components: {flaky: {outbound: {retry: twice}}}}}"


@test("an operation of a component is tried as often as its policy says, writes too", "§8 §16")
def component_retries():
    sidecar, store = store_of(RETRY)
    equal((store.get("fail-2").status, store.get("fail-2").text), (200, "4"), "recovered at the third")
    equal(store.save("fail-1", 1).status, 204)
    equal(store.delete("fail-2").status, 204)
    before = calls(store)
    reply = store.get("fail-9")
    equal(reply.status, 500)
    need("told to fail, time 3" in reply.text, reply.text)
    equal(calls(store) - before, 3, "attempts")
    labels = {"name": "rz", "policy": "retry", "flow_direction": "outbound", "target": "Statestore_flaky", "status": ""}
    equal(metric(sidecar, "dapr_resiliency_activations_total", **labels), 3)
    need(metric(sidecar, "dapr_resiliency_count", **labels) >= 5, "every operation counts")
    equal(metric(sidecar, "dapr_resiliency_loaded", name="rz"), 1)
    log = sidecar.log()
    need("Error processing operation component[flaky] output. Retrying in 20ms" in log, "the retry is logged")
    need("Recovered processing operation component[flaky] output after 3 attempts" in log, "and the recovery")
    equal(sidecar.stop(), 0, "exit status")


@test("without a policy nothing that failed is repeated", "§16")
def component_without():
    sidecar, store = store_of("{targets: {components: {other: {outbound: {retry: gone}}}}}")
    equal(store.get("fail-1").status, 500)
    equal(store.get("fail-1").status, 200)
    need("names the retry policy gone, which does not exist" in sidecar.log(), "the reference is warned of")


@test("the gRPC code of a component decides for matching", "§16")
def component_matching():
    sidecar, store = store_of(
        "{policies: {retries: {r: {duration: 1ms, maxRetries: 3, matching: {gRPCStatusCodes: '8,14'}}}},"
        " targets: {components: {flaky: {outbound: {retry: r}}}}}"
    )
    for code, attempts in ((8, 4), (14, 4), (13, 1), (2, 1)):
        before = calls(store)
        need(store.get(f"code-{code}").status >= 400, code)
        equal(calls(store) - before, attempts, f"attempts at code {code}")


@test("each attempt of a component has the timeout for itself", "§16")
def component_timeout():
    sidecar, store = store_of(
        "{policies: {timeouts: {t: 150ms}, retries: {r: {duration: 1ms, maxRetries: 2}}},"
        " targets: {components: {flaky: {outbound: {timeout: t, retry: r}}}}}"
    )
    before, started = calls(store), time.monotonic()
    reply = store.get("hang")
    equal((reply.status, reply.json["errorCode"]), (504, "ERR_STATE_GET"))
    need("context deadline exceeded" in reply.text, reply.text)
    need(time.monotonic() - started >= 0.45, "three times the timeout")
    equal(calls(store) - before, 3)
    equal(metric(sidecar, "dapr_resiliency_activations_total", policy="timeout"), 1)
    channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}")
    try:
        dapr_pb2_grpc.DaprStub(channel).GetState(state_pb2.GetStateRequest(store_name="flaky", key="hang"), timeout=60)
        need(False, "an answer")
    except grpc.RpcError as error:
        need("context deadline exceeded" in error.details(), error.details())
    channel.close()


@test("an ETag that does not match is no failure of the store", "§16")
def component_etags():
    sidecar, store = store_of(
        "{policies: {retries: {r: {duration: 1ms, maxRetries: 3}}, circuitBreakers: {cb: {trip: totalFailures > 0}}},"
        " targets: {components: {flaky: {outbound: {retry: r, circuitBreaker: cb}}}}}"
    )
    before = calls(store)
    for _ in range(3):
        equal(store.save("stale", 1, etag="7").status, 409)
    equal(calls(store) - before, 3, "no attempt but the first, and no open breaker")


@test("of a save of several items only those that failed are tried again, and conflicts are not forgotten", "§16")
def component_items():
    sidecar, store = store_of(RETRY)

    def save(*keys):
        return sidecar.call("POST", "/v1.0/state/flaky", [{"key": key, "value": 1} for key in keys])

    equal(save("fail-1", "plain", "fail-2").status, 204)
    equal([store.get(key).text for key in ("plain", "fail-1", "fail-2")], ["2", "3", "4"], "calls, these included")
    before = calls(store)
    equal(save("fail-9", "other").status, 500)
    equal(calls(store) - before, 4)
    before = calls(store)
    equal(save("fail-01", "stale").status, 409, "although the other one was saved in the end")
    equal(calls(store) - before, 3)
    equal(save("stale", "stale2").status, 409)


@test("default policies apply to stores without a target", "§16")
def component_defaults():
    sidecar, store = store_of(
        "{policies: {retries: {DefaultRetryPolicy: {maxRetries: 0},"
        " DefaultStatestoreComponentOutboundRetryPolicy: {duration: 1ms, maxRetries: 1}}}}"
    )
    equal(store.get("fail-1").status, 200)
    equal(store.get("fail-3").status, 500)


@test("a circuit breaker opens, refuses without a call, and closes again", "§16")
def component_breaker():
    sidecar, store = store_of(
        "{policies: {circuitBreakers: {cb: {timeout: 1s, trip: consecutiveFailures >= 3}}},"
        " targets: {components: {flaky: {outbound: {circuitBreaker: cb}}}}}"
    )

    def state():
        labels = {"policy": "circuitbreaker", "target": "Statestore_flaky", "flow_direction": "outbound", "name": "rz"}
        states = ("closed", "half-open", "open", "unknown")
        return [metric(sidecar, "dapr_resiliency_cb_state", status=s, **labels) for s in states]

    equal(store.get("calls").text, "0")
    equal(state(), [1, 0, 0, 0])
    for _ in range(2):
        equal(store.get("fail-3").status, 500)
    opened = time.monotonic()  # or a little later
    equal(store.get("fail-3").status, 500)
    equal(state(), [0, 0, 1, 0])
    reply, called = store.get("fail-3"), 3
    if reply.status == 200:
        need(time.monotonic() - opened > 1, "it let one through before its time")
        called += 1
    else:
        equal((reply.status, reply.json["errorCode"]), (500, "ERR_STATE_GET"))
        need("circuit breaker is open" in reply.text, reply.text)
    eventually(lambda: store.get("fail-3").status == 200, "it lets one through again")
    equal(state(), [1, 0, 0, 0])
    equal(calls(store), called + 1, "calls, none of them while it was open")
    log = sidecar.log()
    for change in ("closed to open", "open to half-open", "half-open to closed"):
        need(f'Circuit breaker \\"cb-flaky\\" changed state from {change}' in log, change)
    equal(metric(sidecar, "dapr_resiliency_activations_total", policy="circuitbreaker", status="open"), 1)
    equal(metric(sidecar, "dapr_resiliency_activations_total", policy="circuitbreaker", status="closed"), 1)


# --- the own application ----------------------------------------------------------------------------------------------

BACK = "{policies: {retries: {twice: {duration: 20ms, maxRetries: 2}}}, targets: {apps: {back: {retry: twice}}}}"


@test("an invocation is repeated, and its last answer is the answer", "INV-54 §8")
def app_retries():
    sidecar, app = back_of(fails(2), BACK)
    reply = invoke(sidecar, verb="POST", body=b"once more")
    equal((reply.status, reply.text), (200, "3"))
    equal([r.body for r in app.take()], [b"once more"] * 3)
    sidecar, app = back_of(fails(9, 418), BACK)
    reply = invoke(sidecar)
    equal((reply.status, reply.text, reply.header("X-Try")), (418, "not yet", "3"))
    equal(len(app.take()), 3)
    labels = {"policy": "retry", "target": "app_back", "flow_direction": "outbound"}
    equal(metric(sidecar, "dapr_resiliency_activations_total", **labels), 1)


@test("an answer that is not listed, or no failure, is final", "§16")
def app_matching():
    status = [200]
    sidecar, app = back_of(
        lambda request, exchange: answer(status[0], b"x"),
        "{policies: {retries: {r: {duration: 1ms, maxRetries: 2, matching: {httpStatusCodes: '200,302,500,502-504'}}}},"
        " targets: {apps: {back: {retry: r}}}}",
    )
    for status[0], attempts in ((200, 1), (302, 1), (404, 1), (500, 3), (501, 1), (503, 3), (505, 1)):
        equal(invoke(sidecar).status, status[0])
        equal(len(app.take()), attempts, status[0])


@test("a streamed body is sent once, whatever the policy", "§8")
def app_streams():
    sidecar, app = back_of(fails(9), BACK)
    connection = sidecar.connect()
    connection.send(b"POST /v1.0/invoke/back/method/m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.send(b"5\r\nhello\r\n0\r\n\r\n")
    equal(connection.reply("POST").status, 503)
    equal([r.body for r in app.take()], [b"hello"])


@test("an open circuit breaker answers 500 and spares the application, streams too", "§8")
def app_breaker():
    sidecar, app = back_of(
        fails(3),
        "{policies: {circuitBreakers: {cb: {timeout: 1h, trip: consecutiveFailures >= 3}}},"
        " targets: {apps: {back: {circuitBreaker: cb}}}}",
    )
    for _ in range(3):
        equal(invoke(sidecar).status, 503)
    app.take()
    reply = invoke(sidecar)
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_DIRECT_INVOKE"))
    need("circuit breaker is open" in reply.text, reply.text)
    connection = sidecar.connect()
    connection.send(
        b"POST /v1.0/invoke/back/method/m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    equal(connection.reply("POST").status, 500)
    equal(app.take(), [], "calls of the application")


@test("a slow application meets its timeout", "§16")
def app_timeout():
    go = threading.Event()

    def handler(request, exchange):
        go.wait(60)
        return answer(200)

    sidecar, app = back_of(handler, "{policies: {timeouts: {DefaultTimeoutPolicy: 200ms}}}")
    reply = invoke(sidecar)
    go.set()
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_DIRECT_INVOKE"))
    need("context deadline exceeded" in reply.text, reply.text)


@test("retries without an end leave with the client and with the sidecar", "§10 §16")
def app_endless():
    sidecar, app = back_of(
        fails(1 << 30), "{policies: {retries: {r: {duration: 50ms}}}, targets: {apps: {back: {retry: r}}}}"
    )
    connection = sidecar.connect()
    connection.send(request_bytes("GET", "/v1.0/invoke/back/method/m"))
    eventually(lambda: len(app.requests) >= 3, "it is tried again")
    connection.close()

    def is_over():
        app.take()
        time.sleep(0.2)
        return not app.requests

    eventually(is_over, "nobody waits any more")
    connection = sidecar.connect()
    connection.send(request_bytes("GET", "/v1.0/invoke/back/method/m"))
    eventually(lambda: len(app.requests) >= 3, "it is tried again")
    sidecar.signal(signal.SIGTERM)
    equal(connection.reply().status, 503, "the last answer")
    equal(sidecar.wait(), 0, "exit status")


# --- another sidecar --------------------------------------------------------------------------------------------------


@test("policies of the caller reach an application behind another sidecar", "INV-54 §8")
def mesh_retries():
    mesh = Mesh()
    app = App(fails(0))
    mesh.sidecar("back", app=app)
    front = mesh.sidecar(
        "front",
        policies(
            "{policies: {retries: {twice: {duration: 20ms, maxRetries: 2}, none: {maxRetries: 0}},"
            " circuitBreakers: {cb: {timeout: 1h, trip: consecutiveFailures >= 3}}},"
            " targets: {apps: {back: {retry: twice, circuitBreaker: cb}, ghost: {retry: none}}}}"
        ),
    )
    reaches(front, "back", "warm")
    app.take()
    app.handler = fails(2)
    reply = invoke(front, verb="PUT", body=b"again")
    equal((reply.status, reply.text), (200, "3"))
    equal([r.body for r in app.take()], [b"again"] * 3)
    app.handler = fails(9)
    equal(invoke(front).status, 503, "the last answer; it has opened the breaker")
    equal(len(app.take()), 3)
    reply = invoke(front)
    need(reply.status == 500 and "circuit breaker is open" in reply.text, reply.text)
    equal(app.take(), [])
    # No built-in retries, a second apart, where the user says none.
    before = front.log().count("Retrying in 1s")
    equal(invoke(front, app_id="ghost").status, 500)
    equal(front.log().count("Retrying in 1s"), before)


@test("instances of an application have breakers of their own", "§16")
def mesh_instances():
    mesh = Mesh()
    good, bad = App(fails(0)), App(fails(1 << 30))
    first, second = (mesh.sidecar("back", app=a) for a in (good, bad))
    front = mesh.sidecar(
        "front",
        policies(
            "{policies: {circuitBreakers: {cb: {timeout: 1h, trip: consecutiveFailures >= 2}}},"
            " targets: {apps: {back: {circuitBreaker: cb}}}}"
        ),
    )
    eventually(lambda: len(mesh.addresses("back")) == 2, "both are known")
    eventually(lambda: (len(bad.requests), invoke(front).status)[0] >= 2, "the bad instance has failed twice")
    bad.take()
    equal({invoke(front).status for _ in range(20)}, {200}, "the good one serves")
    equal(bad.take(), [], "calls of the bad one")
    good.handler = fails(1 << 30)
    eventually(lambda: "circuit breaker is open" in invoke(front).text, "nobody is left")


def flaky(app, request, context):
    """Fails as often as the request's first byte says, then answers how often it was asked."""
    app.asked = getattr(app, "asked", 0) + 1
    if app.asked <= request[0]:
        context.abort(grpc.StatusCode.UNAVAILABLE, f"told to fail, time {app.asked}")
    return b"%d" % app.asked


grpc_app.UNARY["Flaky"] = flaky
SVC = "/own.Svc/"
TO_BACK = (("dapr-app-id", "back"),)


class Proxied:
    """An application of gRPC behind another sidecar, called through the proxy."""

    def __init__(self, spec):
        mesh, self.app = Mesh(), grpc_app.App()
        mesh.sidecar("back", app=self.app, protocol="grpc")
        self.front = mesh.sidecar("front", policies(spec))
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{self.front.grpc_port}",
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)],
        )

        def warm():
            try:
                return self.channel.unary_unary(SVC + "Do")(b"warm", metadata=TO_BACK, timeout=60)
            except grpc.RpcError:
                return None

        eventually(warm, "the other sidecar is found")

    def call(self, method, message, *metadata):
        """The answer, or code and words; and how often the application was called for it."""
        self.app.received.clear()
        self.app.asked = 0
        try:
            call = self.channel.unary_unary(SVC + method)
            got = call(message, metadata=(*TO_BACK, *metadata), timeout=60)
        except grpc.RpcError as error:
            got = (error.code().name, error.details())
        return got, len(self.app.received)


@test("a proxied unary call is repeated when its answer begins with a failure that matches", "INV-37 INV-39 §8")
def proxy_retries():
    proxied = Proxied(
        "{policies: {retries: {twice: {duration: 20ms, maxRetries: 2, matching: {gRPCStatusCodes: '14'}}}},"
        " targets: {apps: {back: {retry: twice}}}}"
    )
    equal(proxied.call("Flaky", b"\x02"), (b"3", 3))
    equal(proxied.call("Flaky", b"\x02" + b"x" * (1 << 20)), (b"3", 3))
    equal(proxied.call("Flaky", b"\x09"), (("UNAVAILABLE", "told to fail, time 3"), 3))
    got, count = proxied.call("Fail", b"m")
    equal((got[0], count), ("ALREADY_EXISTS", 1), "a code that is not listed")
    equal(proxied.call("Do", b"m"), (b"m", 1))
    stream = ("dapr-stream", "true")
    equal(proxied.call("Flaky", b"\x02", stream), (("UNAVAILABLE", "told to fail, time 1"), 1))
    chat = proxied.channel.stream_stream(SVC + "Chat")
    equal(list(chat(iter([b"a", b"b"]), metadata=(*TO_BACK, stream), timeout=60)), [b"a!", b"b!"])
    equal(list(chat(iter([b"a", b"b"]), metadata=TO_BACK, timeout=60)), [b"a!", b"b!"], "without saying so")
    # More than is kept: it arrives, and is not repeated.
    equal(proxied.call("Do", b"\x02" * (6 << 20))[1], 1)


@test("a proxied call meets timeouts and open circuit breakers", "INV-37 §8")
def proxy_breaker():
    proxied = Proxied(
        "{policies: {timeouts: {t: 8s}, circuitBreakers: {cb: {timeout: 1h, trip: consecutiveFailures >= 3}}},"
        " targets: {apps: {back: {timeout: t, circuitBreaker: cb}}}}"
    )
    for _ in range(2):
        equal(proxied.call("Flaky", b"\x09")[0][0], "UNAVAILABLE")
    equal(proxied.call("Hold", b"m")[0], ("DEADLINE_EXCEEDED", "context deadline exceeded"))
    got, count = proxied.call("Flaky", b"\x09")
    equal((got, count), (("UNAVAILABLE", "circuit breaker is open"), 0))
    proxied.app.release.set()


# --- changes ----------------------------------------------------------------------------------------------------------


@test("documents change while the sidecar works, and breakers of unchanged policies keep their state", "§9")
def changes():
    sidecar, app = back_of(
        fails(1 << 30),
        "{policies: {circuitBreakers: {cb: {timeout: 1h, trip: consecutiveFailures >= 2}}},"
        " targets: {apps: {back: {circuitBreaker: cb}}}}",
    )
    folder = sidecar.folder / "resources"

    def write(name, text):
        with open(os.path.join(folder, name + ".new"), "w") as f:
            f.write(text)
        os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))

    def logged(text, count=1):
        eventually(lambda: sidecar.log().count(text) >= count, text)

    pid = sidecar.pid
    for _ in range(2):
        equal(invoke(sidecar).status, 503)
    equal(invoke(sidecar).status, 500, "open")

    write("more.yaml", policies("{policies: {timeouts: {DefaultActorTimeoutPolicy: 1s}}}", name="more"))
    logged("Received Resiliency CREATED event: more - triggering SIGHUP reload")
    eventually(lambda: [r["name"] for r in sidecar.metadata()["resiliencies"]] == ["rz", "more"], "both are shown")
    app.take()
    equal((invoke(sidecar).status, app.take()), (500, []), "still open")

    write("more.yaml", policies("{policies: {timeouts: {t: soon}}}", name="more"))
    logged("the changed Resiliency is not used, what was in force stays: Could not read resiliency policy more: ")
    metadata = sidecar.metadata()
    equal([r["name"] for r in metadata["resiliencies"]], ["rz", "more"], "what was in force stays")
    need("invalid duration" in metadata["remora"]["resiliency"]["error"], metadata["remora"])

    os.unlink(os.path.join(folder, "more.yaml"))
    logged("Received Resiliency DELETED event: more - triggering SIGHUP reload")
    equal((invoke(sidecar).status, app.take()), (500, []), "still open")
    need("resiliency" not in sidecar.metadata()["remora"], "no trouble any more")

    write("0.yaml", policies("{policies: {retries: {r: {duration: 1ms, maxRetries: 4}}}, targets: {apps: {back: {retry: r}}}}"))
    logged("Received Resiliency UPDATED event: rz - triggering SIGHUP reload")
    eventually(lambda: (invoke(sidecar).status, len(app.take())) == (503, 5), "the new policy is in force")
    equal(sidecar.log().count("Received Resiliency UPDATED"), 1, "unchanged documents are no event")
    equal((sidecar.pid, sidecar.is_alive()), (pid, True))
    equal(sidecar.stop(), 0, "exit status")


@test("without hot reload a hangup reads them again", "§9")
def hangup():
    configuration = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec:\n  features:\n  - name: HotReload\n    enabled: false\n"
    app = App(fails(1 << 30))
    sidecar = Sidecar(policies(BACK), app_id="back", wait=False, flags=["--app-port", str(app.port)])
    sidecar.end()
    path = sidecar.folder.write("config.yaml", configuration)
    sidecar = Sidecar(policies(BACK), app_id="back", flags=["--app-port", str(app.port), "--config", path])
    with open(os.path.join(sidecar.folder / "resources", "0.yaml"), "w") as f:
        f.write(policies(BACK.replace("maxRetries: 2", "maxRetries: 4")))
    invoke(sidecar)
    equal(len(app.take()), 3, "not seen yet")
    sidecar.signal(signal.SIGHUP)
    eventually(lambda: (invoke(sidecar).status, len(app.take()))[1] == 5, "seen after the hangup")


@test("metadata names the documents in force, and a broken one is left out", "§5 §6")
def documents():
    sidecar = Sidecar(
        policies("{policies: {retries: {r: {policy: quadratic}}}}", name="broken"),
        policies("{}", name="theirs", scopes="scopes: [other]\n"),
        # Not the first document of its file.
        component("mem", "state.in-memory") + "\n---\n" + policies("{}", name="good"),
    )
    equal(sidecar.metadata()["resiliencies"], [{"name": "good"}])
    channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}")
    reply = dapr_pb2_grpc.DaprStub(channel).GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=60)
    equal([r.name for r in reply.resiliencies], ["good"])
    channel.close()
    need(
        "Could not read resiliency policy broken: invalid retry configuration" in sidecar.log(), "the broken one is named"
    )
    need("Loading Resiliency configuration: good" in sidecar.log(), "the good one too")
    equal(sidecar.stop(), 0, "exit status")


if __name__ == "__main__":
    main()
