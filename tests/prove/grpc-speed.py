# SPDX-License-Identifier: Apache-2.0
"""Experiment grpc-speed: GetState and proxied calls over gRPC against a bare echo of libnghttp2, by the tree's own C
client. Every figure comes from rounds in which the yardstick ran beside it; absolute limits are scaled by the yardstick
here over the yardstick where they were set, rates by its rate, CPU time by its CPU time, which other programs on the
machine disturb less."""
import _prove
import json
import os
import subprocess

import measure
import remora
from _prove import by_length

SECONDS = by_length(1, 1, 5)
ROUNDS = by_length(1, 5, 9)
LOAD = os.path.join(remora.BUILD, "tests", "bench", "grpc_load")
ECHO = os.path.join(remora.BUILD, "tests", "bench", "grpc_echo")
GET = "/dapr.proto.runtime.v1.Dapr/GetState"
SAVE = "/dapr.proto.runtime.v1.Dapr/SaveState"
OWN = "/bench.Echo/Echo"
SMALL_BYTES = 100
# The echo hit directly on the machine where the limits were set: calls a second, and CPU-µs of one at 16 callers.
REFERENCE_RATE_64 = 190000
REFERENCE_CPU_US_16 = 4.7
claims = _prove.Claims()
folder = remora.Folder()


def field(number, data):
    """A length-delimited field of protobuf."""
    length, head = len(data), bytes([number << 3 | 2])
    while length > 127:
        head += bytes([length & 127 | 128])
        length >>= 7
    return head + bytes([length]) + data


def file_of(name, data):
    with open(folder / name, "wb") as f:
        f.write(data)
    return folder / name


class Case:
    """One gRPC call to repeat; the CPU time of `groups` is counted."""

    def __init__(self, name, port, path, message, groups, app_id=""):
        self.name, self.port, self.path, self.groups, self.app_id = name, port, path, groups, app_id
        self.message = file_of(name.replace(" ", "-"), message)

    def run(self, callers, seconds):
        before = {name: measure.cpu_us(pids) for name, pids in self.groups.items()}
        command = [LOAD, "--port", str(self.port), "--callers", str(callers), "--seconds", str(seconds), "--path",
                   self.path, "--message-file", self.message, "--app-id", self.app_id]
        result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        remora.need(result["failures"] == 0, f"{self.name}: calls failed: {result}")
        for name, pids in self.groups.items():
            result[f"{name}_cpu_us"] = (measure.cpu_us(pids) - before[name]) / max(result["calls"], 1)
        return result


class Echo(remora.Process):
    """The bare server; also the application behind the proxy."""

    def __init__(self):
        self.port = remora.free_port()
        super().__init__([ECHO, str(self.port)], folder)
        remora.eventually(self.answers, "the echo answers")

    def answers(self):
        command = [LOAD, "--port", str(self.port), "--callers", "1", "--seconds", "0", "--path", OWN, "--message-file",
                   file_of("first", b"x")]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def run(cases, callers):
    cases[-1].run(callers, 1)
    results = measure.rounds(cases, callers, SECONDS, ROUNDS)
    for case in cases:
        rows = results[case.name]
        cpu = "".join(f", {name} {measure.median(rows, name + '_cpu_us'):.2f} CPU-µs" for name in case.groups)
        _prove.say(f"{case.name:16} at {callers:2}: {measure.median(rows, 'rps'):7.0f}/s, "
                   f"p50 {measure.median(rows, 'p50_us'):.0f} µs, p99 {measure.median(rows, 'p99_us'):.0f} µs{cpu}")
    return [results[case.name] for case in cases]


def best(rows, name):
    """Who else runs on the machine can only add to CPU time and take from rates."""
    values = [row[name] for row in rows]
    return min(values) if name.endswith("_us") else max(values)


def small(product, floor):
    own = {"kernel": [product.pid]}
    get = Case("GetState", product.grpc_port, GET, field(1, b"store") + field(2, b"key-000000"), own)
    proxy = Case("proxy", product.grpc_port, OWN, b"x" * SMALL_BYTES, own, "own")
    run([floor, get, proxy], 1)
    base, got, passed = run([floor, get, proxy], 16)
    scale = max(best(base, "echo_cpu_us") / REFERENCE_CPU_US_16, 1)
    claims.at_most("GetState at 16, kernel CPU-µs", best(got, "kernel_cpu_us"), 11 * scale)
    claims.at_most("proxy at 16, kernel CPU-µs", best(passed, "kernel_cpu_us"), 12 * scale)
    base, got, passed = run([floor, get, proxy], 64)
    scale = min(measure.median(base, "rps") / REFERENCE_RATE_64, 1)
    ratio, rate = measure.ratio(got, base), measure.median(passed, "rps")
    claims.at_least("GetState at 64 over the bare echo", ratio, 0.4)
    claims.at_least("proxy at 64, calls/s", rate, 50000 * scale, digits=0)
    return ratio, rate


def large(product, floor):
    """Messages to the application and back; the yardstick runs in every round, since these take both cores whole."""
    own, rates = {"kernel": [product.pid]}, []
    for bytes_, wanted in ((64 * 1024, 13000), (1024 * 1024, 550)):
        case = Case(f"proxy {bytes_ // 1024} KiB", product.grpc_port, OWN, b"x" * bytes_, own, "own")
        case.run(8, 1)
        pairs = [(floor.run(64, SECONDS), case.run(8, SECONDS)) for _ in range(ROUNDS)]
        scale = min(measure.median([base for base, _ in pairs], "rps") / REFERENCE_RATE_64, 1)
        rows = [row for _, row in pairs]
        rates.append(measure.median(rows, "rps"))
        _prove.say(f"{case.name:16} at  8: {rates[-1]:7.0f}/s, best {best(rows, 'rps'):.0f}/s, "
                   f"p50 {measure.median(rows, 'p50_us'):.0f} µs, kernel {best(rows, 'kernel_cpu_us'):.0f} CPU-µs")
        claims.at_least(f"{case.name} at 8, calls/s", best(rows, "rps"), wanted * scale, digits=0)
    return rates


echo_app = Echo()
sidecar = measure.Product(measure.store_yaml("in-memory"), "store", app_id="own",
                          flags=["--app-port", str(echo_app.port), "--app-protocol", "grpc"])
floor_case = Case("bare echo", echo_app.port, OWN, b"x" * SMALL_BYTES, {"echo": [echo_app.pid]})
get_ratio, proxy_rate = small(sidecar, floor_case)
pss_mib = measure.pss_kib([sidecar.pid]) / 1024
claims.at_most("kernel PSS with gRPC in use, MiB", pss_mib, 7)
large_rates = large(sidecar, floor_case)
_prove.say(f"kernel PSS after large messages: {measure.pss_kib([sidecar.pid]) / 1024:.1f} MiB")
_prove.stop(sidecar)
claims.end(f"GetState at 64 is {get_ratio:.2f} of the bare echo, proxy {proxy_rate:.0f}/s, 64 KiB {large_rates[0]:.0f}/s, "
           f"1 MiB {large_rates[1]:.0f}/s, PSS {pss_mib:.1f} MiB")
