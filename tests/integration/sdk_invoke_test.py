# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Applications and callers written only with the official SDKs, unmodified: each kind of application of the JavaScript SDK
and of the Python SDK's extensions, called through its sidecar by each client."""

from remora import component, equal, main, need, test
from sdk_programs import Application, ends_well, environment, start

CLIENTS = [
    ("js/invoke.js", "http"),
    ("js/invoke.js", "grpc"),
    ("python/invoke.py", "http"),
    ("python/invoke.py", "grpc"),
]


def called_by_all(program, words, kind):
    """The clients run beside each other."""
    memory = component("mem", "state.in-memory")
    app = Application(program, *words, protocol=kind.partition("-")[0], resources=[memory])
    env = environment(app.sidecar)
    clients = [start(app.sidecar.folder, env, client, protocol, "reef", kind) for client, protocol in CLIENTS]
    for client in clients:
        ends_well(client)
    need(app.is_alive(), app.log())
    equal(app.sidecar.stop(), 0)


for name, program, words, kind in (
    ("a JavaScript application over HTTP", "js/app.js", ["http"], "http"),
    ("a JavaScript application over gRPC", "js/app.js", ["grpc"], "grpc-js"),
    ("a Python application over gRPC", "python/app_grpc.py", [], "grpc-python"),
    ("a FastAPI application", "python/app_fastapi.py", [], "http"),
    ("a Flask application", "python/app_flask.py", [], "http"),
):

    @test(f"{name} is called by every client", "SDK-JS SDK-PYTHON INV-SDK")
    def _(program=program, words=words, kind=kind):
        called_by_all(program, words, kind)


main()
