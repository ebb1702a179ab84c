# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Publishing and receiving many messages at once, over HTTP and gRPC. The broker is pubsub.in-memory, which has no bulk
operation of its own, so the kernel publishes one by one and gathers what a subscription gets."""

import json
import threading

import sdk  # noqa: F401  (the generated modules of the SDK)
import http_app
import grpc
from dapr.proto import api_service_v1
from dapr.proto.runtime.v1 import pubsub_pb2
from remora import Sidecar, call, component, equal, eventually, free_port, main, need, test

JSON = [("Content-Type", "application/json")]
BUS = component("bus", "pubsub.in-memory")
STABLE, ALPHA = "/v1.0/publish/bulk/", "/v1.0-alpha1/publish/bulk/"
DUPLICATE = "error marshaling events to bytes for topic t pubsub bus. error: entryId is duplicated or not present for entry"


class App:
    """Answers `/dapr/subscribe` with `subscriptions`; keeps what arrives; `verdict(path, body)` is a status or a body."""

    def __init__(self, *subscriptions, verdict=lambda path, body: b"{}"):
        self.got, self.verdict, self.lock = [], verdict, threading.Lock()
        self.app = http_app.App(self.handle, start=False)
        self.app.init = lambda request: (
            http_app.answer(200, json.dumps(list(subscriptions)).encode(), JSON)
            if request.target == "/dapr/subscribe" else http_app.answer(404)
        )
        self.app.start()
        self.flags = ["--app-port", str(self.app.port)]

    def handle(self, request, exchange):
        body = json.loads(request.body)
        with self.lock:
            self.got.append((request, body))
        answer = self.verdict(request.target, body)
        return http_app.answer(answer) if isinstance(answer, int) else http_app.answer(200, answer, JSON)

    def bodies(self, path):
        with self.lock:
            return [body for request, body in self.got if request.target == path]


def topic(name, **more):
    return {"pubsubname": "bus", "topic": name, "route": "/" + name, **more}


def entry(n, event=None, content_type="application/json", **more):
    return {"entryId": str(n), "event": {"n": n} if event is None else event, "contentType": content_type, **more}


def publish(sidecar, name, entries, status=204, query="", base=STABLE, method="POST", pubsub="bus"):
    body = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    answer = sidecar.call(method, f"{base}{pubsub}/{name}{query}", body, JSON)
    equal(answer.status, status, answer.text)
    return answer


def refused(answer, code, message, reason):
    error = json.loads(answer.text)
    equal((error["errorCode"], error["message"], error["details"][-1]["reason"]), (code, message, reason), answer.text)


def stub(sidecar):
    return api_service_v1.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


@test("every entry is wrapped by its own type, over both paths and verbs", "PUB-107 PUB-108 PUB-109")
def types():
    app = App(topic("t"))
    sidecar = Sidecar(BUS, flags=app.flags)
    own = {"specversion": "1.0", "id": "e-1", "source": "till", "type": "sale", "data": {"n": 1}, "num": 3}
    entries = [
        entry("1", {"n": 1.50}), entry("2", "two", "text/plain", metadata={"k": "v"}),
        entry("3", own, "application/cloudevents+json"), entry("4", "AAE=", "application/octet-stream"),
        {"entryId": "5", "contentType": "application/json"}, entry("6", "s"),
    ]
    for base, method in ((STABLE, "POST"), (ALPHA, "PUT")):
        app.got.clear()
        publish(sidecar, "t", entries, base=base, method=method)
        eventually(lambda: len(app.got) == 6, f"all events: {app.got}")
        by_type = {event.get("datacontenttype", "") + event["id"][:3]: event for event in app.bodies("/t")}
        events = list(by_type.values())
        data = sorted(json.dumps(event.get("data", event.get("data_base64"))) for event in events)
        equal(data, ['"AAE="', '"s"', '"two"', 'null', '{"n": 1.5}', '{"n": 1}'])
        sale = next(event for event in events if event["type"] == "sale")
        equal((sale["id"], sale["num"], sale["topic"], sale["pubsubname"]), ("e-1", 3, "t", "bus"))


@test("metadata of an entry counts before that of the request, raw is for all", "PUB-108 PUB-110")
def metadata():
    app = App(topic("t"), topic("raw", metadata={"rawPayload": "true"}))
    sidecar = Sidecar(BUS, flags=app.flags)
    entries = [entry(1, metadata={"cloudevent.type": "mine", "ttlInSeconds": "100"}), entry(2)]
    publish(sidecar, "t", entries, query="?metadata.cloudevent.type=qt&metadata.cloudevent.source=qs&metadata.ttlInSeconds=50")
    eventually(lambda: len(app.got) == 2, "both events")
    first, second = sorted(app.bodies("/t"), key=lambda event: event["data"]["n"])
    equal((first["type"], first["source"]), ("mine", "qs"))
    equal((second["type"], second["source"]), ("com.dapr.event.sent", "shop"), "overrides need metadata, as in the reference")
    need(first["expiration"] > second["expiration"], (first, second))
    publish(sidecar, "raw", [entry(1), entry(2, "two", "text/plain")], query="?metadata.rawPayload=true")
    eventually(lambda: len(app.bodies("/raw")) == 2, "raw events")
    equal(sorted(event["data_base64"] for event in app.bodies("/raw")), ["dHdv", "eyJuIjogMX0="])


@test("a list that cannot be read is refused as a whole, in the reference's words", "PUB-107 PUB-U02")
def malformed():
    app = App(topic("t"))
    sidecar = Sidecar(BUS, flags=app.flags)
    code, prefix = "ERR_PUBSUB_EVENTS_SER", "error when unmarshaling the request for topic t pubsub bus: "
    for body, words in (
        (b"", "EOF"), (b"[{", "unexpected EOF"),
        (b"{}", "json: cannot unmarshal object into Go value of type []http.bulkPublishMessageEntry"),
        (b"[1]", "json: cannot unmarshal number into Go value of type http.bulkPublishMessageEntry"),
        (b'[{"entryId":1,"event":1}]',
         "json: cannot unmarshal number into Go struct field bulkPublishMessageEntry.entryId of type string"),
        (b'[{"entryId":"1","metadata":{"a":1}}]',
         "json: cannot unmarshal number into Go struct field bulkPublishMessageEntry.metadata of type string"),
    ):
        refused(publish(sidecar, "t", body, 400), code, prefix + words, "DAPR_PUBSUB_UNMARSHAL_EVENTS")
    for entries in ([entry(1), entry(1)], [{"event": 1, "contentType": "application/json"}], [None]):
        if entries == [None]:
            entries = [{"entryId": None, "event": 1, "contentType": "application/json"}]
        refused(publish(sidecar, "t", entries, 400), code, DUPLICATE, "DAPR_PUBSUB_MARSHAL_EVENTS")
    mismatch = "error when marshalling cloud event envelope for topic t pubsub bus: error: mismatch between contentType and event"
    for wrong in (entry(1, {"a": 1}, "text/plain"), {"entryId": "c", "event": "x"}, entry(1, "*", "application/octet-stream"),
                  entry(1, 5, "text/plain"), entry(1, "x", "foo/bar")):
        refused(publish(sidecar, "t", [entry(0), wrong], 400), code, mismatch, "DAPR_PUBSUB_MARSHAL_ENVELOPE")
    broken = publish(sidecar, "t", [entry(0), entry(1, [1], "application/cloudevents+json")], 500)
    refused(broken, "ERR_PUBSUB_CLOUD_EVENTS_SER", "cannot create cloudevent", "DAPR_PUBSUB_CLOUD_EVENT_CREATION")
    publish(sidecar, "t", [])
    equal(app.got, [], "nothing of a refused list is published")


@test("unknown broker, missing topic, no boolean: answered before the body is looked at", "PUB-U01 PUB-U02")
def errors():
    sidecar = Sidecar(BUS)
    for base in (STABLE, ALPHA):
        ghost = publish(sidecar, "t", b"[{", 404, base=base, pubsub="ghost")
        refused(ghost, "ERR_PUBSUB_NOT_FOUND", "pubsub ghost is not found", "DAPR_PUBSUB_NOT_FOUND")
        raw = publish(sidecar, "t", b"[{", 400, "?metadata.rawPayload=zz", base=base)
        refused(raw, "ERR_PUBSUB_REQUEST_METADATA",
                "failed deserializing metadata. Error: rawPayload value must be a valid boolean: actual is 'zz'",
                "DAPR_PUBSUB_METADATA_DESERIALIZATION")
    equal(json.loads(publish(sidecar, "", b"[]", 404).text)["message"], "pubsub bulk is not found")
    equal(json.loads(publish(sidecar, "", b"[]", 404, base=ALPHA).text)["errorCode"], "ERR_DIRECT_INVOKE")
    shut = component("shut", "pubsub.in-memory", {"publishingScopes": "shop=open"})
    sidecar = Sidecar(shut)
    publish(sidecar, "open", [entry(1)], pubsub="shut")
    refused(publish(sidecar, "t", [entry(1)], 403, pubsub="shut"), "ERR_PUBSUB_FORBIDDEN",
            "topic t is not allowed for app id shop", "DAPR_PUBSUB_FORBIDDEN")


@test("too many and too large lists are refused, the largest goes through", "PUB-107 PUB-111")
def sizes():
    app = App(topic("t"))
    port = free_port()
    sidecar = Sidecar(BUS, flags=[*app.flags, "--metrics-port", str(port)])
    many = b"[" + b",".join(b'{"entryId":"%d"}' % n for n in range(100000)) + b"]"
    equal(json.loads(publish(sidecar, "t", many, 400).text)["errorCode"], "ERR_PUBSUB_EVENTS_SER")
    pairs = {f"k{n}": "" for n in range(200)}
    equal(json.loads(publish(sidecar, "t", [entry(1, metadata=pairs)], 400).text)["errorCode"], "ERR_PUBSUB_EVENTS_SER")
    need(publish(sidecar, "t", b"[" + b" " * (5 << 20) + b"]", 400).text.find("stream too large") >= 0, "too large")
    equal(app.got, [])
    publish(sidecar, "nobody", [entry(n) for n in range(1500)])  # three portions
    publish(sidecar, "t", [entry("x" * 40000, "y" * 300000, "text/plain"), entry(2)])
    eventually(lambda: len(app.got) == 2, "both")
    equal(sorted(len(str(event["data"])) for event in app.bodies("/t")), [len("{'n': 2}"), 300000])
    text = call(("127.0.0.1", port), "GET", "/metrics").text
    for success, name in (("true", "nobody"), ("true", "t")):
        line = ('dapr_component_pubsub_egress_bulk_count{app_id="shop",component="bus",namespace="",'
                f'success="{success}",topic="{name}"}} 1')
        need(line in text, text)


@test("gRPC publishes under both names and refuses as HTTP does", "PUB-109 PUB-U12")
def over_grpc():
    app = App(topic("t"))
    sidecar = Sidecar(BUS, flags=app.flags)
    dapr = stub(sidecar)
    entries = [pubsub_pb2.BulkPublishRequestEntry(entry_id="1", event=b'{"a":1}', content_type="application/json"),
               pubsub_pb2.BulkPublishRequestEntry(entry_id="2", event=b"t", content_type="text/plain",
                                                  metadata={"cloudevent.type": "e"})]
    for method in (dapr.BulkPublishEvent, dapr.BulkPublishEventAlpha1):
        app.got.clear()
        equal(list(method(pubsub_pb2.BulkPublishRequest(pubsub_name="bus", topic="t", entries=entries)).failedEntries), [])
        eventually(lambda: len(app.got) == 2, "both events")
        equal(sorted((event["type"], str(event["data"])) for event in app.bodies("/t")),
              [("com.dapr.event.sent", "{'a': 1}"), ("e", "t")])
        equal(list(method(pubsub_pb2.BulkPublishRequest(pubsub_name="bus", topic="t")).failedEntries), [])
        for fields, words in (
            ({"pubsub_name": "bus", "topic": "t", "entries": [entries[0], entries[0]]}, DUPLICATE),
            ({"pubsub_name": "gh", "topic": "t", "entries": entries}, "pubsub gh is not found"),
            ({"pubsub_name": "bus", "entries": entries}, "topic is empty in pubsub bus"),
            ({"topic": "t"}, "pubsub name is empty"),
        ):
            try:
                method(pubsub_pb2.BulkPublishRequest(**fields))
                need(False, f"not refused: {fields}")
            except grpc.RpcError as error:
                equal((error.code(), error.details()), (grpc.StatusCode.INVALID_ARGUMENT, words))


if __name__ == "__main__":
    main()
