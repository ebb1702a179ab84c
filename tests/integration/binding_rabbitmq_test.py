#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.rabbitmq against a real server: messages and queues are the reference's, events come in order and again if they
were not handled, and all comes back after the server, the queue or the plugin has gone. timeout: 240"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import rabbitmq  # noqa: E402
from events import LONG_S, Events, invoke, kill_plugin  # noqa: E402
from remora import Sidecar, component, equal, eventually, main, need, test  # noqa: E402

SERVER = rabbitmq.RabbitMQ()


def binding(name, queue=None, url=None, **metadata):
    return component(name, "bindings.rabbitmq", {"host": url or SERVER.url, "queueName": queue or name, **metadata})


def started(*bindings, app=None, reads=(), app_id="shop"):
    """Waits until the queues of `reads` are consumed."""
    flags = ["--app-port", str(app.port)] if app else []
    side = Sidecar(*bindings, app_id=app_id, flags=flags)
    for queue in reads:
        eventually(lambda: SERVER.consumers(queue) > 0, f"{queue} is consumed", LONG_S)
    return side


def create(side, name, data, **metadata):
    reply = invoke(side, name, data, **metadata)
    equal(reply.status, 204, reply.text)


@test("what is created is a persistent message with metadata as headers, in a queue declared as the reference does it", "BIND-02")
def created():
    side = started(binding("out", durable="true", maxPriority="5", ttlInSeconds="600"))

    def look(channel):
        channel.queue_declare("out", durable=True, arguments={"x-max-priority": 5, "x-message-ttl": 600_000})
        create(side, "out", {"n": 1})
        create(side, "out", "x", contentType="a/b", priority="300", ttlInSeconds="77", other="größe")
        return [channel.basic_get("out", auto_ack=True) for _ in range(2)]

    got = {body: properties for _, properties, body in SERVER.use(look)}
    plain, rich = got[b'{"n":1}'] if b'{"n":1}' in got else got[b'{"n": 1}'], got[b'"x"']
    equal((plain.delivery_mode, plain.content_type, plain.expiration, plain.priority), (2, "text/plain", None, None))
    need("traceparent" not in (plain.headers or {}), "no trace where there is none")
    equal((rich.content_type, rich.expiration, rich.priority), ("a/b", "77000", 255))
    equal(rich.headers, {"contentType": "a/b", "priority": "300", "ttlInSeconds": "77", "other": "größe"})
    for metadata, words in (({"ttlInSeconds": "0"}, "failed to get TTL: ttl value must be higher than zero"),
                            ({"priority": "high"}, "priority value must be a valid integer"),
                            ({"n" * 256: "v"}, "metadata are too many or too long"),
                            ({"n": "v" * 70_000}, "metadata are too many or too long"),
                            ({str(n): "v" for n in range(300)}, "metadata are too many or too long"),
                            ({"contentType": "c" * 300}, "longer than 255 bytes")):
        reply = invoke(side, "out", 1, **metadata)
        equal((reply.status, words in reply.text), (500, True), reply.text)
    create(side, "out", "still well")


@test("events come one at a time and in order, with headers that are texts as metadata", "BIND-06 BIND-08 BIND-10")
def read():
    app = Events()
    side = started(binding("jobs"), app=app, reads=["jobs"])
    properties = rabbitmq.pika().BasicProperties(headers={"a-b": "c&d\r\nX: y", "e f": "g", "number": 5, "route": "tab"})
    SERVER.use(lambda channel: channel.basic_publish("", "jobs", b"\0\xff raw", properties))
    eventually(lambda: app.taken("jobs") == [b"\0\xff raw"], "it comes as it is", LONG_S)
    request = app.request(b"\0\xff raw")
    equal((request.header("a-b"), request.header("route")), ("c%26d%0D%0AX%3A+y", "tab"))
    need(request.header("number") is None and request.header("X") is None, request)
    for n in range(60):
        create(side, "jobs", n)
    wanted = [str(n).encode() for n in range(60)]
    eventually(lambda: app.taken("jobs")[1:] == wanted, "all of them, in order", LONG_S)
    create(side, "jobs", None)
    eventually(lambda: len(app.taken("jobs")) == 62, "also one without data")
    equal(side.stop(), 0)
    eventually(lambda: SERVER.consumers("jobs") == 0, "nobody reads any more", LONG_S)
    equal(SERVER.ready("jobs"), 0, "what was not acknowledged would be there again")


