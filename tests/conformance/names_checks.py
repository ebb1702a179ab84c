# SPDX-License-Identifier: Apache-2.0
"""The requirements every resolver of names must meet; see checks.py."""
import time

from checks import HANDLE, PORT, check
from kernel import SECONDS, need
import plugin_pb2 as pb


def resolve(link, id_, handle=HANDLE, **fields):
    """Its addresses; None if nobody of that name is known."""
    answer = link.call(pb.METHOD_NAME_RESOLVE, handle, pb.NameResolve(id=id_, port=PORT, **fields))
    if answer.status.code == pb.CODE_NOT_FOUND:
        need(answer.status.message, f"{id_}: not found without words")
        return None
    need(answer.status.code == 0, f"{id_}: code {answer.status.code} {answer.status.message}")
    reply = answer.message(pb.NameResolveReply)
    need(0 < len(reply.addresses) <= 256, f"{len(reply.addresses)} addresses")
    need(len(set(reply.addresses)) == len(reply.addresses), f"an address is there twice: {reply.addresses}")
    for address in reply.addresses:
        host, _, port = address.rpartition(":")
        need(host and port.isdigit() and 0 < int(port) < 65536, f"{address} is no host:port")
        need((":" in host) == (host[0] == "[" and host[-1] == "]"), f"{address}: IPv6 has brackets, and nothing else has")
    return list(reply.addresses)


@check(needs="nameresolution")
def name_resolve(bench):
    """finds the own sidecar, and answers a name nobody has with NOT_FOUND or with a name for others to look up"""
    link = bench.component()
    got = resolve(link, "conform")
    need(got is None or all(address.endswith(f":{PORT}") for address in got), f"{got}")
    again = resolve(link, "conform", namespace="conform-space", metadata=[pb.Pair(name="a", value="b")])
    need(again is None or all(address.endswith(f":{PORT}") for address in again), f"with a namespace: {again}")
    resolve(link, "conform-nobody")


@check(needs="nameresolution")
def name_pipelined(bench):
    """answers many questions at once, each with its own answer"""
    link = bench.component()
    until = time.monotonic() + SECONDS
    while True:  # a registry may take a moment to tell all the same
        expected = {id_: resolve(link, id_) for id_ in ("conform", "conform-nobody", "conform-other")}
        calls = [(id_, link.open(pb.METHOD_NAME_RESOLVE, HANDLE, pb.NameResolve(id=id_, port=PORT).SerializeToString()))
                 for id_ in list(expected) * 100]
        wrong = []
        for id_, call in calls:
            answer = link.finish(call)
            got = list(answer.message(pb.NameResolveReply).addresses) if answer.status.code == 0 else None
            if got != expected[id_]:
                wrong.append(f"{id_}: {got}")
        if not wrong:
            return
        need(time.monotonic() < until, f"{wrong[:3]}")


@check(needs="nameresolution")
def name_strange(bench):
    """answers strange names with an error or an address, and goes on"""
    link = bench.component()
    for id_ in ("a b", "..", "a/../b", "a:1", "a\nb", "größe", "%00", "'; DROP TABLE hosts; --", "x" * 300, "x" * 60000):
        answer = link.call(pb.METHOD_NAME_RESOLVE, HANDLE, pb.NameResolve(id=id_, namespace=id_, port=PORT))
        if answer.status.code == 0:
            for address in answer.message(pb.NameResolveReply).addresses:
                need(address.isprintable() and " " not in address and "/" not in address, f"{id_[:20]!r}: {address!r}")
    resolve(link, "conform")


@check(needs="nameresolution")
def name_malformed(bench):
    """refuses malformed questions and operations of other blocks, and goes on"""
    link = bench.component()
    for request in (b"\x0a\x50cut", b"", pb.NameResolve(namespace="x", port=PORT).SerializeToString()):
        answer = link.call(pb.METHOD_NAME_RESOLVE, HANDLE, request)
        need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"code {answer.status.code} to {request}")
    answer = link.call(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key="k"))
    need(answer.status.code == pb.CODE_UNIMPLEMENTED, f"state: code {answer.status.code}")
    resolve(link, "conform")


@check(needs="nameresolution")
def name_generations(bench):
    """keeps the own sidecar known when the next generation starts before the last one lets go"""
    link = bench.component()
    before = resolve(link, "conform")
    bench.init(link, HANDLE + 1)
    need(link.call(pb.METHOD_START, HANDLE + 1).status.code == 0, "the next one does not start")
    for method in (pb.METHOD_QUIESCE, pb.METHOD_CLOSE):
        need(link.call(method, HANDLE).status.code == 0, "the last one does not end")
    need(resolve(link, "conform", HANDLE + 1) == before, "it is no longer found")
