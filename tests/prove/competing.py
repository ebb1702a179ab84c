# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment competing: three instances of one application share a topic, each message goes to one of them; another
application gets all of it too. Then one instance takes one at a time, and gets everything in the order of publishing where
the broker promises that. A row of BROKERS is a broker; BROKER=name picks one."""
import _prove

import dataclasses
import json
import os
import threading

import remora
from _prove import by_length
from inbox import Inbox, subscription

MESSAGES = by_length(300, 3000, 20000)
IN_ORDER = by_length(100, 1000, 5000)
INSTANCES = 3
PUBLISHERS = 4
PATIENCE_S = 60 * remora.SLOW
ONCE = {"processingTimeout": "1h"}  # however slow somebody is, nobody else is given what he has
# In the short form only those that need no server of their own, or a small one.
SHORT_ROWS = ("in-memory", "sqlite", "redis")
claims = _prove.Claims()


@dataclasses.dataclass
class Broker:
    """`metadata(where, instance)` configures the component of an instance, `where` is what `start()` has given."""

    name: str
    type: str
    start: object
    metadata: object
    in_order: dict  # more metadata for one at a time
    one_at_a_time: bool = False  # the application has to take one at a time besides
    is_shared: bool = True  # between sidecars
    topic: object = lambda app_id: "orders"  # what an application subscribes to

    def component(self, where, instance, **more):
        return remora.component("bus", self.type, {**self.metadata(where, instance), **more})


def rabbitmq():
    import rabbitmq as lib

    return lib.RabbitMQ()


def kafka():
    import kafka_node

    return kafka_node.Kafka(**{"num.partitions": INSTANCES})


def mosquitto():
    import mosquitto as lib

    return lib.Mosquitto()


def share(app_id):
    return "orders" if app_id == "other" else f"$share/{app_id}/orders"


BROKERS = [
    Broker("in-memory", "pubsub.in-memory", lambda: None, lambda where, instance: {}, {}, one_at_a_time=True, is_shared=False),
    Broker("sqlite", "pubsub.sqlite", lambda: remora.Folder() / "bus.db", lambda where, instance: {"connectionString": where, **ONCE},
           {}, one_at_a_time=True),
    Broker("redis", "pubsub.redis", remora.Redis, lambda where, instance: {"redisHost": f"127.0.0.1:{where.port}", **ONCE},
           {"concurrency": "1"}),
    Broker("rabbitmq", "pubsub.rabbitmq", rabbitmq, lambda where, instance: {"connectionString": where.url},
           {"concurrency": "single"}),
    Broker("kafka", "pubsub.kafka", kafka, lambda where, instance: {
        "brokers": where.address(), "authType": "none", "initialOffset": "oldest", "sessionTimeout": "6s",
        "heartbeatInterval": "500ms"}, {}),
    Broker("mqtt3", "pubsub.mqtt3", mosquitto, lambda where, instance: {"url": where.url, "qos": "1", "consumerID": instance},
           {}, one_at_a_time=True, topic=share),
]  # fmt: skip


class Instance:
    """An application with its sidecar."""

    def __init__(self, broker, where, app_id, number, flags=(), **more):
        self.inbox = Inbox()
        topic = broker.topic(app_id)
        self.sidecar = remora.Sidecar(broker.component(where, f"{app_id}{number}", **more), subscription(topic, route="orders"),
                                      app_id=app_id, flags=["--app-port", str(self.inbox.port), *flags])  # fmt: skip

    def got(self):
        return [data for data in self.inbox.taken() if isinstance(data, int)]

    def pings(self):
        return len(self.inbox.taken()) - len(self.got())


def publish(connection, data, key=None):
    query = f"?metadata.partitionKey={key}" if key is not None else ""
    body = json.dumps(data).encode()
    connection.send(remora.request_bytes("POST", "/v1.0/publish/bus/orders" + query, [("Content-Type", "application/json")], body))
    answer = connection.reply("POST")
    remora.need(answer.status == 204, f"published: {answer}")


def load(sidecar):
    def work(first):
        connection = sidecar.connect()
        for n in range(first, MESSAGES, PUBLISHERS):
            publish(connection, n, key=n)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def everyone_is_there(publisher, instances):
    """What is published before somebody has subscribed may be for nobody, so all are asked until they answer."""
    connection, count = publisher.connect(), [0]

    def asked():
        count[0] += 1
        publish(connection, "ping", key=f"ping{count[0]}")
        return all(one.pings() for one in instances)

    remora.eventually(asked, "every instance is there", PATIENCE_S)


def arrives(condition):
    try:
        remora.eventually(condition, "all is delivered", PATIENCE_S)
    except AssertionError:
        pass


def competing(broker):
    where = broker.start()
    shop = [Instance(broker, where, "shop", n) for n in range(INSTANCES)]
    other = Instance(broker, where, "other", 0)
    till = remora.Sidecar(broker.component(where, "till"), app_id="till")
    everyone_is_there(till, [*shop, other])
    load(till)
    wanted = set(range(MESSAGES))
    arrives(lambda: set(other.got()) == wanted and set().union(*(one.got() for one in shop)) == wanted)
    shares = [len(set(one.got())) for one in shop]
    name = broker.name
    claims.holds(f"{name}: {INSTANCES} instances have all of {MESSAGES} together", set().union(*(one.got() for one in shop)) == wanted)
    claims.at_most(f"{name}: messages that two of them had, or one twice", sum(len(one.got()) for one in shop) - MESSAGES, 0, digits=0)
    if not _prove.SHORT:  # a few messages may all be gone before the last of them has looked
        claims.at_least(f"{name}: the least that one of them had, of {MESSAGES}", min(shares), MESSAGES / 50, digits=0)
    claims.holds(f"{name}: another application has all of them too", sorted(other.got()) == sorted(wanted),
                 f"{len(other.got())} of {MESSAGES}")  # fmt: skip
    remora.end_all()
    return shares


def in_order(broker):
    where = broker.start()
    flags = ["--app-max-concurrency", "1"] if broker.one_at_a_time else []
    one = Instance(broker, where, "shop", 0, flags=flags, **broker.in_order)
    everyone_is_there(one.sidecar, [one])
    connection = one.sidecar.connect()
    for n in range(IN_ORDER):
        publish(connection, n, key="one")
    arrives(lambda: len(one.got()) >= IN_ORDER)
    got = one.got()
    early = sum(a > b for a, b in zip(got, got[1:]))
    claims.holds(f"{broker.name}: {IN_ORDER} messages arrive in the order of publishing", got == list(range(IN_ORDER)),
                 f"{len(got)} arrived, {early} before their turn")  # fmt: skip
    remora.end_all()


def rows():
    wanted = os.environ.get("BROKER")
    return [one for one in BROKERS if wanted == one.name or wanted is None and (not _prove.SHORT or one.name in SHORT_ROWS)]


figures = []
for row in rows():
    if row.is_shared:
        figures.append(f"{row.name} {' + '.join(map(str, competing(row)))}")
    in_order(row)
claims.end(f"three instances share {MESSAGES}: {', '.join(figures)}; in order: {', '.join(row.name for row in rows())}")
