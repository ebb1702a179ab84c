# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment at-least-once: messages to durable brokers while the kernel, the broker's plugin, the broker's server and the
subscriber (an application, or a client with open streams) are killed with SIGKILL, one of them at a time, in random order
(mosquitto with SIGTERM: it writes down what it has acknowledged a moment later, so that a killed one forgets).

A message counts once its publish was answered 204; the publisher repeats those that were not. Each of them must be written
down by the subscriber, a process of its own that writes before it answers, at least once; how many came more often is told.
BROKER=name runs one row."""
import os

import _prove
import kafka_node
import mosquitto
import rabbitmq as rabbitmq_server
import remora
import sdk_programs
from _kills import KILLS, MESSAGES, Bed

claims = _prove.Claims()


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
results = [bed().run(claims) for bed in ROWS if wanted in (None, bed.__name__)]
claims.end(f"{len(results) * MESSAGES} messages, {len(results) * KILLS} kills: {sum(lost for lost, _ in results)} lost, "
           f"{sum(more for _, more in results)} delivered more than once")
