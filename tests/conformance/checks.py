# SPDX-License-Identifier: Apache-2.0
"""The requirements every plugin must meet, one function each: its first line is the requirement. A check gets a Bench,
which starts a fresh process. `@check(needs=...)` limits it to types of a kind, to those with a capability, or to types
that echo. What only one kind of component has to meet stands in a file of its own: state_checks.py, pubsub_checks.py and
so on."""
import os
import signal
import struct
import time

from kernel import CALL_CREDIT, FRAME_MAX, SECONDS, need
import plugin_pb2 as pb

CHECKS = []
HANDLE = 5
PORT = 50002  # of the sidecar that a resolver makes known
MIB = 1024 * 1024


def check(function=None, needs=None):
    if function is None:
        return lambda f: check(f, needs)
    CHECKS.append((function, needs))
    return function


# --- handshake and end -----------------------------------------------------------------------------------------------


@check
def hello(bench):
    """says hello first: token, version 1, name and types as in plugin.yaml"""
    _, link = bench.connect(welcome=False)
    said = bench.hello
    need(said.token == bench.process.token, "the token is not the one on file descriptor 3")
    need((said.protocol_major, said.protocol_minor) >= (1, 0) and said.protocol_major == 1, "not protocol 1")
    need(said.name == bench.manifest.name, f"name {said.name}, not {bench.manifest.name}")
    need(said.version == bench.manifest.version, f"version {said.version}, not {bench.manifest.version}")
    types = {t.type: list(t.versions) for t in said.types}
    need(types == bench.manifest.types, f"types {types}, not {bench.manifest.types}")
    need(os.getpgid(said.pid) == bench.process.popen.pid, "its pid is not in its process group")
    link.ack()


@check
def refused(bench):
    """ends when its hello is refused"""
    process, link = bench.connect(welcome=False)
    link.ack(status=pb.Status(code=pb.CODE_PERMISSION_DENIED, message="wrong token"), epoch=0)
    need(process.wait_exit() != 0, "exit status 0")


@check
def other_version(bench):
    """ends when the kernel speaks another major version"""
    process, link = bench.connect(welcome=False)
    link.ack(protocol_major=2)
    need(process.wait_exit() != 0, "exit status 0")


@check
def link_lost(bench):
    """ends with status 0 when the connection is closed"""
    process, link = bench.connect()
    link.close()
    need(process.wait_exit() == 0, f"exit status {process.popen.returncode}")


@check
def terminated(bench):
    """ends on SIGTERM"""
    process, link = bench.connect()
    link.call(pb.METHOD_PING, 0)
    os.kill(process.popen.pid, signal.SIGTERM)
    process.wait_exit()


@check
def oversized(bench):
    """ends the connection on a frame longer than 256 KiB"""
    _, link = bench.connect()
    link.raw(b"\1" + struct.pack(">Q", FRAME_MAX + 1) + b"\0" * 1000)
    link.expect_closed()


@check
def malformed_frame(bench):
    """ends the connection on bytes that are no frame"""
    _, link = bench.connect()
    link.raw(b"\1" + struct.pack(">Q", 3) + b"\x08\xff\xff")
    link.expect_closed()


# --- calls -----------------------------------------------------------------------------------------------------------


@check
def ping(bench):
    """answers a ping"""
    _, link = bench.connect()
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "not OK")


@check
def pipelined(bench):
    """answers a thousand calls sent at once, each with its number"""
    _, link = bench.connect()
    for call in [link.open(pb.METHOD_PING, 0) for _ in range(1000)]:
        need(link.finish(call).status.code == 0, "not OK")


@check
def split_bytes(bench):
    """reads frames that arrive byte by byte"""
    _, link = bench.connect()
    frame = pb.Frame(kind=pb.KIND_REQUEST, call=901, epoch=link.epoch, method=pb.METHOD_PING).SerializeToString()
    for byte in b"\1" + struct.pack(">Q", len(frame)) + frame:
        link.raw(bytes([byte]))
        time.sleep(0.001)
    answer = link.frame()
    need(answer is not None and answer.kind == pb.KIND_RESPONSE and answer.call == 901, "no answer")


@check
def unknown_method(bench):
    """answers a method it does not know with UNIMPLEMENTED"""
    _, link = bench.connect()
    for method in (31, 39 + 100, 9999):
        answer = link.call(method, 0)
        need(answer.status.code == pb.CODE_UNIMPLEMENTED, f"code {answer.status.code}")


