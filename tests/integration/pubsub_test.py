# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Publish and subscribe with an application over HTTP and over gRPC: envelopes, rules, dead letters, time to live,
scopes, and the end of the sidecar with deliveries under way. The broker is pubsub.in-memory, in a real plugin."""

import json
import os
import threading

import sdk  # noqa: F401  (the generated modules of the SDK)
import http_app
import grpc
from google.protobuf import empty_pb2
from dapr.proto.runtime.v1 import appcallback_pb2, appcallback_pb2_grpc
from concurrent import futures
from remora import Folder, Sidecar, call, component, end_sidecars, equal, eventually, free_port, main, need, test

JSON = [("Content-Type", "application/json")]
BUS = component("bus", "pubsub.in-memory")


class HttpApp:
    """Answers `/dapr/subscribe` with `subscriptions`; what arrives is kept; `verdict` answers."""

    def __init__(self, subscriptions=(), verdict=lambda path, event: 200):
        self.events, self.verdict = [], verdict
        self.app = http_app.App(self.handle, start=False)
        self.app.init = lambda request: (
            http_app.answer(200, json.dumps(list(subscriptions)).encode(), JSON)
            if request.target == "/dapr/subscribe" else http_app.answer(404)
        )
        self.app.start()
        self.flags = ["--app-port", str(self.app.port)]

    def handle(self, request, exchange):
        event = json.loads(request.body)
        self.events.append((request.target, event))
        answer = self.verdict(request.target, event)
        return http_app.answer(answer, b"{}") if isinstance(answer, int) else http_app.answer(200, answer, JSON)

    def data(self, path):
        return [event.get("data") for target, event in self.events if target == path]


def publish(sidecar, topic, data, query="", status=204, pubsub="bus"):
    answer = sidecar.call("POST", f"/v1.0/publish/{pubsub}/{topic}{query}", json.dumps(data).encode(), JSON)
    equal(answer.status, status, answer.text)
    return answer


def document(name, topic, path, **spec):
    spec = {"pubsubname": "bus", "topic": topic, "routes": {"default": path}, **spec}
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": name}, "spec": spec})


@test("an event is wrapped, published and delivered to the route", "PUB-13 PUB-22 PUB-23 PUB-24 PUB-51 PUB-54 PUB-56")
def wrapped():
    app = HttpApp([{"pubsubname": "bus", "topic": "orders", "route": "in/orders"}])
    port = free_port()
    sidecar = Sidecar(BUS, flags=[*app.flags, "--metrics-port", str(port)])
    publish(sidecar, "orders", {"n": 1.50})
    eventually(lambda: app.events, "the event")
    target, event = app.events[0]
    equal(target, "/in/orders")
    equal({k: event[k] for k in ("specversion", "type", "source", "topic", "pubsubname", "datacontenttype", "data")},
          {"specversion": "1.0", "type": "com.dapr.event.sent", "source": "shop", "topic": "orders",
           "pubsubname": "bus", "datacontenttype": "application/json", "data": {"n": 1.5}})
    need(len(event["id"]) == 36, event["id"])

    def metrics():
        return call(("127.0.0.1", port), "GET", "/metrics").text

    labels = '{app_id="shop",component="bus",namespace="",%stopic="orders"} 1'
    sent = "dapr_component_pubsub_egress_count" + labels % 'success="true",'
    eventually(lambda: sent in metrics(), sent)
    received = "dapr_component_pubsub_ingress_count" + labels % 'process_status="success",status="success",'
    eventually(lambda: received in metrics(), received)


@test("a star at the end of a topic stands for at least one character; the event says its own topic", "PUB-13")
def wildcards():
    app = HttpApp([{"pubsubname": "bus", "topic": "orders*", "route": "some"}, {"pubsubname": "bus", "topic": "*", "route": "any"},
                   {"pubsubname": "bus", "topic": "raw*", "route": "raw", "metadata": {"rawPayload": "true"}}])
    sidecar = Sidecar(BUS, flags=app.flags)
    need("SUBSCRIBE_WILDCARDS" in sidecar.metadata()["components"][0]["capabilities"], sidecar.metadata()["components"])
    for topic in ("orders", "orders.new", "orders/old", "order"):
        publish(sidecar, topic, topic)
    sidecar.call("POST", "/v1.0/publish/bus/raw1?metadata.rawPayload=true", b"bytes", JSON)
    eventually(lambda: len(app.events) == 7, "all are delivered")
    equal(sorted(app.data("/some")), ["orders.new", "orders/old"])
    equal(sorted(app.data("/any")), ["order", "orders", "orders.new", "orders/old"])
    equal(sorted(event["topic"] for target, event in app.events if target == "/some"), ["orders.new", "orders/old"])
    equal([event["topic"] for target, event in app.events if target == "/raw"], ["raw1"])


@test("rules choose the path, the rest goes to the default", "PUB-72 PUB-73 PUB-74 PUB-75 PUB-77 PUB-50")
def rules():
    routes = {"rules": [{"match": 'event.data.kind == "big" && int(event.data.n) > 3', "path": "/big"},
                        {"match": 'event.type == "paint"', "path": "/paint"}], "default": "/other"}
    app = HttpApp()
    sidecar = Sidecar(BUS, document("orders", "orders", "", routes=routes), flags=app.flags)
    publish(sidecar, "orders", {"kind": "big", "n": 5})
    publish(sidecar, "orders", {"kind": "big", "n": 1})
    publish(sidecar, "orders", {"x": 1}, "?metadata.cloudevent.type=paint")
    eventually(lambda: len(app.events) == 3, "all events")
    equal(sorted(target for target, _ in app.events), ["/big", "/other", "/paint"])


@test("what fails goes to the dead letters, at once and whole", "PUB-81 PUB-82 PUB-83 PUB-U04")
def dead_letters():
    app = HttpApp(verdict=lambda path, event: 500 if path == "/orders" else 200)
    sidecar = Sidecar(BUS, document("orders", "orders", "/orders", deadLetterTopic="poison"),
                      document("poison", "poison", "/failed"), flags=app.flags)
    publish(sidecar, "orders", {"n": 1})
    eventually(lambda: app.data("/failed"), "the dead letter")
    equal(app.data("/orders"), [{"n": 1}])
    equal(app.data("/failed"), [{"n": 1}])


@test("DROP is final, RETRY follows the inbound policy", "PUB-04 PUB-84 PUB-U03 RES")
def verdicts():
    policy = json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Resiliency", "metadata": {"name": "again"}, "spec": {
        "policies": {"retries": {"twice": {"policy": "constant", "duration": "10ms", "maxRetries": 2}}},
        "targets": {"components": {"bus": {"inbound": {"retry": "twice"}}}}}})
    words = {"drop": b'{"status":"DROP"}', "retry": b'{"status":"RETRY"}'}
    app = HttpApp(verdict=lambda path, event: words.get(event["data"], 200))
    sidecar = Sidecar(BUS, policy, document("orders", "orders", "/orders"), flags=app.flags)
    for data in ("retry", "drop", "last"):
        publish(sidecar, "orders", data)
    eventually(lambda: {"last", "drop"} <= set(app.data("/orders")) and app.data("/orders").count("retry") == 3, "all deliveries")
    equal(app.data("/orders").count("drop"), 1)


@test("what has expired is not delivered", "PUB-101 PUB-102 PUB-104")
def expired():
    app = HttpApp()
    sidecar = Sidecar(BUS, document("orders", "orders", "/orders"), flags=app.flags)
    old = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "expiration": "2001-01-01T00:00:00Z", "data": "old"}
    answer = sidecar.call("POST", "/v1.0/publish/bus/orders", json.dumps(old).encode(),
                          [("Content-Type", "application/cloudevents+json")])
    equal(answer.status, 204)
    publish(sidecar, "orders", "new", "?metadata.ttlInSeconds=100")
    eventually(lambda: app.data("/orders"), "the event that has not expired")
    equal(app.data("/orders"), ["new"])
    need("expiration" in app.events[0][1], "it says until when")


@test("scopes of topics hold for publishing, subscribing and dead letters", "PUB-93 PUB-95 PUB-97 PUB-98")
def scopes():
    scoped = component("bus", "pubsub.in-memory", [("publishingScopes", "shop=open,hidden"), ("subscriptionScopes", "shop=open"),
                                                   ("allowedTopics", "open,hidden,vip"), ("protectedTopics", "vip")])
    app = HttpApp(verdict=lambda path, event: 500 if event["data"] == "bad" else 200)
    sidecar = Sidecar(scoped, document("a", "open", "/open", deadLetterTopic="vip"), document("b", "hidden", "/hidden"),
                      flags=app.flags)
    for topic in ("vip", "other"):
        body = publish(sidecar, topic, 1, status=403).json
        equal(body["errorCode"], "ERR_PUBSUB_FORBIDDEN")
        equal(body["message"], f"topic {topic} is not allowed for app id shop")
    publish(sidecar, "hidden", "unseen")
    publish(sidecar, "open", "bad")
    publish(sidecar, "open", "good")
    eventually(lambda: "good" in app.data("/open"), "the event of the open topic")
    equal(app.data("/hidden"), [])


@test("a delivery under way is answered before the end", "PUB-03 X-K8S")
def drained():
    release = threading.Event()
    app = HttpApp(verdict=lambda path, event: release.wait(30) and 200)
    sidecar = Sidecar(BUS, document("orders", "orders", "/orders", deadLetterTopic="poison"),
                      document("poison", "poison", "/failed"), flags=app.flags)
    publish(sidecar, "orders", 1)
    eventually(lambda: app.events, "the event")
    sidecar.signal(15)
    eventually(lambda: "beginning shutdown" in sidecar.log(), "the shutdown")
    release.set()
    equal(sidecar.wait(), 0)
    equal(app.data("/orders"), [1])
    equal(app.data("/failed"), [])


@test("metadata list what is subscribed to", "REFERENCE-BEHAVIOUR 7")
def metadata():
    app = HttpApp([{"pubsubname": "bus", "topic": "two", "route": "/two", "metadata": {"k": "v"}}])
    sidecar = Sidecar(BUS, document("one", "one", "/one", deadLetterTopic="dead"), flags=app.flags)
    eventually(lambda: len(sidecar.metadata().get("subscriptions", [])) == 2, "both subscriptions")
    equal(sorted(sidecar.metadata()["subscriptions"], key=lambda s: s["topic"]), [
        {"pubsubname": "bus", "topic": "one", "rules": [{"path": "/one"}], "deadLetterTopic": "dead",
         "type": "DECLARATIVE"},
        {"pubsubname": "bus", "topic": "two", "metadata": {"k": "v"}, "rules": [{"path": "/two"}],
         "deadLetterTopic": "", "type": "PROGRAMMATIC"},
    ])


@test("{namespace} keeps topics of one broker apart", "PUB-86 PUB-87 PUB-U08")
def namespaces():
    folder = Folder()
    bus = component("bus", "pubsub.sqlite", {"connectionString": str(folder / "bus.db"), "consumerID": "{namespace}"})
    beds = []
    for namespace in ("east", "west"):
        app = HttpApp()
        beds.append((app, Sidecar(bus, document("orders", "orders", "/orders"), flags=app.flags,
                                  env={"PATH": os.environ["PATH"], "NAMESPACE": namespace})))
    (east, east_sidecar), (west, west_sidecar) = beds
    publish(east_sidecar, "orders", "from the east")
    publish(west_sidecar, "orders", "from the west")
    eventually(lambda: east.events and west.events, "both events")
    publish(east_sidecar, "orders", "last")
    eventually(lambda: len(east.events) == 2, "the last event")
    equal(east.data("/orders"), ["from the east", "last"])
    equal(west.data("/orders"), ["from the west"])
    equal(east.events[0][1]["topic"], "orders")


# --- over gRPC --------------------------------------------------------------------------------------------------------


class GrpcApp(appcallback_pb2_grpc.AppCallbackServicer):
    def __init__(self):
        self.events, self.answers = [], {}
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        appcallback_pb2_grpc.add_AppCallbackServicer_to_server(self, self.server)
        self.port = free_port()
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()
        self.flags = ["--app-port", str(self.port), "--app-protocol", "grpc"]

    def ListTopicSubscriptions(self, request, context):
        rule = appcallback_pb2.TopicRule(match='event.type == "paint"', path="/paint")
        return appcallback_pb2.ListTopicSubscriptionsResponse(subscriptions=[
            appcallback_pb2.TopicSubscription(pubsub_name="bus", topic="orders", dead_letter_topic="poison",
                                              routes=appcallback_pb2.TopicRoutes(rules=[rule], default="/orders")),
            appcallback_pb2.TopicSubscription(pubsub_name="bus", topic="bare",
                                              routes=appcallback_pb2.TopicRoutes(default="on_bare")),
            appcallback_pb2.TopicSubscription(pubsub_name="bus", topic="poison",
                                              routes=appcallback_pb2.TopicRoutes(default="/failed")),
        ])

    def ListInputBindings(self, request, context):
        return appcallback_pb2.ListInputBindingsResponse()

    def OnTopicEvent(self, request, context):
        self.events.append(request)
        answer = self.answers.get(bytes(request.data), "SUCCESS")
        if request.path != "/failed" and answer == "fail":
            context.abort(grpc.StatusCode.INTERNAL, "no")
        if request.path != "/failed" and answer == "unimplemented":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no")
        status = answer if answer in ("RETRY", "DROP") and request.path != "/failed" else "SUCCESS"
        return appcallback_pb2.TopicEventResponse(status=status)

    def of(self, path):
        return [bytes(event.data) for event in self.events if event.path == path]


@test("an application of gRPC lists its topics and gets their events", "PUB-58 PUB-53 PUB-73 PUB-81")
def over_grpc():
    app = GrpcApp()
    sidecar = Sidecar(BUS, flags=app.flags)
    app.answers = {b'"bad"': "fail", b'"drop"': "DROP", b'"again"': "RETRY"}
    for data in ("good", "bad", "drop", "again"):
        publish(sidecar, "orders", data)
    publish(sidecar, "bare", 5)
    eventually(lambda: app.of("on_bare") == [b"5"], "the path is the one that the application has listed")
    publish(sidecar, "orders", {"a": 1}, "?metadata.cloudevent.type=paint")
    eventually(lambda: len(app.of("/failed")) == 3 and app.of("/paint") and len(app.of("/orders")) == 4, "all events")
    equal(sorted(app.of("/failed")), [b'"again"', b'"bad"', b'"drop"'])
    event = next(event for event in app.events if event.path == "/paint")
    equal((event.topic, event.pubsub_name, event.source, event.spec_version, event.type, event.data_content_type,
           bytes(event.data)), ("orders", "bus", "shop", "1.0", "paint", "application/json", b'{"a": 1}'))
    need(event.id, "it has an id")


@test("publishing over gRPC says why it fails in the reference's words", "PUB-U01 PUB-17 ERR_PUBSUB_EMPTY ERR_TOPIC_NAME_EMPTY")
def grpc_errors():
    from dapr.proto import api_service_v1, api_v1
    sidecar = Sidecar(component("bus", "pubsub.in-memory", [("publishingScopes", "shop=open")]))
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        stub = api_service_v1.DaprStub(channel)

        def fails(**fields):
            try:
                stub.PublishEvent(api_v1.PublishEventRequest(**fields))
            except grpc.RpcError as error:
                return error.code().name, error.details()
            return None

        equal(stub.PublishEvent(api_v1.PublishEventRequest(pubsub_name="bus", topic="open", data=b"1")), empty_pb2.Empty())
        equal(fails(topic="open"), ("INVALID_ARGUMENT", "pubsub name is empty"))
        equal(fails(pubsub_name="no", topic="open"), ("INVALID_ARGUMENT", "pubsub no is not found"))
        equal(fails(pubsub_name="bus"), ("INVALID_ARGUMENT", "topic is empty in pubsub bus"))
        equal(fails(pubsub_name="bus", topic="shut"), ("PERMISSION_DENIED", "topic shut is not allowed for app id shop"))


if __name__ == "__main__":
    main(end_sidecars)
