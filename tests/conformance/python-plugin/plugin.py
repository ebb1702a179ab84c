#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A whole plugin without an SDK: the contract from its text alone, on the stock NNG of pynng and the generated messages.

It proves that plugin.proto says enough, and shows authors of SDKs what one has to do: greet, count credits in both
directions, collect payloads, answer once, end when the sidecar does. The store is a dictionary."""
import os
import signal
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))


def find_packages():
    """pynng lives in the build's own environment, the messages beside it."""
    build = os.path.join(HERE, "../../../build")
    for folder in [os.path.join(build, "gen/python")] + list(sys.path):
        sys.path.append(os.path.join(folder, "remora/plugin/v1"))
    try:
        import pynng  # noqa: F401
    except ImportError:
        python = os.path.join(build, "venv/bin/python")
        if os.path.exists(python) and "REMORA_RESTARTED" not in os.environ:
            os.environ["REMORA_RESTARTED"] = "1"
            os.execv(python, [python, os.path.abspath(__file__)])
        raise


find_packages()
import pynng  # noqa: E402
import plugin_pb2 as pb  # noqa: E402

FRAME_MAX = 262144
PAYLOAD_MAX = FRAME_MAX - 5 * 1024  # the rest of a frame always fits into 5 KiB
CALL_BYTES_MAX = 512 * 1024 * 1024
VERSIONS = ["v1"]
TYPES = ["state.python-example", "test.python-example"]


class Failure(Exception):
    def __init__(self, code, message, reason=""):
        self.status = pb.Status(code=code, message=message, reason=reason)


# --- the store -------------------------------------------------------------------------------------------------------


class Entry:
    def __init__(self, value, expires):
        self.value = value
        self.expires = expires  # seconds since 1970, or None
        self.etag = str(uuid.uuid4())


class Store:
    CAPABILITIES = [pb.CAPABILITY_ETAG, pb.CAPABILITY_TRANSACTIONAL, pb.CAPABILITY_TTL]

    def __init__(self):
        self.entries = {}

    def find(self, key):
        entry = self.entries.get(key)
        if entry is not None and entry.expires is not None and entry.expires <= time.time():
            del self.entries[key]
            return None
        return entry

    def check(self, item):
        entry = self.find(item.key)
        if item.etag:
            if entry is None or entry.etag != item.etag:
                raise Failure(pb.CODE_ABORTED, f"possible etag mismatch for key={item.key}", "ETAG_MISMATCH")
        elif item.concurrency == pb.CONCURRENCY_FIRST_WRITE and entry is not None:
            raise Failure(pb.CODE_ABORTED, "item already exists and no etag was passed", "ETAG_MISMATCH")

    def put(self, item, value):
        seconds = item.ttl_seconds if item.HasField("ttl_seconds") else 0
        self.entries[item.key] = Entry(value, time.time() + seconds if seconds > 0 else None)

    def remove(self, item):
        self.entries.pop(item.key, None)


def parse(kind, data):
    message = kind()
    try:
        message.ParseFromString(data)
    except Exception:
        raise Failure(pb.CODE_INVALID_ARGUMENT, f"malformed {kind.DESCRIPTOR.name}") from None
    return message


def values_of(items, body):
    """Cuts the body into the values of the items; exactly all of it."""
    values, at = [], 0
    for item in items:
        values.append(body[at : at + item.value_bytes])
        at += item.value_bytes
    if at != len(body):
        raise Failure(pb.CODE_INVALID_ARGUMENT, "the values are not as long as their items say")
    return values


def get(store, data, body):
    entry = store.find(parse(pb.StateGet, data).key)
    if entry is None:
        return pb.StateValue(), b""
    return pb.StateValue(found=True, etag=entry.etag, expires_unix_ms=int((entry.expires or 0) * 1000)), entry.value


