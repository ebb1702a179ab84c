# SPDX-License-Identifier: Apache-2.0
"""Subscriptions over an open gRPC stream: by the official SDK, and by clients that break the rules. timeout: 240"""

import sdk  # noqa: F401  isort: skip

import json
import os
import queue
import signal
import subprocess
import sys
import threading

import grpc
from dapr.clients import DaprClient
from dapr.clients.grpc._response import TopicEventResponse
from dapr.conf import settings
from dapr.proto import api_v1, appcallback_v1
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from http_app import App, answer
from remora import DEADLINE_S, Folder, Sidecar, component, end_sidecars, equal, eventually, main, need, test

JSON = [("Content-Type", "application/json")]
BUS = component("bus", "pubsub.in-memory")
SUCCESS, RETRY, DROP = (appcallback_v1.TopicEventResponse.SUCCESS, appcallback_v1.TopicEventResponse.RETRY,
                        appcallback_v1.TopicEventResponse.DROP)


def initial(topic="orders", pubsub="bus", dead=None, metadata=None):
    first = api_v1.SubscribeTopicEventsRequestInitialAlpha1(pubsub_name=pubsub, topic=topic, metadata=metadata or {})
    if dead is not None:
        first.dead_letter_topic = dead
    return api_v1.SubscribeTopicEventsRequestAlpha1(initial_request=first)


def processed(event_id, status=SUCCESS):
    return api_v1.SubscribeTopicEventsRequestAlpha1(event_processed=api_v1.SubscribeTopicEventsRequestProcessedAlpha1(
        id=event_id, status=appcallback_v1.TopicEventResponse(status=status)))


class Stream:
    """One stream of raw messages; `first` None: nothing is sent by itself."""

    def __init__(self, sidecar, first=None, confirm=True, metadata=(), timeout=None):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}",
                                             options=[("grpc.use_local_subchannel_pool", 1)])
        self.out = queue.Queue()
        call = self.channel.stream_stream(
            "/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1",
            request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            response_deserializer=api_v1.SubscribeTopicEventsResponseAlpha1.FromString)
        self.call = call(iter(self.out.get, None), metadata=list(metadata), timeout=timeout)
        if first is not None:
            self.send(first)
            if confirm:
                equal(next(self.call).WhichOneof("subscribe_topic_events_response_type"), "initial_response", "first")

    def send(self, message):
        self.out.put(message)

    def next(self):
        """The next event."""
        timer = threading.Timer(DEADLINE_S, self.call.cancel)
        timer.start()
        try:
            return next(self.call).event_message
        finally:
            timer.cancel()

    def answer(self, event, status=SUCCESS):
        self.send(processed(event.id, status))

    def error(self):
        """How the stream ends."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError:
            pass
        return self.call.code(), self.call.details()

    def half_close(self):
        self.out.put(None)

    def leave(self):
        self.out.put(None)
        self.call.cancel()
        self.channel.close()


def publish(sidecar, data, topic="orders", query=""):
    answer = sidecar.call("POST", f"/v1.0/publish/bus/{topic}{query}", json.dumps(data).encode(), JSON)
    equal(answer.status, 204, "publish")


def subscriptions(sidecar):
    return sidecar.call("GET", "/v1.0/metadata").json.get("subscriptions") or []


def await_topics(sidecar, count):
    eventually(lambda: len(subscriptions(sidecar)) == count, f"{count} subscriptions")


def data_of(event):
    return json.loads(event.data)


def client(sidecar):
    settings.DAPR_HTTP_PORT = sidecar.port  # the SDK asks there whether it is ready
    return DaprClient(f"127.0.0.1:{sidecar.grpc_port}", http_timeout_seconds=DEADLINE_S)


# --- the SDK ----------------------------------------------------------------------------------------------------------


@test("an application without a port is given events over a stream and answers each", "PUB-62 PUB-63 PUB-66 PUB-69")
def sdk_pull():
    sidecar = Sidecar(BUS)
    with client(sidecar) as dapr:
        stream = dapr.subscribe("bus", "orders")
        for n in range(5):
            publish(sidecar, {"n": n})
        for n in range(5):
            message = stream.next_message()
            equal(message.data(), {"n": n}, "in order")
            equal((message.pubsub_name(), message.topic(), message.data_content_type()),
                  ("bus", "orders", "application/json"), "where it is from")
            stream.respond_success(message)
        listed = subscriptions(sidecar)
        equal([(s["pubsubname"], s["topic"], s["type"], s["rules"]) for s in listed],
              [("bus", "orders", "STREAMING", [{"path": "/"}])], "metadata")
        stream.close()
        await_topics(sidecar, 0)


@test("a handler of its own is called for each event until it is closed", "PUB-63 PUB-68 PUB-70 PUB-71")
def sdk_handler():
    sidecar = Sidecar(BUS)
    got = []

    def handle(message):
        got.append(message.data()["n"])
        return TopicEventResponse("success")

    with client(sidecar) as dapr:
        close = dapr.subscribe_with_handler("bus", "orders", handle)
        for n in range(20):
            publish(sidecar, {"n": n})
        eventually(lambda: got == list(range(20)), "twenty events in order")
        close()
        await_topics(sidecar, 0)
        publish(sidecar, {"n": 99})
        close = dapr.subscribe_with_handler("bus", "orders", handle)
        publish(sidecar, {"n": 100})
        eventually(lambda: got[20:] == [100], "what comes after the second subscription")
        close()


@test("what is dropped or refused goes to the dead letter topic of the stream", "PUB-66 PUB-67 PUB-69 PUB-81")
def sdk_dead_letters():
    sidecar = Sidecar(BUS)
    with client(sidecar) as dapr:
        dead = dapr.subscribe("bus", "dead")
        stream = dapr.subscribe("bus", "orders", dead_letter_topic="dead")
        for respond, n in ((stream.respond_drop, 1), (stream.respond_retry, 2), (stream.respond_success, 3),
                           (stream.respond_drop, 4)):
            publish(sidecar, {"n": n})
            message = stream.next_message()
            equal(message.data(), {"n": n})
            respond(message)
            if n != 3:
                letter = dead.next_message()
                equal(letter.data(), {"n": n}, "the dead letter")
                dead.respond_success(letter)
        stream.close()
        dead.close()


# --- what it can do ---------------------------------------------------------------------------------------------------


POLICY = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: policies
spec:
  policies:
    retries:
      twice: {policy: constant, duration: 10ms, maxRetries: 2}
    timeouts:
      short: 300ms
  targets:
    components:
      bus:
        inbound:
          retry: twice
"""


