#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pubsub.redis against a real server: what is published arrives, competing instances share it, what is refused or was
in the hands of the dead comes again. That streams look as the reference's do is in pubsub_golden_test.py."""

import json
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from inbox import Inbox, subscription, until_all_work  # noqa: E402
from remora import (  # noqa: E402
    Redis, Sidecar, component, end_sidecars, equal, eventually, free_port, kill_both, main, need, request_bytes, test)

FAR = {"redeliverInterval": "600s", "processingTimeout": "600s"}  # never, for a test
SOON = {"redeliverInterval": "300ms", "processingTimeout": "300ms"}  # who is paused for so long gets it twice
LONG_S = 60  # a loaded machine


def broker(redis, name="bus", **metadata):
    return component(name, "pubsub.redis", {"redisHost": f"127.0.0.1:{redis.port}", **{**FAR, **metadata}})


def sidecar(redis, *subscriptions, app=None, app_id="shop", **metadata):
    flags = ["--app-port", str(app.port)] if app else []
    return Sidecar(broker(redis, **metadata), *subscriptions, app_id=app_id, flags=flags)


def send(publisher, data, topic="orders", query="", pubsub="bus"):
    headers = [("Content-Type", "application/json")]
    return publisher.call("POST", f"/v1.0/publish/{pubsub}/{topic}{query}", json.dumps(data).encode(), headers)


def publish(publisher, data, topic="orders"):
    reply = send(publisher, data, topic)
    equal(reply.status, 204, f"publish: {reply}")


def pending(redis, topic="orders", group="shop"):
    return redis.command("XPENDING", topic, group)[0]


def all_settled(redis, topic="orders", group="shop"):
    eventually(lambda: pending(redis, topic, group) == 0, f"nothing of {topic} is pending")


@test("what is published is delivered once and acknowledged", "PUB-U13")
def delivered():
    redis, app = Redis(), Inbox()
    side = sidecar(redis, subscription("orders"), app=app)
    for i in range(50):
        publish(side, i)
    eventually(lambda: sorted(app.tried()) == list(range(50)), "all are delivered")
    all_settled(redis)
    equal(sorted(app.tried()), list(range(50)), "each once")
    groups = redis.command("XINFO", "GROUPS", "orders")
    equal(groups[0][1], b"shop", "the group is the application")
    consumers = redis.command("XINFO", "CONSUMERS", "orders", "shop")
    equal([consumer[1] for consumer in consumers], [b"shop"], "and so is the consumer")


@test("a subscription also gets what was published before it", "PUB-U13")
def from_the_beginning():
    redis, app = Redis(), Inbox()
    early = sidecar(redis)
    for i in range(5):
        publish(early, i)
    sidecar(redis, subscription("orders"), app=app)
    eventually(lambda: sorted(app.taken()) == list(range(5)), "the early ones arrive")


@test("two instances of an application share a topic, another one gets all of it", "PUB-U13")
def competing():
    redis, apps, other = Redis(), [Inbox(), Inbox()], Inbox()
    sides = [sidecar(redis, subscription("orders"), app=app) for app in apps]
    sidecar(redis, subscription("orders"), app=other, app_id="billing")
    first = until_all_work(lambda: [app.tried() for app in apps], lambda number: publish(sides[0], number))
    wanted = list(range(first + 400))
    for i in wanted[first:]:
        publish(sides[i % 2], i)
    eventually(lambda: sorted(apps[0].tried() + apps[1].tried()) == wanted, "each by one of the two")
    eventually(lambda: sorted(other.tried()) == wanted, "all of them by the other one")
    all_settled(redis)
    all_settled(redis, group="billing")


@test("what the application refuses comes again after processingTimeout, until it is taken")
def redelivered():
    redis, seen = Redis(), {}

    def verdict(topic, data):
        seen[data] = seen.get(data, 0) + 1
        return 500 if seen[data] < 3 else 200

    app = Inbox(verdict)
    side = sidecar(redis, subscription("orders"), app=app, **SOON)
    for i in range(30):
        publish(side, i)
    eventually(lambda: set(app.taken()) == set(range(30)), "all are taken at last")
    all_settled(redis)
    need(all(app.tried().count(i) >= 3 for i in range(30)), f"three tries each: {app.tried()}")


@test("without an interval nothing is delivered a second time")
def not_redelivered():
    redis, app = Redis(), Inbox(lambda topic, data: 500 if data == 0 else 200)
    side = sidecar(redis, subscription("orders"), app=app, redeliverInterval="0", processingTimeout="300ms",
                   concurrency="1")
    publish(side, 0)
    for i in range(1, 4):
        publish(side, i)
    eventually(lambda: app.taken() == [1, 2, 3], "the others are taken, in order")
    eventually(lambda: pending(redis) == 1, "the refused one stays pending")
    equal(app.tried().count(0), 1, "and was tried once")