def bulk_get(store, data, body):
    reply, out = pb.StateValues(), []
    for item in parse(pb.StateBulkGet, data).items:
        entry = store.find(item.key)
        if entry is None:
            reply.items.add()
            continue
        reply.items.add(found=True, etag=entry.etag, value_bytes=len(entry.value),
                        expires_unix_ms=int((entry.expires or 0) * 1000))
        out.append(entry.value)
    return reply, b"".join(out)


def write_all(store, items, write):
    """Independent items: each failure is told by its index, a single item's by the status of the call."""
    reply = pb.StateWriteReply()
    for i, item in enumerate(items):
        try:
            store.check(item)
            write(i, item)
        except Failure as failure:
            if len(items) == 1:
                raise
            reply.failures.add(index=i, status=failure.status)
    return reply, b""


def set_(store, data, body):
    items = parse(pb.StateSet, data).items
    values = values_of(items, body)
    return write_all(store, items, lambda i, item: store.put(item, values[i]))


def delete(store, data, body):
    return write_all(store, parse(pb.StateDelete, data).items, lambda i, item: store.remove(item))


def transact(store, data, body):
    operations = parse(pb.StateTransact, data).operations
    values = iter(values_of([op.set for op in operations if op.HasField("set")], body))
    for op in operations:
        store.check(op.set if op.HasField("set") else op.delete)
    for op in operations:
        if op.HasField("set"):
            store.put(op.set, next(values))
        else:
            store.remove(op.delete)
    return pb.Empty(), b""


STATE = {pb.METHOD_STATE_GET: get, pb.METHOD_STATE_BULK_GET: bulk_get, pb.METHOD_STATE_SET: set_,
         pb.METHOD_STATE_DELETE: delete, pb.METHOD_STATE_TRANSACT: transact}
LIFE = (pb.METHOD_START, pb.METHOD_QUIESCE, pb.METHOD_CLOSE)
ECHO = (pb.METHOD_ECHO, pb.METHOD_ECHO_STREAM)


# --- calls -----------------------------------------------------------------------------------------------------------


class Call:
    def __init__(self, frame, call_credit):
        self.head = frame
        self.payload = bytearray()
        self.received = 0
        self.to_return = 0  # received and not yet credited
        self.is_complete = False
        self.deadline = time.monotonic() + frame.timeout_ms / 1000 if frame.timeout_ms else None
        self.wake = None  # when to run, for an echo with a delay
        # The answer:
        self.first = None  # its first frame, not sent yet
        self.out = bytearray()
        self.credit = call_credit
        self.is_answered = False
        self.is_stream = False  # `out` still grows
        self.is_ended = False  # the caller's side of the stream is complete

    @property
    def message(self):
        return bytes(self.payload[: self.head.message_bytes])

    @property
    def body(self):
        return bytes(self.payload[self.head.message_bytes :])


