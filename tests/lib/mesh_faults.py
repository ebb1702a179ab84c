# SPDX-License-Identifier: Apache-2.0
"""What may happen between two sidecars, and what must then be true of every call: it ends in time, well or with the right
error, and later calls are served without anybody's help. Each fault is a function of a Bed; mesh_faults_test runs the
short form, the experiment `faults` all of them again and again. Tests import sdk first."""

import contextlib
import os
import random
import signal
import threading
import time

import grpc
import grpc_app
import http_app
import mesh
import netns
import peer
from http_app import answer
from relay import Relay
from remora import DEADLINE_S, SLOW, Connection, Cut, eventually, need, request_bytes

SVC = "/own.Svc/"
CALL_S = 1.0  # the deadline of calls that have one
PAUSE_S = 6 * SLOW  # so long a machine may stand still; less than a dead peer is found out in without any deadline
# A call without a deadline that cannot reach the other side: three retries a second apart, and a connection attempt each.
UNREACHABLE_S = 12 * SLOW + PAUSE_S
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)

TIMEOUT = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: patience
spec:
  policies:
    timeouts: {short: 1s}
  targets:
    apps:
      timed: {timeout: short}
"""


class Bed:
    """`front` reaches `back`, `gback` (gRPC) and `timed`, for which it has a timeout policy of a second, only through
    relays."""

    def __init__(self, authority=None, flags=()):
        self.near, self.far = mesh.Mesh(authority), mesh.Mesh(authority)
        self.app = http_app.App(self.serve)
        self.grpc_app = grpc_app.App()
        self.flags = list(flags)
        self.back = self.far.sidecar("back", app=self.app, flags=flags)
        self.gback = self.far.sidecar("gback", app=self.grpc_app, protocol="grpc", flags=flags)
        self.relay, self.grpc_relay = Relay(self.back.internal), Relay(self.gback.internal)
        self.timed = self.far.sidecar("timed", app=self.app, flags=flags)
        self.timed_relay = Relay(self.timed.internal)
        self.front = self.near.sidecar("front", TIMEOUT, flags=flags)
        self.near.register("back", self.relay.address)
        self.near.register("gback", self.grpc_relay.address)
        self.near.register("timed", self.timed_relay.address)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.front.grpc_port}", peer.OPTIONS)
        self.held = threading.Event()
        self.works()

    def serve(self, request, exchange):
        path = request.target.partition("?")[0]
        if path == "/hold":
            self.held.set()
            exchange.send(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            exchange.until(b"never")
        if path == "/silent":
            self.held.set()
            exchange.until(b"never")
        return answer(200, request.body or b"ok")

    def get(self, target="x", app_id="back", body=None):
        return mesh.invoke(self.front, app_id, target, "GET" if body is None else "POST", body, timeout=60 * SLOW)

    def do(self, message=b"m", timeout=CALL_S, method="Do"):
        metadata = (("dapr-app-id", "gback"),)
        return self.channel.unary_unary(SVC + method)(message, metadata=metadata, timeout=timeout)

    def is_served(self):
        try:
            return self.get().status == 200 and self.do(timeout=CALL_S * SLOW) == b"m"
        except (grpc.RpcError, OSError, Cut):
            return False

    def works(self, seconds=15):
        eventually(self.is_served, "calls are served by themselves", seconds)

    def relays(self):
        return (self.relay, self.grpc_relay, self.timed_relay)

    def start_back(self):
        """Again, on the same ports."""
        self.back = self.far.sidecar("back", app=self.app, flags=self.flags, port=self.back.internal_port)

    def end(self):
        self.channel.close()
        for relay in self.relays():
            relay.mend()
            relay.cut()
        for sidecar in (self.front, self.back, self.gback, self.timed):
            if sidecar.is_alive():
                sidecar.stop()
        self.grpc_app.stop()
        self.app.stop()


@contextlib.contextmanager
def within(seconds, what):
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    need(took <= seconds, f"{what} took {took:.1f} s, not at most {seconds:.1f}")


def ends(function, seconds, what, codes=GONE):
    """What it ends with: a value, or the error of gRPC, whose code must be one of those."""
    with within(seconds, what):
        try:
            return function()
        except grpc.RpcError as error:
            need(error.code() in codes, f"{what}: {error.code()} {error.details()}")
            return error


def fails(bed, seconds, what):
    """A plain call over HTTP fails in Dapr's form, one over gRPC with its code."""
    with within(seconds, f"{what}, over HTTP,"):
        reply = bed.get()
    need(reply.status == 500 and reply.json["errorCode"] == "ERR_DIRECT_INVOKE", f"{what}: {reply}")
    return reply.json["message"]


