#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""state.postgresql through the whole product: databases that the reference has written, what lies in ours, many writers at a
time, and what happens when its server, its connections or its process go away. timeout: 240"""

import sdk  # noqa: F401  isort: skip

import base64
import concurrent.futures
import decimal
import json
import os
import signal
import threading

import golden_state
import grpc
from configuration_stores import Server
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, state_pb2
from remora import SLOW, Folder, Process, Sidecar, Store, component, equal, eventually, main, need, shared, test

VERSIONS = ("v1", "v2")
_server = []
_databases = []


def server():
    """The one that tests share which do it no harm."""
    if not _server:
        _server.append(Server())
    return _server[0]


def database(name=None, file=None):
    _databases.append(name or f"db{len(_databases)}")
    server().run(f"CREATE DATABASE {_databases[-1]}")
    if file is not None:
        server().run(file=file, database=_databases[-1])
    return _databases[-1]


def started(version, base=None, **metadata):
    """A sidecar with an empty database, and its store."""
    base = base or database()
    sidecar = Sidecar(component("pg", "state.postgresql", {**server().metadata(base), **metadata}, version=version))
    return sidecar, Store(sidecar, "pg"), base


def on_versions(name, requirements, versions=VERSIONS):
    def register(function):
        for version in versions:
            test(f"{name}: {version}", requirements)(lambda version=version: function(version))
        return function

    return register


def stub(sidecar):
    return dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def message(reply):
    return reply.json["message"] if reply.body else ""


# --- the reference's databases ----------------------------------------------------------------------------------------


def rows(base, version):
    columns = ("value::text, isbinary, updatedate IS NULL, expiredate IS NULL" if version == "v1" else
               "encode(value, 'hex'), false, updated_at IS NULL, expires_at IS NULL")
    found = server().rows(f"SELECT key, {columns} FROM state", base)
    return {row[0]: row[1:] for row in found}


@on_versions("a database of the reference is read and written in place", "§7 STATE-37 STATE-38 STATE-39 STATE-40")
def golden_read(version):
    expected = golden_state.expected_of(f"postgres-{version}")
    base = database(f"gold{version}", shared("golden", "state", f"postgres-{version}.sql"))
    before = server().rows("SELECT relfilenode FROM pg_class WHERE relname LIKE 'state%' ORDER BY 1", base)
    sidecar = golden_state.sidecar_of(expected, f"host=127.0.0.1 port={server().port}")
    golden_state.check(sidecar, expected, etags=version == "v2")
    store = Store(sidecar, expected["store"])
    equal(store.save("j-str", "ours", etag=store.get("j-str").header("Etag")).status, 204, "its ETags are good for writing")
    equal(rows(base, version)["goldapp||j-str"][0], '"ours"' if version == "v1" else b'"ours"'.hex())
    equal(server().rows("SELECT relfilenode FROM pg_class WHERE relname LIKE 'state%' ORDER BY 1", base), before)


def replay(sidecar, expected):
    """The requests that made the golden database; ETags are ours."""
    calls = stub(sidecar)
    for request in expected["requests_in_order"]:
        store = Store(sidecar, request.get("store", expected["store"]))
        if request["op"] in ("save", "tx") and request["status"] not in (204, "OK"):
            continue  # malformed, or what the reference cannot store
        fields = {name: request[name] for name in ("metadata", "options") if name in request}
        if request["op"] == "save-etag":
            fields["etag"] = store.get(request["key"]).header("Etag")
        if request["op"] == "save-etag-wrong":
            fields["etag"] = request["etag_sent"]
        if request["via"] == "http" and request["op"] == "tx":
            store.sidecar.call("POST", store.path + "/transaction", {"operations": request["operations"]})
        elif request["via"] == "http" and request["op"] == "delete":
            store.delete(request["key"])
        elif request["via"] == "http" and request["value_json_as_sent"] is None:
            store.save_raw([{"key": request["key"]}])
        elif request["via"] == "http":
            store.save(request["key"], None, raw=request["value_json_as_sent"], **fields)
        elif request["op"] == "save":
            item = common_pb2.StateItem(key=request["key"], value=base64.b64decode(request["value_b64"]),
                                       metadata=request.get("metadata", {}))
            calls.SaveState(state_pb2.SaveStateRequest(store_name=store.name, states=[item]), timeout=20)
        else:
            calls.ExecuteStateTransaction(state_pb2.ExecuteStateTransactionRequest(storeName=store.name, operations=[
                state_pb2.TransactionalStateOperation(operationType=one["operation"], request=common_pb2.StateItem(
                    key=one["key"], value=base64.b64decode(one["value_b64"]))) for one in request["operations"]]), timeout=20)


def meaning(row, version):
    """A row with its JSON as the reference understands it, whose numbers are floats."""
    text = row[0] if version == "v1" else bytes.fromhex(row[0]).decode("utf-8", "replace")
    try:
        return (json.loads(text, parse_int=float, parse_float=float), *row[1:])
    except ValueError:
        return row


@on_versions("what we write lies as the reference has it, tables and rows, so that it can go back", "§7 STATE-10 STATE-43")
def golden_write(version):
    expected = golden_state.expected_of(f"postgres-{version}")
    theirs = database(None, shared("golden", "state", f"postgres-{version}.sql"))
    ours = database()
    expected["components_yaml"] = [text.replace(f"database=gold{version}", f"database={ours}") for text in expected["components_yaml"]]
    sidecar = golden_state.sidecar_of(expected, f"host=127.0.0.1 port={server().port}")
    replay(sidecar, expected)
    wanted, got = rows(theirs, version), rows(ours, version)
    equal(set(got), set(wanted))
    for key, row in wanted.items():
        equal(meaning(got[key], version), meaning(row, version), key)
    for sql in ("SELECT column_name, data_type, is_nullable, column_default, is_identity, identity_generation FROM"
                " information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
                "SELECT key, value FROM dapr_metadata ORDER BY 1"):
        equal(server().rows(sql, ours), server().rows(sql, theirs), sql)


@on_versions("tables of an older release are completed, and those in a schema of their own are made", "STATE-43")
def old_tables(version):
    base = database(None, shared("golden", "state", f"postgres-{version}.sql"))
    key = "migrations" if version == "v1" else "migrations-state-v2-"
    old = "1" if version == "v2" else "2"
    server().run("ALTER TABLE state DROP COLUMN row_id", f"UPDATE dapr_metadata SET value = '{old}' WHERE key = '{key}'", database=base)
    _, store, _ = started(version, base)
    equal(server().rows(f"SELECT value FROM dapr_metadata WHERE key = '{key}'", base), [("3" if version == "v1" else "2",)])
    equal(server().rows("SELECT count(*), count(DISTINCT row_id) FROM state", base)[0], (str(len(rows(base, version))),) * 2)
    equal(store.save("k", 1).status, 204)
    server().run("CREATE SCHEMA mine", database=base)
    names = {"tableName": "mine.things"} if version == "v1" else {"tablePrefix": "mine.a_"}
    _, store, _ = started(version, base, metadataTableName="mine.meta", **names)
    equal(store.save("k", 2).status, 204)
    equal(store.get("k").text, "2")
    table = "mine.things" if version == "v1" else "mine.a_state"
    equal(server().rows(f"SELECT key, row_id FROM {table}", base), [("shop||k", "1")])


@on_versions("many sidecars may start at once on an empty database", "§5", ("v1",))
def start_at_once(version):
    base = database()
    documents = [component(f"c{i}", "state.postgresql", server().metadata(base), version=version) for i in range(3)]
    sidecars = [Sidecar("---\n".join(documents), wait=False) for _ in range(3)]
    for sidecar in sidecars:
        sidecar.wait_ready()
        equal(Store(sidecar, "c2").save("k", 1).status, 204)
    equal([sidecar.stop() for sidecar in sidecars], [0, 0, 0])


# --- what is stored ---------------------------------------------------------------------------------------------------


@on_versions("values keep what they mean, bytes and the empty value too", "STATE-10 STATE-09")
def values(version):
    sidecar, store, base = started(version)
    calls = stub(sidecar)
    for text in ('{"b":1e400,"a":[12345678901234567890,0.10]}', '"a\\u0000b"', '"\\ud800"', '"\\ud83d\\ude00 \\\\u0000"', "null"):
        equal(store.save("v", None, raw=text).status, 204, text)
        read = store.get("v").text
        equal(*(json.loads(one, parse_float=decimal.Decimal, parse_int=decimal.Decimal) for one in (read, text)))
        need(version == "v1" or read == text, f"{read}, not {text}")
    need("12345678901234567890" in (store.save("v", None, raw="[12345678901234567890]"), store.get("v").text)[1], "exact")
    for data in (b"", b"\0\xff", b"{", bytes(range(256)) * 5000):
        item = common_pb2.StateItem(key="bytes", value=data)
        calls.SaveState(state_pb2.SaveStateRequest(store_name="pg", states=[item]), timeout=20)
        answer = calls.GetState(state_pb2.GetStateRequest(store_name="pg", key="bytes"), timeout=20)
        equal((answer.data, bool(answer.etag)), (data, True))
    found = [item for item in sidecar.metadata()["components"] if item["name"] == "pg"][0]
    expected = golden_state.expected_of(f"postgres-{version}")["capabilities"]
    equal((found["version"], sorted(found["capabilities"])), (version, sorted(next(iter(expected.values())))))
    equal(server().rows("SELECT count(*) FROM state", base), [("2",)])


@on_versions("what the server refuses is refused alone, and in its words", "STATE-15 STATE-27 STATE-31")
def refusals(version):
    _, store, _ = started(version)
    long = "k" * 20000 + "".join(chr(0x4E00 + i) for i in range(5000))  # no index holds it
    items = [{"key": "a", "value": 1}, {"key": long, "value": 2}, {"key": "b", "value": 3}]
    reply = store.save_raw(items)
    need(reply.status == 500 and "index row" in message(reply) and "SQLSTATE 54000" in message(reply), repr(reply))
    equal([item.get("data") for item in store.bulk(["a", "b"]).json], [1, 3])
    reply = store.transact(("upsert", "c", 1), ("upsert", long, 2))
    need(reply.status == 500 and "index row" in message(reply), repr(reply))
    equal(store.get("c").status, 204)
    equal(store.save("a", 5, options={"concurrency": "first-write"}).status, 409)
    equal(store.transact(("upsert", "c", 1), ("upsert", "a", 2, {"options": {"concurrency": "first-write"}})).status, 409)
    equal(store.transact(("upsert", "c", 1), ("delete", "a", {"etag": "7" if version == "v1" else "x"})).status, 409)
    equal(store.get("c").status, 204)
    equal(store.save("a", 5, etag="x").status, 400 if version == "v1" else 409)
    reply = store.save("t", 1, metadata={"ttlInSeconds": "99999999999999"})
    need(reply.status == 500 and "out of range" in message(reply), repr(reply))


@on_versions("expired rows are not seen, may be written first, and are removed", "STATE-44 STATE-45 STATE-49")
def expiry(version):
    _, store, base = started(version, cleanupInterval="1s")
    equal(store.save_raw([{"key": f"k{i}", "value": i, "metadata": {"ttlInSeconds": "1"}} for i in range(1200)]).status, 204)
    equal(store.save("kept", 1).status, 204)
    eventually(lambda: server().rows("SELECT key FROM state", base) == [("shop||kept",)], "the expired ones are gone")
    key = "last-cleanup" if version == "v1" else "last-cleanup-state-v2-"
    need(server().rows(f"SELECT value FROM dapr_metadata WHERE key = '{key}'", base)[0][0] > "2020", "noted")
    _, store, base = started(version, cleanupInterval="-1")
    equal(store.save("k", 1, metadata={"ttlInSeconds": "1000"}).status, 204)
    column = "expiredate" if version == "v1" else "expires_at"
    server().run(f"UPDATE state SET {column} = now() + interval '1 second'", database=base)
    etag = server().rows(f"SELECT {'xmin' if version == 'v1' else 'etag'} FROM state", base)[0][0]
    eventually(lambda: store.get("k").status == 204, "it is not seen")
    equal(store.save("k", 2, etag=etag).status, 409, "what has expired has no ETag")
    equal(store.save("k", 2, options={"concurrency": "first-write"}).status, 204)
    equal(store.get("k").text, "2")


@on_versions("without prepared statements and sessions it is the same", "STATE-01 STATE-31", ("v2",))
def exec_mode(version):
    _, store, _ = started(version, queryExecMode="exec", maxConns="2")
    equal(store.save_raw([{"key": f"k{i}", "value": i} for i in range(500)]).status, 204)
    equal([item["data"] for item in store.bulk([f"k{i}" for i in range(500)]).json], list(range(500)))
    equal(store.save("k1", 2, etag=store.get("k1").header("Etag")).status, 204)
    equal(store.transact(("upsert", "k1", 3), ("delete", "k2"), ("upsert", "k3", 3, {"etag": "77", "options": {}})).status, 409)
    equal(store.get("k1").text, "2")


# --- many at a time ---------------------------------------------------------------------------------------------------


@on_versions("transactions that stand in each other's way are all done", "STATE-31 STATE-35", ("v1",))
def deadlocks(version):
    _, store, _ = started(version)
    keys = [f"d{i}" for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def run(i):
            return store.transact(*(("upsert", key, i) for key in (keys if i % 2 else keys[::-1]))).status
        found = list(pool.map(run, range(160)))
    equal(set(found), {204})
    equal(len({item["data"] for item in store.bulk(keys).json}), 1, "all from one transaction")


@on_versions("a row that somebody else has locked holds up its own writer only, and not for ever", "STATE-01", ("v2",))
def locked(version):
    sidecar, store, base = started(version, timeout="6s")
    equal(store.save("held", 1).status, 204)
    command = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(server().port), "-U", "postgres", "-d", base, "-c",
               "BEGIN", "-c", "UPDATE state SET key = key WHERE key = 'shop||held'", "-c", "SELECT pg_sleep(600)"]
    holder = Process(command, Folder())
    waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND datname = '" + base + "'"
    eventually(lambda: server().rows(waits) != [("0",)], "it holds the row")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sidecar.call, "POST", store.path, [{"key": "held", "value": 2}], timeout=60 * SLOW)
        for i in range(200):
            equal(store.save(f"free{i % 7}", i).status, 204)
        reply = waiting.result()
    need(reply.status in (500, 504) and "statement timeout" in message(reply), repr(reply))
    server().run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND datname = '{base}'")
    holder.kill()
    equal(store.get("held").text, "1", "it was not written")
    eventually(lambda: store.save("held", 3).status == 204, "it is free")


# --- trouble ----------------------------------------------------------------------------------------------------------


@test("what was saved before a kill of the server is there after it, and the store comes back", "COMP-03 STATE-01")
def server_killed():
    mine = Server()
    store = Store(Sidecar(component("pg", "state.postgresql", mine.metadata(), version="v2")), "pg")
    saved, is_over = [], threading.Event()

    def save(name):
        for i in range(100000):
            if is_over.is_set():
                break
            reply = store.save(f"{name}-{i}", i)
            if reply.status == 204:
                saved.append((f"{name}-{i}", i))
            else:
                need(reply.status in (500, 503) and reply.json["errorCode"] == "ERR_STATE_SAVE", repr(reply))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(save, f"w{n}") for n in range(4)]
        try:
            eventually(lambda: len(saved) > 50, "some are saved")
            mine.signal(signal.SIGKILL)
            mine.wait()
            reply = eventually(lambda: next((r for r in [store.get("none")] if r.status not in (200, 204)), None), "it is away")
            need(reply.json["errorCode"] == "ERR_STATE_GET" and "connect" in message(reply).lower(), repr(reply))
            before = len(saved)
            mine.start()
            eventually(lambda: len(saved) > before + 50, "saves go on")
        finally:
            is_over.set()
        for writer in writers:
            writer.result()
    items = store.bulk([key for key, _ in saved]).json
    equal([item.get("data") for item in items], [i for _, i in saved])


@test("connections that are killed, and a plugin that is, are replaced", "COMP-03")
def connections_killed():
    sidecar, store, base = started("v2")
    equal(store.save("k", 1).status, 204)
    ours = f"pg_stat_activity WHERE datname = '{base}' AND application_name = 'remora'"
    server().run(f"SELECT pg_terminate_backend(pid) FROM {ours}")
    eventually(lambda: server().rows(f"SELECT count(*) FROM {ours}") == [("0",)], "killed")
    equal(store.get("k").text, "1")
    pid = sidecar.plugin_pid("postgresql")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: store.get("k").text == "1" and sidecar.plugin_pid("postgresql") != pid, "reads work again")
    server().run("DROP TABLE state", database=base)
    need('relation "state" does not exist (SQLSTATE 42P01)' in message(store.get("k")), "told")


@test("a component that cannot work ends the start and says why, without its password", "SEC-01")
def cannot_start():
    fine = server().metadata()
    for metadata, words in (
        ({}, "missing connection string"),
        ({"connectionString": "host=127.0.0.1 port=1 password=s3cret"}, "Connection refused"),
        ({"connectionString": "host=no.such.host.invalid password=s3cret"}, "no such host"),
        ({"connectionString": "host='x password=s3cret"}, "failed to parse connection string"),
        ({**fine, "user": "nobody_here"}, "nobody_here"),
        ({**fine, "tableName": "a;b"}, "invalid value for 'tableName'"),
        ({**fine, "timeout": "1ms"}, "must be greater than 1s"),
        ({**fine, "useAWSIAM": "true"}, "not supported"),
    ):
        one = Sidecar(component("pg", "state.postgresql", metadata), wait=False)
        equal(one.wait(60), 1)
        need(words in one.log() and "s3cret" not in one.log(), f"{words}: {one.log()[-1500:]}")


if __name__ == "__main__":
    main()
