# SPDX-License-Identifier: Apache-2.0
# timeout: 170
"""What breaks beside the sidecar: plugins killed and stopped under load, a Redis server that goes and returns, clients
that leave, sockets that are connected and closed. Short forms of the experiments `crash`, `outage` and `hostile`."""

import os
import random
import signal
import socket
import stat
import threading
import time

from remora import (
    Connection,
    Cut,
    Folder,
    Redis,
    Sidecar,
    Store,
    call,
    component,
    equal,
    eventually,
    is_running,
    main,
    need,
    request_bytes,
    test,
)

MEM = component("mem", "state.in-memory")


def is_stopped(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


def descriptors(sidecar):
    return len(os.listdir(f"/proc/{sidecar.pid}/fd"))


class Load:
    """Clients that count up keys of their own and note what was acknowledged; every request must get an answer."""

    def __init__(self, store, clients=4):
        self.store = store
        self.acknowledged = {}
        self.answers = {}
        self.problems = []
        self.stopping = False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def note(self, reply):
        self.answers[reply.status] = self.answers.get(reply.status, 0) + 1
        if reply.status not in (200, 204) and not reply.json.get("errorCode", "").startswith("ERR_STATE_"):
            self.problems.append(repr(reply))

    def run(self, client):
        choice = random.Random(client)
        count = 0
        try:
            while not self.stopping:
                key = f"load-{client}-{choice.randrange(3)}"
                count += 1
                reply = self.store.save(key, count)
                self.note(reply)
                if reply.status == 204:
                    self.acknowledged[key] = count
                reply = self.store.get(key)
                self.note(reply)
                if reply.status == 200 and reply.json < self.acknowledged.get(key, 0):
                    self.problems.append(f"{key} went back from {self.acknowledged[key]} to {reply.json}")
                if reply.status == 204 and key in self.acknowledged:
                    self.problems.append(f"{key} is lost")
        except (OSError, Cut, ValueError) as error:
            self.problems.append(f"no answer: {error!r}")

    def total(self):
        return sum(self.answers.values())

    def good(self):
        return self.answers.get(204, 0) + self.answers.get(200, 0)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        equal(self.problems[:5], [])

    def check_kept(self):
        """A write without an answer may have happened too, so a value may be ahead of what was acknowledged."""
        for key, count in self.acknowledged.items():
            reply = eventually(lambda key=key: (it := self.store.get(key)).status < 500 and it, "the store answers")
            need(reply.status == 200 and reply.json >= count, f"{key}: {count} was acknowledged, now {reply}")


@test(
    "every request is answered and every acknowledged write kept while the SQLite plugin is killed again and again",
    "EXPERIMENT-crash ARCH-3",
)
def killed_under_load():
    folder = Folder()
    for workers in ("1", "3"):
        sidecar = Sidecar(
            MEM, component("sqlt", "state.sqlite", {"connectionString": folder / "k.db"}), flags=["--workers", workers]
        )
        store = Store(sidecar, "sqlt")
        store.save("warm", 1)
        before = descriptors(sidecar)
        load = Load(store)
        for round_ in range(6):
            served = load.good()
            eventually(lambda: load.good() > served + 100, "it serves")
            # By turns the plugin itself and the outermost of the processes that confine it.
            pid = sidecar.plugin_pid("sqlite") if round_ % 2 else sidecar.plugins()["sqlite"]["group"]
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not is_running(pid), "it is dead")
            equal(Store(sidecar, "mem").save("k", 1).status, 204, "other plugins do not notice")
        eventually(lambda: store.get("warm").status == 200, "it serves again")
        load.stop()
        need(load.good() > load.total() * 0.8, f"{load.answers}")
        load.check_kept()
        need(sidecar.is_alive(), "the sidecar lives")
        equal(sidecar.plugins()["sqlite"]["restarts"], 6)
        eventually(
            lambda: descriptors(sidecar) <= before, f"descriptors are back at {before}, not {descriptors(sidecar)}"
        )
        equal(sidecar.stop(), 0)


@test("a request that waits for a plugin that is killed is answered at once", "EXPERIMENT-crash")
def killed_while_waiting():
    sidecar = Sidecar(MEM)
    pid = sidecar.plugin_pid("in-memory")
    os.kill(pid, signal.SIGSTOP)
    writer, reader = sidecar.connect(), sidecar.connect()
    writer.send(request_bytes("POST", "/v1.0/state/mem", body=b'[{"key":"k","value":1}]'))
    reader.send(request_bytes("GET", "/v1.0/state/mem/k"))
    eventually(lambda: sidecar.healthz() == 204, "the sidecar has read both")
    os.kill(pid, signal.SIGKILL)
    reply = writer.reply()
    equal(reply.json["errorCode"], "ERR_STATE_SAVE")
    need(reply.status >= 500, f"a write whose effect is unknown is not repeated: {reply}")
    equal(reader.reply().status, 204, "a read is, by the next process")
    equal(Store(sidecar, "mem").save("k", 2).status, 204)


