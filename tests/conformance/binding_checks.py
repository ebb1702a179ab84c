# SPDX-License-Identifier: Apache-2.0
"""The requirements every binding must meet; see checks.py. What an operation does is the binding's affair, so
that whether one succeeds is not judged, only that it is answered as the contract wants it."""
from checks import HANDLE, MIB, check
from kernel import SECONDS, need
import plugin_pb2 as pb

ZEROS = "00-" + 32 * "0" + "-" + 16 * "0" + "-00"


def request(operation, **metadata):
    pairs = dict(metadata, traceparent=ZEROS)
    return pb.BindingInvoke(operation=operation, metadata=[pb.Pair(name=n, value=v) for n, v in pairs.items()])


def judged(answer, what):
    """Its reply, or None if the operation has failed."""
    if answer.status.code != 0:
        need(answer.status.message, f"{what} failed without words")
        need(answer.status.code != pb.CODE_UNIMPLEMENTED, f"{what} is named and not implemented")
        return None
    reply = answer.message(pb.BindingReply)
    need(reply.responds or not answer.body, f"{what} has nothing to say, and says it")
    need(not reply.HasField("failure") or reply.failure.message, f"{what} failed without words")
    need(all(pair.name for pair in reply.metadata), f"{what} told metadata without a name")
    return reply


@check(needs="OUTPUT_BINDING")
def binding_operations(bench):
    """names what it can be asked to do"""
    bench.component()
    need(bench.operations, "it names no operation")
    need(len(set(bench.operations)) == len(bench.operations), f"one is named twice: {bench.operations}")
    need(all(o and " " not in o for o in bench.operations), f"names have no blanks: {bench.operations}")


@check(needs="OUTPUT_BINDING")
def binding_answers(bench):
    """answers each of its operations, without data and with data of any bytes"""
    link = bench.component()
    for operation in bench.operations:
        for data in (b"", b"\0\xff\r\n", b'{"a":1}'):
            judged(link.call(pb.METHOD_BINDING_INVOKE, HANDLE, request(operation), data), operation)


@check(needs="OUTPUT_BINDING")
def binding_metadata(bench):
    """takes any metadata: names and values that mean nothing, that are long, that have line ends"""
    link = bench.component()
    for name, value in (("conform", ""), ("Conform", "\r\nX: y"), ("path", "\x01"), ("fileName", "n" * 70000),
                        ("C" * 3000, "v"), ("key", "\u2028\U0001f600")):
        for operation in bench.operations:
            judged(link.call(pb.METHOD_BINDING_INVOKE, HANDLE, request(operation, **{name: value})), operation)


@check(needs="OUTPUT_BINDING")
def binding_long(bench):
    """takes a mebibyte of data"""
    link = bench.component()
    judged(link.call(pb.METHOD_BINDING_INVOKE, HANDLE, request(bench.operations[0]), MIB * b"x"), bench.operations[0])


@check(needs="OUTPUT_BINDING")
def binding_pipelined(bench):
    """answers many operations at once"""
    link = bench.component()
    calls = [link.open(pb.METHOD_BINDING_INVOKE, HANDLE, request(bench.operations[i % len(bench.operations)]))
             for i in range(200)]
    for call in calls:
        judged(link.finish(call), "one of many")


@check(needs="OUTPUT_BINDING")
def binding_malformed(bench):
    """refuses an invocation that names no operation"""
    link = bench.component()
    answer = link.call(pb.METHOD_BINDING_INVOKE, HANDLE, request(""))
    need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"code {answer.status.code}")


# --- input -----------------------------------------------------------------------------------------------------------

# Those whose component of components/ has an event every moment, and those that read what they were invoked with.
KINDS = {"a source of events": ("bindings.cron",),
         "a queue of events": ("bindings.rabbitmq", "bindings.kafka", "bindings.mqtt3")}
READING = 7


def read(link, reading=READING, window=3):
    wanted = pb.BindingRead(reading=reading, window=window)
    answer = link.call(pb.METHOD_BINDING_READ, HANDLE, wanted)
    need(answer.status.code == 0, f"read failed: {answer.status.message}")


def event_of(frame):
    need(frame.method == pb.METHOD_HOST_BINDING_EVENT, f"it calls method {frame.method}")
    said = pb.HostBindingEvent()
    said.ParseFromString(frame.payload[: frame.message_bytes])
    return said


def events(link, count):
    """The next ones, which are forgotten here."""
    link.wait(lambda: len(link.host_requests) >= count, f"{count} events", SECONDS)
    frames, link.host_requests = link.host_requests[:count], link.host_requests[count:]
    return frames


def handled(link, call):
    """The call's end, all events answered until then."""
    def is_over():
        for frame in link.host_requests:
            link.answer(frame, pb.HostBindingEventReply())
        link.host_requests = []
        return call.is_complete
    link.wait(is_over, "an end", SECONDS)
    return call


@check(needs="INPUT_BINDING")
def binding_read_malformed(bench):
    """refuses to read without a name or a window, and to stop without a name"""
    link = bench.component()
    for method, message in ((pb.METHOD_BINDING_READ, pb.BindingRead(reading=READING)),
                            (pb.METHOD_BINDING_READ, pb.BindingRead(window=1)),
                            (pb.METHOD_BINDING_STOP, pb.BindingStop())):
        code = link.call(method, HANDLE, message).status.code
        need(code == pb.CODE_INVALID_ARGUMENT, f"code {code}")


