# SPDX-License-Identifier: Apache-2.0
"""The requirements every store of configuration must meet; see checks.py. Such a store is written past the plugin: here
by those that know the types of this tree, for others by the program that CONFIGURATION_WRITER names, which is called with
`set KEY VALUE VERSION` or `delete KEY`."""

import os
import socket
import sqlite3
import subprocess

from checks import HANDLE, check
from kernel import SECONDS, need
import plugin_pb2 as pb


def write_sqlite(metadata, words):
    with sqlite3.connect(metadata["connectionString"], timeout=10) as db:
        if words[0] == "set":
            db.execute("INSERT OR REPLACE INTO configuration (key, value, version) VALUES (?, ?, ?)", words[1:])
        else:
            db.execute("DELETE FROM configuration WHERE key = ?", words[1:])
    db.close()


def write_redis(metadata, words):
    host, port = metadata["redisHost"].rsplit(":", 1)
    command = ["SET", words[1], f"{words[2]}||{words[3]}"] if words[0] == "set" else ["DEL", words[1]]
    parts = [part.encode() for part in command]
    with socket.create_connection((host, int(port)), 10) as s:
        s.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        need(s.recv(100)[:1] in (b"+", b":"), "redis refuses what is written")


def write_postgresql(metadata, words):
    key, value, version = ("'" + word.replace("'", "''") + "'" for word in (words[1:] + ("", ""))[:3])
    statements = [f"DELETE FROM {metadata['table']} WHERE key = {key}"]
    if words[0] == "set":  # one notification a change
        statements = [f"WITH there AS (UPDATE {metadata['table']} SET value = {value}, version = {version} WHERE key = {key}"
                      f" RETURNING 1) INSERT INTO {metadata['table']} SELECT {key}, {value}, {version}, NULL"
                      " WHERE NOT EXISTS (SELECT 1 FROM there)"]
    subprocess.run(["psql", "-X", "-q", "-d", metadata["connectionString"], "-c", statements[0]], check=True)


WRITERS = {"configuration.sqlite": write_sqlite, "configuration.redis": write_redis,
           "configuration.postgresql": write_postgresql}
# Deleted rows are told as they were: so do the triggers that the reference documents.
TELLS_OLD_ROWS = ("configuration.postgresql",)


class Store:
    """What whoever maintains the store does. Keys are of one check: a store may outlive it."""

    def __init__(self, bench):
        self.link = bench.component()
        self.kind = bench.type
        self.metadata = {pair.name: pair.value for pair in bench.init_request().metadata}
        self.room = os.urandom(6).hex()

    def named(self, key):
        return f"{key}-{self.room}"

    def write(self, *words):
        program = os.environ.get("CONFIGURATION_WRITER")
        if program:
            subprocess.run([program, *words], check=True)
        else:
            need(self.kind in WRITERS, "CONFIGURATION_WRITER must name a program that writes such a store")
            WRITERS[self.kind](self.metadata, words)

    def set(self, key, value, version="1"):
        self.write("set", self.named(key), value, version)

    def delete(self, key):
        self.write("delete", self.named(key))

    def get(self, *keys):
        request = pb.ConfigurationGet(keys=[self.named(key) for key in keys])
        answer = self.link.call(pb.METHOD_CONFIGURATION_GET, HANDLE, request)
        need(answer.status.code == 0, f"get failed: {answer.status.message}")
        items = answer.message(pb.ConfigurationItems).items
        return {i.key.removesuffix("-" + self.room): (i.value.decode(), i.version) for i in items}

    def subscribe(self, *keys, number=9):
        request = pb.ConfigurationSubscribe(subscription=number, keys=[self.named(key) for key in keys])
        answer = self.link.call(pb.METHOD_CONFIGURATION_SUBSCRIBE, HANDLE, request)
        need(answer.status.code == 0, f"subscribe failed: {answer.status.message}")

    def unsubscribe(self, number=9):
        return self.link.call(pb.METHOD_CONFIGURATION_UNSUBSCRIBE, HANDLE,
                              pb.ConfigurationUnsubscribe(subscription=number)).status.code

    def next_told(self, seconds=SECONDS, answer=True):
        self.link.wait(lambda: self.link.host_requests, "a change", seconds)
        frame = self.link.host_requests.pop(0)
        need(frame.method == pb.METHOD_HOST_CONFIGURATION_CHANGED, f"it calls method {frame.method}")
        said = pb.HostConfigurationChanged()
        said.ParseFromString(frame.payload[: frame.message_bytes])
        need(said.read_again or said.items, "a change without items")
        if answer:
            self.link.answer(frame, pb.Empty())
        return frame, said

    def told(self, wanted, number=9):
        """Until the subscription has been told these; nothing else may come, and nothing twice in one."""
        left = dict(wanted)
        while left:
            _, said = self.next_told()
            need(said.subscription == number, f"subscription {said.subscription}")
            keys = [item.key for item in said.items]
            need(len(set(keys)) == len(keys), "a key twice in one change")
            for item in said.items:
                key = item.key.removesuffix("-" + self.room)
                need(key in wanted, f"{item.key} is not watched")
                if left.get(key) == (item.value.decode(), item.version):
                    del left[key]

    def quiet(self):
        while self.link.pump(0.5):
            pass
        need(self.link.host_requests == [], "something is told")


