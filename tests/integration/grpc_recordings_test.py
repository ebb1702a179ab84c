# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""The exchanges of recordings/grpc.json whose methods are served, replayed in file order through grpcio: status, words,
decoded details, messages, metadata. What differs on purpose is a row of DIFFERENCES with its reason; a method that is not
served yet must say so by name."""

import sdk  # noqa: F401  isort: skip

import base64
import json
import os
import re
from concurrent import futures

import grpc
from dapr.proto.common.v1 import common_pb2  # noqa: F401  the pool must know it
from dapr.proto.runtime.v1 import appcallback_pb2, dapr_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from recordings import with_trace
from remora import TOP, Folder, Redis, Sidecar, component, equal, eventually, free_port, main, need, shared, test

DAPR = "/dapr.proto.runtime.v1.Dapr/"
POOL = descriptor_pool.Default()
SERVICE = dapr_pb2.DESCRIPTOR.services_by_name["Dapr"]

with open(shared("recordings", "grpc.json"), encoding="utf-8") as f:
    ENTRIES = [entry for entry in json.load(f)["entries"] if "request" in entry]
with open(os.path.join(TOP, "kernel", "api", "methods.def"), encoding="utf-8") as f:
    SERVED = set(re.findall(r"^(?:GRPC_)?METHOD\((\w+),", f.read(), re.M))

# --- what differs on purpose ------------------------------------------------------------------------------------------

DIFFERENCES = {
    # entry: what of the answer is not compared, and why
    "metadata bare": ({"message"}, "features and workflows that do not exist yet are not listed"),
    "metadata": ({"message"}, "was recorded undecodable"),
    "metadata after set": ({"message"}, "was recorded undecodable"),
    "mem: tx stale": ({"status"}, "a conflict is ABORTED here as everywhere else"),
    "nothing configured: SubtleGetKeyAlpha1": ({"status", "words"}, "the subtle API is always there"),
    "nothing configured: SubtleEncryptAlpha1": ({"status", "words"}, "the subtle API is always there"),
    "red: tx stale": ({"status"}, "a conflict is ABORTED here as everywhere else"),
}
# The wording of a store's own script errors is the store's.
SCRIPT = re.compile(r"ERR user_script:.*|state etag not match .*")


def words(text):
    text = SCRIPT.sub("<STORE>", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<UUID>", text)


def canonical(value):
    """Values with what changes from run to run replaced."""
    if isinstance(value, dict):
        return {k: canonical(v) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [canonical(v) for v in value]
    if isinstance(value, str):
        value = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<TIME>", words(value))
    return value


def details_of(error):
    status = rpc_status.from_call(error)
    shown = []
    for detail in status.details if status else []:
        kind = getattr(error_details_pb2, detail.type_url.rpartition(".")[2])()
        detail.Unpack(kind)
        shown.append({"type_url": detail.type_url, **json_format.MessageToDict(kind, preserving_proto_field_name=True)})
    return shown


def without_empty(details):
    return [{k: v for k, v in d.items() if v not in ("", {}, None)} for d in details]


# --- the application --------------------------------------------------------------------------------------------------

PATIENT = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: rz
spec:
  policies:
    retries:
      twice: {policy: constant, duration: 100ms, maxRetries: 2}
  targets:
    components:
      bus: {inbound: {retry: twice}}
"""
FAILURES = {"UNAVAILABLE": grpc.StatusCode.UNAVAILABLE, "UNIMPLEMENTED": grpc.StatusCode.UNIMPLEMENTED}
STATUSES = {"SUCCESS": 0, "RETRY": 1, "DROP": 2, "unknown status 7": 7}


def topics():
    def topic(name, **fields):
        return appcallback_pb2.TopicSubscription(pubsub_name="bus", topic=name, **fields)

    rule = appcallback_pb2.TopicRule(match='event.type == "paint"', path="/paint")
    bulk = appcallback_pb2.BulkSubscribeConfig(enabled=True, max_messages_count=2, max_await_duration_ms=200)
    return [
        topic("wrapped"),
        topic("raw", metadata={"rawPayload": "true"}),
        topic("rules", routes=appcallback_pb2.TopicRoutes(rules=[rule], default="/other")),
        topic("gather", bulk_subscribe=bulk),
        topic("fail", dead_letter_topic="wrapped"),
    ]