@test("with ackOnError what is refused is acknowledged too, once the sidecar has given up")
def acknowledged_on_error():
    redis, app = Redis(), Inbox(lambda topic, data: 500 if data == 0 else 200)
    side = sidecar(redis, subscription("orders"), app=app, ackOnError="true")
    for i in range(3):
        publish(side, i)
    eventually(lambda: sorted(app.tried()) == [0, 1, 2], "each is tried")
    all_settled(redis)
    equal(sorted(app.tried()), [0, 1, 2], "and only once")


def fields_of(entry):
    texts = [text.decode("utf-8", "surrogateescape") for text in entry[1]]
    return dict(zip(texts[::2], texts[1::2]))


@test("what is refused goes to the dead letter topic, and is acknowledged")
def dead_letter():
    redis, app = Redis(), Inbox(lambda topic, data: 500 if topic == "orders" else 200)
    side = sidecar(redis, subscription("orders", dead="grave"), subscription("grave"), app=app)
    publish(side, {"f": 1})
    eventually(lambda: app.taken("grave") == [{"f": 1}], "it is in the grave")
    all_settled(redis)
    equal(len(app.tried()), 1, "after one try")
    fields = fields_of(redis.command("XRANGE", "grave", "-", "+")[0])
    equal(json.loads(fields["metadata"]), {"pubsubName": "bus"}, "the metadata of the delivery")


@test("the pending ones of a dead instance are taken over by another one")
def taken_over():
    redis, held = Redis(), threading.Event()
    slow, quick = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500), Inbox()
    first = sidecar(redis, subscription("orders"), app=slow, concurrency="5")
    for i in range(20):
        publish(first, i)
    eventually(lambda: pending(redis) >= 5, "some are in its hands")
    kill_both(first, "redis")
    sidecar(redis, subscription("orders"), app=quick, **SOON)
    eventually(lambda: sorted(set(quick.taken())) == list(range(20)), "the other one gets them all")
    held.set()
    all_settled(redis)


@test("killing the plugin loses nothing")
def plugin_killed():
    redis, app = Redis(), Inbox()
    side = sidecar(redis, subscription("orders"), app=app, **SOON)
    accepted = []
    for i in range(300):
        if i % 100 == 50:
            os.kill(side.plugin_pid("redis"), signal.SIGKILL)
        if send(side, i).status == 204:
            accepted.append(i)
    eventually(lambda: set(accepted) <= set(app.taken()), "all that was accepted arrives", LONG_S)
    need(len(accepted) > 200, "most were accepted")
    eventually(lambda: pending(redis) == 0, "nothing is left")


@test("killing a server that keeps a file loses nothing")
def server_killed():
    redis, app = Redis(), Inbox()
    side = sidecar(redis, subscription("orders"), app=app, **SOON)
    accepted = []
    for i in range(300):
        if i == 100:
            redis.kill()
            redis.start()
        if send(side, i).status == 204:
            accepted.append(i)
    eventually(lambda: set(accepted) <= set(app.taken()), "all that was accepted arrives", LONG_S)
    need(len(accepted) > 200, "most were accepted")
    all_settled(redis)


@test("a server that comes back empty gets its groups again")
def server_emptied():
    redis, app = Redis(), Inbox()
    side = sidecar(redis, subscription("orders"), app=app)
    publish(side, 1)
    eventually(lambda: app.taken() == [1], "the first arrives")
    all_settled(redis)
    redis.command("FLUSHALL")
    publish(side, 2)
    eventually(lambda: app.taken() == [1, 2], "the second one too")


@test("a sidecar that stops gives back what it had read ahead")
def given_back():
    redis, held, other = Redis(), threading.Event(), Inbox()
    app = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500)
    first = sidecar(redis, subscription("orders"), app=app, concurrency="1")
    for i in range(10):
        publish(first, i)
    eventually(lambda: pending(redis) > 5, "it has read ahead")
    first.signal(signal.SIGTERM)
    eventually(lambda: first.healthz() == 0, "it is ending, and takes nothing more")
    held.set()
    first.wait(LONG_S)
    sidecar(redis, subscription("orders"), app=other)
    eventually(lambda: set(app.taken() + other.taken()) == set(range(10)), "the next one has the rest at once")
    need(len(other.taken()) > 0, "there was a rest")
    eventually(lambda: pending(redis) == 0, "all are acknowledged")


@test("exchanging the component under load fails and loses nothing")
def exchanged():
    redis, app, sent = Redis(), Inbox(), []
    side = sidecar(redis, subscription("orders"), app=app)
    over = threading.Event()

    def load():
        while not over.is_set():
            sent.append(send(side, len(sent)).status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(5):
            before = len(app.tried())
            side.exchange("bus", broker(redis, concurrency=str(20 + i)))
            eventually(lambda: len(app.tried()) > before + 50, "deliveries go on", LONG_S)
    finally:
        over.set()
        thread.join()
    equal(set(sent), {204}, "every publish is accepted")
    eventually(lambda: set(app.taken()) == set(range(len(sent))), "all arrive, without a second delivery", LONG_S)
    all_settled(redis)
    equal(len(app.tried()), len(sent), "each once")


@test("a slow application keeps neither many messages nor much memory in the plugin")
def slow():
    redis, held = Redis("--appendonly", "no"), threading.Event()
    app = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500)
    side = sidecar(redis, subscription("orders"), app=app)
    body = "x" * 100_000
    for i in range(100):
        publish(side, body)
    eventually(lambda: len(app.requests) == 10, "as many as concurrency says are with the application")
    waiting = pending(redis)
    need(waiting <= 10 + 6, f"and few more are read: {waiting}")
    held.set()
    eventually(lambda: len(app.taken()) == 100, "the rest follows")
    all_settled(redis)


