# SPDX-License-Identifier: Apache-2.0
# timeout: 400
"""The configuration API, over HTTP and gRPC, on each store: reading, subscriptions and their ends, what plugins, stores
and readers that fail must not lose, and the official SDKs."""

import sdk  # isort: skip

import json
import os
import re
import signal
import threading
import time

import grpc
from configuration_stores import Postgres, RedisStore, Sqlite
from dapr.proto import api_service_v1
from dapr.proto.runtime.v1 import configuration_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from http_app import App, answer
from recordings import matches
from remora import SLOW, Folder, Sidecar, call, component, equal, eventually, free_port, main, need, quote, shared, test
from sdk_programs import environment, ends_well, start

STORES = {"sqlite": Sqlite, "redis": RedisStore, "postgresql": Postgres}


class Reader:
    """An application: the changes that it is sent, as (key, item)."""

    def __init__(self, status=200, **more):
        self.status, self.got, self.lock = status, [], threading.Lock()
        self.app = App(self.take, **more)

    def take(self, request, exchange):
        if not request.target.startswith("/configuration/"):
            return answer(404)
        status = self.status(request) if callable(self.status) else self.status
        if status == 200:
            with self.lock:
                self.got.append((request.target, json.loads(request.body)))
        return answer(status)

    def of(self, key):
        with self.lock:
            return [body["items"][key] for _, body in self.got if key in body["items"]]


class Watch:
    """An open stream: its id and the changes that have come, as (key, value, version)."""

    def __init__(self, sidecar, *keys, store="conf", alpha=False, metadata=None):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}")
        stub = api_service_v1.DaprStub(self.channel)
        request = pb.SubscribeConfigurationRequest(store_name=store, keys=keys, metadata=metadata or {})
        self.call = stub.SubscribeConfigurationAlpha1(request) if alpha else stub.SubscribeConfiguration(request)
        self.got, self.lock, self.end = [], threading.Lock(), None
        first = next(self.call)
        equal(len(first.items), 0, "the first message has the id alone")
        self.id = first.id
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for message in self.call:
                need(message.id == self.id and message.items, "an id and changes")
                with self.lock:
                    self.got += [(k, i.value, i.version) for k, i in message.items.items()]
            self.end = grpc.StatusCode.OK
        except grpc.RpcError as error:
            self.end = error.code()

    def all(self):
        with self.lock:
            return list(self.got)

    def last(self, key):
        return next((change[1:] for change in reversed(self.all()) if change[0] == key), None)

    def close(self):
        self.call.cancel()
        self.thread.join(10)
        self.channel.close()


def get(sidecar, *keys, store="conf", version="v1.0"):
    query = "&".join(f"key={quote(key)}" for key in keys)
    return sidecar.call("GET", f"/{version}/configuration/{store}?{query}")


def subscribe(sidecar, *keys, version="v1.0"):
    query = "&".join(f"key={quote(key)}" for key in keys)
    reply = sidecar.call("GET", f"/{version}/configuration/conf/subscribe?{query}")
    equal(reply.status, 200, reply.body)
    return reply.json["id"]


def stub_of(sidecar):
    return api_service_v1.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def tells(watch, store, key="pulse"):
    """What is written from now on arrives: writes until it does."""
    for n in range(1000000):
        store.put(key, f"beat{n}", str(n))
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            if any(change[0] == key and change[1] == f"beat{n}" for change in watch.all()):
                return
            time.sleep(0.01)
        need(n < 60 * SLOW, "changes arrive")


def settle(sidecar, store, name="conf"):
    """Returns when the store has no more to say of what was written before: whoever subscribes now would be told as well."""
    pulse = Watch(sidecar, "pulse", store=name)
    tells(pulse, store)
    pulse.close()


_open = {}


