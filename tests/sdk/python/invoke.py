# SPDX-License-Identifier: Apache-2.0
"""Service invocation with the official Python SDK: invoke.py http|grpc APP-ID KIND. DAPR_HTTP_PORT and DAPR_GRPC_PORT
lead to the sidecar; any application of tests/sdk may be behind it. Its KIND is `http`, `grpc-js` (which answers nothing
where it has no method) or `grpc-python` (which is not told the HTTP verb). Ends with 0 when every answer was the right
one."""

import asyncio
import json
import os
import sys
import warnings

protocol, app, kind = sys.argv[1:]
os.environ["DAPR_API_METHOD_INVOCATION_PROTOCOL"] = protocol  # read by the SDK when it is imported
warnings.filterwarnings("ignore", category=DeprecationWarning)

from dapr.aio.clients import DaprClient as AioClient  # noqa: E402
from dapr.clients import DaprClient  # noqa: E402


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


def refused(function, *args, **named):
    try:
        function(*args, **named)
    except Exception as error:
        return error
    raise AssertionError("it was not refused")


# What a caller gets for a method that is not there, and for one that fails.
ERRORS = {
    "http": {"none": {"http": 404, "grpc": "NOT_FOUND"}},
    "grpc-js": {},
    "grpc-python": {
        "none": {"http": 501, "grpc": "UNIMPLEMENTED"},
        "fail": {"http": 500, "grpc": "UNKNOWN"},
    },
}


def ask(d, method, body, verb="POST", **named):
    answer = d.invoke_method(app, method, json.dumps(body), content_type="application/json", http_verb=verb, **named)
    return answer.json()


with DaprClient() as d:
    equal(ask(d, "hello", {"name": "réef ✓"}), {"hello": "réef ✓"})
    equal(ask(d, "length", {"text": "x" * 1_000_000}), {"length": 1_000_000})
    kept = {"deep": [1, "ü"]}
    equal(ask(d, "remember", {"key": f"python-{protocol}", "value": kept}), {"value": kept})
    if kind != "grpc-python":
        equal(ask(d, "item", {}, "PUT")["method"], "put")
        equal(ask(d, "item", {}, "DELETE")["method"], "delete")
        equal(d.invoke_method(app, "item", b"", http_verb="GET").json()["method"], "get")
    for method, wanted in ERRORS[kind].items():
        error = refused(ask, d, method, {})
        equal(error.status_code if protocol == "http" else error.code().name, wanted[protocol])
    assert "nobody" in str(refused(d.invoke_method, "nobody", "hello", b"{}", http_verb="POST"))
    for i in range(100):
        equal(ask(d, "hello", {"name": f"n{i}"}), {"hello": f"n{i}"})


async def many():
    async with AioClient() as d:

        async def one(name):
            body = json.dumps({"name": name})
            answer = await d.invoke_method(app, "hello", body, content_type="application/json", http_verb="POST")
            equal(answer.json(), {"hello": name})

        await asyncio.gather(*(one(f"n{i}") for i in range(200)))


asyncio.run(many())
print("all is well")
