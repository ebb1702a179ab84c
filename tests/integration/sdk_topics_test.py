# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Topics with the official SDKs, unmodified: applications of the JavaScript SDK and of the Python SDK's extensions that
subscribe, publish, and judge what comes; Python's streams, which need no port of an application. Each beside a broker in
memory and a durable one."""

from remora import Folder, Redis, Sidecar, component, equal, main, test
from sdk_programs import Application, ends_well, run


def broker(kind):
    if kind == "in-memory":
        return component("bus", "pubsub.in-memory")
    if kind == "sqlite":
        return component("bus", "pubsub.sqlite", {"connectionString": str(Folder() / "bus.db")})
    # A group of its own would get what the others have published before.
    return component("bus", "pubsub.redis", {"redisHost": f"127.0.0.1:{Redis().port}"})


def application(program, *words, protocol, kind):
    app = Application(program, *words, protocol=protocol, resources=[broker(kind)])
    ends_well(app)
    equal(app.sidecar.stop(), 0)


# Each program beside the broker in memory and a durable one.
for name, program, words, protocol, durable in (
    ("an application of Python's gRPC extension", "python/topics_grpc.py", ["bus"], "grpc", "sqlite"),
    ("a FastAPI application", "python/topics_fastapi.py", ["bus"], "http", "redis"),
    ("a JavaScript application over HTTP", "js/topics.js", ["http", "bus"], "http", "sqlite"),
    ("a JavaScript application over gRPC", "js/topics.js", ["grpc", "bus"], "grpc", "redis"),
):
    for kind in ("in-memory", durable):

        @test(f"{name}, {kind}", "SDK-JS SDK-PYTHON PUB")
        def _(program=program, words=words, protocol=protocol, kind=kind):
            application(program, *words, protocol=protocol, kind=kind)


for kind in ("in-memory", "sqlite"):

    @test(f"Python's streams, {kind}", "SDK-PYTHON PUB")
    def _(kind=kind):
        run(Sidecar(broker(kind), app_id="reef"), "python/topics_stream.py", "bus")


main()
