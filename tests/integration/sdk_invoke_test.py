# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Applications and callers written only with the official SDKs, unmodified: each kind of application of the JavaScript SDK
and of the Python SDK's extensions, called through its sidecar by each client."""

import json
import signal

from remora import component, equal, eventually, main, need, test
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


for name, program, words in (
    ("the Python SDK", "python/app_grpc.py", []),
    ("the JavaScript SDK", "js/app.js", ["grpc"]),
):

    @test(f"the health check of {name}'s gRPC application is asked and believed", "SDK-JS SDK-PYTHON")
    def _(program=program, words=words):
        flags = ["--enable-app-health-check", "--app-health-probe-interval", "1"]
        app = Application(program, *words, protocol="grpc", flags=flags)

        def hello():
            body = {"name": "x"}
            headers = [("Content-Type", "application/json")]
            try:
                return app.sidecar.call("POST", "/v1.0/invoke/reef/method/hello", body, headers, timeout=2).text
            except TimeoutError:  # the application hangs, and nobody knows it yet
                return ""

        eventually(lambda: json.loads(hello() or "{}") == {"hello": "x"}, "the application is found healthy", 30)
        app.signal(signal.SIGSTOP)
        eventually(lambda: "not in a healthy state" in hello(), "it is found to hang", 30)
        app.signal(signal.SIGCONT)
        eventually(lambda: json.loads(hello() or "{}") == {"hello": "x"}, "it is found healthy again", 30)
        equal(app.sidecar.stop(), 0)


main()
