#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""configuration.redis with `redisType: cluster` against a real cluster, whose servers notify of their own keys alone:
items of all of them are read and heard of, also of those that come later or take over."""

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from http_app import App, answer  # noqa: E402
from redis_cluster import cluster, slot_of  # noqa: E402
from remora import Sidecar, component, end_sidecars, equal, eventually, main, need, quote, test  # noqa: E402

LONG_S = 60  # a loaded machine


class Reader:
    """An application that is told of changes."""

    def __init__(self):
        self.got, self.lock = {}, threading.Lock()
        self.app = App(self.take)

    def take(self, request, exchange):
        if not request.target.startswith("/configuration/"):
            return answer(404)
        with self.lock:
            self.got.update(json.loads(request.body)["items"])
        return answer(200)

    def last(self, key):
        with self.lock:
            return self.got.get(key, {}).get("value")


def sidecar(reader=None):
    flags = ["--app-port", str(reader.app.port)] if reader else []
    return Sidecar(component("conf", "configuration.redis", {"redisHost": cluster().hosts, "redisType": "cluster"}), flags=flags)


def query(keys):
    return "&".join(f"key={quote(key)}" for key in keys)


def get(side, *keys):
    reply = side.call("GET", f"/v1.0/configuration/conf?{query(keys)}")
    equal(reply.status, 200, f"{reply}")
    return {key: item["value"] for key, item in reply.json.items()}


def subscribe(side, *keys):
    reply = side.call("GET", f"/v1.0/configuration/conf/subscribe?{query(keys)}")
    equal(reply.status, 200, f"{reply}")


def put(key, value):
    equal(cluster().command(key, "SET", key, f"{value}||1"), b"OK", key)


def told(reader, key, value):
    put(key, value)
    eventually(lambda: reader.last(key) == value, f"{key} is told", LONG_S)


def names(count, prefix):
    keys = [f"{prefix}{i}" for i in range(count)]
    need(len({cluster().owner_of(key) for key in keys}) == len([n for n in cluster().masters if n.is_alive()]), "at all servers")
    return keys


@test("items of all servers are read, by their names and all of them", "CFG-01")
def reading():
    for node in cluster().masters:
        node.command("FLUSHALL")
    keys = names(200, "read")
    for key in keys:
        put(key, "v-" + key)
    cluster().command("other", "RPUSH", "other", "no item")
    side = sidecar()
    wanted = {key: "v-" + key for key in keys}
    equal(get(side, *keys[:50]), {key: wanted[key] for key in keys[:50]}, "by name")
    equal(get(side, keys[0], "nothing", "other"), {keys[0]: wanted[keys[0]]}, "what is there")
    equal(get(side), wanted, "all")


@test("changes at all servers are told, and only those that are subscribed to", "CFG-01")
def hearing():
    reader = Reader()
    side = sidecar(reader)
    keys = names(30, "hear")
    subscribe(side, *keys)
    for key in keys:
        put(key + "-not", "x")
    for key in keys:
        told(reader, key, "first")
    for key in keys:
        told(reader, key, "second")
    equal([key for key in reader.got if key.endswith("-not")], [], "nothing else is told")
    cluster().command(keys[0], "DEL", keys[0])
    eventually(lambda: reader.last(keys[0]) is None or reader.last(keys[0]) == "", "a deletion is told")


@test("who subscribes to everything hears of all servers", "CFG-01")
def hearing_all():
    reader = Reader()
    subscribe(sidecar(reader))
    for key in names(30, "all"):
        told(reader, key, "value")


@test("a key that moves to another server, and to one that is new, is still heard of", "CFG-01")
def moving():
    whole, reader = cluster(), Reader()
    subscribe(sidecar(reader), "moving", "untouched")
    told(reader, "moving", "0")
    home = whole.owner_of("moving")
    whole.move(slot_of("moving"), next(node for node in whole.masters if node is not home and node.is_master()))
    told(reader, "moving", "1")
    new = whole.add_master()
    whole.move(slot_of("moving"), new)
    told(reader, "moving", "2")
    told(reader, "untouched", "0")
    whole.move(slot_of("untouched"), new)  # nothing is said to whoever reads until it changes
    told(reader, "untouched", "1")
    for key in ("moving", "untouched"):
        whole.move(slot_of(key), home)
    whole.remove(new)
    told(reader, "moving", "3")


@test("a server dies: what changes at the one that takes over is told", "CFG-01")
def failing():
    whole, reader = cluster(), Reader()
    side = sidecar(reader)
    keys = names(12, "fail")
    subscribe(side, *keys)
    for key in keys:
        told(reader, key, "before")
    victim = whole.owner_of(keys[0])
    whole.kill(victim)
    for key in keys:
        put(key, "after")
    for key in keys:
        eventually(lambda: reader.last(key) == "after", f"{key} is told", LONG_S)
    for key in keys:
        told(reader, key, "later")
    whole.revive(victim)


@test("a replica is promoted by hand: what changes there is told", "CFG-01")
def promoted():
    whole, reader = cluster(), Reader()
    subscribe(sidecar(reader), "promoted")
    told(reader, "promoted", "0")
    whole.promote(whole.replicas_of(whole.owner_of("promoted"))[0])
    told(reader, "promoted", "1")


if __name__ == "__main__":
    main(end_sidecars)
