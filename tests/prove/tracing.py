# SPDX-License-Identifier: Apache-2.0
"""Experiment tracing: what spans cost. State over HTTP without tracing, with tracing that samples nothing, with every
request recorded for a collector that takes them, and for one that hangs. CPU time of the kernel is compared within each
round; a collector in trouble must cost spans, never requests or memory."""
import http.server
import re
import socket
import threading

import _prove
import measure
from _prove import by_length

SECONDS = by_length(1, 2, 5)
ROUNDS = by_length(1, 3, 7)
CONNECTIONS = 16
KERNEL_MIB_MAX = 16  # a queue of 4 MiB, a batch being sent, what malloc keeps
claims = _prove.Claims()


class Sink:
    """Takes whatever is posted and forgets it."""

    def __init__(self):
        sink = self
        self.bytes = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                sink.bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def product(name, tracing):
    folder = measure.remora.Folder()
    flags = []
    if tracing:
        flags = ["--config", folder.write("config.yaml", f"kind: Configuration\nspec:\n  tracing: {tracing}\n")]
    metrics = measure.remora.free_port()
    flags += ["--metrics-port", str(metrics)]
    made = measure.Product(measure.store_yaml("in-memory"), "store", flags=flags)
    made.metrics_address = ("127.0.0.1", metrics)
    return made, measure.get_case(name, made.port, "store", made.groups("in-memory"))


def otlp(port, rate):
    return (f"{{samplingRate: '{rate}', otel: {{endpointAddress: '127.0.0.1:{port}', protocol: http, "
            "isSecure: false}}")


def spans(made, outcome):
    text = measure.remora.call(made.metrics_address, "GET", "/").text
    found = re.search(rf'remora_spans_total{{[^}}]*outcome="{outcome}"}} (\d+)', text)
    return int(found[1]) if found else 0


sink, deaf = Sink(), socket.create_server(("127.0.0.1", 0))
plain, without = product("without tracing", None)
_, none = product("nothing sampled", otlp(sink.port, "0"))
taken, every = product("every request", otlp(sink.port, "1"))
stuck, hanging = product("collector hangs", otlp(deaf.getsockname()[1], "1"))
cases = [without, none, every, hanging]
for case in cases:
    case.run(CONNECTIONS, 1)
before = measure.private_kib(stuck.pid)
results = measure.rounds(cases, CONNECTIONS, SECONDS, ROUNDS)
for case in cases:
    rows = results[case.name]
    _prove.say(f"{case.name:16} at {CONNECTIONS}: {measure.median(rows, 'rps'):7.0f}/s, p99 "
               f"{measure.median(rows, 'p99_us'):.0f} µs, kernel {measure.median(rows, 'kernel_cpu_us'):.2f} CPU-µs")


def costs(case):
    return measure.ratio(results[case.name], results[without.name], "kernel_cpu_us")


patience = 3 if _prove.SHORT else 1
claims.at_most("nothing sampled, kernel CPU over that without", costs(none), 1.15 * patience)
claims.at_most("every request recorded, kernel CPU over that without", costs(every), 1.6 * patience)
claims.at_least("a collector that hangs, requests over those of one that takes",
                measure.ratio(results[hanging.name], results[every.name]), 0.7 / patience)
claims.holds("spans arrive", spans(taken, "sent") > 0 and sink.bytes > 0, f"{spans(taken, 'sent')} spans")
claims.holds("what is too much is dropped and counted", spans(stuck, "dropped") > 0, f"{spans(stuck, 'dropped')} spans")
growth = (measure.private_kib(stuck.pid) - before) / 1024
if not _prove.SANITIZED:
    claims.at_most("growth while a collector hangs, MiB", growth, KERNEL_MIB_MAX)
claims.end(f"a request that is not sampled costs {costs(none):.2f}, one that is recorded {costs(every):.2f} of the "
           "kernel CPU of one without tracing")
