# SPDX-License-Identifier: Apache-2.0
"""Topics over streams with the clients of the official Python SDK, which needs no port of an application: the iterator, the
handler, and the asynchronous client. Ends with 0 when everything came where it was meant to. Its argument is the broker
component."""

import asyncio
import json
import sys
import threading

from dapr.aio.clients import DaprClient as AioClient
from dapr.clients import DaprClient
from dapr.clients.grpc._response import TopicEventResponse

BUS = sys.argv[1]
MANY = 100
PATIENCE_S = 60


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


def publish(d, topic, data):
    d.publish_event(BUS, topic, json.dumps(data), data_content_type="application/json")


def iterated(d):
    """Taken one after another, each answered by itself; what is dropped or not handled goes to the dead letters."""
    subscription = d.subscribe(BUS, "steps", dead_letter_topic="left")
    letters, taken = [], []
    all_there = threading.Event()

    def on_letter(message):
        letters.append(message.data())
        if len(letters) == 2:
            all_there.set()
        return TopicEventResponse("success")

    close = d.subscribe_with_handler(BUS, "left", on_letter)
    for n in range(6):
        publish(d, "steps", {"n": n})
    for message in subscription:
        if message is None:
            continue
        taken.append(message.data()["n"])
        if taken[-1] == 2:
            subscription.respond_drop(message)
        elif taken[-1] == 4:
            subscription.respond_retry(message)
        else:
            subscription.respond_success(message)
        equal((message.topic(), message.pubsub_name(), message.source()), ("steps", BUS, "reef"))
        if len(taken) == 6:
            break
    assert all_there.wait(PATIENCE_S), letters
    equal(sorted(taken), list(range(6)))
    equal(sorted(letter["n"] for letter in letters), [2, 4])
    subscription.close()
    close()


def shared(d):
    """Two streams of one topic share its events."""
    got, lock, all_there = {"a": [], "b": []}, threading.Lock(), threading.Event()

    def taker(name):
        def take(message):
            with lock:
                got[name].append(message.data())
                if len(got["a"]) + len(got["b"]) == MANY:
                    all_there.set()
            return TopicEventResponse("success")

        return take

    closes = [d.subscribe_with_handler(BUS, "shared", taker(name)) for name in got]
    for n in range(MANY):
        publish(d, "shared", n)
    assert all_there.wait(PATIENCE_S), got
    equal(sorted(got["a"] + got["b"]), list(range(MANY)))
    for close in closes:
        close()


async def asynchronous():
    async with AioClient() as d:
        subscription = await d.subscribe(BUS, "waves")
        answer = await d.publish_events(BUS, "waves", [json.dumps(n) for n in range(MANY)], data_content_type="application/json")
        equal(list(answer.failed_entries), [])
        taken = []
        async for message in subscription:
            if message is None:
                continue
            taken.append(message.data())
            await subscription.respond_success(message)
            if len(taken) == MANY:
                break
        equal(sorted(taken), list(range(MANY)))
        await subscription.close()


with DaprClient() as d:
    iterated(d)
    shared(d)
asyncio.run(asynchronous())
print("all is well", flush=True)
