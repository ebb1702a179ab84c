#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""The outbox: transactions of a state store together with messages. What subscribers get, what is in the store and at
the broker meanwhile, what fails and what must not be told, and the same raw form as the reference's, both ways."""

import sdk  # noqa: F401  isort: skip

import collections
import json
import os
import re
import sqlite3
import threading

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, state_pb2
from http_app import App, answer
from remora import (
    DEADLINE_S, Folder, Redis, Sidecar, Store, component, end_sidecars, equal, eventually, main, need, shared, test)

ID = re.compile(r"outbox-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OUTBOX = {"outboxPublishPubsub": "bus", "outboxPublishTopic": "orders"}
SOON = {"processingTimeout": "500ms"}  # who is paused for so long gets it twice


class Subscriber(App):
    """An application that subscribes to what it is told of, as topic or (pubsub, topic), and keeps every event."""

    def __init__(self, *topics):
        self.topics = [topic if isinstance(topic, tuple) else ("bus", topic) for topic in topics or ("orders",)]
        self.lock = threading.Lock()
        self.events = []  # (path, headers, envelope)
        super().__init__(self.event)
        self.flags = ["--app-port", str(self.port)]

    def init(self, request):
        topics = [{"pubsubname": pubsub, "topic": topic, "route": "/" + topic} for pubsub, topic in self.topics]
        if request.target != "/dapr/subscribe":
            return answer(404)
        return answer(200, json.dumps(topics).encode(), [("Content-Type", "application/json")])

    def event(self, request, exchange):
        with self.lock:
            self.events.append((request.target, request, json.loads(request.body)))
        return answer(200)

    def got(self, topic="orders"):
        with self.lock:
            return [event for path, _, event in self.events if path == "/" + topic]

    def wait_for(self, count, topic="orders"):
        eventually(lambda: len(self.got(topic)) >= count, f"{count} events of {topic}")
        equal(len(self.got(topic)), count, f"events of {topic}: {self.got(topic)}")
        return self.got(topic)


def sqlite_store(folder, name="box", **more):
    return component(name, "state.sqlite", {"connectionString": str(folder / "state.db"), **OUTBOX, **more})


def redis_store(redis, name="box", **more):
    return component(name, "state.redis", {"redisHost": f"127.0.0.1:{redis.port}", "redisDB": "1", **OUTBOX, **more})


def sqlite_bus(folder, name="bus", **more):
    return component(name, "pubsub.sqlite", {"connectionString": str(folder / "bus.db"), "redeliverInterval": "200ms",
                                             "consumeFromStart": "true", **more})  # fmt: skip


def redis_bus(redis, name="bus", **more):
    return component(name, "pubsub.redis", {"redisHost": f"127.0.0.1:{redis.port}", "processingTimeout": "600s",
                                            "redeliverInterval": "300ms", **more})  # fmt: skip


class Bed:
    """A store with an outbox, a broker, a subscriber."""

    def __init__(self, kind="in-memory", app=None, subscribes=True, env=None, bus=(), **outbox):
        self.folder = Folder()
        self.redis = Redis() if kind == "redis" else None
        self.app = app or (Subscriber() if subscribes else None)
        if kind == "in-memory":
            parts = [component("box", "state.in-memory", {**OUTBOX, **outbox}), component("bus", "pubsub.in-memory")]
        elif kind == "sqlite":
            parts = [sqlite_store(self.folder, **outbox), sqlite_bus(self.folder)]
        else:
            parts = [redis_store(self.redis, **outbox), redis_bus(self.redis, **dict(bus))]
        env = {"PATH": os.environ["PATH"], **env} if env else None
        self.side = Sidecar(*parts, flags=self.app.flags if self.app else [], folder=self.folder, env=env)
        self.store = Store(self.side, "box")

    def rows(self):
        """Keys of everything in the Redis store."""
        return sorted(key.decode() for key in self.redis.command("KEYS", "*", database=1))

    def pending(self, topic="defaultshopordersoutbox"):
        return self.redis.command("XPENDING", topic, "shop")[0]

    def is_settled(self, topic="defaultshopordersoutbox"):
        """All events were read and are done with; so are their markers, which go first."""
        stream, group = [dict(zip(flat[::2], flat[1::2])) for flat in (
            self.redis.command("XINFO", "STREAM", topic), self.redis.command("XINFO", "GROUPS", topic)[0])]
        return group[b"pending"] == 0 and group[b"last-delivered-id"] == stream[b"last-generated-id"]


def done(reply):
    equal((reply.status, reply.body), (204, b""), repr(reply))


def transact_over_grpc(side, *items, metadata=None, store="box"):
    """Items are (key, bytes, metadata), or a key to delete."""
    operations = []
    for item in items:
        kind, (key, value, pairs) = ("delete", (item, b"", {})) if isinstance(item, str) else ("upsert", item)
        state = common_pb2.StateItem(key=key, value=value, metadata=pairs)
        operations.append(state_pb2.TransactionalStateOperation(operationType=kind, request=state))
    request = state_pb2.ExecuteStateTransactionRequest(storeName=store, operations=operations, metadata=metadata)
    with grpc.insecure_channel(f"127.0.0.1:{side.grpc_port}") as channel:
        dapr_pb2_grpc.DaprStub(channel).ExecuteStateTransaction(request, timeout=DEADLINE_S)


def plain(event):
    return event["data"], event["datacontenttype"]


# --- what is told -----------------------------------------------------------------------------------------------------


@test("each item that a transaction stores is told of, with every store and broker", "STATE-59 STATE-60 STATE-61 STATE-62")
def told():
    for kind in ("in-memory", "sqlite", "redis"):
        bed = Bed(kind)
        done(bed.store.transact(("upsert", "a", "one"), ("upsert", "b", {"n": 2}), ("delete", "c", {})))
        events = sorted(bed.app.wait_for(2), key=lambda event: str(event["data"]))
        equal([plain(event) for event in events], [("one", "text/plain"), ({"n": 2}, "application/json")], kind)
        for event in events:
            need(ID.fullmatch(event["id"]), event["id"])
            equal((event["source"], event["type"], event["topic"], event["pubsubname"], event["specversion"]),
                  ("shop", "com.dapr.event.sent", "orders", "bus", "1.0"))  # fmt: skip
        equal([bed.store.get(key).text for key in "ab"], ['"one"', '{"n": 2}'], kind)
        if bed.redis:
            eventually(lambda: bed.rows() == ["shop||a", "shop||b"], "the markers go")
            eventually(bed.is_settled, "the broker is told")


@test("over gRPC as well: bytes are told of as text, as JSON where they are said to be, or in base64", "STATE-59 X-STATE-09")
def told_over_grpc():
    bed = Bed()
    transact_over_grpc(bed.side, ("t", b"text", {}), ("j", b'{"g": 1}', {"contentType": "application/json"}),
                       ("b", b"\x00\xff", {}), "gone")  # fmt: skip
    events = bed.app.wait_for(3)
    equal([plain(event) for event in events if "data" in event and event["datacontenttype"] == "text/plain"],
          [("text", "text/plain")])  # fmt: skip
    labelled = [event for event in events if event["datacontenttype"] == "application/json"]
    equal([(event["data"], event["contentType"]) for event in labelled], [({"g": 1}, "application/json")])
    equal([event["data_base64"] for event in events if "data" not in event], ["AP8="])
    equal(bed.side.call("GET", "/v1.0/state/box/b").body, b"\x00\xff")


@test("what JSON values are told as", "X-STATE-09")
def values():
    bed = Bed()
    as_text = [("s", "text"), ("n", 12345678), ("f", 1.5), ("t", True)]
    as_json = [("z", None), ("l", [1, "x"]), ("o", {"b": 1, "a": "<x>"})]
    done(bed.store.transact(*[("upsert", key, value) for key, value in as_text + as_json]))
    wanted = [("text", "text/plain"), ("12345678", "text/plain"), ("1.5", "text/plain"), ("true", "text/plain")]
    wanted += [(value, "application/json") for _, value in as_json]
    equal(sorted([plain(event) for event in bed.app.wait_for(7)], key=str), sorted(wanted, key=str))
    bed.app.events.clear()
    done(bed.store.transact(("upsert", "a", "x", {"contentType": "application/json"}),
                            ("upsert", "b", "<b/>", {"metadata": {"contentType": "application/xml"}}),
                            ("upsert", "c", {"y": 1}, {"metadata": {"datacontenttype": "application/json"}})))  # fmt: skip
    got = sorted([plain(event) for event in bed.app.wait_for(3)], key=str)
    equal(got, sorted([("x", "application/json"), ("<b/>", "application/xml"), ({"y": 1}, "application/json")], key=str))


@test("what only deletes, and what is no transaction, is not told of", "STATE-92 STATE-65")
def not_told():
    bed = Bed("redis")
    equal(bed.store.save("plain", 1).status, 204)
    done(bed.store.transact(("delete", "plain", {})))
    done(bed.store.transact())
    done(bed.store.transact(("upsert", "last", "last")))
    equal([event["data"] for event in bed.app.wait_for(1)], ["last"])
    equal(bed.redis.command("XLEN", "defaultshopordersoutbox"), 1)


@test("without an application and without a subscription the transaction succeeds, and the broker has the event",
      "X-STATE-09")  # fmt: skip
def nobody():
    bed = Bed("redis", subscribes=False)
    done(bed.store.transact(("upsert", "a", 1)))
    eventually(lambda: bed.redis.command("XLEN", "orders") == 1, "it is published")
    eventually(lambda: bed.rows() == ["shop||a"], "the marker goes")
    equal(bed.side.metadata().get("subscriptions", []), [], "the kernel's own subscription is not the application's")


# --- projections ------------------------------------------------------------------------------------------------------

PROJECTION = {"outbox.projection": "true"}


@test("a projection is told of instead of what is stored; of several the first", "STATE-66 STATE-68 STATE-69")
def projected():
    bed = Bed()
    done(bed.store.transact(("upsert", "key1", "2"), ("upsert", "key1", "3", {"metadata": PROJECTION}),
                            ("upsert", "key1", "4", {"metadata": PROJECTION}), ("upsert", "key2", "5")))  # fmt: skip
    equal(sorted(event["data"] for event in bed.app.wait_for(2)), ["3", "5"])
    equal([bed.store.get(key).text for key in ("key1", "key2")], ['"2"', '"5"'])
    bed.app.events.clear()
    done(bed.store.transact(("upsert", "p", {"full": 1}, {"metadata": {"kind": "k"}}),
                            ("upsert", "p", {"short": 1},
                             {"metadata": {**PROJECTION, "kind": "none"}, "contentType": "application/json"})))  # fmt: skip
    event = bed.app.wait_for(1)[0]
    equal((*plain(event), event["kind"]), ({"short": 1}, "application/json", "k"))
    transact_over_grpc(bed.side, ("g", b"stored", {}), ("g", b"told", PROJECTION))
    equal([event["data"] for event in bed.app.wait_for(2)][1], "told")


@test("a projection of what is not stored fails the whole transaction", "STATE-67")
def unmatched():
    bed = Bed("redis")
    for operations in ([("upsert", "a", 1), ("upsert", "b", 2, {"metadata": PROJECTION})],
                       [("delete", "b", {}), ("upsert", "b", 2, {"metadata": PROJECTION})]):  # fmt: skip
        reply = bed.store.transact(*operations)
        equal((reply.status, reply.json["errorCode"]), (500, "ERR_PUBLISH_OUTBOX"), repr(reply))
        need("key b" in reply.json["message"], reply.text)
    try:
        transact_over_grpc(bed.side, ("g", b"x", PROJECTION))
        need(False, "it was accepted")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.INTERNAL)
        need(error.details().startswith("error while publishing outbox message: "), error.details())
    equal(bed.rows(), [], "nothing is stored")
    equal(bed.redis.command("EXISTS", "defaultshopordersoutbox") and
          bed.redis.command("XLEN", "defaultshopordersoutbox"), 0, "nothing is told")  # fmt: skip


