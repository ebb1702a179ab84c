#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Subscription documents that come, change and go while events flow: what is meant takes effect, what is not stays as it
is, nothing is lost, and what makes no sense is said and changes nothing."""

import json
import os
import threading

from http_app import App, answer
from remora import Folder, Sidecar, component, end_sidecars, equal, eventually, main, need, request_bytes, test

JSON = [("Content-Type", "application/json")]


def document(name, topic, path, rules=None, **more):
    spec = {"pubsubname": "bus", "topic": topic, "routes": {"default": path, **({"rules": rules} if rules else {})}}
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": name},
                       "spec": spec, **more})  # fmt: skip


class Bed:
    """A sidecar with a durable broker whose resources can be changed, and its application."""

    def __init__(self, programmatic=(), flags=(), **resources):
        self.folder, self.events, self.lock = Folder(), [], threading.Lock()
        self.path = self.folder / "yaml"
        os.mkdir(self.path)
        self.write("bus", component("bus", "pubsub.sqlite", {"connectionString": str(self.folder / "bus.db"),
                                                             "redeliverInterval": "100ms", "consumeFromStart": "true"}))  # fmt: skip
        for name, text in resources.items():
            self.write(name, text)
        self.app = App(self.take, start=False)
        self.app.init = lambda request: (
            answer(200, json.dumps(list(programmatic)).encode(), JSON) if request.target == "/dapr/subscribe" else answer(404)
        )
        self.app.start()
        self.side = Sidecar(folder=self.folder, flags=["--resources-path", self.path, "--app-port", str(self.app.port), *flags])

    def write(self, name, text):
        """In one step, as editors do."""
        with open(self.folder / ".new", "w") as f:
            f.write(text)
        os.rename(self.folder / ".new", os.path.join(self.path, f"{name}.yaml"))

    def remove(self, name):
        os.unlink(os.path.join(self.path, f"{name}.yaml"))

    def take(self, request, exchange):
        with self.lock:
            self.events.append((request.target, json.loads(request.body)["data"]))
        return answer(200)

    def at(self, path):
        with self.lock:
            return [data for target, data in self.events if target == path]

    def listed(self):
        """Topic and default path of each, as the metadata tells."""
        return sorted((one["topic"], one["rules"][-1]["path"]) for one in self.side.metadata().get("subscriptions", []))

    def publish(self, data, topic="orders"):
        equal(self.side.call("POST", f"/v1.0/publish/bus/{topic}", json.dumps(data).encode(), JSON).status, 204)

    def arrives(self, data, path, topic="orders"):
        self.publish(data, topic)
        eventually(lambda: data in self.at(path), f"{data} arrives at {path}: {self.events}")


@test("a document that is added, changed, taken away and put back takes effect", "RELOAD PUB-37")
def life():
    bed = Bed()
    equal(bed.listed(), [])
    bed.write("sub", document("sub", "orders", "/one"))
    eventually(lambda: bed.listed() == [("orders", "/one")], "the first is there")
    bed.arrives("first", "/one")
    bed.write("sub", document("sub", "orders", "/two"))
    eventually(lambda: bed.listed() == [("orders", "/two")], "the path is another")
    bed.arrives("changed", "/two")
    bed.write("sub", document("sub", "bills", "/two"))
    eventually(lambda: bed.listed() == [("bills", "/two")], "the topic is another")
    bed.publish("kept", "orders")
    bed.arrives("bill", "/two", "bills")
    bed.remove("sub")
    eventually(lambda: bed.listed() == [], "it is gone")
    bed.publish("later", "bills")
    bed.write("sub", document("sub", "orders", "/three"))
    bed.write("more", document("more", "bills", "/four"))
    eventually(lambda: bed.at("/three") == ["kept"] and bed.at("/four") == ["later"], "nobody has taken what came meanwhile")
    equal(len(bed.events), 5, f"each once: {bed.events}")


@test("an unchanged document is left alone, and a rule that changes is used", "RELOAD PUB-60")
def rules():
    bed = Bed(sub=document("sub", "orders", "/rest", [{"match": "event.data == 1", "path": "/one"}]),
              other=document("other", "bills", "/bills"))  # fmt: skip
    bed.arrives(1, "/one")
    bed.write("sub", document("sub", "orders", "/rest", [{"match": "event.data == 2", "path": "/two"}]))
    eventually(lambda: "event.data == 2" in bed.side.call("GET", "/v1.0/metadata").text, "the rule is another")
    bed.arrives(1, "/rest")
    bed.arrives(2, "/two")
    bed.arrives("b", "/bills", "bills")


@test("what makes no sense is said and changes nothing", "RELOAD")
def wrong():
    good = document("sub", "orders", "/one")
    bed = Bed(sub=good, other=document("other", "bills", "/bills"))
    cases = {
        "a rule that is none": document("sub", "orders", "/two", [{"match": "event.data ==", "path": "/x"}]),
        "routes that are no map": good.replace('"routes": {"default": "/one"}', '"routes": 7'),
        "rules that are no list": good.replace('{"default": "/one"}', '{"rules": 7, "default": "/two"}'),
        "no YAML": "apiVersion: [",
    }
    for what, text in cases.items():
        before = bed.side.log().count("level=error") + bed.side.log().count("level=warning")
        bed.write("sub", text)
        eventually(lambda: bed.side.log().count("level=error") + bed.side.log().count("level=warning") > before, f"{what} is said")
        bed.arrives(what, "/one")
        bed.arrives(what, "/bills", "bills")
        equal(bed.listed(), [("bills", "/bills"), ("orders", "/one")], what)
        bed.write("sub", good)
    bed.write("broken", "a: [")
    bed.write("new", document("new", "news", "/news"))
    eventually(lambda: ("news", "/news") in bed.listed(), "beside a broken document another is added")
    bed.remove("other")
    bed.write("new", document("new", "news", "/newer"))
    eventually(lambda: ("news", "/newer") in bed.listed(), "and changed")
    need(("bills", "/bills") in bed.listed(), "what is missing may stand in the broken one")
    bed.remove("broken")
    eventually(lambda: bed.listed() == [("news", "/newer"), ("orders", "/one")], "without it, it is gone")


@test("scopes decide who a document is for, also later; what the application answers goes first", "RELOAD PUB-44")
def scopes():
    bed = Bed(programmatic=[{"pubsubname": "bus", "topic": "asked", "route": "/asked"}],
              sub=document("sub", "orders", "/one", scopes=["somebody"]))  # fmt: skip
    equal(bed.listed(), [("asked", "/asked")])
    bed.write("sub", document("sub", "orders", "/one", scopes=["somebody", "shop"]))
    eventually(lambda: ("orders", "/one") in bed.listed(), "it is for this one too")
    bed.arrives("scoped", "/one")
    bed.write("asked", document("asked", "asked", "/declared"))
    bed.write("mark", document("mark", "mark", "/mark"))
    eventually(lambda: ("mark", "/mark") in bed.listed(), "another document is read")
    bed.arrives("still", "/asked", "asked")
    bed.write("sub", document("sub", "orders", "/one", scopes=["somebody"]))
    eventually(lambda: ("orders", "/one") not in bed.listed(), "and no longer")


@test("documents of the first version too", "RELOAD PUB-41")
def first_version():
    bed = Bed()
    text = json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Subscription", "metadata": {"name": "old"},
                       "spec": {"pubsubname": "bus", "topic": "orders", "route": "/old"}})  # fmt: skip
    bed.write("old", text)
    eventually(lambda: bed.listed() == [("orders", "/old")], "it is open")
    bed.arrives("old", "/old")


@test("paths that change 20 times under load, and documents that are away meanwhile, lose nothing", "RELOAD")
def under_load():
    bed = Bed(sub=document("sub", "orders", "/p0"))
    over, sent = threading.Event(), []

    def load():
        connection = bed.side.connect()
        while not over.is_set():
            connection.send(request_bytes("POST", "/v1.0/publish/bus/orders", JSON, str(len(sent)).encode()))
            equal(connection.reply().status, 204)
            sent.append(len(sent))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(1, 21):
            path = f"/p{i}"
            if i % 4 == 0:
                bed.remove("sub")
                eventually(lambda: not bed.listed(), "it is gone")
            bed.write("sub", document("sub", "orders", path))
            eventually(lambda: bed.at(path), f"events come to {path}")
    finally:
        over.set()
        thread.join()

    def told():
        with bed.lock:
            return {data for _, data in bed.events}

    eventually(lambda: told() >= set(sent), "all have arrived", 60)
    need(len(sent) > 100, f"there was load: {len(sent)}")


main(end_sidecars)
