#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
"""Resources that change while components serve: nothing fails, nothing that was not meant is touched, and what cannot
be done is said and changes nothing."""
import os
import signal
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")]
import remora  # noqa: E402
from remora import equal, need, test  # noqa: E402
from swap_bed import Bed  # noqa: E402


def value(bed, store, key="k"):
    reply = bed.store(store).get(key)
    return reply.json if reply.status == 200 else reply.status


def save(bed, store, what, key="k"):
    equal(bed.store(store).save(key, what).status, 204, f"save in {store}")


@test("components are created, changed, renamed and deleted under load", "RELOAD-01")
def life():
    for workers in (1, 3):
        bed = Bed("memory", "file", "redis", workers=workers)
        with bed.load("memory", "file", "redis", seconds=3 * remora.SLOW):
            bed.write("new.yaml", bed.yaml("memory", "new"))
            bed.ready("new")
            equal(value(bed, "new"), 204, "a new store")
            for i in range(3):
                generations = {store: bed.components()[store]["generation"] for store in ("memory", "file", "redis")}
                for store, before in generations.items():
                    bed.write(f"{store}.yaml", bed.yaml(store, metadata=[("note", str(i))]))
                for store, before in generations.items():
                    bed.ready(store, before + 1)
            bed.write("new.yaml", bed.yaml("memory", "renamed"))
            bed.ready("renamed")
            bed.gone("new")
            equal(value(bed, "new"), 400, "the old name")
            bed.remove("new.yaml")
            bed.gone("renamed")
        equal(sorted(bed.components()), ["file", "memory", "redis"], "components")
        for line in ("Adding Component for processing: new (state.in-memory/v1)",
                     "Closing existing Component to reload: file (state.sqlite/v1)",
                     "Component updated: file (state.sqlite/v1)",
                     "Component removed: renamed (state.in-memory/v1)"):
            need(line in bed.sidecar.log(), line)
        equal(bed.sidecar.stop(), 0, "exit status")
        bed.end()


@test("an unchanged document is left alone, wherever it stands", "RELOAD-02")
def unchanged():
    bed = Bed(resources={"all.yaml": ""})
    both = bed.yaml("memory", "one") + "---\n" + bed.yaml("memory", "two")
    bed.write("all.yaml", both)
    bed.ready("one")
    bed.ready("two")
    save(bed, "one", 1)
    save(bed, "two", 2)
    bed.write("all.yaml", "# a comment\n" + both)
    bed.write("three.yaml", bed.yaml("memory", "three"))
    bed.ready("three")
    # Moved to another file: both have it for a moment, which changes nothing either.
    bed.write("two.yaml", bed.yaml("memory", "two"))
    bed.logged("duplicate definition of Component name two")
    bed.write("all.yaml", bed.yaml("memory", "one"))
    bed.remove("three.yaml")
    bed.gone("three")
    equal({name: c["generation"] for name, c in bed.components().items()}, {"one": 1, "two": 1}, "generations")
    equal((value(bed, "one"), value(bed, "two")), (1, 2), "values")
    bed.end()


@test("a component's type, prefix and files may change", "RELOAD-03")
def what_changes():
    bed = Bed("file", "memory")
    save(bed, "file", "in sqlite")
    save(bed, "memory", "in memory")
    bed.write("memory.yaml", bed.yaml("memory", metadata=[("keyPrefix", "none")]))
    bed.ready("memory", 2)
    equal(value(bed, "memory"), 204, "under another prefix")
    bed.write("memory.yaml", bed.yaml("memory"))
    bed.ready("memory", 3)
    equal(value(bed, "memory"), "in memory", "under the old one")
    bed.write("file.yaml", bed.yaml("memory", "file"))
    bed.ready("file", 2)
    equal(value(bed, "file"), 204, "in another plugin")
    bed.write("file.yaml", bed.yaml("file"))
    bed.ready("file", 3)
    equal(value(bed, "file"), "in sqlite", "back again")
    # A file in a folder that the running process was not given.
    other = remora.Folder()
    text = remora.component("file", "state.sqlite", [("connectionString", other / "x.db")])
    with bed.load("memory", seconds=1 * remora.SLOW):
        bed.write("file.yaml", text)
        bed.eventually(lambda: value(bed, "file") == 204, "the other file")
        save(bed, "file", "elsewhere")
        another = remora.Folder()
        bed.write("more.yaml", remora.component("more", "state.sqlite", [("connectionString", another / "y.db")]))
        bed.ready("more")
        save(bed, "more", "more")
    equal((value(bed, "file"), value(bed, "more")), ("elsewhere", "more"), "both")
    need("level=error" not in bed.sidecar.log(), bed.sidecar.log())
    bed.end()


@test("a plugin that is not running yet starts for a new component", "RELOAD-04")
def new_plugin():
    bed = Bed("memory", "file", resources={})
    bed.write("a.yaml", bed.yaml("memory"))
    bed.ready("memory")
    save(bed, "memory", "kept")
    bed.write("b.yaml", bed.yaml("file"))
    bed.ready("file")
    save(bed, "file", 1)
    bed.write("a.yaml", bed.yaml("file", "memory", extra=""))
    bed.ready("memory", 2)
    equal(value(bed, "file"), 1, "the same database")
    bed.end()


