# SPDX-License-Identifier: Apache-2.0
"""Topics with the gRPC extension of the official Python SDK: subscribes on APP_PORT, publishes through the sidecar, and
ends with 0 when everything came where it was meant to. Its argument is the broker component."""

import collections
import json
import os
import sys
import threading
import time

from dapr.clients import DaprClient
from dapr.clients.grpc._request import BulkPublishEntry
from dapr.clients.grpc._response import TopicEventResponse
from dapr.ext.grpc import App, Rule, SubscriptionMessage

BUS = sys.argv[1]
MANY = 100
app = App()
got = collections.defaultdict(list)


PING = "com.test.ping"
answering = set()


def keep(name, event):
    """What is published before a topic is subscribed to is for nobody, so each is asked until it answers."""
    if event.type() == PING:
        answering.add(name)
    else:
        got[name].append(event)


def begin(d):
    for topic in ("orders", "ruled", "risky", "dead", "many"):
        while topic not in answering:
            publish(d, topic, {"do": "success"}, publish_metadata={"cloudevent.type": PING})
            time.sleep(0.05)


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


@app.subscribe(BUS, "orders")
def on_order(event: SubscriptionMessage):
    keep("orders", event)


@app.subscribe(BUS, "ruled", rule=Rule("true", 2))
def on_rest(event: SubscriptionMessage):
    keep("ruled", event)


@app.subscribe(BUS, "ruled", rule=Rule('event.type == "urgent"', 1))
def on_urgent(event: SubscriptionMessage):
    keep("urgent", event)


@app.subscribe(BUS, "risky", dead_letter_topic="dead")
def on_risky(event: SubscriptionMessage):
    keep("risky", event)
    if event.data()["do"] == "raise":
        raise ValueError("this one is not handled")
    return TopicEventResponse(event.data()["do"])


@app.subscribe(BUS, "dead")
def on_dead(event: SubscriptionMessage):
    keep("dead", event)


@app.subscribe(BUS, "many")
def on_many(event: SubscriptionMessage):
    keep("many", event)


def arrives(what, count):
    end = time.monotonic() + 60
    while len(got[what]) < count:
        assert time.monotonic() < end, f"{len(got[what])} of {count} events of {what}"
        time.sleep(0.01)
    return got[what]


def publish(d, topic, data, **named):
    d.publish_event(BUS, topic, json.dumps(data), data_content_type="application/json", **named)


def main():
    with DaprClient() as d:
        begin(d)
        publish(d, "orders", {"item": "réef ✓"})
        event = arrives("orders", 1)[0]
        equal((event.data(), event.topic(), event.pubsub_name(), event.source(), event.type(), event.spec_version()),
              ({"item": "réef ✓"}, "orders", BUS, "reef", "com.dapr.event.sent", "1.0"))
        d.publish_event(BUS, "orders", "plain", data_content_type="text/plain")
        equal(arrives("orders", 2)[1].data(), "plain")
        d.publish_event(BUS, "orders", b"\x00\xff\xfe", data_content_type="application/octet-stream")
        equal(arrives("orders", 3)[2].raw_data(), b"\x00\xff\xfe")
        publish(d, "ruled", 6)
        equal(arrives("ruled", 1)[0].data(), 6)
        publish(d, "ruled", 7, publish_metadata={"cloudevent.type": "urgent", "cloudevent.id": "own-id"})
        event = arrives("urgent", 1)[0]
        equal((event.data(), event.id(), event.type()), (7, "own-id", "urgent"))
        for do in ("success", "drop", "retry", "raise"):
            publish(d, "risky", {"do": do})
        dead = arrives("dead", 3)
        equal(sorted(event.data()["do"] for event in dead), ["drop", "raise", "retry"])
        arrives("risky", 4)
        entries = [json.dumps({"n": n}) for n in range(MANY - 1)]
        last = BulkPublishEntry(event=json.dumps({"n": MANY - 1}), content_type="application/json", entry_id="last",
                                metadata={"cloudevent.type": "last"})
        answer = d.publish_events(BUS, "many", [*entries, last], data_content_type="application/json")
        equal(list(answer.failed_entries), [])
        many = arrives("many", MANY)
        equal(sorted(event.data()["n"] for event in many), list(range(MANY)))
        equal(next(event.type() for event in many if event.data()["n"] == MANY - 1), "last")
        for broker, topic, words in ((BUS, "", "topic is empty"), ("ghost", "orders", "pubsub ghost is not found")):
            try:
                d.publish_event(broker, topic, b"1")
            except Exception as error:
                assert words in str(error), error
            else:
                raise AssertionError(f"published to {broker} {topic}")
    print("all is well", flush=True)
    os._exit(0)


# Registered before the sidecar asks; the client waits for the sidecar, which waits for the application.
threading.Thread(target=lambda: app.run(int(os.environ["APP_PORT"]), "127.0.0.1"), daemon=True).start()
main()
