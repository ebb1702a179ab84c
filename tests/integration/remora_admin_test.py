# SPDX-License-Identifier: Apache-2.0
"""The admin socket and the event feed of a running sidecar: stock NNG clients are served (pynng here; libnng in C is the
command line, and tests/unit/admin), and no guest, however rude, disturbs them. timeout: 170"""
import os
import socket
import subprocess
import sys

import pynng

from remora import BUILD, DEADLINE_S, SLOW, Folder, Sidecar, Skip, component, equal, eventually, main, need, test

# By its folder, since the package's name is taken by the helpers of the tests.
sys.path.insert(0, os.path.join(BUILD, "gen", "python", "remora", "admin", "v1"))
import admin_pb2 as admin  # noqa: E402

REMORA = os.path.join(BUILD, "bin", "remora")
MEM = component("mem", "state.in-memory")
REQ, SUB = b"\0SP\0\0\x30\0\0", b"\0SP\0\0\x21\0\0"
SPY = """#!/usr/bin/env python3
import os, socket, time
folder = os.path.dirname(os.environ["REMORA_URL"].split("://")[1])
for name, greeting in (("admin.sock", b"\\0SP\\0\\0\\x30\\0\\0"), ("events.sock", b"\\0SP\\0\\0\\x21\\0\\0")):
    try:
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(folder, name))
        s.settimeout(10)
        s.sendall(greeting)
        if name == "admin.sock":
            s.sendall(b"\\1\\0\\0\\0\\0\\0\\0\\0\\6\\x80\\0\\0\\1\\x08\\x02")
        told = s.recv(100)
        while told[8:] == b"":
            more = s.recv(100)
            if not more:
                break
            told += more
        print(f"{name}: {len(told[8:])} bytes", flush=True)
    except OSError as error:
        print(f"{name}: refused: {error}", flush=True)
time.sleep(600)
"""
SPY_YAML = """apiVersion: remora.io/v1
kind: Plugin
name: spy
version: 0.1.0
exec: spy.py
types: [{type: state.spy}]
network: no
"""


def path_of(sidecar, name):
    folder = sidecar.folder / "run"
    inner = next(entry for entry in os.listdir(folder) if entry.startswith("remora-"))
    return os.path.join(folder, inner, name)


class Admin:
    """A REQ0 of pynng."""

    def __init__(self, sidecar):
        self.socket = pynng.Req0(dial="ipc://" + path_of(sidecar, "admin.sock"), resend_time=-1,
                                 recv_timeout=int(DEADLINE_S * 1000))

    def ask(self, method, **fields):
        self.socket.send(admin.Request(method=admin.Method.Value("METHOD_" + method), **fields).SerializeToString())
        reply = admin.Reply()
        reply.ParseFromString(self.socket.recv())
        return reply

    def close(self):
        self.socket.close()