# --- attributes -------------------------------------------------------------------------------------------------------


@test("metadata become attributes, by either spelling, on the item and on the transaction", "STATE-70 INC-05")
def attributes():
    bed = Bed()
    done(bed.store.transact(("upsert", "k", "2", {"metadata": {
        "cloudevent.id": "unique", "cloudevent.source": "CustomersApp", "cloudevent.type": "CustomerCreated",
        "cloudevent.subject": "123", "my-custom-ce-field": "abc", "cloudevent.topic": "no", "cloudevent.data": "no",
        "data": "no", "topic": "no", "pubsubname": "no"}})))  # fmt: skip
    event = bed.app.wait_for(1)[0]
    names = ("id", "source", "type", "subject", "my-custom-ce-field", "topic", "pubsubname", "data")
    equal([event[name] for name in names], ["unique", "CustomersApp", "CustomerCreated", "123", "abc", "orders", "bus", "2"])
    need(not any(name.startswith("cloudevent.") for name in event), f"no override is left: {event}")
    done(bed.store.transact(("upsert", "k", "2", {"metadata": {"id": "no", "source": "item", "subject": "s"}}),
                            metadata={"type": "all", "source": "all", "partitionKey": "no"}))  # fmt: skip
    event = bed.app.wait_for(2)[1]
    need(ID.fullmatch(event["id"]), event["id"])
    equal([event.get(name) for name in ("source", "type", "subject", "partitionKey")], ["item", "all", "s", None])
    done(bed.store.transact(("upsert", "k", "2"), metadata={"id": "unique-business-process-id", "my-custom-ce-field": "abc"}))
    event = bed.app.wait_for(3)[2]
    equal((event["id"], event["my-custom-ce-field"]), ("unique-business-process-id", "abc"))
    transact_over_grpc(bed.side, ("g", b"x", {"cloudevent.Type": "T"}), metadata={"cloudevent.subject": "S"})
    event = bed.app.wait_for(4)[3]
    equal((event["type"], event["subject"]), ("T", "S"))


