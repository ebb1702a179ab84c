# SPDX-License-Identifier: Apache-2.0
"""The requirements every output binding must meet; see checks.py. What an operation does is the binding's affair, so
that whether one succeeds is not judged, only that it is answered as the contract wants it."""
from checks import HANDLE, MIB, check
from kernel import need
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
