# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment grpc-interop: the official grpcio, grpc-js and grpc-go, each as a client of the sidecar's own API, and each as
a client of each as an application behind the sidecar's proxy: all four kinds of call, deadlines, leaving, compression,
large messages, metadata, rich errors. The clients that call the applications directly show that it is the sidecar that
is judged."""
import traceback

import _prove
import interop
import remora

claims = _prove.Claims()
WORKERS = {"python": "1", "js": "3", "go": "2"}
counts = {"clients of the API": 0, "pairs through the proxy": 0}


def holds(name, count, function, *words):
    try:
        function(*words)
        claims.holds(name, True)
        counts[count] = counts.get(count, 0) + 1
    except remora.Skip as reason:
        claims.holds(name, True, f"skipped: {reason}")
    except Exception:  # the next one may still hold
        traceback.print_exc()
        claims.holds(name, False)


folder = remora.Folder()
flags = ["--max-body-size", "16Mi"]
sidecar = remora.Sidecar(remora.component("mem", "state.in-memory"), flags=flags)
for language in interop.PEERS:
    holds(f"{language} calls the API", "clients of the API", interop.call_dapr, language, sidecar)


def through_proxy(app, client, count):
    holds(f"{client} calls an application in {app}", count, interop.call, client, folder, one.grpc_port, "interop")


for app in interop.PEERS:
    try:
        server = interop.Server(app, folder).wait_serving()
    except remora.Skip as reason:
        claims.holds(f"an application in {app}", True, f"skipped: {reason}")
        continue
    for client in interop.PEERS if not _prove.SHORT else ():
        holds(f"{client} calls {app} directly", "direct pairs", interop.call, client, folder, server.port, "-")
    app_flags = ["--app-port", str(server.port), "--app-protocol", "grpc", "--workers", WORKERS[app], *flags]
    one = remora.Sidecar(app_id="interop", flags=app_flags)
    for client in interop.PEERS:
        if not _prove.SHORT or client in (app, "python"):
            through_proxy(app, client, "pairs through the proxy")
    _prove.stop(one)
    server.kill()
_prove.stop(sidecar)
claims.end(", ".join(f"{number} {what}" for what, number in counts.items()))
