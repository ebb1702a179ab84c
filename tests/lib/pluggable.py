# SPDX-License-Identifier: Apache-2.0
"""A pluggable component of Dapr's protocol on grpcio, with what it keeps in its own memory: any of the services behind
one Unix socket, with server reflection. Run as a program of its own it can be killed and started again; the test talks
to it through a service beside the others, which reflection does not list: `/test.Control/Do`, a JSON object each way.

As a library: Pluggable(folder, "name", "state transact query") starts one. Tests import sdk first."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

PACKAGE = "dapr.proto.components.v1."
PROTO = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "proto")
FILES = [f"dapr/proto/components/v1/{name}.proto" for name in ("state", "pubsub", "bindings", "secretstore")]


def load():
    """Messages by their short names, services by theirs."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(
            ["protoc", "-I", PROTO, "-I", "/usr/include", "--include_imports", f"--descriptor_set_out={out.name}", *FILES],
            check=True,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read()).file
    pool = descriptor_pool.DescriptorPool()
    services = {}
    for file in files:
        pool.Add(file)
        services.update({s.name: s for s in file.service})
    classes = {}

    def message(name):
        name = name.lstrip(".")
        if name not in classes:
            classes[name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        return classes[name]

    return message, services


class Failure(Exception):
    def __init__(self, code, words, *details):
        self.code, self.words, self.details = code, words, details


def etag_failure(code, words):
    violation = error_details_pb2.BadRequest.FieldViolation(field="etag", description=words)
    return Failure(code, "etag trouble", error_details_pb2.BadRequest(field_violations=[violation]))


class Component:
    """What all services of a socket share; methods are named as the protocol names them, with the service in front."""

    def __init__(self, message):
        self.message = message
        self.lock = threading.RLock()
        self.values = {}  # key: (bytes, etag)
        self.ends = {}  # key: when it expires
        self.version = 0
        self.log = []  # (method, instance, what)
        self.fault = {}  # method: how it fails
        self.topics = {}  # topic: queues of streams
        self.events = queue.Queue()
        self.acks = []
        self.serial = 0
        self.is_paused = False
        self.features = {}
        self.secrets = {"db": {"db": "s3cret"}, "many": {"a": "1", "b": "2"}}

    def new(self, name, **fields):
        return self.message(PACKAGE + name)(**fields)

    # --- state

    def check_etag(self, request):
        have = self.values.get(request.key)
        if request.HasField("etag"):
            if not request.etag.value.isdigit():
                raise etag_failure(grpc.StatusCode.INVALID_ARGUMENT, f"{request.etag.value} is no number")
            if have is None or have[1] != request.etag.value:
                raise etag_failure(grpc.StatusCode.FAILED_PRECONDITION, f"{request.key} is another version")
        elif request.options.concurrency == 1 and have is not None:
            raise etag_failure(grpc.StatusCode.FAILED_PRECONDITION, f"{request.key} is there")

    def sweep(self):
        for key in [key for key, end in self.ends.items() if end < time.time()]:
            self.values.pop(key, None)
            del self.ends[key]

    def put(self, request):
        self.version += 1
        ttl = int(request.metadata.get("ttlInSeconds", 0))
        self.ends.pop(request.key, None)
        if ttl > 0:
            self.ends[request.key] = int(time.time()) + ttl
        self.values[request.key] = (request.value, str(self.version))

    def StateStore_Features(self, request):
        features = self.features.get("state", ["ETAG", "TRANSACTIONAL", "QUERY_API", "TTL"])
        return self.new("FeaturesResponse", features=features)

    def StateStore_Get(self, request):
        have = self.values.get(request.key)
        if have is None:
            return self.new("GetResponse")
        end = self.ends.get(request.key)
        metadata = {"ttlExpireTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))} if end else {}
        return self.new("GetResponse", data=have[0], etag=self.new("Etag", value=have[1]), metadata=metadata)

    def StateStore_Set(self, request):
        self.check_etag(request)
        self.put(request)
        return self.new("SetResponse")

    def StateStore_Delete(self, request):
        self.check_etag(request)
        self.values.pop(request.key, None)
        return self.new("DeleteResponse")

    def StateStore_BulkGet(self, request):
        items = []
        for get in reversed(request.items):  # any order will do
            if get.key.endswith("bad"):
                items.append(self.new("BulkStateItem", key=get.key, error="it cannot be read"))
            elif get.key in self.values:
                data, etag = self.values[get.key]
                items.append(self.new("BulkStateItem", key=get.key, data=data, etag=self.new("Etag", value=etag)))
        return self.new("BulkGetResponse", items=items)

    def StateStore_BulkSet(self, request):
        for one in request.items:
            self.check_etag(one)
        for one in request.items:
            self.put(one)
        return self.new("BulkSetResponse")

    def StateStore_BulkDelete(self, request):
        for one in request.items:
            self.check_etag(one)
        for one in request.items:
            self.values.pop(one.key, None)
        return self.new("BulkDeleteResponse")

    def TransactionalStateStore_Transact(self, request):
        steps = [getattr(op, op.WhichOneof("request")) for op in request.operations]
        for step in steps:
            self.check_etag(step)
        for op, step in zip(request.operations, steps):
            if op.WhichOneof("request") == "set":
                self.put(step)
            else:
                self.values.pop(step.key, None)
        return self.new("TransactionalStateResponse")

    def TransactionalStoreMultiMaxSize_MultiMaxSize(self, request):
        return self.new("MultiMaxSizeResponse", max_size=3)

    def matches(self, name, argument, value):
        if name == "AND":
            return all(self.matches(*next(iter(one.items())), value) for one in argument)
        if name == "OR":
            return any(self.matches(*next(iter(one.items())), value) for one in argument)
        key, wanted = next(iter(argument.items()))
        return value.get(key) in wanted if name == "IN" else value.get(key) == wanted

    def QueriableStateStore_Query(self, request):
        filters = {name: json.loads(any_.value) for name, any_ in request.query.filter.items()}
        found = []
        for key, (data, etag) in sorted(self.values.items()):
            try:
                value = json.loads(data)
            except ValueError:
                continue
            if isinstance(value, dict) and all(self.matches(n, a, value) for n, a in filters.items()):
                found.append((key, data, etag, value))
        for sort in reversed(request.query.sort):
            found.sort(key=lambda row: row[3].get(sort.key), reverse=sort.order == 1)
        start = int(request.query.pagination.token or 0)
        limit = request.query.pagination.limit or len(found)
        page, token = found[start:start + limit], str(start + limit) if start + limit < len(found) else ""
        items = [self.new("QueryItem", key=k, data=d, etag=self.new("Etag", value=e)) for k, d, e, _ in page]
        return self.new("QueryResponse", items=items, token=token)

    # --- secrets

    def SecretStore_Features(self, request):
        return self.new("FeaturesResponse", features=["MULTIPLE_KEY_VALUES_PER_SECRET"])

    def SecretStore_Get(self, request):
        if request.key not in self.secrets:
            raise Failure(grpc.StatusCode.NOT_FOUND, "there is no such secret")
        return self.new("GetSecretResponse", data=self.secrets[request.key])

    def SecretStore_BulkGet(self, request):
        response = self.new("BulkGetSecretResponse")
        for name, pairs in self.secrets.items():
            response.data[name].secrets.update(pairs)
        return response

    # --- bindings

    def OutputBinding_ListOperations(self, request):
        return self.new("ListOperationsResponse", operations=["create", "mirror", "fail"])

    def OutputBinding_Invoke(self, request):
        if request.operation == "fail":
            raise Failure(grpc.StatusCode.PERMISSION_DENIED, "not today")
        metadata = {"operation": request.operation, "seen": request.metadata.get("color", "")}
        return self.new("InvokeResponse", data=request.data[::-1], metadata=metadata)

    def InputBinding_Read(self, requests, context):
        return self.stream(requests, context, self.events, lambda data: self.new(
            "ReadResponse", data=data, metadata={"color": "blue"}, message_id=self.next_id()),
            lambda m: m.message_id, lambda ack: (
                ack.message_id, ack.HasField("response_error"), ack.response_data.decode("latin-1")))

    # --- pub/sub

    def PubSub_Features(self, request):
        return self.new("FeaturesResponse", features=self.features.get("pubsub", []))

    def publish(self, topic, data, content_type, metadata):
        for waiting in self.topics.setdefault(topic, [queue.Queue()]):
            waiting.put((data, content_type, dict(metadata)))

    def PubSub_Publish(self, request):
        self.publish(request.topic, request.data, request.content_type, request.metadata)
        return self.new("PublishResponse")

    def PubSub_BulkPublish(self, request):
        failed = []
        for entry in request.entries:
            if b"poison" in entry.event:
                failed.append(self.new("BulkPublishResponseFailedEntry", entry_id=entry.entry_id, error="poison"))
            else:
                self.publish(request.topic, entry.event, entry.content_type, entry.metadata)
        return self.new("BulkPublishResponse", failed_entries=failed)

    def PubSub_Pause(self, request):
        self.is_paused = True
        return self.new("PauseResponse")

    def PubSub_Resume(self, request):
        self.is_paused = False
        return self.new("ResumeResponse")

    def PubSub_PullMessages(self, requests, context):
        first = next(requests)
        self.log.append(("topic", "", {"name": first.topic.name, "metadata": dict(first.topic.metadata)}))
        waiting = self.topics.setdefault(first.topic.name, [queue.Queue()])[0]
        return self.stream(requests, context, waiting, lambda item: self.new(
            "PullMessagesResponse", data=item[0], content_type=item[1], metadata=item[2],
            topic_name=first.topic.name, id=self.next_id()),
            lambda m: m.id, lambda ack: (ack.ack_message_id, ack.HasField("ack_error"), ""))

    def next_id(self):
        with self.lock:
            self.serial += 1
            return f"m{self.serial}"

    def stream(self, requests, context, waiting, make, id_of, read_ack):
        """At least once: what is not acknowledged goes back, and in the end all that is open."""
        open_items, over = {}, threading.Event()

        def take_acks():
            try:
                for ack in requests:
                    id_, has_failed, data = read_ack(ack)
                    with self.lock:
                        self.acks.append((id_, has_failed, data))
                        item = open_items.pop(id_, None)
                    if has_failed and item is not None:
                        waiting.put(item)
            except grpc.RpcError:
                pass
            over.set()

        threading.Thread(target=take_acks, daemon=True).start()
        try:
            while context.is_active() and not over.is_set():
                try:
                    item = waiting.get(timeout=0.02) if not self.is_paused else None
                except queue.Empty:
                    item = None
                if item is None:
                    if self.is_paused:
                        time.sleep(0.02)
                    continue
                message = make(item)
                with self.lock:
                    open_items[id_of(message)] = item
                if self.fault.get("stream") == "garbage":
                    yield b"\xff\xff\xff\xff"
                else:
                    yield message
        finally:
            with self.lock:
                for item in open_items.values():
                    waiting.put(item)

    # --- the test's own

    def control(self, request):
        what = json.loads(request)
        if "fault" in what:
            self.fault = what["fault"]
        if "features" in what:
            self.features = what["features"]
        for data in what.get("events", []):
            self.events.put(data.encode())
        with self.lock:
            return json.dumps(
                {
                    "log": self.log,
                    "acks": self.acks,
                    "values": {k: [v.decode("latin-1"), e] for k, (v, e) in self.values.items()},
                    "waiting": {t: qs[0].qsize() for t, qs in self.topics.items()},
                    "paused": self.is_paused,
                }
            ).encode()


KINDS = {
    "state": "StateStore",
    "transact": "TransactionalStateStore",
    "query": "QueriableStateStore",
    "max": "TransactionalStoreMultiMaxSize",
    "pubsub": "PubSub",
    "input": "InputBinding",
    "output": "OutputBinding",
    "secrets": "SecretStore",
}


class Handlers(grpc.GenericRpcHandler):
    def __init__(self, component, message, services, kinds, missing):
        self.component, self.message, self.missing = component, message, missing
        self.methods = {}
        for kind in kinds:
            service = services[KINDS[kind]]
            for method in service.method:
                self.methods[f"/{PACKAGE}{service.name}/{method.name}"] = (service.name, method)

    def service(self, details):
        if details.method == "/test.Control/Do":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: self.component.control(request))
        row = self.methods.get(details.method)
        if row is None or row[1].name in self.missing:
            return None
        service, method = row
        instance = dict(details.invocation_metadata).get("x-component-instance", "")
        request_of = self.message(method.input_type).FromString

        def pack(message):
            return message if isinstance(message, bytes) else message.SerializeToString()

        if method.client_streaming:
            name = f"{service}_{method.name}"

            def run(requests, context):
                self.component.log.append((method.name, instance, None))
                return getattr(self.component, name)(requests, context)

            return grpc.stream_stream_rpc_method_handler(run, request_of, pack)
        return grpc.unary_unary_rpc_method_handler(self.answerer(service, method, instance), request_of, pack)

    def answerer(self, service, method, instance):
        component = self.component

        def init(request):
            metadata = request.metadata.properties
            if metadata.get("refuse"):
                raise Failure(grpc.StatusCode.INVALID_ARGUMENT, metadata["refuse"])
            return self.message(method.output_type)()

        def answer(request, context):
            own = getattr(component, f"{service}_{method.name}", None)
            told = dict(request.metadata.properties) if method.name == "Init" else None
            with component.lock:
                component.log.append((f"{service}.{method.name}", instance, told))
            fault = component.fault.get(method.name)
            try:
                if fault == "huge":
                    return b"\x0a\x80\x80\x80\x20" + b"x" * (64 << 20)
                if fault == "garbage":
                    return b"\xff\xff\xff\xff"
                if fault == "hang":
                    time.sleep(3600)
                if fault == "die":
                    os._exit(1)
                if fault:
                    raise Failure(getattr(grpc.StatusCode, fault), f"{fault} was asked for")
                with component.lock:
                    if method.name == "Init":
                        return init(request)
                    self.component.sweep()
                    return own(request) if own else self.message(method.output_type)()
            except Failure as failure:
                fail(context, failure)

        return answer


def fail(context, failure):
    if not failure.details:
        context.abort(failure.code, failure.words)
    status = status_pb2.Status(code=failure.code.value[0], message=failure.words)
    for detail in failure.details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))