@check(needs="configuration")
def configuration_get(bench):
    """gives the items that are there, with their versions, and leaves out those that are not"""
    store = Store(bench)
    store.set("a", "1", "v1")
    store.set("b ✓\n'\"", "größe\n<&>", "2")
    need(store.get("a", "b ✓\n'\"", "none", "a") == {"a": ("1", "v1"), "b ✓\n'\"": ("größe\n<&>", "2")}, "not the items")
    need({"a", "b ✓\n'\""} <= set(store.get()), "not all items")
    need(store.get("none") == {}, "an item that is not there")


@check(needs="configuration")
def configuration_told(bench):
    """tells the changes of the keys that are watched, deletions too, and no others"""
    store = Store(bench)
    store.set("old", "0")
    store.subscribe("a", "old")
    store.quiet()
    store.set("other", "1")
    store.set("a", "1", "7")
    store.told({"a": ("1", "7")})
    store.set("old", "2", "8")
    store.told({"old": ("2", "8")})
    store.delete("a")
    store.told({"a": ("1", "7") if store.kind in TELLS_OLD_ROWS else ("", "")})
    store.quiet()


@check(needs="configuration")
def configuration_no_gap(bench):
    """misses nothing once it has answered that it is subscribed"""
    store = Store(bench)
    for turn in range(20):
        store.subscribe("k", number=100 + turn)
        store.set("k", str(turn), str(turn))
        store.told({"k": (str(turn), str(turn))}, 100 + turn)
        need(store.unsubscribe(100 + turn) == 0, "unsubscribe failed")


@check(needs="configuration")
def configuration_one_at_a_time(bench):
    """has one change of a subscription on its way at a time, and then tells the newest value"""
    store = Store(bench)
    store.subscribe("k")
    store.set("k", "0")
    frame, _ = store.next_told(answer=False)
    for n in range(1, 40):
        store.set("k", str(n), str(n))
    store.quiet()
    store.link.answer(frame, pb.Empty())
    last = -1
    while last < 39:
        _, said = store.next_told()
        [item] = said.items
        need(int(item.version or 0) >= last, "a version went back")
        last = int(item.version)


@check(needs="configuration")
def configuration_many(bench):
    """serves several subscriptions, each with its own keys, and one for all keys"""
    store = Store(bench)
    for n in range(20):
        store.subscribe(f"k{n}", number=n + 1)
    for n in range(20):
        store.set(f"k{n}", "1")
        store.told({f"k{n}": ("1", "1")}, n + 1)
    for n in range(20):
        need(store.unsubscribe(n + 1) == 0, "unsubscribe failed")
    store.subscribe(number=77)
    store.set("k3", "2")
    store.told({"k3": ("2", "1")}, 77)
    need(store.unsubscribe(77) == 0, "unsubscribe failed")


@check(needs="configuration")
def configuration_unsubscribe(bench):
    """tells nothing any more once it has unsubscribed, and knows no other subscriptions"""
    store = Store(bench)
    store.subscribe("k")
    need(store.unsubscribe() == 0, "unsubscribe failed")
    store.set("k", "1")
    store.quiet()
    need(store.unsubscribe() == pb.CODE_NOT_FOUND, "it knows what it has forgotten")


@check(needs="configuration")
def configuration_malformed(bench):
    """refuses subscriptions without a number, and goes on"""
    store = Store(bench)
    for method, request in ((pb.METHOD_CONFIGURATION_SUBSCRIBE, pb.ConfigurationSubscribe(keys=["k"])),
                            (pb.METHOD_CONFIGURATION_UNSUBSCRIBE, pb.ConfigurationUnsubscribe()),
                            (pb.METHOD_CONFIGURATION_GET, b"\xff\xff\xff"), (pb.METHOD_CONFIGURATION_GET, b"\x0a\x02a\x00")):
        answer = store.link.call(method, HANDLE, request)
        need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"it was not refused: {answer.status.code}")
    store.set("k", "1")
    need(store.get("k") == {"k": ("1", "1")}, "it does not go on")