class App(grpc.GenericRpcHandler):
    """Subscribes to topics; what it answers to events of `fail` is set."""

    def __init__(self):
        self.events, self.answer = [], "SUCCESS"
        self.port = free_port()
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        self.server.add_generic_rpc_handlers([self])
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def service(self, details):
        name = details.method.rpartition("/")[2]
        if name in ("OnBulkTopicEvent", "ListJobs") or not hasattr(self, name):
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda data, context: getattr(self, name)(details.method, data, context).SerializeToString()
        )

    def ListTopicSubscriptions(self, method, data, context):
        return appcallback_pb2.ListTopicSubscriptionsResponse(subscriptions=topics())

    def keep(self, method, context, message):
        metadata = [(n, v) for n, v in context.invocation_metadata() if n != "user-agent"]
        self.events.append({"method": method, "metadata": metadata, "message": as_dict(message)})

    def OnTopicEvent(self, method, data, context):
        event = appcallback_pb2.TopicEventRequest.FromString(data)
        self.keep(method, context, event)
        answer = self.answer if event.topic == "fail" else "SUCCESS"
        if answer in FAILURES:
            context.abort(FAILURES[answer], "no")
        return appcallback_pb2.TopicEventResponse(status=STATUSES[answer])

    def OnBulkTopicEventAlpha1(self, method, data, context):
        batch = appcallback_pb2.TopicEventBulkRequest.FromString(data)
        self.keep(method, context, batch)
        one = appcallback_pb2.TopicEventBulkResponseEntry
        return appcallback_pb2.TopicEventBulkResponse(statuses=[one(entry_id=e.entry_id) for e in batch.entries])

    def take(self):
        """What has arrived, batches as one for each of their entries."""
        taken, self.events = self.events, []
        return singly(taken)


def as_dict(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def singly(events):
    single = []
    for event in events:
        entries = event["message"].get("entries")
        if entries is None:
            single.append(event)
        else:
            single += [{**event, "message": {**event["message"], "entries": [entry]}} for entry in entries]
    return single


def comparable(event):
    """In any order of metadata, the envelope in a raw event readable."""
    metadata = sorted((n, v) for n, v in event["metadata"] if n != "user-agent")
    message = dict(event["message"])
    if message.get("topic") == "raw":
        message["data"] = base64.b64decode(message["data"]).decode("latin-1")
    return json.dumps(canonical({"method": event["method"], "metadata": metadata, "message": message}), sort_keys=True)


def with_data(recorded):
    (event,) = recorded
    return [{**event, "message": {**event["message"], "data": base64.b64encode(b'{"n":1}').decode()}}]


def without_trace(recorded):
    (event,) = recorded
    message = json.loads(json.dumps(event["message"]))
    for name in ("traceid", "tracestate"):
        message["extensions"].pop(name)
    metadata = [(n, v) for n, v in event["metadata"] if not n.startswith("trace")]
    return [{**event, "metadata": metadata, "message": message}]


def as_the_other(recorded):
    return singly(next(e["received"] for e in ENTRIES if e["name"] == "BulkPublishEventAlpha1 to bulk"))


# Deliveries that differ on purpose: (names as a regular expression, why, the recorded ones -> ours).
DELIVERIES = [
    ("publish own ce to wrapped", "data without a type are data too", with_data),
    ("publish raw to (wrapped|raw)", "a raw message has no trace", without_trace),
    ("BulkPublishEvent to bulk", "the second came after the recording's wait", as_the_other),
]


def check_deliveries(entry, app):
    row = next((row for row in DELIVERIES if re.fullmatch(row[0], entry["name"])), None)
    recorded = singly(json.loads(with_trace(json.dumps(entry.get("received", [])))))
    wanted = row[2](recorded) if row else recorded
    eventually(lambda: len(singly(app.events)) >= len(wanted), f"{len(wanted)} deliveries of {entry['name']}")
    equal(sorted(map(comparable, app.take())), sorted(map(comparable, wanted)), entry["name"])


# --- replay -----------------------------------------------------------------------------------------------------------


class Setup:
    def __init__(self, name):
        folder = Folder()
        secrets = folder.write("gsec.json", json.dumps({"plain": "swordfish"}))
        resources, env, flags = [], {}, []
        self.app = None
        if name == "G":
            self.redis = Redis()
            self.app = App()
            flags = ["--app-port", str(self.app.port), "--app-protocol", "grpc"]
            resources = [
                component("mem", "state.in-memory"),
                component("red", "state.redis", {"redisHost": f"127.0.0.1:{self.redis.port}"}),
                component("vault", "secretstores.local.file", {"secretsFile": secrets}),
                component("bus", "pubsub.in-memory"),
                component("scoped", "pubsub.in-memory", {"publishingScopes": "gs=open"}),
                PATIENT,
            ]
        elif name == "GT":
            resources, env = [component("mem", "state.in-memory")], {"DAPR_API_TOKEN": "tok"}
        app_id = name.lower() + "s" if name == "G" else name.lower()
        self.sidecar = Sidecar(*resources, app_id=app_id, env=env, flags=flags)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.sidecar.grpc_port}")
        if self.app:
            eventually(lambda: len(self.sidecar.metadata().get("subscriptions", [])) == 5, "subscriptions")


