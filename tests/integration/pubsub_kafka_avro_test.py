#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pubsub.kafka and bindings.kafka with values that are Avro: on a real node, with a real schema registry, and with fastavro
as the one that says what Avro is. timeout: 480"""

import base64
import io
import json
import os
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import kafka_node  # noqa: E402
from events import invoke  # noqa: E402
from http_app import App, answer  # noqa: E402
from remora import Folder, Sidecar, Skip, component, end_sidecars, equal, eventually, free_port, main, need, test  # noqa: E402
from schema_registry import Door, SchemaRegistry  # noqa: E402

kafka_node.client()  # makes the packages of build/venv known
try:
    import fastavro
except ImportError:
    raise Skip("fastavro is not in build/venv, `make deps-test` puts it there") from None

LONG_S = 60  # a loaded machine
SERVER = kafka_node.Kafka()
REGISTRY = SchemaRegistry()
ORDER = {"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}]}
AVRO = "metadata.rawPayload=true&metadata.valueSchemaType=Avro"


def encoded(schema, value, id_):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return struct.pack(">bI", 0, id_) + out.getvalue()


def decoded(schema, record):
    return fastavro.schemaless_reader(io.BytesIO(record[5:]), fastavro.parse_schema(schema), None)


class Inbox(App):
    """Keeps what comes as raw values, parsed."""

    def __init__(self):
        self.got, self.lock = [], threading.Lock()
        super().__init__(self.take_event)

    def take_event(self, request, exchange):
        event = json.loads(request.body)
        values = [entry["event"] for entry in event["entries"]] if "entries" in event else [event]
        with self.lock:
            self.got += [self.value(one) for one in values]
        if "entries" not in event:
            return answer(200, b"")
        return answer(200, json.dumps({"statuses": [{"entryId": entry["entryId"], "status": "SUCCESS"}
                                                    for entry in event["entries"]]}).encode())

    @staticmethod
    def value(event):
        raw = event if isinstance(event, str) else event.get("data_base64")
        return event.get("data") if raw is None else json.loads(base64.b64decode(raw))

    def taken(self):
        with self.lock:
            return list(self.got)


def subscription(topic, raw=True, bulk=None, **metadata):
    spec = {"pubsubname": "bus", "topic": topic, "routes": {"default": f"/{topic}"},
            "metadata": {"valueSchemaType": "Avro", **({"rawPayload": "true"} if raw else {}), **metadata}}
    if bulk:
        spec["bulkSubscribe"] = {"enabled": True, **bulk}
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": topic}, "spec": spec})


def bus(registry, **metadata):
    more = {"schemaRegistryURL": registry} if registry else {}
    return component("bus", "pubsub.kafka", {"brokers": SERVER.address(), "authType": "none", "initialOffset": "oldest",
                                             "heartbeatInterval": "500ms", **more, **metadata})


def sidecar(*subscriptions, app=None, registry=REGISTRY.url, env=None, **metadata):
    app_id = json.loads(subscriptions[0])["spec"]["topic"] if subscriptions else "press"
    flags = ["--app-port", str(app.port)] if app else []
    return Sidecar(bus(registry, **metadata), *subscriptions, app_id=app_id, flags=flags, env=env)


def send(side, topic, value, query=AVRO):
    return side.call("POST", f"/v1.0/publish/bus/{topic}?{query}", json.dumps(value).encode(),
                     [("Content-Type", "application/json")], timeout=LONG_S)


def publish(side, topic, value, query=AVRO):
    reply = send(side, topic, value, query)
    equal(reply.status, 204, f"publish: {reply}")


def refused(side, topic, value, words, query=AVRO):
    reply = send(side, topic, value, query)
    need(reply.status >= 400 and words in reply.text, f"{words}: {reply.status} {reply.text[:600]}")


@test("JSON goes out as Avro of the topic's latest schema, and comes back as JSON")
def there_and_back():
    id_ = REGISTRY.register("orders", ORDER)
    app = Inbox()
    side = sidecar(subscription("orders"), app=app)
    publish(side, "orders", {"id": 1, "note": "größe/"})
    publish(side, "orders", {"id": 9007199254740993})
    first, second = SERVER.records("orders", 2)
    equal(first.value, encoded(ORDER, {"id": 1, "note": "größe/"}, id_), "the first record")
    equal(decoded(ORDER, second.value), {"id": 9007199254740993, "note": None}, "the second record, to its last digit")
    equal(dict(first.headers).get("valueSchemaType"), b"Avro", "metadata are headers, as ever")
    want = [{"id": 1, "note": "größe/"}, {"id": 9007199254740993, "note": None}]
    eventually(lambda: app.taken() == want, "both are delivered", LONG_S)
    SERVER.produce("orders", None, b"key")
    SERVER.produce("orders", encoded(ORDER, {"id": 3, "note": "foreign"}, id_))
    eventually(lambda: app.taken()[-1] == {"id": 3, "note": "foreign"}, "what another client writes too", LONG_S)
    need(app.taken()[2] is None, "and what has no value is null")


@test("an event in Avro is an event")
def event():
    schema = {"type": "record", "name": "Event", "fields": [
        {"name": name, "type": "string"} for name in ("specversion", "id", "source", "type", "datacontenttype")]
        + [{"name": "data", "type": ORDER}]}
    id_ = REGISTRY.register("events", schema)
    app = Inbox()
    sidecar(subscription("events", raw=False), app=app)
    SERVER.produce("events", encoded(schema, {"specversion": "1.0", "id": "1", "source": "s", "type": "t",
                                              "datacontenttype": "application/json",
                                              "data": {"id": 7, "note": None}}, id_))
    eventually(lambda: app.taken() == [{"id": 7, "note": None}], "its data are delivered", LONG_S)


ROWS = [
    ("boolean", True), ("int", -(2**31)), ("long", 2**63 - 1), ("double", 0.1), ("double", 1e300), ("float", 1.5),
    ("string", "a\"\\\n\u2028😀"), ("bytes", bytes(range(256))),
    ({"type": "array", "items": {"type": "map", "values": "long"}}, [{}, {"a": 1}, {"ü": -1}]),
    ({"type": "enum", "name": "Suit", "symbols": ["A", "B"]}, "B"),
    ({"type": "fixed", "name": "Two", "size": 2}, b"\x00\xff"),
    (["null", "string", ORDER], {"id": 1, "note": None}),
    ({"type": "record", "name": "List", "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "List"]}]},
     {"v": 1, "next": {"v": 2, "next": {"v": 3, "next": None}}}),
    ({"type": "record", "name": "Times", "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "on", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "sum", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}}]},
     {"at": -1, "on": 20000, "id": "6f1c", "sum": b"\xfe\xd4"}),
]


def plain(schema):
    """Without logical types: fastavro then takes and gives what is stored."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if isinstance(schema, dict):
        return {name: plain(value) for name, value in schema.items() if name not in ("logicalType", "precision", "scale")}
    return schema


