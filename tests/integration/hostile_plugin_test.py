#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sidecar with a plugin that breaks the contract (tests/plugins/hostile) beside one that does not: every fault has a
clear answer or none, the other store never notices, memory stays bounded, and the plugin is back at once."""
import os
import re
import socket
import struct
import threading
import time

from remora import BUILD, SLOW, TOP, Cut, Sidecar, Store, component, equal, eventually, main, need, test

FLAGS = ["--plugins-path", os.path.join(BUILD, "plugins"), "--plugins-path", os.path.join(BUILD, "tests", "plugins")]
GOOD = component("good", "state.in-memory")
BAD = component("bad", "state.hostile")
GROWTH_KIB_MAX = 32 * 1024 * (8 if SLOW > 1 else 1)  # sanitizers keep freed memory back

LOST = (503, "ERR_STATE_GET")
# What a get of that key answers: status and a part of the text. CUT: the answer had begun and breaks off.
CUT = "cut"
# Whether the answer has begun when the fault is seen depends on how the bytes come in.
EITHER = "cut, or the plugin was lost"
ANSWERS = {
    "garbage": LOST, "oversized": LOST, "endless": LOST, "no-frame": LOST, "unasked": LOST, "own-number": LOST,
    "early-data": LOST, "impossible": LOST, "second-hello": LOST, "host-odd": LOST, "exit": LOST, "crash": LOST,
    "hang-up": LOST,
    "overrun": CUT, "no-credit": EITHER,
    "not-a-value": (500, "malformed"), "odd-code": (500, "ERR_STATE_GET"),
    "twice": (200, "first"), "answer-and-exit": (200, "last words"),
    "log-flood": (200, "flooded"), "host-flood": (200, "flooded"), "host-hoard": (200, "hoarded"),
    "host-deep": (200, "deep"), "credit-flood": (200, "flooded"),
    "network": (200, "EAFNOSUPPORT"), "signal": (200, "EPERM"), "read": (200, "EACCES"), "write": (200, "EACCES"),
    "fork-away": (200, "forked"),
}
# No answer ever comes, until the caller gives up.
SILENT = ["late", "silent", "stale-epoch", "half", "deaf"]


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s*(\d+) kB", f.read()).group(1))


def serves(store):
    """Whether a get of an ordinary key is answered as it should be."""
    try:
        return store.get("plain", headers=[]).text == "ok"
    except (OSError, Cut):
        return False


class Innocent(threading.Thread):
    """Saves and reads in the other store all the time, and counts what went wrong."""

    def __init__(self, sidecar):
        super().__init__(daemon=True)
        self.store, self.is_over, self.count, self.failures = Store(sidecar, "good"), False, 0, []
        self.start()

    def run(self):
        while not self.is_over:
            self.count += 1
            saved = self.store.save("k", self.count).status
            read = self.store.get("k").text
            if saved != 204 or read != str(self.count):
                self.failures.append((saved, read, self.count))

    def end(self):
        self.is_over = True
        self.join()
        equal(self.failures, [], "what the innocent store answered")
        need(self.count > 10, "the innocent store was served meanwhile")


@test("every fault is listed", "HOSTILE")
def every_fault():
    with open(os.path.join(TOP, "tests/plugins/hostile/plugin.c")) as f:
        names = re.findall(r'^    \{ "([a-z-]+)", \w+ \},$', f.read(), re.M)
    equal(sorted(names), sorted([*ANSWERS, *SILENT]))


@test("each fault costs its own call, and at most its own plugin", "HOSTILE")
def faults():
    sidecar = Sidecar(BAD, GOOD, flags=FLAGS)
    bad = Store(sidecar, "bad")
    eventually(lambda: serves(bad), "the hostile store answers at first")
    innocent = Innocent(sidecar)
    before = rss_kib(sidecar.pid)
    for key, wanted in ANSWERS.items():
        try:
            reply = bad.get(key)
            got = (reply.status, reply.text)
        except Cut:
            got = CUT
        if wanted == EITHER:
            need(got == CUT or got[0] == 500 and "lost while it answered" in got[1], f"{key}: {got}")
        elif wanted == CUT:
            equal(got, CUT, key)
        else:
            need(got != CUT and got[0] == wanted[0] and wanted[1] in got[1], f"{key}: {got}, not {wanted}")
        eventually(lambda: serves(bad), f"the store is back after {key}")
    innocent.end()
    need(rss_kib(sidecar.pid) - before <= GROWTH_KIB_MAX, f"grew from {before} to {rss_kib(sidecar.pid)} KiB")
    plugins = {p["name"]: p for p in sidecar.metadata()["remora"]["plugins"]}
    equal(plugins["in-memory"]["restarts"], 0, "restarts of the innocent plugin")
    need(plugins["hostile"]["restarts"] >= 10, f"restarts of the hostile plugin: {plugins['hostile']['restarts']}")
    equal(sidecar.stop(), 0, "exit status")


@test("an answer that is not what was asked for is an error of the store", "HOSTILE")
def wrong_answers():
    """ERR_PLUGIN_PROTOCOL inside; a client reads the code of what it wanted."""
    sidecar = Sidecar(BAD, flags=FLAGS)
    bad = Store(sidecar, "bad")
    reply = bad.bulk(["a", "b"])
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_STATE_BULK_GET"))
    need("malformed" in reply.text, reply.text)
    equal(bad.transact(("upsert", "a", 1), ("upsert", "b", 2)).status, 204)
    equal(sidecar.stop(), 0, "exit status")


@test("a transaction larger than the store supports is refused with both numbers", "HOSTILE")
def large_transaction():
    sidecar = Sidecar(BAD, flags=FLAGS)
    reply = Store(sidecar, "bad").transact(("upsert", "a", 1), ("upsert", "b", 2), ("delete", "c"))
    equal((reply.status, reply.json["errorCode"]), (400, "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS"))
    equal(reply.json["message"],
          "the transaction contains 3 operations, which is more than what the state store supports: 2")
    info = next(d for d in reply.json["details"] if d["@type"].endswith("ErrorInfo"))
    equal(info["metadata"], {"currentOpsTransaction": "3", "maxOpsPerTransaction": "2"})
    equal(sidecar.stop(), 0, "exit status")


def reset(connection):
    """Closes at once: a mere end of input would only say that the client has nothing more to ask."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@test("a plugin that does not answer or read harms only those who ask it", "HOSTILE")