SETUPS = {}


def setup(name):
    if name not in SETUPS:
        SETUPS[name] = Setup(name)
    return SETUPS[name]


def request_of(entry):
    request = entry["request"]
    if "raw_message" in request:
        return base64.b64decode(request["raw_message"])
    kind = message_factory.GetMessageClass(POOL.FindMessageTypeByName(request["type"]))
    return json_format.ParseDict(request["message"], kind()).SerializeToString()


def answer_of(entry):
    """Status, words, details and message, as the recordings show them."""
    method = entry["request"]["method"]
    call = setup(entry["setup"]).channel.unary_unary(method)
    metadata = [(name, with_trace(value)) for name, value in entry["request"]["metadata"]]
    try:
        data = call(request_of(entry), metadata=metadata, timeout=20)
    except grpc.RpcError as error:
        return {"status": error.code().name, "words": error.details(), "details": details_of(error)}
    output = SERVICE.methods_by_name[method[len(DAPR) :]].output_type
    message = message_factory.GetMessageClass(output).FromString(data)
    return {"status": "OK", "message": json_format.MessageToDict(message, preserving_proto_field_name=True)}


def recorded(entry):
    response = entry["response"]
    if response["status"] == "OK":
        return {"status": "OK", "message": response.get("message")}
    return {"status": response["status"], "words": response["message"], "details": response.get("details", [])}


def compare(entry):
    app = setup(entry["setup"]).app
    answer = re.fullmatch("delivery, app answers (.*)", entry["name"])
    if app:
        app.take()
        app.answer = answer[1] if answer else "SUCCESS"
    got, wanted = answer_of(entry), recorded(entry)
    skipped = DIFFERENCES.get(entry["name"], (set(), ""))[0]
    for answer in (got, wanted):
        if "words" in answer:
            answer["words"] = words(answer["words"])
        if "details" in answer:
            answer["details"] = without_empty(answer["details"])
        for part in skipped:
            answer.pop(part, None)
    equal(canonical(got), canonical(wanted), entry["name"])
    if app and "ublish" in entry["request"]["method"]:
        check_deliveries(entry, app)


def replayed(entry):
    if entry["setup"] not in ("G", "F", "GT"):
        return False
    method = entry["request"]["method"]
    if method == DAPR + "InvokeService":  # grpc_invoke_test.py has them: their messages were recorded undecodable
        return False
    return method.startswith(DAPR) and method[len(DAPR) :] in SERVED


REPLAYED = [entry for entry in ENTRIES if replayed(entry)]
REST = [e for e in ENTRIES if e["request"]["method"].startswith(DAPR) and not replayed(e) and e["setup"] == "F"]

for index, entry in enumerate(REPLAYED):

    @test(f"{index} {entry['setup']} {entry['name']}", "GRPC-RECORDED")
    def _(entry=entry):
        compare(entry)


@test("what is not served says so by name", "GRPC-RECORDED")
def _():
    for entry in REST:
        got = answer_of(entry)
        equal(got["status"], "UNIMPLEMENTED", entry["name"])
        need(entry["request"]["method"].rpartition("/")[2] in got["words"], got)


@test("enough is replayed to mean something", "GRPC-RECORDED")
def _():
    need(len(REPLAYED) > 90, len(REPLAYED))


main()