def bed(kind):
    """A store and a sidecar, made once for the tests that leave both well."""
    if kind not in _open:
        store = STORES[kind]()
        reader = Reader()
        _open[kind] = (store, Sidecar(store.component(), flags=["--app-port", str(reader.app.port)]), reader)
    return _open[kind]


for kind in STORES:

    @test(f"{kind}: keys are read, one, several, all, none", "CFG-02 CFG-03 CFG-04 CFG-18 X-CFG-01")
    def _(kind=kind):
        store, sidecar, _ = bed(kind)
        store.put("get:a", "1", "v1")
        store.put("get:b c/ü?%&", "2 <&>")
        reply = get(sidecar, "get:a")
        equal((reply.status, reply.json), (200, {"get:a": {"value": "1", "version": "v1"}}))
        reply = get(sidecar, "get:b c/ü?%&", "get:a", "get:none", "get:a", version="v1.0-alpha1")
        equal((sorted(reply.json), reply.json["get:b c/ü?%&"]["value"]), (["get:a", "get:b c/ü?%&"], "2 <&>"))
        reply = get(sidecar, "get:none")
        equal((reply.status, reply.body), (204, b""))
        need({"get:a", "get:b c/ü?%&"} <= set(get(sidecar).json), "all of them")

    @test(f"{kind}: gRPC reads the same", "CFG-03 CFG-04 CFG-12 X-CFG-02")
    def _(kind=kind):
        store, sidecar, _ = bed(kind)
        store.put("grpc:a", "1", "v1", {"m": "n"} if store.has_metadata else None)
        for method in ("GetConfiguration", "GetConfigurationAlpha1"):
            request = pb.GetConfigurationRequest(store_name="conf", keys=["grpc:a", "none"], metadata={"x": "y"})
            items = getattr(stub_of(sidecar), method)(request).items
            equal(list(items), ["grpc:a"])
            equal((items["grpc:a"].value, items["grpc:a"].version), ("1", "v1"))
            equal(dict(items["grpc:a"].metadata), {"m": "n"} if store.has_metadata else {})

    @test(f"{kind}: the application is told over HTTP until it unsubscribes",
          "CFG-08 CFG-09 CFG-10 X-CFG-01 ERR_CONFIGURATION_UNSUBSCRIBE")
    def _(kind=kind):
        store, sidecar, reader = bed(kind)
        for version in ("v1.0", "v1.0-alpha1"):
            key, odd = f"http {version}", f"http/{version}?"
            id = subscribe(sidecar, key, odd, version=version)
            store.put("other", "0")
            store.put(key, "1", "7")
            store.put(odd, "born", "8")
            eventually(lambda: reader.of(key) and any(odd in b["items"] for _, b in reader.got), "both are told")
            equal(reader.of(key), [{"value": "1", "version": "7"}])
            need(all(body["id"] == id for t, body in reader.got if key in body["items"]), "the id")
            store.remove(key)
            eventually(lambda: len(reader.of(key)) == 2, "the deletion is told")
            equal(reader.of(key)[1], {"value": "1", "version": "7"} if store.deletion_keeps_value else {})
            done = sidecar.call("GET", f"/{version}/configuration/conf/{id}/unsubscribe")
            equal((done.status, done.body), (200, b'{"ok":true}\n'))
            again = sidecar.call("GET", f"/{version}/configuration/conf/{id}/unsubscribe")
            words = f"failed to unsubscribe to configuration request {id}: subscription with id {id} does not exist"
            equal((again.status, again.json), (500, {"message": words}))
            with_watch = Watch(sidecar, key)
            store.put(key, "2", "9")
            eventually(lambda: with_watch.last(key) == ("2", "9"), "others are told")
            with_watch.close()
            equal(len(reader.of(key)), 2, "nothing is told any more")
            equal([t for t, _ in reader.got if "other" in t], [])

    @test(f"{kind}: without keys all changes are told", "X-CFG-01 CFG-07")
    def _(kind=kind):
        store, sidecar, reader = bed(kind)
        id = subscribe(sidecar)
        watch = Watch(sidecar)
        store.put("all:new", "1", "1")
        eventually(lambda: reader.of("all:new") and watch.last("all:new"), "a key that was not there is told")
        equal((reader.of("all:new"), watch.last("all:new")), ([{"value": "1", "version": "1"}], ("1", "1")))
        watch.close()
        equal(sidecar.call("GET", f"/v1.0/configuration/conf/{id}/unsubscribe").json, {"ok": True})

    @test(f"{kind}: a stream starts with its id and ends when it is unsubscribed", "CFG-06 CFG-07 CFG-10 CFG-20")
    def _(kind=kind):
        store, sidecar, _ = bed(kind)
        for alpha in (False, True):
            key = f"stream{alpha}"
            watch = Watch(sidecar, key, alpha=alpha, metadata={"a": "b"})
            need(re.fullmatch("[0-9a-f-]{36}", watch.id), watch.id)
            store.put(key, "1", "v1")
            eventually(lambda: watch.all() == [(key, "1", "v1")], "it is told")
            stub = stub_of(sidecar)
            request = pb.UnsubscribeConfigurationRequest(store_name="conf", id=watch.id)

            def unsubscribe():
                if alpha:
                    return stub.UnsubscribeConfigurationAlpha1(request)
                return stub.UnsubscribeConfiguration(request)

            equal(unsubscribe().ok, True)
            eventually(lambda: watch.end == grpc.StatusCode.OK, "the stream ends")
            again = unsubscribe()
            words = f"failed to unsubscribe to configuration request {watch.id}: subscription does not exist"
            equal((again.ok, again.message), (False, words))

    @test(f"{kind}: the end of a stream is the end of its subscription", "CFG-11")
    def _(kind=kind):
        metrics = ("127.0.0.1", free_port())
        sidecar = Sidecar(bed(kind)[0].component(), flags=["--metrics-port", str(metrics[1])])
        watch = Watch(sidecar, "ended")
        watch.close()
        ended = re.compile(r'configuration_count\{[^}]*operation="unsubscribe",success="true"\} 1\n')
        eventually(lambda: ended.search(call(metrics, "GET", "/metrics").text), "the plugin is told that it has ended")
        request = pb.UnsubscribeConfigurationRequest(store_name="conf", id=watch.id)
        equal(stub_of(sidecar).UnsubscribeConfiguration(request).ok, False, "nobody knows it")
        sidecar.end()

    @test(f"{kind}: what changes between reading a key and subscribing to it is told", "CFG-08 no lost update")
    def _(kind=kind):
        store, sidecar, reader = bed(kind)
        store.put("gap", "1", "1")
        store.put("same", "1", "1")
        equal(get(sidecar, "gap", "same", "gap2").json["gap"]["value"], "1")
        pulse = Watch(sidecar, "pulse")
        store.put("gap", "2", "2")
        store.put("gap2", "born", "1")
        tells(pulse, store)  # nothing the store says of the two is still on its way: it would be told as well
        pulse.close()
        watch = Watch(sidecar, "gap", "same", "gap2")
        eventually(lambda: watch.last("gap") and watch.last("gap2"), "both are told")
        equal(sorted(watch.all()), [("gap", "2", "2"), ("gap2", "born", "1")])
        later = Watch(sidecar, "gap", "same", "gap2")
        store.put("same", "2", "2")
        eventually(lambda: later.last("same") == ("2", "2"), "the next change")
        equal(later.all(), [("same", "2", "2")])
        watch.close(), later.close()

    @test(f"{kind}: a plugin that is killed loses no change", "CFG-08 restart")
    def _(kind=kind):
        store, sidecar, reader = bed(kind)
        store.put("kept", "0", "0")
        store.put("gone", "0", "0")
        settle(sidecar, store)
        watch = Watch(sidecar, "kept", "gone", "pulse")
        id = subscribe(sidecar, "kept")
        os.kill(sidecar.plugin_pid(store.plugin), signal.SIGKILL)
        store.put("kept", "1", "1")
        store.remove("gone")
        eventually(lambda: watch.last("kept") == ("1", "1"), "what changed meanwhile is told")
        if not store.deletion_keeps_value:  # the trigger's notification may have come in time
            eventually(lambda: watch.last("gone") == ("", ""), "what vanished meanwhile is told")
        eventually(lambda: reader.of("kept")[-1:] == [{"value": "1", "version": "1"}], "to the application too")
        tells(watch, store)
        equal({c for c in watch.all() if c[0] == "kept"}, {("kept", "1", "1")}, "what has not changed is not told")
        watch.close()
        equal(sidecar.call("GET", f"/v1.0/configuration/conf/{id}/unsubscribe").json, {"ok": True})

    @test(f"{kind}: a component that is changed, taken away and put back goes on", "CFG-08 hot reload")
    def _(kind=kind):
        store = STORES[kind]()
        sidecar = Sidecar(store.component())
        path = sidecar.folder / "resources/0.yaml"
        store.put("k", "0", "0")
        watch = Watch(sidecar, "k", "pulse")

        def write(text):
            with open(path + ".new", "w") as f:
                f.write(text)
            os.rename(path + ".new", path)

        write(store.component(note="changed"))
        tells(watch, store)
        os.remove(path)
        eventually(lambda: (reply := get(sidecar, "k")).status == 500 and
                   reply.json["errorCode"] == "ERR_CONFIGURATION_STORE_NOT_CONFIGURED", "it is gone")
        store.put("k", "1", "1")
        write(store.component())
        eventually(lambda: watch.last("k") == ("1", "1"), "what changed meanwhile is told")
        tells(watch, store)
        equal({c for c in watch.all() if c[0] == "k"}, {("k", "1", "1")}, "what has not changed is not told")
        sidecar.stop()
        eventually(lambda: watch.end == grpc.StatusCode.UNAVAILABLE, "the sidecar's end is the stream's")

    for program in ("python/configuration.py", "js/configuration.js"):

        @test(f"{kind}: {program} of the official SDK", "SDK-34 SDK-53 CFG-16 CFG-17 CFG-19")
        def _(kind=kind, program=program):
            store, sidecar, _ = bed(kind)
            store.put("orderId1", "101", "1")
            store.put("orderId2", "102", "1")
            process = start(Folder(), environment(sidecar), program, "conf")
            for key, value in (("orderId1", "103"), ("orderId2", "104")):
                eventually(lambda: f"waiting for {key}={value}" in process.log() or not process.is_alive(), "it waits", 60)
                store.put(key, value, "2")
            ends_well(process)


