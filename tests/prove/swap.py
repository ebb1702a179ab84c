# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 450
"""Experiment swap: programs and components exchanged under load, and exchanges that cannot work.

64 connections write and read in an in-memory store (handed over), SQLite and Redis; every answer is checked, and every
key once more at the end. They live in memory if the machine lets them, since a busy disk would be all that is measured.
Meanwhile plugins get other programs, components other YAML, and then both in ways that are
broken. Nothing may fail, nothing may be wrong, and the slowest thousandth may be at most 20 ms slower than without."""
import json
import os
import subprocess
import tempfile
import time

import _prove
import remora
from _prove import by_length
from swap_bed import PLUGINS, Bed, built

STORES = ("memory", "file", "redis")
PROGRAMS = by_length(6, 200, 200)
CONFIGURATIONS = by_length(9, 200, 200)
BROKEN = by_length(8, 200, 200)
QUIET_S = by_length(2, 8, 20)
INIT_S = by_length(10, 2, 2)
CLIENT = os.path.join(remora.BUILD, "tests", "bench", "checked")
WAYS = ("no exec", "no hello", "wrong version", "crash in Init", "Init hangs", "bad YAML", "missing secret", "wrong type")
PROGRAM_OF = {"no exec": "no-exec", "no hello": "exit", "wrong version": "version", "crash in Init": "crash-init",
              "Init hangs": "hang-init"}
claims = _prove.Claims()
if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"


class Client:
    """The load, from the beginning to the end of `with`."""

    def __init__(self, bed, workers):
        self.command = [CLIENT, "--port", str(bed.sidecar.port), "--connections", "64", "--stores", ",".join(STORES)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()
        self.result = json.loads(self.process.stdout.read())
        self.process.wait()


def judge(what, client):
    result = client.result
    bad = result["failed"] + result["wrong"] + result["cut"]
    claims.holds(f"{what}: {result['requests']} requests, none failed or wrong", bad == 0,
                 f"{result['failed']} failed, {result['wrong']} wrong, {result['cut']} cut: {result['complaint']}"
                 if bad else f"p50 {result['p50_us'] / 1000:.2f}, p99.9 {result['p999_us'] / 1000:.1f}, "
                             f"slowest {result['max_us'] / 1000:.0f} ms")


def mark_build(bed, plugin, number):
    """The program again, with another build id in it: 20 bytes behind the head of its ELF note."""
    target = os.path.join(bed.plugins, plugin, plugin)
    with open(os.path.join(built(plugin), plugin), "rb") as f:
        data = f.read()
    head = bytes.fromhex("040000001400000003000000474e5500")
    at = data.index(head) + len(head)
    build = (b"swap" + number.to_bytes(16, "big"))
    with open(target + ".new", "wb") as f:
        f.write(data[:at] + build + data[at + 20:])
    os.chmod(target + ".new", 0o755)
    os.rename(target + ".new", target)
    return build.hex()


def exchange_programs(bed, count):
    took = 0
    for i in range(count):
        plugin = PLUGINS[STORES[i % len(STORES)]]
        build = mark_build(bed, plugin, i)
        bed.eventually(lambda: (g := bed.generations(plugin)) and len(g) == 1 and g[0].get("build") == build,
                       f"build {build} serves")
        took += 1
    return took


def exchange_configurations(bed, count):
    took = 0
    for i in range(count):
        store = STORES[i % len(STORES)]
        before = bed.components()[store]["generation"]
        bed.write(f"{store}.yaml", yaml(bed, store, [("note", str(i))]))
        took += bed.ready(store, before + 1)["state"] == "ready"
    return took


def yaml(bed, store, metadata=()):
    return bed.yaml(store, metadata=metadata).replace("spec:", f"spec:\n  initTimeout: {INIT_S}s")


def break_program(bed, store, way):
    plugin = PLUGINS[store]
    name = f"{plugin}.{PROGRAM_OF[way]}"
    source = os.path.join(built(plugin), "plugin.yaml") if way == "no exec" else os.path.join(bed.plugins, plugin, ".broken")
    log = len(bed.sidecar.log())
    before = bed.plugin(plugin)
    bed.put_program(plugin, source, name)
    bed.put_manifest(plugin, exec=name)
    bed.eventually(lambda: f"plugin {plugin}: the exchange of its process has failed" in bed.sidecar.log()[log:],
                   f"{way} has failed", 60)
    bed.eventually(lambda: len(bed.generations(plugin)) == 1, "one process is left")
    return bed.plugin(plugin)["pid"] == before["pid"]


def break_configuration(bed, store, way):
    text = {"bad YAML": "apiVersion: [",
            "missing secret": remora.component(store, "state." + PLUGINS[store]).replace(
                "metadata: []", "metadata:\n  - name: x\n    secretKeyRef: {name: a, key: a}") +
            "auth:\n  secretStore: nowhere\n",
            "wrong type": remora.component(store, "state.nothing")}[way]
    words = {"bad YAML": "parsing manifests", "missing secret": "secret", "wrong type": "couldn't find"}[way]
    before = bed.components()[store]["generation"]
    with open(os.path.join(bed.resources, f"{store}.yaml")) as f:
        good = f.read()
    bed.write(f"{store}.yaml", text)
    bed.eventually(lambda: words in bed.components()[store].get("error", ""), f"{way} is told")
    is_same = bed.components()[store]["state"] == "ready"
    bed.write(f"{store}.yaml", good)
    bed.eventually(lambda: not bed.components()[store].get("error"), f"{way} is forgotten")
    return is_same and bed.components()[store]["generation"] == before


def break_it(bed, count):
    held = 0
    for i in range(count):
        way, store = WAYS[i % len(WAYS)], STORES[i % len(STORES)]
        is_so = (break_program if way in PROGRAM_OF else break_configuration)(bed, store, way)
        held += is_so
        if not is_so:
            _prove.say(f"{store} was not as before after: {way}")
    return held


def experiment(workers):
    bed = Bed(*STORES, workers=workers)
    for store in STORES:
        bed.write(f"{store}.yaml", yaml(bed, store))
        bed.ready(store, 2)
    with Client(bed, workers) as quiet:
        time.sleep(QUIET_S)
    judge("without a change", quiet)
    steps = (("programs", exchange_programs, PROGRAMS), ("configurations", exchange_configurations, CONFIGURATIONS),
             ("broken ones", break_it, BROKEN))
    added = {}
    for what, make, count in steps:
        with Client(bed, workers) as client:
            time.sleep(0.3)
            started = time.monotonic()
            took = make(bed, count)
            seconds = time.monotonic() - started
        judge(what, client)
        claims.at_least(f"{what}: exchanges as they should be, of {count}", took, count, digits=0)
        added[what] = (client.result["p999_us"] - quiet.result["p999_us"]) / 1000
        _prove.say(f"{count} in {seconds:.1f} s")
    for what in ("programs", "configurations"):
        # Beside other tests the scheduler's share is larger than ours.
        claims.at_most(f"{what}: added to p99.9, ms", added[what], 200 * _prove.PATIENCE if _prove.SHORT else 20, digits=1)
    remora.equal(bed.sidecar.stop(), 0, "exit status")
    bed.end()
    return added


figures = [experiment(workers) for workers in by_length((2,), (1,), (1, 3))]
claims.end(f"{PROGRAMS} programs, {CONFIGURATIONS} configurations and {BROKEN} broken changes exchanged under load, nothing "
           f"failed or wrong; added to p99.9: {max(f['programs'] for f in figures):.1f} and "
           f"{max(f['configurations'] for f in figures):.1f} ms")
