# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment hostile: clients and plugins that mean harm, beside an innocent client that must keep half its throughput.

Each attack runs for a while from a process of its own; whatever it sends that deserves an answer must get the right one.
The innocent's throughput is compared with what it has on an idle machine; what it has beside a process that only keeps a
core busy is printed too, because attackers here share two cores with what they attack.
Then connections are made and closed on every socket, and a plugin breaks the contract in every way its tests know."""
import json
import os
import random
import socket
import stat
import statistics
import struct
import subprocess
import sys
import time

import _prove
import measure
import remora
from _prove import by_length

SECONDS = by_length(1, 1, 5)
ROUNDS = by_length(1, 2, 5)
# Beside other tests a second tells little, only that the innocent is served at all.
SHARE_MIN = by_length(0.02, 0.5, 0.5)
CONNECTS = by_length(500, 10000, 10000)
LORIS = by_length(200, 2000, 5000)
INNOCENTS = 4
# What the kernel may hold at once beyond an idle one: buffers of the attackers' connections and a body being parsed.
GROWTH_MIB_MAX = 64
KEPT_KIB_MAX = 8 * 1024
claims = _prove.Claims()

SAVE = "/v1.0/state/store"
MALFORMED = [
    b"[", b'[{"key":"k","value":]', b"{}", b'[{"value":1}]', b'"x"', b'[{"key":5,"value":1}]', b"", b"\xff\xfe", b"null]",
    b'[{"key":"k","value":1}]x', b'[{"key":"a||b","value":1}]', b'[{"key":"k","value":1,"etag":{}}]', b"[" * 100000,
    b'[{"key":"k","value":' + b'{"a":' * 50000 + b"1" + b"}" * 50000 + b"}]", b'[{"key":"k","value":1,"options":[]}]',
    b'[{"key":"k","value":"\x00"}]', b'[{"key":"\\ud800","value":' + b"9" * 200000 + b"]", b'[{"key":"k","metadata":7}]',
]


# --- attacks: each yields a complaint for every answer that is not what it should be ----------------------------------


def reply_to(address, data, method="GET"):
    connection = remora.Connection(address, 20)
    try:
        connection.send(data)
        return connection.reply(method)
    finally:
        connection.close()


def malformed(address, rng):
    body = rng.choice(MALFORMED)
    reply = reply_to(address, remora.request_bytes("POST", SAVE, (), body))
    if reply.status != 400 or "errorCode" not in reply.json:
        yield f"{body[:40]!r}: {reply}"


def huge_json(address, rng):
    """Just below the body limit: many items, of which the last is wrong."""
    items = b",".join(b'{"key":"k%d","value":[%d]}' % (i, i) for i in range(rng.randrange(50000, 90000)))
    reply = reply_to(address, remora.request_bytes("POST", SAVE, (), b"[" + items + b",{}]"))
    if reply.status != 400:
        yield repr(reply)


def huge_bodies(address, rng):
    """100 MB, with its length told or in chunks; the refusal may come, or the connection end, before all is sent."""
    connection = remora.Connection(address, 20)
    try:
        if rng.random() < 0.5:
            connection.send(remora.request_bytes("POST", SAVE, [("Content-Length", "100000000")]))
            for _ in range(100):
                connection.send(b"x" * 1000000)
        else:
            connection.send(remora.request_bytes("POST", SAVE, [("Transfer-Encoding", "chunked")]))
            for _ in range(100):
                connection.send(b"f4240\r\n" + b"x" * 1000000 + b"\r\n")
            connection.send(b"0\r\n\r\n")
        reply = connection.reply("POST")
        if reply.status not in (400, 413):
            yield repr(reply)
    except (OSError, remora.Cut):
        pass
    finally:
        connection.close()


def unknown_store(address, rng):
    reply = reply_to(address, remora.request_bytes("GET", f"/v1.0/state/no-{rng.randrange(10**9)}/k"))
    if reply.status != 400 or reply.json["errorCode"] != "ERR_STATE_STORE_NOT_FOUND":
        yield repr(reply)


def half_closed(address, _):
    """A client that has nothing more to ask still wants its answer."""
    connection = remora.Connection(address, 20)
    connection.send(remora.request_bytes("GET", f"{SAVE}/key-000001"))
    connection.socket.shutdown(socket.SHUT_WR)
    reply = connection.reply()
    connection.close()
    if reply.status != 200:
        yield repr(reply)


def vanished(address, rng):
    """Leaves with a reset, in the middle of a request or before its answer."""
    connection = remora.Connection(address, 20)
    data = remora.request_bytes("POST", SAVE, (), b'[{"key":"gone","value":1}]')
    connection.send(data[: rng.randrange(1, len(data) + 1)])
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    yield from ()


class SlowLoris:
    """Many connections that send a head byte by byte; no answer is due."""

    def __init__(self):
        self.connections = None

    def __call__(self, address, rng):
        if self.connections is None:
            self.connections = [remora.Connection(address, 20) for _ in range(LORIS)]
            for connection in self.connections:
                connection.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        for connection in rng.sample(self.connections, len(self.connections) // 20):
            connection.send(b"z")
        time.sleep(0.02)
        yield from ()


ATTACKS = [("malformed JSON and wrong types", malformed), ("huge JSON", huge_json), ("100 MB bodies", huge_bodies),
           ("an unknown store", unknown_store), ("slow-loris", SlowLoris()), ("half-closed clients", half_closed),
           ("vanished clients", vanished)]


def attacker(address, attack, seconds):
    """Runs the attack in a process of its own; returns its pid and where it writes what was wrong."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid > 0:
        os.close(writing)
        return pid, reading
    complaints, count = [], 0
    try:
        rng = random.Random(_prove.SEED)
        until = time.monotonic() + seconds
        while time.monotonic() < until and len(complaints) < 5:
            complaints += attack(address, rng)
            count += 1
    except Exception as error:  # whatever it is: it was not answered as it should be
        complaints.append(repr(error))
    os.write(writing, json.dumps([count, complaints])[:60000].encode())
    os._exit(0)


