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

import grpc
from dapr.proto.common.v1 import common_pb2  # noqa: F401  the pool must know it
from dapr.proto.runtime.v1 import dapr_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from remora import TOP, Folder, Redis, Sidecar, component, equal, main, need, shared, test

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


class Setup:
    def __init__(self, name):
        folder = Folder()
        secrets = folder.write("gsec.json", json.dumps({"plain": "swordfish"}))
        resources, env = [], {}
        if name == "G":
            self.redis = Redis()
            resources = [
                component("mem", "state.in-memory"),
                component("red", "state.redis", {"redisHost": f"127.0.0.1:{self.redis.port}"}),
                component("vault", "secretstores.local.file", {"secretsFile": secrets}),
            ]
        elif name == "GT":
            resources, env = [component("mem", "state.in-memory")], {"DAPR_API_TOKEN": "tok"}
        self.sidecar = Sidecar(*resources, app_id=name.lower() + "s" if name == "G" else name.lower(), env=env)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.sidecar.grpc_port}")


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
    metadata = [(name, value) for name, value in entry["request"]["metadata"]]
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
