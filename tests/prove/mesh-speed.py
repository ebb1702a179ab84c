# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Experiment mesh-speed: application → sidecar → sidecar → application, all on this machine, 64 B and 1 KB, plain and
with mutual TLS, HTTP and gRPC.

Limits are multiples of what two sidecars of the reference did on the machine where they were set, scaled by the bare
server here over the bare server there; it runs in every round. Where DAPRD= names a sidecar it is measured too."""
import _prove

import sdk  # noqa: F401  isort: skip

import authority
import measure
import mesh
from _mesh import Echo, Fixed, Pair, cpu_scale, invoke_service, OWN, rate_scale, rounds
from _prove import by_length

SECONDS = by_length(1, 2, 5)
ROUNDS = by_length(1, 3, 7)
REFERENCE_64 = 3800  # requests/s of two daprd at 64, plain and with mTLS alike
REFERENCE_GRPC_64 = 4200
PLAIN_TIMES, MTLS_TIMES = 8, 7
CPU_US_16 = 26
P99_MS_64 = 8
MTLS_ADDS_US = 250
BYTES = 64
claims = _prove.Claims()

small, large = Fixed(BYTES), Fixed(1024)
kinds = [("", None, None), (" mTLS", authority.Authority("ecdsa"), None)]
pairs = {name: Pair(small, certificates) for name, certificates, _ in kinds}
big_pairs = {name: Pair(large, certificates) for name, certificates, _ in kinds} if not _prove.SHORT else {}
figures = {}


def best(rows, field):
    """Who else runs here can only take from rates and add to times."""
    values = [row[field] for row in rows]
    return max(values) if field == "rps" else min(values)


def at_one():
    base, plain, mutual = rounds([small.case(), pairs[""].http("HTTP"), pairs[" mTLS"].http("HTTP mTLS")], 1, SECONDS, ROUNDS)
    direct = best(base, "p50_us")
    for name, rows in (("plain", plain), ("mTLS", mutual)):
        figures[f"{name} adds µs"] = best(rows, "p50_us") - direct
    scale = max(1.0, measure.REFERENCE_FLOOR[1] / measure.median(base, "rps"))
    claims.at_most("two sidecars with mTLS add at p50, µs", figures["mTLS adds µs"], MTLS_ADDS_US * scale, digits=0)


def at_sixteen():
    cases = [pair.http("HTTP" + name) for name, pair in pairs.items()]
    base, *measured = rounds([small.case(), *cases], 16, SECONDS, ROUNDS)
    scale = cpu_scale(base)
    for name, rows in zip(pairs, measured):
        for side in ("front", "back"):
            figures[f"CPU-µs {side}{name}"] = cpu = best(rows, f"{side}_cpu_us")
            claims.at_most(f"HTTP{name} at 16, {side} CPU-µs", cpu, CPU_US_16 * scale)


def at_sixtyfour():
    cases = [pair.http("HTTP" + name) for name, pair in pairs.items()]
    base, *measured = rounds([small.case(), *cases], 64, SECONDS, ROUNDS)
    scale = rate_scale(64, base)
    for (name, rows), times in zip(zip(pairs, measured), (PLAIN_TIMES, MTLS_TIMES)):
        figures[f"HTTP{name}"] = rate = best(rows, "rps")
        claims.at_least(f"HTTP{name} at 64, requests/s", rate, times * REFERENCE_64 * scale, digits=0)
        claims.at_most(f"HTTP{name} at 64, p99 ms", best(rows, "p99_us") / 1000, P99_MS_64 / scale)
    if big_pairs:
        rounds([large.case(), *[pair.http("HTTP 1 KB" + name) for name, pair in big_pairs.items()]], 64, SECONDS, ROUNDS)


def over_grpc():
    """InvokeService to the application of HTTP, and calls of the application's own service proxied, beside HTTP."""
    echo = Echo()
    for name, certificates, _ in kinds:
        pair = Pair(echo, certificates, protocol="grpc")
        message = invoke_service("back", "x", b"x" * BYTES)
        invoke = pairs[name].grpc("InvokeService" + name, "/dapr.proto.runtime.v1.Dapr/InvokeService", message)
        proxy = pair.grpc("proxy" + name, OWN, b"x" * BYTES, "back")
        for connections in by_length((64,), (1, 16, 64), (1, 16, 64)):
            http, invoked, proxied = rounds([pairs[name].http("HTTP" + name), invoke, proxy], connections, SECONDS, ROUNDS)
        figures[f"InvokeService{name}"], figures[f"proxy{name}"] = best(invoked, "rps"), best(proxied, "rps")
        claims.at_least(f"InvokeService{name} at 64 over HTTP", measure.ratio(invoked, http), 1.0)
        claims.at_least(f"proxied calls{name} at 64 over HTTP", measure.ratio(proxied, http), 1.0)
        pair.stop()


def reference():
    for name, certificates, _ in kinds if mesh.DAPRD else ():
        pair = Pair(small, certificates, kind=mesh.Daprd)
        for connections in measure.CONNECTIONS:
            rounds([small.case(), pair.http("DAPRD=" + name)], connections, SECONDS, ROUNDS)


at_one()
at_sixteen()
at_sixtyfour()
over_grpc()
reference()
for pair in (*pairs.values(), *big_pairs.values()):
    pair.stop()
claims.end(f"at 64: HTTP {figures['HTTP']:.0f}/s, mTLS {figures['HTTP mTLS']:.0f}/s, InvokeService "
           f"{figures['InvokeService']:.0f}/s, proxy {figures['proxy']:.0f}/s; at 16 CPU-µs {figures['CPU-µs front']:.1f} + "
           f"{figures['CPU-µs back']:.1f}, mTLS {figures['CPU-µs front mTLS']:.1f} + {figures['CPU-µs back mTLS']:.1f}; two "
           f"sidecars add {figures['plain adds µs']:.0f} µs, with mTLS {figures['mTLS adds µs']:.0f} µs")
