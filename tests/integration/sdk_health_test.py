# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""The health checks that gRPC applications of the official SDKs answer by themselves: asked, believed, and missed while
the application hangs."""

import json
import signal

from remora import equal, eventually, main, test
from sdk_programs import Application

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
