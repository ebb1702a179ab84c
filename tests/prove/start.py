# SPDX-License-Identifier: Apache-2.0
"""Experiment start: time from exec to the first 204 of healthz, bare, with three plugins, with 1,000 components."""
import http.client
import json
import os
import socket
import statistics
import subprocess
import time

import _prove
import measure
import remora
from _prove import by_length

ROUNDS = by_length(5, 20, 60)
COMPONENTS = 1000
# Waiting for the port spins, with a pause so short that it does not add to what is measured.
PAUSE_S = 0.0002
claims = _prove.Claims()


def healthz(port):
    """The status, 0 while nobody listens."""
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", port)) != 0:
            return 0
        s.sendall(b"GET /v1.0/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reply = s.recv(4096)
        return int(reply[9:12]) if reply else 0


def start_ms(folder, port, seconds=30):
    """One start and its end; milliseconds to ready."""
    command = [remora.REMORAD, "--app-id", "shop", "--metrics-port", "0", "--dapr-grpc-port", "0", "--dapr-http-port", str(port), "--dapr-listen-addresses",
               "127.0.0.1", "--run-dir", folder / "run", "--resources-path", folder / "resources"]
    with open(folder / "log", "w") as log:
        started = time.monotonic()
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while healthz(port) != 204:
            remora.need(time.monotonic() - started < seconds and child.poll() is None, "the sidecar does not start")
            time.sleep(PAUSE_S)
        ms = (time.monotonic() - started) * 1000
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/v1.0/metadata")
        rows = json.loads(connection.getresponse().read()).get("components", [])
        connection.close()
    finally:
        child.terminate()
        child.wait()
    return ms, len(rows)


def median_ms(yamls, rounds):
    folder = remora.Folder()
    os.mkdir(folder / "resources")
    os.mkdir(folder / "run", 0o700)
    for i, yaml in enumerate(yamls):
        folder.write(f"resources/{i:04}.yaml", yaml)
    times = []
    for _ in range(rounds):
        ms, components = start_ms(folder, remora.free_port())
        remora.equal(components, len(yamls), "components that are ready")
        times.append(ms)
    return statistics.median(times), max(times)


data = remora.Folder()
bare, worst = median_ms([], ROUNDS)
claims.at_most(f"bare, median of {ROUNDS}, ms", bare, 15)
_prove.say(f"worst {worst:.1f} ms")

stores = [measure.store_yaml("in-memory").replace('"store"', '"memory"'),
          measure.store_yaml("sqlite", data).replace('"store"', '"file"')]
if measure.have_redis():
    stores.append(measure.store_yaml("redis", redis=measure.plain_redis()).replace('"store"', '"server"'))
three, worst = median_ms(stores, ROUNDS)
claims.at_most(f"with {len(stores)} plugins, median of {ROUNDS}, ms", three, 50)
_prove.say(f"worst {worst:.1f} ms")

many, _ = median_ms([remora.component(f"store-{i}", "state.in-memory") for i in range(COMPONENTS)], by_length(1, 3, 5))
claims.at_most(f"with {COMPONENTS} components of one type, ms", many, 5000, digits=0)
claims.end(f"exec to healthz 204: {bare:.1f} ms bare, {three:.1f} ms with {len(stores)} plugins, "
           f"{many:.0f} ms with {COMPONENTS} components")