@test("messages of a megabyte and strange entries pass")
def large_and_strange():
    redis, app = Redis(), Inbox()
    side = sidecar(redis, subscription("orders"), app=app)
    big = "x" * 1_000_000
    for i in range(8):
        publish(side, [i, big])
    eventually(lambda: sorted(data[0] for data in app.taken()) == list(range(8)), "the large ones arrive")
    redis.command("XADD", "orders", "*", "other", "field")
    redis.command("XADD", "orders", "*", "metadata", "[1", "data", '{"data":"bad metadata"}')
    redis.command("XADD", "orders", "*", "metadata", '{"a":1,"b":null}', "data", '{"data":"odd metadata"}')
    publish(side, "last")
    eventually(lambda: "last" in app.taken(), "what comes after them arrives")


@test("a stream is kept about as long as maxLenApprox says")
def trimmed():
    redis = Redis("--stream-node-max-entries", "10")
    side = sidecar(redis, maxLenApprox="20")
    for i in range(200):
        publish(side, i)
    length = redis.command("XLEN", "orders")
    need(20 <= length <= 40, f"about 20 of 200 are kept: {length}")


@test("metadata that make no sense are refused with words")
def refused():
    redis = Redis()
    for name, value in [("concurrency", "-1"), ("processingTimeout", "soon"), ("queueDepth", "many")]:
        side = Sidecar(broker(redis, **{name: value}), wait=False)
        eventually(lambda: not side.is_alive() or name in side.log(), f"{name} is refused")
        need(name in side.log(), f"{name} is named: {side.log()[-500:]}")
        side.end()


class Liar:
    """Looks like a server, but answers the commands named in `lies` with those, one after another, the last for ever."""

    def __init__(self, **lies):
        self.lies, self.asked = lies, {name: 0 for name in lies}
        self.port = free_port()
        self.listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listening.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        stream = sock.makefile("rb")
        while line := stream.readline():
            words = [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
            name = words[0].decode()
            answer_ = b"+PONG\r\n"
            if name in self.lies:
                answer_ = self.lies[name][min(self.asked[name], len(self.lies[name]) - 1)]
                self.asked[name] += 1
            sock.sendall(answer_)


@test("a server that answers nonsense is asked again in peace, and believed when it makes sense")
def nonsense():
    event = b'{"data":"sense","specversion":"1.0","id":"1"}'
    entry = b"*2\r\n$3\r\n1-1\r\n*2\r\n$4\r\ndata\r\n$%d\r\n%s\r\n" % (len(event), event)
    stream = b"*1\r\n*2\r\n$6\r\norders\r\n*3\r\n:7\r\n*2\r\n$3\r\n1-0\r\n*-1\r\n" + entry
    reads = [b"+OK\r\n", b"*1\r\n*1\r\n$6\r\norders\r\n", stream, b"*0\r\n"]
    pages = [b":4\r\n", b"*2\r\n:4\r\n*0\r\n", b"*1\r\n*4\r\n$3\r\nx-y\r\n$1\r\nc\r\n:900000\r\n:1\r\n", b"*-1\r\n"]
    liar, app = Liar(XREADGROUP=reads, XPENDING=pages, XACK=[b"-ERR no\r\n"]), Inbox()
    started = time.monotonic()
    side = sidecar(liar, subscription("orders"), app=app, **SOON)
    eventually(lambda: app.taken() == ["sense"], "the one that makes sense arrives")
    eventually(lambda: liar.asked["XPENDING"] > len(pages), "rounds go on")
    seconds = time.monotonic() - started
    need(liar.asked["XREADGROUP"] < 10 + seconds * 2, f"it is not asked all the time: {liar.asked} in {seconds} s")
    need("answered what was not asked" in side.log(), "the log says so")
    equal(side.plugins()["redis"]["generation"], 1, "the plugin lives")


@test("10,000 messages go in and come out, none is lost")
def many():
    redis, app = Redis("--appendfsync", "everysec"), Inbox()
    side = sidecar(redis, subscription("orders"), app=app)
    count, workers = 10_000, 8

    def work(first):
        connection = side.connect()
        for i in range(first, count, workers):
            headers = [("Content-Type", "application/json")]
            connection.send(request_bytes("POST", "/v1.0/publish/bus/orders", headers, str(i).encode()))
            equal(connection.reply().status, 204, f"publish {i}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(app.got) >= count, "all are delivered", LONG_S)
    all_settled(redis)
    equal(sorted(app.tried()), list(range(count)), "each once")


main(end_sidecars)