@test("the trace of the request goes on to whoever is told", "X-STATE-09")
def traced():
    bed = Bed("sqlite")
    body = {"operations": [{"operation": "upsert", "request": {"key": "t", "value": "traced"}}]}
    headers = [("traceparent", PARENT), ("tracestate", "a=b")]
    done(bed.side.call("POST", "/v1.0/state/box/transaction", body, headers))
    event = bed.app.wait_for(1)[0]
    trace = PARENT.split("-")[1]
    equal((event["traceid"].split("-")[1], event["traceparent"], event["tracestate"]), (trace, "", "a=b"))
    request = bed.app.events[0][1]
    equal((request.header("traceparent").split("-")[1], request.header("tracestate")), (trace, "a=b"))


@test("more attributes than an event can have are refused, and nothing is stored")
def too_many_attributes():
    bed = Bed("redis")
    reply = bed.store.transact(("upsert", "a", 1), ("upsert", "b", 1, {"metadata": {f"n{i}": "v" for i in range(2000)}}))
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_PUBLISH_OUTBOX"), repr(reply))
    equal(bed.rows(), [])


# --- failures ---------------------------------------------------------------------------------------------------------


@test("a transaction that the store refuses is not told of, and its events are gone at once", "STATE-59")
def refused():
    bed = Bed("redis")
    done(bed.store.transact(("upsert", "a", 1)))
    bed.app.wait_for(1)
    eventually(bed.is_settled, "it is done with")
    for _ in range(300):  # more than may wait at a time
        reply = bed.store.transact(("upsert", "a", 2, {"etag": "99"}), ("upsert", "b", 2))
        equal(reply.status, 409, repr(reply))
    eventually(bed.is_settled, "nothing waits for what will not come")
    done(bed.store.transact(("upsert", "c", "after")))
    equal(bed.app.wait_for(2)[1]["data"], "after")
    eventually(bed.is_settled, "it is done with")
    equal(bed.rows(), ["shop||a", "shop||c"])


