# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""golden/pubsub both ways: what was published through the reference is published again through ours, single, raw, in bulk,
over HTTP and gRPC, with every component of the recording, and leaves the same streams, entries, groups and deliveries; and
the streams that the reference has left are read by ours."""

import sdk  # noqa: F401  (the generated modules of the SDK)

import base64
import json
import os
import re

import grpc
from dapr.proto import api_service_v1, api_v1
from http_app import App, answer
from inbox import subscription
from remora import Redis, Sidecar, component, equal, eventually, main, need, shared, test

EXPECTED = json.load(open(shared("golden", "pubsub", "redis-expected.json")))
DATABASE = 3
JSON = [("Content-Type", "application/json")]
RUN = {"id": r"[0-9a-f]{8}-[0-9a-f-]{27}", "time": r"20[2-9][0-9]-[^Z]*[Z0-9:+]*", "expiration": r"20.*"}


class Recorded(App):
    """Answers as the application of the recording did."""

    def __init__(self):
        super().__init__(self.take)

    def init(self, request):
        if request.target != "/dapr/subscribe":
            return answer(404)
        return answer(200, json.dumps(EXPECTED["subscriptions_answered_by_the_app"]).encode(), JSON)

    def take(self, request, exchange):
        if request.target == "/dl-fail":
            return answer(500)
        if request.target == "/bulks":
            ids = [entry["entryId"] for entry in json.loads(request.body)["entries"]]
            return answer(200, json.dumps({"statuses": [{"entryId": i, "status": "SUCCESS"} for i in ids]}).encode(), JSON)
        return answer(200, json.dumps({"status": "DROP" if request.target == "/drop" else "SUCCESS"}).encode(), JSON)


def without_run(value):
    """What differs from run to run is put out of sight."""
    if isinstance(value, list):
        return [without_run(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: "RUN" if isinstance(part, str) and name in RUN and re.fullmatch(RUN[name], part) else without_run(part)
            for name, part in value.items()}


def ordered(value):
    """Bytes that are no text are damaged by the reference, and kept by ours."""
    if isinstance(value, dict) and value.get("data") == "\0\ufffd":
        value["data_base64"] = "AP8="
        del value["data"]
    return json.dumps(value, sort_keys=True)


def parsed(text):
    """Numbers as they are written; what is no JSON as it is. The reference writes data again, ours keeps them."""
    try:
        value = without_run(json.loads(text, parse_int=str, parse_float=str))
    except ValueError:
        return text
    return ordered(value)


def text_of(data):
    return data.decode("utf-8", "surrogateescape")


def streams(redis):
    """By name: its entries, and its groups with what is pending."""
    found = {}
    for name in redis.command("KEYS", "*", database=DATABASE):
        entries = []
        for _, flat in redis.command("XRANGE", name, "-", "+", database=DATABASE):
            fields = dict(zip(map(text_of, flat[::2]), map(text_of, flat[1::2])))
            entries.append((parsed(fields["data"]), parsed(fields["metadata"]) if "metadata" in fields else "none"))
        groups = []
        for flat in redis.command("XINFO", "GROUPS", name, database=DATABASE):
            group = dict(zip(map(text_of, flat[::2]), flat[1::2]))
            groups.append((text_of(group["name"]), group["pending"]))
        found[text_of(name)] = (sorted(entries), sorted(groups))
    return found


def raw_body(body):
    if isinstance(body, dict) and set(body) == {"b64"}:
        return base64.b64decode(body["b64"])
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()


def publish(side, stub, step):
    if step["via"] == "http":
        target = step["request"].split(" ")[1]
        body = step["body"]
        if "bulk" in target:
            data, headers = (body if isinstance(body, str) else json.dumps(body)).encode(), JSON
        else:
            data, headers = raw_body(body), [("Content-Type", step["content_type"]), *step["headers"].items()]
        equal(side.call("POST", target, data, headers).status, step["status"], step["request"])
        return
    _, broker, topic, *kind = step["request"].replace(",", "").split(" ")
    data = base64.b64decode(step["data_b64"]) if "data_b64" in step else step["data"].encode()
    kind = kind[0] if kind and "/" in kind[0] else ""
    stub.PublishEvent(api_v1.PublishEventRequest(pubsub_name=broker, topic=topic, data=data, data_content_type=kind))


def delivery(target, body, headers):
    event = json.loads(body, parse_int=str, parse_float=str)
    if target == "/bulks":
        for entry in event["entries"]:
            entry["entryId"] = "RUN"
        event["entries"].sort(key=lambda entry: str(entry["event"].get("data")))
    elif target == "/rawt":  # an envelope may be inside
        event["data_base64"] = parsed(text_of(base64.b64decode(event["data_base64"])))
    return target, ordered(without_run(event)), {name.lower(): value for name, value in headers.items()}.get("pubsubname")


def of_requests(entries):
    """Ours keeps what a bulk request says of all its entries with those, too, that say nothing themselves."""
    return [(data, "none" if metadata == '{"rawPayload": "true"}' else metadata) for data, metadata in entries]


@test("what is published leaves the reference's streams, groups and deliveries", "PUB-U13 REPLAY")
def ours():
    theirs, redis, app = Redis("--appendonly", "no", dump=shared("golden", "pubsub", "redis.rdb")), Redis(), Recorded()
    components = [text.replace("HOST:PORT", f"127.0.0.1:{redis.port}") for text in EXPECTED["components_yaml"]]
    env = {"PATH": os.environ["PATH"], **EXPECTED["env"]}
    side = Sidecar(*components, app_id=EXPECTED["app_id"], env=env, flags=["--app-port", str(app.port)])
    with grpc.insecure_channel(f"127.0.0.1:{side.grpc_port}") as channel:
        stub = api_service_v1.DaprStub(channel)
        for step in EXPECTED["publishes_in_order"]:
            publish(side, stub, step)
    wanted = [delivery(one["path"], one["body"], one["headers"]) for one in EXPECTED["deliveries_in_order"]]
    expected = streams(theirs)
    need(len(expected) == 13 and len(wanted) > 20, "the recording is here")

    def got():
        return [delivery(r.target, r.body, dict(r.headers)) for r in app.requests]

    eventually(lambda: len(got()) >= len(wanted), "all is delivered", 30)
    eventually(lambda: all(not pending for _, groups in streams(redis).values() for _, pending in groups), "all is settled")
    found = streams(redis)
    equal(sorted(found), sorted(expected), "the streams")
    for name in expected:
        equal(of_requests(found[name][0]), of_requests(expected[name][0]), f"the entries of {name}")
        equal(found[name][1], expected[name][1], f"the groups of {name}")
    equal(sorted(map(str, got())), sorted(map(str, wanted)), "the deliveries")


@test("streams that the reference has written are read, each entry as it stands there", "PUB-U13 REPLAY")
def theirs():
    redis = Redis("--appendonly", "no", dump=shared("golden", "pubsub", "redis.rdb"))
    # What has expired since is delivered to nobody.
    expected = {name: [data for data, _ in entries if '"expiration"' not in data]
                for name, (entries, _) in streams(redis).items()}
    raw = ("rawt", "bulkt")  # hold what is no envelope
    topics = [name for name in expected if name not in raw]
    app = App(lambda request, exchange: answer(200, b"{}"))
    reader = component("plain", "pubsub.redis", {"redisHost": f"127.0.0.1:{redis.port}", "redisDB": str(DATABASE)})
    documents = [subscription(topic, pubsub="plain") for topic in topics]
    documents += [subscription(topic, pubsub="plain", metadata={"rawPayload": "true"}) for topic in raw]
    Sidecar(reader, *documents, app_id="another", flags=["--app-port", str(app.port)])

    def bodies(name):
        return [request.body for request in app.requests if request.target == "/" + name]

    count = sum(map(len, expected.values()))
    eventually(lambda: len(app.requests) >= count, "every entry is delivered", 30)
    for name, entries in expected.items():
        if name in raw:
            got = [parsed(text_of(base64.b64decode(json.loads(body)["data_base64"]))) for body in bodies(name)]
        else:
            got = [parsed(body.decode()) for body in bodies(name)]
        equal(sorted(got), sorted(entries), f"the entries of {name}")


main()