def as_json(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    return [as_json(one) for one in value] if isinstance(value, list) else value


def tagged_json(schema, value):
    """As fastavro writes Avro's own JSON, which it does not of what is inside itself."""
    if "List" in str(schema):
        return {"v": 1, "next": {"List": {"v": 2, "next": {"List": {"v": 3, "next": None}}}}}
    out = io.StringIO()
    fastavro.json_writer(out, fastavro.parse_schema(plain(schema)), [value])
    return json.loads(out.getvalue())


@test("every type is what fastavro makes of it, in standard and in Avro's own JSON")
def every_type():
    for kind in ("standard", "own"):
        rows = [(f"{kind}-{number}", *row) for number, row in enumerate(ROWS)]
        ids = {topic: REGISTRY.register(topic, schema) for topic, schema, _ in rows}
        app = Inbox()
        side = sidecar(*[subscription(topic) for topic, _, _ in rows], app=app, useAvroJSON=str(kind == "own").lower())
        for topic, schema, value in rows:
            data = encoded(plain(schema), value, ids[topic])
            text = tagged_json(schema, value) if kind == "own" else as_json(value)
            if kind == "own" and "Times" in str(schema):
                text["on"] = {"int.date": text["on"]["int"]}  # the reference's name of that branch
            publish(side, topic, text)
            equal(SERVER.records(topic, 1)[0].value, data, f"what is published of {text}")
            app.got.clear()
            SERVER.produce(topic, data)
            eventually(lambda: text in app.taken(), f"{text} is delivered, not {app.taken()}", LONG_S)
        side.end()


@test("batches are Avro both ways, and an entry that does not fit is told")
def bulk():
    id_ = REGISTRY.register("many", ORDER)
    app = Inbox()
    side = sidecar(subscription("many", bulk={"maxMessagesCount": 10, "maxAwaitDurationMs": 200}), app=app)
    entries = [{"entryId": str(i), "event": {"id": i} if i != 7 else {"id": "x"}, "contentType": "application/json",
                "metadata": {"valueSchemaType": "None"}} for i in range(30)]
    reply = side.call("POST", f"/v1.0/publish/bulk/bus/many?{AVRO}", json.dumps(entries).encode(),
                      [("Content-Type", "application/json")])
    equal(reply.status, 500, str(reply))
    failed = json.loads(reply.body)["failedEntries"]
    equal([entry["entryId"] for entry in failed], ["7"], "the one that does not fit")
    need('cannot decode textual record "shop.Order"' in failed[0]["error"], failed[0]["error"])
    equal(SERVER.records("many", 1)[0].value, encoded(ORDER, {"id": 0, "note": None}, id_), "the first record")
    want = [{"id": i, "note": None} for i in range(30) if i != 7]
    eventually(lambda: sorted(app.taken(), key=lambda one: one["id"]) == want, "the others arrive", LONG_S)
    # One that cannot be read goes alone: what was before it is delivered, what is behind it waits.
    SERVER.produce("many", encoded(ORDER, {"id": 100, "note": None}, id_))
    SERVER.produce("many", b"\0\0\0\0")
    SERVER.produce("many", encoded(ORDER, {"id": 101, "note": None}, id_))
    eventually(lambda: {"id": 100, "note": None} in app.taken(), "what was before is delivered", LONG_S)
    eventually(lambda: "value is too short" in side.log(), "the bad one is told of", LONG_S)
    need({"id": 101, "note": None} not in app.taken(), "what is behind it waits")


@test("what cannot be published is told in the reference's words")
def cannot_be_published():
    REGISTRY.register("strict", ORDER)
    side = sidecar()
    refused(side, "strict", {"id": 1, "more": 2}, 'cannot determine codec: \\"more\\"')
    refused(side, "strict", {"note": None}, "only found 1 of 2 fields")
    refused(side, "strict", {"id": 1}, "error parsing schema type. 'Avroo' is not a supported value", AVRO + "o")
    refused(side, "unknown-topic", {"id": 1}, '\\"error_code\\":40401')
    publish(side, "strict", None)  # needs no schema
    publish(side, "strict", {"any": "thing"}, "metadata.rawPayload=true&metadata.valueSchemaType=none")
    none = sidecar(registry=None)
    refused(none, "strict", {"id": 1}, "schema registry details not set")
    nowhere = sidecar(registry=f"http://user:hush@127.0.0.1:{free_port()}")
    refused(nowhere, "strict", {"id": 1}, 'Get \\"http://127.0.0.1:')
    need("hush" not in nowhere.log() and "hush" not in send(nowhere, "strict", {"id": 1}).text, "no secret is told")


def committed(group):
    return sum(SERVER.committed(group).values())


@test("while the registry is away nothing is lost")
def registry_away():
    id_ = REGISTRY.register("patient", ORDER)
    door, app = Door(REGISTRY), Inbox()
    side = sidecar(subscription("patient"), app=app, registry=door.url)
    door.stop()
    for i in range(3):
        SERVER.produce("patient", encoded(ORDER, {"id": i, "note": None}, id_))
    eventually(lambda: "Error processing Kafka message: patient/0/0. Error: Get" in side.log(), "it is told of", LONG_S)
    refused(side, "patient", {"id": 9}, "Failed to connect")
    door.trouble = lambda request: answer(503, b"<html>later</html>")
    door.start()
    eventually(lambda: door.requests, "the registry is asked again", LONG_S)
    refused(side, "patient", {"id": 9}, "503 Service Unavailable")
    equal((app.taken(), committed("patient")), ([], 0), "nothing has been handed over")
    door.trouble = lambda request: None
    eventually(lambda: app.taken() == [{"id": i, "note": None} for i in range(3)], "all come, in order", LONG_S)
    eventually(lambda: committed("patient") == 3, "and are committed", LONG_S)


@test("a component may be exchanged while the registry is silent")
def silent_registry():
    id_ = REGISTRY.register("silent", ORDER)
    app, door, over = Inbox(), Door(REGISTRY), threading.Event()
    door.trouble = lambda request: None if over.wait(LONG_S) else answer(503)
    side = sidecar(subscription("silent"), app=app, registry=door.url)
    pid = side.plugin_pid("kafka")
    SERVER.produce("silent", encoded(ORDER, {"id": 0, "note": None}, id_))
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(send(side, "silent", {"id": 1}))) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: sorted(set(door.paths())) == [f"/schemas/ids/{id_}", "/subjects/silent-value/versions/latest"],
               "it is asked for both", LONG_S)
    side.exchange("bus", bus(REGISTRY.url))
    for thread in threads:
        thread.join()
    for reply in replies:
        need(reply.status == 204 or "Timeout" in reply.text or "timed out" in reply.text or "closed" in reply.text,
             f"publish: {reply.status} {reply.text}")
    sent = [reply.status for reply in replies].count(204)
    eventually(lambda: len(app.taken()) == 1 + sent, "what was published is delivered", LONG_S)
    over.set()
    need(side.plugin_pid("kafka") == pid, f"the plugin's process: {side.log()[-6000:]}")


