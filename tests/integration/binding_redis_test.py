#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.redis against a real server: what the reference was asked and answered (recordings/bindings.json), what is left in
the server, times to live, and trouble: a server that goes and comes back, keys that hold something else."""

import sdk  # noqa: F401  isort: skip

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import grpc  # noqa: E402
from dapr.proto.runtime.v1 import binding_pb2, dapr_pb2_grpc  # noqa: E402
from recordings import answer_problems  # noqa: E402
from remora import Redis, Sidecar, component, equal, eventually, main, need, shared, test  # noqa: E402

redis = Redis()
sidecar = Sidecar(component("rb", "bindings.redis", {"redisHost": f"127.0.0.1:{redis.port}", "redisPassword": ""}), app_id="bx")


def invoke(operation, data=None, binding="rb", **metadata):
    body = {"operation": operation, "metadata": metadata}
    if data is not None:
        body["data"] = data
    return sidecar.call("POST", f"/v1.0/bindings/{binding}", json.dumps(body))


def refused(reply, words):
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_INVOKE_OUTPUT_BINDING"), reply.text)
    need(words in reply.json["message"], reply.text)


@test("answers, and what is left in the server, are as recorded of the reference", "BIND-02 BIND-04 BIND-20")
def recorded():
    with open(shared("recordings", "bindings.json"), encoding="utf-8") as f:
        entries = [e for e in json.load(f)["entries"] if e["name"].startswith("redis binding ")]
    need(len(entries) >= 7, f"{len(entries)} recorded exchanges")
    for entry in entries:
        request, wanted = entry["request"], entry["response"]
        reply = sidecar.call(request["method"], request["target"], request["body"])
        wanted["headers"] = [h for h in wanted["headers"] if h[0] not in ("Traceparent", "Date")]
        reply.headers = [h for h in reply.headers if h[0] not in ("Traceparent", "Date")]
        found = answer_problems(wanted, reply)
        need(not found, f"{entry['name']}: {found}")
    equal(redis.command("KEYS", "*"), [b"cnt"])
    equal(redis.command("GET", "cnt"), b"1")


@test("data keep their bytes, over HTTP as JSON text and over gRPC as they are", "BIND-03 X-BIND-03")
def bytes_are_kept():
    equal(invoke("create", {"a": [1, 2.50]}, key="json").status, 204)
    need(json.loads(redis.command("GET", "json")) == {"a": [1, 2.5]}, "not the JSON")
    stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))
    for data in (b"", b"\0\xff\r\n" * 1000, b"x" * (1 << 20)):
        stub.InvokeBinding(binding_pb2.InvokeBindingRequest(
            name="rb", operation="create", data=data, metadata={"key": "raw"}), timeout=20)
        equal(redis.command("GET", "raw"), data)
        got = stub.InvokeBinding(binding_pb2.InvokeBindingRequest(
            name="rb", operation="get", metadata={"key": "raw"}), timeout=20)
        equal(got.data, data)


@test("a key that was read with delete is gone", "BIND-04")
def read_and_deleted():
    invoke("create", "once", key="turn")
    equal(invoke("get", key="turn", delete="false").body, b'"once"')
    equal(invoke("get", key="turn", delete="TRUE").body, b'"once"', "only the very word deletes")
    equal(invoke("get", key="turn", delete="true").body, b'"once"')
    reply = invoke("get", key="turn", delete="true")
    equal((reply.status, reply.body), (200, b""))
    equal(redis.command("EXISTS", "turn"), 0)


@test("times to live come about with what they are for, and those that are none change nothing", "BIND-05")
def times_to_live():
    equal(invoke("create", 1, key="t1", ttlInSeconds="600").status, 204)
    equal(invoke("increment", key="t2", ttlInSeconds="600").status, 204)
    equal(invoke("increment", key="t2", ttlInSeconds="10m").status, 204)
    equal(redis.command("GET", "t2"), b"2")
    for key in ("t1", "t2"):
        need(0 < redis.command("PTTL", key) <= 600_000, f"{key}: {redis.command('PTTL', key)}")
    invoke("create", 2, key="t1")
    equal(redis.command("PTTL", "t1"), -1, "without one it stays for ever")
    for ttl in ("0", "-1", "x", "1 s", "0s", "99999999999999999999", "\u0661"):
        for operation in ("create", "increment"):
            refused(invoke(operation, 3, key="t3", ttlInSeconds=ttl), "ttl value must be")
    equal(redis.command("EXISTS", "t3"), 0, "nothing was written")
    equal(invoke("create", 4, key="t4", ttlInSeconds="9223372036854775807").status, 204, "as long as it can be")
    invoke("create", 5, key="t5", ttlInSeconds="1")
    eventually(lambda: redis.command("EXISTS", "t5") == 0, "it has expired")


@test("keys of any bytes, and keys that hold something else", "BIND-05")
def hostile_keys():
    for key in ("a b", "*\r\nFLUSHALL\r\n", "k" * 70000, "\u2028\U0001f600", "{x}"):
        equal(invoke("create", "v", key=key).status, 204, repr(key[:20]))
        equal(redis.command("GET", key.encode()), b'"v"', repr(key[:20]))
        equal(invoke("get", key=key).body, b'"v"')
        equal(invoke("delete", key=key).status, 204)
        equal(redis.command("EXISTS", key.encode()), 0)
    for operation in ("create", "get", "delete", "increment"):
        refused(invoke(operation, "v", key=""), "missing key in request metadata")
    redis.command("HSET", "hash", "f", "v")
    refused(invoke("get", key="hash"), "WRONGTYPE")
    refused(invoke("increment", key="hash"), "WRONGTYPE")
    redis.command("SET", "word", "x")
    refused(invoke("increment", key="word"), "not an integer")
    refused(invoke("increment", key="word", ttlInSeconds="5"), "not an integer")
    equal(redis.command("PTTL", "word"), -1)


@test("increments of many at once are all counted", "BIND-04")
def counted():
    def work():
        for _ in range(50):
            equal(invoke("increment", key="sum").status, 204)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(redis.command("GET", "sum"), b"200")


@test("a server that has gone is an error in words, and one that is back is found", "BIND-02")
def trouble():
    redis.stop()
    reply = invoke("get", key="any")
    equal(reply.status, 500, reply.text)
    need(f"127.0.0.1:{redis.port}" in reply.text or "redis" in reply.text, reply.text)
    redis.start()
    eventually(lambda: invoke("create", 1, key="back").status == 204, "it is found again")
    equal(redis.command("GET", "back"), b"1")


@test("it can be invoked and not read from, and a component that cannot reach its server says where", "BIND-15")
def capabilities():
    (ours,) = [c for c in sidecar.metadata()["components"] if c["name"] == "rb"]
    equal((ours["type"], ours["capabilities"]), ("bindings.redis", ["OUTPUT_BINDING"]))
    lonely = Sidecar(component("rb", "bindings.redis", {"redisHost": "127.0.0.1:9", "redisPassword": "sw0rdfish",
                                                        "redisMaxRetries": "0"}, "  ignoreErrors: true"), app_id="by")
    need("redis binding: error connecting to redis at 127.0.0.1:9" in lonely.log(), lonely.log()[-2000:])
    need("sw0rdfish" not in lonely.log(), "no password in the log")


main()