def silence():
    sidecar = Sidecar(BAD, GOOD, flags=FLAGS)
    bad = Store(sidecar, "bad")
    eventually(lambda: serves(bad), "the hostile store answers at first")
    innocent = Innocent(sidecar)
    for key in SILENT:
        eventually(lambda: serves(bad), f"the store answers before {key}")
        waiting = [sidecar.connect() for _ in range(3)]
        for connection in waiting:
            connection.send(f"GET /v1.0/state/bad/{key} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        time.sleep(0.05)  # nothing is to happen
        for connection in waiting:
            connection.socket.settimeout(0.05)
            try:
                need(key == "half" or connection.receive() is None, f"{key} was answered: {connection.pending}")
            except TimeoutError:
                pass
            reset(connection)
    innocent.end()
    equal(sidecar.stop(), 0, "exit status")


@test("what a plugin forked away is gone with the plugin", "HOSTILE")
def forks():
    sidecar = Sidecar(BAD, GOOD, flags=FLAGS)
    bad = Store(sidecar, "bad")
    equal(bad.get("fork-away").text, "forked")
    children = hostile_processes(sidecar)
    need(len(children) >= 2, f"the plugin and its child: {children}")
    bad.get("exit")
    eventually(lambda: not set(children) & set(hostile_processes(sidecar)), "the child ends with its plugin")
    bad.get("fork-away")
    sidecar.kill()
    eventually(lambda: not hostile_processes(sidecar), "nothing outlives the sidecar")


def hostile_processes(sidecar):
    """Process ids of the plugin and whatever came of it: they all were given the sidecar's socket."""
    found = []
    program = os.path.join(BUILD, "tests", "plugins", "hostile", "hostile")
    for name in os.listdir("/proc"):
        try:
            if not name.isdigit() or os.readlink(f"/proc/{name}/exe") != program:
                continue
            with open(f"/proc/{name}/environ", "rb") as f:
                if sidecar.folder.path.encode() in f.read():
                    found.append(int(name))
        except OSError:
            pass
    return found


@test("a plugin that greets wrongly never serves, and says why in the metadata", "HOSTILE")
def greetings():
    reasons = {
        "wrong-token": "wrong token", "no-token": "wrong token", "wrong-version": "protocol version",
        "garbage": "bad handshake", "oversized": "message too large", "request": "the first frame is no hello",
        "leave": "before it was ready",
    }
    for how, reason in reasons.items():
        bad = component("bad", "state.hostile", extra="  ignoreErrors: true\n")
        sidecar = Sidecar(bad, GOOD, flags=FLAGS, env={"PATH": os.environ["PATH"], "HOSTILE_HELLO": how}, wait=False)

        def failed():
            try:
                plugins = {p["name"]: p for p in sidecar.metadata()["remora"]["plugins"]}
            except (OSError, Cut):
                return False
            if "hostile" not in plugins:
                return False
            told = plugins["hostile"]["reason"] + plugins["hostile"]["lastExit"]
            return reason in told and plugins["hostile"]["state"] != "ready"

        eventually(failed, f"{how}: the metadata say {reason}")
        good = Store(sidecar, "good")
        eventually(lambda: good.save("k", 1).status == 204, "the other store works")
        status = Store(sidecar, "bad").get("k").status
        need(status >= 400, f"a get after {how}: {status}")
        sidecar.stop()


main()
