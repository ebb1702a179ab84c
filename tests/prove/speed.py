# SPDX-License-Identifier: Apache-2.0
"""Experiment speed: state over HTTP against the floor, redis-benchmark and a count of durable commits.

Every sidecar figure comes from rounds in which the yardstick ran beside it; absolute limits are scaled by the floor of
this machine over the floor of the machine where they were set: times and rates by its requests per second, CPU time by
its CPU time (2.8 µs a request there), which other programs on the machine disturb less."""
import _prove
import measure
from _prove import by_length

SECONDS = by_length(1, 1, 5)
ROUNDS = by_length(1, 5, 9)
claims = _prove.Claims()


def scale_at(connections, floor):
    """This machine's speed over that of the reference."""
    return measure.median(floor, "rps") / measure.REFERENCE_FLOOR[connections]


def cpu_scale(floor):
    """What CPU time costs here over what it cost there."""
    return measure.median(floor, "kernel_cpu_us") / measure.REFERENCE_FLOOR_CPU_US


def store(kind, *redis):
    folder = measure.remora.Folder()
    product = measure.Product(measure.store_yaml(kind, folder, *redis), "store")
    groups = product.groups(kind)
    return (product, measure.get_case(f"{kind} get", product.port, "store", groups),
            measure.save_case(f"{kind} save", product.port, "store", groups))


def run(cases, connections):
    cases[-1].run(connections, 1)
    results = measure.rounds(cases, connections, SECONDS, ROUNDS)
    for case in cases:
        rows = results[case.name]
        cpu = "".join(f", {name} {measure.median(rows, name + '_cpu_us'):.2f} CPU-µs"
                      for name in getattr(case, "groups", {}))
        _prove.say(f"{case.name:20} at {connections:2}: {measure.median(rows, 'rps'):7.0f}/s, "
                   f"p50 {measure.median(rows, 'p50_us'):.0f} µs, p99 {measure.median(rows, 'p99_us'):.0f} µs{cpu}")
    return [results[case.name] for case in cases]


def in_memory():
    product, get, save = store("in-memory")
    floor = measure.Floor(product.address, "store").case()
    base, got = run([floor, get], 1)
    p50s = [measure.median(results, "p50_us") for results in (got, base)]
    claims.at_most("in-memory GET at 1, p50 over the floor's", p50s[0] / p50s[1], 4)
    base, got = run([floor, get], 16)
    scale = cpu_scale(base)
    claims.at_most("in-memory GET at 16, kernel CPU-µs", measure.median(got, "kernel_cpu_us"), 7 * scale)
    claims.at_most("in-memory GET at 16, plugin CPU-µs", measure.median(got, "plugin_cpu_us"), 2 * scale)
    base, got, saved = run([floor, get, save], 64)
    scale = scale_at(64, base)
    ratio = measure.ratio(got, base)
    claims.at_least("in-memory GET at 64 over the floor", ratio, 0.55)
    claims.at_most("in-memory GET at 64, p99 ms", measure.median(got, "p99_us") / 1000, 4 / scale)
    claims.at_least("in-memory save at 64 over GET", measure.ratio(saved, got), 0.75)
    product.end()
    return floor, ratio


def redis(floor):
    if not measure.have_redis():
        _prove.say("no redis-server here: not measured")
        return 0
    server = measure.plain_redis()
    product, get, save = store("redis", server)
    benchmark = measure.RedisBenchmark("redis-benchmark get", server, "get")
    base, theirs, got, _ = run([floor, benchmark, get, save], 64)
    ratio = measure.ratio(got, theirs)
    claims.at_least("Redis GET at 64 over redis-benchmark", ratio, 0.4)
    cpu = measure.median(got, "kernel_cpu_us") + measure.median(got, "plugin_cpu_us")
    claims.at_most("Redis GET at 64, kernel and plugin CPU-µs", cpu, 14 * cpu_scale(base))
    product.end()
    return ratio


def sqlite(floor):
    product, _, save = store("sqlite")
    base, saved = run([floor, save], 64)
    rate = measure.median(saved, "rps")
    claims.at_least("SQLite durable save at 64, requests/s", rate, 25000 * scale_at(64, base), digits=0)
    product.end()
    return rate


floor_case, memory_ratio = in_memory()
redis_ratio = redis(floor_case)
rate_64 = sqlite(floor_case)
claims.end(f"in-memory GET at 64 is {memory_ratio:.2f} of the floor, Redis GET {redis_ratio:.2f} of redis-benchmark, "
           f"SQLite {rate_64:.0f} durable saves/s")
