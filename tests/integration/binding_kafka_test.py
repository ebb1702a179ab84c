#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.kafka against a real node: records and metadata are the reference's, offsets are committed when events are
handled and not before, what was not comes again, and all goes on after the node or the plugin has gone. timeout: 240"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import kafka_node  # noqa: E402
from events import LONG_S, Events, invoke, kill_plugin  # noqa: E402
from remora import Sidecar, component, equal, eventually, main, need, test  # noqa: E402

SERVER = kafka_node.Kafka()


def binding(name, topics=None, **metadata):
    more = {"brokers": SERVER.address(), "authType": "none", "initialOffset": "oldest", "consumerGroup": f"group-{name}",
            "publishTopic": name, "topics": topics or name, **metadata}
    return component(name, "bindings.kafka", more)


def started(*bindings, app=None):
    return Sidecar(*bindings, app_id="shop", flags=["--app-port", str(app.port)] if app else [])


def create(side, name, data, **metadata):
    reply = invoke(side, name, data, **metadata)
    equal(reply.status, 204, reply.text)


@test("what is created is a record with its key and metadata as headers", "BIND-02 BIND-19")
def created():
    side = started(binding("out", direction="output"))
    create(side, "out", {"n": 1}, partitionKey="k", other="größe")
    create(side, "out", None)
    keyed, empty = SERVER.records("out", 2)
    equal((keyed.value.replace(b" ", b""), keyed.key), (b'{"n":1}', b"k"))
    equal(dict(keyed.headers), {"partitionKey": b"k", "other": "größe".encode()})
    equal(empty.headers, [], "no trace where there is none")
    for metadata, words in (({"n": "v" * 1_100_000}, "larger than configured"), ({"partitionNumber": "x"}, "partitionNumber"),
                            ({"partitionNumber": "99"}, "")):
        reply = invoke(side, "out", 1, **metadata)
        equal((reply.status, words in reply.text), (500, True), reply.text[:300])
    create(side, "out", "still well")
    nowhere = started(binding("nowhere", publishTopic="", direction="output"))
    reply = invoke(nowhere, "nowhere", 1)
    equal((reply.status, "missing 'publishTopic'" in reply.text), (500, True), reply.text)


@test("events of all topics come with the record's headers and its place, in the order of a partition", "BIND-06 BIND-08 BIND-19")
def read():
    SERVER.create("one", 3)
    SERVER.create("two")
    first = SERVER.produce("one", b"\0\xff raw", b"key", [("h", b"v"), ("route", b"tab"), ("X\r\nY", b"z")], 2)
    app = Events()
    started(binding("both", "one, two"), app=app)
    eventually(lambda: app.taken("both") == [b"\0\xff raw"], "it comes as it is", LONG_S)
    request = app.request(b"\0\xff raw")
    have = {name: request.header(name) for name in ("__key", "__topic", "__partition", "__offset", "__timestamp", "h", "Y")}
    equal(have, {"__key": "key", "__topic": "one", "__partition": "2", "__offset": str(first.offset),
                 "__timestamp": str(first.timestamp), "h": "v", "Y": None})
    for n in range(20):
        SERVER.produce("two", b"%d" % n)
    wanted = [b"%d" % n for n in range(20)]
    eventually(lambda: app.taken("both")[1:] == wanted, "all of them, in order", LONG_S)
    eventually(lambda: SERVER.committed("group-both").get(("two", 0)) == 20, "all are committed", LONG_S)


@test("what was not handled comes again, holds its partition, and is committed when it is handled", "BIND-11 SCN-17")
def redelivered():
    refusals = {"left": 3, "never": False}

    def verdict(name, body):
        if body == b'"poison"':
            refusals["left"] -= 1
            return 500 if refusals["left"] >= 0 else 200
        return 503 if refusals["never"] else 200

    app = Events(verdict)
    side = started(binding("again"), app=app)
    for data in ("before", "poison", "behind"):
        create(side, "again", data)
    eventually(lambda: app.taken("again") == [b'"before"', b'"poison"', b'"behind"'], "all in their order", LONG_S)
    equal(app.tried("again"), [b'"before"'] + 4 * [b'"poison"'] + [b'"behind"'])
    eventually(lambda: SERVER.committed("group-again") == {("again", 0): 3}, "all are committed", LONG_S)
    refusals["never"] = True
    create(side, "again", "kept")
    eventually(lambda: b'"kept"' in app.tried("again"), "it was tried", LONG_S)
    equal(side.stop(), 0, "it ends in peace")
    equal(SERVER.committed("group-again"), {("again", 0): 3}, "what was not handled is not committed")
    refusals["never"] = False
    started(binding("again"), app=app)
    eventually(lambda: b'"kept"' in app.taken("again"), "the next process gets it", LONG_S)


@test("with consumeRetryEnabled false what was not handled is skipped, as by the reference", "BIND-14")
def skipped():
    app = Events(lambda name, body: 500 if body == b"1" else 200)
    side = started(binding("skip", consumeRetryEnabled="false"), app=app)
    for n in range(3):
        create(side, "skip", n)
    eventually(lambda: app.taken("skip") == [b"0", b"2"], "the others are handled", LONG_S)
    equal(app.tried("skip"), [b"0", b"1", b"2"])


@test("after the node and the plugin have gone all goes on and nothing is lost", "BIND-14")
def trouble():
    app = Events()
    side = started(binding("safe", sessionTimeout="3s", heartbeatInterval="500ms"), app=app)
    create(side, "safe", 1)
    eventually(lambda: b"1" in app.taken("safe"), "the first comes", LONG_S)
    kill_plugin(side, "kafka")
    eventually(lambda: invoke(side, "safe", 2).status == 204, "it can be written to again", LONG_S)
    eventually(lambda: b"2" in app.taken("safe"), "one comes after the plugin is back", LONG_S)
    SERVER.stop()
    SERVER.start()
    eventually(lambda: invoke(side, "safe", 3).status == 204, "it can be written to again", LONG_S)
    eventually(lambda: b"3" in app.taken("safe"), "one comes after the node is back", LONG_S)


@test("a component that makes no sense says so without its secrets, and one without topics is not read", "BIND-15")
def refused():
    rows = [({"brokers": ""}, "missing 'brokers' attribute"), ({"authType": ""}, "'authType' attribute was missing or empty"),
            ({"initialOffset": "middle"}, "invalid initialOffset"),
            ({"topics": ",".join(f"t{n}" for n in range(65))}, "'topics' are more than 64"),
            ({"authType": "password", "saslPassword": "sw0rdfish"}, "missing SASL Username")]
    for metadata, words in rows:
        side = Sidecar(binding("a", **metadata) + "  ignoreErrors: true\n", app_id="shop")
        need(words in side.log() and "sw0rdfish" not in side.log(), f"{words}\n{side.log()[:4000]}")
        side.end()
    app = Events()
    side = started(component("quiet", "bindings.kafka", {"brokers": SERVER.address(), "authType": "none"}), app=app)
    eventually(lambda: "no topic defined, input bindings will not be started" in side.log(), "it says so", LONG_S)
    (ours,) = side.metadata()["components"]
    equal(ours["capabilities"], ["INPUT_BINDING", "OUTPUT_BINDING"])


main()