@test("if the event cannot be published nothing is stored", "STATE-59 STATE-63")
def not_published():
    folder, redis = Folder(), Redis()
    side = Sidecar(redis_store(redis, outboxPubsub="absent"), sqlite_bus(folder), folder=folder)
    reply = Store(side, "box").transact(("upsert", "a", 1))
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_PUBLISH_OUTBOX"), repr(reply))
    equal(reply.json["message"], "error while publishing outbox message: pubsub absent is not found")
    equal(reply.json["details"][0]["reason"], "DAPR_PUBSUB_OUTBOX")
    for scopes in ({"publishingScopes": "shop=orders"}, {"allowedTopics": "defaultshopordersoutbox"}):
        folder = Folder()
        side = Sidecar(redis_store(redis), sqlite_bus(folder, **scopes), folder=folder)
        reply = Store(side, "box").transact(("upsert", "a", 1))
        equal((reply.status, reply.json["errorCode"]), (500, "ERR_PUBLISH_OUTBOX"), repr(reply))
        need("is not allowed for app id shop" in reply.text, reply.text)
        side.end()
    equal(redis.command("KEYS", "*", database=1), [], "nothing is stored")


@test("the sidecar's own subscription is under no scope of the application's")
def scoped():
    folder, app = Folder(), Subscriber()
    scopes = {"subscriptionScopes": "shop=orders", "publishingScopes": "shop=orders,defaultshopordersoutbox"}
    side = Sidecar(sqlite_store(folder), sqlite_bus(folder, **scopes), flags=app.flags, folder=folder)
    done(Store(side, "box").transact(("upsert", "a", "x")))
    equal(app.wait_for(1)[0]["data"], "x")