@test("RETRY comes again under the inbound policy, then is a dead letter", "PUB-66 PUB-67 PUB-80")
def retries():
    sidecar = Sidecar(BUS, POLICY)
    stream, dead = Stream(sidecar, initial(dead="dead")), Stream(sidecar, initial("dead"))
    publish(sidecar, {"n": 1})
    for _ in range(3):
        event = stream.next()
        equal(data_of(event), {"n": 1})
        stream.answer(event, RETRY)
    equal(data_of(dead.next()), {"n": 1}, "after three tries")
    publish(sidecar, {"n": 2})
    stream.answer(stream.next(), 77)
    event = stream.next()
    equal(data_of(event), {"n": 2}, "an unknown status is a RETRY")
    stream.answer(event)


@test("an event that is not answered in time comes again", "PUB-66")
def timeouts():
    sidecar = Sidecar(BUS, POLICY.replace("retry: twice", "retry: twice\n          timeout: short"))
    stream = Stream(sidecar, initial())
    publish(sidecar, {"n": 1})
    first, second = stream.next(), stream.next()
    equal(first.id, second.id)
    stream.answer(second)
    publish(sidecar, {"n": 2})
    event = stream.next()
    if data_of(event) == {"n": 1}:  # the second answer was late as well: once more
        stream.answer(event)
        event = stream.next()
    equal(data_of(event), {"n": 2}, "the stream goes on")


@test("an event has the attributes of its envelope, and path /", "PUB-62 PUB-65")
def attributes():
    sidecar = Sidecar(BUS)
    stream = Stream(sidecar, initial())
    publish(sidecar, {"n": 1}, query="?metadata.cloudevent.type=my.type&metadata.cloudevent.id=abc")
    event = stream.next()
    equal((event.id, event.type, event.path, event.spec_version, event.topic, event.pubsub_name),
          ("abc", "my.type", "/", "1.0", "orders", "bus"))
    need("traceparent" in event.extensions.fields, "extensions")
    stream.answer(event)
    raw = Stream(sidecar, initial("raw", metadata={"rawPayload": "true"}))
    publish(sidecar, "bytes", "raw", "?metadata.rawPayload=true")
    event = raw.next()
    equal((event.data, event.data_content_type), (b'"bytes"', "application/octet-stream"), "raw")
    raw.answer(event)


