# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""Distributed locks over HTTP and gRPC, with the official SDKs, on lock.sqlite and lock.redis; what the reference answered
and what it left in a Redis server."""

import sdk  # noqa: F401  isort: skip

import json
import os
import re
import signal
import sqlite3
import threading
import warnings

import grpc
from recordings import answer_problems
from remora import Folder, Redis, Sidecar, call, component, equal, eventually, main, need, request_bytes, shared, test

from sdk_programs import run

warnings.simplefilter("ignore")
JSON = [("Content-Type", "application/json")]
STORES = ("lite", "red")


def lite(path, name="lite", **metadata):
    return component(name, "lock.sqlite", {"connectionString": path, **metadata})


def red(redis, name="red", **metadata):
    return component(name, "lock.redis", {"redisHost": f"127.0.0.1:{redis.port}", **metadata})


class Bed:
    """One file, one server, and sidecars of them; made when first asked for."""

    made = None

    def __init__(self):
        self.folder, self.redis = Folder(), Redis()
        self.path = self.folder / "locks.db"
        self.sidecar = self.start()

    def start(self, app_id="shop", **more):
        return Sidecar(lite(self.path), red(self.redis), app_id=app_id, **more)

    @staticmethod
    def get():
        Bed.made = Bed.made or Bed()
        return Bed.made


# What a launcher puts into an application's environment. The SDK reads it when it is imported.
os.environ.update(DAPR_HTTP_PORT=str(Bed.get().sidecar.port), DAPR_GRPC_PORT=str(Bed.get().sidecar.grpc_port))

from dapr.clients import DaprClient  # noqa: E402
from dapr.clients.grpc._response import UnlockResponseStatus  # noqa: E402
from dapr.proto import api_service_v1, api_v1  # noqa: E402


def post(sidecar, verb, store, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sidecar.call("POST", f"/v1.0-alpha1/{verb}/{store}", data, JSON)


def lock(sidecar, store, resource, owner, seconds=600):
    reply = post(sidecar, "lock", store, {"resourceId": resource, "lockOwner": owner, "expiryInSeconds": seconds})
    equal(reply.status, 200, reply.text)
    return reply.json["success"]


def unlock(sidecar, store, resource, owner):
    reply = post(sidecar, "unlock", store, {"resourceId": resource, "lockOwner": owner})
    equal(reply.status, 200, reply.text)
    return reply.json["status"]


def stub(sidecar):
    return api_service_v1.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


for store in STORES:

    @test(f"{store}: one holds a lock until it is given back by its owner", "LOCK-01 LOCK-02 LOCK-05 LOCK-08 LOCK-09 X-LOCK-01")
    def _(store=store):
        one = Bed.get().sidecar
        equal(lock(one, store, "order", "a"), True)
        equal([lock(one, store, "order", "b"), lock(one, store, "order", "a")], [False, False])
        equal(lock(one, store, "other", "b"), True, "another resource")
        equal([unlock(one, store, "order", "b"), unlock(one, store, "never", "b")], [2, 1])
        equal(unlock(one, store, "order", "a"), 0)
        equal(lock(one, store, "order", "b"), True)

    @test(f"{store}: a lease ends by itself, and then there is nothing to give back", "LOCK-07")
    def _(store=store):
        one = Bed.get().sidecar
        equal(lock(one, store, "short", "a", 1), True)
        eventually(lambda: lock(one, store, "short", "b", 1), "the lease of a is over", 30)
        eventually(lambda: unlock(one, store, "short", "a") == 1, "the lease of b is over", 30)
        equal(unlock(one, store, "short", "b"), 1)

    @test(f"{store}: instances of one application contend, two applications do not", "LOCK-06 LOCK-13")
    def _(store=store):
        bed = Bed.get()
        twin, other = bed.start(), bed.start(app_id="till")
        equal(lock(bed.sidecar, store, "shared", "a"), True)
        equal(lock(twin, store, "shared", "b"), False)
        equal(lock(other, store, "shared", "b"), True)
        equal(unlock(twin, store, "shared", "a"), 0, "through whichever sidecar")
        equal(lock(twin, store, "shared", "b"), True)

    @test(f"{store}: of many that ask at once one gets it", "LOCK-05")
    def _(store=store):
        bed = Bed.get()
        twin = bed.start()
        for turn in range(5):
            got = []

            def ask(i, turn=turn, got=got):
                if lock((bed.sidecar, twin)[i % 2], store, f"rush-{turn}", f"o{i}"):
                    got.append(i)

            threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            equal(len(got), 1, f"turn {turn}")

    @test(f"{store}: the official Python SDK over gRPC", "LOCK-03 LOCK-04 LOCK-10 SDK-PYTHON")
    def _(store=store):
        with DaprClient() as d:
            with d.try_lock(store, "py", "me", 60) as held:
                need(held, "it is held")
                need(not d.try_lock(store, "py", "you", 60), "by one")
                equal(d.unlock(store, "py", "you").status, UnlockResponseStatus.lock_belongs_to_others)
            equal(d.unlock(store, "py", "me").status, UnlockResponseStatus.lock_does_not_exist)

    for protocol in ("http", "grpc"):

        @test(f"{store}: the official JavaScript SDK over {protocol}", "SDK-JS")
        def _(store=store, protocol=protocol):
            run(Bed.get().sidecar, "js/lock.js", protocol, store)

    @test(f"{store}: what is held stays held when sidecar and plugin are killed", "LOCK-05")
    def _(store=store):
        bed = Bed.get()
        one = bed.start()
        equal(lock(one, store, "kept", "a"), True)
        plugin = "sqlite" if store == "lite" else "redis"
        before = one.plugin_pid(plugin)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: one.plugins()[plugin].get("pid") not in (None, before), "the plugin is back", 60)
        equal(eventually(lambda: post(one, "lock", store, {"resourceId": "kept", "lockOwner": "b", "expiryInSeconds": 600}
                                      ).text, "an answer"), '{"success":false}')
        one.kill()
        two = bed.start()
        equal([lock(two, store, "kept", "b"), unlock(two, store, "kept", "a")], [False, 0])

    @test(f"{store}: names of any kind are names", "LOCK-01")
    def _(store=store):
        one = Bed.get().sidecar
        for name in ("r/日本", "ö ü", "a|b", "%00", "'; DROP TABLE locks; --", "\n", "x" * 60000):
            equal([lock(one, store, name, name), lock(one, store, name, "b"), unlock(one, store, name, name)], [True, False, 0])


def refused(function, *words):
    try:
        function(*words)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("it was not refused")


@test("over gRPC what is refused has the reference's code and words", "LOCK-03 LOCK-04 ERR_LOCK_STORE_NOT_CONFIGURED")
def _():
    one = stub(Bed.get().sidecar)
    lock_of, unlock_of = api_v1.TryLockRequest, api_v1.UnlockRequest
    fields = {"store_name": "red", "resource_id": "r", "lock_owner": "o", "expiry_in_seconds": 5}
    rows = [
        ({"resource_id": ""}, "INVALID_ARGUMENT", "ResourceId is empty in lock store red"),
        ({"lock_owner": ""}, "INVALID_ARGUMENT", "LockOwner is empty in lock store red"),
        ({"expiry_in_seconds": 0}, "INVALID_ARGUMENT", "ExpiryInSeconds is not positive in lock store red"),
        ({"expiry_in_seconds": -5}, "INVALID_ARGUMENT", "ExpiryInSeconds is not positive in lock store red"),
        ({"store_name": "ghost"}, "INVALID_ARGUMENT", "lock store ghost not found"),
        ({"resource_id": "a||b"}, "INTERNAL", "failed to try acquiring lock: input key/keyPrefix 'a||b' can't contain '||'"),
        ({"resource_id": "x" * 70000}, "INVALID_ARGUMENT", "ResourceId is longer than 65536 bytes"),
        ({"lock_owner": "x" * 70000}, "INVALID_ARGUMENT", "LockOwner is longer than 65536 bytes"),
    ]
    for change, code, words in rows:
        equal(refused(one.TryLockAlpha1, lock_of(**{**fields, **change})), (code, words))
    del fields["expiry_in_seconds"]
    equal(refused(one.UnlockAlpha1, unlock_of(**{**fields, "lock_owner": ""})),
          ("INVALID_ARGUMENT", "LockOwner is empty in lock store red"))
    equal(refused(one.UnlockAlpha1, unlock_of(**{**fields, "resource_id": "a||b"})),
          ("INTERNAL", "failed to release lock: input key/keyPrefix 'a||b' can't contain '||'"))
    bare = stub(Sidecar())
    for function, request in ((bare.TryLockAlpha1, lock_of()), (bare.UnlockAlpha1, unlock_of())):
        equal(refused(function, request), ("FAILED_PRECONDITION", "lock store is not configured"))


@test("over HTTP hostile bodies are refused in words, and nothing is locked", "LOCK-01 ERR_MALFORMED_REQUEST")
def _():
    one = Bed.get().sidecar
    start = "failed deserializing HTTP body: proto: "
    rows = [
        (b"", start + "unexpected EOF"),
        (b'{"resourceId":"h"', start + "unexpected EOF"),
        (b"[]", start + "(line 1:1): unexpected token []"),
        (b'"x"', start + '(line 1:1): unexpected token "x"'),
        (b'{"resourceId":{}}', start + "(line 1:15): invalid value for string field resourceId: {}"),
        (b'{"expiryInSeconds":1.5}', start + "(line 1:20): invalid value for int32 field expiryInSeconds: 1.5"),
        (b'{"expiryInSeconds":"x"}', start + '(line 1:20): invalid value for int32 field expiryInSeconds: "x"'),
        (b'{"expiryInSeconds":2147483648}', start + "(line 1:20): invalid value for int32 field expiryInSeconds: 2147483648"),
        (b'{"expiryInSeconds":1e99}', start + "(line 1:20): invalid value for int32 field expiryInSeconds: 1e99"),
        (b'{"resourceId":"h","resource_id":"i"}', start + '(line 1:33): duplicate field resource_id'),
        (b'{"resourceId":"h","lockOwner":"o\\u0000","expiryInSeconds":5}', "LockOwner must not hold the NUL character"),
        (b"{" + b'"a":[' * 2000 + b"]" * 2000 + b"}", None),
    ]
    for body, words in rows:
        reply = post(one, "lock", "lite", body)
        equal((reply.status, reply.json["errorCode"]), (400, "ERR_MALFORMED_REQUEST"), reply.text)
        if words is not None:
            equal(reply.json["message"], words, body)
    for body in (b'{"resourceId":"h","lockOwner":"o","expiryInSeconds":"30","zz":[{}]}',
                 b'\n{"resourceId":"h2","lockOwner":"o","expiryInSeconds":3.0e1,"lockOwner2":null}'):
        equal(post(one, "lock", "lite", body).text, '{"success":true}')
    for verb in ("GET", "PUT", "DELETE"):
        equal(one.call(verb, "/v1.0-alpha1/lock/lite", b"{}" if verb == "PUT" else None).status, 404)


def entries(name, setup, wanted):
    with open(shared("recordings", name), encoding="utf-8") as f:
        return [entry for entry in json.load(f)["entries"] if entry["setup"] == setup and re.search(wanted, json.dumps(entry))]


@test("the recorded answers of the reference, byte for byte", "LOCK-01 LOCK-02 X-LOCK-01")
def _():
    one = Sidecar(red(Redis(), "lk"), app_id="bx")
    found = entries("bindings.json", "O", r"/(un)?lock/")
    need(len(found) > 15, "they are there")
    for entry in found:
        asked = entry["request"]
        headers = [(n, v) for n, v in asked["headers"] if n not in ("Content-Length", "Host")]
        connection = one.connect()
        connection.send(request_bytes(asked["method"], asked["target"], headers, asked["body"].encode()))
        equal(answer_problems(entry["response"], connection.reply("POST")), [], entry["name"])
        connection.close()


def layout(redis):
    """The server as the golden file tells it."""
    lines = []
    for key in sorted(redis.command("KEYS", "*", database=7)):
        shown = [re.sub(r"\\x([0-9A-F]{2})", lambda m: m.group(0).lower(), str(text)[2:-1])
                 for text in (key, redis.command("GET", key, database=7))]
        need(redis.command("TTL", key, database=7) > 0, f"{key} ends")
        lines += [f"{shown[0]}  type=string ttl=>0", f"    {shown[1]}"]
    return lines


@test("lock.redis leaves in the server what the reference leaves, and goes on with what that left", "LOCK-11")
def _():
    with open(shared("golden", "lock", "redis.json"), encoding="utf-8") as f:
        golden = json.load(f)
    redis = Redis()
    documents = [text.replace("HOST:PORT", f"127.0.0.1:{redis.port}") for text in golden["components_yaml"]]
    one = Sidecar(*documents, app_id=golden["app_id"], env={"PATH": os.environ["PATH"], **golden["env"]})
    api = stub(one)
    for step in golden["requests_in_order"]:
        if "request" in step:
            verb, target = step["request"].split()
            reply = one.call(verb, target, json.dumps(step["body"]).encode(), JSON)
            equal((reply.status, reply.text), (step["status"], step["answer"]), step["body"])
            equal(layout(redis), step["redis_after"], step["body"])
        elif "TryLock" in step["via"]:
            _, _, store, resource, owner, seconds = step["via"].split()
            equal(api.TryLockAlpha1(api_v1.TryLockRequest(store_name=store, resource_id=resource, lock_owner=owner,
                                                          expiry_in_seconds=int(seconds))).success, step["success"])
        else:
            _, _, store, resource, owner = step["via"].split()
            equal(api.UnlockAlpha1(api_v1.UnlockRequest(store_name=store, resource_id=resource, lock_owner=owner)).status,
                  step["status"])
    for key, seconds in golden["ttl_seconds_at_end"].items():
        need(seconds - 60 < redis.command("TTL", key, database=7) <= seconds, f"{key} has its time")
    # A lock of the reference's is one of ours.
    redis.command("SET", "lock||goldapp||theirs", "them", "EX", "600", database=7)
    equal(lock(one, "lk", "theirs", "us"), False)
    equal([unlock(one, "lk", "theirs", "us"), unlock(one, "lk", "theirs", "them"), lock(one, "lk", "theirs", "us")], [2, 0, True])


@test("key prefixes are as those of state", "LOCK-06")
def _():
    path = Folder() / "locks.db"
    names = {"": "lock||shop||r", "none": "lock||r", "name": "lock||by-name||r", "own": "lock||own||r",
             "namespace": "lock||prod.shop||r"}
    documents = [lite(path, f"by-{prefix or 'default'}", **({"keyPrefix": prefix} if prefix else {})) for prefix in names]
    one = Sidecar(*documents, env={"PATH": os.environ["PATH"], "NAMESPACE": "prod"})
    for prefix in names:
        equal(lock(one, f"by-{prefix or 'default'}", "r", "o"), True, prefix)
    with sqlite3.connect(path) as db:
        equal(sorted(row[0] for row in db.execute("SELECT resource FROM locks")), sorted(names.values()))


@test("what the store cannot do is an error with its reason", "ERR_TRY_LOCK ERR_UNLOCK")
def _():
    redis = Redis()
    one = Sidecar(red(redis))
    redis.command("LPUSH", "lock||shop||odd", "x")
    reply = post(one, "unlock", "red", {"resourceId": "odd", "lockOwner": "o"})
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_UNLOCK"))
    need(reply.json["message"].startswith("failed to release lock: ") and "WRONGTYPE" in reply.json["message"], reply.text)
    redis.command("CONFIG", "SET", "maxmemory", "1")
    reply = post(one, "lock", "red", {"resourceId": "full", "lockOwner": "o", "expiryInSeconds": 5})
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_TRY_LOCK"))
    need(reply.json["message"].startswith("failed to try acquiring lock: OOM"), reply.text)


@test("a server with replicas is not taken: one that takes over may not have the latest locks", "LOCK-11")
def _():
    main_server = Redis()
    replica = Redis("--replicaof", "127.0.0.1", str(main_server.port))
    eventually(lambda: b"connected_slaves:1" in main_server.command("INFO", "replication"), "it has a replica", 60)
    one = Sidecar(red(main_server), wait=False)
    eventually(lambda: "replication is not supported" in one.log(), "it is refused", 60)
    need(replica.is_alive(), "the replica was there")


@test("lock.sqlite: a file of another boot or machine is never less than promised", "LOCK-07")
def _():
    path = Folder() / "locks.db"
    one = Sidecar(lite(path))
    equal(lock(one, "lite", "old", "a"), True)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE locks SET clock = 'another', due_ms = 0, lease_ms = 600000")
    equal([lock(one, "lite", "old", "b"), unlock(one, "lite", "old", "b")], [False, 2])
    with sqlite3.connect(path) as db:
        equal(db.execute("SELECT clock <> 'another', due_ms > 0, owner FROM locks").fetchall(), [(1, 1, "a")])
    equal(unlock(one, "lite", "old", "a"), 0)


main()