def forged(id_, **more):
    return json.dumps({"specversion": "1.0", "id": id_, "source": "x", "type": "t", "data": "forged", **more})


@test("events that name no marker are dropped, and what they name is not touched", "X-STATE-09")
def hostile():
    bed, inner = Bed("redis", keyPrefix="none"), "defaultshopordersoutbox"
    equal(bed.store.save("victim", 1).status, 204)
    equal(bed.store.save("outbox-victim", 1).status, 204)
    for text in (forged("victim"), forged("outbox-victim"), forged(7), forged(""), forged("outbox-" + "-" * 35 + "G"), "{}",
                 "[1", "", "\x00\xff", '{"id":"victim","id":"outbox-victim"}', forged("victim\x00")):  # fmt: skip
        bed.redis.command("XADD", inner, "*", "data", text)
    done(bed.store.transact(("upsert", "a", "good")))
    equal([event["data"] for event in bed.app.wait_for(1)], ["good"])
    eventually(bed.is_settled, "the others are done with")
    equal(bed.rows(), ["a", "outbox-victim", "victim"])


@test("what finds no transaction is tried again and again, or dropped where the store says so", "STATE-64")
def missing():
    bus = {"processingTimeout": "5s"}  # later than that it comes again, and would be told of twice by one that was paused
    beds = [Bed("redis", bus=bus), Bed("redis", bus=bus, outboxDiscardWhenMissingState="true")]
    ids = ["outbox-00000000-0000-4000-8000-000000000001", "outbox-00000000-0000-4000-8000-000000000002"]
    for bed in beds:
        bed.redis.command("XADD", "defaultshopordersoutbox", "*", "data", forged(ids[0]))
        bed.redis.command("XADD", "defaultshopordersoutbox", "*", "data", forged(ids[1]))
    eventually(lambda: beds[1].side.log().count("dropped outbox message") >= 2, "the one drops them", 60)
    eventually(beds[1].is_settled, "and is done with them")
    eventually(lambda: beds[0].side.log().count("which is tried again") >= 2, "the other tries again", 60)
    need(beds[0].pending() == 2, "and keeps them")
    beds[0].redis.command("HSET", ids[0], "data", '"0"', "version", "1", database=1)
    equal(beds[0].app.wait_for(1)[0]["id"], ids[0], "as soon as there is one")
    equal(beds[1].app.got(), [])


@test("values of an encrypted store are told in the clear, and markers need no key", "X-STATE-10")
def encrypted():
    redis, folder, app = Redis(), Folder(), Subscriber()
    secrets = folder.write("secrets.json", json.dumps({"key": "a" * 64}))
    store = json.loads(json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "box"}}))
    store["spec"] = {"type": "state.redis", "version": "v1", "metadata": [
        {"name": "redisHost", "value": f"127.0.0.1:{redis.port}"}, {"name": "redisDB", "value": "1"},
        *[{"name": name, "value": value} for name, value in OUTBOX.items()],
        {"name": "primaryEncryptionKey", "secretKeyRef": {"name": "key", "key": "key"}}]}  # fmt: skip
    store["auth"] = {"secretStore": "secrets"}
    side = Sidecar(component("secrets", "secretstores.local.file", {"secretsFile": secrets}), json.dumps(store),
                   redis_bus(redis), flags=app.flags, folder=folder)  # fmt: skip
    done(Store(side, "box").transact(("upsert", "a", "secret")))
    equal(app.wait_for(1)[0]["data"], "secret")
    equal(Store(side, "box").get("a").text, "secret")
    eventually(lambda: redis.command("KEYS", "*", database=1) == [b"shop||a"], "the marker goes")
    need(b"secret" not in redis.command("HGET", "shop||a", "data", database=1), "the store has it encrypted")


@test("a broker that is away for a while delays what is told, and loses nothing")
def broker_away():
    bed = Bed("redis", bus=SOON)
    outer = Redis()
    bed.side.change(redis_bus(outer, "outer"), 2)
    bed.side.exchange("box", redis_store(bed.redis, outboxPublishPubsub="outer", outboxPubsub="bus"))
    outer.stop()
    done(bed.store.transact(("upsert", "a", 1)))
    eventually(lambda: len(bed.rows()) == 2, "the marker waits")
    outer.start()
    eventually(lambda: bed.rows() == ["shop||a"], "it goes in the end", 60)
    need(outer.command("XLEN", "orders") >= 1, "and the event is there")


# --- changes while it runs --------------------------------------------------------------------------------------------