def connect(path):
    """Blocks while the backlog is full."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(DEADLINE_S)
    return s


def is_served(sidecar):
    client = Admin(sidecar)
    try:
        equal(client.ask("STATUS").status.pid, sidecar.pid)
    finally:
        client.close()


def descriptors(sidecar):
    return len(os.listdir(f"/proc/{sidecar.pid}/fd"))


# --- guests that are welcome ------------------------------------------------------------------------------------------


@test("pynng asks everything there is to ask")
def asks():
    sidecar = Sidecar(MEM, app_id="orders")
    client = Admin(sidecar)
    equal(client.ask("VERSION").version.major, 1)
    status = client.ask("STATUS").status
    equal((status.app_id, status.stage, status.ready, status.plugins_ready), ("orders", "running", True, 2))
    plugin, resolver = client.ask("LIST_PLUGINS").plugins
    equal((plugin.name, plugin.state, plugin.generation), ("in-memory", "ready", 1))
    equal((resolver.name, resolver.state), ("mdns", "ready"))
    described = client.ask("DESCRIBE_PLUGIN", name="in-memory")
    equal([c.name for c in described.components], ["mem"])
    equal([c.state for c in client.ask("LIST_COMPONENTS").components], ["ready"])
    equal(client.ask("PLUGIN_LOGS", name="in-memory", lines=3).code, admin.CODE_OK)
    equal(client.ask("DESCRIBE_PLUGIN", name="nobody").code, admin.CODE_NOT_FOUND)
    need(len(client.ask("RECENT_EVENTS").events) >= 4, "the past")
    for _ in range(1000):
        client.ask("VERSION")
    client.close()


@test("pynng subscribes to all events, or to one kind")
def subscribes():
    sidecar = Sidecar(MEM)
    client = Admin(sidecar)
    url = "ipc://" + path_of(sidecar, "events.sock")
    with pynng.Sub0(dial=url, recv_timeout=int(DEADLINE_S * 1000)) as everything, \
            pynng.Sub0(dial=url, recv_timeout=int(DEADLINE_S * 1000)) as components:
        everything.subscribe(b"")
        components.subscribe(b"\x08\x02")
        equal(client.ask("RESTART_PLUGIN", name="in-memory").plugins[0].state, "draining")

        def until_ready(sub):
            events = []
            while not events or (events[-1].name, events[-1].state) != ("mem", "ready"):
                event = admin.Event()
                event.ParseFromString(sub.recv())
                events.append(event)
            return events

        events = until_ready(everything)
        equal([e.sequence for e in events], list(range(events[0].sequence, events[-1].sequence + 1)))
        need(("in-memory", "ready", "draining") in [(e.name, e.was, e.state) for e in events], events)
        equal([e.state for e in until_ready(components)], ["waiting", "ready"])
    client.close()


@test("many administrators at a time are served")
def many():
    sidecar = Sidecar(MEM)
    clients = [Admin(sidecar) for _ in range(50)]
    for client in clients * 3:
        equal(client.ask("STATUS").status.pid, sidecar.pid)
    for client in clients:
        client.close()


@test("neither of the kernel's processes maps libnng")
def no_nng():
    sidecar = Sidecar(MEM)
    is_served(sidecar)
    with open(f"/proc/{sidecar.pid}/maps") as f:
        need("nng" not in f.read(), "libnng in the kernel")


# --- guests that are not ----------------------------------------------------------------------------------------------


@test("ten thousand that connect and close disturb nobody")
def knocks():
    sidecar = Sidecar(MEM)
    is_served(sidecar)
    before = descriptors(sidecar)
    for name in ("admin.sock", "events.sock"):
        path = path_of(sidecar, name)
        for _ in range(10000):
            connect(path).close()
    is_served(sidecar)
    eventually(lambda: descriptors(sidecar) <= before, "no descriptor is lost")


@test("garbage, half frames and silence disturb nobody")
def rude():
    sidecar = Sidecar(MEM)
    before = descriptors(sidecar)
    guests = []
    frame = REQ + b"\1\0\0\0\0\0\0\0\6\x80\0\0\1\x08\x02"
    for name in ("admin.sock", "events.sock"):
        path = path_of(sidecar, name)
        for sent in [b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), SUB + b"\1" * 40, REQ + b"\1" + b"\xff" * 8,
                     REQ + b"\1\0\0\0\0\0\0\0\6\0\0\0\1ab"] + [frame[:n] for n in range(1, len(frame))]:
            for _ in range(4):
                guest = connect(path)
                guests.append(guest)
                try:
                    guest.sendall(sent)
                except OSError:
                    pass  # thrown out while still talking
    is_served(sidecar)
    done = subprocess.run([REMORA, "plugin", "list", "--run-dir", sidecar.folder / "run"], capture_output=True, text=True)
    equal((done.returncode, done.stderr), (0, ""))
    for guest in guests:
        guest.close()
    eventually(lambda: descriptors(sidecar) <= before, "no descriptor is lost")


@test("requests that make no sense are answered, and the connection goes on")
def nonsense():
    sidecar = Sidecar(MEM)
    client = Admin(sidecar)
    for payload in (b"\xff", b"\x08", b"\x12\x05ab", b"x" * 60000):
        client.socket.send(payload)
        reply = admin.Reply()
        reply.ParseFromString(client.socket.recv())
        need(reply.code in (admin.CODE_INVALID_ARGUMENT, admin.CODE_UNIMPLEMENTED), reply)
    equal(client.ask("STATUS").status.pid, sidecar.pid)
    client.close()


@test("a subscriber that never reads costs little and stops nobody")
def slow():
    sidecar = Sidecar(MEM)
    guest = connect(path_of(sidecar, "events.sock"))
    guest.sendall(SUB)
    client = Admin(sidecar)
    for _ in range(5):
        client.ask("RESTART_PLUGIN", name="in-memory")
        eventually(lambda: client.ask("LIST_COMPONENTS").components[0].state == "ready", "it is back")
    client.close()
    guest.close()


@test("a plugin runs under our user id and is refused all the same")
def spy():
    folder = Folder()
    os.makedirs(folder / "plugins/spy")
    os.chmod(folder.write("plugins/spy/spy.py", SPY), 0o755)
    folder.write("plugins/spy/plugin.yaml", SPY_YAML)
    sidecar = Sidecar(component("spy", "state.spy"), folder=folder, wait=False,
                      flags=["--plugins-path", folder / "plugins"])

    def lines():
        client = Admin(sidecar)
        try:
            return list(client.ask("PLUGIN_LOGS", name="spy").lines)
        finally:
            client.close()

    eventually(lambda: os.path.isdir(folder / "run") and any(n.startswith("remora-") for n in os.listdir(folder / "run")),
               "a run directory")
    eventually(lambda: os.path.exists(path_of(sidecar, "admin.sock")), "an admin socket")
    told = eventually(lambda: lines() if len(lines()) >= 2 else None, "the plugin has tried", 20)
    for line in told[:2]:
        need(line.endswith(": 0 bytes") or "refused" in line, told)
    need("client_refused" in sidecar.log(), "the log tells of it")


@test("other users cannot even connect")
def others():
    if os.geteuid() != 0:
        raise Skip("needs root to become somebody else")
    sidecar = Sidecar(MEM)
    for name in ("admin.sock", "events.sock"):
        path = path_of(sidecar, name)
        equal(os.stat(path).st_mode & 0o777, 0o600)
        pid = os.fork()
        if pid == 0:
            os.setgid(65534)
            os.setuid(65534)
            try:
                connect(path)
                os._exit(1)
            except PermissionError:
                os._exit(0)
            except BaseException:
                os._exit(2)
        equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


@test("while the sidecar ends its sockets go, and the next one starts clean")
def end():
    folder = Folder()
    sidecar = Sidecar(MEM, folder=folder)
    path = path_of(sidecar, "admin.sock")
    client = Admin(sidecar)
    client.ask("STATUS")
    equal(sidecar.stop(10 * SLOW), 0)
    need(not os.path.exists(path), "the socket is gone")
    client.close()


main()