@test("an application that fails is told the newest value when it is well, and nothing older", "CFG-08")
def _():
    store = Sqlite()
    broken = threading.Event()
    broken.set()
    seen = []

    def status(request):
        seen.append(json.loads(request.body)["items"])
        return 503 if broken.is_set() else 200

    reader = Reader(status)
    sidecar = Sidecar(store.component(), flags=["--app-port", str(reader.app.port)])
    subscribe(sidecar, "k")
    store.put("k", "1", "1")
    eventually(lambda: seen, "it is asked")
    for n in range(2, 30):
        store.put("k", str(n), str(n))
    broken.clear()
    eventually(lambda: reader.of("k")[-1:] == [{"value": "29", "version": "29"}], "the newest arrives")
    versions = [int(items["k"]["version"]) for items in seen]
    equal(versions, sorted(versions), "versions never go back")


@test("an application that refuses a change is not asked again", "CFG-08")
def _():
    store, asked = Sqlite(), []

    def status(request):
        asked.append(request.target)
        return 404 if request.target.endswith("/a") else 200

    reader = Reader(status)
    sidecar = Sidecar(store.component(), flags=["--app-port", str(reader.app.port)])
    subscribe(sidecar, "a", "b")
    store.put("a", "1")
    eventually(lambda: asked, "it is asked")
    store.put("b", "1")
    eventually(lambda: reader.of("b"), "the next is told")
    equal(asked, ["/configuration/conf/a", "/configuration/conf/b"])


