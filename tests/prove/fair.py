# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""Experiment fair: two sidecars, an innocent caller, and another of the same front sidecar that floods, that takes its calls
back politely (800 a connection, below every limit), or that never reads what it asked for. The innocent keeps 40 % of what
it does alone, over HTTP and gRPC, and none of its calls fails: the connection between the sidecars, which all share, does
not end for the abuser's sake."""
import _prove

import sdk  # noqa: F401  isort: skip

import contextlib
import json
import os
import socket
import subprocess

import authority
import measure
import remora
from _mesh import Echo, Fixed, Grpc, OWN, Pair, invoke_service
from _prove import by_length

SECONDS = by_length(1, 2, 4)
ROUNDS = by_length(1, 3, 5)
SHARE_MIN = by_length(0.02, 0.4, 0.4)  # beside other tests a second tells little
CALLERS = 16
FLOOD_CALLERS = 1000
CANCELS = 800  # of a connection
POLITE_PER_S = 10  # such connections
HOSTILE = os.path.join(remora.BUILD, "tests", "bench", "h2_hostile")
claims = _prove.Claims()
measure.raise_fd_limit()
shares = {}


class Bed:
    def __init__(self, name, certificates):
        self.name = name
        self.http_pair = Pair(Fixed(64), certificates)
        self.mesh = self.http_pair.mesh
        self.front, back = self.http_pair.front, self.http_pair.back
        self.echo, self.large = Echo(), Fixed(512 << 10)
        self.services = self.mesh.sidecar("services", app=self.echo, protocol="grpc")
        self.heavy = self.mesh.sidecar("heavy", app=self.large)
        self.sidecars = [self.front, back, self.services, self.heavy]
        for app_id in ("services", "heavy"):
            remora.eventually(lambda app_id=app_id: self.mesh.addresses(app_id), f"{app_id} has registered")
        self.innocents = [self.http_pair.http("HTTP"), self.own("gRPC")]

    def own(self, name):
        return Grpc(name, self.front.grpc_port, OWN, b"x" * 64, "services")

    def hostile(self, attack, seconds, **options):
        words = [HOSTILE, "--port", str(self.front.grpc_port), "--attack", attack, "--seconds", str(seconds), "--path", OWN,
                 "--app-id", "services"]  # fmt: skip
        for option, value in options.items():
            words += [f"--{option}", str(value)]
        return words


@contextlib.contextmanager
def process(words):
    running = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        yield running
        claims.holds(f"{os.path.basename(words[0])} {words[3:5]} was at work all the time", running.poll() is None)
    finally:
        running.kill()
        out, _ = running.communicate()
        if out:
            _prove.say(json.dumps(json.loads(out.splitlines()[-1])))


def flood(bed, seconds):
    return process(bed.own("flood").command(FLOOD_CALLERS, seconds))


def flood_of_invocations(bed, seconds):
    message = invoke_service("back", "x", b"x" * 64)
    case = Grpc("flood", bed.front.grpc_port, "/dapr.proto.runtime.v1.Dapr/InvokeService", message)
    return process(case.command(FLOOD_CALLERS, seconds))


def polite(bed, seconds):
    return process(bed.hostile("polite", seconds, count=CANCELS, rate=POLITE_PER_S))


def never_reads(bed, seconds):
    return process(bed.hostile("zero-window", seconds, count=100))


@contextlib.contextmanager
def never_reads_http(bed, seconds):
    """Large answers over HTTP/1 that nobody takes."""
    socks = []
    for _ in range(64):
        sock = socket.create_connection(bed.front.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(remora.request_bytes("GET", "/v1.0/invoke/heavy/method/x"))
        socks.append(sock)
    yield
    for sock in socks:
        sock.close()


ABUSES = {"flood": flood, "flood of InvokeService": flood_of_invocations, "polite cancels": polite,
          "never reads": never_reads, "never reads HTTP": never_reads_http}  # fmt: skip


def rate(case, seconds):
    try:
        return case.run(CALLERS, seconds)["rps"]
    except AssertionError as error:
        claims.holds(f"no call of the innocent fails over {case.name}", False, str(error)[:300])
        return 0.0


def judge(bed, name, abuse):
    for case in bed.innocents:
        found = []
        for _ in range(ROUNDS):
            alone = rate(case, SECONDS)
            with abuse(bed, SECONDS + 3):
                found.append(rate(case, SECONDS) / max(alone, 1))
        share = sorted(found)[len(found) // 2]
        shares[f"{name}{bed.name} {case.name}"] = share
        claims.at_least(f"{name}{bed.name}: what {case.name} keeps", share, SHARE_MIN)
    claims.holds(f"{name}{bed.name}: all sidecars live", all(one.is_alive() for one in bed.sidecars))


for bed_name, certificates in (("", None), (" (mTLS)", authority.Authority("ecdsa"))) if not _prove.SHORT else (("", None),):
    bed = Bed(bed_name, certificates)
    for abuse_name, abuse in ABUSES.items():
        judge(bed, abuse_name, abuse)
    for sidecar in bed.sidecars:
        _prove.stop(sidecar)
worst = min(shares, key=shares.get)
claims.end(f"an innocent caller keeps at least {shares[worst]:.2f} of its idle throughput ({worst})")
