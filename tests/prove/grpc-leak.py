# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment grpc-leak: a million calls, then ten thousand streams whose clients go in the middle, leave no memory and no
descriptor behind. The short form is also for a build with AddressSanitizer (REMORA_BUILD=build-asan), which looks for
leaks itself when the sidecar ends."""
import _grpc
import _prove
import measure
import remora
from _prove import by_length

CALLS = by_length(20000, 1000000, 5000000)
ABORTED = by_length(2000, 10000, 100000)
STREAMS_A_TURN = 20  # of one client that vanishes
CLIENTS_PER_S = 500  # all at once would show what a peak leaves in the allocator
CALLERS = 64
GROWTH_KIB_MAX = 1024
claims = _prove.Claims()

folder = remora.Folder()
product = measure.Product(measure.store_yaml("in-memory"), "store")
plugin = product.plugin_pids()["in-memory"]
get = _grpc.Load(folder, product.grpc_port, "get", _grpc.get_state("store", "key-000001"))
save = _grpc.Load(folder, product.grpc_port, "save", _grpc.field(1, b"store") + _grpc.field(
    2, _grpc.field(1, b"key-000002") + _grpc.field(2, b"x" * 100)), "/dapr.proto.runtime.v1.Dapr/SaveState")
refused = _grpc.Load(folder, product.grpc_port, "refused", _grpc.get_state("no-store", "k"))


def call(count):
    """So many calls of each kind in turn, at least."""
    done = 0
    while done < count:
        for load in (get, save, refused):
            result = load.run(CALLERS, 1)
            remora.need(result["failures"] == (result["calls"] if load is refused else 0), f"answers are wrong: {result}")
            done += result["calls"]
    return done


def vanish(count):
    turns = -(-count // STREAMS_A_TURN)
    result = _grpc.finish(_grpc.start_attack(product.grpc_port, "vanish", turns=turns, seconds=600, rate=CLIENTS_PER_S,
                                         key="key-000001"))
    claims.holds(f"{turns} clients vanished", result["opened"] == turns, str(result))
    return turns * STREAMS_A_TURN


def held():
    return measure.private_kib(product.pid), measure.fd_count(product.pid)


def judge(name, before):
    def is_back():
        memory, descriptors = held()
        return descriptors <= before[1] and (_prove.SANITIZED or memory <= before[0] + GROWTH_KIB_MAX)

    try:
        remora.eventually(is_back, "all is back")
    except AssertionError:
        pass
    memory, descriptors = held()
    if not _prove.SANITIZED:
        claims.at_most(f"memory after {name}, KiB more", memory - before[0], GROWTH_KIB_MAX, digits=0)
    claims.at_most(f"descriptors after {name}, more", descriptors - before[1], 0, digits=0)
    return memory - before[0]


# What a process that has worked for a while holds: caches are filled, stacks were used.
call(CALLS // 10)
vanish(ABORTED)
before = held()
calls = call(CALLS)
grown = judge(f"{calls} calls", before)
before = held()
aborted = vanish(ABORTED)
more = judge(f"{aborted} streams left in the middle", before)
claims.holds("calls after that are answered", get.run(4, 1)["failures"] == 0)
_prove.stop(product)
claims.end(f"{calls} calls and {aborted} streams left in the middle: {grown} and {more} KiB more")
