# SPDX-License-Identifier: Apache-2.0
"""The requirements every secret store must meet; see checks.py."""
from checks import HANDLE, check
from held import SECRETS
from kernel import need
import plugin_pb2 as pb


def get_secret(link, name, **fields):
    """Its pairs; None if the store says it has none."""
    answer = link.call(pb.METHOD_SECRET_GET, HANDLE, pb.SecretGet(name=name, **fields))
    need(answer.status.code == 0, f"{name}: code {answer.status.code} {answer.status.message}")
    reply = answer.message(pb.SecretGetReply)
    need(reply.found or not reply.data, "data of a secret that was not found")
    return {pair.name: pair.value for pair in reply.data} if reply.found else None


@check(needs="secretstores")
def secret_get(bench):
    """gives a secret of one value as one pair of its name"""
    link = bench.component()
    for name, value in SECRETS.items():
        got = get_secret(link, name)
        need(got == {name: value}, f"{name}: {got}")
    got = get_secret(link, "conform-plain", metadata=[pb.Pair(name="version_id", value="1")])
    need(got == {"conform-plain": "swordfish"}, f"with metadata: {got}")


@check(needs="secretstores")
def secret_missing(bench):
    """tells that a secret is missing without an error (or as an empty value, if its store cannot tell)"""
    link = bench.component()
    for name in ("conform-absent", "", "Conform-Plain", "conform-plain "):
        got = get_secret(link, name)
        need(got in (None, {name: ""}), f"{name!r}: {got}")


@check(needs="secretstores")
def secret_bulk(bench):
    """lists every secret once, as a get gives it"""
    link = bench.component()
    answer = link.call(pb.METHOD_SECRET_BULK_GET, HANDLE, pb.SecretBulkGet())
    need(answer.status.code == 0, f"code {answer.status.code} {answer.status.message}")
    secrets = answer.message(pb.SecretBulkGetReply).secrets
    listed = {secret.name: {pair.name: pair.value for pair in secret.data} for secret in secrets}
    need(len(listed) == len(secrets), "a secret is there twice")
    for name, value in SECRETS.items():
        need(listed.get(name) == {name: value}, f"{name}: {listed.get(name)}")


@check(needs="secretstores")
def secret_pipelined(bench):
    """answers many gets at once, each with its own secret"""
    link = bench.component()
    names = [name for name in SECRETS if name != "conform-long"] * 200
    calls = [link.open(pb.METHOD_SECRET_GET, HANDLE, pb.SecretGet(name=name).SerializeToString()) for name in names]
    for name, call in zip(names, calls):
        reply = link.finish(call).message(pb.SecretGetReply)
        need([(pair.name, pair.value) for pair in reply.data] == [(name, SECRETS[name])], f"{name}: {reply}")


@check(needs="secretstores")
def secret_malformed(bench):
    """refuses malformed requests and operations of other blocks, and goes on"""
    link = bench.component()
    for method, request in ((pb.METHOD_SECRET_GET, b"\x0a\x50cut"), (pb.METHOD_SECRET_GET, b"\x12\x02\x0a\x50"),
                            (pb.METHOD_SECRET_BULK_GET, b"\x0a\x02\x0a\x50")):
        answer = link.call(method, HANDLE, request)
        need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"code {answer.status.code}")
    answer = link.call(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key="k"))
    need(answer.status.code == pb.CODE_UNIMPLEMENTED, f"state: code {answer.status.code}")
    need(get_secret(link, "conform-plain") == {"conform-plain": "swordfish"}, "it does not go on")
