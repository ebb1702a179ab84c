# SPDX-License-Identifier: Apache-2.0
"""An application with the gRPC extension of the official Python SDK. It listens on APP_PORT, as a launcher sets it, for
what invoke.py and invoke.js call."""

import json
import os

from dapr.clients import DaprClient
from dapr.ext.grpc import App, InvokeMethodRequest, InvokeMethodResponse

app = App()


@app.method("hello")
def hello(request: InvokeMethodRequest):
    return InvokeMethodResponse(json.dumps({"hello": json.loads(request.text())["name"]}), "application/json")


@app.method("length")
def length(request: InvokeMethodRequest):
    return json.dumps({"length": len(json.loads(request.text())["text"])})


@app.method("remember")
def remember(request: InvokeMethodRequest):
    """Stores through the sidecar that has called it."""
    body = json.loads(request.text())
    with DaprClient() as d:
        d.save_state("mem", body["key"], json.dumps(body["value"]))
        return json.dumps({"value": d.get_state("mem", body["key"]).json()})


@app.method("fail")
def fail(request: InvokeMethodRequest):
    raise ValueError("this one always fails")


app.register_health_check(lambda: None)
app.run(int(os.environ["APP_PORT"]), "127.0.0.1")
