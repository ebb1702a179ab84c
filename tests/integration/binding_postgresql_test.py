#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.postgresql against a real server: statements with and without parameters, every type of a result as the
reference's driver and Go's JSON make it, errors in its words, and a server that is killed.
timeout: 120"""

import concurrent.futures
import json
import re

from configuration_stores import Server
from remora import Sidecar, component, equal, eventually, main, need, test

server = Server()
_sidecar = []


def sidecar():
    if not _sidecar:
        _sidecar.append(Sidecar(
            component("pg", "bindings.postgresql", server.metadata()),
            component("old", "bindings.postgres", {"url": f"postgres://postgres@localhost:{server.port}/postgres?pool_max_conns=2"}),
            component("gone", "bindings.postgresql", server.metadata())))
    return _sidecar[0]


def invoke(operation, sql=None, params=None, binding="pg", to=None, timeout=None, **metadata):
    if sql is not None:
        metadata["sql"] = sql
    if params is not None:
        metadata["params"] = params if isinstance(params, str) else json.dumps(params)
    body = json.dumps({"operation": operation, "metadata": metadata})
    return (to or sidecar()).call("POST", f"/v1.0/bindings/{binding}", body, timeout=timeout)


def rows(sql, *params):
    reply = invoke("query", sql, list(params) if params else None)
    equal(reply.status, 200, f"{sql}: {reply.text}")
    return reply.json


def refused(reply, words):
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_INVOKE_OUTPUT_BINDING"), reply.text)
    need(words in reply.json["message"], reply.text)


@test("exec changes rows, query gives them, and metadata tell of both", "BIND-02 BIND-04")
def statements():
    reply = invoke("exec", "CREATE TABLE foo (id int PRIMARY KEY, c1 text, at timestamptz); INSERT INTO foo VALUES (0, 'zero', NULL)")
    equal(reply.status, 200, reply.text)
    equal((reply.header("Metadata.rows-affected"), reply.header("Metadata.operation")), ("1", "exec"))
    reply = invoke("exec", "INSERT INTO foo (id, c1, at) VALUES ($1, $2, $3)", [1, "de'mo", "2020-09-24T11:45:05+07:00"])
    equal((reply.status, reply.body, reply.header("Metadata.rows-affected")), (200, b"", "1"), reply.text)
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", reply.header("Metadata.start-time")), repr(reply.headers))
    need(re.fullmatch(r"[\d.]+(µs|ms|s)", reply.header("Metadata.duration").encode("latin-1").decode()), repr(reply.headers))
    need(reply.header("Metadata.end-time") >= reply.header("Metadata.start-time")[:19], repr(reply.headers))
    reply = invoke("query", "SELECT * FROM foo ORDER BY id")
    equal(reply.json, [[0, "zero", None], [1, "de'mo", "2020-09-24T04:45:05Z"]])
    equal((reply.header("Metadata.sql"), reply.header("Metadata.operation"), reply.header("Metadata.rows-affected")),
          ("SELECT * FROM foo ORDER BY id", "query", None))
    equal(invoke("query", "SELECT * FROM foo WHERE id > $1", [100]).json, [])
    equal(invoke("exec", "UPDATE foo SET c1 = $1", ["x"]).header("Metadata.rows-affected"), "2")
    equal(invoke("exec", "DELETE FROM foo", []).header("Metadata.rows-affected"), "2")
    equal(invoke("query", "SELECT 1", binding="old").json, [[1]])


@test("values are what the reference's driver and JSON make of their types", "BIND-04")
def types():
    for sql, wanted in (
        ("true", True), ("NULL::int", None), ("1::int2", 1), ("-9223372036854775808", -9223372036854775808),
        ("0.1::float8", 0.1), ("1e300::float8", 1e300), ("1.5::float4", 1.5), ("12.50::numeric", 12.5), ("'NaN'::numeric", "NaN"),
        ("'a\"b\\c\nü'", 'a"b\\c\nü'), ("'x'::varchar(5)", "x"), ("'\\x00ff'::bytea", "AP8="), ("''::bytea", ""),
        ("'00000000-0000-0000-0000-0000000001ff'::uuid", [0] * 14 + [1, 255]),
        ("'{\"b\": [1, 2.0,  \"a b\\\\\\\" c\"]}'::json", {"b": [1, 2.0, 'a b\\" c']}), ("'null'::jsonb", None),
        ("'2020-02-29'::date", "2020-02-29T00:00:00Z"), ("'infinity'::date", 1), ("'-infinity'::timestamptz", -1),
        ("'2020-02-29 01:02:03.120'::timestamp", "2020-02-29T01:02:03.12Z"),
        ("'2019-12-31 23:30:00-01:30'::timestamptz", "2020-01-01T01:00:00Z"),
        ("'01:02:03.5'::time", {"Microseconds": 3723500000, "Valid": True}),
        ("'1 year 2 mons 3 days -04:00:00.5'::interval",
         {"Microseconds": -14400500000, "Days": 3, "Months": 14, "Valid": True}),
        ("'10.1.2.3'::inet", "10.1.2.3/32"), ("'10.0.0.0/8'::cidr", "10.0.0.0/8"), ("'::1'::inet", "::1/128"),
        ("'08:00:2b:01:02:03'::macaddr", "CAArAQID"), ("7::oid", 7),
        ("ARRAY[1,NULL,3]", [1, None, 3]), ("ARRAY[[1,2],[3,4]]", [[1, 2], [3, 4]]), ("'{}'::text[]", []),
        ("ARRAY['a,b','NULL','c\"}\\',NULL]", ["a,b", "NULL", 'c"}\\', None]), ("'[2:3]={5,6}'::int[]", [5, 6]),
        ("ARRAY['2020-01-01'::date]", ["2020-01-01T00:00:00Z"]), ("'(1,2)'::point", "(1,2)"), ("'0044-03-15 BC'::date", "0044-03-15 BC"),
    ):
        equal(rows(f"SELECT {sql}"), [[wanted]], sql)
    refused(invoke("query", "SELECT 'NaN'::float8"), "error serializing results")
    equal(rows("SELECT 1, 2 UNION SELECT 3, 4 ORDER BY 1"), [[1, 2], [3, 4]], "and the binding goes on")


@test("parameters are of the types that the statement gives them", "BIND-04")
def parameters():
    equal(rows("SELECT $1::int + 1, $2::text, $3::bool, $4::text IS NULL, $5::float8, $6::jsonb, $7::bigint",
               41, "ü'", True, None, 0.1, {"a": [1]}, 2 ** 40), [[42, "ü'", True, True, 0.1, {"a": [1]}, 2 ** 40]])
    equal(rows("SELECT $1::jsonb", [1, "a"]), [[[1, "a"]]])
    equal(rows("SELECT $1::int[], $2::text[]", [1, None, 3], ["a\"b", "{c}"]), [[[1, None, 3], ['a"b', "{c}"]]])
    equal(rows("SELECT id FROM unnest(ARRAY[1,2,3]) AS id WHERE id = ANY($1::int[])", [2, 3]), [[2], [3]])
    for params in ("{", "{}", "1", '"x"', "[1] x"):
        refused(invoke("query", "SELECT 1", params), "invalid metadata property params")
    equal(invoke("query", "SELECT 1", "null").json, [[1]])
    refused(invoke("query", "SELECT $1::int", ["' OR 1=1"]), "invalid input syntax for type integer")


@test("what the server refuses is told in the driver's words, and nothing is left open", "BIND-03")
def refusals():
    refused(invoke("query", "SELECT * FROM nowhere"),
            'error executing query: ERROR: relation "nowhere" does not exist (SQLSTATE 42P01)')
    refused(invoke("query"), "required metadata not set: sql")
    refused(invoke("exec", ""), "required metadata not set: sql")
    refused(invoke("query", "SELECT 1; SELECT 2"), "cannot insert multiple commands")
    refused(invoke("exec", "COPY (SELECT 1) TO STDOUT"), "COPY")
    equal(invoke("exec", "CREATE TABLE held (id int)").status, 200)
    equal(invoke("exec", "BEGIN; INSERT INTO held VALUES (1)").status, 200)
    equal(rows("SELECT count(*) FROM held"), [[0]], "a transaction that is left open is rolled back")
    eventually(lambda: server.run("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'").split()[2] == "0",
               "no connection holds it")
    refused(invoke("query", "SELECT repeat('x', 1000000) FROM generate_series(1, 60)"), "32 MiB")
    refused(invoke("exec", "INSERT INTO held VALUES (1); SELECT 1/0"), "division by zero")
    equal(rows("SELECT count(*) FROM held"), [[0]], "several statements are one transaction")


@test("after close nothing runs any more, and closing again is fine", "BIND-02")
def closed():
    equal(invoke("query", "SELECT 1", binding="gone").json, [[1]])
    equal([invoke("close", binding="gone").status for _ in range(2)], [204, 204])
    refused(invoke("query", "SELECT 1", binding="gone"), "component is closed")


@test("many statements run side by side, and a long one holds up nobody", "BIND-02")
def side_by_side():
    server.run("CREATE TABLE go_on ()", "CREATE FUNCTION held_up() RETURNS text LANGUAGE plpgsql AS $$ BEGIN WHILE NOT EXISTS"
               " (SELECT FROM go_on) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN 'done'; END $$")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        slow = pool.submit(invoke, "query", "SELECT held_up(), 1", timeout=100)
        try:
            equal([reply.json for reply in pool.map(lambda i: invoke("query", "SELECT $1::int", [i]), range(200))],
                  [[[i]] for i in range(200)])
            need(not slow.done(), "it waits until it is told")
        finally:
            server.run("INSERT INTO go_on DEFAULT VALUES")
        equal(slow.result().json, [["done", 1]])
    count = int(server.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'remora'").split()[2])
    need(1 <= count <= 16, f"{count} connections")


@test("a server that is killed is an error, and when it is back so is the binding", "BIND-03")
def killed():
    mine = Server()
    one = Sidecar(component("pg", "bindings.postgresql", mine.metadata()))
    equal(invoke("query", "SELECT 1", to=one).json, [[1]])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, "query", "SELECT pg_sleep(600)", to=one, timeout=100)
        eventually(lambda: "pg_sleep" in mine.run("SELECT query FROM pg_stat_activity WHERE application_name = 'remora'"), "it runs")
        mine.stop()
        refused(running.result(), "error executing query")
    refused(invoke("query", "SELECT 1", to=one), "error executing query")
    mine.start()
    eventually(lambda: invoke("query", "SELECT 1", to=one).status == 200, "it is back")


@test("a component that cannot work ends the start and says why, without its password", "SEC-01")
def cannot_start():
    for metadata, words in (
        ({}, "missing connection string"),
        ({"connectionString": "host=127.0.0.1 port=1 password=s3cret"}, "failed to ping the DB"),
        ({"connectionString": "postgres://u:s3cret@@@/x%zz"}, "failed to parse connection string"),
        ({**server.metadata(), "queryExecMode": "odd"}, "invalid queryExecMode metadata value: odd"),
    ):
        one = Sidecar(component("pg", "bindings.postgresql", metadata), wait=False)
        equal(one.wait(40), 1)
        need(words in one.log() and "s3cret" not in one.log(), one.log()[-1500:])


if __name__ == "__main__":
    main()
