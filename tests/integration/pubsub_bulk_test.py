# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Publishing and receiving many messages at once, over HTTP and gRPC. The broker is pubsub.in-memory, which has no bulk
operation of its own, so the kernel publishes one by one and gathers what a subscription gets."""

import json
import os
import threading
from concurrent import futures

import sdk  # noqa: F401  (the generated modules of the SDK)
import http_app
import grpc
from dapr.proto import api_service_v1
from dapr.proto.runtime.v1 import appcallback_pb2, pubsub_pb2
from google.protobuf import empty_pb2
from remora import BUILD, Folder, Sidecar, call, component, end_sidecars, equal, eventually, free_port, main, need, test

FLAKY = ["--plugins-path", os.path.join(BUILD, "tests", "plugins")]  # brokers that refuse what they are told to
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


@test("a topic may have slashes, over every path", "PUB-107")
def slashes():
    app = App(topic("in/the/sea", route="/sea"))
    sidecar = Sidecar(BUS, flags=app.flags)
    sidecar.call("POST", "/v1.0/publish/bulk/bus/in/the/sea", [entry(1)])
    sidecar.call("PUT", "/v1.0-alpha1/publish/bulk/bus/in/the/sea", [entry(2)])
    eventually(lambda: len(app.got) == 2, "both events")
    equal(sorted(event["data"]["n"] for event in app.bodies("/sea")), [1, 2])


def raw(*words):
    """Entries that a flaky broker reads: they fail as they say."""
    return [{"entryId": f"id-{word}", "event": word, "contentType": "text/plain"} for word in words]


@test("what the broker refuses is named, the rest is published", "PUB-110 PUB-U02")
def partial():
    for kind, words in (("pubsub.flaky", "told to fail, time "), ("pubsub.flaky-bulk", "told to fail")):
        sidecar = Sidecar(component("bus", kind), flags=FLAKY)
        answer = publish(sidecar, "t", raw("good", "fail-9", "fine", "fail-8"), 500, "?metadata.rawPayload=true").json
        equal(answer["errorCode"], "ERR_PUBSUB_PUBLISH_MESSAGE")
        failed = {failure["entryId"]: failure["error"] for failure in answer["failedEntries"]}
        equal(list(failed), ["id-fail-9", "id-fail-8"], kind)
        need(all(words in error for error in failed.values()), failed)
        request = pubsub_pb2.BulkPublishRequest(pubsub_name="bus", topic="t", metadata={"rawPayload": "true"}, entries=[
            pubsub_pb2.BulkPublishRequestEntry(entry_id="a", event=b"well", content_type="text/plain"),
            pubsub_pb2.BulkPublishRequestEntry(entry_id="b", event=b"fail-7", content_type="text/plain")])
        failed = stub(sidecar).BulkPublishEvent(request).failedEntries
        equal([failure.entry_id for failure in failed], ["b"], kind)


@test("another attempt is for those alone that have failed", "PUB-110 RES")
def narrowed():
    policy = json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Resiliency", "metadata": {"name": "again"}, "spec": {
        "policies": {"retries": {"twice": {"policy": "constant", "duration": "10ms", "maxRetries": 2}}},
        "targets": {"components": {"bus": {"outbound": {"retry": "twice"}}}}}})
    for kind in ("pubsub.flaky", "pubsub.flaky-bulk"):
        sidecar = Sidecar(component("bus", kind), component("count", "state.flaky"), policy, flags=FLAKY)
        publish(sidecar, "t", raw("good", "fail-2", "fine"), query="?metadata.rawPayload=true")
        calls = sidecar.call("GET", "/v1.0/state/count/calls").json
        equal(calls, 1 + 3 + 1, f"{kind}: one message each, and two more of the one that failed")


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
    for success, name in (("true", "nobody"), ("true", "t")):
        line = ('dapr_component_pubsub_egress_bulk_count{app_id="shop",component="bus",namespace="",'
                f'success="{success}",topic="{name}"}} 1')
        eventually(lambda: line in call(("127.0.0.1", port), "GET", "/metrics").text, line)


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
            ({"pubsub_name": "bus", "topic": "t", "entries": entries * 10000},
             DUPLICATE.split("entryId")[0] + "a request is limited to 16384 entries, and its metadata and theirs to 128 each"),
        ):
            try:
                method(pubsub_pb2.BulkPublishRequest(**fields))
                need(False, f"not refused: {fields}")
            except grpc.RpcError as error:
                equal((error.code(), error.details()), (grpc.StatusCode.INVALID_ARGUMENT, words))


@test("a broker with a bulk operation gets portions of it", "PUB-110 PUB-120")
def portions():
    app = App(topic("t"))
    sidecar = Sidecar(component("bus", "pubsub.sqlite", {"connectionString": Folder() / "bus.db"}), flags=app.flags)
    entries = [entry(n) for n in range(700)]
    entries[1]["metadata"] = entries[600]["metadata"] = {"big": "x" * 300000}  # alone in theirs
    publish(sidecar, "t", entries)
    eventually(lambda: len(app.bodies("/t")) >= 700, "all of them")
    equal(sorted(event["data"]["n"] for event in app.bodies("/t")), list(range(700)))


def bulk(name, count=3, wait=300, **more):
    return topic(name, bulkSubscribe={"enabled": True, "maxMessagesCount": count, "maxAwaitDurationMs": wait}, **more)


def statuses(body, status="SUCCESS"):
    """The same for every entry, or what `status` says of its event."""
    say = status if callable(status) else lambda event: status
    found = [(entry["entryId"], say(entry["event"])) for entry in body["entries"]]
    return json.dumps({"statuses": [{"entryId": n, "status": word} for n, word in found if word]}).encode()


def numbers(body):
    return [entry["event"]["data"]["n"] for entry in body["entries"]]


@test("messages reach the application in batches, full ones at once", "PUB-114 PUB-117 PUB-120 PUB-122 PUB-U09")
def batches():
    app = App(bulk("t", wait=60000), bulk("slow", count=50), bulk("raw", metadata={"rawPayload": "true"}),
              verdict=lambda path, body: statuses(body))
    sidecar = Sidecar(BUS, flags=app.flags)
    publish(sidecar, "t", [entry(n) for n in range(6)])  # a minute would pass before others are flushed
    eventually(lambda: len(app.bodies("/t")) == 2, f"two full batches: {app.got}")
    equal(sorted(numbers(app.bodies("/t")[0]) + numbers(app.bodies("/t")[1])), list(range(6)))
    request, body = app.got[0]
    equal((request.header("Content-Type"), request.header("pubsubname")), ("application/json", "bus"))
    equal((body["pubsubname"], body["topic"], body["type"], body["metadata"]),
          ("bus", "t", "com.dapr.event.sent.bulk", {"pubsubName": "bus"}))
    first = body["entries"][0]
    equal((len(body["id"]), len(first["entryId"]), first["contentType"], first["event"]["specversion"]),
          (36, 36, "application/cloudevents+json", "1.0"))
    publish(sidecar, "slow", [entry(1), entry(2)])
    eventually(lambda: sorted(n for body in app.bodies("/slow") for n in numbers(body)) == [1, 2], "what is not full is flushed")
    publish(sidecar, "raw", [entry(1)], query="?metadata.rawPayload=true")
    eventually(lambda: app.bodies("/raw"), "a raw one")
    only = app.bodies("/raw")[0]["entries"][0]
    equal((only["event"], only["contentType"]), ("eyJuIjogMX0=", "application/octet-stream"))


@test("each entry is settled for itself; what has no status is tried again", "PUB-117 PUB-118 PUB-119 PUB-U03 PUB-U04")
def verdicts():
    words = {0: "SUCCESS", 1: "RETRY", 2: "DROP", 3: None, 4: "MAYBE", 5: "SUCCESS"}
    app = App(bulk("t", count=6, wait=60000, deadLetterTopic="grave"), topic("grave"),
              verdict=lambda path, body: statuses(body, lambda event: words[event["data"]["n"]]) if path == "/t" else b"{}")
    twice = json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Resiliency", "metadata": {"name": "r"}, "spec": {
        "policies": {"retries": {"twice": {"policy": "constant", "duration": "10ms", "maxRetries": 2}}},
        "targets": {"components": {"bus": {"inbound": {"retry": "twice"}}}}}})
    sidecar = Sidecar(BUS, twice, flags=app.flags)
    publish(sidecar, "t", [entry(n) for n in range(6)])
    eventually(lambda: len(app.bodies("/grave")) == 4, f"four dead letters: {app.got}")
    equal(sorted(event["data"]["n"] for event in app.bodies("/grave")), [1, 2, 3, 4])
    equal([sorted(numbers(body)) for body in app.bodies("/t")], [[0, 1, 2, 3, 4, 5], [1, 3, 4], [1, 3, 4]])
    need("DROP status returned from app" in sidecar.log(), sidecar.log())


@test("answers without statuses are failures, a 404 is a drop", "PUB-119 PUB-U03")
def answers():
    answer = [b""]
    app = App(bulk("t", wait=60000, deadLetterTopic="grave"), topic("grave"),
              verdict=lambda path, body: answer[0] if path == "/t" else b"{}")
    sidecar = Sidecar(BUS, flags=app.flags)
    for answer[0] in (b"", 204, b"garbage", b"[1]", b'{"statuses":[]}', b'{"statuses":[{"entryId":"x","status":"SUCCESS"}]}',
                      b'{"statuses":{}}', b'{"statuses":[1,null,{"entryId":1,"status":2}]}', 500, 302):
        app.got.clear()
        publish(sidecar, "t", [entry(n) for n in range(3)])
        eventually(lambda: len(app.bodies("/grave")) == 3, f"{answer[0]}: {app.got}")
        equal(len(app.bodies("/t")), 1, "no policy, no second attempt")
    answer[0] = 404
    app.got.clear()
    publish(sidecar, "t", [entry(n) for n in range(3)])
    eventually(lambda: len(app.bodies("/t")) == 1, "the batch")
    eventually(lambda: "Non-retriable error returned from app while processing bulk" in sidecar.log(), sidecar.log())
    equal(app.bodies("/grave"), [])


@test("entries are grouped by the path of their rule", "PUB-U09 PUB-72")
def routed():
    routes = {"rules": [{"match": "event.data.n > 1", "path": "/large"}], "default": "/small"}
    app = App({"pubsubname": "bus", "topic": "t", "routes": routes,
               "bulkSubscribe": {"enabled": True, "maxMessagesCount": 4, "maxAwaitDurationMs": 60000}},
              verdict=lambda path, body: statuses(body))
    sidecar = Sidecar(BUS, flags=app.flags)
    publish(sidecar, "t", [entry(n) for n in range(4)])
    eventually(lambda: len(app.got) == 2, f"two groups: {app.got}")
    equal((sorted(numbers(app.bodies("/small")[0])), sorted(numbers(app.bodies("/large")[0]))), ([0, 1], [2, 3]))


class GrpcApp:
    """Serves the bulk callback under one of its names."""

    def __init__(self, service, method, answer):
        self.got, self.answer, self.port = [], answer, free_port()
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        handler = grpc.unary_unary_rpc_method_handler(
            self.take, request_deserializer=appcallback_pb2.TopicEventBulkRequest.FromString,
            response_serializer=appcallback_pb2.TopicEventBulkResponse.SerializeToString)
        lists = grpc.unary_unary_rpc_method_handler(
            lambda request, context: appcallback_pb2.ListTopicSubscriptionsResponse(subscriptions=[
                appcallback_pb2.TopicSubscription(pubsub_name="bus", topic="t", bulk_subscribe=appcallback_pb2.BulkSubscribeConfig(
                    enabled=True, max_messages_count=3, max_await_duration_ms=60000))]),
            request_deserializer=empty_pb2.Empty.FromString,
            response_serializer=appcallback_pb2.ListTopicSubscriptionsResponse.SerializeToString)
        base = "dapr.proto.runtime.v1."
        tables = {base + "AppCallback": {"ListTopicSubscriptions": lists}}
        tables.setdefault(base + service, {})[method] = handler
        for name, methods in tables.items():
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()
        self.flags = ["--app-port", str(self.port), "--app-protocol", "grpc"]

    def take(self, request, context):
        self.got.append(request)
        return appcallback_pb2.TopicEventBulkResponse(statuses=[
            appcallback_pb2.TopicEventBulkResponseEntry(entry_id=entry.entry_id, status=self.answer(entry))
            for entry in request.entries])


@test("a gRPC application gets batches under either name of the callback", "PUB-U12 PUB-117 PUB-118")
def grpc_batches():
    for service, method in (("AppCallbackAlpha", "OnBulkTopicEventAlpha1"), ("AppCallback", "OnBulkTopicEvent")):
        app = GrpcApp(service, method, lambda entry: 2 if b"2" in entry.cloud_event.data else 0)
        sidecar = Sidecar(BUS, flags=app.flags)
        publish(sidecar, "t", [entry(n) for n in range(3)])
        eventually(lambda: app.got, "a batch")
        request = app.got[0]
        equal((request.pubsub_name, request.topic, request.type, dict(request.metadata), len(request.entries)),
              ("bus", "t", "com.dapr.event.sent.bulk", {"pubsubName": "bus"}, 3))
        event = request.entries[0].cloud_event
        equal((event.data, event.data_content_type, event.extensions["topic"]), (b'{"n": 0}', "application/json", "t"))
        eventually(lambda: "DROP status returned from app" in sidecar.log(), sidecar.log())
        app.server.stop(None)


@test("a batch that waits when the sidecar ends is delivered at once", "PUB-115")
def ending():
    app = App(bulk("t", count=100, wait=600000), topic("behind"),
              verdict=lambda path, body: statuses(body) if path == "/t" else b"{}")
    sidecar = Sidecar(BUS, flags=app.flags)
    publish(sidecar, "t", [entry(n) for n in range(5)])
    publish(sidecar, "behind", [entry(5)])
    eventually(lambda: app.bodies("/behind"), "they have come as far as the sidecar")
    sidecar.signal(15)
    equal(sidecar.wait(20), 0)
    equal(sorted(n for body in app.bodies("/t") for n in numbers(body)), list(range(5)))


if __name__ == "__main__":
    main(end_sidecars)
