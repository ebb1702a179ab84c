# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment swap-broker: the broker's plugin is exchanged under load again and again: no publish fails, no delivery is
lost. Then the sidecar is ended under load: nothing is lost, and nothing becomes a dead letter because of the end."""
import _prove

import collections
import http.client
import json
import threading

import http_app
import mosquitto
import rabbitmq as rabbitmq_server
import remora
from _prove import by_length

SWAPS = by_length(5, 50, 200)
PUBLISHERS = 4
DELIVERED_S = by_length(150, 30, 30)
claims = _prove.Claims()


class Taker:
    """Keeps what it is given, by path."""

    def __init__(self):
        self.got = collections.defaultdict(collections.Counter)
        self.app = http_app.App(self.take)

    def take(self, request, exchange):
        self.got[request.target][json.loads(request.body)["data"]] += 1
        return http_app.answer(200, b"{}")


class Load:
    """Publishers that go on until they are told to stop; what fails is kept."""

    def __init__(self, sidecar, name):
        self.sidecar, self.name = sidecar, name
        self.is_over, self.done, self.failed = threading.Event(), [], []
        self.threads = [threading.Thread(target=self.publish, args=(i,), daemon=True) for i in range(PUBLISHERS)]
        for thread in self.threads:
            thread.start()

    def publish(self, number):
        connection, n = http.client.HTTPConnection(*self.sidecar.address, timeout=30), 0
        while not self.is_over.is_set():
            n += 1
            data = f"{self.name}-{number}-{n}"
            try:
                connection.request("POST", "/v1.0/publish/bus/orders", json.dumps(data), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                if self.is_over.wait(0.01):
                    return
                connection = http.client.HTTPConnection(*self.sidecar.address, timeout=30)
                continue
            if answer.status == 204:
                self.done.append(data)
            else:
                self.failed.append(f"{answer.status} {body[:200]!r}")

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(60)


def document(name, topic, **more):
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": name}, "spec": {
        "pubsubname": "bus", "topic": topic, "routes": {"default": "/" + topic}, **more}})


def missing(load, taker):
    return [data for data in load.done if data not in taker.got["/orders"]]


def run(plugin, component, opened=""):
    """`opened` is in the log once the broker keeps messages for the topic."""
    taker = Taker()
    resources = [component, document("orders", "orders", deadLetterTopic="dead"), document("dead", "dead")]
    flags = ["--app-port", str(taker.app.port)]
    sidecar = remora.Sidecar(*resources, flags=flags)
    remora.eventually(lambda: opened in sidecar.log(), "the topic is subscribed", 30)
    load = Load(sidecar, "swap")
    first = sidecar.plugin_pid(plugin)
    pids = {first}
    for _ in range(SWAPS):
        before, done = sidecar.plugin_pid(plugin), len(load.done)
        process = remora.subprocess.run([remora.os.path.join(remora.BUILD, "bin", "remora"), "plugin", "swap", plugin,
                                         "--run-dir", sidecar.folder / "run"], capture_output=True, text=True, timeout=60)
        remora.need(process.returncode == 0, process.stdout + process.stderr)
        remora.eventually(lambda: sidecar.plugin_pid(plugin) != before, "another process serves", 30)
        pids.add(sidecar.plugin_pid(plugin))
        remora.eventually(lambda: len(load.done) > done + PUBLISHERS, "publishing goes on", 30)
    load.stop()
    claims.at_least(f"{plugin}: processes that served", len(pids), SWAPS + 1, digits=0)
    claims.at_most(f"{plugin}: failed publishes of {len(load.done)}", len(load.failed), 0, digits=0)
    if load.failed:
        _prove.say("; ".join(load.failed[:3]))
    try:
        remora.eventually(lambda: not missing(load, taker), "all is delivered", DELIVERED_S)
    except AssertionError:
        pass
    claims.at_most(f"{plugin}: lost deliveries", len(missing(load, taker)), 0, digits=0)
    # The end of the sidecar under load, and its next start, which finds what is left.
    last = Load(sidecar, "end")
    remora.eventually(lambda: len(last.done) > 100, "the load is there")
    _prove.stop(sidecar)
    last.stop()
    remora.Sidecar(*resources, flags=flags, folder=sidecar.folder)
    try:
        remora.eventually(lambda: not missing(last, taker), "all is delivered", DELIVERED_S)
    except AssertionError:
        pass
    claims.at_most(f"{plugin}: lost by an end under load, of {len(last.done)}", len(missing(last, taker)), 0, digits=0)
    claims.at_most(f"{plugin}: dead letters", len(taker.got["/dead"]), 0, digits=0)
    remora.end_all()
    return len(load.done) + len(last.done)


def sqlite():
    folder = remora.Folder()
    return run("sqlite", remora.component("bus", "pubsub.sqlite", {"connectionString": str(folder / "bus.db")}))


def redis():
    server = remora.Redis()
    return run("redis", remora.component("bus", "pubsub.redis", {
        "redisHost": f"127.0.0.1:{server.port}", "processingTimeout": "3s", "redeliverInterval": "1s"}))


def mqtt():
    return run("mqtt", remora.component("bus", "pubsub.mqtt3", {"url": mosquitto.Mosquitto().url}),
               "MQTT is subscribed to topic orders")


def rabbitmq():
    server = rabbitmq_server.RabbitMQ()
    return run("rabbitmq", remora.component("bus", "pubsub.rabbitmq", {
        "connectionString": server.url, "durable": "true", "deletedWhenUnused": "false", "deliveryMode": "2",
        "requeueInFailure": "true"}), "subscribe to topic/queue 'orders/")


totals = [broker() for broker in (sqlite, redis, mqtt, rabbitmq)]
claims.end(f"{len(totals) * SWAPS} exchanges and {len(totals)} ends under load, {sum(totals)} messages: none failed, lost or dead")
