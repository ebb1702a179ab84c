# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 400
# alone: yes (what an attack at a rate sends while the kernel does not run is there at once)
"""Experiment grpc-hostile: ten thousand idle connections and a thousand open streams, then gRPC clients that mean harm
beside an innocent one.

Each attack runs for a while, as fast as it goes, in a process of its own: floods of resets, CONTINUATION, SETTINGS and
PING frames, empty DATA, clients that take nothing, that vanish, messages that are truncated, larger than allowed or nested
10,000 deep. A flood loses its connection; memory grows little and comes back; the innocent keeps half of its throughput."""
import sys

import _grpc
import _prove
import measure
import remora
from _prove import by_length

SECONDS = by_length(1, 2, 5)
ROUNDS = by_length(1, 3, 5)
# Beside other tests a second tells little, only that the innocent is served at all.
SHARE_MIN = by_length(0.02, 0.5, 0.5)
CONNECTIONS = by_length(500, 10000, 10000)
STREAMS = 1000
INNOCENTS = 4
CALLERS = 1  # of an attacker whose every call is refused; more would only be more load
FLOODS_PER_S = 1000  # connections of an attacker that floods each until it is cut off
IDLE_MIB_MAX = 80
GROWTH_MIB_MAX = 16
DEPTH = 10000
LARGE_BYTES = 1 << 20
claims = _prove.Claims()

measure.raise_fd_limit()
folder = remora.Folder()
product = measure.Product(measure.store_yaml("in-memory"), "store")
store = remora.Store(product, "store")
store.save("large", "x" * LARGE_BYTES)
innocent = _grpc.Load(folder, product.grpc_port, "innocent", _grpc.get_state("store", "key-000001"))


def mib(kib):
    return kib / 1024


def judge_memory(name, grown_mib, limit_mib):
    if _prove.SANITIZED:
        _prove.say(f"{name}: {grown_mib:.1f} MiB, not judged here")
    else:
        claims.at_most(name, grown_mib, limit_mib, digits=1)


def settles(below_kib, seconds=15):
    """Private memory once it has come down to that, or what it is after a while."""
    try:
        remora.eventually(lambda: measure.private_kib(product.pid) <= below_kib, "memory comes back", seconds)
    except AssertionError:
        pass
    return measure.private_kib(product.pid)


# --- many that behave -------------------------------------------------------------------------------------------------


def hold_connections():
    before = measure.private_kib(product.pid)
    limit_mib = IDLE_MIB_MAX * CONNECTIONS / 10000 + by_length(2, 0, 0)  # few do not fill what all of them share
    with _grpc.held(product.grpc_port, "connections", CONNECTIONS) as kept:
        grown = mib(settles(before + limit_mib * 1024 * 0.85) - before)
        result = innocent.run(INNOCENTS, 1)
        claims.holds("calls beside them are answered", result["failures"] == 0 and result["calls"] > 0)
    judge_memory(f"{CONNECTIONS} idle connections, MiB", grown, limit_mib)
    claims.holds("every one of them was kept", kept["cut"] == 0 and kept["answers"] == CONNECTIONS, str(kept))
    judge_memory("kept of that afterwards, MiB", mib(settles(before + 4096) - before), 8)
    return grown * 1024 / CONNECTIONS


def hold_streams():
    before = measure.private_kib(product.pid)
    with _grpc.held(product.grpc_port, "streams", STREAMS) as kept:
        result = innocent.run(INNOCENTS, 1)  # and by then all of them have begun
        grown = mib(measure.private_kib(product.pid) - before)
        claims.holds("calls beside open streams are answered", result["failures"] == 0 and result["calls"] > 0)
    judge_memory(f"{STREAMS} open streams, MiB", grown, GROWTH_MIB_MAX)
    claims.holds("every stream was answered in the end", kept["answers"] == STREAMS and kept["cut"] == 0, str(kept))


# --- attacks ----------------------------------------------------------------------------------------------------------


def nested(depth):
    """A message in a message in a message, each in a field that holds one."""
    data = b""
    for _ in range(depth):
        data = _grpc.field(2, data)
    return data