@test("without an application there is nobody to subscribe for", "ERR_APP_CHANNEL_NIL")
def _():
    sidecar = Sidecar(Sqlite().component())
    reply = sidecar.call("GET", "/v1.0/configuration/conf/subscribe?key=a")
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_APP_CHANNEL_NIL"))


@test("what is wrong with a request is said with the reference's codes", "ERR_CONFIGURATION_STORE_NOT_FOUND ERR_CONFIGURATION_GET")
def _():
    store = Sqlite()
    sidecar = Sidecar(store.component(), flags=["--app-port", "1"], wait=False)
    eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "the components are there")
    for target in ("?key=a", "/subscribe", "/id/unsubscribe"):
        reply = sidecar.call("GET", "/v1.0/configuration/ghost" + target)
        equal((reply.status, reply.json), (400, {"errorCode": "ERR_CONFIGURATION_STORE_NOT_FOUND",
                                                 "message": "configuration store ghost not found"}))
    for call in (lambda s: s.GetConfiguration(pb.GetConfigurationRequest(store_name="ghost")),
                 lambda s: next(s.SubscribeConfiguration(pb.SubscribeConfigurationRequest(store_name="ghost")))):
        try:
            call(stub_of(sidecar))
            need(False, "an error")
        except grpc.RpcError as error:
            equal((error.code(), error.details()),
                  (grpc.StatusCode.INVALID_ARGUMENT, "configuration store ghost not found"))
    equal(sidecar.call("GET", "/v1.0/configuration/conf?key=a%00b").status, 400)
    equal(sidecar.call("POST", "/v1.0/configuration/conf", b"").status, 404)
    store.run("DROP TABLE configuration")
    reply = get(sidecar, "a", "b")
    need(reply.status == 500 and reply.json["errorCode"] == "ERR_CONFIGURATION_GET", reply.body)
    need(reply.json["message"].startswith("failed to get [a b] from Configuration store conf: "), reply.body)