@test("an id that the registry does not know holds its partition, or is skipped")
def unknown_id():
    id_ = REGISTRY.register("riddle", ORDER)
    values = [b"\0\0\x0f\x42\x3f\x02", b'{"id":1}', encoded(ORDER, {"id": 5, "note": "x"}, id_)[:-1],
              encoded(ORDER, {"id": 1, "note": None}, id_)]
    for value in values:
        SERVER.produce("riddle", value)
    app, door = Inbox(), Door(REGISTRY)
    side = sidecar(subscription("riddle"), app=app, registry=door.url)
    eventually(lambda: door.paths().count("/schemas/ids/999999") >= 3, "the registry is asked again and again", LONG_S)
    equal((app.taken(), committed("riddle")), ([], 0), "nothing is handed over")
    need("40403" in side.log(), side.log()[-1000:])
    side.stop()
    hasty = sidecar(subscription("riddle"), app=app, consumeRetryEnabled="false")
    eventually(lambda: app.taken() == [{"id": 1, "note": None}], "the good one is delivered", LONG_S)
    eventually(lambda: committed("riddle") == 4, "all are done with", LONG_S)
    for words in ("value has no schema id in front", "cannot decode binary record"):
        need(words in hasty.log(), f"{words}: {hasty.log()[-1500:]}")


