#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Input bindings: who is asked whether it wants them, how events reach HTTP and gRPC applications, what answers do, and
that nothing is read while nobody may have it. Events come from a plugin that gives what it is told to
(tests/plugins/source), and from cron as recorded of the reference (recordings/bindings.json)."""

import sdk  # noqa: F401  isort: skip

import json
import os
import signal
import threading
import time
from concurrent import futures

import grpc
from collectors import Collector
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import appcallback_pb2, appcallback_pb2_grpc
from grpc_app import App as GrpcApp  # noqa: F401
from http_app import App, answer
from recordings import with_trace
from remora import BUILD, DEADLINE_S, Sidecar, Store, component, equal, eventually, free_port, main, need, shared, test

PLUGINS = ["--plugins-path", os.path.join(BUILD, "plugins"), "--plugins-path", os.path.join(BUILD, "tests", "plugins")]
CONTROL = component("ctl", "bindings.source", [("direction", "output")])
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def source(name, *metadata):
    return component(name, "bindings.source", metadata)


def started(app, *resources, flags=(), protocol="http", **more):
    return Sidecar(
        *resources, CONTROL, app_id="bound",
        flags=[*PLUGINS, "--app-port", str(app.port), "--app-protocol", protocol, *flags], **more
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


@test("an HTTP app is asked by OPTIONS, 2xx and 405 are a yes, anything else is a no", "X-BIND-01 BIND-07 BIND-13 BIND-15")
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
    sidecar = started(app, source("slow"), source("quick"), flags=["--app-binding-options-timeout", "300ms"])
    late.set()
    equal((state(sidecar, "slow")["reading"], state(sidecar, "quick")["reading"] != 0), (0, True))
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


@test("an event of a reading that is none is refused", "BIND hostile")
def _():
    app = Events()
    sidecar = started(app, source("src"), source("other"))
    app.take()
    for reading in ("0", "9999"):
        need(not was_handled(told(sidecar, "stale", "src", 1, reading=reading)), f"reading {reading} is refused")
    equal(app.take(), [])
    need(was_handled(told(sidecar, "emit", "src", 1)), "the good ones are taken")
    sidecar.end()


if __name__ == "__main__":
    main()