@test("stores that share a topic are told apart", "STATE-65")
def shared_topic():
    redis, folder, app = Redis(), Folder(), Subscriber()
    plain_store = component("plain", "state.redis", {"redisHost": f"127.0.0.1:{redis.port}", "redisDB": "1"})
    side = Sidecar(redis_store(redis), sqlite_store(folder, "other"), plain_store, redis_bus(redis), flags=app.flags,
                   folder=folder)  # fmt: skip
    for i in range(10):
        done(Store(side, "box").transact(("upsert", f"a{i}", f"a{i}")))
        done(Store(side, "other").transact(("upsert", f"b{i}", f"b{i}")))
        done(Store(side, "plain").transact(("upsert", f"c{i}", f"c{i}")))
    wanted = sorted([f"a{i}" for i in range(10)] + [f"b{i}" for i in range(10)])
    equal(sorted(event["data"] for event in app.wait_for(20)), wanted)
    eventually(lambda: not [key for key in redis.command("KEYS", "outbox-*", database=1)], "the markers go")


@test("a store that gets, changes and loses its outbox while it runs")
def reloaded():
    bed = Bed("redis", app=Subscriber("orders", "bills"))
    done(bed.store.transact(("upsert", "a", "a")))
    bed.app.wait_for(1)
    eventually(bed.is_settled, "it is done with")
    bed.side.exchange("box", redis_store(bed.redis, outboxPublishTopic="bills"))
    done(bed.store.transact(("upsert", "b", "b")))
    equal(bed.app.wait_for(1, "bills")[0]["data"], "b")
    eventually(lambda: bed.is_settled("defaultshopbillsoutbox"), "it is done with, too")
    bed.side.exchange("box", component("box", "state.redis", {"redisHost": f"127.0.0.1:{bed.redis.port}", "redisDB": "1"}))
    done(bed.store.transact(("upsert", "c", "c")))
    equal(bed.rows(), ["shop||a", "shop||b", "shop||c"])
    bed.side.exchange("box", redis_store(bed.redis))
    done(bed.store.transact(("upsert", "d", "d")))
    equal(bed.app.wait_for(2)[1]["data"], "d")
    equal(len(bed.app.got("bills")), 1)