class Plugin:
    def __init__(self, socket):
        self.socket = socket
        self.epoch = 0
        self.calls = {}
        self.stores = {}
        self.credit = self.link_credit = self.call_credit = 0
        self.to_return = 0

    def send(self, **fields):
        self.socket.send(pb.Frame(epoch=self.epoch, **fields).SerializeToString())

    def greet(self, token):
        hello = pb.Hello(token=token, protocol_major=1, name="python-example", version="1.0.0", pid=os.getpid(),
                         types=[pb.ComponentType(type=t, versions=VERSIONS) for t in TYPES], links_max=1)
        self.send(kind=pb.KIND_HELLO, payload=hello.SerializeToString())
        frame = pb.Frame.FromString(self.socket.recv())
        ack = pb.HelloAck.FromString(frame.payload)
        if frame.kind != pb.KIND_HELLO_ACK or ack.status.code != 0 or ack.protocol_major != 1:
            print("refused: " + (ack.status.message or "another protocol"), file=sys.stderr, flush=True)
            os._exit(1)
        self.epoch = ack.epoch
        self.call_credit = ack.call_credit_bytes
        self.credit = self.link_credit = ack.link_credit_bytes

    # --- what arrives

    def on_frame(self, frame):
        if frame.epoch != self.epoch:
            return
        if frame.kind in (pb.KIND_REQUEST, pb.KIND_DATA):
            self.to_return += len(frame.payload)
            if self.to_return >= self.link_credit // 4:
                self.send(kind=pb.KIND_CREDIT, credit_bytes=self.to_return)
                self.to_return = 0
        if frame.kind == pb.KIND_REQUEST:
            self.on_request(frame)
        elif frame.kind == pb.KIND_CREDIT and frame.call == 0:
            self.credit += frame.credit_bytes
        elif frame.call in self.calls:
            self.on_call_frame(self.calls[frame.call], frame)

    def on_request(self, frame):
        call = Call(frame, self.call_credit)
        self.calls[frame.call] = call
        problem = self.refusal(frame)
        if problem is not None:
            self.answer_status(call, problem.status)
        else:
            self.on_payload(call, frame.payload)

    def refusal(self, frame):
        if frame.method in (pb.METHOD_INIT, pb.METHOD_PING):
            known = True
        elif frame.method in STATE or frame.method in LIFE or frame.method in ECHO:
            known = frame.component in self.stores
        else:
            return Failure(pb.CODE_UNIMPLEMENTED, f"method {frame.method} is not implemented")
        if not known:
            return Failure(pb.CODE_FAILED_PRECONDITION, f"component handle {frame.component} is not initialised")
        if frame.payload_bytes > CALL_BYTES_MAX:
            return Failure(pb.CODE_RESOURCE_EXHAUSTED, "the request is too large")
        return None

    def on_call_frame(self, call, frame):
        if frame.kind == pb.KIND_DATA and not call.is_complete:
            self.on_payload(call, frame.payload)
        elif frame.kind == pb.KIND_END:
            call.is_complete = call.is_ended = True
            if not call.is_stream:
                self.run(call)
        elif frame.kind == pb.KIND_CREDIT:
            call.credit += frame.credit_bytes
        elif frame.kind == pb.KIND_CANCEL:
            self.give_up(call, pb.CODE_CANCELLED)

    def on_payload(self, call, data):
        call.received += len(data)
        call.to_return += len(data)
        call.is_complete = not call.head.open_ended and call.received >= call.head.payload_bytes
        if call.is_stream:
            call.out += data
            return
        call.payload += data
        is_stream = call.head.method == pb.METHOD_ECHO_STREAM
        if is_stream and len(call.payload) >= call.head.message_bytes:
            self.start_stream(call)
        elif call.is_complete:
            self.run(call)
        else:
            self.return_credit(call)

    def return_credit(self, call):
        if call.to_return >= self.call_credit // 4 and not call.is_complete:
            self.send(kind=pb.KIND_CREDIT, call=call.head.call, credit_bytes=call.to_return)
            call.to_return = 0

    def give_up(self, call, code):
        status = pb.Status(code=code, message="the call was given up")
        if call.is_answered and call.first is None:
            self.send(kind=pb.KIND_END, call=call.head.call, status=status)
            del self.calls[call.head.call]
        else:
            call.is_answered = False
            self.answer_status(call, status)

    # --- answers

    def run(self, call):
        head = call.head
        try:
            if head.method == pb.METHOD_INIT:
                reply, body = self.init(head, call.message), b""
            elif head.method == pb.METHOD_PING or head.method == pb.METHOD_START:
                reply, body = pb.Empty(), b""
            elif head.method == pb.METHOD_QUIESCE:
                reply, body = pb.QuiesceReply(outstanding=len(self.calls) - 1), b""
            elif head.method == pb.METHOD_CLOSE:
                del self.stores[head.component]
                reply, body = pb.Empty(), b""
            elif head.method == pb.METHOD_ECHO:
                request = parse(pb.EchoRequest, call.message)
                if request.delay_ms > 0 and call.wake is None:
                    call.wake = time.monotonic() + request.delay_ms / 1000
                    return
                reply, body = pb.EchoReply(note=request.note, body_bytes=len(call.body)), call.body
            else:
                reply, body = STATE[head.method](self.stores[head.component], call.message, call.body)
        except Failure as failure:
            self.answer_status(call, failure.status)
            return
        message = reply.SerializeToString()
        call.first = dict(kind=pb.KIND_RESPONSE, call=head.call, message_bytes=len(message),
                          payload_bytes=len(message) + len(body))
        call.out = bytearray(message + body)
        call.is_answered = True

    def init(self, head, message):
        request = parse(pb.InitRequest, message)
        if request.type not in TYPES or request.version not in VERSIONS:
            raise Failure(pb.CODE_INVALID_ARGUMENT, f"no component type {request.type}/{request.version}")
        if head.component in self.stores:
            raise Failure(pb.CODE_ALREADY_EXISTS, f"component handle {head.component} is in use")
        self.stores[head.component] = Store()
        return pb.InitReply(capabilities=Store.CAPABILITIES if request.type.startswith("state.") else [])

    def start_stream(self, call):
        note = parse(pb.EchoRequest, call.message).note
        message = pb.EchoReply(note=note).SerializeToString()
        call.first = dict(kind=pb.KIND_RESPONSE, call=call.head.call, message_bytes=len(message), open_ended=True)
        call.out = bytearray(message + call.body)
        call.is_answered = call.is_stream = True

    def answer_status(self, call, status):
        self.send(kind=pb.KIND_RESPONSE, call=call.head.call, status=status)
        del self.calls[call.head.call]

    def pump(self):
        """One frame a call in turn, until nothing can be sent."""
        moved = True
        while moved:
            moved = False
            for call in list(self.calls.values()):
                moved |= call.is_answered and self.send_next(call)

    def send_next(self, call):
        size = min(len(call.out), call.credit, self.credit, PAYLOAD_MAX)
        if size == 0 and (call.first is None or call.out):
            return self.finish(call)
        fields = call.first or dict(kind=pb.KIND_DATA, call=call.head.call)
        self.send(payload=bytes(call.out[:size]), **fields)
        call.first = None
        del call.out[:size]
        call.credit -= size
        self.credit -= size
        if call.is_stream:
            self.return_credit(call)  # the caller may send as much again
        self.finish(call)
        return True

    def finish(self, call):
        is_over = call.is_answered and call.first is None and not call.out and (not call.is_stream or call.is_complete)
        if is_over and call.head.call in self.calls:
            if call.is_stream:
                self.send(kind=pb.KIND_END, call=call.head.call)
            del self.calls[call.head.call]
        return False

    # --- the loop

    def times(self):
        for call in list(self.calls.values()):
            if call.deadline is not None and not call.is_answered:
                yield call.deadline, call
            if call.wake is not None and not call.is_answered:
                yield call.wake, call

    def run_due(self):
        now = time.monotonic()
        for when, call in list(self.times()):
            if when <= now and call.head.call in self.calls:
                if when == call.deadline:
                    self.give_up(call, pb.CODE_DEADLINE_EXCEEDED)
                else:
                    self.run(call)

    def loop(self):
        while True:
            # Python sees a signal only between calls into NNG, so none is long.
            nearest = min((when for when, _ in self.times()), default=time.monotonic() + 1)
            self.socket.recv_timeout = min(500, max(1, int((nearest - time.monotonic()) * 1000) + 1))
            try:
                self.on_frame(pb.Frame.FromString(self.socket.recv()))
            except pynng.Timeout:
                pass
            self.run_due()
            self.pump()


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    token = os.environ.get("REMORA_TOKEN") or os.read(3, 64).decode()
    # A frame is never longer: NNG then drops the connection, and with it this process.
    with pynng.Pair0(recv_max_size=FRAME_MAX, send_buffer_size=16, recv_buffer_size=16) as socket:
        # It would dial again and meet a new sidecar with old state: whoever lost the sidecar ends.
        socket.add_post_pipe_remove_cb(lambda pipe: os._exit(0))
        socket.dial(os.environ["REMORA_URL"], block=True)
        plugin = Plugin(socket)
        plugin.greet(token)
        plugin.loop()


main()
