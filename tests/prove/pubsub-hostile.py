# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment pubsub-hostile: clients and an application that mean harm. Publishers name what does not exist or is not
theirs, send envelopes and batches that are none, or too large; the application answers garbage, too much, for entries it
never got, or never; rules fail when they are evaluated. Each gets the reference's answer, or is handled as it would be,
while an innocent publisher's events go on arriving. Then bodies are made up at random (SEED=n)."""
import _prove

import sdk  # noqa: F401  isort: skip

import json
import threading
import time

import grpc
import http_app
import measure
import remora
from _prove import by_length

MADE_UP = by_length(200, 3000, 30000)
GROWTH_MIB_MAX = 16  # of the sidecar, beyond an idle one
HANG_S = 60
claims = _prove.Claims()
JSON, EVENT = "application/json", "application/cloudevents+json"


# --- the application --------------------------------------------------------------------------------------------------


def plain(status, body=b""):
    return lambda event: http_app.answer(status, body, [("Content-Type", JSON)])


def raw(data):
    return lambda event: data


def statuses(make):
    """An answer to a batch, made from the ids of its entries."""
    return lambda batch: http_app.answer(200, json.dumps({"statuses": make([e["entryId"] for e in batch["entries"]])}).encode())


def status(entry_id, word="SUCCESS"):
    return {"entryId": entry_id, "status": word}


# What the application answers, and whether that is a failure, for which there is a dead letter.
ANSWERS = {
    "an empty body": (plain(200), False),
    "garbage where JSON is due": (plain(200, b"{oops"), False),
    "a list": (plain(200, b"[1]"), False),
    "nested too deep": (plain(200, b'{"status":' * 5000), False),
    "a status that is a number": (plain(200, b'{"status":5}'), False),
    "a status nobody knows": (plain(200, b'{"status":"MAYBE"}'), True),
    "a status in lower case": (plain(200, b'{"status":"success"}'), True),
    "SUCCESS under 503": (plain(503, b'{"status":"SUCCESS"}'), True),
    "a redirection": (raw(http_app.answer(302, headers=[("Location", "/in/plain")])), True),
    "404": (plain(404), True),
    "418": (plain(418, b"short and stout"), True),
    "no HTTP": (raw(b"\x00\x01\x02 what is this?\r\n\r\n"), True),
    "a status line that is none": (raw(b"HTTP/1.1 abc\r\n\r\n"), True),
    "a head that is cut": (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), True),
    "a body that is cut": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"), True),
    "chunks that are none": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"), True),
    "two lengths": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), True),
    "a header of a megabyte": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n"), True),
    "a body of 64 MiB": (lambda event: http_app.answer(200, b"x" * (64 << 20)), True),
    "the end of the connection": (lambda event: None, True),
}
# For a batch of three: what is answered, and which of them become dead letters.
BATCHES = {
    "nothing": (plain(200), [0, 1, 2]),
    "garbage": (plain(200, b"{oops"), [0, 1, 2]),
    "an empty list": (statuses(lambda ids: []), [0, 1, 2]),
    "entries it never got": (statuses(lambda ids: [status(f"not-{i}") for i in ids]), [0, 1, 2]),
    "one of three": (statuses(lambda ids: [status(ids[1])]), [0, 2]),
    "the same entry twice": (statuses(lambda ids: [status(ids[0])] + [status(ids[0], "RETRY")] * 5), [1, 2]),
    "what is no status": (statuses(lambda ids: [5, None, [], {"entryId": 7}, {"status": "SUCCESS"}, status(ids[2])]), [0, 1]),
    "statuses nobody knows": (statuses(lambda ids: [status(i, "MAYBE") for i in ids]), [0, 1, 2]),
    "a hundred thousand strangers": (statuses(lambda ids: [status(f"{n}") for n in range(100000)]), [0, 1, 2]),
    "all, and strangers": (statuses(lambda ids: [status("x")] + [status(i) for i in ids] + [status("y")]), []),
    "500": (plain(500), [0, 1, 2]),
    "404": (plain(404), []),
    "no HTTP": (raw(b"\xff" * 100), [0, 1, 2]),
}