@test("a store whose topic changes again and again under load leaves nothing behind in the ones before")
def moved():
    bed = Bed("redis", app=Subscriber(*[f"t{i}" for i in range(8)]), bus=SOON, outboxPublishTopic="t0")
    over, sent = threading.Event(), []

    def load():
        while not over.is_set():
            sent.append(bed.store.transact(("upsert", f"k{len(sent)}", len(sent))).status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(1, 8):
            count = len(sent)
            store = redis_store(bed.redis, outboxPublishTopic=f"t{i}")
            if i == 7:  # and then it has none
                store = component("box", "state.redis", {"redisHost": f"127.0.0.1:{bed.redis.port}", "redisDB": "1"})
            bed.side.exchange("box", store)
            eventually(lambda: len(sent) > count + 20, "transactions go on")
    finally:
        over.set()
        thread.join()
    equal(collections.Counter(sent), {204: len(sent)})
    eventually(lambda: not [row for row in bed.rows() if row.startswith("outbox-")], "no marker is left", 60)

    def told():
        return {int(event["data"]) for i in range(7) for event in bed.app.got(f"t{i}")}

    # A marker goes when its event is with the broker, which has yet to deliver it. The last one told of is the last
    # before there was no outbox any more.
    eventually(lambda: told() == set(range(max(told(), default=-1) + 1)), "all up to the last one told of are told of", 60)
    need(all(bed.app.got(f"t{i}") for i in range(7)), "each topic had some")


@test("store and broker are exchanged under load, and everything stored is told of once or more")
def exchanged():
    bed = Bed("redis", bus=SOON)
    over, sent = threading.Event(), []

    def load():
        while not over.is_set():
            reply = bed.store.transact(("upsert", f"k{len(sent)}", len(sent)))
            sent.append(reply.status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(6):
            parts = [(0, redis_store(bed.redis, maxRetries=str(2 + i)), "box"),
                     (1, redis_bus(bed.redis, concurrency=str(20 + i), **SOON), "bus")]  # fmt: skip
            number, text, name = parts[i % 2]
            count = len(sent)
            bed.side.exchange(name, text, number)
            eventually(lambda: len(sent) > count + 30, "transactions go on")
    finally:
        over.set()
        thread.join()
    equal(collections.Counter(sent), {204: len(sent)})
    wanted = {str(i) for i in range(len(sent))}
    eventually(lambda: wanted <= {event["data"] for event in bed.app.got()}, "all are told of", 60)
    eventually(lambda: not [row for row in bed.rows() if row.startswith("outbox-")], "the markers go", 60)
    equal({event["data"] for event in bed.app.got()}, wanted)


# --- the golden files -------------------------------------------------------------------------------------------------

RUNS = {"namespace prod": ("NAMESPACE=prod", "prod"), "no namespace": ("no NAMESPACE", "default")}
NIL, MAP = "<nil>", "map[a:[true <nil>] b:1]"


def golden_streams(run):
    """Texts of the reference's events, by stream; those of the two brokers together."""
    streams, here = collections.defaultdict(list), None
    with open(shared("golden", "outbox", "redis-streams.txt")) as f:
        for line in f.read().split("\n"):
            if line.startswith("######## "):
                section = line[9:].startswith(RUNS[run][0] + ",")
            elif line.startswith("== stream "):
                here = line[10:]
            elif line.startswith("      field data = ") and section:
                data = line[19:].encode().decode("unicode_escape").encode("latin-1")
                streams[here].append(data.decode())
    return streams


def masked(text):
    """An event in a form that can be compared, without what differs from run to run."""
    event = json.loads(text, parse_int=str)
    event["time"] = "X"
    if event["id"] != "cid":
        event["id"] = "X"
    return json.dumps(event, sort_keys=True)


def ours(text, is_outer):
    """The reference's event as we have it on purpose: data that are JSON stay JSON, bytes stay bytes, and what an override
    says holds once it is on its way to subscribers."""
    event = json.loads(text)
    if event["data"] in (NIL, MAP):
        event["data"] = None if event["data"] == NIL else {"b": 1, "a": [True, None]}
        event["datacontenttype"] = "application/json"
    if event["data"] == "\0\ufffd\1":
        del event["data"]
        event["data_base64"] = "AP8B"
    if is_outer:
        for name in [name for name in event if name.startswith("cloudevent.")]:
            event[name[11:]] = event.pop(name)
    return json.dumps(event)


def texts(redis, stream, database):
    """Data of entries, which have no metadata."""
    entries = redis.command("XRANGE", stream, "-", "+", database=database) or []
    fields = [dict(zip(entry[1][::2], entry[1][1::2])) for entry in entries]
    need(all(set(entry) == {b"data"} for entry in fields), f"{stream}: {fields}")
    return [entry[b"data"].decode() for entry in fields]


def golden_beds(run, app):
    expected = json.load(open(shared("golden", "outbox", "expected.json")))
    redis, folder = Redis("--appendonly", "no"), Folder()
    parts = [text.replace("HOST:PORT", f"127.0.0.1:{redis.port}").replace("outbox.db", str(folder / "outbox.db"))
             for text in expected["components_yaml"]]  # fmt: skip
    env = {"PATH": os.environ["PATH"], **expected["runs"][run]["env"]}
    flags = app.flags if app else []
    return expected["runs"][run], redis, lambda: Sidecar(*parts, app_id="goldbox", env=env, flags=flags, folder=folder)


def golden_app():
    return Subscriber(*[("brok", f"{store}-topic") for store in ("obredis", "obsqlite", "obint")])


def needs_a_module(step, store):
    """The reference's items of that type in Redis want a module that the server lacks, and are half done."""
    return "contentType" in json.dumps(step.get("body", step["label"])) and step["status"] != "OK" and store != "obsqlite"


@test("what we write for the reference's requests looks as what it wrote", "X-STATE-09")
def written():
    for run in RUNS:
        app = golden_app()
        wanted, redis, start = golden_beds(run, app)
        side, skipped = start(), 0
        for step in wanted["requests_in_order"]:
            store = step["store"] if "store" in step else step["request"].split("/")[3]
            if needs_a_module(step, store) and step.get("status") not in (204, "OK"):
                skipped += 1
            elif "request" in step:
                method, target = step["request"].split(" ")
                reply = side.call(method, target, step["body"], step.get("headers", {}))
                equal(reply.status, step.get("status", 204), step["label"])
            elif "bytes" in step["label"]:
                transact_over_grpc(side, ("gbin", b"\x00\xff\x01", {}), store=store)
            else:
                transact_over_grpc(side, ("gjson", b'{"g": 1}', {"contentType": "application/json"}), store=store)
        equal(skipped, 4, "steps that want a module")
        compare_streams(run, redis)
        eventually(lambda: redis.command("KEYS", "outbox-*", database=5) == [], "the markers go")
        rows = {}
        for key in redis.command("KEYS", "*", database=5):
            rows[key.decode()] = redis.command("HGET", key, "data", database=5).decode("utf-8", "surrogateescape")
        theirs = dict(zip(*[iter(line.split("  type=")[0] for line in wanted["final_redis_state"] if "version" not in line)] * 2))
        equal(sorted(rows), sorted(theirs), "keys in Redis: no marker, and the prefixes")
        need(all(key.startswith(("obredis||", "obint||")) for key in rows), "every key has the prefix of its store")
        side.end()


def compare_streams(run, redis):
    for stream, theirs in golden_streams(run).items():
        database = 6 if stream.endswith("obint-topicoutbox") else 4
        theirs = [text for text in theirs if not json.loads(text).get("contentType") or "obsqlite" in stream]
        want = sorted(masked(ours(text, not stream.endswith("outbox"))) for text in theirs)
        eventually(lambda: len(texts(redis, stream, database)) == len(want), f"{stream} has all")
        got = sorted(masked(text) for text in texts(redis, stream, database))
        for one, other in zip(got, want):
            equal(one, other, stream)
        for text in texts(redis, stream, database):
            names = [name for name, _ in json.loads(text, object_pairs_hook=list)]
            equal(names, sorted(names), f"members of {stream}")


@test("a marker is what the reference's is, in both stores", "X-STATE-09")
def markers():
    expected = json.load(open(shared("golden", "outbox", "expected.json")))["runs"]["no namespace"]["requests_in_order"]
    theirs = [step["raw_right_after_the_answer"] for step in expected if step.get("label") == "string value, no content type"]
    redis, folder = Redis(), Folder()
    away = {"keyPrefix": "name", "outboxPublishPubsub": "later", "outboxPubsub": "bus"}
    side = Sidecar(redis_store(redis, "obredis", **away), sqlite_store(folder, "obsqlite", **away), redis_bus(redis),
                   folder=folder)  # fmt: skip
    for name in ("obredis", "obsqlite"):
        done(Store(side, name).transact(("upsert", "plain-str", "hello")))
    keys = sorted(key.decode() for key in redis.command("KEYS", "*", database=1))
    lines = []
    for key in keys:
        fields = [text.decode() for text in redis.command("HGETALL", key, database=1)]
        lines.append(f"{key}  type={redis.command('TYPE', key, database=1).decode()} ttl=none")
        lines += [f"    {name} = {value}" for name, value in sorted(zip(fields[::2], fields[1::2]))]
        equal(redis.command("TTL", key, database=1), -1)
    equal([ID.sub("outbox-UUID", line) for line in lines], [ID.sub("outbox-UUID", line) for line in theirs[0]["redis_db5"]])
    with sqlite3.connect(folder / "state.db") as database:
        rows = sorted([ID.sub("outbox-UUID", row[0]), *row[1:]] for row in
                      database.execute("SELECT key, value, is_binary FROM state"))  # fmt: skip
    equal(rows, sorted([ID.sub("outbox-UUID", row[0]), *row[1:]] for row in theirs[1]["sqlite"]))


@test("what the reference had begun is carried on", "X-STATE-09")
def carried_on():
    for run, (_, namespace) in RUNS.items():
        _, redis, start = golden_beds(run, None)
        streams = golden_streams(run)
        for store, database in (("obredis", 4), ("obint", 6)):
            for text in streams[f"{namespace}goldbox{store}-topicoutbox"]:
                redis.command("XADD", f"{namespace}goldbox{store}-topicoutbox", "*", "data", text, database=database)
                redis.command("HSET", json.loads(text)["id"], "data", '"0"', "version", "1", database=5)
        side = start()
        for store in ("obredis", "obint"):
            stream = f"{store}-topic"
            theirs = [text for text in streams[stream] if "cloudevent." not in text]
            eventually(lambda: len(texts(redis, stream, 4)) == len(streams[stream]), f"all are sent on to {stream}")
            got = [text for text in texts(redis, stream, 4) if json.loads(text)["id"] != "cid"]
            theirs = [text.replace("\ufffd", "\\ufffd") for text in theirs]  # which stays as it was written at first
            equal(sorted(got), sorted(theirs), stream)
        eventually(lambda: redis.command("KEYS", "outbox-*", database=5) == [], "the markers go")
        side.end()


main(end_sidecars)
