# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment at-least-once: messages to durable brokers while the kernel, the broker's plugin, the broker's server and the
subscriber (an application, or a client with open streams) are killed with SIGKILL, one of them at a time, in random order
(mosquitto with SIGTERM: it writes down what it has acknowledged a moment later, so that a killed one forgets).

A message counts once its publish was answered 204; the publisher repeats those that were not. Each of them must be written
down by the subscriber, a process of its own that writes before it answers, at least once; how many came more often is told.
BROKER=name runs one row."""
import collections
import http.client
import json
import os
import threading
import time

import _prove
import kafka_node
import mosquitto
import rabbitmq as rabbitmq_server
import remora
import sdk_programs
from _prove import by_length

MESSAGES = by_length(1500, 50_000, 200_000)  # of each broker
PUBLISHERS = 4
KILLS = by_length(6, 40, 160)
SETTLE_S = 60 * _prove.PATIENCE
claims = _prove.Claims()
rng = _prove.rng


class Bed:
    """One durable broker, a sidecar, its application; each can be killed and comes back as it was."""

    def __init__(self, plugin, component, server=None, streams=False):
        self.plugin, self.server, self.streams = plugin, server, streams
        self.name = f"{plugin}, streams" if streams else plugin
        self.folder = remora.Folder()
        self.written = self.folder / "written"
        self.app_port, self.grpc_port = remora.free_port(), remora.free_port()
        self.app = self.start_app()
        route = json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": "s"},
                            "spec": {"pubsubname": "bus", "topic": "orders", "routes": {"default": "/orders"}}})
        flags = ["--dapr-grpc-port", str(self.grpc_port)] + ([] if streams else ["--app-port", str(self.app_port)])
        self.sidecar = remora.Sidecar(component, *([] if streams else [route]), folder=self.folder, flags=flags)
        self.kills = collections.Counter()
        self.is_over = False

    def start_app(self):
        program, port, python = "_subscriber.py", self.app_port, remora.sys.executable
        if self.streams:
            program, port, python = "_stream_subscriber.py", self.grpc_port, sdk_programs.PYTHON
        env = dict(remora.os.environ, PYTHONPATH=remora.os.path.join(_prove.TOP, "tests", "lib"))
        return remora.Process([python, remora.os.path.join(_prove.TOP, "tests", "prove", program), str(port), self.written],
                              self.folder, env=env)

    def kill(self):
        """One of them, and what of it does not come back by itself is started again."""
        what = rng.choice(["kernel", "plugin", "subscriber"] + (["server"] if self.server else []))
        self.kills[what] += 1
        if what == "kernel":
            self.sidecar.kill()
            command = self.sidecar.popen.args
            remora.Process.__init__(self.sidecar, command, self.folder, env={"PATH": remora.os.environ["PATH"]})
            self.sidecar.wait_ready(60)
        elif what == "plugin":
            remora.eventually(self.kill_plugin, f"{self.plugin} is killed")
        elif what == "subscriber":
            self.app.kill()
            self.app = self.start_app()
        else:
            self.server.stop()
            self.server.start()

    def kill_plugin(self):
        """Not one that has just gone, and whose end the kernel has not seen yet."""
        try:
            remora.os.kill(self.sidecar.plugin_pid(self.plugin), remora.signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def publish(self, first, acknowledged):
        connection = None
        for n in range(first, MESSAGES, PUBLISHERS):
            while True:
                try:
                    connection = connection or http.client.HTTPConnection(*self.sidecar.address, timeout=5)
                    connection.request("POST", "/v1.0/publish/bus/orders", str(n), {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 204:
                        break
                except (OSError, http.client.HTTPException):
                    connection = None
                time.sleep(0.02)
            acknowledged.append(n)

    def counts(self):
        try:
            with open(self.written) as f:
                return collections.Counter(int(line.split()[1]) for line in f if line.endswith("\n"))
        except FileNotFoundError:
            return collections.Counter()

    def run(self):
        acknowledged = []
        threads = [threading.Thread(target=self.publish, args=(i, acknowledged), daemon=True) for i in range(PUBLISHERS)]
        for thread in threads:
            thread.start()
        for kill in range(KILLS):  # spread over the messages, the last ones while what is left is delivered
            remora.eventually(lambda: len(acknowledged) >= MESSAGES * min(kill, KILLS - 2) // (KILLS - 1) or
                              not any(thread.is_alive() for thread in threads), "more messages are published", 300)
            self.kill()
        for thread in threads:
            thread.join(300)
        claims.holds(f"{self.name}: everything is published in the end", len(acknowledged) == MESSAGES)
        expected = set(acknowledged)
        try:
            remora.eventually(lambda: expected <= self.counts().keys(), "all that was acknowledged is delivered", SETTLE_S)
        except AssertionError:
            pass  # told below
        counts = self.counts()
        lost = sorted(expected - counts.keys())
        more = sum(counts.values()) - len(counts)
        kills = ", ".join(f"{what} {count}" for what, count in sorted(self.kills.items()))
        claims.at_most(f"{self.name}: lost of {len(expected)} messages, kills of {kills}", len(lost), 0, digits=0)
        if lost:
            _prove.say(f"lost: {lost[:10]}")
            _prove.say(self.sidecar.log()[-3000:])
        _prove.say(f"{self.name}: {more} came more than once")
        remora.end_all()
        return len(lost), more


def sqlite():
    folder = remora.Folder()
    return Bed("sqlite", remora.component("bus", "pubsub.sqlite", {
        "connectionString": str(folder / "bus.db"), "processingTimeout": "2s", "redeliverInterval": "200ms",
        "consumeFromStart": "true"}))


def streams():
    """Clients of SubscribeTopicEventsAlpha1, which take turns, instead of an application with a port."""
    remora.need(remora.os.path.exists(sdk_programs.PYTHON), sdk_programs.MADE_BY)
    folder = remora.Folder()
    return Bed("sqlite", remora.component("bus", "pubsub.sqlite", {
        "connectionString": str(folder / "bus.db"), "processingTimeout": "2s", "redeliverInterval": "200ms",
        "consumeFromStart": "true", "retention": "1h"}), streams=True)


def redis():
    server = remora.Redis()
    return Bed("redis", remora.component("bus", "pubsub.redis", {
        "redisHost": f"127.0.0.1:{server.port}", "processingTimeout": "2s", "redeliverInterval": "500ms"}), server)


def mqtt():
    server = mosquitto.Mosquitto()
    bed = Bed("mqtt", remora.component("bus", "pubsub.mqtt3", {"url": server.url}), server)
    # What is published before there is a session is nobody's.
    remora.eventually(lambda: "MQTT is subscribed to topic orders" in bed.sidecar.log(), "the topic is subscribed", 60)
    return bed


def kafka():
    server = kafka_node.Kafka()
    return Bed("kafka", remora.component("bus", "pubsub.kafka", {
        "brokers": server.address(), "authType": "none", "initialOffset": "oldest", "sessionTimeout": "3s",
        "heartbeatInterval": "500ms"}), server)


def rabbitmq():
    server = rabbitmq_server.RabbitMQ()
    bed = Bed("rabbitmq", remora.component("bus", "pubsub.rabbitmq", {
        "connectionString": server.url, "durable": "true", "deletedWhenUnused": "false", "deliveryMode": "2",
        "requeueInFailure": "true", "reconnectWait": "500ms"}), server)
    # What is published before there is a queue is nobody's.
    remora.eventually(lambda: server.consumers("shop-orders") > 0, "the topic is consumed", 60)
    return bed


ROWS = (sqlite, streams, redis, mqtt, rabbitmq, kafka)
wanted = os.environ.get("BROKER")
results = [bed().run() for bed in ROWS if wanted in (None, bed.__name__)]
claims.end(f"{len(results) * MESSAGES} messages, {len(results) * KILLS} kills: {sum(lost for lost, _ in results)} lost, "
           f"{sum(more for _, more in results)} delivered more than once")