@test("streams of several topics at a time, answered in any order", "PUB-64 PUB-66 PUB-71")
def many_topics():
    sidecar = Sidecar(BUS)
    streams = {f"t{n}": Stream(sidecar, initial(f"t{n}")) for n in range(5)}
    await_topics(sidecar, 5)
    for topic in streams:
        for n in range(10):
            publish(sidecar, {"n": n}, topic)
    for topic, stream in streams.items():
        events = [stream.next() for _ in range(10)]
        equal([data_of(e)["n"] for e in events], list(range(10)), "all are sent before one is answered, in order")
        for event in reversed(events):
            stream.answer(event)
        stream.leave()
    await_topics(sidecar, 0)


@test("two streams of one topic share its events, and who is left gets them all", "PUB-64")
def sharing():
    sidecar = Sidecar(BUS)
    one, two = Stream(sidecar, initial()), Stream(sidecar, initial())
    for n in range(10):
        publish(sidecar, {"n": n})
    first, second = [one.next() for _ in range(5)], [two.next() for _ in range(5)]
    equal(sorted(data_of(e)["n"] for e in first + second), list(range(10)), "each once")
    one.leave()  # without an answer: the other gets them, and nothing that comes is lost in between
    again = [two.next() for _ in range(5)]
    equal(sorted(e.id for e in again), sorted(e.id for e in first), "what was unanswered")
    for event in second + again:
        two.answer(event)
    publish(sidecar, {"n": 10})
    equal(data_of(two.next()), {"n": 10})
    two.leave()
    await_topics(sidecar, 0)


@test("what a client leaves unanswered is a dead letter, what it was never sent is none", "PUB-66 PUB-67")
def leaving():
    sidecar = Sidecar(BUS)
    dead = Stream(sidecar, initial("dead"))
    stream = Stream(sidecar, initial(dead="dead"))
    publish(sidecar, {"n": 1})
    equal(data_of(stream.next()), {"n": 1})
    stream.leave()
    event = dead.next()
    equal(data_of(event), {"n": 1}, "the dead letter")
    dead.answer(event)
    await_topics(sidecar, 1)


@test("events that a client was never sent are no dead letters when it leaves", "PUB-66 PUB-67")
def never_sent():
    sidecar = Sidecar(BUS)
    dead = Stream(sidecar, initial("dead"))
    stream = Stream(sidecar, initial(dead="dead"))
    for n in range(200):
        publish(sidecar, {"n": n, "blob": "x" * 8000})  # 256 KiB of them are sent
    event = stream.next()
    stream.leave()
    await_topics(sidecar, 1)
    letters = []
    while not letters or data_of(letters[-1])["n"] != "last":
        if len(letters) == 1:
            publish(sidecar, {"n": "last"}, "dead")
        letters.append(dead.next())
        dead.answer(letters[-1])
    need(event.id in {letter.id for letter in letters}, "what was sent is among them")
    need(2 <= len(letters) <= 50, f"{len(letters)} dead letters")


CLIENT = """
import sys
from dapr.clients import DaprClient
with DaprClient(f"127.0.0.1:{sys.argv[1]}") as dapr:
    stream = dapr.subscribe("bus", "orders", dead_letter_topic="dead")
    print("open", flush=True)
    print(stream.next_message().id(), flush=True)
    sys.stdin.read()
"""