@test("requests made while a plugin restarts wait for it", "ARCH-3")
def waits_for_restart():
    sidecar = Sidecar(MEM)
    for _ in range(3):
        Store(sidecar, "mem").save("answered", 1)
        before = sidecar.plugins()["in-memory"]
        os.kill(before["group"], signal.SIGKILL)
        # Not before the kernel knows: a write that was on its way when the process died is not made again.
        eventually(lambda: sidecar.plugins()["in-memory"]["pid"] != before["pid"], "the process is gone")
        equal([Store(sidecar, "mem").save("k", i).status for i in range(20)], [204] * 20)


@test("a stopped plugin holds up its own requests only, and they are answered when it goes on", "EXPERIMENT-crash")
def stopped():
    folder = Folder()
    sidecar = Sidecar(MEM, component("sqlt", "state.sqlite", {"connectionString": folder / "s.db"}))
    Store(sidecar, "mem").save("k", "v")
    before = descriptors(sidecar)
    pid = sidecar.plugin_pid("in-memory")
    os.kill(pid, signal.SIGSTOP)
    held = [sidecar.connect() for _ in range(20)]
    for connection in held:
        connection.send(request_bytes("GET", "/v1.0/state/mem/k"))
    until = time.monotonic() + 2
    served = 0
    while time.monotonic() < until:
        equal(Store(sidecar, "sqlt").save("k", served).status, 204, "others go on")
        equal(sidecar.healthz(), 204)
        served += 1
    need(is_stopped(pid), "it was stopped all the time")
    os.kill(pid, signal.SIGCONT)
    equal({(connection.reply().status) for connection in held}, {200})
    for connection in held:
        connection.close()
    eventually(lambda: descriptors(sidecar) <= before, "descriptors are back")


@test("clients that leave while their requests wait leave nothing behind", "EXPERIMENT-hostile")
def vanished_clients():
    sidecar = Sidecar(MEM)
    Store(sidecar, "mem").save("k", "v")
    before = descriptors(sidecar)
    pid = sidecar.plugin_pid("in-memory")
    os.kill(pid, signal.SIGSTOP)
    for i in range(200):
        connection = sidecar.connect()
        connection.send(
            request_bytes("GET", "/v1.0/state/mem/k")
            if i % 2
            else request_bytes("POST", "/v1.0/state/mem", body=b'[{"key":"gone","value":1}]')
        )
        if i % 3 == 0:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        connection.close()
    os.kill(pid, signal.SIGCONT)
    equal(Store(sidecar, "mem").get("k").text, '"v"')
    eventually(lambda: descriptors(sidecar) <= before, "descriptors are back")


@test("a Redis server that goes and returns under load: clear errors, recovery, nothing lost", "EXPERIMENT-outage")
def outage():
    redis = Redis()
    sidecar = Sidecar(
        MEM,
        component(
            "red",
            "state.redis",
            {"redisHost": f"127.0.0.1:{redis.port}", "dialTimeout": "300ms", "readTimeout": "10s"},
        ),
    )
    store = Store(sidecar, "red")
    load = Load(store)
    for _ in range(2):
        served = load.good()
        eventually(lambda: load.good() > served + 50, "it serves")
        redis.stop()
        bad = load.total() - load.good()
        eventually(lambda: load.total() - load.good() > bad + 4, "requests fail in words")
        reply = store.save("k", 1)
        need(reply.status >= 500 and reply.json["errorCode"] == "ERR_STATE_SAVE", repr(reply))
        for reply, code in (
            (store.get("k"), "ERR_STATE_GET"),
            (store.delete("k"), "ERR_STATE_DELETE"),
            (store.transact(("upsert", "k", 1)), "ERR_STATE_TRANSACTION"),
        ):
            need(reply.status >= 500 and reply.json["errorCode"] == code, f"{code}: {reply}")
        items = store.bulk(["k", "l"]).json
        need(all("data" not in item and item["error"] for item in items), f"a bulk read tells item by item: {items}")
        equal(Store(sidecar, "mem").save("k", 1).status, 204)
        redis.start()
        eventually(lambda: store.save("back", 1).status == 204, "it serves again by itself")
    load.stop()
    load.check_kept()
    equal(sidecar.plugins()["redis"]["restarts"], 0)
    equal(sidecar.stop(), 0)