@test("a small record that would be much JSON is refused, and others of it are not")
def bomb():
    nulls = {"type": "array", "items": "null"}
    id_ = REGISTRY.register("bomb", nulls)
    SERVER.produce("bomb", struct.pack(">bI", 0, id_) + b"\xfe\xff\xff\xff\x0f")
    SERVER.produce("bomb", encoded(nulls, [None] * 1000, id_))
    app = Inbox()
    side = sidecar(subscription("bomb"), app=app, consumeRetryEnabled="false")
    eventually(lambda: app.taken() == [[None] * 1000], "the second one is delivered", LONG_S)
    need("the value is too large as JSON" in side.log(), side.log()[-1000:])


@test("schemas are remembered as the metadata say")
def remembered():
    REGISTRY.register("kept", ORDER)
    door = Door(REGISTRY)
    side, brief = sidecar(registry=door.url), sidecar(registry=door.url, schemaLatestVersionCacheTTL="1ms")
    forgetful = sidecar(registry=door.url, schemaCachingEnabled="false")
    for one, questions in ((side, 1), (brief, 3), (forgetful, 3)):
        door.take()
        for i in range(3):
            publish(one, "kept", {"id": i})
        equal(len(door.take()), questions, "questions")
    newer = {**ORDER, "fields": ORDER["fields"] + [{"name": "more", "type": "int", "default": 0}]}
    id_ = REGISTRY.register("kept", newer)
    publish(brief, "kept", {"id": 1, "more": 2})
    equal(SERVER.records("kept", 10)[-1].value, encoded(newer, {"id": 1, "note": None, "more": 2}, id_), "the newer one")
    refused(side, "kept", {"id": 1, "more": 2}, "cannot determine codec")


