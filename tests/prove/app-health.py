# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment app-health: an application that starts late, flaps, answers its probes with 500 or not at all, closes in the
middle of a body, or is gone. Callers over HTTP and gRPC go on all the while, each call with a deadline: none may hang
beyond it, none may be answered wrongly, and an application that is known to be unwell gets no call at all."""
import _prove  # isort: skip
import sdk  # noqa: F401  isort: skip  (of tests/lib, which _prove has put in front)

import threading
import time

import grpc
import remora
from _prove import PATIENCE, by_length
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2
from http_app import App, answer

INTERVAL_S, TIMEOUT_S, THRESHOLD = 1, 0.2, 2
LATE_S = by_length(2, 60, 60)
PHASE_S = by_length(1.5, 4, 12)
CALLERS = by_length(3, 6, 6)
DEADLINE_S = 1.0
# From the first bad probe of a row to the verdict, and from the end of an illness to the first good probe.
NOTICED_S = INTERVAL_S * (THRESHOLD + 1) + TIMEOUT_S + 0.5 * PATIENCE
MARGIN_S = 0.5 * PATIENCE
UNWELL = "app is not in a healthy state"
# Hangs; is unwell, gone, or cut its answer; answered 500 itself.
GRPC_ERRORS = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
claims = _prove.Claims()


class Patient:
    """An application with an illness, which is a function of the request: bytes, None (closes), or it hangs."""

    def __init__(self):
        self.illness = None
        self.over = threading.Event()
        self.calls = self.cuts = 0
        self.app = App(self.handle, start=False)

    def handle(self, request, exchange):
        if request.target == "/work":
            self.calls += 1
        if self.illness:
            return self.illness(request, exchange)
        return answer(200, b"done")


def sick(request, exchange):
    return answer(500) if request.target == "/healthz" else answer(200, b"done")


def flapping(request, exchange):
    return answer(500 if int(time.monotonic() * 3) % 2 else 200, b"done")


def hanging(request, exchange):
    patient.over.wait(60)
    return None


def cutting(request, exchange):
    patient.cuts += 1
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo")
    return None


class Account:
    def __init__(self):
        self.lock = threading.Lock()
        self.slowest_s, self.wrong, self.counts, self.last_good = 0.0, [], {}, 0.0

    def note(self, how, started, what, is_right):
        took = time.monotonic() - started
        with self.lock:
            self.slowest_s = max(self.slowest_s, took)
            self.counts[(how, what)] = self.counts.get((how, what), 0) + 1
            if what == "200 done":
                self.last_good = time.monotonic()
            if not is_right and len(self.wrong) < 10:
                self.wrong.append(f"{how}: {what} after {took:.2f} s")

    def first_good_after(self, moment, seconds):
        """When a call succeeded after that moment, in seconds from it; None if it did not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.lock:
                if self.last_good > moment:
                    return self.last_good - moment
            time.sleep(0.01)
        return None


account = Account()
stop = threading.Event()


def call_http():
    """A caller's deadline over HTTP is its own: it leaves then."""
    while not stop.is_set():
        started = time.monotonic()
        cuts = patient.cuts
        try:
            reply = sidecar.call("POST", "/v1.0/invoke/shop/method/work", b"x", timeout=DEADLINE_S)
            own = reply.status == 500 and b"ERR_DIRECT_INVOKE" in reply.body
            what = "refused" if own else f"{reply.status} {reply.text}"
            account.note("http", started, what, own or what in ("200 done", "500 done"))
        except TimeoutError:
            account.note("http", started, "left", True)
        except (OSError, remora.Cut):
            account.note("http", started, "cut", patient.cuts > cuts)
        stop.wait(0.01)


