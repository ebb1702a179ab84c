# SPDX-License-Identifier: Apache-2.0
"""Experiment big: a value of 256 MiB saved and read while small gets go over the same link to the same plugin.

The quantile of the small gets while the big value is on the link to the plugin, on its way there and back, is compared
with that of an idle link. While it comes in from its client it is not on the link; that quantile is shown and not
judged, since on two cores it is the client's doing: it copies a megabyte at a time into its socket, and whoever is
woken on its core meanwhile, the plugin or the client of the small gets, waits until it has. What a neighbour does that
keeps a core busy without the sidecar is shown too. The kernel may grow by the body limit, since a save is buffered
whole, and 1 MiB; a get is streamed and may cost what buffers hold."""
import hashlib
import json
import os
import random
import subprocess
import threading
import time

import _prove
import measure
import remora
from _prove import by_length

VALUE_MIB = by_length(32, 256, 256)
ROUNDS = by_length(1, 11, 25)
LIMIT_MIB = VALUE_MIB + 8
SMALL_CONNECTIONS = 4
PIECE_BYTES = 1 << 20
claims = _prove.Claims()


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


class Small:
    """Small gets in the background until stop(); the client's own account of them."""

    def __init__(self, case, seconds=None):
        self.process = subprocess.Popen(case.command(SMALL_CONNECTIONS, seconds or 600, *(() if seconds else (
            "--until-stdin-ends", "1"))), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def result(self):
        result = json.loads(self.process.communicate()[0])
        remora.need(result["errors"] == 0 and result["unexpected"] == 0, f"small gets went wrong: {result}")
        return result


def read_big(address, buffer):
    """Reads the value into the buffer and returns how many bytes it has. That is all the client does meanwhile."""
    connection = remora.Connection(address, 60)
    connection.send(remora.request_bytes("GET", "/v1.0/state/store/big"))
    head = connection.until(b"\r\n\r\n")
    remora.need(head.startswith(b"HTTP/1.1 200"), head)
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    at = len(connection.pending)
    buffer[:at] = connection.pending
    while at < size:
        count = connection.socket.recv_into(memoryview(buffer)[at:at + PIECE_BYTES])
        remora.need(count > 0, "the answer broke off")
        at += count
    connection.close()
    return at


def save_big(address, value):
    """Uploads, then returns what does the rest: the body ends, is parsed, and goes over the link."""
    connection = remora.Connection(address, 60)
    before, after = b'[{"key":"big","value":', b"}]"
    connection.send(remora.request_bytes("POST", "/v1.0/state/store", [("Content-Length", str(
        len(before) + len(value) + len(after)))]) + before)
    connection.send(value)

    def end():
        connection.send(after)
        reply = connection.reply()
        connection.close()
        remora.equal(reply.status, 204, f"saving {VALUE_MIB} MiB: {reply}")
    return end


def beside_small(results, work):
    small = Small(small_case)
    done = work()
    results.append(small.result())
    return done


class Neighbour:
    """Copies memory and calls the system as the big value does, on one core."""

    def __init__(self):
        self.is_over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        here, there = remora.socket.socketpair()
        data, buffer = b"x" * 65536, bytearray(1 << 20)
        while not self.is_over:
            here.sendall(data)
            there.recv_into(buffer)
            hashlib.sha1(memoryview(buffer)[:65536])

    def stop(self):
        self.is_over = True
        self.thread.join()


def quantiles(results):
    return sorted(result["p99_us"] / 1000 for result in results)[len(results) // 2]


sidecar = measure.Product(measure.store_yaml("in-memory"), "store", flags=["--max-body-size", f"{LIMIT_MIB}Mi"])
small_case = measure.get_case("small", sidecar.port, "store")
value = b'"' + random.Random(_prove.SEED).randbytes(VALUE_MIB * (1 << 19) - 1).hex().encode() + b'"'
space = bytearray(len(value))
small_case.run(SMALL_CONNECTIONS, 1)

alone, neighbour, uploading, saving, reading = [], [], [], [], []
growth = {"save": 0, "get": 0}
for _ in range(ROUNDS):
    alone.append(Small(small_case, 1).result())
    busy = Neighbour()
    neighbour.append(Small(small_case, 1).result())
    busy.stop()
    before = resident_kib(sidecar.pid)
    reset_peak(sidecar.pid)
    end = beside_small(uploading, lambda: save_big(sidecar.address, value))
    beside_small(saving, end)
    growth["save"] = max(growth["save"], peak_kib(sidecar.pid) - before)
    before = resident_kib(sidecar.pid)
    reset_peak(sidecar.pid)
    size = beside_small(reading, lambda: read_big(sidecar.address, space))
    remora.need(size == len(value) and space == value, "the value is what was saved")
    growth["get"] = max(growth["get"], peak_kib(sidecar.pid) - before)

phases = {"alone": alone, "beside a busy core": neighbour, "while it is uploaded": uploading,
          "while it is saved": saving, "while it is read": reading}
p99 = {name: quantiles(results) for name, results in phases.items()}
for name, ms in p99.items():
    slowest = max(result["max_us"] for result in phases[name]) / 1000
    _prove.say(f"p99 of small gets {name}: {ms:.2f} ms, slowest {slowest:.0f} ms")
for name in "while it is saved", "while it is read":
    ratio = measure.ratio(phases[name], alone, "p99_us")
    claims.at_most(f"p99 of small gets {name} over that alone", ratio, 2)
claims.at_most("kernel growth at save, MiB", growth["save"] / 1024, LIMIT_MIB + 1, digits=1)
claims.at_most("kernel growth at get, MiB", growth["get"] / 1024, 4, digits=1)
time.sleep(0.3)
_prove.say(f"kernel afterwards: {resident_kib(sidecar.pid) / 1024:.1f} MiB resident")
claims.holds("the sidecar lives", sidecar.is_alive() and os.path.exists(f"/proc/{sidecar.pid}"))
claims.end(f"{VALUE_MIB} MiB saved and read {ROUNDS} times: p99 of small gets {p99['alone']:.2f} ms alone, "
           f"{p99['while it is saved']:.2f} while saved, {p99['while it is read']:.2f} while read; kernel "
           f"+{growth['save'] / 1024:.0f} MiB at save, +{growth['get'] / 1024:.1f} MiB at get")