class Harm:
    """Answers as the event asks; an innocent one is answered well."""

    def __init__(self):
        self.lock, self.got, self.is_free = threading.Lock(), [], threading.Event()
        self.app = http_app.App(self.take)

    def take(self, request, exchange):
        event = json.loads(request.body)
        with self.lock:
            self.got.append((request.target, event))
        if request.target in ("/in/app", "/in/timed"):
            answers = ANSWERS
        elif request.target == "/in/gather":
            answers, event = BATCHES, event
        else:
            return http_app.answer(200, b"{}")
        first = event["entries"][0]["event"] if request.target == "/in/gather" else event
        name = first["data"]["do"]
        if name == "hang":
            self.is_free.wait(HANG_S)
            return None
        reply = answers[name][0](event)
        if reply is not None:
            exchange.send(reply)
        # After what is no answer nothing more can come.
        if reply and reply.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in reply and name not in ("a body that is cut", "two lengths"):
            return b""
        return None

    def at(self, target):
        with self.lock:
            return [event for path, event in self.got if path == target]


# --- the sidecar ------------------------------------------------------------------------------------------------------


def subscription(name, topic, pubsub="bus", **more):
    spec = {"pubsubname": pubsub, "topic": topic, "routes": {"default": "/in/" + topic}, **more}
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": name}, "spec": spec})


RULES = [
    {"match": "event.data.size > 3", "path": "/in/large"},  # text has no size
    {"match": "1 / event.data.zero == 1", "path": "/in/zero"},
    {"match": 'event.data.text.matches("(a+)+$") && event.data.text.matches("(a|aa)+$")', "path": "/in/slow"},
    {"match": "event.data.list[7] == 1", "path": "/in/beyond"},
    {"match": "int(event.data.text) == 5", "path": "/in/number"},
    {"match": "event.nothing.of.this == 1", "path": "/in/nothing"},
]
POLICY = json.dumps({
    "apiVersion": "dapr.io/v1alpha1", "kind": "Resiliency", "metadata": {"name": "patience"}, "spec": {
        "policies": {"timeouts": {"short": "1s"}, "retries": {"once": {"policy": "constant", "duration": "10ms", "maxRetries": 1}}},
        "targets": {"components": {"slow": {"inbound": {"timeout": "short", "retry": "once"}}}}}})  # fmt: skip


def bed():
    harm = Harm()
    sidecar = remora.Sidecar(
        remora.component("bus", "pubsub.in-memory"), remora.component("slow", "pubsub.in-memory"), POLICY,
        remora.component("scoped", "pubsub.in-memory", {"publishingScopes": "shop=open", "protectedTopics": "vip"}),
        subscription("plain", "plain"), subscription("app", "app", deadLetterTopic="dead"), subscription("dead", "dead"),
        subscription("timed", "timed", "slow", deadLetterTopic="late"), subscription("late", "late", "slow"),
        subscription("gather", "gather", deadLetterTopic="dead", bulkSubscribe={"enabled": True, "maxMessagesCount": 3,
                                                                                 "maxAwaitDurationMs": 5000}),
        subscription("ruled", "ruled", routes={"rules": RULES, "default": "/in/rest"}),
        subscription("broken", "broken", routes={"rules": [{"match": "event.type ==", "path": "/x"}], "default": "/in/broken"}),
        subscription("raw", "raw", metadata={"rawPayload": "true"}),
        flags=["--app-port", str(harm.app.port)])  # fmt: skip
    return harm, sidecar


class Innocent(threading.Thread):
    """Publishes one event after another while the others are at it."""

    def __init__(self, sidecar):
        super().__init__(daemon=True)
        self.sidecar, self.is_over, self.sent, self.bad = sidecar, threading.Event(), 0, []
        self.start()

    def run(self):
        while not self.is_over.wait(0.005):
            reply = publish(self.sidecar, "bus/plain", json.dumps({"innocent": self.sent}))
            self.sent += 1
            if reply.status != 204:
                self.bad.append(reply)


def publish(sidecar, target, body, kind=JSON, prefix="/v1.0/publish/"):
    body = body if isinstance(body, bytes) else body.encode()
    return sidecar.call("POST", prefix + target, body, [("Content-Type", kind)])


def seen(condition, what, seconds=30):
    try:
        remora.eventually(condition, what, seconds * remora.SLOW)
    except AssertionError:
        return False
    return True