def times_out(bed, what):
    """A call of gRPC with a deadline, and one of HTTP to an application with a timeout policy, end at it."""
    error = ends(lambda: bed.do(timeout=CALL_S), CALL_S + PAUSE_S, f"{what}, over gRPC,", (grpc.StatusCode.DEADLINE_EXCEEDED,))
    need(isinstance(error, grpc.RpcError), f"{what}: it was answered: {error!r}")
    with within(CALL_S + PAUSE_S, f"{what}, with a timeout policy,"):
        reply = bed.get(app_id="timed")
    need(reply.status == 500 and reply.json["errorCode"] == "ERR_DIRECT_INVOKE", f"{what}: {reply}")
    need("context deadline exceeded" in reply.json["message"], f"{what}: {reply}")


def in_flight(bed, target):
    """A call that is under way: for `hold` it has its first byte."""
    bed.held.clear()
    connection = Connection(bed.front.address, 60 * SLOW)
    connection.send(request_bytes("GET", f"/v1.0/invoke/back/method/{target}"))
    need(bed.held.wait(DEADLINE_S), "the application has the call")
    if target == "hold":
        connection.until(b"a\r\n")
    return connection


def is_cut(connection, seconds, what):
    """The answer ends too soon; the client is not left waiting."""
    with within(seconds, what):
        try:
            while connection.receive():
                need(b"0\r\n\r\n" not in connection.pending, f"{what}: the answer pretends to be whole")
        except OSError:
            pass
    connection.close()


# --- faults -----------------------------------------------------------------------------------------------------------


def killed(bed):
    """The other sidecar dies with calls under way, stays away, comes back."""
    streaming, waiting = in_flight(bed, "hold"), in_flight(bed, "silent")
    bed.back.kill()
    is_cut(streaming, PAUSE_S, "the answer of a sidecar that died")
    with within(UNREACHABLE_S, "the call of a sidecar that died"):
        need(waiting.reply().status == 500, "a call without an answer fails")
    waiting.close()
    message = fails(bed, UNREACHABLE_S, "a call of a sidecar that is not there")
    need("failed to invoke" in message and "back" in message, message)
    bed.start_back()
    bed.works()


def frozen(bed):
    frozen_ones = (bed.back, bed.gback, bed.timed)
    for sidecar in frozen_ones:
        sidecar.signal(signal.SIGSTOP)
    try:
        times_out(bed, "a frozen sidecar")
    finally:
        for sidecar in frozen_ones:
            sidecar.signal(signal.SIGCONT)
    bed.works()


def slow(bed):
    """Every piece of bytes takes a while, and there are few of them a second: calls are slow and right."""
    for relay in bed.relays():
        relay.up.delay_s = relay.down.delay_s = 0.05
        relay.up.bytes_a_second = relay.down.bytes_a_second = 200_000
    body = random.Random(1).randbytes(60_000)
    need(bed.get(body=body).body == body, "a body is whole")
    need(bed.do(body, timeout=DEADLINE_S) == body, "a message is whole")
    for relay in bed.relays():
        relay.mend()
    bed.works()


def half_open(bed):
    """Nothing arrives any more, and nobody says so; then the path is there again, for new connections."""
    for relay in bed.relays():
        relay.lose()
    times_out(bed, "a path that loses everything")
    for relay in bed.relays():
        relay.mend()
    bed.works(40)


def stranded(bed):
    """Open connections lead nowhere any more, as after a firewall forgot them: new ones are made once that is noticed, and
    what was on its way on the old ones is cut."""
    streaming = in_flight(bed, "hold")
    for relay in bed.relays():
        relay.strand()
    error = ends(lambda: bed.do(timeout=CALL_S), CALL_S + PAUSE_S, "a call on a stranded connection",
                 (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE))  # fmt: skip
    need(isinstance(error, grpc.RpcError), "it was not answered")
    bed.works(40)
    is_cut(streaming, 40 * SLOW, "an answer on a stranded connection")


def refused(bed):
    """Connections end and no new one is taken."""
    for relay in bed.relays():
        relay.refuse()
        relay.cut()
    fails(bed, UNREACHABLE_S, "a call to where nobody listens")
    # A call with a deadline may end at it between two attempts.
    error = ends(lambda: bed.do(timeout=10), 10 + PAUSE_S, "a call of gRPC", (*GONE, grpc.StatusCode.DEADLINE_EXCEEDED))
    need(isinstance(error, grpc.RpcError), "it was not answered")
    for relay in bed.relays():
        relay.listen()
    bed.works()