@test("what was not handled comes again, before the application and after it has ended", "BIND-11 SCN-17")
def redelivered():
    refusals = {b"1": 3, b"2": 1}

    def verdict(name, body):
        refusals[body] = refusals.get(body, 0) - 1
        return 500 if refusals[body] >= 0 else 200

    app = Events(verdict)
    side = started(binding("again", durable="true"), app=app, reads=["again"])
    for n in range(4):
        create(side, "again", n)
    eventually(lambda: sorted(app.taken("again")) == [b"0", b"1", b"2", b"3"], "all are handled in the end", LONG_S)
    equal((app.tried("again").count(b"1"), app.tried("again").count(b"2")), (4, 2))
    app.verdict = lambda name, body: 503
    create(side, "again", "kept")
    eventually(lambda: b'"kept"' in app.tried("again"), "it was tried")
    equal(side.stop(), 0, "it ends in peace")
    eventually(lambda: SERVER.consumers("again") == 0 and SERVER.ready("again") == 1, "the message is the queue's again", LONG_S)


@test("after the server, the plugin and the queue have gone all goes on and nothing is lost", "BIND-14")
def trouble():
    app = Events()
    side = started(binding("safe", durable="true", reconnectWaitInSeconds="1"), app=app, reads=["safe"])
    create(side, "safe", 1)
    eventually(lambda: app.taken("safe") == [b"1"], "the first comes", LONG_S)
    SERVER.stop()
    SERVER.start()
    reply = invoke(side, "safe", 2)
    equal(reply.status, 204, reply.text)
    eventually(lambda: b"2" in app.taken("safe"), "one comes after the server is back", LONG_S)
    kill_plugin(side, "rabbitmq")
    create(side, "safe", 3)
    eventually(lambda: b"3" in app.taken("safe"), "one comes after the plugin is back", LONG_S)
    SERVER.use(lambda channel: channel.queue_delete("safe"))
    eventually(lambda: SERVER.consumers("safe") > 0, "the queue is there again", LONG_S)
    create(side, "safe", 4)
    eventually(lambda: b"4" in app.taken("safe"), "one comes after the queue is back", LONG_S)
    equal(sorted(set(app.taken("safe"))), [b"1", b"2", b"3", b"4"])


@test("an exclusive queue lives with the reading, and is not written to without it", "BIND-18")
def exclusive():
    app = Events()
    side = started(binding("mine", exclusive="true"), app=app)
    eventually(lambda: invoke(side, "mine", 1).status == 204, "it is read", LONG_S)
    eventually(lambda: b"1" in app.taken("mine"), "it comes", LONG_S)
    lonely = started(binding("other", exclusive="true", direction="output"))
    reply = invoke(lonely, "other", 1)
    equal((reply.status, "is exclusive, and is not being read" in reply.text), (500, True), reply.text)


@test("a component that makes no sense, or whose queue differs, says so without its secrets", "BIND-15")
def refused():
    SERVER.use(lambda channel: channel.queue_declare("there", durable=True))
    hidden = SERVER.url.replace("guest:guest", "guest:sw0rdfish")
    rows = [(binding("a", "there"), "already exists with properties that differ"),
            (component("a", "bindings.rabbitmq", {"queueName": "q"}), "missing host address"),
            (component("a", "bindings.rabbitmq", {"host": SERVER.url}), "missing queue Name"),
            (binding("a", url=hidden), "username or password not allowed"),
            (binding("a", "q" * 300), "queueName is too long")]
    for document, words in rows:
        side = Sidecar(document + "  ignoreErrors: true\n", app_id="shop")
        need(words in side.log() and "sw0rdfish" not in side.log(), f"{words}\n{side.log()[:4000]}")
        equal(invoke(side, "a", 1).status, 500)
        side.end()
    side = started(binding("b"))
    (ours,) = side.metadata()["components"]
    equal(ours["capabilities"], ["INPUT_BINDING", "OUTPUT_BINDING"])


main()
