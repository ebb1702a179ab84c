# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""What a gRPC server has beside its own service: reflection, health and its watching, limits of answers; HTTP/2 on the
HTTP port as curl speaks it, with several workers; clients that go in the middle of everything."""

import sdk  # noqa: F401  isort: skip

import json
import os
import signal
import subprocess
import tempfile
import threading

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2, dapr_pb2_grpc, state_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from remora import BUILD, TOP, Sidecar, component, equal, eventually, main, need, test

MEM = component("store", "state.in-memory")
SIDECAR = Sidecar(MEM, app_id="g", flags=["--workers", "3"])
SERVICES = [
    "dapr.proto.runtime.v1.Dapr",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
]
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


def proto_messages():
    """Message classes of proto/grpc, by full name."""
    files = ["health/v1/health", "reflection/v1/reflection", "reflection/v1alpha/reflection"]
    pool = descriptor_pool.DescriptorPool()
    with tempfile.NamedTemporaryFile() as out:
        paths = [os.path.join(TOP, "proto", "grpc", f"{name}.proto") for name in files]
        subprocess.run(["protoc", "-I", os.path.join(TOP, "proto"), "--descriptor_set_out", out.name, *paths], check=True)
        for file in descriptor_pb2.FileDescriptorSet.FromString(out.read()).file:
            pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


MESSAGE = proto_messages()


def channel(sidecar=SIDECAR, **options):
    return grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}", **options)


def code_of(function):
    try:
        function()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("it was not refused")


# --- reflection -------------------------------------------------------------------------------------------------------


def reflect(questions, version="v1", sidecar=SIDECAR, metadata=None):
    prefix = f"grpc.reflection.{version}.ServerReflection"
    call = channel(sidecar).stream_stream(
        f"/{prefix}/ServerReflectionInfo",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=MESSAGE(f"{prefix}Response").FromString,
    )
    kind = MESSAGE(f"{prefix}Request")
    return list(call(iter([kind(**question) for question in questions]), timeout=20, metadata=metadata))


@test("tools learn the services, with every method and message they need", "GRPC-REFLECTION")
def _():
    for version in ("v1", "v1alpha"):
        answers = reflect([{"list_services": ""}] + [{"file_containing_symbol": s} for s in SERVICES], version)
        equal([s.name for s in answers[0].list_services_response.service], SERVICES)
        equal(answers[0].original_request.WhichOneof("message_request"), "list_services")
        pool, files = descriptor_pool.DescriptorPool(), {}
        for answer in answers[1:]:
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                need(file.name not in files or answer is not answers[1], f"{file.name} comes once")
                files[file.name] = file

        def add(name):
            for needed in files[name].dependency:
                add(needed)
            pool.Add(files[name])

        for name in files:
            add(name)
        theirs = dapr_pb2.DESCRIPTOR.services_by_name["Dapr"].methods
        ours = pool.FindServiceByName("dapr.proto.runtime.v1.Dapr").methods
        equal(
            sorted((m.name, m.input_type.full_name, m.output_type.full_name) for m in ours),
            sorted((m.name, m.input_type.full_name, m.output_type.full_name) for m in theirs),
        )


@test("symbols and files are found by every kind of name", "GRPC-REFLECTION")
def _():
    found = {
        "dapr.proto.runtime.v1.Dapr.GetState": "dapr/proto/runtime/v1/dapr.proto",
        "dapr.proto.runtime.v1.GetStateRequest": "dapr/proto/runtime/v1/state.proto",
        "dapr.proto.common.v1.StateOptions.StateConcurrency": "dapr/proto/common/v1/common.proto",
        "google.protobuf.Any": "google/protobuf/any.proto",
    }
    answers = reflect([{"file_containing_symbol": s} for s in found] + [{"file_by_filename": f} for f in found.values()])
    names = [
        descriptor_pb2.FileDescriptorProto.FromString(a.file_descriptor_response.file_descriptor_proto[0]).name
        for a in answers
    ]
    equal(names, list(found.values()) * 2)


@test("what is not there is said to be so, and the stream goes on", "GRPC-REFLECTION")
def _():
    nothing = ["", "x", "dapr.proto.runtime.v1.Dap", "dapr.proto.runtime.v1.Dapr.", "dapr.proto.runtime.v1", "." * 1000]
    questions = [{"file_containing_symbol": s} for s in nothing] + [{"file_by_filename": "x.proto"}, {}]
    questions.append({"all_extension_numbers_of_type": "google.protobuf.Any"})
    answers = reflect([*questions, {"list_services": "x"}])
    equal([a.error_response.error_code for a in answers[:-1]], [5] * 7 + [3, 5])
    equal(len(answers[-1].list_services_response.service), len(SERVICES))


@test("reflection asks for the token, health does not", "GRPC-REFLECTION GRPC-HEALTH")
def _():
    sidecar = Sidecar(MEM, env={"DAPR_API_TOKEN": "secret"})
    equal(code_of(lambda: reflect([{"list_services": ""}], sidecar=sidecar))[0], grpc.StatusCode.UNAUTHENTICATED)
    equal(len(reflect([{"list_services": ""}], sidecar=sidecar, metadata=[("dapr-api-token", "secret")])), 1)
    equal(check("", sidecar), SERVING)
    equal(sidecar.stop(), 0)


@test("a stream of questions ends somewhere", "GRPC-REFLECTION")
def _():
    code, _ = code_of(lambda: reflect([{"list_services": ""}] * 1100))
    equal(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
    code, _ = code_of(lambda: reflect([{"file_by_filename": "x" * 10000}]))
    equal(code, grpc.StatusCode.INTERNAL)


# --- health -----------------------------------------------------------------------------------------------------------


def health(method, sidecar=SIDECAR, answer="HealthCheckResponse", kind="unary_unary"):
    return getattr(channel(sidecar), kind)(
        f"/grpc.health.v1.Health/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=MESSAGE(f"grpc.health.v1.{answer}").FromString,
    )


def asked(service=""):
    return MESSAGE("grpc.health.v1.HealthCheckRequest")(service=service)


def check(service, sidecar=SIDECAR):
    return health("Check", sidecar)(asked(service), timeout=20).status


@test("the server and each of its services are healthy", "GRPC-HEALTH")
def _():
    for service in ["", *SERVICES]:
        equal(check(service), SERVING, service)
    equal(code_of(lambda: check("own.Service")), (grpc.StatusCode.NOT_FOUND, "unknown service"))
    statuses = health("List", answer="HealthListResponse")(MESSAGE("grpc.health.v1.HealthListRequest")(), timeout=20)
    equal({name: s.status for name, s in statuses.statuses.items()}, dict.fromkeys(["", *SERVICES], SERVING))


@test("who watches is told when the sidecar begins to end, and does not hold it up", "GRPC-HEALTH")
def _():
    sidecar = Sidecar(MEM)
    watch = health("Watch", sidecar, kind="unary_stream")(asked(), timeout=60)
    equal(next(watch).status, SERVING)
    unknown = health("Watch", sidecar, kind="unary_stream")(asked("own.Service"), timeout=60)
    equal(next(unknown).status, SERVICE_UNKNOWN)
    unknown.cancel()
    sidecar.signal(signal.SIGTERM)
    equal([answer.status for answer in iterate(watch)], [NOT_SERVING])
    equal(watch.code(), grpc.StatusCode.UNAVAILABLE)
    equal(sidecar.wait(), 0)


def iterate(call):
    try:
        yield from call
    except grpc.RpcError:
        pass


# --- limits and compression -------------------------------------------------------------------------------------------


def stub(**options):
    return dapr_pb2_grpc.DaprStub(channel(options=[("grpc.max_receive_message_length", -1)], **options))


@test("an answer larger than messages may be is refused by name", "GRPC-LIMITS")
def _():
    s, value = stub(), b"x" * (3 << 20)
    for key in ("a", "b"):
        item = common_pb2.StateItem(key=key, value=value)
        s.SaveState(state_pb2.SaveStateRequest(store_name="store", states=[item]), timeout=30)
    request = state_pb2.GetBulkStateRequest(store_name="store", keys=["a", "b"])
    code, words = code_of(lambda: s.GetBulkState(request, timeout=30))
    equal(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
    need(words.startswith("grpc: trying to send message larger than max (629") and words.endswith("vs. 4194304)"), words)
    equal(len(s.GetState(state_pb2.GetStateRequest(store_name="store", key="a"), timeout=30).data), len(value))


@test("large and small values come back compressed to who compresses", "GRPC-COMPRESSION")
def _():
    s = stub(compression=grpc.Compression.Gzip)
    for value in (b"", b"1", os.urandom(500000), b"z" * 4000000):
        item = common_pb2.StateItem(key="zip", value=value)
        s.SaveState(state_pb2.SaveStateRequest(store_name="store", states=[item]), timeout=30)
        equal(s.GetState(state_pb2.GetStateRequest(store_name="store", key="zip"), timeout=30).data == value, True)


@test("many values are deleted at once, and a query finds what is left", "GRPC-STATE")
def _():
    sqlite = Sidecar(component("db", "state.sqlite", {"connectionString": "data.db"}))
    s = dapr_pb2_grpc.DaprStub(channel(sqlite))
    items = [common_pb2.StateItem(key=k, value=b'{"n":1}', metadata={"contentType": "application/json"}) for k in "abc"]
    s.SaveState(state_pb2.SaveStateRequest(store_name="db", states=items), timeout=30)
    s.DeleteBulkState(state_pb2.DeleteBulkStateRequest(store_name="db", states=items[:2]), timeout=30)
    query = state_pb2.QueryStateRequest(store_name="db", query='{"filter":{"EQ":{"n":1}}}')
    equal([item.key for item in s.QueryStateAlpha1(query, timeout=30).results], ["c"])
    equal(sqlite.stop(), 0)


# --- HTTP/2 on the HTTP port, several workers --------------------------------------------------------------------------


def curl(*arguments):
    """(version, status, body)"""
    run = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_version} %{http_code}", *arguments],
        stdout=subprocess.PIPE, check=True, text=True,
    )
    body, _, last = run.stdout.rpartition("\n")
    version, status = last.split()
    return version, int(status), body


@test("curl upgrades, with a body or without, or knows that HTTP/2 is spoken", "HTTP-H2C")
def _():
    url = f"http://127.0.0.1:{SIDECAR.port}/v1.0/state/store"
    for i in range(12):  # some of them for each worker
        body = json.dumps([{"key": f"c{i}", "value": i}])
        equal(curl("--http2-prior-knowledge", url, "-d", body), ("2", 204, ""))
        equal(curl("--http2-prior-knowledge", f"{url}/c{i}"), ("2", 200, str(i)))
        equal(curl("--http2", f"{url}/c{i}"), ("2", 200, str(i)))
        # A body that comes with the request for an upgrade may be answered over HTTP/1.1.
        version, status, _ = curl("--http2", url, "-d", json.dumps([{"key": f"c{i}", "value": i + 1}]))
        equal((version in ("1.1", "2"), status), (True, 204))
        equal(curl("--http2", f"{url}/c{i}")[2], str(i + 1))


@test("a large body goes over HTTP/2 both ways", "HTTP-H2C")
def _():
    url = f"http://127.0.0.1:{SIDECAR.port}/v1.0/state/store"
    with tempfile.NamedTemporaryFile("w") as f:
        value = "x" * 3000000
        json.dump([{"key": "large", "value": value}], f)
        f.flush()
        equal(curl("--http2-prior-knowledge", url, "-d", f"@{f.name}"), ("2", 204, ""))
        equal(curl("--http2", f"{url}/large"), ("2", 200, json.dumps(value)))


@test("calls on connections of all workers see one store", "GRPC-WORKERS")
def _():
    failures = []

    def run(number):
        try:
            s = stub()
            for i in range(30):
                item = common_pb2.StateItem(key=f"w{number}", value=b"%d" % i)
                s.SaveState(state_pb2.SaveStateRequest(store_name="store", states=[item]), timeout=30)
                other = dapr_pb2_grpc.DaprStub(channel(options=[("grpc.use_local_subchannel_pool", 1)]))
                got = other.GetState(state_pb2.GetStateRequest(store_name="store", key=f"w{number}"), timeout=30).data
                equal(got, b"%d" % i)
        except Exception as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])


# --- clients that mean harm, in short; tests/prove/grpc-hostile.py has them in numbers ---------------------------------


def hostile(attack, sidecar=SIDECAR, **options):
    command = [os.path.join(BUILD, "tests", "bench", "h2_hostile"), "--port", str(sidecar.grpc_port), "--attack", attack]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


@test("each attack is survived, and floods are cut off", "GRPC-HOSTILE")
def _():
    for attack in ("resets", "continuations", "settings", "pings", "empty-data"):
        result = hostile(attack, turns=2, seconds=30)
        equal((result["opened"], result["cut"]), (2, 2), attack)
    for attack, options in (("vanish", {"turns": 40}), ("truncated", {"turns": 10}), ("zero-window", {"turns": 1, "count": 50})):
        hostile(attack, seconds=2, key="a", **options)
    equal(len(stub().GetState(state_pb2.GetStateRequest(store_name="store", key="a"), timeout=30).data), 3 << 20)


@test("after all that nothing is left open, and the sidecar ends in peace", "GRPC-LEAK")
def _():
    def connections():
        return len([fd for fd in os.listdir(f"/proc/{SIDECAR.pid}/fd")])

    before = connections()
    hostile("vanish", turns=100, seconds=20, key="a")
    eventually(lambda: connections() <= before, "descriptors are back")
    SIDECAR.signal(signal.SIGTERM)
    equal(SIDECAR.wait(), 0)


main()