@test("a client that is killed with an event in its hands leaves a dead letter", "PUB-66 PUB-67")
def killed():
    sidecar = Sidecar(BUS)
    dead = Stream(sidecar, initial("dead"))
    env = dict(os.environ, DAPR_HTTP_PORT=str(sidecar.port))
    process = subprocess.Popen([sys.executable, "-c", CLIENT, str(sidecar.grpc_port)], env=env, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        equal(process.stdout.readline(), "open\n")
        publish(sidecar, {"n": 1})
        event_id = process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
    equal(dead.next().id, event_id)
    await_topics(sidecar, 1)


@test("what a stream leaves unanswered in a durable broker is given to the next", "PUB-63 PUB-66")
def durable():
    folder = Folder()
    bus = component("bus", "pubsub.sqlite", {"connectionString": folder / "bus.db", "redeliverInterval": "100ms"})
    sidecar = Sidecar(bus)
    stream = Stream(sidecar, initial())
    for n in range(50):
        publish(sidecar, {"n": n})
    handled = set()
    for _ in range(10):
        event = stream.next()
        if data_of(event)["n"] % 2 == 0:
            stream.answer(event)
            handled.add(data_of(event)["n"])
    stream.leave()
    await_topics(sidecar, 0)
    stream = Stream(sidecar, initial())
    while len(handled) < 50:
        event = stream.next()
        stream.answer(event)
        handled.add(data_of(event)["n"])


DECLARED = """apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata:
  name: orders
spec:
  pubsubname: bus
  topic: orders
  route: /orders
"""


@test("a stream takes over from a document's subscription, and gives back when it closes", "PUB-48 PUB-63")
def takes_over():
    got = []
    app = App(lambda request, exchange: got.append(json.loads(request.body)["data"]["n"]) or answer(200, b"{}"))
    sidecar = Sidecar(BUS, DECLARED, flags=["--app-port", str(app.port)])

    def reaches_app(n):
        publish(sidecar, {"n": n})
        return n in got

    publish(sidecar, {"n": 0})
    eventually(lambda: got == [0], "the application gets events")
    stream = Stream(sidecar, initial())
    publish(sidecar, {"n": 1})
    event = stream.next()
    equal(data_of(event), {"n": 1})
    stream.answer(event)
    need(1 not in got, "the application does not get it as well")
    stream.leave()
    eventually(lambda: reaches_app(2), "the application gets events again")


@test("a stream goes on when the plugin behind it is killed", "PUB-60 PUB-63")
def plugin_killed():
    sidecar = Sidecar(BUS)
    stream = Stream(sidecar, initial())
    publish(sidecar, {"n": 1})
    stream.answer(stream.next())
    before = sidecar.plugin_pid("in-memory")
    os.kill(before, signal.SIGKILL)
    got = queue.Queue()
    threading.Thread(target=lambda: got.put(stream.next()), daemon=True).start()

    def arrives():
        sidecar.call("POST", "/v1.0/publish/bus/orders", b'{"n": 2}', JSON)
        return not got.empty()

    eventually(arrives, "an event after the plugin is back")
    equal(data_of(got.get()), {"n": 2})
    need(sidecar.plugin_pid("in-memory") != before, "it is another process")


# --- what goes wrong --------------------------------------------------------------------------------------------------


@test("requests that make no sense end the stream with words", "PUB-62 PUB-U12")
def wrong_requests():
    sidecar = Sidecar(BUS)
    for first, code, words in (
        (initial(pubsub=""), grpc.StatusCode.INVALID_ARGUMENT, "pubsubName is required"),
        (initial(topic=""), grpc.StatusCode.INVALID_ARGUMENT, "topic is required"),
        (processed("x"), grpc.StatusCode.INVALID_ARGUMENT, "initial request is required"),
        (b"", grpc.StatusCode.INVALID_ARGUMENT, "initial request is required"),
        (b"\xff\xff\xff", grpc.StatusCode.INTERNAL, None),
        (initial(pubsub="other"), grpc.StatusCode.INVALID_ARGUMENT, "pubsub other is not found"),
    ):
        stream = Stream(sidecar, first, confirm=False)
        got = stream.error()
        equal(got[0], code, got[1])
        need(words is None or got[1] == words, f"{got[1]!r}, not {words!r}")
        if words == "pubsub other is not found":
            details = rpc_status.from_call(stream.call).details
            info = error_details_pb2.ErrorInfo()
            need(len(details) == 1 and details[0].Unpack(info), "one ErrorInfo")
            equal((info.reason, info.domain), ("DAPR_PUBSUB_NOT_FOUND", "dapr.io"))
    for second in (initial(), b""):
        stream = Stream(sidecar, initial())
        stream.send(second)
        equal(stream.error(), (grpc.StatusCode.INVALID_ARGUMENT, "duplicate initial request received"))
    stream = Stream(sidecar, initial())
    stream.send(b"\x12\xff\xff\xff")
    equal(stream.error()[0], grpc.StatusCode.INTERNAL, "garbage")
    await_topics(sidecar, 0)


@test("a topic outside of the component's scopes is refused", "PUB-62 PUB-96")
def scopes():
    sidecar = Sidecar(component("bus", "pubsub.in-memory", {"subscriptionScopes": "shop=orders"}), app_id="shop")
    equal(Stream(sidecar, initial("secrets"), confirm=False).error(),
          (grpc.StatusCode.PERMISSION_DENIED, "subscription to topic 'secrets' on pubsub 'bus' is not allowed"))
    Stream(sidecar, initial("orders"))


@test("answers for unknown events, and second answers, change nothing", "PUB-66")
def unknown_answers():
    sidecar = Sidecar(BUS)
    stream = Stream(sidecar, initial(dead="dead"))
    for n in range(2000):
        stream.send(processed(f"unknown-{n}", DROP))
    stream.send(processed(""))
    publish(sidecar, {"n": 1})
    event = stream.next()
    for status in (SUCCESS, DROP, RETRY):
        stream.answer(event, status)
    publish(sidecar, {"n": 2})
    event = stream.next()
    equal(data_of(event), {"n": 2})
    stream.answer(event)
    said = [line for line in sidecar.log().splitlines() if "has not been sent" in line]
    equal(len(said), 1, "lines in the log")


@test("a half-closed stream is over, and one with a deadline ends at it", "PUB-63")
def endings():
    sidecar = Sidecar(BUS)
    stream = Stream(sidecar, initial())
    stream.half_close()
    equal(stream.error()[0], grpc.StatusCode.OK, "half-closed")
    await_topics(sidecar, 0)
    for seconds in (0.3, 3, 30):
        try:
            stream = Stream(sidecar, initial(), timeout=seconds)
            break
        except grpc.RpcError:  # it was over before it was confirmed
            pass
    equal(stream.error()[0], grpc.StatusCode.DEADLINE_EXCEEDED)
    await_topics(sidecar, 0)


@test("thousands of events wait for a client that neither reads nor answers", "PUB-66")
def pending():
    sidecar = Sidecar(BUS)
    stream, other = Stream(sidecar, initial("slow")), Stream(sidecar, initial())
    blob = "x" * 4000
    for n in range(3000):
        publish(sidecar, {"n": n, "blob": blob}, "slow")
    for n in range(100):
        publish(sidecar, {"n": n})
        event = other.next()
        equal(data_of(event), {"n": n}, "others go on")
        other.answer(event)
    for n in range(3000):
        event = stream.next()
        equal(data_of(event)["n"], n, "all of them, in order")
        stream.answer(event)


@test("an event as large as may be published reaches a stream", "PUB-62")
def large():
    sidecar = Sidecar(BUS)
    stream = Stream(sidecar, initial())
    for n in range(3):
        publish(sidecar, {"n": n, "blob": "y" * (2 << 20)})
    for n in range(3):
        event = stream.next()
        equal((data_of(event)["n"], len(event.data) > 2 << 20), (n, True))
        stream.answer(event)


@test("the API's token is asked for", "PUB-62")
def token():
    sidecar = Sidecar(BUS, env={"DAPR_API_TOKEN": "secret"})
    equal(Stream(sidecar, initial(), confirm=False).error()[0], grpc.StatusCode.UNAUTHENTICATED)
    Stream(sidecar, initial(), metadata=[("dapr-api-token", "secret")])


@test("a sidecar that ends waits for answers and closes its streams", "PUB-63 PUB-66")
def shutdown():
    sidecar = Sidecar(BUS)
    stream, silent = Stream(sidecar, initial()), Stream(sidecar)
    dead = Stream(sidecar, initial("dead"))
    publish(sidecar, {"n": 1})
    event = stream.next()
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: "Closing HTTP server" in sidecar.log(), "the end has begun")
    stream.answer(event)
    for one in (stream, dead):
        equal(one.error()[0], grpc.StatusCode.UNAVAILABLE)
    silent.error()
    equal(sidecar.wait(DEADLINE_S), 0, "exit code")


main(end_sidecars)