@check
def unknown_fields(bench):
    """ignores fields, kinds and late frames it does not know"""
    _, link = bench.connect()
    frame = pb.Frame(kind=pb.KIND_REQUEST, call=901, epoch=link.epoch, method=pb.METHOD_PING).SerializeToString()
    frame += b"\xf8\x07\x05" + b"\xfa\x07\x03abc"  # fields 127
    link.raw(b"\1" + struct.pack(">Q", len(frame)) + frame)
    link.send(pb.Frame(kind=77, call=903))
    link.send(pb.Frame(kind=pb.KIND_EVENT))
    for kind in (pb.KIND_DATA, pb.KIND_END, pb.KIND_CANCEL, pb.KIND_CREDIT):
        link.send(pb.Frame(kind=kind, call=905, credit_bytes=1, payload=b""))
    link.next_id = 907
    answer = link.frame()
    need(answer.kind == pb.KIND_RESPONSE and answer.call == 901, "the ping was not answered first")
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")


@check
def other_epoch(bench):
    """drops frames of another epoch"""
    _, link = bench.connect()
    call = link.open(pb.METHOD_PING, 0, send=False)
    call.head.payload = b""
    link.send(call.head, epoch=link.epoch + 1)
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer to a frame of this epoch")
    need(call.response is None, "it answered a frame of another epoch")


@check
def no_component(bench):
    """answers calls for a component it was not given with FAILED_PRECONDITION"""
    _, link = bench.connect()
    for method in (pb.METHOD_START, pb.METHOD_QUIESCE, pb.METHOD_CLOSE):
        answer = link.call(method, 99)
        need(answer.status.code == pb.CODE_FAILED_PRECONDITION, f"code {answer.status.code} to method {method}")


@check
def unknown_type(bench):
    """refuses to init a type it did not name"""
    _, link = bench.connect()
    answer = link.call(pb.METHOD_INIT, HANDLE, pb.InitRequest(name="x", type="state.no-such", version="v1"))
    need(answer.status.code != 0, "OK")
    need(link.call(pb.METHOD_START, HANDLE).status.code == pb.CODE_FAILED_PRECONDITION, "the handle exists")


@check
def malformed_init(bench):
    """refuses a malformed message and goes on"""
    _, link = bench.connect()
    answer = link.call(pb.METHOD_INIT, HANDLE, b"\x0a\x50cut")
    need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"code {answer.status.code}")
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")


@check
def init_twice(bench):
    """refuses a second init of a handle and keeps the first"""
    link = bench.component()
    answer = link.call(pb.METHOD_INIT, HANDLE, bench.init_request())
    need(answer.status.code == pb.CODE_ALREADY_EXISTS, f"code {answer.status.code}")
    need(link.call(pb.METHOD_START, HANDLE).status.code == 0, "the first is gone")


@check
def life(bench):
    """goes through start, quiesce and close, and takes the handle again"""
    link = bench.component()
    for _ in range(2):
        need(link.call(pb.METHOD_START, HANDLE).status.code == 0, "start failed")
        answer = link.call(pb.METHOD_QUIESCE, HANDLE)
        need(answer.status.code == 0, "quiesce failed")
        need(answer.message(pb.QuiesceReply).outstanding == 0, "calls are outstanding")
        need(link.call(pb.METHOD_CLOSE, HANDLE).status.code == 0, "close failed")
        gone = link.call(pb.METHOD_START, HANDLE)
        need(gone.status.code == pb.CODE_FAILED_PRECONDITION, "the component is still there")
        bench.init(link)


@check
def many_components(bench):
    """hosts several components at a time"""
    link = bench.component()
    for handle in range(100, 108):
        bench.init(link, handle)
    for handle in range(100, 108):
        need(link.call(pb.METHOD_CLOSE, handle).status.code == 0, "close failed")
    need(link.call(pb.METHOD_START, HANDLE).status.code == 0, "the first is gone")


@check
def cut_request(bench):
    """answers a cancel of a request that is not complete, and drops what follows"""
    link = bench.component()
    call = link.open(bench.long_method, HANDLE, b"", b"x" * 300000, send=False)
    link.feed(call, most=100000)
    need(call.response is None, "an answer to half a request")
    link.cancel(call)
    link.wait(lambda: call.response is not None, "response to a cancelled call")
    need(call.status.code == pb.CODE_CANCELLED, f"code {call.status.code}")
    link.send(pb.Frame(kind=pb.KIND_DATA, call=call.id, payload=b"y" * 1000))
    link.send_credit -= 1000
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")