# --- publishers -------------------------------------------------------------------------------------------------------

DEEP = '{"a":' * 3000 + "1" + "}" * 3000
LARGE = "x" * (4 * 1024 * 1024 + 1)
MARSHAL = "error marshaling events to bytes for topic t pubsub bus. error: "
UNMARSHAL = "error when unmarshaling the request for topic t pubsub bus: "
ENTRY = {"entryId": "1", "event": 1, "contentType": JSON}
NOT_FOUND = (404, "ERR_PUBSUB_NOT_FOUND", "pubsub ghost is not found")
FORBIDDEN = (403, "ERR_PUBSUB_FORBIDDEN", "topic {} is not allowed for app id shop")
NO_EVENT = (500, "ERR_PUBSUB_CLOUD_EVENTS_SER", "cannot create cloudevent")
BAD_RAW = (400, "ERR_PUBSUB_REQUEST_METADATA", "failed deserializing metadata. Error: rawPayload value must be a valid boolean: "
           "actual is 'maybe'")  # fmt: skip
NO_TARGET = (404, "ERR_DIRECT_INVOKE", "failed getting app id either from the URL path or the header dapr-app-id")
TOO_LARGE = (400, "ERR_MALFORMED_REQUEST", "stream too large")
# What is published how, and its status, code and words.
REFUSED = [
    ("ghost/t", "1", JSON, *NOT_FOUND),
    ("bulk/ghost/t", "[]", JSON, *NOT_FOUND),
    ("bus/", "1", JSON, *NO_TARGET),
    ("/t", "1", JSON, *NO_TARGET),
    ("scoped/shut", "1", JSON, *FORBIDDEN),
    ("scoped/vip", "1", JSON, *FORBIDDEN),
    ("bulk/scoped/shut", json.dumps([ENTRY]), JSON, *FORBIDDEN),
    ("bus/t", "{", EVENT, *NO_EVENT),
    ("bus/t", "[]", EVENT, *NO_EVENT),
    ("bus/t", '"text"', EVENT, *NO_EVENT),
    ("bus/t", "", EVENT, *NO_EVENT),
    ("bus/t", DEEP, EVENT, *NO_EVENT),
    ("bus/t", b'{"id":"\xff\xfe"', EVENT, *NO_EVENT),
    ("bus/t", json.dumps({f"m{i}": i for i in range(20000)}), EVENT, *NO_EVENT),
    ("bus/t", json.dumps(LARGE), JSON, *TOO_LARGE),
    ("bulk/bus/t", json.dumps([{**ENTRY, "event": LARGE}]), JSON, *TOO_LARGE),
    ("bus/t?metadata.rawPayload=maybe", "1", JSON, *BAD_RAW),
    ("bulk/bus/t?metadata.rawPayload=maybe", "[]", JSON, *BAD_RAW),
    ("bulk/bus/t", "", JSON, 400, "ERR_PUBSUB_EVENTS_SER", UNMARSHAL + "EOF"),
    ("bulk/bus/t", "[{", JSON, 400, "ERR_PUBSUB_EVENTS_SER", UNMARSHAL + "unexpected EOF"),
    ("bulk/bus/t", "{}", JSON, 400, "ERR_PUBSUB_EVENTS_SER",
     UNMARSHAL + "json: cannot unmarshal object into Go value of type []http.bulkPublishMessageEntry"),
    ("bulk/bus/t", json.dumps([ENTRY, ENTRY]), JSON, 400, "ERR_PUBSUB_EVENTS_SER",
     MARSHAL + "entryId is duplicated or not present for entry"),
    ("bulk/bus/t", json.dumps([{**ENTRY, "entryId": ""}]), JSON, 400, "ERR_PUBSUB_EVENTS_SER",
     MARSHAL + "entryId is duplicated or not present for entry"),
    ("bulk/bus/t", json.dumps([{**ENTRY, "contentType": "text/plain"}]), JSON, 400, "ERR_PUBSUB_EVENTS_SER",
     "error when marshalling cloud event envelope for topic t pubsub bus: error: mismatch between contentType and event"),
]  # fmt: skip
# Envelopes that are delivered all the same, with what the application gets of them.
TOLERATED = [
    ("{}", {"specversion": "1.0", "pubsubname": "bus", "topic": "plain"}),
    ('{"data":1}', {"data": 1, "topic": "plain"}),
    ('{"traceid":5,"traceparent":{"a":[1]},"tracestate":[null],"data":2}', {"data": 2}),
    ('{"id":7,"source":[],"type":null,"data":3}', {"data": 3}),
    ('{"datacontenttype":9,"data":"text","expiration":"yesterday","time":{}}', {"data": "text"}),
    ('{"topic":"other","pubsubname":"ghost","data":4}', {"data": 4, "topic": "plain", "pubsubname": "bus"}),
    ('{"data_base64":"%%%","data":5}', {"data": 5}),
]