@test("a Redis server that falls silent does not hold up anybody else", "EXPERIMENT-outage")
def silent_server():
    redis = Redis()
    sidecar = Sidecar(
        MEM,
        component(
            "red",
            "state.redis",
            {"redisHost": f"127.0.0.1:{redis.port}", "readTimeout": "500ms", "dialTimeout": "300ms"},
        ),
    )
    store = Store(sidecar, "red")
    eventually(lambda: store.save("k", "v").status == 204, "it serves")
    redis.signal(signal.SIGSTOP)
    held = sidecar.connect()
    held.send(request_bytes("GET", "/v1.0/state/red/k"))
    for _ in range(20):
        equal(Store(sidecar, "mem").save("k", 1).status, 204)
    equal(held.reply().json["errorCode"], "ERR_STATE_GET")
    redis.signal(signal.SIGCONT)
    eventually(lambda: store.get("k").status == 200, "it serves again")


@test("a thousand connections made and closed on every socket, then an ordinary call", "EXPERIMENT-hostile")
def connect_and_close():
    folder = Folder()
    sidecar = Sidecar(MEM, public=True, folder=folder)
    unix = Sidecar(MEM, http=False, wait=False, flags=["--unix-domain-socket", folder.path])
    unix_path = folder / "dapr-shop-http.socket"

    def is_ready():
        try:
            return call(unix_path, "GET", "/v1.0/healthz").status == 204
        except OSError:  # the file is there a moment before anybody listens
            return False

    eventually(is_ready, "ready")
    own = [os.path.join(at, name) for at, _, found in os.walk(folder / "run") for name in found]
    addresses = [sidecar.address, sidecar.public, unix_path] + [path for path in own if is_socket(path)]
    need(len(addresses) >= 3, f"{addresses}")
    before = descriptors(sidecar)
    for address in addresses:
        for _ in range(1000):
            try:
                Connection(address).close()
            except ConnectionRefusedError:
                break  # the plugin's own socket takes one connection and is closed
    equal(Store(sidecar, "mem").save("k", 1).status, 204)
    equal(call(sidecar.public, "GET", "/v1.0/healthz").status, 204)
    equal(call(unix_path, "POST", "/v1.0/state/mem", [{"key": "k", "value": 1}]).status, 204)
    eventually(lambda: descriptors(sidecar) <= before, "descriptors are back")
    equal((sidecar.stop(), unix.stop()), (0, 0))


def is_socket(path):
    return stat.S_ISSOCK(os.stat(path).st_mode)


def write_plugin(folder, name, script, types="state.broken"):
    """A plugin of our own: a shell script."""
    os.makedirs(folder / f"plugins/{name}")
    path = folder.write(f"plugins/{name}/{name}", "#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    folder.write(
        f"plugins/{name}/plugin.yaml",
        f"apiVersion: remora.io/v1\nkind: Plugin\nname: {name}\nversion: 1.0.0\n"
        f"exec: {name}\ntypes:\n  - type: {types}\n    versions: [v1]\n    replace: overlap\nnetwork: no\n",
    )


@test("a plugin that ends before it says hello is a start error in its own last words", "ARCH-3")
def broken_plugin():
    folder = Folder()
    write_plugin(folder, "broken", "echo I cannot go on >&2; exit 3\n")
    sidecar = Sidecar(
        MEM, component("b", "state.broken"), folder=folder, wait=False, flags=["--plugins-path", folder / "plugins"]
    )
    equal(sidecar.wait(), 1, sidecar.log()[-3000:])
    need(
        "I cannot go on" in sidecar.log() and "Failed to init component b (state.broken/v1)" in sidecar.log(),
        sidecar.log()[-3000:],
    )


@test("with ignoreErrors a plugin that cannot start leaves the others in peace", "ARCH-3 §5")
def broken_plugin_ignored():
    folder = Folder()
    write_plugin(folder, "broken", "exit 3\n")
    sidecar = Sidecar(
        MEM,
        component("b", "state.broken").replace("spec:\n", "spec:\n  ignoreErrors: true\n"),
        folder=folder,
        flags=["--plugins-path", folder / "plugins"],
    )
    equal(Store(sidecar, "mem").save("k", 1).status, 204)
    need(Store(sidecar, "b").get("k").status >= 400, "the broken one is not there")
    equal([one["name"] for one in sidecar.metadata()["components"]], ["mem"])
    equal(sidecar.stop(), 0)


if __name__ == "__main__":
    main()