@test("a reader that does not read holds no more than its share, and ends with the newest values", "CFG-08 slow reader")
def _():
    store = Sqlite()
    sidecar = Sidecar(store.component())
    size, keys = 32 * 1024, 64
    channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}", options=[("grpc.http2.bdp_probe", 0)])
    call = api_service_v1.DaprStub(channel).SubscribeConfiguration(pb.SubscribeConfigurationRequest(store_name="conf"))
    need(next(call).id, "an id")

    def memory():
        with open(f"/proc/{sidecar.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    before = memory()
    for turn in range(24):  # 48 MiB
        for k in range(keys):
            store.put(f"k{k}", "x" * size, str(turn))
    grown = memory() - before
    need(SLOW > 1 or grown < 24 * 1024, f"the kernel has grown by {grown} KiB")
    latest = {}

    def read():
        for message in call:
            for key, item in message.items.items():
                need(int(item.version) >= latest.get(key, -1), "versions never go back")
                latest[key] = int(item.version)
            if len(latest) == keys and set(latest.values()) == {23}:
                return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60 * SLOW)
    equal(latest, {f"k{k}": 23 for k in range(keys)})
    call.cancel()


@test("subscriptions are bounded, and those that end make room", "ERR_CONFIGURATION_SUBSCRIBE bound")
def _():
    store, most = Sqlite(), 1024
    sidecar = Sidecar(store.component(), flags=["--app-port", str(Reader().app.port)])
    channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}")
    stub = api_service_v1.DaprStub(channel)
    request = pb.SubscribeConfigurationRequest(store_name="conf", keys=["k"])
    ids = [next(subscription := stub.SubscribeConfiguration(request)).id and subscription for _ in range(64)]
    store.put("k", "1", "1")
    for one in ids:
        equal(next(one).items["k"].value, "1")
    for one in ids:
        one.cancel()
    held = []

    def subscribed():
        reply = sidecar.call("GET", "/v1.0/configuration/conf/subscribe?key=k")
        held.extend([reply.json["id"]] if reply.status == 200 else [])
        return reply

    eventually(lambda: subscribed().status == 200 and len(held) == most or None, "there is room for all", 60)
    refused = subscribed()
    equal((refused.status, refused.json["errorCode"]), (503, "ERR_CONFIGURATION_SUBSCRIBE"))
    equal(sidecar.call("GET", f"/v1.0/configuration/conf/{held.pop()}/unsubscribe").json, {"ok": True})
    eventually(lambda: subscribed().status == 200, "there is room again")