class Attack:
    """A client that does nothing else. Floods must lose each connection they make."""

    def __init__(self, name, attack, is_flood=False, **options):
        self.name, self.attack, self.is_flood, self.options = name, attack, is_flood, options
        if is_flood:
            self.options["rate"] = FLOODS_PER_S

    def start(self, seconds):
        return _grpc.start_attack(product.grpc_port, self.attack, seconds=seconds, **self.options)

    def judge(self, result):
        if self.is_flood:
            claims.holds(f"{self.name}: loses its connections", 0 < result["opened"] <= result["cut"] + 1, str(result))
        return f"{result['frames'] / result['seconds']:.0f} frames/s on {result['opened']} connections"


class Bodies:
    """Calls whose message must be refused, each of them."""

    def __init__(self, name, message, path=_grpc.GET_STATE):
        self.name, self.load = name, _grpc.Load(folder, product.grpc_port, name.replace(" ", "-"), message, path)

    def start(self, seconds):
        return self.load.start(CALLERS, seconds)

    def judge(self, result):
        refused = result["failures"] == result["calls"] and result["calls"] > 0
        claims.holds(f"{self.name}: refused", refused, str(result["calls"]))
        return f"{result['rps']:.0f} calls/s"


DAPR = "/dapr.proto.runtime.v1.Dapr/"
ATTACKS = [
    Attack("resets", "resets", True), Attack("CONTINUATION", "continuations", True),
    Attack("SETTINGS", "settings", True), Attack("PING", "pings", True), Attack("empty DATA", "empty-data", True),
    Attack("zero windows", "zero-window", count=100, key="large"),
    Attack("vanishing", "vanish", key="key-000001", rate=500),
    Attack("truncated messages", "truncated"),
    Bodies("oversized messages", b"\x0a\x05store" + _grpc.field(2, b"k" * (5 << 20))),
    Bodies("messages nested 10000 deep", nested(DEPTH), DAPR + "ConverseAlpha2"),
    Bodies("empty items", b"\x0a\x05store" + b"\x12\x00" * 500000, DAPR + "SaveState"),
]


def beside(attack):
    """The innocent's throughput beside it, and what became of the attack."""
    process = attack.start(SECONDS + by_length(0, 1, 1))
    result = innocent.run(INNOCENTS, SECONDS)
    return result, _grpc.finish(process)


def run_attack(attack):
    shares, notes = [], ""
    before = measure.private_kib(product.pid)
    resident = _grpc.status_kib(product.pid, "VmRSS")
    _grpc.forget_peak(product.pid)
    # A machine that stops for a second in the short form serves nobody then: it is tried again.
    while len(shares) < ROUNDS or _prove.SHORT and len(shares) < 5 and shares[-1] < SHARE_MIN:
        idle = idle_rps if _prove.SHORT else innocent.run(INNOCENTS, SECONDS)["rps"]
        result, attacked = beside(attack)
        claims.holds(f"{attack.name}: the innocent's calls succeed", result["failures"] == 0)
        shares.append(result["rps"] / max(idle, 1))
        notes = attack.judge(attacked)
    grown = mib(_grpc.status_kib(product.pid, "VmHWM") - resident)
    share = max(shares) if _prove.SHORT else sorted(shares)[len(shares) // 2]
    claims.at_least(f"{attack.name} ({notes}): throughput of the innocent over idle", share, SHARE_MIN)
    judge_memory(f"{attack.name}: growth at most, MiB", grown, GROWTH_MIB_MAX)
    judge_memory(f"{attack.name}: kept afterwards, MiB", mib(settles(before + 1024, 5) - before), 4)
    return share


innocent.run(64, 1)
idle_rps = innocent.run(INNOCENTS, 1)["rps"]
words = sys.argv[1:]
if words:
    ATTACKS = [attack for attack in ATTACKS if any(word in attack.name for word in words)]
each_kib = hold_connections()
hold_streams()
descriptors = measure.fd_count(product.pid)
shares = {attack.name: run_attack(attack) for attack in ATTACKS}
remora.eventually(lambda: measure.fd_count(product.pid) <= descriptors, "descriptors are back")
claims.holds("the sidecar lives, its plugin too", product.plugins()["in-memory"]["restarts"] == 0)
_prove.stop(product)
worst = min(shares, key=shares.get, default="none was tried")
claims.end(f"{CONNECTIONS} idle connections cost {each_kib:.1f} KiB each; the innocent client keeps at least "
           f"{shares.get(worst, 1):.2f} of its throughput ({worst})")