def refusals(sidecar):
    bad = []
    for target, body, kind, code, name, words in REFUSED:
        got = publish(sidecar, target, body, kind)
        words = words.format(target.rpartition("/")[2])
        if (got.status, got.json.get("errorCode"), got.json.get("message")) != (code, name, words):
            bad.append(f"{target} {body[:40]!r}: {got.status} {got.text[:300]}")
    return bad


def over_grpc(sidecar):
    from dapr.proto import api_service_v1, api_v1

    entry = api_v1.BulkPublishRequestEntry(entry_id="1", event=b"1", content_type=JSON)
    single, bulk = api_v1.PublishEventRequest, api_v1.BulkPublishRequest
    at = {"pubsub_name": "bus", "topic": "t"}
    cases = [
        (single(topic="t"), "INVALID_ARGUMENT", "pubsub name is empty"),
        (single(pubsub_name="ghost", topic="t"), "INVALID_ARGUMENT", "pubsub ghost is not found"),
        (single(pubsub_name="bus"), "INVALID_ARGUMENT", "topic is empty in pubsub bus"),
        (single(pubsub_name="scoped", topic="shut"), "PERMISSION_DENIED", "topic shut is not allowed for app id shop"),
        (single(data=b"{", data_content_type=EVENT, **at), "INVALID_ARGUMENT", "cannot create cloudevent"),
        (single(data=DEEP.encode(), data_content_type=EVENT, **at), "INVALID_ARGUMENT", "cannot create cloudevent"),
        (single(data=b"1", metadata={"rawPayload": "maybe"}, **at), "INVALID_ARGUMENT", BAD_RAW[2]),
        (single(data=LARGE.encode(), **at), "RESOURCE_EXHAUSTED", None),
        (bulk(pubsub_name="ghost", topic="t", entries=[entry]), "INVALID_ARGUMENT", "pubsub ghost is not found"),
        (bulk(pubsub_name="scoped", topic="shut", entries=[entry]), "PERMISSION_DENIED", "topic shut is not allowed for app id shop"),
        (bulk(entries=[entry, entry], **at), "INVALID_ARGUMENT", MARSHAL + "entryId is duplicated or not present for entry"),
        (bulk(entries=[api_v1.BulkPublishRequestEntry(event=b"1")], **at), "INVALID_ARGUMENT",
         MARSHAL + "entryId is duplicated or not present for entry"),
    ]  # fmt: skip
    bad = []
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}", options=options) as channel:
        stub = api_service_v1.DaprStub(channel)
        for request, code, words in cases:
            call = stub.BulkPublishEvent if isinstance(request, bulk) else stub.PublishEvent
            try:
                call(request, timeout=30)
                bad.append(f"{str(request)[:80]!r}: no error")
            except grpc.RpcError as error:
                if error.code().name != code or words not in (None, error.details()):
                    bad.append(f"{str(request)[:80]!r}: {error.code().name} {error.details()}")
    return bad


def envelopes(sidecar, harm):
    bad = []
    for number, (body, wanted) in enumerate(TOLERATED):
        before = len([e for e in harm.at("/in/plain") if "innocent" not in str(e.get("data"))])
        got = publish(sidecar, "bus/plain", body, EVENT)

        def ours():
            return [e for e in harm.at("/in/plain") if "innocent" not in str(e.get("data"))][before:]

        if got.status != 204 or not seen(ours, "the event"):
            bad.append(f"{body}: {got.status} {got.text[:200]}, {len(ours())} delivered")
        elif any(ours()[0].get(key) != value for key, value in wanted.items()):
            bad.append(f"{body}: {ours()[0]}")
    # To a raw subscription whatever bytes go through; where an envelope is due they are dropped.
    for data in (b"{", b"\x00\xff", b"", b'"'):
        got = publish(sidecar, "bus/raw?metadata.rawPayload=true", data)
        also = publish(sidecar, "bus/plain?metadata.rawPayload=true", data)
        if (got.status, also.status) != (204, 204):
            bad.append(f"raw {data!r}: {got.text} {also.text}")
    if not seen(lambda: len(harm.at("/in/raw")) == 4, "raw events"):
        bad.append(f"of 4 raw events {len(harm.at('/in/raw'))} were delivered")
    return bad


