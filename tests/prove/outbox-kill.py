# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 900
"""Experiment outbox-kill: transactions of a store with an outbox, each on a sidecar and a store of its own, while the kernel
or the plugin (which is store and broker) is killed with SIGKILL between every two steps.

Steps are the requests and answers between kernel and plugin, which a relay between the two counts: everything that an outbox
does to the outside is one of them, or lies between two. For the n-th of a transaction of two items the victim dies in front
of the message, which is lost with it. Afterwards state and messages must agree: either both items are stored and both have
been told of, with their values, or neither; what was answered 204 is stored; no marker is left; and a transaction that follows
works. Steps are taken until a transaction ends before its n-th. An item may be told of twice, with one id."""
import collections
import concurrent.futures
import json
import os
import sqlite3
import threading
import time

import _prove
import _relay_plugin
import remora
from _prove import by_length
from http_app import App, answer

STRIDE = by_length(7, 1, 1)
AT_A_TIME = 3
STEPS_MAX = 60  # more than a transaction of two items takes
SETTLE_S = by_length(300, 60, 60)
QUIET_S = by_length(2.5, 0.5, 0.5)
WAIT = {"processingTimeout": "700ms", "redeliverInterval": "200ms"}
OUTBOX = {"outboxPublishPubsub": "bus", "outboxPublishTopic": "orders"}
SUBSCRIPTION = json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": "s"},
                           "spec": {"pubsubname": "bus", "topic": "orders", "routes": {"default": "/orders"}}})
claims = _prove.Claims()


class Sqlite:
    plugin = "sqlite"

    def __init__(self, folder):
        self.path = folder / "state.db"
        self.components = [
            remora.component("box", "state.sqlite", {"connectionString": str(self.path), **OUTBOX}),
            remora.component("bus", "pubsub.sqlite", {"connectionString": str(folder / "bus.db"),
                                                      "consumeFromStart": "true", **WAIT})]

    def keys(self):
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            return {row[0] for row in connection.execute("SELECT key FROM state")}
        finally:
            connection.close()

    def end(self):
        pass


class Redis:
    plugin = "redis"

    def __init__(self, folder):
        self.server = remora.Redis()
        host = {"redisHost": f"127.0.0.1:{self.server.port}"}
        self.components = [remora.component("box", "state.redis", {**host, "redisDB": "1", **OUTBOX}),
                           remora.component("bus", "pubsub.redis", {**host, **WAIT})]

    def keys(self):
        return {key.decode() for key in self.server.command("KEYS", "*", database=1)}

    def end(self):
        self.server.end()