@test("so many schemas are remembered and no more: the one that was of use the longest ago goes")
def bounded():
    door, app = Door(REGISTRY), Inbox()
    door.trouble = lambda request: answer(200, b'{"schema":"\\"long\\""}')
    side = sidecar(subscription("bounded"), app=app, registry=door.url)
    producer = kafka_node.client().KafkaProducer(bootstrap_servers=SERVER.address())

    def deliver(*ids):
        before = len(app.taken())
        for id_ in ids:
            producer.send("bounded", encoded("long", id_, id_))
        producer.flush()
        eventually(lambda: app.taken()[before:] == list(ids), "they are delivered", LONG_S)
        return [int(path.rsplit("/", 1)[1]) for path in (request.target for request in door.take())]

    try:
        equal(deliver(*range(300), *range(100, 300)), list(range(300)), "each is asked for once")
        equal(deliver(299, 44, 43, 44), [43], "what was of use is known, what was forgotten is asked for")
    finally:
        producer.close()
    need(side.is_alive(), "the sidecar is well")


@test("a registry that asks for a login gets it, over TLS, and nobody else does")
def login():
    folder = Folder()
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    id_ = REGISTRY.register("safe", ORDER)
    door = Door(REGISTRY, login="key:hush-hush", tls=context)
    secrets = {"schemaRegistryAPIKey": "key", "schemaRegistryAPISecret": "hush-hush"}
    trusting = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": cert}
    side = sidecar(registry=door.url, env=trusting, **secrets)
    publish(side, "safe", {"id": 1})
    equal(SERVER.records("safe", 1)[0].value, encoded(ORDER, {"id": 1, "note": None}, id_), "the record")
    wrong = sidecar(registry=door.url, env=trusting, schemaRegistryAPIKey="key", schemaRegistryAPISecret="hush-wrong")
    refused(wrong, "safe", {"id": 1}, "who are you?")
    asked = len(door.requests)
    strange = sidecar(registry=door.url, **secrets)
    refused(strange, "safe", {"id": 1}, "certificate")
    equal(len(door.requests), asked, "who is not trusted is asked nothing")
    for one in (side, wrong, strange):
        need("hush" not in one.log(), "no secret is in the log")


@test("a registry that talks nonsense harms nobody")
def babbler():
    REGISTRY.register("noise", ORDER)
    door = Door(REGISTRY)
    side = sidecar(registry=door.url)
    pid = side.plugin_pid("kafka")
    deep = json.dumps({"id": 1, "schema": '{"type":"array","items":' * 500 + '"int"' + "}" * 500})
    for body, words in [(b'{"id":1,"schemaType":"JSON","schema":"{}"}', "the schema is not one of Avro"), (b"", "cannot be read"), (b"[]", "has no id"), (b'{"id":1}', "has no schema"),
                        (b'{"id":"1","schema":"x"}', "has no id"), (b'{"id":1,"schema":7}', "has no schema"),
                        (b'{"id":1,"schema":"{"}', "cannot unmarshal schema JSON"), (b"[" * 100_000, "nested too deeply"),
                        (deep.encode(), "nested too deeply"), (b" " * 3_000_000, "too large"),
                        (b'{"id":1,"schema":"\\"integer\\""}', 'unknown type name: \\"integer\\"')]:
        door.trouble = lambda request, body=body: answer(200, body)
        refused(side, "noise", {"id": 1}, words)
    door.trouble = lambda request: None
    publish(side, "noise", {"id": 1})
    equal(side.plugin_pid("kafka"), pid, "the plugin's process")


@test("a binding writes Avro, and gives what it reads as it is")
def binding():
    id_ = REGISTRY.register("bound", ORDER)
    data = encoded(ORDER, {"id": 1, "note": "x"}, id_)
    got = []

    def take(request, exchange):
        got.append(request.body)
        return answer(200, b"")

    app = App(take)
    out = component("out", "bindings.kafka", {"brokers": SERVER.address(), "authType": "none", "initialOffset": "oldest",
                                              "publishTopic": "bound", "topics": "bound", "consumerGroup": "bound",
                                              "schemaRegistryURL": REGISTRY.url})
    side = Sidecar(out, app_id="bound", flags=["--app-port", str(app.port)])
    reply = invoke(side, "out", {"id": 1, "note": "x"}, valueSchemaType="avro")
    equal(reply.status, 204, reply.text)
    equal(SERVER.records("bound", 1)[0].value, data, "the record")
    eventually(lambda: data in got, "the event", LONG_S)


main(end_sidecars)
