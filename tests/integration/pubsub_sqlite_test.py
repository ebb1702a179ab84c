# SPDX-License-Identifier: Apache-2.0
"""pubsub.sqlite: durable topics in one file, of one sidecar or several. timeout: 240"""
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import threading

from http_app import App, answer
from inbox import until_all_work
from launcher import REMORA
from remora import SLOW, Folder, Sidecar, component, end_sidecars, equal, eventually, main, need, request_bytes, test

JSON = [("Content-Type", "application/json")]


def subscription(topic="orders", route="/orders", more=""):
    return (f"apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata:\n  name: {topic}\n"
            f"spec:\n  pubsubname: bus\n  topic: {topic}\n  route: {route}\n{more}")


class Reader:
    """An application that keeps what it is given; `verdict(n, target)` is its status for the message n."""

    def __init__(self, verdict=lambda n, target: 200):
        self.verdict, self.got, self.lock = verdict, [], threading.Lock()
        self.app = App(self.take)

    def take(self, request, exchange):
        n = json.loads(request.body)["data"]
        status = self.verdict(n, request.target)
        if status is None:
            return None
        with self.lock:
            self.got.append((request.target, n))
        return answer(status, b"{}" if status == 200 else b"")

    def numbers(self, target="/orders"):
        with self.lock:
            return [n for where, n in self.got if where == target]


class File:
    """One file and the sidecars on it."""

    def __init__(self):
        self.folder = Folder()
        self.path = self.folder / "bus.db"

    def sidecar(self, app_id="shop", reader=None, metadata=(), subscriptions=None, wait=True):
        bus = component("bus", "pubsub.sqlite", {"connectionString": self.path, **dict(metadata)})
        if subscriptions is None:
            subscriptions = [subscription()] if reader else []
        flags = ["--app-port", str(reader.app.port)] if reader else []
        sidecar = Sidecar(bus, *subscriptions, app_id=app_id, flags=flags)
        if subscriptions and wait:
            eventually(lambda: self.ask("SELECT count(*) FROM messages_groups WHERE name = ?", app_id) == [(len(
                subscriptions),)], f"{app_id} has subscribed: {sidecar.log()[-2000:]}")
        return sidecar

    def ask(self, sql, *values):
        with sqlite3.connect(self.path, timeout=10) as db:
            return db.execute(sql, values).fetchall()

    def is_empty(self):
        return self.ask("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM messages_claims)") == [(0, 0)]


def publish(sidecar, n, topic="orders", query=""):
    reply = sidecar.call("POST", f"/v1.0/publish/bus/{topic}{query}", json.dumps(n).encode(), JSON)
    equal(reply.status, 204, reply.body)


