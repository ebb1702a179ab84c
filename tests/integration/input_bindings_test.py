#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Input bindings: who is asked whether it wants them, how events reach HTTP and gRPC applications, what answers do, and
that nothing is read while nobody may have it. Events come from a plugin that gives what it is told to
(tests/plugins/source), and from cron as recorded of the reference (recordings/bindings.json)."""

import sdk  # noqa: F401  isort: skip

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
from collectors import Collector
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import appcallback_pb2, appcallback_pb2_grpc
from http_app import App, answer
from remora import (
    BUILD, DEADLINE_S, Folder, Program, Sidecar, Store, call, component, equal, eventually, free_port, main, need, shared, test,
)

PLUGINS = ["--plugins-path", os.path.join(BUILD, "plugins"), "--plugins-path", os.path.join(BUILD, "tests", "plugins")]
# An application on a machine that stands still says late whether it wants a binding.
PATIENT = ["--app-binding-options-timeout", f"{DEADLINE_S}s"]
CONTROL = component("ctl", "bindings.source", [("direction", "output")])
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def source(name, *metadata):
    return component(name, "bindings.source", metadata)


def started(app, *resources, flags=(), protocol="http", **more):
    return Sidecar(
        *resources, CONTROL, app_id="bound",
        flags=[*PLUGINS, *PATIENT, "--app-port", str(app.port), "--app-protocol", protocol, *flags], **more
    )


def told(sidecar, operation, of="ctl", data=None, timeout=None, **metadata):
    body = {"operation": operation, "metadata": {"of": of, **metadata}}
    if data is not None:
        body["data"] = data
    return sidecar.call("POST", "/v1.0/bindings/ctl", json.dumps(body), timeout=timeout)


def state(sidecar, of):
    return told(sidecar, "state", of).json


def is_read(sidecar, of):
    return lambda: (lambda reply: reply.status == 200 and reply.json["reading"] != 0)(told(sidecar, "state", of))


def was_handled(reply):
    return next(value for name, value in reply.headers if name.lower() == "metadata.handled") == "true"


def handles(sidecar, of):
    return lambda: (lambda reply: reply.status == 200 and was_handled(reply))(told(sidecar, "emit", of, 1))


class Events(App):
    """An application that takes events at any path: `say` is what it answers, OPTIONS included."""

    def __init__(self, options=None, **more):
        self.say = lambda request: answer(200)
        self.options = options or (lambda request: answer(200))
        super().__init__(self.serve_event, **more)

    def serve_event(self, request, exchange):
        return self.options(request) if request.method == "OPTIONS" else self.say(request)

    def probes(self):
        return [r.target for r in self.requests if r.method == "OPTIONS"]

    def events(self):
        return [r for r in self.requests if r.method == "POST"]


# --- who is asked -----------------------------------------------------------------------------------------------------


@test("an HTTP app is asked by OPTIONS, 2xx and 405 are a yes, anything else is a no", "X-BIND-01 BIND-07 BIND-13 BIND-15 BIND-16")
def _():
    says = {"/yes": 200, "/none": 204, "/odd": 405, "/no": 404, "/bad": 500, "/moved": 302, "/custom/way": 200, "/no/way": 404}
    app = Events(lambda request: answer(says[request.target]))
    sidecar = started(
        app,
        *[source(name) for name in ("yes", "none", "odd", "no", "bad", "moved")],
        source("way", ("route", "/custom/way")),
        source("lost", ("route", "no/way")),
        source("sure", ("direction", "input")),
        source("both", ("direction", "output, input")),
        source("never", ("direction", "output")),
    )
    # All of that is so once the sidecar is ready.
    equal(sorted(app.probes()), sorted(says), "paths that were asked")
    reading = {name: state(sidecar, name)["reading"] != 0 for name in
               ("yes", "none", "odd", "no", "bad", "moved", "way", "lost", "sure", "both", "never")}
    equal([name for name, is_on in reading.items() if is_on], ["yes", "none", "odd", "way", "sure", "both"])
    for name in ("no", "bad", "moved", "lost"):
        need(f"app has not subscribed to binding {name}." in sidecar.log(), f"the log tells of {name}")
    capabilities = {c["name"]: c.get("capabilities", []) for c in sidecar.metadata()["components"]}
    equal(capabilities["yes"], ["INPUT_BINDING", "OUTPUT_BINDING"])
    equal((capabilities["sure"], capabilities["never"]), (["INPUT_BINDING"], ["OUTPUT_BINDING"]))
    sidecar.end()


@test("an app that does not say in time does not get the binding, and the sidecar goes on", "X-BIND-01 --app-binding-options-timeout")
def _():
    late = threading.Event()

    def options(request):
        if request.target == "/slow":
            late.wait(DEADLINE_S)
        return answer(200)

    app = Events(options)
    sidecar = started(app, source("slow"), source("sure", ("direction", "input")),
                      flags=["--app-binding-options-timeout", "300ms"])
    late.set()
    equal((state(sidecar, "slow")["reading"], state(sidecar, "sure")["reading"] != 0), (0, True))
    need('could not invoke OPTIONS method on input binding subscription endpoint \\"/slow\\": context deadline exceeded'
         in sidecar.log(), "the log says so")
    sidecar.end()


# --- events over HTTP -------------------------------------------------------------------------------------------------


@test("an event is posted with its bytes, its metadata and the app's token, and the answer goes back",
      "BIND-01 BIND-06 BIND-08 BIND-09 BIND-10 BIND-20")
def _():
    app = Events()
    sidecar = started(app, source("src"), source("way", ("route", "/custom/way")), env={"PATH": os.environ["PATH"],
                                                                                       "APP_API_TOKEN": "t0ken"})
    app.take()
    app.say = lambda request: answer(201, b"thanks for " + request.body)
    reply = told(sidecar, "emit", "src", {"a": 1.50}, **{"m.Key": "k\u00e4", "m.Two Words": "x", "m.partition": "7"})
    equal((reply.text, was_handled(reply)), ('thanks for {"a": 1.5}', True))
    (event,) = app.take()
    equal((event.method, event.target, event.body), ("POST", "/src", b'{"a": 1.5}'))
    equal((event.header("content-type"), event.header("dapr-api-token"), event.header("partition")),
          ("application/json", "t0ken", "7"))
    equal(event.header("key").encode("latin-1").decode(), "k\u00e4")
    equal(event.header("traceparent"), "00-00000000000000000000000000000000-0000000000000000-00")
    told(sidecar, "emit", "way")
    equal([(e.target, e.body) for e in app.take()], [("/custom/way", b"null")])
    # What would mean something to whoever carries it stays what the sidecar says; a hostile event is one event.
    reply = told(sidecar, "emit", "src", "x", **{"m.content-length": "0", "m.host": "h", "m.dapr-api-token": "mine",
                                                 "m.x-cr": "a\r\nb: c", "m.transfer-encoding": "chunked"})
    (event,) = app.take()
    equal((event.header("dapr-api-token"), event.header("x-cr"), event.all("host")), ("t0ken", None, [f"127.0.0.1:{app.port}"]))
    reply = told(sidecar, "emit", "src", "y", **{f"m.k{i}": "v" * 400 for i in range(200)})
    need(was_handled(reply), "an event with too much metadata for a head is taken without some of it")
    big = "z" * 3_000_000
    equal(told(sidecar, "emit", "src", big).text, f'thanks for "{big}"', "a large event")
    sidecar.end()


@test("what is not answered with 2xx was not handled, and comes again", "BIND-11 BIND-12 BIND-14")
def _():
    app = Events()
    sidecar = started(app, source("src"))
    for status in (302, 400, 404, 500, 503):
        app.say = lambda request, status=status: answer(status, b"no")
        need(not was_handled(told(sidecar, "emit", "src", 1)), f"{status} is a no")
    app.say = lambda request: None
    need(not was_handled(told(sidecar, "emit", "src", 1)), "no answer is a no")
    for body in (b"", b"not json", b'{"to":', b'{"to": 3, "storeName": []}', b"[" * 5000, b"\xff\xfe"):
        app.say = lambda request, body=body: answer(200, body)
        need(was_handled(told(sidecar, "emit", "src", 1)), f"{body[:20]} is a yes")
    app.take()
    app.say = lambda request: answer(500 if len(app.events()) < 4 else 200)
    told(sidecar, "queue", "src", "again")
    eventually(lambda: state(sidecar, "src")["queued"] == 0, "the source has been told that it was handled")
    equal([e.body for e in app.take()], [b'"again"'] * 4)
    sidecar.end()


@test("an app takes no more events at a time than it wants, nor a binding more than its window", "BIND-14 --app-max-concurrency")
def _():
    app, at_once, most, lock = Events(), [0], [0], threading.Lock()

    def say(request):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.002)
        with lock:
            at_once[0] -= 1
        return answer(200)

    app.say = say
    sidecar = started(app, source("src"), flags=["--app-max-concurrency", "3"])
    window = state(sidecar, "src")["window"]
    reply = told(sidecar, "flood", "src", "f", count=str(window * 2)).json
    need(reply["handled"] >= window and reply["failed"] > 0, f"{reply} of {window * 2} with a window of {window}")
    equal(reply["handled"] + reply["failed"], window * 2)
    need(most[0] <= 3, f"{most[0]} events at a time")
    equal(told(sidecar, "flood", "src", "f", count=str(window)).json, {"handled": window, "failed": 0})
    sidecar.end()


@test("an event of a reading that is none, or too wide, is refused", "BIND hostile")
def _():
    app = Events()
    sidecar = started(app, source("src"), source("other"))
    app.take()
    for reading in ("0", "9999"):
        need(not was_handled(told(sidecar, "stale", "src", 1, reading=reading)), f"reading {reading} is refused")
    need(not was_handled(told(sidecar, "wide", "src", 1)), "megabytes of metadata are refused")
    equal(app.take(), [])
    need(was_handled(told(sidecar, "emit", "src", 1)), "the good ones are taken")
    sidecar.end()


# --- what an answer asks for -------------------------------------------------------------------------------------------

MEM = component("mem", "state.in-memory")
SINKS = [component(name, "bindings.source", [("direction", "output")]) for name in ("one", "two")]


def last(sidecar, of):
    return told(sidecar, "last", of).text


def created(sidecar):
    return [state(sidecar, name)["created"] for name in ("one", "two")]


@test("an answer saves state and goes on to output bindings, and its body goes back", "X-BIND-02")
def _():
    app = Events()
    sidecar = started(app, source("src"), MEM, *SINKS)
    store, count = Store(sidecar, "mem"), [0, 0]

    def answered(body, handled=True):
        """What is created in the two for one event that is answered so."""
        app.say = lambda request: answer(200, json.dumps(body).encode() if not isinstance(body, bytes) else body)
        reply = told(sidecar, "emit", "src", 1)
        equal(was_handled(reply), handled)
        now = created(sidecar)
        before, count[:] = list(count), now
        return [a - b for a, b in zip(now, before)]

    item = {"key": "k1", "value": {"n": 1}}
    raw = b'{"storeName":"mem", "state":[{"key":"k1","value":{"n": 1.50}}], "to":["one","two"], "data":{"d": 12345678901234567890}}'
    equal(answered(raw), [1, 1])
    equal(store.get("k1").text, '{"n": 1.50}')
    equal((last(sidecar, "one"), last(sidecar, "two")), ('{"d": 12345678901234567890}',) * 2)
    equal(told(sidecar, "emit", "src", 1).body, raw, "the body as it is is the answer")
    count[:] = created(sidecar)
    equal(answered({"storeName": "mem", "states": {"key": "k2", "value": "v", "metadata": {"ttlInSeconds": "100"}}}), [0, 0])
    equal(store.get("k2").text, '"v"')
    for concurrency in ("parallel", "sequential", "PARALLEL"):
        equal(answered({"to": ["one", "two"], "concurrency": concurrency}), [1, 1])
        equal(last(sidecar, "two"), "null")
    # What fails is told, and the event was handled all the same. In order, those behind get nothing.
    equal(answered({"to": ["one", "two"], "data": "x"}), [1, 0])
    equal(answered({"to": ["one", "two"], "data": "x", "concurrency": "parallel"}), [1, 1])
    equal(answered({"to": ["nobody", "two"], "data": 1}), [0, 0])
    equal(answered({"to": ["nobody", "src", "two"], "data": 1, "concurrency": "parallel"}), [0, 1])
    equal(answered({"storeName": "none", "state": [item], "to": ["one"]}), [1, 0])
    equal(answered({"storeName": "mem", "state": [{"value": 1}, 7], "to": ["one"]}), [1, 0])
    log = sidecar.log()
    for words in ("error executing app response: error invoking output binding one: told to fail",
                  "error executing app response: error invoking output binding nobody: couldn't find output binding nobody",
                  "error saving state from app response: state store none is not found",
                  "error saving state from app response: "):
        need(words in log, words)
    # An answer that only looks like one.
    before = [store.get("k1").text, store.get("k3").status]
    for body in ({"state": [{"key": "k3", "value": 1}]}, {"to": "one"}, {"to": [1]}, {"to": ["one"] * 300}, {"to": []},
                 {"storeName": 5, "to": ["one"]}, {"to": {"one": 1}}, {"to": ["one"], "concurrency": 1}, [{"to": ["one"]}],
                 b'{"to":["one"]', b'{"to":["one"]} x', {"to": None, "storeName": None, "state": None}, 1, None):
        equal(answered(body), [0, 0], str(body)[:60])
    equal([store.get("k1").text, store.get("k3").status], before)
    equal(answered(b'{"data":"' + b"d" * 1_000_000 + b'","to":["one"]}'), [1, 0], "a long one is read elsewhere")
    sidecar.end()


# --- gRPC -------------------------------------------------------------------------------------------------------------


class Callback(appcallback_pb2_grpc.AppCallbackServicer):
    """An application over gRPC; `say` answers an event."""

    def __init__(self, *names):
        self.names, self.port, self.lists, self.events = list(names), free_port(), 0, []
        self.is_over = threading.Event()
        self.say = lambda request, context: appcallback_pb2.BindingEventResponse()
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        appcallback_pb2_grpc.add_AppCallbackServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def ListTopicSubscriptions(self, request, context):
        return appcallback_pb2.ListTopicSubscriptionsResponse()

    def ListInputBindings(self, request, context):
        self.lists += 1
        if self.names == ["never"]:
            self.is_over.wait(DEADLINE_S)
        return appcallback_pb2.ListInputBindingsResponse(bindings=self.names)

    def OnBindingEvent(self, request, context):
        self.events.append((request, dict(context.invocation_metadata())))
        return self.say(request, context)


@test("a gRPC app names what it wants and gets it by OnBindingEvent", "BIND-17 X-BIND-01 X-BIND-02 SDK-30")
def _():
    app = Callback("src", "unknown")
    sidecar = started(app, source("src", ("route", "/unused")), source("other"), source("sure", ("direction", "input")), MEM,
                      *SINKS, protocol="grpc", env={"PATH": os.environ["PATH"], "APP_API_TOKEN": "t0ken"})
    equal([state(sidecar, name)["reading"] != 0 for name in ("src", "other", "sure")], [True, False, True])
    equal(app.lists, 1, "it is asked once")
    app.say = lambda request, context: appcallback_pb2.BindingEventResponse(data=b"back")
    reply = told(sidecar, "emit", "src", {"a": 1}, **{"m.Key": "k\u00e4", "m.Two Words": "x", "m.traceparent": PARENT})
    equal((reply.text, was_handled(reply)), ("back", True))
    request, metadata = app.events[-1]
    equal((request.name, request.data, dict(request.metadata)),
          ("src", b'{"a": 1}', {"Key": "k\u00e4", "Two Words": "x", "traceparent": PARENT}))
    equal((metadata["dapr-api-token"], metadata["traceparent"]), ("t0ken", PARENT))
    app.say = lambda request, context: appcallback_pb2.BindingEventResponse(
        store_name="mem", states=[common_pb2.StateItem(key="k", value=b"v")], to=["one", "two"], data=b"d\0",
        concurrency=appcallback_pb2.BindingEventResponse.PARALLEL)
    equal(told(sidecar, "emit", "src", 1).body, b"d\0")
    equal(Store(sidecar, "mem").get("k").body, b"v")
    equal((last(sidecar, "one"), last(sidecar, "two"), created(sidecar)), ("d\0", "d\0", [1, 1]))
    app.say = lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "later")
    need(not was_handled(told(sidecar, "emit", "src", 1)), "an error is a no")
    sidecar.end()
    app.server.stop(None)


@test("a gRPC app that has no bindings, or does not say, gets none", "X-BIND-01")
def _():
    app = Callback()
    sidecar = started(app, source("src"), protocol="grpc")
    equal(state(sidecar, "src")["reading"], 0)
    sidecar.end()
    app.names = ["never"]
    sidecar = started(app, source("src"), source("more"), protocol="grpc", flags=["--app-binding-options-timeout", "200ms"])
    equal((state(sidecar, "src")["reading"], state(sidecar, "more")["reading"]), (0, 0))
    need("failed to read from bindings" in sidecar.log(), "the log says so")
    sidecar.end()
    app.is_over.set()
    app.server.stop(None)


# --- what happens meanwhile -------------------------------------------------------------------------------------------


@test("nothing is read while the app is not well, and the app is asked anew when it is", "BIND health")
def _():
    app, well = Events(), [True]
    app.options = lambda request: answer(200 if well[0] else 503) if request.target == "/src" else answer(204)
    serve = app.serve_event
    app.handler = lambda request, exchange: (
        answer(200 if well[0] else 503) if request.method == "GET" else serve(request, exchange))
    sidecar = started(app, source("src"), flags=["--enable-app-health-check", "--app-health-probe-interval", "1",
                                                 "--app-health-probe-timeout", "900", "--app-health-threshold", "3"])
    eventually(is_read(sidecar, "src"), "read after the first good probe")
    # Who says too late that it is well, on a machine that stands still, is not well for a moment.
    eventually(handles(sidecar, "src"), "an event")
    well[0] = False
    eventually(lambda: state(sidecar, "src")["reading"] == 0, "not read any more")
    app.take()
    told_late = told(sidecar, "late", "src", 1)
    need(not was_handled(told_late) and not app.events(), "an event of the time before is refused")
    well[0] = True
    eventually(is_read(sidecar, "src"), "read again")
    equal(set(app.probes()), {"/src"}, "what was asked anew")
    eventually(handles(sidecar, "src"), "events come again")
    sidecar.end()


def write(sidecar, name, text):
    """A file of the resources, in one step; None removes it."""
    path = os.path.join(sidecar.folder / "resources", name)
    if text is None:
        os.unlink(path)
        return
    with open(sidecar.folder / "new", "w") as f:
        f.write(text)
    os.rename(sidecar.folder / "new", path)


@test("a component that is added, changed or removed is read, read anew and let go", "BIND reload")
def _():
    app, hold = Events(), threading.Event()
    app.options = lambda request: answer(404 if request.target == "/deaf" else 200)
    sidecar = started(app, source("src"), MEM)
    first = state(sidecar, "src")["reading"]
    write(sidecar, "added.yaml", source("added"))
    eventually(lambda: told(sidecar, "state", "added").status == 200 and is_read(sidecar, "added")(), "the new one is read")
    need(was_handled(told(sidecar, "emit", "added", 1)), "and gives events")
    write(sidecar, "added.yaml", source("added", ("route", "/elsewhere")))

    def goes_elsewhere():
        reply = told(sidecar, "emit", "added", 1)
        return reply.status == 200 and was_handled(reply) and app.take()[-1].target == "/elsewhere"

    eventually(goes_elsewhere, "events go to the new route")
    write(sidecar, "added.yaml", source("added", ("route", "/deaf")))
    eventually(lambda: told(sidecar, "state", "added").status == 200 and state(sidecar, "added")["reading"] == 0 and
               "/deaf" in app.probes(), "the app does not want it there")
    write(sidecar, "added.yaml", source("added", ("direction", "output")))
    eventually(lambda: [c["capabilities"] for c in sidecar.metadata()["components"] if c["name"] == "added"] ==
               [["OUTPUT_BINDING"]], "no input any more")
    # An event on its way when its component goes ends as it would have.
    app.say = lambda request: answer(200, b"late") if hold.wait(DEADLINE_S) else None
    app.take()
    with futures.ThreadPoolExecutor(1) as pool:
        reply = pool.submit(told, sidecar, "emit", "src", 1)
        eventually(app.events, "the event is there")
        write(sidecar, "0.yaml", None)
        eventually(lambda: "src" not in [c["name"] for c in sidecar.metadata()["components"]], "the component is gone")
        hold.set()
        equal((reply.result().text, first != 0), ("late", True))
    sidecar.end()


@test("reading follows a plugin that dies, and one that is exchanged under traffic", "BIND kill swap")
def _():
    app = Events()
    sidecar = started(app, source("src"), source("sure", ("direction", "input")))
    for _ in range(3):
        before = [state(sidecar, name)["reading"] for name in ("src", "sure")]
        os.kill(sidecar.plugin_pid("source"), signal.SIGKILL)
        for name, reading in zip(("src", "sure"), before):
            eventually(lambda: (r := told(sidecar, "state", name)).status == 200 and r.json["reading"] > reading,
                       f"{name} is read in the new process")
        need(was_handled(told(sidecar, "emit", "src", 1)), "events come")
    lost, is_over = [], threading.Event()

    def traffic():
        while not is_over.is_set():
            reply = told(sidecar, "emit", "src", 1)
            if reply.status != 200 or not was_handled(reply):
                lost.append((reply.status, reply.text))

    with futures.ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(traffic) for _ in range(3)]
        for _ in range(2):
            pid = sidecar.plugin_pid("source")
            subprocess.run([os.path.join(BUILD, "bin", "remora"), "plugin", "swap", "source", "--run-dir",
                            sidecar.folder / "run"], check=True, capture_output=True, timeout=DEADLINE_S)
            eventually(lambda: sidecar.plugin_pid("source") != pid, "another process serves")
        is_over.set()
        [run.result() for run in runs]
    # While the newcomer is not read yet it has nobody to give events to, and says so.
    need(all(status == 500 and "nobody reads" in text for status, text in lost), str(lost[:5]))
    eventually(is_read(sidecar, "src"), "the newcomer is read")
    need(was_handled(told(sidecar, "emit", "src", 1)), "events come")
    sidecar.end()


@test("a plugin that fails to read is asked again", "BIND hostile")
def _():
    app = Events()
    sidecar = started(app, source("src", ("failReads", "1")))
    eventually(lambda: "error reading from input binding src: told to fail" in sidecar.log(), "the log says so")
    eventually(is_read(sidecar, "src"), "read at last")
    sidecar.end()


@test("the end stops reading at once and waits for events on their way", "BIND shutdown")
def _():
    app, hold = Events(), threading.Event()
    app.say = lambda request: answer(200, b"done") if hold.wait(DEADLINE_S) else None
    sidecar = started(app, source("src"), source("more"), flags=["--dapr-graceful-shutdown-seconds", str(DEADLINE_S)])
    told(sidecar, "queue", "src", "q")
    eventually(app.events, "the event is there")
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: "shutdown" in sidecar.log(), "the end has begun")
    need(sidecar.is_alive(), "it waits")
    hold.set()
    equal(sidecar.wait(), 0)
    equal(len(app.events()), 1, "it was given once")
    need("Daprd shutdown gracefully" in sidecar.log(), "in order")


@test("a blocked end reads nothing more", "BIND shutdown --dapr-block-shutdown-duration")
def _():
    app = Events()
    sidecar = started(app, source("src"), flags=["--dapr-block-shutdown-duration", f"{DEADLINE_S}s"])
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: state(sidecar, "src")["reading"] == 0, "nothing is read")
    need(not was_handled(told(sidecar, "late", "src", 1)), "what comes late is refused")
    sidecar.end()


@test("a sidecar that ends while the app is asked does not wait for it", "BIND shutdown")
def _():
    app, late = Events(), threading.Event()
    app.options = lambda request: answer(200) if late.wait(DEADLINE_S * 4) else None
    sidecar = started(app, source("src"), flags=["--app-binding-options-timeout", "10m"], wait=False)
    eventually(app.probes, "the app is asked")
    equal(sidecar.stop(), 0)
    late.set()


# --- policies, traces, numbers ----------------------------------------------------------------------------------------


@test("inbound policies of the binding try an event again, and give it a time", "RES inbound")
def _():
    app = Events()
    spec = ("{policies: {retries: {r: {policy: constant, duration: 10ms, maxRetries: 3}}, timeouts: {t: 200ms}}, targets: "
            "{components: {src: {inbound: {retry: r}}, slow: {inbound: {timeout: t}}}}}")
    policies = f"apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: rz\nspec: {spec}"
    sidecar = started(app, source("src"), source("slow"), policies)
    app.take()
    app.say = lambda request: answer(503 if len(app.events()) < 3 else 200, b"fine")
    reply = told(sidecar, "emit", "src", "again")
    equal((was_handled(reply), reply.text, len(app.take())), (True, "fine", 3))
    hang = threading.Event()
    app.say = lambda request: answer(200) if hang.wait(DEADLINE_S) else None
    need(not was_handled(told(sidecar, "emit", "slow", 1)), "too late")
    hang.set()
    sidecar.end()


@test("an event has a span, in the trace it came with or one of its own", "§13 BIND trace")
def _():
    collector, app = Collector(), Events()
    folder = Folder()
    folder.write("config.yaml", "kind: Configuration\nspec:\n  tracing: {samplingRate: '1', otel: {endpointAddress: "
                 f"'127.0.0.1:{collector.port}', protocol: http, isSecure: false}}}}\n")
    sidecar = started(app, source("src"), flags=["--config", folder / "config.yaml"],
                      env={"PATH": os.environ["PATH"], "OTEL_BSP_SCHEDULE_DELAY": "20"})

    def spans():
        return [span for span in collector.otlp_spans() if span.name == "bindings/src"]

    told(sidecar, "emit", "src", 1, **{"m.traceparent": PARENT, "m.tracestate": "a=b"})
    (span,) = collector.wait_for(1, spans)
    event = app.events()[-1]
    equal((span.trace_id.hex(), span.parent_span_id.hex(), span.kind), (PARENT[3:35], PARENT[36:52], 3))
    equal((event.all("traceparent"), event.all("tracestate")), ([f"00-{PARENT[3:35]}-{span.span_id.hex()}-01"], ["a=b"]))
    equal({pair.key: pair.value.string_value for pair in span.attributes},
          {"db.system": "bindings", "db.name": "src", "rpc.service": "Dapr", "db.connection_string": "POST /src"})
    app.say = lambda request: answer(500, b"broken")
    told(sidecar, "emit", "src", 1)
    span = collector.wait_for(2, spans)[-1]
    need(span.status.code == 2 and "status code: 500 body: broken" in span.status.message, str(span.status))
    need(app.events()[-1].header("traceparent")[36:52] == span.span_id.hex(), "its own")
    sidecar.end(), collector.end()


@test("events are counted", "§12 dapr_component_input_binding_count")
def _():
    app, port = Events(), free_port()
    sidecar = started(app, source("src"), flags=["--metrics-port", str(port)])
    told(sidecar, "emit", "src", 1), told(sidecar, "emit", "src", 1)
    app.say = lambda request: answer(500)
    told(sidecar, "emit", "src", 1)
    text = call(("127.0.0.1", port), "GET", "/metrics").text
    labels = 'app_id="bound",component="src",namespace=""'
    for line in (f'dapr_component_input_binding_count{{{labels},success="true"}} 2',
                 f'dapr_component_input_binding_count{{{labels},success="false"}} 1',
                 f'dapr_component_input_binding_latencies_count{{{labels},success="true"}} 2'):
        need(line in text, line)
    sidecar.end()


# --- as recorded ------------------------------------------------------------------------------------------------------


@test("probes and events of cron are those of the reference", "BIND-06 BIND-07 BIND-13 X-BIND-01 recordings/bindings.json")
def _():
    with open(shared("recordings", "bindings.json")) as f:
        recorded = json.load(f)
    wanted = recorded["entries"][0]["received"]["app"]
    says = {"/tick": 200, "/tickrt": 200, "/custom/tick": 204, "/deaf": 405}
    app = Events(lambda request: answer(says.get(request.target, 404)))
    every = ("schedule", "@every 1s")
    sidecar = Sidecar(
        component("tick", "bindings.cron", [every]),
        component("tickrt", "bindings.cron", [every, ("route", "/custom/tick")]),
        component("tickdir", "bindings.cron", [every, ("direction", "input")]),
        component("deaf", "bindings.cron", [every]), app_id="bx", flags=[*PATIENT, "--app-port", str(app.port)])
    events = {r["target"]: r for r in wanted if r["method"] == "POST"}
    eventually(lambda: {r.target for r in app.events()} == set(events), "the first tick of each")
    equal(sorted(app.probes()), sorted(r["target"] for r in wanted if r["method"] == "OPTIONS"))
    capabilities = {c["name"]: c["capabilities"] for c in json.loads(
        next(e for e in recorded["entries"] if e["name"] == "metadata with all of these")["response"]["body"].replace(
            "<APP_PORT>", "1"))["components"] if c["type"] == "bindings.cron"}
    equal({c["name"]: c["capabilities"] for c in sidecar.metadata()["components"]}, capabilities)
    for request in app.requests:
        like = events[request.target] if request.method == "POST" else next(
            r for r in wanted if (r["method"], r["target"]) == (request.method, request.target))
        equal(request.body, like["body"].encode())
        for name, value in like["headers"]:
            if name in ("Host", "User-Agent", "Accept-Encoding") or "<" in value:
                need(name in ("User-Agent", "Accept-Encoding") or request.header(name), f"{name} is there")
            elif (name, value) != ("Content-Length", "0") or request.header(name) is not None:
                equal(request.header(name), value, f"{request.method} {request.target} {name}")
        known = {name.lower() for name, _ in like["headers"]}
        equal({name.lower() for name, _ in request.headers} - known, set(), "headers that the reference does not send")
    sidecar.end()


SDK_APP = """
import sys, json
from dapr.ext.grpc import App, BindingRequest
app = App()

@app.binding("src")
def event(request: BindingRequest):
    print("got", request.text(), request.metadata, flush=True)

app.run(int(sys.argv[1]))
"""


@test("an app of the official Python SDK gets events by @app.binding", "BIND-17 SDK-30")
def _():
    port, folder = free_port(), Folder()
    folder.write("app.py", SDK_APP)
    program = Program([sys.executable, folder / "app.py", str(port)], folder)

    class Place:
        pass

    place = Place()
    place.port = port
    sidecar = started(place, source("src"), source("other"), protocol="grpc")
    equal([state(sidecar, name)["reading"] != 0 for name in ("src", "other")], [True, False])
    need(was_handled(told(sidecar, "emit", "src", "hello", **{"m.key": "k"})), "it is handled")
    eventually(lambda: 'got "hello"' in program.log(), "the app has it")
    sidecar.end(), program.end()


if __name__ == "__main__":
    main()
