# SPDX-License-Identifier: Apache-2.0
"""Experiment middleware: what a component of httpPipeline costs each request in the kernel, as the difference of two
sidecars on the same store, one with a routerchecker before it, measured in turns beside the floor."""
import _prove
import measure
from _prove import by_length

SECONDS = by_length(1, 1, 5)
ROUNDS = by_length(1, 5, 9)
KERNEL_US_MAX = 15
claims = _prove.Claims()

folder = measure.remora.Folder()
config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
                      "spec: {httpPipeline: {handlers: [{name: check, type: middleware.http.routerchecker}]}}\n")
check = measure.remora.component("check", "middleware.http.routerchecker", {"rule": "^[A-Za-z0-9/._-]+$"})
yaml = measure.store_yaml("in-memory", folder)
plain = measure.Product(yaml, "store")
guarded = measure.Product(yaml, "store", check, flags=["--config", str(config)])
floor = measure.Floor(plain.address, "store").case()
cases = [floor, measure.get_case("without", plain.port, "store", {"kernel": [plain.pid]}),
         measure.get_case("with", guarded.port, "store",
                          {"kernel": [guarded.pid], "plugin": guarded.plugin_pids()["middleware"]})]
cases[-1].run(16, 1)
results = measure.rounds(cases, 16, SECONDS, ROUNDS)
base, without, guarded_rows = (results[case.name] for case in cases)
scale = measure.median(base, "kernel_cpu_us") / measure.REFERENCE_FLOOR_CPU_US
for name, rows in (("without", without), ("with", guarded_rows)):
    _prove.say(f"{name:8} at 16: {measure.median(rows, 'rps'):7.0f}/s, p50 {measure.median(rows, 'p50_us'):.0f} µs, "
               f"kernel {measure.median(rows, 'kernel_cpu_us'):.2f} CPU-µs")
cost = measure.median(guarded_rows, "kernel_cpu_us") - measure.median(without, "kernel_cpu_us")
# The short form runs beside other programs and under sanitizers: only the region counts there.
claims.at_most("a component of the pipeline, kernel CPU-µs a request", cost,
               KERNEL_US_MAX * scale * (10 * _prove.PATIENCE if _prove.SHORT else 1))
_prove.stop(plain)
_prove.stop(guarded)
claims.end(f"{cost:.1f} kernel CPU-µs a request and component, {measure.median(guarded_rows, 'plugin_cpu_us'):.1f} in the plugin")
