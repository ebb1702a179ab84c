#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.mqtt3 against real servers: events are acknowledged when they are handled and not before, what was not comes
again, what is published while nobody reads waits, and all goes on after the server or the plugin has gone. timeout: 240"""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from certificates import Certificates  # noqa: E402
from events import LONG_S, Events, invoke, kill_plugin  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402
from remora import Folder, Sidecar, component, equal, eventually, main, need, test  # noqa: E402


def binding(server, name="bell", **metadata):
    more = {"url": server.url, "topic": "a/b", "consumerID": "me", **metadata}
    return component(name, "bindings.mqtt3", {field: value for field, value in more.items() if value is not None})


def started(*bindings, app=None):
    """What is published before there is a session is nobody's: returns when all are read."""
    side = Sidecar(*bindings, app_id="shop", flags=["--app-port", str(app.port)] if app else [])
    if app:
        eventually(lambda: side.log().count("MQTT is subscribed to topic") >= len(bindings), "it is read", LONG_S)
    return side


def create(side, data, name="bell", **metadata):
    reply = invoke(side, name, data, **metadata)
    equal(reply.status, 204, reply.text)


@test("what is created comes as an event with its topic, from the binding's or another one, and is acknowledged", "BIND-02 BIND-06")
def delivered():
    server, app = Mosquitto(), Events()
    side = started(binding(server, topic="a/#", qos="0"), app=app)
    create(side, "other", topic="a/x/y")
    for n in range(50):
        create(side, n, topic="a/b")
    eventually(lambda: len(app.taken("bell")) == 51, "all are delivered", LONG_S)
    equal(set(app.taken("bell")), {b'"other"', *(b"%d" % n for n in range(50))})
    equal((app.request(b'"other"').header("topic"), app.request(b"7").header("topic")), ("a/x/y", "a/b"))
    eventually(lambda: not server.unacknowledged("me-consumer"), "all is acknowledged")
    need("'qos' has been deprecated and is ignored; qos is set to 1" in side.log(), "as the reference says it")
    for topic in ("a/#", "a/+", "t" * 70_000):
        reply = invoke(side, "bell", 1, topic=topic)
        equal(reply.status, 500, topic[:10])
    create(side, "still well", topic="a/b")


@test("what was not handled stays with the server and comes again", "BIND-11 SCN-17")
def redelivered():
    server, is_well = Mosquitto(), threading.Event()
    app = Events(lambda name, body: 500 if body == b"1" and not is_well.is_set() else 200)
    side = started(binding(server), app=app)
    for n in range(3):
        create(side, n)
    eventually(lambda: sorted(app.taken("bell")) == [b"0", b"2"], "the others do not wait for it", LONG_S)
    eventually(lambda: len(server.unacknowledged("me-consumer")) == 1, "it alone is not acknowledged")
    eventually(lambda: app.tried("bell").count(b"1") >= 2, "it comes again", LONG_S)
    is_well.set()
    eventually(lambda: sorted(app.taken("bell")) == [b"0", b"1", b"2"], "it is handled in the end", LONG_S)
    eventually(lambda: not server.unacknowledged("me-consumer"), "and acknowledged")


@test("after backOffMaxRetries the server keeps it for the next connection", "BIND-14")
def given_up():
    server, app = Mosquitto(), Events(lambda name, body: 500)
    side = started(binding(server, backOffMaxRetries="1"), app=app)
    create(side, 1)
    eventually(lambda: "Failed processing MQTT message: a/b/" in side.log(), "it is given up", LONG_S)
    equal(app.tried("bell"), [b"1", b"1"])
    app.verdict = lambda name, body: 200
    kill_plugin(side, "mqtt")
    eventually(lambda: b"1" in app.taken("bell"), "the server repeats it", LONG_S)


@test("what is published while nobody reads waits, and what died unhandled comes again", "BIND-14")
def waiting():
    server, app = Mosquitto(), Events()
    side = started(binding(server), app=app)
    create(side, 1)
    eventually(lambda: app.taken("bell") == [b"1"], "the first comes", LONG_S)
    app.verdict = lambda name, body: 503
    create(side, 2)
    eventually(lambda: b"2" in app.tried("bell"), "it was tried", LONG_S)
    equal(side.stop(), 0, "it ends in peace")
    writer = started(binding(server, direction="output"))
    create(writer, 3)
    app.verdict = lambda name, body: 200
    side = started(binding(server), app=app)
    eventually(lambda: set(app.taken("bell")) == {b"1", b"2", b"3"}, "all are there", LONG_S)
    create(writer, 4)
    eventually(lambda: b"4" in app.taken("bell"), "writers of the same consumerID do not put readers out", LONG_S)


@test("after the server and the plugin have gone all goes on and nothing is lost", "BIND-14")
def trouble():
    server, app = Mosquitto(), Events()
    side = started(binding(server), app=app)
    create(side, 1)
    eventually(lambda: app.taken("bell") == [b"1"], "the first comes", LONG_S)
    server.stop()
    server.start()
    create(side, 2)
    eventually(lambda: b"2" in app.taken("bell"), "one comes after the server is back", LONG_S)
    kill_plugin(side, "mqtt")
    create(side, 3)
    eventually(lambda: b"3" in app.taken("bell"), "one comes after the plugin is back", LONG_S)


@test("over TLS with a certificate, and not past a stranger's authority", "BIND-15")
def tls():
    keys = Certificates(Folder())
    server = Mosquitto("allow_anonymous true", f"cafile {keys.path('ca.pem')}", f"certfile {keys.path('server.pem')}",
                       f"keyfile {keys.path('server.key')}", "require_certificate true")
    url = f"ssl://127.0.0.1:{server.port}"
    own = {"clientCert": keys.text("server.pem"), "clientKey": keys.text("server.key")}
    app = Events()
    side = started(binding(server, url=url, caCert=keys.text("ca.pem"), **own), app=app)
    create(side, 1)
    eventually(lambda: app.taken("bell") == [b"1"], "it comes", LONG_S)
    stranger = Sidecar(binding(server, url=url, consumerID="other", **own), app_id="other",
                       flags=["--app-port", str(Events().port)], wait=False)
    eventually(lambda: "mqtt: no connection" in stranger.log() and "certificate" in stranger.log(), "it says so", LONG_S)


@test("a component that makes no sense says so without its secrets", "BIND-15")
def refused():
    server = Mosquitto()
    rows = [({"url": None}, "missing url"), ({"topic": None}, "missing topic"), ({"consumerID": None}, "missing consumerID"),
            ({"url": "tcp://u:sw0rdfish@h:x"}, "invalid url"), ({"topic": "a/#/b"}, ""),
            ({"backOffMaxRetries": "x"}, "invalid backOffMaxRetries"), ({"clientKey": "sw0rdfish"}, "invalid clientKey")]
    for metadata, words in rows:
        side = Sidecar(binding(server, **metadata) + "  ignoreErrors: true\n", app_id="shop")
        need(words in side.log() and "sw0rdfish" not in side.log(), f"{words}\n{side.log()[:4000]}")
        equal(invoke(side, "bell", 1).status, 500, words)
        side.end()
    side = started(binding(server))
    (ours,) = side.metadata()["components"]
    equal(ours["capabilities"], ["INPUT_BINDING", "OUTPUT_BINDING"])


main()
