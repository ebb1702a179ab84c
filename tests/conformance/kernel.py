# SPDX-License-Identifier: Apache-2.0
"""A kernel that speaks the contract and nothing else: it starts one plugin, takes its connection, and lets a check say
exactly which bytes go when. Credits are counted in both directions; a plugin that exceeds one is caught here."""
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import plugin_pb2 as pb

GREETING = b"\0SP\0\0\x10\0\0"
FRAME_MAX = 262144
PAYLOAD_MAX = FRAME_MAX - 5 * 1024
CALL_CREDIT = 65536
LINK_CREDIT = 8388608
SECONDS = 60  # ends waits that have no other end: whoever is slow is not judged


class Violation(Exception):
    """The plugin broke the contract."""


def need(condition, problem):
    if not condition:
        raise Violation(problem)


class Process:
    """The plugin's executable, started as the supervisor does it."""

    def __init__(self, exec_path, env=None):
        self.dir = tempfile.mkdtemp(prefix="conform-")
        self.token = os.urandom(32).hex()
        path = os.path.join(self.dir, "link")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        token_out, token_in = os.pipe()
        os.write(token_in, self.token.encode())
        os.close(token_in)
        self.log = open(os.path.join(self.dir, "log"), "w+b")
        environment = {"PATH": os.environ["PATH"], "HOME": self.dir, "TMPDIR": self.dir, "REMORA_URL": "ipc://" + path}
        environment.update(env or {})
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "PYTHONPATH", "DAPR_COMPONENTS_SOCKETS_FOLDER"):
            if name in os.environ:
                environment.setdefault(name, os.environ[name])

        def prepare():
            if token_out != 3:
                os.dup2(token_out, 3)
            os.set_inheritable(3, True)
            os.setpgid(0, 0)

        self.popen = subprocess.Popen([exec_path], env=environment, stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=self.log, close_fds=False, preexec_fn=prepare, cwd=self.dir)
        os.close(token_out)

    def accept(self):
        self.listener.settimeout(SECONDS)
        try:
            connection, _ = self.listener.accept()
        except TimeoutError:
            raise Violation("it did not connect; its output: " + self.output()) from None
        return connection

    def wait_exit(self, seconds=SECONDS):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Violation(f"it still ran {seconds} s later") from None

    def output(self):
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return f.read()[-2000:].decode(errors="replace")

    def close(self):
        if self.popen.poll() is None:
            try:
                os.killpg(self.popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.popen.wait()
        self.listener.close()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Call:
    """One call into the plugin: what is still to be sent and what came back."""

    def __init__(self, number, payload):
        self.id = number
        self.to_send = memoryview(payload)
        self.send_credit = CALL_CREDIT
        self.response = None
        self.received = bytearray()
        self.received_bytes = 0  # also when they are not kept
        self.is_ended = False  # END seen
        self.end_status = None
        self.recv_used = 0  # credit the plugin has used and not got back
        self.recv_due = 0
        self.hold = False  # give no credit back
        self.keep = True  # keep the bytes
        self.frames = 0

    @property
    def is_complete(self):
        if self.response is None:
            return False
        if self.response.status.code != 0 or self.is_ended:
            return True
        return not self.response.open_ended and self.received_bytes >= self.response.payload_bytes

    @property
    def status(self):
        return self.response.status

    def message(self, kind):
        out = kind()
        out.ParseFromString(bytes(self.received[: self.response.message_bytes]))
        return out

    @property
    def body(self):
        return bytes(self.received[self.response.message_bytes :])


class Link:
    """The connection. Nothing happens behind the check's back: frames are read in pump() only."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.setblocking(False)
        self.inbox = bytearray()
        self.greeted = False
        self.outbox = bytearray()
        self.epoch = 7
        self.next_id = 1
        self.calls = {}
        self.send_credit = LINK_CREDIT
        self.recv_used = 0
        self.hold = False
        self.host_requests = []
        self.logs = []
        self.raw(GREETING)

    # --- bytes

    def raw(self, data):
        self.outbox += data
        self.write()

    def write(self):
        while self.outbox:
            try:
                sent = self.socket.send(self.outbox[:1048576])
            except BlockingIOError:
                return
            except OSError as e:
                raise Violation(f"it closed the connection ({e})") from None
            del self.outbox[:sent]

    def send(self, frame, epoch=None):
        frame.epoch = self.epoch if epoch is None else epoch
        data = frame.SerializeToString()
        self.raw(b"\1" + struct.pack(">Q", len(data)) + data)

    def read(self, seconds):
        readable, _, _ = select.select([self.socket], [self.socket] if self.outbox else [], [], seconds)
        self.write()
        if not readable:
            return False
        try:
            data = self.socket.recv(1048576)
        except ConnectionError:
            data = b""
        if not data:
            raise ConnectionResetError("the plugin closed the connection")
        self.inbox += data
        return True

    def take_frame(self):
        if not self.greeted:
            if len(self.inbox) < 8:
                return None
            need(self.inbox[:8] == GREETING, f"greeting is {bytes(self.inbox[:8])!r}, not SP pair0")
            del self.inbox[:8]
            self.greeted = True
        if len(self.inbox) < 9:
            return None
        need(self.inbox[0] == 1, "a message does not begin with 01")
        length = struct.unpack(">Q", self.inbox[1:9])[0]
        need(length <= FRAME_MAX, f"a frame of {length} bytes")
        if len(self.inbox) < 9 + length:
            return None
        frame = pb.Frame()
        frame.ParseFromString(bytes(self.inbox[9 : 9 + length]))
        del self.inbox[: 9 + length]
        return frame

    def frame(self, seconds=SECONDS):
        """The next frame, whatever it is; None when there is none in time."""
        until = time.monotonic() + seconds
        while True:
            found = self.take_frame()
            if found is not None:
                return found
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.read(left)

    # --- handshake

    def hello(self):
        frame = self.frame()
        need(frame is not None, "no hello")
        need(frame.kind == pb.KIND_HELLO, f"the first frame is of kind {frame.kind}, not hello")
        need(frame.epoch == 0 and frame.call == 0, "hello has an epoch or a call number")
        hello = pb.Hello()
        hello.ParseFromString(frame.payload)
        return hello

    def ack(self, **changes):
        fields = dict(protocol_major=1, protocol_minor=0, epoch=self.epoch, kernel_version="0.1.0", app_id="conform",
                      frame_bytes_max=FRAME_MAX, call_credit_bytes=CALL_CREDIT, link_credit_bytes=LINK_CREDIT)
        fields.update(changes)
        self.send(pb.Frame(kind=pb.KIND_HELLO_ACK, payload=pb.HelloAck(**fields).SerializeToString()))

    # --- frames in

    def credit_received(self, call, count):
        self.recv_used += count
        need(self.recv_used <= LINK_CREDIT, "it exceeded the credit of the connection")
        if call is not None:
            call.recv_used += count
            need(call.recv_used <= CALL_CREDIT, "it exceeded the credit of a call")
            if not call.hold:
                self.give_call(call)
        if not self.hold and self.recv_used >= LINK_CREDIT // 4:
            self.give_link()

    def give_call(self, call, least=CALL_CREDIT // 4):
        if call.recv_used >= least > 0:
            self.send(pb.Frame(kind=pb.KIND_CREDIT, call=call.id, credit_bytes=call.recv_used))
            call.recv_used = 0

    def give_link(self):
        if self.recv_used > 0:
            self.send(pb.Frame(kind=pb.KIND_CREDIT, credit_bytes=self.recv_used))
            self.recv_used = 0

    def on_frame(self, frame):
        need(frame.epoch == self.epoch, f"a frame has epoch {frame.epoch}, not {self.epoch}")
        call = self.calls.get(frame.call)
        if frame.kind in (pb.KIND_RESPONSE, pb.KIND_DATA, pb.KIND_REQUEST):
            self.credit_received(call, len(frame.payload))
        if frame.kind == pb.KIND_LOG:
            entry = pb.LogEntry()
            entry.ParseFromString(frame.payload)
            self.logs.append(entry)
        elif frame.kind == pb.KIND_CREDIT:
            if frame.call == 0:
                self.send_credit += frame.credit_bytes
                need(self.send_credit <= LINK_CREDIT, "it gave the connection credit that was not used")
            elif call is not None:
                call.send_credit += frame.credit_bytes
                need(call.send_credit <= CALL_CREDIT, "it gave a call credit that was not used")
        elif frame.kind == pb.KIND_REQUEST:
            need(frame.call % 2 == 0 and frame.call > 0, "a call of the plugin has an odd number")
            self.host_requests.append(frame)
        elif call is not None:
            self.on_answer(call, frame)

    def on_answer(self, call, frame):
        call.frames += 1
        if frame.kind == pb.KIND_RESPONSE:
            need(call.response is None, "a second response to one call")
            call.response = frame
            need(frame.open_ended or frame.status.code != 0 or frame.message_bytes <= frame.payload_bytes,
                 "message_bytes exceeds payload_bytes")
        elif frame.kind == pb.KIND_END:
            call.is_ended = True
            call.end_status = frame.status
            return
        need(call.response is not None, "data before the response")
        call.received_bytes += len(frame.payload)
        if call.keep:
            call.received += frame.payload
        need(call.response.open_ended or call.response.status.code != 0
             or call.received_bytes <= call.response.payload_bytes, "more payload than announced")

    # --- calls

    def open(self, method, component, message=b"", body=b"", send=True, **fields):
        """Starts a call; with send=False nothing but the number is there yet."""
        if not isinstance(message, (bytes, bytearray)):
            message = message.SerializeToString()
        call = Call(self.next_id, bytes(message) + bytes(body))
        self.next_id += 2
        self.calls[call.id] = call
        call.head = pb.Frame(kind=pb.KIND_REQUEST, call=call.id, method=method, component=component,
                             message_bytes=len(message), payload_bytes=len(message) + len(body), **fields)
        if send:
            self.feed(call)
        return call

    def feed(self, call, most=None):
        """Sends as much of the request as credits allow."""
        while call.head is not None or (len(call.to_send) > 0 and call.response is None):
            size = min(len(call.to_send), call.send_credit, self.send_credit, PAYLOAD_MAX)
            if most is not None:
                size = min(size, most)
                most -= size
            if size == 0 and (call.head is None or len(call.to_send) > 0):
                return
            frame = call.head or pb.Frame(kind=pb.KIND_DATA, call=call.id)
            call.head = None
            frame.payload = bytes(call.to_send[:size])
            call.to_send = call.to_send[size:]
            call.send_credit -= size
            self.send_credit -= size
            self.send(frame)

    def pump(self, seconds):
        frame = self.frame(seconds)
        if frame is not None:
            self.on_frame(frame)
        return frame is not None

    def wait(self, condition, what, seconds=SECONDS):
        until = time.monotonic() + seconds
        while not condition():
            left = until - time.monotonic()
            need(left > 0, f"{what}: not within {seconds} s")
            self.pump(left)

    def finish(self, call, seconds=SECONDS):
        """Feeds and reads until the call is answered whole."""
        until = time.monotonic() + seconds
        while not call.is_complete:
            self.feed(call)
            left = until - time.monotonic()
            need(left > 0, f"no whole answer to a call of method {call.id} within {seconds} s")
            self.pump(min(left, 0.5))
        del self.calls[call.id]
        return call

    def call(self, method, component, message=b"", body=b"", **fields):
        return self.finish(self.open(method, component, message, body, **fields))

    def answer(self, frame, message):
        """Answers a call of the plugin's own."""
        data = message.SerializeToString()
        self.send_credit -= len(data)
        self.send(pb.Frame(kind=pb.KIND_RESPONSE, call=frame.call, message_bytes=len(data), payload_bytes=len(data),
                           payload=data))

    def cancel(self, call):
        self.send(pb.Frame(kind=pb.KIND_CANCEL, call=call.id))

    def expect_closed(self, seconds=SECONDS):
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                self.frame(max(0.0, until - time.monotonic()))
        except (ConnectionResetError, Violation):
            return
        raise Violation("it kept the connection")

    def close(self):
        self.socket.close()
