#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The SDK's calls into the sidecar, played against the proxy plugin by a kernel that answers as each test wants."""
import os
import sys
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REMORA_BUILD") or os.path.join(TOP, "build")
MESSAGES = "gen/python/remora/plugin/v1"
sys.path[:0] = [os.path.join(TOP, "tests/conformance"), os.path.join(BUILD, MESSAGES), os.path.join(TOP, "build", MESSAGES)]
import kernel  # noqa: E402
from kernel import CALL_CREDIT, need  # noqa: E402
import plugin_pb2 as pb  # noqa: E402

EXEC = os.path.join(os.path.abspath(BUILD), "tests/plugins/proxy/proxy")
HANDLE = 3
SECONDS = 60  # for what does come; an end to a wait for what does not


class Host:
    """A sidecar with one store, answering host calls in the order they come."""

    def __init__(self):
        self.process = kernel.Process(EXEC)
        self.link = kernel.Link(self.process.accept())
        self.hello = self.link.hello()
        self.link.ack(host_services=["state"])
        request = pb.InitRequest(name="p", type="state.proxy", version="v1",
                                 metadata=[pb.Pair(name="store", value="backing")])
        answer = self.link.call(pb.METHOD_INIT, HANDLE, request)
        need(answer.status.code == 0, answer.status.message)
        self.values = {}
        self.payloads = {}  # of host calls that are not whole

    def next_request(self):
        self.link.wait(lambda: self.link.host_requests, "a host call", SECONDS)
        return self.link.host_requests.pop(0)

    def whole_request(self):
        """A host call with all of its payload; data frames are collected and credited."""
        frame = self.next_request()
        payload = bytearray(frame.payload)
        if len(payload) < frame.payload_bytes:
            self.link.send(pb.Frame(kind=pb.KIND_CREDIT, call=frame.call, credit_bytes=len(payload)))
        while len(payload) < frame.payload_bytes:
            more = self.link.frame()
            need(more is not None, "the rest of a host call")
            if more.kind == pb.KIND_DATA and more.call == frame.call:
                payload += more.payload
                self.link.credit_received(None, len(more.payload))
                self.link.send(pb.Frame(kind=pb.KIND_CREDIT, call=frame.call, credit_bytes=len(more.payload)))
            else:
                self.link.on_frame(more)
        return frame, bytes(payload[: frame.message_bytes]), bytes(payload[frame.message_bytes:])

    def answer(self, frame, message=b"", body=b"", status=None):
        if not isinstance(message, bytes):
            message = message.SerializeToString()
        payload = message + body
        first = pb.Frame(kind=pb.KIND_RESPONSE, call=frame.call, message_bytes=len(message), payload_bytes=len(payload))
        if status is not None:
            first.status.CopyFrom(status)
        first.payload = payload[:200000]
        self.link.send(first)
        for at in range(200000, len(payload), 60000):
            self.link.send(pb.Frame(kind=pb.KIND_DATA, call=frame.call, payload=payload[at:at + 60000]))

    def serve(self, count):
        for _ in range(count):
            frame, message, body = self.whole_request()
            if frame.method == pb.METHOD_HOST_STATE_SET:
                request = pb.HostStateSet.FromString(message)
                need(request.store == "backing", f"store {request.store}")
                self.values[request.key] = body
                self.answer(frame, pb.Empty())
            elif frame.method == pb.METHOD_HOST_STATE_GET:
                request = pb.HostStateGet.FromString(message)
                value = self.values.get(request.key)
                reply = pb.StateValue() if value is None else pb.StateValue(found=True, etag="e1")
                self.answer(frame, reply, value or b"")
            else:
                request = pb.HostStateDelete.FromString(message)
                self.values.pop(request.key, None)
                self.answer(frame, pb.Empty())

    def open_set(self, items, **fields):
        request = pb.StateSet(items=[pb.StateSetItem(key=k, value_bytes=len(v)) for k, v in items])
        return self.link.open(pb.METHOD_STATE_SET, HANDLE, request, b"".join(v for _, v in items), **fields)

    def open_get(self, key, **fields):
        return self.link.open(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key=key), **fields)

    def close(self):
        self.link.close()
        code = self.process.popen.wait(SECONDS)
        self.process.close()
        need(code == 0, f"exit status {code}")


def asks_for_services(host):
    """hello names the services of the plugin, and its log lines carry level and component"""
    need(list(host.hello.host_services) == ["state"], f"services {host.hello.host_services}")
    need(host.link.logs[0].message == "proxying to backing", f"logs {host.link.logs}")
    need(host.link.logs[0].level == pb.LogEntry.LEVEL_INFO and host.link.logs[0].component == HANDLE, "level, component")


def round_trip(host):
    """a value goes through the sidecar and back, with its ETag"""
    call = host.open_set([("k", b"\0value")])
    host.serve(1)
    need(host.link.finish(call).status.code == 0, call.status.message)
    call = host.open_get("k")
    host.serve(1)
    host.link.finish(call)
    need(call.body == b"\0value" and call.message(pb.StateValue).etag == "e1", "another value")
    call = host.open_get("none")
    host.serve(1)
    need(not host.link.finish(call).message(pb.StateValue).found, "found")


