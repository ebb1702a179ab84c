# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Experiment pubsub-speed: publish → delivered, through the in-memory broker and Redis, single and in bulk, over HTTP and
gRPC. Publishers and subscriber are one program in C, in which a publisher sends its next request when all of the last one
was delivered: nothing piles up, and a latency is that of the whole way.

Limits are multiples of what the reference did on the machine where they were set, scaled by the bare server here over the
bare server there, which runs in every round: rates and times by its requests per second, CPU time by its CPU time."""
import _prove

import json
import os
import statistics
import subprocess

import measure
import remora
from _mesh import Fixed, cpu_scale, rate_scale, say_rows
from _prove import by_length

SECONDS = by_length(1, 1, 4)
ROUNDS = by_length(1, 3, 7)
LOAD = os.path.join(remora.BUILD, "tests", "bench", "topic_load")
TOKEN = "@@" + "0" * 12
BULK = 100  # what a bulk subscription takes at once by default
# Messages a second of the reference with its in-memory broker and one subscriber over HTTP, by connections.
REFERENCE = {1: 2500, 16: 2800, 64: 3500}
REFERENCE_P50_US_1 = 346
REFERENCE_CPU_US = 270  # a message, at best
TIMES_64, CPU_PART, P99_MS_64 = 10, 8, 5
PATIENCE_MS = 10000
claims = _prove.Claims()
floor = Fixed(64).case("bare server")


def field(number, data):
    """A length-delimited field of protobuf."""
    length, head = len(data), bytes([number << 3 | 2])
    while length > 127:
        head += bytes([length & 127 | 128])
        length >>= 7
    return head + bytes([length]) + data


def request_body(is_grpc, messages):
    """What a publisher sends: PublishEvent, BulkPublishEvent, or the body of the HTTP request."""
    event = {"token": TOKEN, "value": measure.VALUE}
    data, kind = json.dumps(event).encode(), b"application/json"
    if not is_grpc and messages == 1:
        return data
    if not is_grpc:
        return json.dumps([{"entryId": str(i), "event": event, "contentType": kind.decode()} for i in range(messages)]).encode()
    head = field(1, b"bus") + field(2, b"orders")
    if messages == 1:
        return head + field(3, data) + field(4, kind)
    return head + b"".join(field(3, field(1, str(i).encode()) + field(2, data) + field(3, kind)) for i in range(messages))


class Bed:
    """A sidecar with one subscription, and the program that publishes and subscribes."""

    def __init__(self, name, plugin, component, is_grpc, messages):
        self.name, folder, port = name, remora.Folder(), remora.free_port()
        with open(folder / "body", "wb") as f:
            f.write(request_body(is_grpc, messages))
        spec = {"pubsubname": "bus", "topic": "orders", "routes": {"default": "/orders"}}
        if messages > 1:
            spec["bulkSubscribe"] = {"enabled": True, "maxMessagesCount": messages, "maxAwaitDurationMs": 10}
        subscription = json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": "orders"},
                                   "spec": spec})
        flags = ["--app-port", str(port), *(["--app-protocol", "grpc"] if is_grpc else [])]
        self.sidecar = remora.Sidecar(component, subscription, flags=flags, wait=False)
        method = "BulkPublishEvent" if messages > 1 else "PublishEvent"
        path = "/dapr.proto.runtime.v1.Dapr/" + method if is_grpc else f"/v1.0/publish{'/bulk' * (messages > 1)}/bus/orders"
        to = self.sidecar.grpc_port if is_grpc else self.sidecar.port
        self.load = subprocess.Popen(
            [LOAD, "--port", str(to), "--app-port", str(port), "--path", path, "--message-file", folder / "body", "--messages",
             str(messages), "--grpc", str(int(is_grpc))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.sidecar.wait_ready()
        remora.eventually(lambda: self.ask(1, 0, 300)["lost"] == 0, f"{name}: a message arrives")
        self.groups = {"kernel": [self.sidecar.pid], "plugin": measure.tree(self.sidecar.plugins()[plugin]["group"])}

    def ask(self, connections, seconds, patience_ms=PATIENCE_MS):
        self.load.stdin.write(f"{connections} {seconds} {patience_ms}\n")
        self.load.stdin.flush()
        return json.loads(self.load.stdout.readline())

    def run(self, connections, seconds):
        before = {name: measure.cpu_us(pids) for name, pids in self.groups.items()}
        result = self.ask(connections, seconds)
        remora.need(result["lost"] == 0 and result["refused"] == 0, f"{self.name}: messages were lost or refused: {result}")
        for name, pids in self.groups.items():
            result[f"{name}_cpu_us"] = (measure.cpu_us(pids) - before[name]) / max(result["messages"], 1)
        return result

    def end(self):
        self.load.stdin.close()
        self.load.wait(10)
        _prove.stop(self.sidecar)


def best(rows, name):
    """Who else runs on the machine can only take from rates and add to times."""
    values = [row[name] for row in rows]
    return max(values) if name == "rps" else min(values)


def cpu(rows):
    return min(row["kernel_cpu_us"] + row["plugin_cpu_us"] for row in rows)


def judge(name, connections, rows, base, is_first):
    scale, rate, used = rate_scale(connections, base), best(rows, "rps"), cpu(rows)
    times = TIMES_64 if is_first and connections == 64 else 1
    part = CPU_PART if is_first and connections == 64 else 1
    claims.at_least(f"{name} at {connections}, messages/s", rate, times * REFERENCE[connections] * scale, digits=0)
    claims.at_most(f"{name} at {connections}, CPU-µs a message", used, REFERENCE_CPU_US / part * cpu_scale(base))
    if is_first and connections == 64:
        claims.at_most(f"{name} at 64, p99 ms", best(rows, "p99_us") / 1000, P99_MS_64 / scale)
    if is_first and connections == 1:
        claims.at_most(f"{name} at 1, p50 µs", best(rows, "p50_us"), REFERENCE_P50_US_1 / scale, digits=0)
    return rate, used, statistics.median(row["p99_us"] for row in rows)


def measure_broker(broker, component):
    found = {}
    for messages, way in ((1, "single"), (BULK, "bulk")):
        for protocol in ("HTTP", "gRPC"):
            name = f"{broker} {way} {protocol}"
            bed = Bed(name, broker, component, protocol == "gRPC", messages)
            for connections in measure.CONNECTIONS:
                results = measure.rounds([floor, bed], connections, SECONDS, ROUNDS)
                say_rows([floor, bed], results, connections)
                is_first = name == "in-memory single HTTP"
                found[way, protocol, connections] = judge(name, connections, results[name], results[floor.name], is_first)
            bed.end()
    return found


in_memory = measure_broker("in-memory", remora.component("bus", "pubsub.in-memory"))
remora.need(measure.have_redis(), "redis-server is here")
redis = measure_broker("redis", remora.component("bus", "pubsub.redis", {
    "redisHost": f"127.0.0.1:{measure.plain_redis().port}"}))  # fmt: skip
rate, used, p99_us = in_memory["single", "HTTP", 64]
claims.end(f"in-memory at 64 over HTTP {rate:.0f} messages/s, {used:.1f} CPU-µs each, p99 {p99_us / 1000:.1f} ms; gRPC "
           f"{in_memory['single', 'gRPC', 64][0]:.0f}/s, in bulk {in_memory['bulk', 'HTTP', 64][0]:.0f}/s; Redis "
           f"{redis['single', 'HTTP', 64][0]:.0f}/s, in bulk {redis['bulk', 'HTTP', 64][0]:.0f}/s")
