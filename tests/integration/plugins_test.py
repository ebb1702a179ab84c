#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 150
"""Plugins that come, programs named by hand, and changes that are tried again: what an administrator does to plugins
while they serve, beside replacing their files (swap_test.py)."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")]
import remora  # noqa: E402
from remora import component, equal, need, test  # noqa: E402
from swap_bed import Bed, built  # noqa: E402

REMORA = os.path.join(remora.BUILD, "bin", "remora")


def ask(bed, *words):
    environment = {key: os.environ[key] for key in os.environ if key == "PATH" or key.endswith("SAN_OPTIONS")}
    done = subprocess.run([REMORA, *words, "--run-dir", bed.folder / "run"], capture_output=True, text=True,
                          timeout=60 * remora.SLOW, env=environment)
    return done.returncode, done.stdout, done.stderr


def executable(bed, plugin):
    code, out, err = ask(bed, "plugin", "describe", plugin, "-o", "json")
    equal(code, 0, err)
    return json.loads(out)["executable"]


def runs(bed, plugin):
    return os.readlink(f"/proc/{bed.sidecar.plugin_pid(plugin)}/exe")


def copy(plugin, name):
    """Its program somewhere else."""
    folder = remora.Folder()
    os.chmod(folder.path, 0o755)
    shutil.copy2(os.path.join(built(plugin), plugin), folder / name)
    return folder / name


@test("a program named by hand takes over under load, stays through crashes, and goes with the next swap", "SWAP-12 SWAP-01")
def by_hand():
    bed = Bed("memory", "file", workers=3)
    own = {plugin: os.path.join(bed.plugins, plugin, plugin) for plugin in ("in-memory", "sqlite")}
    other = {plugin: copy(plugin, f"{plugin}-next") for plugin in own}
    with bed.load("memory", "file", seconds=3 * remora.SLOW):
        for plugin in own:
            code, out, err = ask(bed, "plugin", "swap", plugin, "--exe", other[plugin])
            equal((code, out), (0, f"{plugin} is generation 2 now\n"), err)
            equal((executable(bed, plugin), runs(bed, plugin)), (other[plugin],) * 2, plugin)
        equal(ask(bed, "plugin", "swap", "sqlite")[0], 0)
        equal(runs(bed, "sqlite"), own["sqlite"], "what the manifest names")
        bed.swap("in-memory")  # its own files change
        equal(runs(bed, "in-memory"), own["in-memory"], "what the manifest names")
    equal(ask(bed, "plugin", "swap", "sqlite", "--exe", other["sqlite"])[0], 0)
    os.kill(bed.sidecar.plugin_pid("sqlite"), signal.SIGKILL)
    bed.eventually(lambda: bed.plugin("sqlite")["generation"] == 5 and bed.plugin("sqlite")["state"] == "ready", "restarted")
    equal(runs(bed, "sqlite"), other["sqlite"], "the same program after a crash")
    equal(ask(bed, "plugin", "restart", "sqlite")[0], 0)
    bed.eventually(lambda: bed.plugin("sqlite")["generation"] == 6 and bed.plugin("sqlite")["state"] == "ready", "restarted")
    equal(runs(bed, "sqlite"), other["sqlite"], "and after a restart")
    bed.end()


@test("a program that must not or cannot run changes nothing, and is refused with words", "SWAP-12")
def refused():
    bed = Bed("memory")
    before = bed.plugin("in-memory")
    path = copy("in-memory", "next")
    for change, words in ((lambda: os.chmod(path, 0o644), "cannot be executed"),
                          (lambda: os.chmod(path, 0o757), "can be written by everybody"),
                          (lambda: os.unlink(path), "No such file"),
                          (lambda: os.mkdir(path), "is no file")):
        change()
        code, out, err = ask(bed, "plugin", "swap", "in-memory", "--exe", path)
        equal((code, out), (1, ""))
        need(words in err, err)
    os.rmdir(path)
    shutil.copy2(os.path.join(built("sqlite"), "sqlite"), path)
    code, out, err = ask(bed, "plugin", "swap", "in-memory", "--exe", path)
    equal((code, out), (1, ""))
    need(err.startswith("remora: in-memory serves on as it was: "), err)
    after = bed.plugin("in-memory")
    equal((after["pid"], after["state"]), (before["pid"], "ready"))
    equal(executable(bed, "in-memory"), os.path.join(bed.plugins, "in-memory", "in-memory"))
    equal(ask(bed, "plugin", "swap", "in-memory")[0], 0)
    bed.end()


@test("a plugin that is installed later serves the components that wait for it", "RELOAD-11")
def installed_later():
    bed = Bed("memory")
    names = iter(range(1000))

    def nobody_hosts_it():
        name = f"probe{next(names)}"
        bed.write("probe.yaml", bed.yaml("alone", name).replace("alone.txt", f"{name}.txt"))
        return bed.eventually(lambda: bed.components().get(name, {"state": "waiting"})["state"] != "waiting" and
                              bed.components()[name]["state"], f"{name} was tried") == "failed"

    with bed.load("memory", seconds=2 * remora.SLOW):
        for i in range(3):
            bed.write("alone.yaml", bed.yaml("alone"))
            bed.eventually(lambda: "couldn't find state store" in bed.components().get("alone", {}).get("error", ""), "it waits")
            bed.add_plugin("exclusive")
            bed.ready("alone")
            equal(bed.store("alone").save("k", i).status, 204)
            shutil.rmtree(os.path.join(bed.plugins, "exclusive"))
            bed.eventually(nobody_hosts_it, "a plugin that was removed takes no more components")
            bed.remove("probe.yaml")
            equal(bed.store("alone").get("k").json, i, "what runs needs no file any more")
            bed.remove("alone.yaml")
            bed.gone("alone")
    bed.end()


@test("a type that a changed manifest adds is served by the next process", "RELOAD-11")
def more_types():
    bed = Bed("memory")
    text = []

    def without(manifest):
        text.append(manifest)
        need("state.exclusive" in manifest, manifest)
        return manifest.replace("state.exclusive", "state.later")

    bed.add_plugin("exclusive", without)
    manifest = os.path.join(bed.plugins, "exclusive", "plugin.yaml")
    bed.write("alone.yaml", bed.yaml("alone"))
    bed.eventually(lambda: "couldn't find" in bed.components().get("alone", {}).get("error", ""), "nobody hosts it")
    with open(manifest + ".new", "w") as f:
        f.write(text[0])
    os.rename(manifest + ".new", manifest)
    bed.ready("alone")
    bed.end()


@test("a read that ends its plugin takes none of those beside it along when all are repeated", "EXPERIMENT-crash")
def suspects():
    tests = os.path.join(remora.BUILD, "tests", "plugins")
    sidecar = remora.Sidecar(component("store", "state.hostile"), flags=["--plugins-path", os.path.join(remora.BUILD, "plugins"),
                                                                         "--plugins-path", tests])
    rounds = 0
    for _ in range(30):
        plugin = sidecar.plugin_pid("hostile")
        os.kill(plugin, signal.SIGSTOP)
        connections = [sidecar.connect() for _ in range(9)]
        for i, connection in enumerate(connections):
            connection.send(remora.request_bytes("GET", f"/v1.0/state/store/{'plain' if i else 'crash'}"))
            equal(sidecar.healthz(), 204, "it has been sent")
        os.kill(plugin, signal.SIGCONT)
        started = time.monotonic()
        replies = [connection.reply() for connection in connections]
        for connection in connections:
            connection.close()
        statuses = [reply.status for reply in replies]
        if statuses != [503] + [200] * 8 and time.monotonic() - started > 2:
            continue  # the next process is waited for so long only, which a loaded machine may not keep to
        equal(statuses, [503] + [200] * 8, replies[1].text)
        rounds += 1
        if rounds == 3:
            break
    equal(rounds, 3)
    sidecar.end()


@test("a plugin that no component needs any more ends, and starts again for the next one", "ARCH-3")
def idle():
    bed = Bed("memory", "file", env={"PATH": os.environ["PATH"], "INJECT": "plugin_idle:1"})
    for generation in (2, 3):
        bed.remove("file.yaml")
        bed.gone("file")
        bed.eventually(lambda: not bed.generations("sqlite"), "its process ends")
        bed.logged("no component needs it")
        equal(bed.store("memory").save("k", 1).status, 204, "the other plugin")
        # What was installed meanwhile is what starts.
        version = bed.put_manifest("sqlite")
        bed.write("file.yaml", bed.yaml("file"))
        bed.ready("file")
        bed.eventually(lambda: bed.plugin("sqlite")["version"] == version, version)
        equal(bed.store("file").save("k", 1).status, 204)
        need(bed.plugin("sqlite")["generation"] >= generation, "another process")
    equal(len(bed.generations("in-memory")), 1)
    bed.end()


@test("a change that failed is tried again without another file event", "RELOAD-12")
def tried_again():
    port = remora.free_port()
    bed = Bed("memory", "redis", flags=["--hot-reload-reconcile-interval=1s", "--log-level=debug"])
    good = bed.yaml("redis")
    bed.write("redis.yaml", good.replace(f":{bed.redis.port}", f":{port}"))
    bed.eventually(lambda: "connect" in bed.components()["redis"].get("error", ""), "nobody listens there")
    equal(bed.store("redis").save("k", 1).status, 204, "what was there goes on")
    # A program that is not there yet: the manifest has changed, and what follows is no event of the running program's.
    bed.put_manifest("in-memory", exec="in-memory.next")
    bed.logged("plugin in-memory: the exchange of its process has failed")
    bed.put_program("in-memory", os.path.join(built("in-memory"), "in-memory"), "in-memory.next")
    bed.redis.stop()
    bed.redis.port = port
    bed.redis.start()
    bed.ready("redis", 2)
    bed.eventually(lambda: len(bed.generations("in-memory")) == 1 and
                   runs(bed, "in-memory") == os.path.join(bed.plugins, "in-memory", "in-memory.next"),
                   "the program has taken over")
    bed.logged("Running scheduled Component reconcile")

    def looks(count):
        seen = bed.sidecar.log().count("Running scheduled Component reconcile")
        bed.eventually(lambda: bed.sidecar.log().count("Running scheduled Component reconcile") >= seen + count, "looks")
        return bed.plugin("in-memory")["generation"], bed.components()["redis"]["generation"]

    settled = looks(2)  # the new program may have been an event as well
    equal(looks(2), settled, "what has succeeded is not tried again")
    bed.end()


@test("a rotated secret is tried until the server takes it", "RELOAD-12 SEC-11")
def rotated_early():
    folder = remora.Folder()
    secrets = folder.write("secrets.json", json.dumps({"redis": "old"}))
    redis = remora.Redis()
    redis.command("CONFIG", "SET", "requirepass", "old")
    bed = Bed("memory")
    bed.write("vault.yaml", component("vault", "secretstores.local.file", {"secretsFile": secrets}))
    bed.add_plugin("redis")
    bed.write("redis.yaml", component("redis", "state.redis", [("redisHost", f"127.0.0.1:{redis.port}")]) +
              "  - name: redisPassword\n    secretKeyRef: {name: redis, key: redis}\nauth:\n  secretStore: vault\n")
    bed.ready("redis")
    folder.write(".new", json.dumps({"redis": "new"}))
    os.rename(folder / ".new", folder / "secrets.json")
    bed.eventually(lambda: "WRONGPASS" in bed.components()["redis"].get("error", "") or
                   "password" in bed.components()["redis"].get("error", "").lower(), "the server does not know it yet")
    equal(bed.store("redis").save("k", 1).status, 204, "with the old one it serves on")
    with remora.socket.create_connection(("127.0.0.1", redis.port), remora.DEADLINE_S) as s:
        s.sendall(b"AUTH old\r\nCONFIG SET requirepass new\r\n")
        need(s.makefile("rb").readline() == b"+OK\r\n", "the password is changed")
        bed.ready("redis", 2)
    bed.eventually(lambda: not bed.components()["redis"].get("error"), "nothing is wrong any more")
    bed.end()
    redis.end()


if __name__ == "__main__":
    remora.main()