@test("several sidecars on one file see the same", "several processes")
def _():
    store = Sqlite()
    sidecars = [Sidecar(store.component(), app_id=f"app{n}") for n in range(3)]
    watches = [Watch(sidecar, "k") for sidecar in sidecars]
    store.put("k", "1", "1", {"a": "b"})
    for watch in watches:
        eventually(lambda watch=watch: watch.last("k") == ("1", "1"), "it is told")
    store.run("UPDATE configuration SET key = 'other'")
    for watch in watches:
        eventually(lambda watch=watch: watch.last("k") == ("", ""), "it has gone")
    store.run("INSERT OR REPLACE INTO configuration (key, value) VALUES ('k', 'again')")
    store.run("INSERT OR IGNORE INTO configuration (key, value) VALUES ('k', 'ignored'), ('k2', 'x')")
    for watch in watches:
        eventually(lambda watch=watch: (watch.last("k") or ("",))[0] == "again", "it is back")
        need(int(watch.last("k")[1]) > 0, "a version that nobody gave is the number of the change")
    equal(json.loads(get(sidecars[0]).body)["other"]["metadata"], {"a": "b"})


@test("a Redis that goes away and comes back has lost no change", "CFG-08 outage")
def _():
    store = RedisStore(database=3)
    sidecar = Sidecar(store.component())
    store.put("k", "0", "0")
    watches = [Watch(sidecar, "k", "pulse"), Watch(sidecar)]
    store.server.stop()
    store.server.start()
    store.put("k", "1", "1")
    for watch in watches:
        eventually(lambda watch=watch: watch.last("k") == ("1", "1"), "what changed meanwhile is told")
    for watch in watches:
        tells(watch, store)
    need(set("Kg$xe") <= set(store.command("CONFIG", "GET", "notify-keyspace-events")[1].decode()), "it notifies again")


GOLDEN = shared("golden", "configuration", "redis.json")
KEPT = "an item without a value is kept: it is there"
GOLDEN_DIFFERS = {  # what we answer instead, and why
    "GET /v1.0/configuration/cfg": ({"empty": {}, "k4": {"version": "9"}}, KEPT),
    "GET /v1.0/configuration/cfg?key=k3&key=k4&key=k5&key=uni&key=empty": ({"empty": {}, "k4": {"version": "9"}}, KEPT),
}