def publish_all(sidecar, count, clients=16):
    """0 to count - 1, by several clients at once."""
    def work(first):
        connection = sidecar.connect()
        for n in range(first, count, clients):
            body = json.dumps(n).encode()
            connection.send(request_bytes("POST", "/v1.0/publish/bus/orders", JSON, body))
            statuses.append(connection.reply("POST").status)
        connection.close()

    statuses = []
    threads = [threading.Thread(target=work, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal((len(statuses), set(statuses)), (count, {204}))


@test("messages are delivered in order, once, and leave nothing behind", "PUB-01 PUB-03")
def deliver():
    file, reader = File(), Reader()
    sidecar = file.sidecar(reader=reader)
    for n in range(50):
        publish(sidecar, n)
    eventually(lambda: len(reader.numbers()) >= 50, "50 messages")
    equal(sorted(reader.numbers()), list(range(50)))
    eventually(file.is_empty, "all are settled")
    need("no lock file" not in sidecar.log(), sidecar.log())


@test("sidecars of one application share the messages, each application gets all", "PUB-02 PUB-06 PUB-07")
def compete():
    file, first, second, other = File(), Reader(), Reader(), Reader()
    file.sidecar("shop", first)
    file.sidecar("shop", second)
    file.sidecar("bill", other)
    sender = file.sidecar("sender")
    count = 300 + until_all_work(lambda: [first.numbers(), second.numbers()], lambda n: publish(sender, n), at_once=20)
    for n in range(count - 300, count):
        publish(sender, n)
    eventually(lambda: len(first.numbers()) + len(second.numbers()) >= count, "the group has them")
    eventually(lambda: len(other.numbers()) >= count, "the other group has them")
    equal(sorted(first.numbers() + second.numbers()), list(range(count)))
    equal(sorted(other.numbers()), list(range(count)))
    eventually(file.is_empty, "all are settled")


@test("what is published while nobody runs waits, for groups that exist", "PUB-03")
def wait():
    file, reader, late = File(), Reader(), Reader()
    sidecar = file.sidecar(reader=reader)
    equal(sidecar.stop(), 0)
    sender = file.sidecar("sender")
    publish(sender, 1)
    publish(sender, 2, topic="nobody")
    equal(file.ask("SELECT topic FROM messages"), [("orders",)], "a topic without groups keeps nothing")
    file.sidecar("late", late)
    file.sidecar(reader=reader)
    publish(sender, 3)
    eventually(lambda: sorted(reader.numbers()) == [1, 3], f"{reader.got}")
    eventually(lambda: late.numbers() == [3], "a new group begins with what follows")


@test("a group may begin with what is there", "PUB-01")
def from_start():
    file, reader = File(), Reader()
    sender = file.sidecar("sender", metadata={"retention": "1h"})
    publish(sender, 1)
    file.sidecar(reader=reader, metadata={"retention": "1h", "consumeFromStart": "true"})
    eventually(lambda: reader.numbers() == [1], "what was there")


@test("a refused message comes again, later each time", "PUB-05")
def refused():
    tries = []
    file, reader = File(), Reader(lambda n, target: tries.append(n) or (500 if len(tries) < 4 else 200))
    sidecar = file.sidecar(reader=reader, metadata={"redeliverInterval": "50ms"})
    publish(sidecar, 7)
    eventually(lambda: len(tries) == 4, "the fourth is the last")
    eventually(file.is_empty, "it is settled")
    equal(len(tries), 4)


@test("messages that are too old are dropped by the file itself", "PUB-12")
def expire():
    file, reader = File(), Reader()
    sidecar = file.sidecar(reader=reader)
    sidecar.stop()
    sender = file.sidecar("sender")
    publish(sender, 1, query="?metadata.ttlInSeconds=1")
    publish(sender, 2, query="?metadata.ttlInSeconds=1000")
    ((expires,),) = file.ask("SELECT expires_ms FROM messages WHERE expires_ms < published_ms + 2000")
    eventually(lambda: file.ask("SELECT cast(strftime('%s') AS INTEGER) * 1000 > ?", expires) == [(1,)], "its time")
    file.sidecar(reader=reader)
    eventually(lambda: reader.numbers(), "the other one")
    eventually(file.is_empty, "nothing is left")
    equal(reader.numbers(), [2])


@test("a dead letter topic gets what the application refuses", "PUB-01")
def dead_letters():
    file, reader = File(), Reader(lambda n, target: 500 if target == "/orders" else 200)
    sidecar = file.sidecar(reader=reader, subscriptions=[subscription(more="  deadLetterTopic: dead\n"),
                                                         subscription("dead", "/dead")])
    publish(sidecar, 5)
    eventually(lambda: reader.numbers("/dead") == [5], "the dead letter")
    eventually(file.is_empty, "all is settled")
    equal(reader.numbers(), [5])


@test("kernel, plugin and application are killed, and no message is lost", "PUB-03 PUB-05")
def kills():
    file, reader = File(), Reader()
    sidecar = file.sidecar(reader=reader)
    sender = file.sidecar("sender")
    sent = []

    def send(count):
        for _ in range(count):
            publish(sender, len(sent))
            sent.append(len(sent))

    send(50)
    os.kill(sidecar.plugin_pid("sqlite"), signal.SIGKILL)
    send(50)
    sidecar.kill()
    send(50)
    sidecar = file.sidecar(reader=reader)
    send(50)
    reader.app.stop()
    send(50)
    reader.app.start()
    send(50)
    eventually(lambda: set(reader.numbers()) >= set(sent), "all have come", 60)
    eventually(file.is_empty, "all are settled")


@test("what a killed process had claimed goes to another one at once", "PUB-03 PUB-06")
def take_over():
    gate = threading.Event()
    file, slow, quick = File(), Reader(lambda n, target: gate.wait(60) and None), Reader()
    first = file.sidecar(reader=slow)
    publish(first, 1)
    eventually(lambda: slow.app.requests, "the first has it")
    file.sidecar(reader=quick)
    equal(file.ask("SELECT count(*) FROM messages_claims"), [(1,)])
    first.kill()
    eventually(lambda: quick.numbers() == [1], "long before its time is over")
    gate.set()


@test("a message that takes too long comes to another one", "PUB-03 PUB-06")
def lease():
    gate, tries = threading.Event(), itertools.count()
    file, readers = File(), [Reader(lambda n, target: 200 if next(tries) else gate.wait(60) and None) for _ in range(2)]
    # After twice as long the first one would get it again: time enough for the other one.
    sidecars = [file.sidecar(reader=reader, metadata={"processingTimeout": "5s"}) for reader in readers]
    publish(sidecars[0], 1)
    eventually(lambda: [reader.numbers() for reader in readers if reader.numbers()] == [[1]], "one's time is over", 60)
    equal([len(reader.app.requests) for reader in readers], [1, 1], "the other one has it")
    gate.set()


@test("an application that has forgotten a message gets it again", "PUB-03")
def lease_again():
    gate = threading.Event()
    file, reader = File(), Reader()
    reader.verdict = lambda n, target: gate.wait(60) and 200 if len(reader.app.requests) == 1 else 200
    sidecar = file.sidecar(reader=reader, metadata={"processingTimeout": "300ms"})
    publish(sidecar, 1)
    eventually(reader.numbers, "the second time")
    before = len(reader.numbers())
    gate.set()
    eventually(lambda: len(reader.numbers()) > before, "the first answer is late")
    eventually(file.is_empty, "it is settled")
    equal(set(reader.numbers()), {1})


@test("the plugin is exchanged under load without a failed publish or a lost message", "PUB-03 SWAP-01")
def swap():
    file, reader = File(), Reader()
    sidecar = file.sidecar(reader=reader)
    stop, sent = threading.Event(), []

    def load():
        while not stop.is_set():
            publish(sidecar, len(sent))
            sent.append(len(sent))

    thread = threading.Thread(target=load)
    thread.start()
    environment = {key: os.environ[key] for key in os.environ if key == "PATH" or key.endswith("SAN_OPTIONS")}
    command = [REMORA, "plugin", "swap", "sqlite", "--run-dir", sidecar.folder / "run"]
    try:
        for _ in range(3):
            count = len(sent)
            swapped = subprocess.run(command, capture_output=True, text=True, timeout=30 * SLOW, env=environment, check=False)
            need(swapped.returncode == 0, f"{swapped.stderr}\n{sidecar.log()[-3000:]}")
            eventually(lambda: len(sent) > count + 20 or not thread.is_alive(), "it goes on")
        need(thread.is_alive(), "a publish failed")
    finally:
        stop.set()
        thread.join()
    eventually(lambda: set(reader.numbers()) >= set(sent), "all have come")
    eventually(file.is_empty, "all are settled")


@test("a shutdown loses nothing and lays nothing by as dead", "PUB-03")
def shutdown():
    file, reader = File(), Reader()
    subscriptions = [subscription(more="  deadLetterTopic: dead\n"), subscription("dead", "/dead")]
    sidecar = file.sidecar(reader=reader, subscriptions=subscriptions)
    sender = file.sidecar("sender")
    for n in range(400):
        publish(sender, n)
        if n == 200:
            sidecar.signal(signal.SIGTERM)
    equal(sidecar.wait(), 0)
    file.sidecar(reader=reader, subscriptions=subscriptions)
    eventually(lambda: set(reader.numbers()) == set(range(400)), "all have come")
    eventually(file.is_empty, "all are settled")
    equal(reader.numbers("/dead"), [])


@test("a file that is gone is told of, and does not keep a sidecar from ending", "PUB-01")
def gone():
    gate = threading.Event()
    file, reader = File(), Reader(lambda n, target: gate.wait(60) and 200)
    sidecar = file.sidecar(reader=reader)
    publish(sidecar, 1)
    eventually(lambda: reader.app.requests, "it is on its way")
    for name in os.listdir(file.folder.path):
        if name.startswith("bus.db"):
            os.unlink(file.folder / name)
    gate.set()
    reply = sidecar.call("POST", "/v1.0/publish/bus/orders", b"2", JSON)
    equal(reply.status, 500)
    need(b"database file was removed" in reply.body, reply.body)
    eventually(lambda: "messages of topic orders wait: database file was removed" in sidecar.log(), "the log")
    equal(sidecar.stop(), 0)


@test("names of topics have a bound", "PUB-01")
def names():
    file, reader = File(), Reader()
    sidecar = file.sidecar(reader=reader)
    reply = sidecar.call("POST", "/v1.0/publish/bus/" + "t" * 1025, b"1", JSON)
    equal(reply.status, 500)
    need(b"empty or too long" in reply.body, reply.body)
    publish(sidecar, 1, topic="%27%3B%20DROP%20TABLE%20messages%3B--")
    publish(sidecar, 2)
    eventually(lambda: reader.numbers() == [2], "all is well")


@test("ten thousand messages", "PUB-01")
def many():
    file, reader = File(), Reader()
    sidecar = file.sidecar(reader=reader)
    publish_all(sidecar, 10000)
    eventually(lambda: len(reader.numbers()) >= 10000, "all have come", 60)
    equal(sorted(reader.numbers()), list(range(10000)))
    eventually(file.is_empty, "all are settled")


@test("a component that says nonsense is refused with its words")
def nonsense():
    for metadata, words in (({"processingTimeout": "soon"}, "invalid value for 'processingTimeout'"),
                            ({"redeliverInterval": "-1s"}, "invalid value for 'redeliverInterval'"),
                            ({"pollInterval": "1ms"}, "invalid value for 'pollInterval'"),
                            ({"consumeFromStart": "perhaps"}, "invalid value for 'consumeFromStart'"),
                            ({"consumerID": "x" * 1025}, "invalid value for 'consumerID'"),
                            ({"tableName": "a; DROP"}, "invalid identifier")):
        folder = Folder()
        bus = component("bus", "pubsub.sqlite", {"connectionString": folder / "x.db", **metadata})
        sidecar = Sidecar(bus, wait=False)
        need(sidecar.wait() != 0, metadata)
        need(words in sidecar.log(), sidecar.log())


if __name__ == "__main__":
    main(end_sidecars)