def call_grpc():
    message = common_pb2.InvokeRequest(method="work", http_extension=common_pb2.HTTPExtension(verb="POST"))
    request = invoke_pb2.InvokeServiceRequest(id="shop", message=message)
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        stub = dapr_pb2_grpc.DaprStub(channel)
        while not stop.is_set():
            started = time.monotonic()
            try:
                data = stub.InvokeService(request, timeout=DEADLINE_S).data.value.decode()
                account.note("grpc", started, f"200 {data}", data == "done")
            except grpc.RpcError as error:
                account.note("grpc", started, error.code().name, error.code() in GRPC_ERRORS)
            stop.wait(0.01)


def is_refused():
    reply = sidecar.call("GET", "/v1.0/invoke/shop/method/work")
    return reply.status == 500 and UNWELL in reply.json["message"]


def phase(name, illness, refuses):
    """One illness, and the recovery from it; seconds the recovery took."""
    patient.over.clear()
    if illness == "gone":
        patient.app.stop()
    else:
        patient.illness = illness
    if refuses:
        remora.eventually(lambda: "un-healthy" in sidecar.log()[mark[0]:], f"{name}: it is noticed", NOTICED_S + 10)
        for _ in range(5):  # what was let in before may arrive late
            before = patient.calls
            time.sleep(PHASE_S)
            if patient.calls == before:
                break
        claims.holds(f"{name}: no call while it is unwell", patient.calls == before, f"{patient.calls - before} calls")
        claims.holds(f"{name}: callers are told why", is_refused())
    else:
        time.sleep(PHASE_S)
    patient.illness = None
    patient.over.set()
    if illness == "gone":
        patient.app.start()
    well = time.monotonic()
    took = account.first_good_after(well, NOTICED_S + 10)
    mark[0] = len(sidecar.log())
    claims.holds(f"{name}: it recovers", took is not None)
    return took or 0.0


patient = Patient()
mark = [0]
sidecar = remora.Sidecar(app_id="shop", wait=False, flags=[
    "--app-port", str(patient.app.port), "--enable-app-health-check", f"--app-health-probe-interval={INTERVAL_S}",
    f"--app-health-probe-timeout={int(TIMEOUT_S * 1000)}", f"--app-health-threshold={THRESHOLD}"])
remora.eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "the API is served")
threads = [threading.Thread(target=call, daemon=True) for call in (call_http, call_grpc) for _ in range(CALLERS)]
for thread in threads:
    thread.start()
time.sleep(LATE_S)
claims.holds("not ready before the application is", sidecar.healthz() == 500)
claims.holds("no call succeeds before that", account.last_good == 0.0)
patient.app.start()
started = time.monotonic()
recoveries = [account.first_good_after(started, 10 * PATIENCE) or 99.0]
claims.at_most(f"first answer of an application {LATE_S} s late, s", recoveries[0], 1 * PATIENCE)
remora.eventually(lambda: sidecar.healthz() == 204, "ready")
mark[0] = len(sidecar.log())
illnesses = [("answers 500", sick, True), ("hangs", hanging, True), ("is gone", "gone", True), ("cuts", cutting, False),
             ("flaps", flapping, False)]
_prove.rng.shuffle(illnesses)
for illness in illnesses:
    recoveries.append(phase(*illness))
stop.set()
for thread in threads:
    thread.join(10 * DEADLINE_S)
claims.holds("no caller hangs", not any(thread.is_alive() for thread in threads))
claims.holds("no answer is wrong", not account.wrong, "; ".join(account.wrong[:3]))
claims.at_most("slowest call with a deadline of 1 s, s", account.slowest_s, DEADLINE_S + MARGIN_S)
claims.at_most("slowest recovery, s", max(recoveries[1:]), INTERVAL_S + TIMEOUT_S + 1 * PATIENCE)
_prove.say(", ".join(f"{how} {what}: {count}" for (how, what), count in sorted(account.counts.items())))
_prove.stop(sidecar)
claims.end(f"app-health: slowest call {account.slowest_s:.2f} s at a deadline of {DEADLINE_S:.0f} s, slowest recovery "
           f"{max(recoveries[1:]):.2f} s, {sum(account.counts.values())} calls")
