# SPDX-License-Identifier: Apache-2.0
"""What the experiments of the mesh share: applications in C behind two sidecars, load on the way through both, scales."""
import json
import os
import subprocess

import _prove  # noqa: F401  it knows where the others are
import measure
import mesh
import remora

LOAD = os.path.join(remora.BUILD, "tests", "bench", "grpc_load")
ECHO = os.path.join(remora.BUILD, "tests", "bench", "grpc_echo")
OWN = "/bench.Echo/Echo"


class Fixed(remora.Process):
    """The bare HTTP server as an application: every request is answered with so many bytes."""

    def __init__(self, bytes_):
        self.folder, self.port = remora.Folder(), remora.free_port()
        body = b"x" * bytes_
        with open(self.folder / "answer", "wb") as f:
            f.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        super().__init__([measure.FLOOR, str(self.port), self.folder / "answer"], self.folder)
        remora.eventually(lambda: measure.status_of(("127.0.0.1", self.port), "/") == 200, "the application answers")

    def case(self, name="direct"):
        return measure.Case(name, self.port, "/x", groups={"kernel": [self.pid]})


class Echo(remora.Process):
    """The bare gRPC server as an application: an echo, or always the same message."""

    def __init__(self, message=None):
        self.folder, self.port = remora.Folder(), remora.free_port()
        words = []
        if message is not None:
            with open(self.folder / "message", "wb") as f:
                f.write(b"\0" + len(message).to_bytes(4, "big") + message)
            words = [self.folder / "message"]
        super().__init__([ECHO, str(self.port), *words], self.folder)
        remora.eventually(lambda: Grpc("first", self.port, OWN, b"x").tries(), "the echo answers")


class Grpc:
    """One gRPC call to repeat, as measure.Case is one HTTP request."""

    def __init__(self, name, port, path, message, app_id="", groups=None):
        self.name, self.port, self.path, self.app_id, self.groups = name, port, path, app_id, groups or {}
        self.folder = remora.Folder()
        with open(self.folder / "message", "wb") as f:
            f.write(message)

    def command(self, callers, seconds):
        return [LOAD, "--port", str(self.port), "--callers", str(callers), "--seconds", str(seconds), "--path", self.path,
                "--message-file", self.folder / "message", "--app-id", self.app_id]  # fmt: skip

    def tries(self):
        return subprocess.run(self.command(1, 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def run(self, callers, seconds):
        before = {name: measure.cpu_us(pids) for name, pids in self.groups.items()}
        result = json.loads(subprocess.run(self.command(callers, seconds), stdout=subprocess.PIPE, check=True).stdout)
        remora.need(result["failures"] == 0, f"{self.name}: calls failed: {result}")
        for name, pids in self.groups.items():
            result[f"{name}_cpu_us"] = (measure.cpu_us(pids) - before[name]) / max(result["calls"], 1)
        return result


class Pair:
    """front → back, with or without mutual TLS; `kind` is another maker's sidecar."""

    def __init__(self, app, certificates=None, protocol=None, kind=None, flags=(), resources=(), spec=""):
        self.mesh = mesh.Mesh(certificates)
        self.front = self.mesh.sidecar("front", *resources, kind=kind, flags=flags, spec=spec)
        self.back = self.mesh.sidecar("back", app=app, protocol=protocol, kind=kind, flags=flags, spec=spec)
        self.groups = {"front": [self.front.pid], "back": [self.back.pid]}
        remora.eventually(lambda: self.mesh.addresses("back"), "back has registered")
        if protocol is None:
            mesh.reaches(self.front, "back", "x")

    def http(self, name, target="x"):
        return measure.Case(name, self.front.port, f"/v1.0/invoke/back/method/{target}", groups=self.groups)

    def grpc(self, name, path, message, app_id=""):
        return Grpc(name, self.front.grpc_port, path, message, app_id, self.groups)

    def rss_kib(self):
        return [measure.pss_kib([one.pid]) for one in (self.front, self.back)]

    def stop(self):
        for one in (self.front, self.back):
            _prove.stop(one)


def say_rows(cases, results, connections):
    for case in cases:
        rows = results[case.name]
        cpu = "".join(f", {name} {measure.median(rows, name + '_cpu_us'):.1f} CPU-µs" for name in case.groups)
        _prove.say(f"{case.name:28} at {connections:2}: {measure.median(rows, 'rps'):7.0f}/s, "
                   f"p50 {measure.median(rows, 'p50_us'):.0f} µs, p99 {measure.median(rows, 'p99_us'):.0f} µs{cpu}")


def rounds(cases, connections, seconds, count):
    cases[-1].run(connections, 1)
    results = measure.rounds(cases, connections, seconds, count)
    say_rows(cases, results, connections)
    return [results[case.name] for case in cases]


def rate_scale(connections, floor):
    """This machine's speed over that of the reference, as the bare server shows it."""
    return min(1.0, measure.median(floor, "rps") / measure.REFERENCE_FLOOR[connections])


def cpu_scale(floor):
    return max(1.0, measure.median(floor, "kernel_cpu_us") / measure.REFERENCE_FLOOR_CPU_US)


def invoke_service(app_id, method, data):
    """InvokeServiceRequest, by hand: the load client wants bytes."""
    from dapr.proto.runtime.v1 import invoke_pb2

    made = invoke_pb2.InvokeServiceRequest(id=app_id)
    made.message.method, made.message.content_type, made.message.data.value = method, "text/plain", data
    made.message.http_extension.verb = 1
    return made.SerializeToString()
