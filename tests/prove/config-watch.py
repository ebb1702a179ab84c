# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 900
"""Experiment config-watch: the last value of every key arrives, and versions never go back.

10,000 changes are written to configuration.sqlite and configuration.redis while plugins are killed, the Redis server is killed
and started anew, and one of the two applications that subscribe is away for a while. Each application keeps what it is told,
in order. What is overtaken need not be told; what was written last must be, and nothing older after it. The sidecars
themselves are killed too: who comes back subscribes anew and is told what it does not know."""

import json
import os
import signal
import threading
import time

import _prove
from configuration_stores import RedisStore, Sqlite
from http_app import App, answer
from remora import Sidecar, eventually, need

CHANGES = _prove.by_length(600, 10000, 100000)
KEYS = 20
claims, rng = _prove.Claims(), _prove.rng


class Reader:
    """An application that keeps the versions it is told of each key, and may be away."""

    def __init__(self):
        self.told, self.lock, self.is_away = {}, threading.Lock(), False
        self.app = App(self.take)

    def take(self, request, exchange):
        if not request.target.startswith("/configuration/"):
            return answer(404)
        if self.is_away:
            return answer(503)
        with self.lock:
            for key, item in json.loads(request.body)["items"].items():
                self.told.setdefault(key, []).append(int(item["version"]))
        return answer(200)

    def last(self):
        with self.lock:
            return {key: versions[-1] for key, versions in self.told.items()}


class Bed:
    """A store with two sidecars on it, each with its application."""

    def __init__(self, kind):
        self.store = kind()
        self.readers = [Reader(), Reader()]
        self.sidecars = [None, None]
        self.troubles = {}
        for i in range(2):
            self.start(i)
        self.version, self.newest = 0, {}

    def start(self, i):
        self.sidecars[i] = Sidecar(self.store.component(), app_id=f"app{i}",
                                   flags=["--app-port", str(self.readers[i].app.port)])
        keys = "" if i else "?" + "&".join(f"key=k{n}" for n in range(KEYS))
        reply = eventually(lambda: (r := self.sidecars[i].call("GET", "/v1.0/configuration/conf/subscribe" + keys)).status == 200
                           and r, "it subscribes")
        need(reply.json["id"], "an id")

    def change(self):
        key = f"k{rng.randrange(KEYS)}"
        self.version += 1
        for _ in range(200):  # the server may be away
            try:
                self.store.put(key, f"value {self.version}", str(self.version))
                break
            except OSError:
                time.sleep(0.02)
        self.newest[key] = self.version

    def kill_plugin(self):
        try:
            os.kill(rng.choice(self.sidecars).plugin_pid(self.store.plugin), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was killed a moment ago

    def kill_server(self):
        self.store.server.stop()
        self.store.server.start()

    def go_away(self):
        reader = rng.choice(self.readers)
        reader.is_away = not reader.is_away

    def kill_sidecar(self):
        """Keys of a new subscription are told once they change."""
        i = rng.randrange(2)
        self.sidecars[i].kill()
        self.start(i)
        for n in range(KEYS):
            self.version += 1
            self.store.put(f"k{n}", f"value {self.version}", str(self.version))
            self.newest[f"k{n}"] = self.version

    def trouble(self):
        servers = [self.kill_server] * 2 if isinstance(self.store, RedisStore) else []
        what = rng.choice([self.kill_plugin] * 4 + servers + [self.go_away] * 2 + [self.kill_sidecar])
        what()
        self.troubles[what.__name__] = self.troubles.get(what.__name__, 0) + 1

    def run(self):
        every = max(1, CHANGES // _prove.by_length(12, 60, 400))
        for n in range(CHANGES):
            self.change()
            if n % every == every - 1:
                self.trouble()
        for reader in self.readers:
            reader.is_away = False


for kind in (Sqlite, RedisStore):
    bed = Bed(kind)
    started = time.monotonic()
    bed.run()
    arrived = True
    for reader in bed.readers:
        try:
            eventually(lambda reader=reader: reader.last() == bed.newest, "the last values", 60)
        except AssertionError:
            arrived = False
            _prove.say(f"told {reader.last()}, written {bed.newest}")
    backwards = sum(b < a for reader in bed.readers for versions in reader.told.values() for a, b in zip(versions, versions[1:]))
    told = sum(len(versions) for reader in bed.readers for versions in reader.told.values())
    name = kind.kind
    claims.holds(f"{name}: the last value of each of {KEYS} keys arrives at both", arrived)
    claims.at_most(f"{name}: versions that go back", backwards, 0, digits=0)
    _prove.say(f"{CHANGES} changes, {told} told, {bed.troubles} in {time.monotonic() - started:.0f} s")
    for sidecar in bed.sidecars:
        _prove.stop(sidecar)
claims.end(f"{CHANGES} changes to each of two stores: none lost, none backwards")
