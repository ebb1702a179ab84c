#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""pubsub.redis with `redisType: cluster` against a real cluster: topics of all servers, topics that move with their
subscribers, servers that die. Redis replicates asynchronously: before a server is killed here, its replica is known to
have all that was acknowledged; what is published meanwhile has to arrive after that alone."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from inbox import Inbox, subscription, until_all_work  # noqa: E402
from redis_cluster import cluster, slot_of  # noqa: E402
from remora import Sidecar, component, end_sidecars, equal, eventually, main, need, test  # noqa: E402

FAR = {"redeliverInterval": "600s", "processingTimeout": "600s"}  # never, for a test
SOON = {"redeliverInterval": "500ms", "processingTimeout": "500ms"}
LONG_S = 60  # a loaded machine


def sidecar(*topics, app=None, app_id="shop", **metadata):
    broker = component("bus", "pubsub.redis", {"redisHost": cluster().hosts, "redisType": "cluster", **{**FAR, **metadata}})
    flags = ["--app-port", str(app.port)] if app else []
    return Sidecar(broker, *[subscription(topic) for topic in topics], app_id=app_id, flags=flags)


def publish(side, data, topic):
    reply = side.call("POST", f"/v1.0/publish/bus/{topic}", json.dumps(data).encode(), [("Content-Type", "application/json")])
    equal(reply.status, 204, f"publish: {reply}")


def pending(topic):
    return cluster().command(topic, "XPENDING", topic, "shop")[0]


def arrived(app, topic, count):
    eventually(lambda: set(range(count)) <= set(app.taken(topic)), f"all of {topic} arrive", LONG_S)


@test("topics of all servers: what is published is delivered once and acknowledged", "PUB-U13")
def everywhere():
    topics = [f"topic{i}" for i in range(8)]
    need(len({cluster().owner_of(topic) for topic in topics}) == 3, "they are at all servers")
    app = Inbox()
    side = sidecar(*topics, app=app)
    for i in range(20):
        for topic in topics:
            publish(side, i, topic)
    for topic in topics:
        arrived(app, topic, 20)
        eventually(lambda: pending(topic) == 0, f"nothing of {topic} is pending")
        equal(sorted(app.tried(topic)), list(range(20)), "each once")
        equal(cluster().command(topic, "XINFO", "GROUPS", topic)[0][1], b"shop", "the group is the application")


@test("many messages in one call go to the topic's server", "PUB-U13")
def many_at_once():
    app = Inbox()
    side = sidecar("bulk", app=app)
    entries = [{"entryId": str(i), "event": i, "contentType": "application/json"} for i in range(100)]
    reply = side.call("POST", "/v1.0-alpha1/publish/bulk/bus/bulk", json.dumps(entries).encode(),
                      [("Content-Type", "application/json")])
    equal(reply.status, 204, f"{reply}")
    arrived(app, "bulk", 100)


@test("two instances of an application share a topic", "PUB-U13")
def competing():
    one, other = Inbox(), Inbox()
    sides = [sidecar("shared", app=app) for app in (one, other)]
    until_all_work(lambda: (one.taken("shared"), other.taken("shared")), lambda n: publish(sides[n % 2], n, "shared"),
                   seconds=LONG_S)
    eventually(lambda: pending("shared") == 0, "all are acknowledged")
    got = one.tried("shared") + other.tried("shared")
    equal(len(got), len(set(got)), "each once")


@test("a topic moves to another server and back while it is used: all arrives, and once", "PUB-U13")
def moving():
    whole, app, sent = cluster(), Inbox(), 0
    side = sidecar("moved", app=app)
    home = whole.owner_of("moved")
    away = next(node for node in whole.masters if node is not home and node.is_master())
    for to in (away, home, away, home):
        for sent in range(sent, sent + 10):
            publish(side, sent, "moved")
        whole.move(slot_of("moved"), to)
        for sent in range(sent + 1, sent + 11):
            publish(side, sent, "moved")
        sent += 1
        arrived(app, "moved", sent)
    eventually(lambda: pending("moved") == 0, "nothing is pending")
    equal(sorted(app.tried("moved")), list(range(sent)), "each once")


@test("a topic that has gone while its slot has not is read where it is", "PUB-U13")
def between():
    whole, app = cluster(), Inbox()
    side = sidecar("between", app=app)
    publish(side, 0, "between")
    arrived(app, "between", 1)
    eventually(lambda: pending("between") == 0, "it is acknowledged")
    home = whole.owner_of("between")
    to = next(node for node in whole.masters if node is not home and node.is_master())
    source = whole.open_migration(slot_of("between"), to)
    whole.move_keys(slot_of("between"), source, to)
    for i in range(1, 20):
        publish(side, i, "between")
    arrived(app, "between", 20)
    equal(whole.owner_of("between"), home, "the slot has not moved")
    whole.close_migration(slot_of("between"), to)
    publish(side, 20, "between")
    arrived(app, "between", 21)
    equal(sorted(app.tried("between")), list(range(21)), "each once")


@test("a replica of the topic's server is promoted by hand: all arrives", "PUB-U13")
def promoted():
    whole, app = cluster(), Inbox()
    side = sidecar("promoted", app=app, **SOON)
    publish(side, 0, "promoted")
    arrived(app, "promoted", 1)
    whole.promote(whole.replicas_of(whole.owner_of("promoted"))[0])
    for i in range(1, 20):
        publish(side, i, "promoted")
    arrived(app, "promoted", 20)


@test("the topic's server is killed: what was acknowledged arrives, and so does what comes after it", "PUB-U13")
def killed():
    whole = cluster()
    is_open = []
    app = Inbox(lambda topic, data: 200 if is_open or data % 2 else 500)
    side = sidecar("killed", app=app, **SOON)
    victim = whole.owner_of("killed")
    for i in range(100):
        publish(side, i, "killed")
    # What stands in the stream before this is at the replica when WAIT says that this is.
    victim.command("SET", "{killed}fence", 1)
    equal(victim.command("WAIT", 1, 10000), 1, "the replica has it")
    need(set(app.taken("killed")) < set(range(100)), "some are still to be delivered")
    whole.kill(victim)
    is_open.append(True)
    for i in range(100, 130):
        publish(side, i, "killed")
    arrived(app, "killed", 130)
    eventually(lambda: pending("killed") == 0, "nothing is pending", LONG_S)
    whole.revive(victim)


@test("a sidecar ends while its topic's server is away, and what it had is another's", "PUB-U13")
def ended():
    whole = cluster()
    app = Inbox(lambda topic, data: 500)
    side = sidecar("ended", app=app, **SOON)
    for i in range(10):
        publish(side, i, "ended")
    eventually(lambda: app.tried("ended"), "some are tried")
    victim = whole.owner_of("ended")
    victim.command("SET", "{ended}fence", 1)
    equal(victim.command("WAIT", 1, 10000), 1, "the replica has it")
    victim.kill()
    side.stop(LONG_S)
    eventually(lambda: whole.owner_of("ended") is not None, "a replica takes over", LONG_S)
    whole.settle()
    other = Inbox()
    sidecar("ended", app=other, **SOON)
    arrived(other, "ended", 10)
    whole.revive(victim)


if __name__ == "__main__":
    main(end_sidecars)