def serve(path, kinds, missing, is_told):
    if is_told:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    message, services = load()
    server = grpc.server(
        futures.ThreadPoolExecutor(64),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    component = Component(message)
    server.add_generic_rpc_handlers([Handlers(component, message, services, kinds, missing)])
    names = [PACKAGE + KINDS[kind] for kind in kinds]
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    if is_told:
        print("prepared", flush=True)
        signal.sigwait([signal.SIGUSR1])
    if os.path.exists(path):
        os.unlink(path)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    print("serving", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2].split(), sys.argv[3].split(), "told" in sys.argv[4:])
    sys.exit(0)


from remora import Process, eventually, need  # noqa: E402  only where it is a library


class Pluggable:
    """One such program at `folder`/`name`.sock. It is there when this returns."""

    def __init__(self, folder, name, kinds, missing="", start=True):
        self.folder, self.kinds, self.missing = folder, kinds, missing
        self.path = folder / f"{name}.sock"
        self.process = self.prepared = None
        if start:
            self.start()

    def run(self, *words):
        return Process([sys.executable, os.path.abspath(__file__), self.path, self.kinds, self.missing, *words],
                       self.folder, env=dict(os.environ))

    def prepare(self):
        """The next start() takes no time: all that takes time is done."""
        self.prepared = self.run("told")
        self.has_said("prepared", self.prepared)

    def start(self):
        if self.prepared:
            self.prepared.signal(signal.SIGUSR1)
        self.process, self.prepared = self.prepared or self.run(), None
        self.has_said("serving", self.process)
        return self

    @staticmethod
    def has_said(word, process):
        eventually(lambda: word in process.log() or not process.is_alive(), f"the component is {word}", 60)
        need(process.is_alive(), process.log())

    def kill(self):
        self.process.kill()

    def do(self, **what):
        with grpc.insecure_channel(f"unix:{self.path}") as channel:
            call = channel.unary_unary("/test.Control/Do")
            return json.loads(call(json.dumps(what).encode(), timeout=20, wait_for_ready=True))

    def log(self, method):
        """Of a method: instance and what was told, in order."""
        return [[instance, told] for name, instance, told in self.do()["log"] if name == method]