@test("what is wrong changes nothing, and is said", "RELOAD-05")
def wrong():
    bed = Bed("memory", "file")
    good = bed.yaml("memory")
    cases = {
        "bad YAML": "apiVersion: [",
        "no such type": good.replace("state.in-memory", "state.nothing"),
        "no such category": good.replace("state.in-memory", "nothing"),
        "no such version": good.replace("version: v1", "version: v9"),
        "a secret store that is not there": good + "auth:\n  secretStore: nowhere\n",
        "a file that cannot be": bed.yaml("file", "memory").replace("data.db", "no/such/folder/data.db"),
    }
    cases["a secret store that is not there"] = remora.component("memory", "state.in-memory", []).replace(
        "metadata: []", "metadata:\n  - name: x\n    secretKeyRef:\n      name: a\n      key: a") + \
        "auth:\n  secretStore: nowhere\n"
    save(bed, "memory", "kept")
    with bed.load("memory", "file", seconds=4 * remora.SLOW):
        for what, text in cases.items():
            bed.write("memory.yaml", text)
            bed.eventually(lambda: bed.components()["memory"].get("error"), f"metadata tells of {what}")
            equal(bed.components()["memory"]["state"], "ready", what)
            equal(value(bed, "memory"), "kept", what)
            bed.write("memory.yaml", good)
            bed.eventually(lambda: not bed.components()["memory"].get("error"), f"{what} is forgotten")
    bed.write("twice.yaml", good)
    bed.logged("duplicate definition of Component name memory")
    bed.write("new.yaml", bed.yaml("memory", "new"))
    time.sleep(0.3)
    equal(sorted(bed.components()), ["file", "memory"], "with a duplicate nothing is changed")
    bed.remove("twice.yaml")
    bed.ready("new")
    bed.write("broken.yaml", "a: [")
    bed.write("newer.yaml", bed.yaml("memory", "newer"))
    bed.ready("newer")
    bed.remove("new.yaml")
    time.sleep(0.3)
    need("new" in bed.components(), "a component is gone although a document is broken")
    bed.remove("broken.yaml")
    bed.gone("new")
    equal(value(bed, "memory"), "kept", "at the end")
    bed.end()


@test("a folder behind a link is exchanged in one step, as Kubernetes does", "RELOAD-06")
def links():
    bed = Bed("memory", "file", resources={})

    def publish(version, *stores):
        folder = os.path.join(bed.resources, f"..{version}")
        os.mkdir(folder)
        for store in stores:
            with open(os.path.join(folder, f"{store}.yaml"), "w") as f:
                f.write(bed.yaml(store, metadata=[("note", version)]))
        os.symlink(f"..{version}", os.path.join(bed.resources, "..data_tmp"))
        os.rename(os.path.join(bed.resources, "..data_tmp"), os.path.join(bed.resources, "..data"))
        for store in stores:
            link = os.path.join(bed.resources, f"{store}.yaml")
            if not os.path.islink(link):
                os.symlink(f"..data/{store}.yaml", link)

    publish("1", "memory", "file")
    bed.ready("memory")
    bed.ready("file")
    with bed.load("memory", "file", seconds=1 * remora.SLOW):
        publish("2", "memory", "file")
        bed.ready("memory", 2)
        bed.ready("file", 2)
    bed.end()


@test("SIGHUP reads the resources again, also where hot reload is off", "RELOAD-07")
def hangup():
    folder = remora.Folder()
    config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\n"
                          "spec:\n  features:\n  - name: HotReload\n    enabled: false\n")
    bed = Bed("memory", flags=["--config", config])
    bed.write("new.yaml", bed.yaml("memory", "new"))
    time.sleep(0.5)
    equal(list(bed.components()), ["memory"], "without hot reload")
    bed.sidecar.signal(signal.SIGHUP)
    bed.ready("new")
    equal(bed.sidecar.stop(), 0, "exit status")
    bed.end()


@test("a change during the start is not missed", "RELOAD-08")
def during_start():
    for i in range(8):
        bed = Bed("memory", "file", wait=False)
        time.sleep(0.004 * i)
        bed.write("new.yaml", bed.yaml("memory", "new"))
        bed.sidecar.wait_ready()
        bed.ready("new")
        bed.end()


@test("200 reloads leave nothing behind", "RELOAD-09")
def leaks():
    sys.path.append(os.path.join(remora.TOP, "tests", "bench"))
    import measure
    bed = Bed("memory", "file")

    def round_of(i):
        bed.write("memory.yaml", bed.yaml("memory", metadata=[("note", str(i))]))
        bed.write("file.yaml", bed.yaml("file", metadata=[("note", str(i))]))
        bed.write("new.yaml", bed.yaml("memory", f"new{i}"))
        bed.ready(f"new{i}")

    def settle():
        bed.remove("new.yaml")
        bed.eventually(lambda: len(bed.components()) == 2, "all but two are gone")
        return [bed.sidecar.pid] + [bed.sidecar.plugin_pid(plugin) for plugin in ("in-memory", "sqlite")]

    def fds():
        return [measure.fd_count(pid) for pid in pids]

    def kib():
        return [measure.private_dirty_kib(pid) for pid in pids]

    def no_more_than(get, limits):
        """What is being closed or given back at the moment of looking is not held: it goes by itself."""
        bed.eventually(lambda: all(now <= limit for now, limit in zip(get(), limits)), f"{get()} is at most {limits}")

    for i in range(20):
        round_of(i)
    pids = settle()
    before = (fds(), kib())
    for i in range(20, 220):
        round_of(i)
    equal(settle(), pids, "the same processes")
    no_more_than(fds, before[0])
    if remora.SLOW == 1:
        no_more_than(kib, [held + 400 for held in before[1]])
    bed.end()


if __name__ == "__main__":
    remora.main()