def passes_context(host):
    """a host call carries trace, request id, depth and remaining time of the call it is made for"""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    call = host.open_get("k", depth=2, timeout_ms=600000, traceparent=trace, tracestate="a=1", request_id=b"id")
    frame = host.next_request()
    need(frame.depth == 3 and frame.traceparent == trace and frame.tracestate == "a=1", "trace or depth")
    need(frame.request_id == b"id" and 500000 < frame.timeout_ms <= 600000, f"time {frame.timeout_ms}")
    host.answer(frame, pb.StateValue())
    host.link.finish(call)


def passes_errors(host):
    """an error of the sidecar reaches the caller"""
    call = host.open_get("k")
    host.answer(host.next_request(), status=pb.Status(code=pb.CODE_PERMISSION_DENIED, message="not granted"))
    host.link.finish(call)
    need(call.status.code == pb.CODE_PERMISSION_DENIED and call.status.message == "not granted", str(call.status))


def large_values(host):
    """a value of 5 MiB goes both ways under credits"""
    value = os.urandom(5 << 20)
    call = host.open_set([("big", value)])
    while call.to_send:
        host.link.feed(call)
        host.link.pump(1)
    host.serve(1)
    need(host.link.finish(call).status.code == 0, call.status.message)
    need(host.values["big"] == value, "another value arrived")
    call = host.open_get("big")
    frame, _, _ = host.whole_request()
    answer_under_credit(host, frame, value)
    need(host.link.finish(call).body == value, "another value came back")


def answer_under_credit(host, frame, value):
    """As the kernel would: counts what may be sent, waits for credit."""
    message = pb.StateValue(found=True).SerializeToString()
    out = kernel.Call(frame.call, message + value)
    out.head = pb.Frame(kind=pb.KIND_RESPONSE, call=frame.call, message_bytes=len(message),
                        payload_bytes=len(message) + len(value))
    host.link.calls[frame.call] = out  # finds the credits
    while out.to_send:
        host.link.feed(out)
        if out.to_send:
            host.link.pump(1)
    del host.link.calls[frame.call]


def bulk_falls_back(host):
    """bulk operations become single ones: reads several at a time, writes in order"""
    call = host.open_set([("a", b"1"), ("b", b"2"), ("a", b"3")])
    for expected in ("a", "b", "a"):
        need(not host.link.host_requests, "the next write began before the last ended")
        frame, message, body = host.whole_request()
        need(pb.HostStateSet.FromString(message).key == expected, "another order")
        status = pb.Status(code=pb.CODE_ABORTED, message="b failed") if expected == "b" else None
        host.answer(frame, pb.Empty(), status=status)
        host.values[expected] = body
    failures = host.link.finish(call).message(pb.StateWriteReply).failures
    need([(f.index, f.status.message) for f in failures] == [(1, "b failed")], str(failures))
    request = pb.StateBulkGet(items=[pb.StateGet(key=k) for k in ("a", "none", "b")])
    call = host.link.open(pb.METHOD_STATE_BULK_GET, HANDLE, request)
    host.serve(3)
    items = host.link.finish(call).message(pb.StateValues).items
    need([i.found for i in items] == [True, False, True] and call.body == b"32", str(items))


def cancelled_bulk(host):
    """a cancelled bulk write does not begin the items that are left"""
    call = host.open_set([(str(i), b"x") for i in range(10)])
    frame = host.next_request()
    host.link.cancel(call)
    host.link.call(pb.METHOD_PING, 0)
    host.answer(frame, pb.Empty())
    failures = host.link.finish(call).message(pb.StateWriteReply).failures
    need([f.index for f in failures] == list(range(1, 10)), f"{len(failures)} failures")
    need(failures[0].status.code == pb.CODE_CANCELLED and not host.link.host_requests, "it went on")


def too_many(host):
    """more than 1,024 calls into the sidecar are refused, not queued"""
    calls = [host.open_get(f"k{i}") for i in range(1100)]
    host.link.wait(lambda: len(host.link.host_requests) == 1024, "1,024 host calls")
    for frame in host.link.host_requests:
        host.answer(frame, pb.StateValue())
    codes = [host.link.finish(call).status.code for call in calls]
    need(codes.count(0) == 1024 and codes.count(pb.CODE_RESOURCE_EXHAUSTED) == 76, str(set(codes)))


def answered_early(host):
    """an answer that comes before the request is sent ends the request"""
    value = os.urandom(3 << 20)
    call = host.open_set([("big", value)])
    while call.to_send:
        host.link.feed(call)
        host.link.pump(1)
    frame = host.next_request()
    host.answer(frame, status=pb.Status(code=pb.CODE_RESOURCE_EXHAUSTED, message="too large"))
    need(host.link.finish(call).status.code == pb.CODE_RESOURCE_EXHAUSTED, str(call.status))
    host.link.send(pb.Frame(kind=pb.KIND_CREDIT, call=frame.call, credit_bytes=CALL_CREDIT))
    need(host.link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")


def lost(host):
    """host calls that are open when the sidecar goes end the plugin in order"""
    host.open_get("k")
    host.next_request()


def main():
    tests = [asks_for_services, round_trip, passes_context, passes_errors, large_values, bulk_falls_back, cancelled_bulk,
             too_many, answered_early, lost]
    passed = failed = 0
    for test in tests:
        if len(sys.argv) > 1 and test.__name__ not in sys.argv[1:]:
            continue
        print("-", test.__doc__, flush=True)
        host = None
        try:
            host = Host()
            test(host)
            host.close()
            passed += 1
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            if host is not None:
                print(host.process.output() if not host.process.log.closed else "")
                host.process.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