class Case:
    """One transaction with its sidecar, killed once at most."""

    def __init__(self, kind, at, victim):
        self.at, self.victim = at, victim
        self.told, self.lock = collections.defaultdict(list), threading.Lock()  # data → ids
        self.folder = remora.Folder()
        self.backend = kind(self.folder)
        real = os.path.join(remora.BUILD, "plugins", kind.plugin)
        self.steps = _relay_plugin.install(self.folder / f"plugins/{kind.plugin}", real, at, victim)
        self.app = App(self.event)
        flags = ["--app-port", str(self.app.port), "--plugins-path", self.folder / "plugins", "--sandbox", "off"]
        self.sidecar = remora.Sidecar(*self.backend.components, SUBSCRIPTION, folder=self.folder, flags=flags)

    def event(self, request, exchange):
        event = json.loads(request.body)
        with self.lock:
            self.told[event["data"]].append(event["id"])
        return answer(200, b"{}")

    def passed(self):
        """The steps so far, and in front of which it has happened."""
        try:
            with open(self.steps) as f:
                steps = f.read().splitlines()
        except FileNotFoundError:
            steps = []
        return steps, next((step for step in steps if step.startswith("killed: ")), None)

    def transact(self, *values):
        operations = [{"operation": "upsert", "request": {"key": value, "value": value}} for value in values]
        try:
            return self.sidecar.call("POST", "/v1.0/state/box/transaction", {"operations": operations}, timeout=30).status
        except (OSError, remora.Cut):
            return 0

    def revive(self):
        if self.sidecar.is_alive():
            return
        remora.Process.__init__(self.sidecar, self.sidecar.popen.args, self.folder, env={"PATH": os.environ["PATH"]})
        self.sidecar.wait_ready(60)

    def state(self):
        """What of the values is stored, how many markers wait."""
        keys = self.backend.keys()
        return {key.removeprefix("shop||") for key in keys if key.startswith("shop||")}, len(
            [key for key in keys if key.startswith("outbox-")])

    def is_settled(self):
        self.revive()
        stored, markers = self.state()
        with self.lock:
            return markers == 0 and stored <= set(self.told)

    def wait_for_the_kill(self):
        """Or for the end of everything without one."""
        last, since = None, time.monotonic()
        while time.monotonic() - since < QUIET_S or not self.is_settled():
            steps, has_happened = self.passed()
            if has_happened:
                return True
            if len(steps) != last:
                last, since = len(steps), time.monotonic()
            remora.need(time.monotonic() - since < SETTLE_S, f"neither killed nor settled: {steps}")
            time.sleep(0.01)
        return False

    def run(self):
        """None: there is no such step. Else what disagrees, and the step."""
        status = self.transact("a", "b")
        if not self.wait_for_the_kill():
            return None
        trouble = []
        try:
            if self.victim == "kernel":
                self.sidecar.wait(60)
            remora.eventually(self.is_settled, "what is stored is told of and markers are gone", SETTLE_S)
            remora.eventually(lambda: self.transact("after") == 204, "a transaction afterwards", SETTLE_S)
            remora.eventually(self.is_settled, "it is told of as well", SETTLE_S)
        except AssertionError as error:
            trouble.append(str(error))
        stored, markers = self.state()
        told = {data for data in self.told if data in ("a", "b")}
        if (stored & {"a", "b"}) not in (set(), {"a", "b"}):
            trouble.append(f"half is stored: {stored}")
        if told != stored & {"a", "b"}:
            trouble.append(f"stored {sorted(stored)}, told of {sorted(told)}")
        if status == 204 and "a" not in stored:
            trouble.append("it was answered 204 and is not stored")
        if status not in (0, 204, 500, 503):
            trouble.append(f"it was answered {status}")
        if any(len(set(ids)) > 1 for data, ids in self.told.items() if data != "after"):
            trouble.append(f"told of with several ids: {dict(self.told)}")
        where = self.passed()[1].removeprefix("killed: ")
        again = sum(len(ids) > 1 for ids in self.told.values())
        if trouble:
            _prove.say(self.sidecar.log()[-1500:])
        return trouble, where, "a" in stored, again

    def end(self):
        self.sidecar.end()
        self.app.stop()
        self.backend.end()


def try_case(kind, at, victim):
    case = Case(kind, at, victim)
    try:
        return case.run()
    finally:
        case.end()


def enumerate_steps(kind, victim):
    """Every step there is; counts of kills, disagreements, transactions that are stored, items told of twice."""
    kills = bad = stored = twice = 0
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        first = 1 + _prove.rng.randrange(STRIDE)
        results = pool.map(lambda at: (at, try_case(kind, at, victim)), range(first, STEPS_MAX, STRIDE))
        for at, result in results:
            if result is None:
                continue
            trouble, where, is_stored, again = result
            kills, stored, twice = kills + 1, stored + is_stored, twice + again
            if trouble:
                bad += 1
                _prove.say(f"{kind.plugin}, {victim} killed in front of step {at} ({where}): {'; '.join(trouble)}")
    claims.holds(f"{kind.plugin}, {victim}: there were steps, and an end of them", 0 < kills < (STEPS_MAX - 1) // STRIDE)
    claims.holds(f"{kind.plugin}, {victim}: some died before the transaction and some after it", 0 < stored < kills)
    claims.at_most(f"{kind.plugin}, {victim} killed in front of {kills} steps, {stored} transactions stored, {twice} items "
                   "told of twice: disagreements", bad, 0, digits=0)  # fmt: skip
    return kills, bad


kinds = by_length([Sqlite], [Sqlite, Redis], [Sqlite, Redis])
totals = [enumerate_steps(kind, victim) for kind in kinds for victim in ("kernel", "plugin")]
claims.end(f"{sum(kills for kills, _ in totals)} kills between steps of the outbox: state and messages disagree after "
           f"{sum(bad for _, bad in totals)} of them")