def cut(bed, times=6, seed=1):
    """Connections are cut after any number of bytes: a call is answered whole, or fails; none is lost or mixed up."""
    rng = random.Random(seed)
    for _ in range(times):
        body = rng.randbytes(rng.randrange(200_000))
        for relay in bed.relays():
            rng.choice((relay.up, relay.down)).cut_after = rng.randrange(len(body) + 1000)
        with within(UNREACHABLE_S, "a call whose connection is cut"):
            try:
                reply = bed.get(body=body)
                need(reply.status == 500 or reply.body == body, "an answer is whole and its own")
            except (Cut, ConnectionResetError):
                pass  # in the middle of an answer
        got = ends(lambda body=body: bed.do(body, timeout=10), 10 + PAUSE_S, "a call of gRPC whose connection is cut",
                   (*GONE, grpc.StatusCode.DEADLINE_EXCEEDED))  # fmt: skip
        need(isinstance(got, grpc.RpcError) or got == body, "a message is whole and its own")
        for relay in bed.relays():
            relay.mend()
    bed.works()


def resolver_killed(bed):
    """The resolver's process dies: known addresses are used on, it comes back, and unknown names are found again."""
    pid = bed.front.plugin_pid("sqlite")
    streaming = in_flight(bed, "hold")
    os.kill(pid, signal.SIGKILL)
    bed.near.unregister("front")
    need(bed.get().status == 200, "the address is known")
    need(bed.do() == b"m", "over gRPC too")
    eventually(lambda: bed.front.plugins()["sqlite"]["pid"] not in (0, None, pid), "the resolver is back")
    other = bed.far.sidecar("another", app=bed.app)
    bed.near.register("another", other.internal)
    eventually(lambda: bed.get(app_id="another").status == 200, "a name that was never asked for is found")
    other.stop()
    eventually(lambda: bed.near.addresses("front") == [bed.front.internal], "the sidecar is registered again")
    bed.near.unregister("another")
    streaming.close()


def one_of_two(bed):
    """Of two instances one dies: calls go to the other, and to both when it is back."""
    second = bed.far.sidecar("back", app=bed.app, flags=bed.flags)
    bed.near.register("back", bed.relay.address, second.internal)
    answered = []
    eventually(lambda: answered.append(bed.get().status) or len(answered) >= 10, "calls are served")
    need(set(answered) == {200}, f"{answered}")
    second.kill()
    for _ in range(10):
        with within(UNREACHABLE_S, "a call with one instance left"):
            need(bed.get().status == 200, "it goes to the one that lives")
    bed.near.register("back", bed.relay.address)


FAULTS = {"killed": killed, "frozen": frozen, "slow": slow, "half-open": half_open, "stranded": stranded,
          "refused": refused, "cut": cut, "resolver killed": resolver_killed, "one of two dies": one_of_two}  # fmt: skip


# --- packets ----------------------------------------------------------------------------------------------------------


def packets(authority=None):
    """Two machines whose packets are dropped for a while, in both directions or one."""
    net = netns.Network(2, families=(4,))
    near, far = net.machines
    database = mesh.Mesh(authority)
    app = far.inside(http_app.App, host="127.0.0.1")
    back = in_machine(database, far, "back", app=app)
    front = in_machine(database, near, "front", TIMEOUT.replace("timed", "back"))
    get = lambda: near.inside(mesh.invoke, front, "back", "x", timeout=60 * SLOW)  # noqa: E731
    served = lambda: get().status == 200  # noqa: E731
    eventually(served, "calls are served")
    for hook in ("input", "output"):
        back_port = back.internal_port
        far.drop(f"tcp {'dport' if hook == 'input' else 'sport'} {back_port}", hook)
        with within(CALL_S + PAUSE_S, "a call whose packets are dropped"):
            reply = get()
        need(reply.status == 500 and "context deadline exceeded" in reply.json["message"], str(reply))
        far.pass_all()
        eventually(served, "calls are served again", 40)
    for one in (front, back):
        one.stop()


def in_machine(database, machine, app_id, *resources, **more):
    made = database.sidecar(app_id, *resources, wait=False, preexec_fn=machine.enter, loopback=False, **more)
    machine.inside(made.wait_ready)
    return made
