# SPDX-License-Identifier: Apache-2.0
"""State, secrets and metadata with the asynchronous client of the official Python SDK: state_async.py STORE.
DAPR_GRPC_PORT and DAPR_HTTP_PORT lead to the sidecar. Ends with 0 when every answer was the right one."""

import asyncio
import json
import sys

import grpc
from dapr.aio.clients import DaprClient
from dapr.clients.exceptions import DaprInternalError
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._state import Concurrency, Consistency, StateItem, StateOptions

store = sys.argv[1]


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


async def refused(call):
    """Some calls of this client wrap the error that came."""
    try:
        await call
    except (grpc.RpcError, DaprInternalError) as error:
        came = error if isinstance(error, grpc.RpcError) else error.__cause__
        return came.code(), came.details()
    raise AssertionError("it was not refused")


async def state(d):
    await d.save_state(store, "greeting", json.dumps({"text": "héllo"}))
    got = await d.get_state(store, "greeting")
    equal(got.json(), {"text": "héllo"})
    options = StateOptions(consistency=Consistency.strong, concurrency=Concurrency.first_write)
    await d.save_state(store, "greeting", "two", etag=got.etag, options=options)
    code, _ = await refused(d.save_state(store, "greeting", "three", etag=got.etag, options=options))
    equal(code, grpc.StatusCode.ABORTED)
    await d.delete_state(store, "greeting")
    equal((await d.get_state(store, "greeting")).data, b"")


async def many(d):
    await d.save_bulk_state(store, [StateItem(key=f"k{i}", value=str(i)) for i in range(100)])
    got = (await d.get_bulk_state(store, [f"k{i}" for i in range(100)], parallelism=4)).items
    equal([(item.key, item.text()) for item in got], [(f"k{i}", str(i)) for i in range(100)])
    alone = await asyncio.gather(*(d.get_state(store, f"k{i}") for i in range(100)))
    equal([item.text() for item in alone], [str(i) for i in range(100)])


async def transaction(d):
    delete = TransactionOperationType.delete
    await d.execute_state_transaction(
        store,
        [
            TransactionalStateOperation("k0", operation_type=delete),
            TransactionalStateOperation("k1", "changed"),
        ],
    )
    equal((await d.get_state(store, "k0")).data, b"")
    equal((await d.get_state(store, "k1")).text(), "changed")


async def rest(d):
    equal((await d.get_secret("vault", "plain")).secret, {"plain": "swordfish"})
    equal((await d.get_bulk_secret("vault")).secrets["nested:inner"], {"nested:inner": "deep"})
    await d.set_metadata("shape", "round")
    equal((await d.get_metadata()).extended_metadata["shape"], "round")
    code, details = await refused(d.get_state("ghost", "k"))
    equal((code, details), (grpc.StatusCode.INVALID_ARGUMENT, "state store ghost is not found"))


async def missing(d):
    calls = {
        grpc.StatusCode.INTERNAL: d.invoke_binding("bin", "create", b"x"),
        grpc.StatusCode.FAILED_PRECONDITION: d.try_lock("locks", "file", "me", 10),
    }
    for wanted, call in calls.items():
        code, _ = await refused(call)
        equal(code, wanted)


async def main():
    async with DaprClient() as d:
        for part in (state, many, transaction, rest, missing):
            await part(d)
            print(f"ok {part.__name__}")
    print("all is well")


asyncio.run(main())
