# SPDX-License-Identifier: Apache-2.0
"""Topics with FastAPI and the extension of the official Python SDK: subscribes on APP_PORT, publishes through the sidecar
with the asynchronous client, and ends with 0 when everything came where it was meant to. Its argument is the broker
component."""

import asyncio
import collections
import json
import os
import sys
import threading
import traceback

import uvicorn
from dapr.aio.clients import DaprClient
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI, HTTPException

BUS = sys.argv[1]
MANY = 100
RAW = "eyJhIjogMX0="
app = FastAPI()
dapr_app = DaprApp(app)
got = collections.defaultdict(list)


PING = {"do": "SUCCESS", "ping": True}
answering = set()


def keep(name, event):
    """What is published before a topic is subscribed to is for nobody, so each is asked until it answers."""
    if event.get("data") == PING or event.get("data_base64", RAW) != RAW:
        answering.add(name)
    else:
        got[name].append(event)


async def begin(d):
    for topic in ("orders", "raw", "risky", "dead"):
        while topic not in answering:
            await publish(d, topic, PING)
            await asyncio.sleep(0.05)


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


@dapr_app.subscribe(pubsub=BUS, topic="orders")
def on_order(event=Body()):
    keep("orders", event)


@dapr_app.subscribe(pubsub=BUS, topic="raw", route="/raw/in", metadata={"rawPayload": "true"})
def on_raw(event=Body()):
    keep("raw", event)


@dapr_app.subscribe(pubsub=BUS, topic="risky", dead_letter_topic="dead")
def on_risky(event=Body()):
    keep("risky", event)
    if event["data"]["do"] == "500":
        raise HTTPException(status_code=500, detail="this one is not handled")
    return {"status": event["data"]["do"]}


@dapr_app.subscribe(pubsub=BUS, topic="dead")
def on_dead(event=Body()):
    keep("dead", event)


async def arrives(what, count):
    for _ in range(6000):
        if len(got[what]) >= count:
            return got[what]
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(got[what])} of {count} events of {what}")


async def publish(d, topic, data, **named):
    await d.publish_event(BUS, topic, json.dumps(data), data_content_type="application/json", **named)


async def client():
    async with DaprClient() as d:
        await begin(d)
        await publish(d, "orders", {"item": "réef ✓", "n": 1.50})
        event = (await arrives("orders", 1))[0]
        equal((event["data"], event["topic"], event["pubsubname"], event["source"], event["type"], event["specversion"]),
              ({"item": "réef ✓", "n": 1.5}, "orders", BUS, "reef", "com.dapr.event.sent", "1.0"))
        await publish(d, "orders", "own", publish_metadata={"cloudevent.subject": "this", "ttlInSeconds": "60"})
        event = (await arrives("orders", 2))[1]
        equal((event["data"], event["subject"]), ("own", "this"))
        await publish(d, "raw", {"a": 1}, publish_metadata={"rawPayload": "true"})
        equal((await arrives("raw", 1))[0]["data_base64"], RAW)
        for do in ("SUCCESS", "DROP", "RETRY", "500"):
            await publish(d, "risky", {"do": do})
        dead = await arrives("dead", 3)
        equal(sorted(event["data"]["do"] for event in dead), ["500", "DROP", "RETRY"])
        await asyncio.gather(*(publish(d, "orders", {"many": n}) for n in range(MANY)))
        many = (await arrives("orders", MANY + 2))[2:]
        equal(sorted(event["data"]["many"] for event in many), list(range(MANY)))


def end(work):
    """The server has no word for it that is quiet."""
    try:
        asyncio.run(work)
        print("all is well", flush=True)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


# The client waits for the sidecar, which waits for the application.
threading.Thread(target=end, args=(client(),), daemon=True).start()
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