@test("what a Redis of the reference holds is read, watched and told as the reference does", "CFG-05 golden")
def _():
    with open(GOLDEN) as f:
        golden = json.load(f)
    store, reader = RedisStore(database=8), Reader()
    lines = iter(golden["redis_contents"])
    for line in lines:
        key, value = line.split()[0], next(lines)[4:]
        value = value.encode().decode("unicode_escape").encode("latin-1").decode()
        if "type=hash" in line:
            store.command("HSET", key, "f", "v")
        else:
            store.command("SET", key, value)
    sidecar = Sidecar(store.component("cfg"), flags=["--app-port", str(reader.app.port)])
    for entry in golden["answers"]:
        if not entry["request"].startswith("GET"):
            continue
        more, _ = GOLDEN_DIFFERS.get(entry["request"], ({}, ""))
        reply = sidecar.call("GET", entry["request"].split(" ", 1)[1])
        wanted = json.loads(entry["answer"] or "{}")
        equal((reply.status, json.loads(reply.body or b"{}")), (entry["status"], {**wanted, **more}), entry["request"])
    items = stub_of(sidecar).GetConfiguration(pb.GetConfigurationRequest(store_name="cfg", keys=["k1", "uni"])).items
    equal({k: (i.value, i.version) for k, i in items.items()}, {"k1": ("v1", "1"), "uni": ("日本", "v2")})
    for part, keys in (("subscribe_k1_k2", ("k1", "k2")), ("subscribe_all", ())):
        watch = Watch(sidecar, *keys, store="cfg")
        wanted = []
        for change in golden[part]["changes"]:
            store.command(*[word.strip("'") for word in change["change"].split()])
            for event in change["events"]:
                wanted += [(k, i["value"], i["version"]) for k, i in event["items"].items()]
            eventually(lambda: watch.all() == wanted, f"{change['change']}: {watch.all()}")
        watch.close()
        settle(sidecar, store, "cfg")
    flags = store.command("CONFIG", "GET", "notify-keyspace-events")[1].decode()
    equal(sorted(flags), sorted(golden["notify_keyspace_events_after_subscribe"][1]))


GOLDEN_POSTGRES = shared("golden", "configuration", "postgres.json")


@test("what a PostgreSQL of the reference holds is read, watched and told as the reference does", "golden")
def _():
    with open(GOLDEN_POSTGRES) as f:
        golden = json.load(f)
    dumped = Postgres(golden=shared("golden", "configuration", "postgres.sql"))
    dumped_sidecar = Sidecar(dumped.component("pgcfg"))
    equal(get(dumped_sidecar, "dup", "dup10", store="pgcfg").json,
          {"dup": {"value": "new", "version": "2"}, "dup10": {"value": "ten", "version": "10"}})
    dumped.server.run("DROP TABLE configtable; DROP FUNCTION notify_event", golden["ddl_and_rows"])
    reader, store = Reader(), dumped
    sidecar = Sidecar(store.component("pgcfg", notifyChannel=""), store.component("pgcfg2", kind="configuration.postgres"),
                      flags=["--app-port", str(reader.app.port)])
    for entry in golden["answers"]:
        if not entry["request"].startswith("GET"):
            continue
        reply = sidecar.call("GET", entry["request"].split(" ", 1)[1])
        equal((reply.status, reply.json), (entry["status"], json.loads(entry["answer"])), entry["request"])
    refused = sidecar.call("GET", "/v1.0/configuration/pgcfg/subscribe?key=k2")
    wanted = golden["http_subscribe_without_channel"]
    equal((refused.status, refused.body.decode()), (wanted["status"], wanted["answer"]))
    for part, name, keys, metadata in (
        ("subscribe_k1_k2_metadata_pgNotifyChannel_config", "pgcfg", ("k1", "k2"), {"pgNotifyChannel": "config"}),
        ("subscribe_notifyChannel_in_component_no_keys", "pgcfg2", (), None),
    ):
        watch, wanted = Watch(sidecar, *keys, store=name, metadata=metadata), []
        for change in golden[part]["changes"]:
            store.server.run(change["change"])
            for event in change["events"]:
                wanted += [(k, i["value"], i["version"]) for k, i in event["items"].items()]
            eventually(lambda: watch.all() == wanted, f"{change['change']}: {watch.all()}")
        watch.close()