@check
def late_request(bench):
    """answers DEADLINE_EXCEEDED when a request is not complete in time"""
    link = bench.component()
    call = link.open(bench.long_method, HANDLE, b"", b"x" * 300000, send=False, timeout_ms=150)
    link.feed(call, most=1000)
    link.wait(lambda: call.response is not None, "response after the deadline")
    need(call.status.code == pb.CODE_DEADLINE_EXCEEDED, f"code {call.status.code}")


# --- echo ------------------------------------------------------------------------------------------------------------


@check(needs="echo")
def echo(bench):
    """echoes notes and bodies"""
    link = bench.component()
    for size in (0, 1, 1000, 300000, 5 * MIB):
        body = os.urandom(size)
        answer = link.call(pb.METHOD_ECHO, HANDLE, pb.EchoRequest(note="ü"), body)
        reply = answer.message(pb.EchoReply)
        need((reply.note, reply.body_bytes, answer.body) == ("ü", size, body), f"differs at {size} bytes")


@check(needs="echo")
def echo_deadline(bench):
    """ends a waiting call at its deadline and on cancel"""
    link = bench.component()
    slow = pb.EchoRequest(delay_ms=2000 * SECONDS)
    os.kill(bench.hello.pid, signal.SIGSTOP)  # all come at one turn, at whose end the last are not late yet
    calls = [link.open(pb.METHOD_ECHO, HANDLE, slow, timeout_ms=100) for _ in range(500)]
    os.kill(bench.hello.pid, signal.SIGCONT)
    for late in calls:
        link.finish(late)
        need(late.status.code == pb.CODE_DEADLINE_EXCEEDED, f"code {late.status.code}")
    call = link.open(pb.METHOD_ECHO, HANDLE, pb.EchoRequest(delay_ms=2000 * SECONDS))
    link.call(pb.METHOD_PING, 0)
    link.cancel(call)
    link.finish(call)
    need(call.status.code == pb.CODE_CANCELLED, f"code {call.status.code}")


def open_stream(link):
    call = link.open(pb.METHOD_ECHO_STREAM, HANDLE, pb.EchoRequest(note="s"), send=False, open_ended=True)
    call.head.payload_bytes = 0
    call.keep = False
    link.feed(call)
    link.wait(lambda: call.response is not None, "response of the stream")
    need(call.response.open_ended, "the response is not open-ended")
    return call


@check(needs="echo")
def stream(bench):
    """passes a long stream through under credits"""
    link = bench.component()
    total = (1024 if os.environ.get("LONG") else 64) * MIB
    chunk = os.urandom(CALL_CREDIT // 4)  # what comes back is at least as much at once
    call = open_stream(link)
    head = call.received_bytes
    sent = 0
    until = time.monotonic() + 120
    while not call.is_ended:
        while sent < total and min(call.send_credit, link.send_credit) >= len(chunk):
            link.send(pb.Frame(kind=pb.KIND_DATA, call=call.id, payload=chunk))
            call.send_credit -= len(chunk)
            link.send_credit -= len(chunk)
            sent += len(chunk)
            if sent == total:
                link.send(pb.Frame(kind=pb.KIND_END, call=call.id))
        link.pump(0.5)
        need(time.monotonic() < until, f"only {call.received_bytes} bytes came back")
    need(call.received_bytes - head == total, f"{call.received_bytes - head} of {total} bytes came back")
    with open(f"/proc/{bench.hello.pid}/status", encoding="ascii") as f:
        peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    need(peak < 64 * 1024, f"it held {peak} KiB")


@check(needs="echo")
def stream_backpressure(bench):
    """takes no more of a stream than it can pass on"""
    link = bench.component()
    call = open_stream(link)
    call.hold = True
    sent = 0
    while True:
        size = min(call.send_credit, 65536)
        if size > 0:
            link.send(pb.Frame(kind=pb.KIND_DATA, call=call.id, payload=b"z" * size))
            call.send_credit -= size
            link.send_credit -= size
            sent += size
        elif not link.pump(0.3):
            break
    need(sent <= 3 * CALL_CREDIT, f"it took {sent} bytes")
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer meanwhile")
    link.cancel(call)
    link.wait(lambda: call.is_ended, "end of the cancelled stream")
    need(call.end_status.code == pb.CODE_CANCELLED, f"code {call.end_status.code}")
