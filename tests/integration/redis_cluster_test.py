#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""state.redis, lock.redis and bindings.redis with `redisType: cluster` against a real cluster: keys of all slots, slots that move under
load, servers that die, seeds that do. Redis replicates asynchronously: what has to survive a dead server is saved with
consistency strong, which waits for the replica."""

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from redis_cluster import Cluster, cluster, slot_of  # noqa: E402
from remora import (  # noqa: E402
    Redis, Sidecar, Store, component, end_sidecars, equal, eventually, free_port, main, need, request_bytes, test)


def document(hosts, name="red", type_="state.redis", **metadata):
    return component(name, type_, {"redisHost": hosts, "redisType": "cluster", **metadata})


def store(hosts=None, flags=(), **metadata):
    return Store(Sidecar(document(hosts or cluster().hosts, **metadata), flags=flags), "red")


def spread(count, prefix="k"):
    return [f"{prefix}{i}" for i in range(count)]


def in_redis(key):
    return f"shop||{key}"


class Load:
    """Saves numbers one after the other, several threads, each to its own keys; `saved` is what was acknowledged."""

    def __init__(self, red, keys, threads=4, consistency=None):
        self.red = red
        self.saved = {}
        self.tried = {}
        self.failed = []
        self.is_over = False
        options = {"options": {"consistency": consistency}} if consistency else {}
        self.threads = [threading.Thread(target=self.run, args=(keys[i::threads], options)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, keys, options):
        number = 0
        connection = self.red.sidecar.connect()
        while not self.is_over:
            number += 1
            for key in keys:
                self.tried[key] = number
                body = json.dumps([{"key": key, "value": number, **options}]).encode()
                connection.send(request_bytes("POST", self.red.path, [("Content-Type", "application/json")], body))
                reply = connection.reply("POST")
                if reply.status == 204:
                    self.saved[key] = number
                else:
                    self.failed.append(f"{key}: {reply}")

    def count(self):
        return sum(self.saved.values())

    def go_on(self, more):
        before = self.count()
        eventually(lambda: self.count() >= before + more, "saves go on", 60)

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def check(self):
        """Each key holds what was acknowledged last, or what was tried after it."""
        for key, number in self.saved.items():
            value = int(self.red.get(key).body)
            need(number <= value <= self.tried[key], f"{key}: {value}, but {number} was acknowledged")


@test("keys of all slots: save, get, delete, ETags, first write", "STATE-01 STATE-02 STATE-03")
def all_operations():
    red = store()
    keys = spread(300)
    need(len({cluster().owner_of(in_redis(key)) for key in keys}) == 3, "they are at all servers")
    equal(red.save_raw(json.dumps([{"key": key, "value": key} for key in keys]).encode()).status, 204, "save")
    for key in keys[::10]:
        reply = red.get(key)
        equal((reply.status, reply.json, reply.header("etag")), (200, key, "1"), key)
        equal(cluster().command(in_redis(key), "HGET", in_redis(key), "data"), json.dumps(key).encode(), "where it belongs")
        equal(red.save(key, "new", etag="1").status, 204, "with its ETag")
        equal(red.save(key, "newer", etag="1").status, 409, "with an old one")
        equal(red.delete(key, etag="1").status, 409, "delete with an old one")
        equal(red.delete(key, etag="2").status, 204, "delete")
        equal(red.get(key).status, 204, "it is gone")
        equal(red.save(key, 1, options={"concurrency": "first-write"}).status, 204, "first write")
        equal(red.save(key, 2, options={"concurrency": "first-write"}).status, 409, "is the only one")


@test("a bulk get brings keys of all slots", "STATE-04")
def bulk():
    red = store()
    keys = spread(1000, "bulk")
    equal(red.save_raw(json.dumps([{"key": key, "value": key} for key in keys]).encode()).status, 204, "save")
    reply = red.bulk(keys + ["nothing"])
    equal({item["key"]: item.get("data") for item in reply.json}, {**{key: key for key in keys}, "nothing": None}, "bulk")


@test("a transaction of one slot is done whole or not at all", "STATE-05")
def same_slot():
    red = store()
    keys = [f"{{cart}}{i}" for i in range(5)]
    # The prefix of the sidecar has no braces: those of the key count.
    equal(len({slot_of(in_redis(key)) for key in keys}), 1, "one slot")
    upserts = [("upsert", key, 1) for key in keys]
    equal(red.transact(*upserts).status, 204, "transaction")
    reply = red.transact(*[("upsert", key, 2) for key in keys[:4]], ("upsert", keys[4], 2, {"etag": "77"}))
    equal(reply.status, 409, f"{reply}")
    equal([red.get(key).json for key in keys], [1] * 5, "nothing of it is done")


@test("a transaction of several slots is done for each of them, and says when it is not for all", "STATE-05")
def several_slots():
    red = store()
    keys = spread(60, "tx")
    need(len({slot_of(in_redis(key)) for key in keys}) > 50, "many slots")
    equal(red.transact(*[("upsert", key, 1) for key in keys]).status, 204, "transaction")
    equal(sorted(item["data"] for item in red.bulk(keys).json), [1] * 60, "all of it is done")
    again = [("upsert", f"{{{key}}}", i) for i in (1, 2, 3) for key in keys[:2]]
    equal(red.transact(*again).status, 204, "transaction")
    equal([red.get(f"{{{key}}}").json for key in keys[:2]], [3, 3], "in order, within a slot")
    reply = red.transact(("upsert", keys[1], 2), ("delete", keys[0], {"etag": "77"}))
    equal(reply.status, 409, f"{reply}")
    need("in other slots" not in reply.text, f"{reply}")
    equal([red.get(key).json for key in keys[:2]], [1, 1], "what can be seen before is")
    reply = red.transact(("upsert", keys[1], 3), ("upsert", keys[0], 3, {"etag": "none"}))
    need(reply.status >= 400, f"{reply}")
    equal(red.get(keys[1]).json, 1, "so is what is wrong in itself")
    # Looking is a script too, and its server knows it; one that writes finds no memory.
    full = cluster().owner_of(in_redis(keys[0]))
    other = next(key for key in keys if cluster().owner_of(in_redis(key)) is not full)
    full.command("CONFIG", "SET", "maxmemory", "1")
    try:
        reply = red.transact(("upsert", other, 4), ("upsert", keys[0], 4))
    finally:
        full.command("CONFIG", "SET", "maxmemory", "0")
    need(reply.status >= 500, f"{reply}")
    equal([red.get(key).json for key in (other, keys[0])], [4, 1], "a part is done, another is not")
    need("in other slots of the cluster is done" in reply.text, f"and that is said: {reply}")


@test("slots move between servers under load, and servers come and go: nothing is lost, nothing fails", "STATE-01")
def migration():
    whole = cluster()
    red = store()
    keys = spread(40, "{moving}") + spread(40, "mig")
    load = Load(red, keys)
    try:
        load.go_on(200)
        home = whole.owner_of("{moving}")
        away = next(node for node in whole.masters if node is not home and node.is_master())
        for to in (away, home, away):
            whole.move(slot_of("{moving}"), to)
            load.go_on(100)
        new = whole.add_master()
        for key in keys[40:50]:
            whole.move(slot_of(in_redis(key)), new)
        load.go_on(200)
        for key in keys[40:50]:
            whole.move(slot_of(in_redis(key)), home)
        whole.move(slot_of("{moving}"), home)
        load.go_on(200)  # a save that was on its way to the server that goes would have an unknown end
        whole.remove(new)
        load.go_on(200)
    finally:
        load.stop()
    equal(load.failed[:3], [], "no save has failed")
    load.check()


@test("an open migration: what has gone already is asked for where it is", "STATE-01")
def ask():
    whole = cluster()
    red = store()
    tag = "{asked}"
    keys = spread(20, tag)
    for key in keys:
        equal(red.save(key, key).status, 204, key)
    home = whole.owner_of(tag)
    to = next(node for node in whole.masters if node is not home and node.is_master())
    source = whole.open_migration(slot_of(tag), to)
    source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *[in_redis(key) for key in keys[:10]])
    for i, key in enumerate(keys):
        equal(red.get(key).json, key, "on either side")
        equal(red.save(key, i, etag="1").status, 204, "ETags too")
    equal(red.save(tag + "new", 1).status, 204, "what is new")
    equal(source.command("EXISTS", in_redis(tag + "new"))[:3], b"ASK", "is on the other side")
    upserts = [("upsert", key, "t") for key in keys[:2]]
    equal(red.transact(*upserts).status, 204, "a transaction of what has gone")
    # Of what lies on both sides a server says TRYAGAIN, until it does not.
    both = [("upsert", key, "both") for key in (keys[0], keys[19])]
    replies = []
    waiting = threading.Thread(target=lambda: replies.append(red.transact(*both)))
    waiting.start()
    eventually(lambda: b"TRYAGAIN" in to.command("INFO", "errorstats") + source.command("INFO", "errorstats"), "TRYAGAIN")
    equal(replies, [], "it is tried again")
    whole.move_keys(slot_of(tag), source, to)
    whole.close_migration(slot_of(tag), to)
    waiting.join()
    equal(replies[0].status, 204, f"{replies[0]}")
    equal([red.get(key).json for key in (keys[0], keys[19])], ["both", "both"], "done once it could be")
    whole.move(slot_of(tag), home)
    equal(red.get(keys[5]).json, 5, "after all of it")


@test("a server is killed while strong saves run: a replica takes over, what was acknowledged is there", "STATE-01")
def failover():
    whole = cluster()
    red = store()
    victim = next(node for node in whole.masters if node.is_master())
    keys = spread(60, "fail")
    need(any(whole.owner_of(in_redis(key)) is victim for key in keys), "some are at the one that dies")
    load = Load(red, keys, consistency="strong")
    try:
        load.go_on(300)
        whole.kill(victim)
        load.go_on(300)
    finally:
        load.stop()
    load.check()
    need(all(red.save(key, -1).status == 204 for key in keys), "all keys can be saved again")
    whole.revive(victim)
    equal(red.get(keys[0]).json, -1, "and found")


@test("a server without a replica is killed and started again: what was acknowledged is on its disk", "STATE-01")
def restart():
    whole = Cluster(masters=3, replicas=0)
    red = store(whole.hosts)
    keys = spread(60, "disk")
    load = Load(red, keys)
    try:
        load.go_on(200)
        whole.masters[0].kill()
        whole.masters[0].start()
        whole.settle()
        load.go_on(200)
    finally:
        load.stop()
    load.check()
    need(all(red.save(key, -1).status == 204 for key in keys), "all keys can be saved again")


@test("a replica is promoted by hand: no save fails", "STATE-01")
def switchover():
    whole = cluster()
    red = store()
    load = Load(red, spread(60, "switch"))
    try:
        load.go_on(200)
        whole.promote(next(node for node in whole.living() if not node.is_master()))
        load.go_on(200)
    finally:
        load.stop()
    load.check()
    equal(load.failed[:3], [], "no save has failed")


@test("of the seeds one is alive", "STATE-01")
def seeds():
    whole = cluster()
    dead = ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))
    red = store(f"{dead},127.0.0.1:{whole.masters[1].port}")
    for key in spread(30, "seed"):
        equal(red.save(key, 1).status, 204, key)


def refused(hosts, **metadata):
    """What the log of a sidecar says that does not start with this store."""
    side = Sidecar(document(hosts, **metadata), wait=False)
    side.wait()
    return side.log()


@test("a server that is no cluster, and no server: the start fails and says why", "STATE-01")
def no_start():
    single = Redis()
    log = refused(f"127.0.0.1:{single.port}", redisMaxRetries="1", redisMinRetryInterval="10ms")
    need("This instance has cluster support disabled" in log, log)
    port = free_port()
    log = refused(f"127.0.0.1:{port}", redisMaxRetries="1", redisMinRetryInterval="10ms")
    need(f"error connecting to redis at 127.0.0.1:{port}" in log and "connection refused" in log, log)


@test("every server asks for the password, and a wrong one ends the start", "STATE-01")
def password():
    whole = Cluster(masters=3, replicas=0)
    for node in whole.masters:
        node.command("CONFIG", "SET", "requirepass", "s3cret")
    red = store(whole.hosts, redisPassword="s3cret")
    for key in spread(30, "auth"):
        equal(red.save(key, 1).status, 204, key)
    need("s3cret" not in red.sidecar.log(), "and nobody tells it")
    log = refused(f"127.0.0.1:{free_port()},{whole.hosts}", redisPassword="wr0ng")
    need("WRONGPASS" in log, log)
    need("wr0ng" not in log, "the password is not told")


def post(side, target, body):
    return side.call("POST", target, json.dumps(body).encode(), [("Content-Type", "application/json")])


def lock(side, resource, owner):
    body = {"resourceId": resource, "lockOwner": owner, "expiryInSeconds": 600}
    reply = post(side, "/v1.0-alpha1/lock/locks", body)
    equal(reply.status, 200, f"{reply}")
    return reply.json["success"]


def unlock(side, resource, owner):
    reply = post(side, "/v1.0-alpha1/unlock/locks", {"resourceId": resource, "lockOwner": owner})
    equal(reply.status, 200, f"{reply}")
    return reply.json["status"]


@test("locks of all slots, also while they move; a cluster with replicas is refused", "LOCK-01")
def locks():
    whole = Cluster(masters=2, replicas=0)
    side = Sidecar(document(whole.hosts, "locks", "lock.redis"))
    names = spread(30, "lock")
    need(all(lock(side, name, "me") for name in names), "taken")
    need(not any(lock(side, name, "you") for name in names), "held")
    key = f"lock||shop||{names[0]}"
    home = whole.owner_of(key)
    whole.move(slot_of(key), next(node for node in whole.masters if node is not home))
    need(not lock(side, names[0], "you"), "held where it is now")
    equal([unlock(side, names[0], "you"), unlock(side, names[0], "me"), unlock(side, names[0], "me")], [2, 0, 1], "unlock")
    need(all(unlock(side, name, "me") == 0 for name in names[1:]), "given back")
    log = refused(cluster().hosts, name="locks", type_="lock.redis")
    need("replication is not supported" in log, log)


@test("the binding reads, writes, counts and deletes keys of all slots", "BIND-02")
def binding():
    side = Sidecar(document(cluster().hosts, "bind", "bindings.redis"))

    def invoke(operation, key, data=None, **metadata):
        return post(side, "/v1.0/bindings/bind", {"operation": operation, "data": data, "metadata": {"key": key, **metadata}})

    for key in spread(30, "bind"):
        equal(invoke("create", key, {"is": key}).status, 204, "create")
        equal(invoke("get", key).json, {"is": key}, "get")
        equal(invoke("increment", key + "n", ttlInSeconds="600").status, 204, "increment")
        equal(cluster().command(key + "n", "GET", key + "n"), b"1", "counted")
        equal(invoke("get", key, delete="true").json, {"is": key}, "get and delete")
        equal(invoke("delete", key + "n").status, 204, "delete")
        equal(cluster().command(key, "EXISTS", key), 0, "gone")


@test("what is counted while servers are killed and started again is counted once, or not at all", "BIND-02")
def counting():
    whole = Cluster(masters=3, replicas=0)
    side = Sidecar(document(whole.hosts, "bind", "bindings.redis"))
    keys = spread(24, "count")
    tried, done = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
    is_over = []

    def count(own):
        connection = side.connect()
        while not is_over:
            for key in own:
                tried[key] += 1
                body = json.dumps({"operation": "increment", "metadata": {"key": key}}).encode()
                connection.send(request_bytes("POST", "/v1.0/bindings/bind", [("Content-Type", "application/json")], body))
                done[key] += connection.reply("POST").status == 204

    threads = [threading.Thread(target=count, args=(keys[i::12],)) for i in range(12)]
    for thread in threads:
        thread.start()
    for node in whole.masters:
        before = sum(done.values())
        eventually(lambda: sum(done.values()) > before + 300, "counting goes on", 60)
        node.kill()
        node.start()
        whole.settle()
    is_over.append(True)
    for thread in threads:
        thread.join()
    for key in keys:
        number = int(whole.command(key, "GET", key))
        need(done[key] <= number <= tried[key], f"{key}: {done[key]} done, {tried[key]} tried, {number} counted")


if __name__ == "__main__":
    main(end_sidecars)