@test("a PostgreSQL that goes away and comes back has lost no change", "CFG-08 outage")
def _():
    store = Postgres()
    sidecar = Sidecar(store.component())
    store.put("k", "0", "0")
    watch = Watch(sidecar, "k", "pulse")
    store.server.stop()
    refused = get(sidecar, "k")
    equal((refused.status, refused.json["errorCode"]), (500, "ERR_CONFIGURATION_GET"))
    store.server.start()
    store.put("k", "1", "1")
    eventually(lambda: watch.last("k") == ("1", "1"), "what changed meanwhile is told")
    tells(watch, store)


@test("a component whose table or channel is no name does not start", "hostile")
def _():
    for metadata in ({"table": "a; DROP TABLE b"}, {"table": ""}, {"notifyChannel": 'x"y'}, {"connectionString": ""}):
        document = component("conf", "configuration.postgresql",
                             {"connectionString": "host=127.0.0.1 port=1", "table": "t", **metadata})
        sidecar = Sidecar(document, wait=False)
        equal(sidecar.wait(), 1, metadata)


RECORDED = shared("recordings/bindings.json")


@test("recorded exchanges of configuration are as the reference's", "recordings")
def _():
    with open(RECORDED) as f:
        entries = [e for e in json.load(f)["entries"] if "/configuration/" in json.dumps(e) and e["setup"] == "O"]
    store, reader = RedisStore(), Reader()
    for key, value in (("c1", "v1"), ("c2", "v2||7"), ("cnt", "1")):
        store.command("SET", key, value)
    sidecar = Sidecar(store.component(), flags=["--app-port", str(reader.app.port)])
    id = None
    need(len(entries) > 20, "entries")
    for entry in entries:
        if "request" in entry:
            if "subscribe v1.0-alpha1" in entry["name"]:
                store.command("SET", "c1", "v1")
                settle(sidecar, store)
            target = entry["request"]["target"].replace("<UUID>", id or "none")
            reply = sidecar.call(entry["request"]["method"], target)
            recorded = entry["response"]
            equal(reply.status, int(recorded["status_line"].split()[1]), entry["name"])
            need(matches(recorded["body"], reply.body.decode()), f"{entry['name']}: {reply.body}")
            type_ = dict(recorded["headers"]).get("Content-Type")
            equal(reply.header("Content-Type"), type_, entry["name"])
            id = reply.json["id"] if reply.body.startswith(b'{"id"') else id
            continue
        before = len(reader.got)
        store.command(*entry["name"].split("after ")[1].removeprefix("redis command ").split())
        eventually(lambda: len(reader.got) > before, f"{entry['name']}: the application is told")
        [wanted] = entry["received"]["app"]
        target, body = reader.got[before]
        equal(target, wanted["target"], entry["name"])
        equal(body, json.loads(wanted["body"].replace("<UUID>", id)), entry["name"])


@test("nothing configured is answered as recorded", "ERR_CONFIGURATION_STORE_NOT_CONFIGURED recordings")
def _():
    sidecar = Sidecar()
    with open(shared("recordings/http-api.json")) as f:
        entries = [e for e in json.load(f)["entries"] if e["name"].startswith("bare: config")]
    for entry in entries:
        reply = sidecar.call("GET", entry["request"]["target"])
        equal((reply.status, reply.body.decode()), (500, entry["response"]["body"]), entry["name"])
    equal(len(entries), 4)
    stub = stub_of(sidecar)
    try:
        stub.GetConfiguration(pb.GetConfigurationRequest(store_name="x"))
        need(False, "an error")
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        need(status.details[0].Unpack(info), "ErrorInfo")
        equal((error.code(), error.details(), info.reason, info.domain),
              (grpc.StatusCode.FAILED_PRECONDITION, "configuration stores not configured",
               "ERR_CONFIGURATION_STORE_NOT_CONFIGURED", "dapr.io"))
    told = stub.UnsubscribeConfiguration(pb.UnsubscribeConfigurationRequest(store_name="x", id="i"))
    equal((told.ok, told.message), (False, "failed to unsubscribe to configuration request i: subscription does not exist"))


main()
