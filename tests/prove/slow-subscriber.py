# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 900
"""Experiment slow-subscriber: 1 GiB of messages waits in a durable broker for an application that does not answer. Neither
the kernel nor the broker's plugin grows by more than 2 MiB meanwhile, and publishing goes on."""
import _prove

import http.client
import threading
import time

import http_app
import kafka_node
import measure
import mosquitto
import remora
from _prove import by_length

BYTES = by_length(48 << 20, 1 << 30, 2 << 30)
MESSAGE = 64 << 10
WARM = 200  # messages before the measuring: windows and buffers have then reached their size
GROWTH_MIB_MAX = 2
claims = _prove.Claims()


class Holder:
    """An application that takes events and answers none of them."""

    def __init__(self):
        self.taken, self.release = 0, threading.Event()
        self.app = http_app.App(self.take, start=False)
        self.app.init = lambda request: http_app.answer(
            200, b'[{"pubsubname":"bus","topic":"orders","route":"/orders"}]', [("Content-Type", "application/json")]
        ) if request.target == "/dapr/subscribe" else http_app.answer(404)
        self.app.start()

    def take(self, request, exchange):
        self.taken += 1
        self.release.wait()
        return http_app.answer(200)


def publish(sidecar, count):
    connection = http.client.HTTPConnection(*sidecar.address, timeout=60)
    body = b"x" * MESSAGE
    for _ in range(count):
        connection.request("POST", "/v1.0/publish/bus/orders", body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        answer.read()
        remora.equal(answer.status, 204)


def still(app, pids):
    """What each holds once all that is read ahead has been read: nothing moves for a second."""
    last, since = None, time.monotonic()

    def is_still():
        nonlocal last, since
        now = app.taken, {name: measure.private_kib(pid) for name, pid in pids.items()}
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 1

    remora.eventually(is_still, "windows and buffers are full", 60)
    return last[1]


def run(plugin, component):
    app = Holder()
    sidecar = remora.Sidecar(component, flags=["--app-port", str(app.app.port)])
    publish(sidecar, WARM)
    remora.eventually(lambda: app.taken, "the application has something")
    pids = {"kernel": sidecar.pid, "plugin": sidecar.plugin_pid(plugin)}
    before = still(app, pids)
    publish(sidecar, BYTES // MESSAGE)
    grown = {name: (measure.private_kib(pid) - before[name]) / 1024 for name, pid in pids.items()}
    for name, mib in grown.items():
        if _prove.SANITIZED:
            _prove.say(f"{plugin}: {name} {mib:.1f} MiB, not judged here")
        else:
            claims.at_most(f"{plugin}: growth of the {name}, MiB", mib, GROWTH_MIB_MAX)
    _prove.say(f"{plugin}: {app.taken} of {WARM + BYTES // MESSAGE} messages are with the application")
    claims.holds(f"{plugin}: the same plugin served all the time", sidecar.plugin_pid(plugin) == pids["plugin"])
    app.release.set()
    remora.end_all()
    return max(grown.values())


def sqlite():
    folder = remora.Folder()
    return run("sqlite", remora.component("bus", "pubsub.sqlite", {
        "connectionString": str(folder / "bus.db"), "processingTimeout": "600s"}))


def redis():
    server = remora.Redis()
    return run("redis", remora.component("bus", "pubsub.redis", {
        "redisHost": f"127.0.0.1:{server.port}", "processingTimeout": "600s"}))


def kafka():
    server = kafka_node.Kafka()
    return run("kafka", remora.component("bus", "pubsub.kafka", {
        "brokers": server.address(), "authType": "none", "initialOffset": "oldest"}))


def mqtt():
    return run("mqtt", remora.component("bus", "pubsub.mqtt3", {"url": mosquitto.Mosquitto(saves=False).url}))


results = [sqlite(), redis(), kafka(), mqtt()]
claims.end(f"{BYTES >> 20} MiB waiting in each broker: kernel and plugin grew by at most {max(results):.2f} MiB")
