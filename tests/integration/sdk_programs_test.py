# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Programs written only with the official SDKs, unmodified, as a new user writes them: JavaScript over HTTP and over gRPC,
and Python's asynchronous client, on state, secrets, metadata, health and what does not exist yet."""

import json
import os

from remora import Folder, Redis, Sidecar, component, equal, main, need, test
from sdk_programs import environment, run, start

SECRETS = json.dumps({"plain": "swordfish", "nested": {"inner": "deep"}})
STORES = ("mem", "lite", "red")


def sidecar(*components, app_id="js", **more):
    folder = Folder()
    folder.write("secrets.json", SECRETS)
    return Sidecar(
        *components,
        component("mem", "state.in-memory"),
        component("lite", "state.sqlite", {"connectionString": folder / "state.db"}),
        component("vault", "secretstores.local.file", {"secretsFile": folder / "secrets.json"}),
        app_id=app_id,
        folder=folder,
        **more,
    )


_shared = []


def shared_sidecar():
    if not _shared:
        redis = component("red", "state.redis", {"redisHost": f"127.0.0.1:{Redis().port}"})
        _shared.append(sidecar(redis))
    return _shared[0]


for protocol in ("http", "grpc"):
    for store in STORES:

        @test(f"JavaScript over {protocol}, {store}: state", "SDK-JS")
        def _(protocol=protocol, store=store):
            run(shared_sidecar(), "js/state.js", protocol, store)

    @test(f"JavaScript over {protocol}: secrets, metadata, health, what is missing, the end", "SDK-JS")
    def _(protocol=protocol):
        one = sidecar()
        run(one, "js/sidecar.js", protocol)
        equal(one.wait(), 0)


for store in STORES:

    @test(f"Python, asynchronous, {store}: state, secrets, metadata, what is missing", "SDK-PYTHON")
    def _(store=store):
        run(shared_sidecar(), "python/state_async.py", store)


@test("large values pass up to the limit, and beyond it are refused in words, over HTTP and gRPC", "SDK-JS")
def _():
    one = sidecar(flags=["--max-body-size", "8Mi"])
    for protocol in ("http", "grpc"):
        run(one, "js/large.js", protocol, "mem", "8")


@test("each SDK shows the token that its environment has, and is refused without", "SDK-JS SDK-PYTHON")
def _():
    one = sidecar(env={"PATH": os.environ["PATH"], "DAPR_API_TOKEN": "open sesame"})
    programs = (("js/state.js", "http", "mem"), ("js/state.js", "grpc", "mem"), ("python/state_async.py", "mem"))
    for program in programs:
        run(one, *program, DAPR_API_TOKEN="open sesame")
    for program, *words in programs[2:]:
        process = start(one.folder, environment(one), program, *words)
        need(process.wait(60) != 0, "it was let in")
        need("UNAUTHENTICATED" in process.log(), process.log()[-3000:])


main()