def spin(_, __):
    """What an attacker costs the machine by being on it, which it would not be: it has no business with the sidecar."""
    until = time.monotonic() + 0.05
    while time.monotonic() < until:
        pass
    yield from ()


def beside(sidecar, case, attack):
    """Throughput of the innocent beside the attack, attacks made, complaints."""
    pid, reading = attacker(sidecar.address, attack, SECONDS + 0.3)
    time.sleep(0.2)
    rps = case.run(INNOCENTS, SECONDS)["rps"]
    os.waitpid(pid, 0)
    with os.fdopen(reading) as f:
        count, complaints = json.load(f)
    return rps, count, complaints


def run_attacks(sidecar, case):
    shares = {}
    idle = case.run(INNOCENTS, SECONDS)["rps"]
    for name, attack in ATTACKS:
        rounds = []
        # A machine that stops for a second in the short form serves nobody then: it is tried again.
        while len(rounds) < ROUNDS or _prove.SHORT and len(rounds) < 5 and rounds[-1][1] < SHARE_MIN * idle:
            rounds.append((idle if _prove.SHORT else beside(sidecar, case, spin)[0], *beside(sidecar, case, attack)))
        shares[name] = (max if _prove.SHORT else statistics.median)([rps for _, rps, _, _ in rounds]) / idle
        spun = statistics.median(rps / spinning for spinning, rps, _, _ in rounds)
        count = sum(made for _, _, made, _ in rounds)
        complaints = [text for *_, texts in rounds for text in texts]
        claims.at_least(f"{name} ({count}): throughput of the innocent over idle ({spun:.2f} beside a busy core)",
                        shares[name], SHARE_MIN)
        claims.holds(f"{name}: answers are right", not complaints and count > 0, "; ".join(complaints[:2])[:300])
    return shares


def connect_and_close(sidecar, folder):
    """On every socket, with and without a byte sent; then an ordinary call."""
    paths = [os.path.join(at, name) for at, _, names in os.walk(folder.path) for name in names]
    addresses = [sidecar.address, sidecar.public] + [p for p in paths if stat.S_ISSOCK(os.stat(p).st_mode)]
    descriptors = measure.fd_count(sidecar.pid)
    done = {}
    for address in addresses:
        for i in range(CONNECTS):
            try:
                connection = remora.Connection(address, 20)
                if i % 2:
                    connection.send(b"\0")
                connection.close()
            except (BrokenPipeError, ConnectionResetError):
                pass
            except ConnectionRefusedError:
                break  # the socket of a plugin takes one connection and is closed
            done[address] = i + 1
    _prove.say(f"connected and closed: {list(done.values())}")
    store = remora.Store(sidecar, "store")
    claims.holds("a normal call after them", store.save("k", 1).status == 204 and store.get("k").text == "1")
    claims.holds("and the plugin's link survived", sidecar.plugins()["in-memory"]["restarts"] == 0)
    remora.eventually(lambda: measure.fd_count(sidecar.pid) <= descriptors, "descriptors are back")
    return len(done)


def hostile_plugin():
    """The tests of a plugin that breaks the contract, with their own innocent store."""
    if _prove.SHORT:
        _prove.say("a hostile plugin: its tests run beside this one")
        return
    tests = os.path.join(_prove.TOP, "tests", "integration", "hostile_plugin_test.py")
    run = subprocess.run([sys.executable, tests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in run.stdout.splitlines()[-8:]:
        _prove.say(line)
    claims.holds("every fault of a plugin is answered or refused", run.returncode == 0)


measure.raise_fd_limit()
shared = remora.Folder()
product = measure.Product(measure.store_yaml("in-memory"), "store", folder=shared, public=True)
innocent = measure.get_case("innocent", product.port, "store")
innocent.run(INNOCENTS, 1)
held = measure.private_kib(product.pid), measure.fd_count(product.pid)
shares = run_attacks(product, innocent)
with open(f"/proc/{product.pid}/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
remora.eventually(lambda: measure.fd_count(product.pid) <= held[1] + 1, "descriptors are back", 15)
if not _prove.SANITIZED:
    claims.at_most("peak resident memory of the kernel, MiB", peak, GROWTH_MIB_MAX, digits=1)
    try:
        remora.eventually(lambda: measure.private_kib(product.pid) - held[0] <= KEPT_KIB_MAX, "memory is back")
    except AssertionError:
        pass  # told below
    claims.at_most("kernel memory kept afterwards, MiB", (measure.private_kib(product.pid) - held[0]) / 1024, KEPT_KIB_MAX / 1024)
sockets = connect_and_close(product, shared)
claims.holds("the sidecar lives", product.is_alive())
_prove.stop(product)
hostile_plugin()
worst = min(shares, key=shares.get)
claims.end(f"the innocent client keeps at least {shares[worst]:.2f} of its throughput ({worst}); peak {peak:.0f} MiB; "
           f"{CONNECTS} connect+close on {sockets} sockets")