@check(needs="INPUT_BINDING")
def binding_stop(bench):
    """stops reading, also what nobody reads, and begins again"""
    link = bench.component()
    need(link.call(pb.METHOD_BINDING_STOP, HANDLE, pb.BindingStop(reading=99)).status.code == 0, "stop failed")
    for reading in (READING, READING + 1):
        read(link, reading)
        call = link.open(pb.METHOD_BINDING_STOP, HANDLE, pb.BindingStop(reading=reading))
        need(handled(link, call).status.code == 0, "stop failed")


@check(needs="INPUT_BINDING")
def binding_quiesce(bench):
    """quiesces while it reads"""
    link = bench.component()
    read(link)
    call = link.open(pb.METHOD_QUIESCE, HANDLE)
    need(handled(link, call).status.code == 0, "quiesce failed")


@check(needs="a source of events")
def binding_events(bench):
    """hands over no more events than the window holds, and nothing once it has been stopped"""
    link = bench.component()
    read(link, window=2)
    held = events(link, 2)
    for frame in held:
        need(event_of(frame).reading == READING, "not its reading")
        need(all(pair.name for pair in event_of(frame).metadata), "metadata without a name")
    link.pump(0.3)
    need(link.host_requests == [], "more than the window")
    link.answer(held[0], pb.HostBindingEventReply())
    held = [held[1]] + events(link, 1)
    stopped = link.open(pb.METHOD_BINDING_STOP, HANDLE, pb.BindingStop(reading=READING))
    link.pump(0.3)
    need(not stopped.is_complete, "stopped before its events were answered")
    for frame in held:
        link.answer(frame, pb.HostBindingEventReply())
    need(link.finish(stopped).status.code == 0, "stop failed")
    link.pump(0.3)
    need(link.host_requests == [], "an event after the end")


def create(link, data, **metadata):
    answer = link.call(pb.METHOD_BINDING_INVOKE, HANDLE, request("create", **metadata), data)
    need(answer.status.code == 0, f"create failed: {answer.status.message}")


def refuse(link, frame):
    """The application did not take it."""
    link.send(pb.Frame(kind=pb.KIND_RESPONSE, call=frame.call,
                       status=pb.Status(code=pb.CODE_UNAVAILABLE, message="the application answered 500")))


def data_of(frame):
    return frame.payload[frame.message_bytes:]


def next_data(link, data, deaf=()):
    """The next event, which has the data; others that are as `deaf` are handled on the way."""
    while True:
        (frame,) = events(link, 1)
        if data_of(frame) == data:
            return frame
        need(data_of(frame) in deaf, f"{data_of(frame)[:50]} came, not {data[:50]}")
        link.answer(frame, pb.HostBindingEventReply())


@check(needs="a queue of events")
def binding_queue(bench):
    """hands over what it was invoked with, byte for byte, once if it is handled and again if it is not"""
    link = bench.component()
    read(link, window=10)
    for data in (b"", b"\0\xff\r\n", b"x" * 30000):
        create(link, data)
        frame = next_data(link, data)
        need(event_of(frame).reading == READING, "not its reading")
        link.answer(frame, pb.HostBindingEventReply())
    create(link, b"again")
    for _ in range(2):
        refuse(link, next_data(link, b"again"))
    link.answer(next_data(link, b"again"), pb.HostBindingEventReply())
    create(link, b"behind it")
    link.answer(next_data(link, b"behind it"), pb.HostBindingEventReply())
    while link.pump(1):
        pass
    need(link.host_requests == [], "one came again that was handled")


@check(needs="a queue of events")
def binding_queue_stop(bench):
    """stops when what is on its way is answered, keeps what comes meanwhile, and hands over what was refused"""
    link = bench.component()
    read(link, window=1)
    create(link, b"refused at the end")
    frame = next_data(link, b"refused at the end")
    stopped = link.open(pb.METHOD_BINDING_STOP, HANDLE, pb.BindingStop(reading=READING))
    create(link, b"meanwhile")
    while link.pump(0.5):
        pass
    need(not stopped.is_complete, "stopped before its event was answered")
    need(link.host_requests == [], "more than the window")
    refuse(link, frame)
    need(link.finish(stopped).status.code == 0, "stop failed")
    while link.pump(0.5):
        pass
    need(link.host_requests == [], "an event after the end")
    read(link, READING + 1, window=10)
    got = []
    for _ in range(2):
        (frame,) = events(link, 1)
        link.answer(frame, pb.HostBindingEventReply())
        got.append(data_of(frame))
    need(sorted(got) == [b"meanwhile", b"refused at the end"], f"{got}")


@check(needs="INPUT_BINDING")
def binding_closed_in_flight(bench):
    """survives a close while events are on their way"""
    link = bench.component()
    read(link, window=10)
    if "OUTPUT_BINDING" in bench.capabilities:
        create(link, b"on its way")
    frame, = events(link, 1)
    need(link.call(pb.METHOD_CLOSE, HANDLE).status.code == 0, "close failed")
    link.answer(frame, pb.HostBindingEventReply())
    while link.pump(0.3):
        pass
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")