# --- the application's answers ----------------------------------------------------------------------------------------


def letters(harm, name):
    return [e["data"].get("n", 0) for e in harm.at("/in/dead") if e["data"].get("do") == name]


def answers(sidecar, harm):
    for name in ANSWERS:
        publish(sidecar, "bus/app", json.dumps({"do": name}))
    wanted = {name: int(is_failure) for name, (_, is_failure) in ANSWERS.items()}

    def counts():
        times = [e["data"]["do"] for e in harm.at("/in/app")]
        return {name: (times.count(name), len(letters(harm, name))) for name in ANSWERS}

    seen(lambda: counts() == {name: (1, n) for name, n in wanted.items()}, "every answer is judged")
    return [f"{name}: asked {times} times, {dead} dead letters, {wanted[name]} wanted"
            for name, (times, dead) in counts().items() if (times, dead) != (1, wanted[name])]  # fmt: skip


def batches(sidecar, harm):
    bad = []
    for name, (_, dead) in BATCHES.items():
        entries = [{"entryId": str(n), "event": {"do": name, "n": n, "batch": True}, "contentType": JSON} for n in range(3)]
        got = publish(sidecar, "bulk/bus/gather", json.dumps(entries))

        def ours():
            return sorted(e["data"]["n"] for e in harm.at("/in/dead") if e["data"].get("batch") and e["data"]["do"] == name)

        def asked():
            return [e for e in harm.at("/in/gather") if e["entries"][0]["event"]["data"]["do"] == name]

        if got.status != 204 or not seen(lambda: asked() and ours() == dead, "the batch is judged"):
            bad.append(f"{name}: {got.status}, asked {len(asked())} times, dead letters {ours()}, wanted {dead}")
    return bad


def hanging(sidecar, harm):
    """Under a policy with a timeout and one more try: two calls, then a dead letter. Others do not wait for it."""
    began = time.monotonic()
    publish(sidecar, "slow/timed", json.dumps({"do": "hang"}))
    is_late = seen(lambda: harm.at("/in/late"), "the dead letter")
    took = time.monotonic() - began
    seen(lambda: len(harm.at("/in/timed")) >= 2, "the application has read both calls")  # which it may do later than that
    harm.is_free.set()
    times = len(harm.at("/in/timed"))
    claims.holds("an application that hangs is called twice under its policy, then there is a dead letter",
                 is_late and times == 2 and took < HANG_S / 2, f"{times} calls, {took:.1f} s")  # fmt: skip


def rules(sidecar, harm):
    bad = []
    events = [
        ("text has no size", '"text"', "text/plain", "/in/rest"),
        ("a division by zero", '{"zero":0}', JSON, "/in/rest"),
        ("a pattern that explodes", json.dumps({"text": "a" * 5000 + "b"}), JSON, "/in/rest"),
        ("beyond the list", '{"list":[1]}', JSON, "/in/rest"),
        ("text that is no number", '{"text":"five"}', JSON, "/in/rest"),
        ("a number for a text", '{"size":"9"}', JSON, "/in/rest"),
        ("one that matches", '{"size":9}', JSON, "/in/large"),
    ]
    for name, body, kind, path in events:
        before = len(harm.at(path))
        began = time.monotonic()
        publish(sidecar, "bus/ruled", body, kind)
        if not seen(lambda: len(harm.at(path)) == before + 1, name):
            bad.append(f"{name}: {path} did not get it")
        elif time.monotonic() - began > 2 * remora.SLOW * _prove.PATIENCE:
            bad.append(f"{name}: it took {time.monotonic() - began:.1f} s")
    if publish(sidecar, "bus/broken", "1").status != 204 or harm.at("/in/broken") or harm.at("/x"):
        bad.append("a rule that does not compile was used")
    if "Subscription broken is not used: spec.routes.rules: column 14: an expression is missing" not in sidecar.log():
        bad.append("the log does not name the column of a rule that does not compile")
    return bad


