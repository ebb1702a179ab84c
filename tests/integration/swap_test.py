#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""Plugins whose program changes while they serve: nothing fails, nothing is lost, and what cannot work changes nothing."""
import os
import signal
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")]
import remora  # noqa: E402
from remora import equal, need, test  # noqa: E402
from swap_bed import PLUGINS, Bed, built  # noqa: E402

STORES = ("memory", "file", "redis")


def swapped_under_load(workers):
    bed = Bed(*STORES, workers=workers)
    with bed.load(*STORES, seconds=3.5 * remora.SLOW) as load:
        for _ in range(2):
            for store in STORES:
                bed.swap(PLUGINS[store])
    need(load.total > 500, f"only {load.total} requests")
    for store in STORES:
        equal(bed.plugin(PLUGINS[store])["generation"], 3, f"generation of {store}")
    equal(bed.sidecar.stop(), 0, "exit status")
    bed.end()


@test("a changed program takes over under load, one worker", "SWAP-01")
def one_worker():
    swapped_under_load(1)


@test("a changed program takes over under load, three workers", "SWAP-01")
def three_workers():
    swapped_under_load(3)


@test("what an exclusive component holds moves to the next program", "SWAP-02")
def exclusive():
    for workers in (1, 3):
        bed = Bed("alone", workers=workers)
        with bed.load("alone", each=4, seconds=2 * remora.SLOW):
            for _ in range(4):
                bed.swap("exclusive")
        bed.end()


def broken_way(bed, store, way):
    """The old program serves on; log and metadata say why the new one does not."""
    plugin = PLUGINS[store]
    before = bed.plugin(plugin)
    log = len(bed.sidecar.log())
    if way == "no-exec":
        bed.put_program(plugin, os.path.join(built(plugin), "plugin.yaml"), f"{plugin}.{way}")
    elif way != "missing":
        bed.put_program(plugin, os.path.join(bed.plugins, plugin, ".broken"), f"{plugin}.{way}")
    bed.put_manifest(plugin, exec=f"{plugin}.{way}")
    bed.eventually(lambda: "the exchange of its process has failed" in bed.sidecar.log()[log:], f"{way} has failed", 30)
    after = bed.eventually(lambda: (g := bed.generations(plugin)) and len(g) == 1 and g[0], f"{way}: one process")
    equal((after["pid"], after["state"]), (before["pid"], "ready"), way)
    return bed.sidecar.log()[log:]


@test("a program that cannot work leaves the old one serving", "SWAP-03")
def broken():
    ways = ("no-exec", "missing", "exit", "version", "name", "type", "crash-init", "fail-init", "fail-start", "hang-init")
    yaml = {"memory": "", "file": ""}
    bed = Bed("memory", "file", workers=3)
    for store in ("memory", "file"):
        bed.write(f"{store}.yaml", bed.yaml(store).replace("spec:", "spec:\n  initTimeout: 500ms"))
        bed.ready(store, 2)
    with bed.load("memory", "file", seconds=6 * remora.SLOW):
        for way in ways:
            for store in ("memory", "file"):
                broken_way(bed, store, way)
    for store in ("memory", "file"):
        bed.swap(PLUGINS[store])
    bed.end()


if __name__ == "__main__":
    remora.main()
