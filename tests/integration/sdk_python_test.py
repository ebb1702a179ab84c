# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""The official Python SDK, unmodified, as its documentation uses it: state, secrets and metadata against a sidecar, over
gRPC (the SDK's own choice) and over HTTP beside it."""

import sdk  # noqa: F401  isort: skip

import asyncio
import json
import os

import grpc
from remora import Folder, Sidecar, call, component, equal, main, need, test

SECRETS = Folder()
SECRETS.write("secrets.json", json.dumps({"plain": "swordfish", "nested": {"inner": "deep"}}))
SIDECAR = Sidecar(
    component("mem", "state.in-memory"),
    component("lite", "state.sqlite", {"connectionString": SECRETS / "state.db"}),
    component("vault", "secretstores.local.file", {"secretsFile": SECRETS / "secrets.json"}),
    app_id="py",
)
# What a launcher puts into an application's environment. The SDK reads it when it is imported.
os.environ.update(DAPR_HTTP_PORT=str(SIDECAR.port), DAPR_GRPC_PORT=str(SIDECAR.grpc_port))

from dapr.aio.clients import DaprClient as AioClient  # noqa: E402
from dapr.clients import DaprClient  # noqa: E402
from dapr.clients.exceptions import DaprGrpcError  # noqa: E402
from dapr.clients.grpc._request import TransactionalStateOperation as operation  # noqa: E402
from dapr.clients.grpc._request import TransactionOperationType  # noqa: E402
from dapr.clients.grpc._state import Concurrency, Consistency, StateItem, StateOptions  # noqa: E402


def refused(function):
    try:
        function()
    except (DaprGrpcError, grpc.RpcError) as error:
        return error
    raise AssertionError("it was not refused")


@test("a client is made once the sidecar is healthy", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        d.wait(60)


for store in ("mem", "lite"):

    @test(f"{store}: a value is saved, read, changed under its ETag and deleted", "SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            d.save_state(store_name=store, key="greeting", value="héllo")
            got = d.get_state(store_name=store, key="greeting")
            equal(got.text(), "héllo")
            need(got.etag, "there is an ETag")
            d.save_state(store, "greeting", b"two", etag=got.etag)
            equal(refused(lambda: d.save_state(store, "greeting", "three", etag=got.etag)).code(), grpc.StatusCode.ABORTED)
            equal(d.get_state(store, "greeting").data, b"two")
            d.delete_state(store, "greeting")
            equal(d.get_state(store, "greeting").data, b"")

    @test(f"{store}: any bytes come back as they were", "SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            for value in (b"", b"\x00\xff\xfe", bytes(range(256)) * 4000):
                d.save_state(store, "bytes", value)
                equal(d.get_state(store, "bytes").data, value)

    @test(f"{store}: many values are saved and read at once", "SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            options = StateOptions(consistency=Consistency.strong, concurrency=Concurrency.last_write)
            d.save_state(store, "many500", "x", options=options)
            d.delete_state(store, "many500", options=options)
            d.save_bulk_state(store, [StateItem(key=f"many{i}", value=str(i)) for i in range(500)])
            got = d.get_bulk_state(store, [f"many{i}" for i in range(501)], parallelism=5).items
            equal([(item.key, item.text()) for item in got[:500]], [(f"many{i}", str(i)) for i in range(500)])
            equal(got[500].data, b"")

    @test(f"{store}: a transaction happens as a whole or not at all", "SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            d.execute_state_transaction(store, [operation("a", "1"), operation("b", "2")])
            refused(
                lambda: d.execute_state_transaction(
                    store,
                    [
                        operation("a", operation_type=TransactionOperationType.delete),
                        operation("b", "3", etag="424242"),
                    ],
                )
            )
            equal([d.get_state(store, key).text() for key in "ab"], ["1", "2"])

    @test(f"{store}: a value with a time to live tells when it ends", "SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            d.save_state(store, "brief", "x", state_metadata={"ttlInSeconds": "60"})
            equal(d.get_state(store, "brief").text(), "x")

    @test(f"{store}: what gRPC saved HTTP reads, and the other way round", "SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            d.save_state(store, "both", json.dumps({"n": 1}), state_metadata={"contentType": "application/json"})
            equal(call(SIDECAR.address, "GET", f"/v1.0/state/{store}/both").json, {"n": 1})
            call(SIDECAR.address, "POST", f"/v1.0/state/{store}", [{"key": "both", "value": {"n": 2}}])
            equal(d.get_state(store, "both").json(), {"n": 2})


@test("sqlite: a query finds what matches", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        for name, age in (("ann", 30), ("bob", 40)):
            d.save_state("lite", name, json.dumps({"age": age}), state_metadata={"contentType": "application/json"})
        got = d.query_state("lite", json.dumps({"filter": {"EQ": {"age": 40}}}))
        equal([item.key for item in got.results], ["bob"])


@test("errors carry their code, their words and their details", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        error = refused(lambda: d.get_state("ghost", "k"))
        equal((error.code(), error.details()), (grpc.StatusCode.INVALID_ARGUMENT, "state store ghost is not found"))
        equal(error.error_code(), "DAPR_STATE_NOT_FOUND")
        error = refused(lambda: d.get_state("mem", "a||b"))
        equal(error.status_details().bad_request["field_violations"][0]["field"], "a||b")


@test("secrets are read, one and all", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        equal(d.get_secret("vault", "plain").secret, {"plain": "swordfish"})
        equal(d.get_bulk_secret("vault").secrets["nested:inner"], {"nested:inner": "deep"})
        equal(refused(lambda: d.get_secret("vault", "none")).code(), grpc.StatusCode.INTERNAL)


@test("metadata tells of components and keeps attributes", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        d.set_metadata("colour", "red")
        got = d.get_metadata()
        equal(got.application_id, "py")
        equal(sorted(c.name for c in got.registered_components), ["lite", "mem", "vault"])
        equal(got.extended_metadata["colour"], "red")


@test("what does not exist yet says so by name", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        error = refused(lambda: d.get_job_alpha1("nightly"))
        equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        need("GetJobAlpha1" in error.details(), error.details())


@test("a thousand calls run at a time on one connection", "SDK-PYTHON")
def _():
    async def run():
        async with AioClient() as d:
            await asyncio.gather(*(d.save_state("mem", f"aio{i}", str(i)) for i in range(1000)))
            got = await asyncio.gather(*(d.get_state("mem", f"aio{i}") for i in range(1000)))
            equal([item.text() for item in got], [str(i) for i in range(1000)])

    asyncio.run(run())


@test("the SDK ends the sidecar", "SDK-PYTHON")
def _():
    with DaprClient() as d:
        d.shutdown()
    equal(SIDECAR.wait(), 0)


main()
