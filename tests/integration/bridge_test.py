#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pluggable components of Dapr's protocol behind sockets, used unmodified through the bridge: an independent component
on grpcio (tests/lib/pluggable.py) of every kind, late, killed and back, two of one type, and answering nonsense.
timeout: 240"""

import sdk  # noqa: F401  isort: skip

import json
import os
import signal
import socket
import subprocess
import threading

from http_app import App, answer
from inbox import Inbox, subscription
from pluggable import Pluggable
from remora import BUILD, Folder, Sidecar, Store, component, equal, eventually, main, need, test

IGNORE = "  ignoreErrors: true\n"


class Bed:
    """A folder for sockets, and sidecars that look there."""

    def __init__(self):
        self.folder = Folder()

    def pluggable(self, name, kinds, **more):
        return Pluggable(self.folder, name, kinds, **more)

    def sidecar(self, *resources, **more):
        env = {"PATH": os.environ["PATH"], "DAPR_COMPONENTS_SOCKETS_FOLDER": self.folder.path}
        # Python is given time to answer.
        resources = [r if "initTimeout" in r else r.replace("spec:\n  type:", "spec:\n  initTimeout: 60s\n  type:")
                     for r in resources]  # fmt: skip
        return Sidecar(*resources, env=env, **more)


def invoke(sidecar, name, operation, data="", **metadata):
    return sidecar.call("POST", f"/v1.0/bindings/{name}", {"operation": operation, "data": data, "metadata": metadata})


def header(reply, name):
    return next((value for key, value in reply.headers if key.lower() == name.lower()), None)


# --- every kind -------------------------------------------------------------------------------------------------------


@test("a state store keeps exact bytes, etags, options, and says what it refuses", "BRIDGE-STATE")
def _():
    bed = Bed()
    store = bed.pluggable("Memory", "state")
    sidecar = bed.sidecar(component("s", "state.memory", {"host": "h1", "a": "b"}))
    s = Store(sidecar, "s")
    equal(store.log("StateStore.Init"), [["s", {"host": "h1", "a": "b"}]])
    equal(s.get("nothing").status, 204)
    equal(s.save("k", None, raw='{"b": 12345678901234567890,"a":"<"}').status, 204)
    got = s.get("k")
    equal((got.status, got.text, got.header("etag")), (200, '{"b": 12345678901234567890,"a":"<"}', "1"))
    stale = s.save("k", 2, etag="7")
    equal((stale.status, stale.json["message"]), (409, "failed saving state in state store s: possible etag mismatch. "
                                                       "error from state store: shop||k is another version"))
    odd = s.save("k", 2, etag="x")
    equal((odd.status, odd.json["message"]), (400, "failed saving state in state store s: invalid etag value: x is no number"))
    equal(s.save("k", 2, options={"concurrency": "first-write"}).status, 409)
    equal(s.save("k", 2, etag="1").status, 204)
    equal(s.delete("k", etag="1").status, 409)
    equal(s.delete("k", etag="2").status, 204)
    equal(s.get("k").status, 204)
    equal(s.save("t", "mortal", metadata={"ttlInSeconds": "100"}).status, 204)
    need((header(s.get("t"), "metadata.ttlexpiretime") or "").endswith("Z"), s.get("t"))
    equal(s.transact(("delete", "t")).status, 500)  # the feature is there, the service is not
    big = "x" * 3_000_000
    equal(s.save("big", big).status, 204)
    equal(s.get("big").json, big)
    store.do(fault={"Get": "PERMISSION_DENIED"})
    equal(s.get("big").json["message"], "fail to get big from state store s: "
                                        "rpc error: code = PermissionDenied desc = PERMISSION_DENIED was asked for")


@test("bulk operations are one call, or one by one for a store that has none", "BRIDGE-STATE-BULK")
def _():
    bed = Bed()
    store = bed.pluggable("memory", "state")
    plain = bed.pluggable("plain", "state", missing="BulkGet BulkSet BulkDelete Features")
    sidecar = bed.sidecar(component("s", "state.memory"), component("p", "state.plain"))
    for name, one in (("s", store), ("p", plain)):
        s = Store(sidecar, name)
        equal(s.save_raw(json.dumps([{"key": f"k{i}", "value": i} for i in range(5)])).status, 204)
        got = {row["key"]: row.get("data") for row in s.bulk([f"k{i}" for i in range(7)]).json}
        equal(got, {**{f"k{i}": i for i in range(5)}, "k5": None, "k6": None})
        stale = s.save_raw(json.dumps([{"key": "k1", "value": 9, "etag": "99"}, {"key": "k9", "value": 9}]))
        equal(stale.status, 409, stale.text)
        equal(len(one.log("StateStore.BulkSet")), 2 if name == "s" else 0)
        equal(len(one.log("StateStore.Set")), 0 if name == "s" else 7)
    rows = {row["key"]: row for row in Store(sidecar, "s").bulk(["k1", "bad"]).json}
    equal((rows["k1"]["data"], rows["bad"]["error"]), (1, "it cannot be read"))


@test("transactions are all or nothing and bounded, queries are answered a page at a time", "BRIDGE-STATE-MORE")
def _():
    bed = Bed()
    store = bed.pluggable("memory", "state transact query max")
    sidecar = bed.sidecar(component("s", "state.memory"))
    s = Store(sidecar, "s")
    equal(s.transact(("upsert", "a", {"n": 1, "c": "x"}), ("upsert", "b", {"n": 2, "c": "y"})).status, 204)
    failed = s.transact(("upsert", "c", 1), ("delete", "a", {"etag": "99"}))
    need(failed.status >= 400 and "etag" in failed.text, failed)
    equal(s.get("c").status, 204)
    many = s.transact(*[("upsert", f"k{i}", i) for i in range(4)])
    equal((many.status, many.json["errorCode"]), (400, "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS"))
    equal(s.save("d", {"n": 3, "c": "x"}).status, 204)
    query = {"filter": {"EQ": {"c": "x"}}, "sort": [{"key": "n", "order": "DESC"}], "page": {"limit": 1}}
    first = s.query(query).json
    equal([(row["key"], row["data"]["n"]) for row in first["results"]], [("d", 3)])
    query["page"]["token"] = first["token"]
    second = s.query(query).json
    equal([(row["key"], row["data"]["n"]) for row in second["results"]], [("a", 1)])
    equal(s.query({"filter": {"OR": [{"EQ": {"n": 2}}, {"IN": {"n": [3]}}]}}).json["results"][0]["data"]["n"], 2)
    need(s.query({"filter": [1]}).status >= 400, "a filter that is none")


@test("secrets are read one by one and all at once, and fill other components' metadata", "BRIDGE-SECRETS")
def _():
    bed = Bed()
    vault = bed.pluggable("safe", "secrets state")
    reference = component("s", "state.safe", extra="auth:\n  secretStore: v\n").replace(
        "  metadata: []", "  metadata:\n  - name: password\n    secretKeyRef: {name: db, key: db}")
    sidecar = bed.sidecar(component("v", "secretstores.safe"), reference)
    equal(sidecar.call("GET", "/v1.0/secrets/v/db").json, {"db": "s3cret"})
    equal(sidecar.call("GET", "/v1.0/secrets/v/many").json, {"a": "1", "b": "2"})
    equal(sidecar.call("GET", "/v1.0/secrets/v/bulk").json, {"db": {"db": "s3cret"}, "many": {"a": "1", "b": "2"}})
    equal(sidecar.call("GET", "/v1.0/secrets/v/none").status, 500)
    equal(vault.log("StateStore.Init"), [["s", {"password": "s3cret"}]])
    need("s3cret" not in sidecar.log(), "a secret is in the log")


@test("an output binding does what it lists, and a failure is told", "BRIDGE-OUTPUT")
def _():
    bed = Bed()
    bed.pluggable("thing", "output")
    sidecar = bed.sidecar(component("b", "bindings.thing"))
    done = invoke(sidecar, "b", "mirror", "abc", color="red")
    equal((done.status, done.body, header(done, "metadata.operation"), header(done, "metadata.seen")),
          (200, b'"cba"', "mirror", "red"))
    refused = invoke(sidecar, "b", "fail")
    equal((refused.status, refused.json["message"]), (500, "error invoking output binding b: "
                                                           "rpc error: code = PermissionDenied desc = not today"))
    need("supported operations:create mirror fail" in invoke(sidecar, "b", "dance").text, "operations are told")


@test("events of an input binding are given until they are handled, answers go back", "BRIDGE-INPUT")
def _():
    bed = Bed()
    source = bed.pluggable("thing", "input output")
    refusals = {b"stubborn": 2}
    handled = []

    def take(request, exchange):
        if request.method == "OPTIONS":
            return answer(200)
        if refusals.get(request.body, 0) > 0:
            refusals[request.body] -= 1
            return answer(500)
        handled.append((request.body, request.header("color")))
        return answer(200, b'"seen"', [("Content-Type", "application/json")])

    app = App(take)
    sidecar = bed.sidecar(component("b", "bindings.thing"), flags=["--app-port", str(app.port)])
    source.do(events=["one", "stubborn", "two"])
    eventually(lambda: len(handled) == 3, "all are handled")
    equal(sorted(handled), [(b"one", "blue"), (b"stubborn", "blue"), (b"two", "blue")])
    acks = eventually(lambda: (lambda all_: all_ if len(all_) == 5 else None)(source.do()["acks"]), "all are answered")
    equal(sorted(failed for _, failed, _ in acks), [False, False, False, True, True])
    need(all(data == '"seen"' for _, failed, data in acks if not failed), acks)
    equal(len(source.log("InputBinding.Init")), 1)
    equal(len(source.log("OutputBinding.Init")), 1)
    equal(invoke(sidecar, "b", "mirror", "ab").body, b'"ba"')


@test("messages are published, delivered and acknowledged; at the end deliveries are paused", "BRIDGE-PUBSUB")
def _():
    bed = Bed()
    broker = bed.pluggable("broker", "pubsub")
    tries = {}

    def verdict(topic, data):
        tries[str(data)] = tries.get(str(data), 0) + 1
        return 500 if data == "again" and tries["again"] < 3 else 200

    inbox = Inbox(verdict)
    sidecar = bed.sidecar(component("bus", "pubsub.broker"), subscription("orders", metadata={"x": "y"}),
                          flags=["--app-port", str(inbox.port)])
    for data in ("one", "again"):
        equal(sidecar.call("POST", "/v1.0/publish/bus/orders", json.dumps(data),
                           [("Content-Type", "application/json")]).status, 204)
    eventually(lambda: sorted(map(str, inbox.taken())) == ["again", "one"], "both are taken")
    bulk = sidecar.call("POST", "/v1.0-alpha1/publish/bulk/bus/orders", [
        {"entryId": str(i), "event": f"b{i}", "contentType": "text/plain"} for i in range(3)])
    equal(bulk.status, 204, bulk.text)
    eventually(lambda: len(inbox.taken()) == 5, "the bulk is taken")
    eventually(lambda: sum(not failed for _, failed, _ in broker.do()["acks"]) == 5, "all are acknowledged")
    equal([told for _, told in broker.log("topic")], [{"name": "orders", "metadata": {"x": "y"}}])

    def is_paused():  # as far as there was time to ask for it before the sidecar's end
        sidecar.stop() if sidecar.is_alive() else bed.sidecar(component("bus", "pubsub.broker")).stop()
        return broker.do()["paused"]

    eventually(is_paused, "deliveries are paused")
    need(broker.log("PubSub.Pause"), "it was asked for")
    equal(broker.do()["waiting"], {"orders": 0})


@test("what is with the application at the end is acknowledged, the rest stays with the broker", "BRIDGE-PUBSUB-END")
def _():
    bed = Bed()
    broker = bed.pluggable("broker", "pubsub", missing="Pause Resume")
    entered, leave = threading.Event(), threading.Event()

    def verdict(topic, data):
        entered.set()
        leave.wait(20)
        return 200

    inbox = Inbox(verdict)
    sidecar = bed.sidecar(component("bus", "pubsub.broker"), subscription("orders"),
                          flags=["--app-port", str(inbox.port)])
    sidecar.call("POST", "/v1.0/publish/bus/orders", '"last"', [("Content-Type", "application/json")])
    need(entered.wait(20), "it is delivered")
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: "beginning shutdown" in sidecar.log(), "the end has begun")
    leave.set()
    sidecar.wait()
    equal(broker.log("PubSub.Pause"), [], "there is no such method")
    eventually(lambda: [failed for _, failed, _ in broker.do()["acks"]] == [False], "it is acknowledged")
    equal(broker.do()["waiting"], {"orders": 0})


# --- who is there -----------------------------------------------------------------------------------------------------


@test("each component of a type has an Init and an instance of its own", "BRIDGE-INSTANCE")
def _():
    bed = Bed()
    store = bed.pluggable("memory", "state")
    sidecar = bed.sidecar(component("one", "state.memory", {"number": "1"}), component("two", "state.memory", {"number": "2"}))
    equal(sorted(store.log("StateStore.Init")), [["one", {"number": "1"}], ["two", {"number": "2"}]])
    equal(Store(sidecar, "one").save("k", 1).status, 204)
    equal(Store(sidecar, "two").save("k", 1).status, 204)
    equal(sorted(instance for instance, _ in store.log("StateStore.Set")), ["one", "two"])


@test("a component that comes late is waited for, or tried in the background", "BRIDGE-LATE")
def _():
    bed = Bed()
    late = bed.pluggable("late", "state", start=False)
    later = bed.pluggable("later", "state", start=False)
    sidecar = bed.sidecar(
        component("a", "state.late").replace("spec:", "spec:\n  initTimeout: 30s"),
        component("b", "state.later").replace("spec:", "spec:\n  initTimeout: 1s\n" + IGNORE.rstrip()),
        wait=False,
    )
    eventually(lambda: "later.sock is not ready: cannot connect to" in sidecar.log(), "the trouble is told")
    late.start()
    sidecar.wait_ready()
    equal(Store(sidecar, "a").save("k", 1).status, 204)
    equal(Store(sidecar, "b").save("k", 1).status, 400)
    later.start()
    eventually(lambda: Store(sidecar, "b").save("k", 1).status == 204, "it is there", 30)


@test("without its socket, of another kind, or refused, a component ends the start and says why", "BRIDGE-REFUSE")
def _():
    bed = Bed()
    bed.pluggable("broker", "pubsub state")
    for resource, words in (
        (component("x", "secretstores.broker"), "what is behind the socket is no secret store"),
        (component("x", "bindings.broker"), "what is behind the socket is no binding"),
        (component("x", "state.broker", {"refuse": "not you"}), "rpc error: code = InvalidArgument desc = not you"),
        (component("x", "state.none").replace("spec:", "spec:\n  initTimeout: 1s"), "none.sock: No such file or directory"),
        (component("x", "state.broker", version="v2"), "couldn't find state store state.broker/v2"),
        (component("x", "state.../../etc/x"), "no socket can have the name of"),
    ):
        for left in range(4, -1, -1):  # the reason is heard if it comes before the time is over
            sidecar = bed.sidecar(resource, wait=False)
            equal(sidecar.wait(), 1, resource)
            if words in sidecar.log():
                break
            need(left and "init timeout exceeded" in sidecar.log(), f"{words} is not in\n{sidecar.log()}")


@test("a component that is killed and comes back is told its metadata again, calls wait for it", "BRIDGE-BACK")
def _():
    bed = Bed()
    store = bed.pluggable("memory", "state pubsub")
    inbox = Inbox()
    sidecar = bed.sidecar(component("s", "state.memory", {"a": "b"}), component("bus", "pubsub.memory"),
                          subscription("orders"), flags=["--app-port", str(inbox.port)])
    s = Store(sidecar, "s")
    equal(s.save("k", 1).status, 204)
    is_gone = f"component s behind {store.path} is gone"

    def comes_back():
        store.prepare()
        told = sidecar.log().count(is_gone)
        store.kill()
        eventually(lambda: sidecar.log().count(is_gone) > told, "the loss is told")
        results = []
        caller = threading.Thread(target=lambda: results.append(s.save("k", 2).status))
        caller.start()
        store.start()
        caller.join()
        eventually(lambda: results == [204] or s.save("k", 2).status == 204, "it is used again")
        return results == [204]

    # A call waits for seconds: in one of some attempts it was there again in time, on whatever machine.
    need(any(comes_back() for _ in range(5)), "the call has waited")
    equal(s.get("k").json, 2)
    equal(store.log("StateStore.Init"), [["s", {"a": "b"}]])
    equal(sidecar.call("POST", "/v1.0/publish/bus/orders", '"hello"', [("Content-Type", "application/json")]).status, 204)
    eventually(lambda: "hello" in inbox.taken(), "its subscription is there again")
    store.kill()
    down = eventually(lambda: (lambda r: r if r.status != 204 else None)(s.get("k")), "it is noticed")
    need("code = Unavailable desc = " in down.text, down)
    store.start()
    eventually(lambda: s.save("k", 3).status == 204, "it is used again")
    need("is back" in sidecar.log(), sidecar.log()[-2000:])


@test("the bridge is exchanged while its components serve", "BRIDGE-SWAP")
def _():
    bed = Bed()
    broker = bed.pluggable("both", "state pubsub")
    inbox = Inbox()
    sidecar = bed.sidecar(component("s", "state.both"), component("bus", "pubsub.both"), subscription("orders"),
                          flags=["--app-port", str(inbox.port)])
    equal(Store(sidecar, "s").save("k", 1).status, 204)
    swap = subprocess.run([os.path.join(BUILD, "bin", "remora"), "--run-dir", sidecar.folder / "run", "plugin", "swap",
                           "bridge"], capture_output=True, text=True, timeout=60)
    equal(swap.returncode, 0, swap.stdout + swap.stderr)
    equal(Store(sidecar, "s").get("k").json, 1)
    equal(sidecar.call("POST", "/v1.0/publish/bus/orders", '"after"', [("Content-Type", "application/json")]).status, 204)
    eventually(lambda: inbox.taken() == ["after"], "it is delivered, once")
    equal((len(broker.log("PubSub.Init")), broker.do()["paused"]), (2, False))


# --- hostile answers --------------------------------------------------------------------------------------------------


@test("huge, garbled and missing answers are errors of the call, and of no other", "BRIDGE-HOSTILE")
def _():
    bed = Bed()
    store = bed.pluggable("memory", "state")
    sidecar = bed.sidecar(component("s", "state.memory"), component("h", "state.memory"),
                          "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: r}\nspec:\n  policies:\n"
                          "    timeouts: {short: 2s}\n  targets:\n    components:\n      h: {outbound: {timeout: short}}\n")
    s = Store(sidecar, "s")
    equal(s.save("k", 1).status, 204)
    pid = sidecar.plugin_pid("bridge")
    for fault, words in (("huge", "larger than 64 MiB"), ("garbage", "malformed"), ("hang", ""),
                         ("RESOURCE_EXHAUSTED", "code = ResourceExhausted")):
        store.do(fault={"Get": fault})
        failed = Store(sidecar, "h" if fault == "hang" else "s").get("k")
        need(failed.status >= 400 and words in failed.text, f"{fault}: {failed}")
        equal(s.save("k", 2).status, 204, fault)
    store.do(fault={})
    equal(s.get("k").json, 2)
    equal(sidecar.plugin_pid("bridge"), pid)


class Rude:
    """Accepts connections at a socket and says something to each."""

    def __init__(self, path, words):
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen(16)
        self.words, self.open = words, []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listening.accept()
                self.open.append(peer)
                peer.sendall(self.words)
                if self.words.endswith(b"bye"):
                    peer.close()
            except OSError:
                continue


@test("what is behind a socket and is no gRPC server does no harm", "BRIDGE-RUDE")
def _():
    bed = Bed()
    settings = b"\0\0\0\4\0\0\0\0\0"
    rude = [
        Rude(bed.folder / f"rude{i}.sock", words)
        for i, words in enumerate((b"", b"HTTP/1.1 400 Bad Request\r\n\r\nbye", b"\xff" * 100000, settings,
                                   settings + b"\0\0\x08\7\0\0\0\0\0" + b"\0" * 8, b"bye"))
    ]
    bed.folder.write("file.sock", "no socket")
    names = [f"rude{i}" for i in range(len(rude))] + ["file"]
    memory = bed.pluggable("memory", "state")
    sidecar = bed.sidecar(
        *[component(n, f"state.{n}").replace("spec:", "spec:\n  initTimeout: 1s\n" + IGNORE.rstrip()) for n in names],
        component("s", "state.memory"),
    )
    equal(Store(sidecar, "s").save("k", 1).status, 204)
    for name in names:
        eventually(lambda: f"{name}.sock is not ready: " in sidecar.log(), f"{name} is told of")
    equal(memory.log("StateStore.Set")[0][0], "s")


main()
