# SPDX-License-Identifier: Apache-2.0
# in check: no
# timeout: 600
"""Experiment binding-loss: events of input bindings whose sources can give them again (RabbitMQ, Kafka, MQTT) while the
kernel, the plugin, the application and the source's server are killed with SIGKILL, one of them at a time, in random order
(mosquitto with SIGTERM: it writes down what it has acknowledged a moment later, so that a killed one forgets).

An event counts once the binding answered its `create` 204; those that it did not are repeated. Each of them must be written
down by the application, which writes before it answers, at least once; how many came more often is told. BROKER=name runs
one row."""
import os

import _prove
import kafka_node
import mosquitto
import rabbitmq as rabbitmq_server
import remora
from _kills import Bed
from _prove import by_length

SIZE = MESSAGES, KILLS = by_length((300, 4), (2000, 10), (100_000, 100))  # of each source
claims = _prove.Claims()


def bell(plugin, server, type_, **metadata):
    return Bed(plugin, remora.component("bell", type_, metadata), server, binding=True, size=SIZE)


def rabbitmq():
    server = rabbitmq_server.RabbitMQ()
    return bell("rabbitmq", server, "bindings.rabbitmq", host=server.url, queueName="orders", durable="true",
                reconnectWaitInSeconds="1")


def kafka():
    server = kafka_node.Kafka()
    return bell("kafka", server, "bindings.kafka", brokers=server.address(), authType="none", topics="orders",
                publishTopic="orders", consumerGroup="shop", initialOffset="oldest", sessionTimeout="3s",
                heartbeatInterval="500ms")


def mqtt():
    server = mosquitto.Mosquitto()
    bed = bell("mqtt", server, "bindings.mqtt3", url=server.url, topic="orders", consumerID="shop")
    # What is published before there is a session is nobody's.
    remora.eventually(lambda: "MQTT is subscribed to topic orders" in bed.sidecar.log(), "the topic is subscribed", 60)
    return bed


ROWS = (rabbitmq, kafka, mqtt)
wanted = os.environ.get("BROKER")
results = [bed().run(claims) for bed in ROWS if wanted in (None, bed.__name__)]
claims.end(f"{len(results) * MESSAGES} events, {len(results) * KILLS} kills: {sum(lost for lost, _ in results)} lost, "
           f"{sum(more for _, more in results)} delivered more than once")