# --- made up ----------------------------------------------------------------------------------------------------------

SEEDS = [
    b'{"id":"a","source":"b","type":"c","specversion":"1.0","data":{"x":[1,2.5e3,null,true,"\\u00e9"]},"traceparent":"00-1"}',
    b'[{"entryId":"1","event":{"a":1},"contentType":"application/json","metadata":{"ttlInSeconds":"5"}}]',
    b'[{"entryId":"1","event":"aGk=","contentType":"application/octet-stream"},{"entryId":"2","event":"t","contentType":"text/x"}]',
]
TOKENS = [b'"', b"{", b"}", b"[", b"]", b":", b",", b"null", b"\\u0000", b"\\ud800", b"\xff", b"1e999", b"-", b'"id":', b"\x00"]


def made_up(rng):
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        piece = rng.choice(TOKENS) if rng.random() < 0.7 else bytes([rng.randrange(256)])
        if rng.random() < 0.5:
            data[at:at] = piece
        else:
            data[at : at + rng.randint(1, 8)] = piece
    return bytes(data)


def at_random(sidecar):
    bad, connection = [], remora.Connection(sidecar.address)
    for number in range(MADE_UP):
        body = made_up(_prove.rng)
        target = _prove.rng.choice(["bus/nobody", "bulk/bus/nobody", "bus/plain", "bus/ruled", "bulk/bus/plain"])
        kind = _prove.rng.choice([JSON, EVENT, EVENT, "text/plain"])
        connection.send(remora.request_bytes("POST", "/v1.0/publish/" + target, [("Content-Type", kind)], body))
        got = connection.reply("POST")
        if got.status not in (204, 400, 500) or (got.status != 204 and not got.json["errorCode"].startswith("ERR_PUBSUB_")):
            bad.append(f"{target} {kind} {body!r}: {got}")
    connection.close()
    return bad


# --- all of it --------------------------------------------------------------------------------------------------------


def judge(what, bad):
    for line in bad[:5]:
        _prove.say(line[:400])
    claims.holds(what, not bad, f"{len(bad)} wrong" if bad else "")
    return len(bad)


harm, sidecar = bed()
remora.eventually(lambda: publish(sidecar, "bus/plain", '"first"').status == 204 and harm.at("/in/plain"), "events arrive")
idle_mib = measure.pss_kib([sidecar.pid]) / 1024
innocent = Innocent(sidecar)
judge(f"{len(REFUSED)} requests are refused in the reference's words", refusals(sidecar))
judge("the same over gRPC", over_grpc(sidecar))
judge(f"{len(TOLERATED)} odd envelopes and raw bytes are delivered as they are", envelopes(sidecar, harm))
judge(f"{len(ANSWERS)} answers of an application are judged as by the reference", answers(sidecar, harm))
judge(f"{len(BATCHES)} answers for batches too", batches(sidecar, harm))
hanging(sidecar, harm)
judge("a rule that fails matches nothing, and costs little", rules(sidecar, harm))
judge(f"{MADE_UP} made-up bodies are taken or refused", at_random(sidecar))
innocent.is_over.set()
innocent.join()
arrived = seen(lambda: sum("innocent" in str(e.get("data")) for e in harm.at("/in/plain")) >= innocent.sent, "the innocent's")
claims.holds("an innocent publisher's events all arrive meanwhile", arrived and not innocent.bad, f"{innocent.sent} events")
claims.holds("the sidecar lives", sidecar.is_alive())
growth = measure.pss_kib([sidecar.pid]) / 1024 - idle_mib
if not _prove.SANITIZED:
    claims.at_most("what the sidecar has grown by, MiB", growth, GROWTH_MIB_MAX)
_prove.stop(sidecar)
claims.end(f"{len(REFUSED) + len(TOLERATED) + len(ANSWERS) + len(BATCHES)} harms and {MADE_UP} made-up bodies, each answered as "
           f"by the reference, beside {innocent.sent} events of an innocent publisher")
