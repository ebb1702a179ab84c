# SPDX-License-Identifier: Apache-2.0
"""state.mysql through the whole product: what lies in its tables, tables that others have made, and what happens when its
server, its connections or its process go away. timeout: 180"""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import threading

from certificates import Certificates
from mariadb import MariaDB
from remora import SLOW, Folder, Sidecar, Store, component, equal, eventually, free_port, main, need, test

SCHEMA = "dapr_state_store"
_server = []


def server():
    """The one that tests share which do it no harm."""
    if not _server:
        _server.append(MariaDB())
    return _server[0]


def started(schema, **metadata):
    sidecar = Sidecar(server().component(schemaName=schema, **metadata))
    return sidecar, Store(sidecar, "mys")


def refused(*resources):
    """The log of a sidecar that cannot start."""
    sidecar = Sidecar(*resources, wait=False)
    equal(sidecar.wait(60), 1)
    return sidecar.log()


def message(reply):
    return reply.json["message"] if reply.body else ""


# --- what is stored ---------------------------------------------------------------------------------------------------


@test("tables are made and filled as the reference has them", "COMP-03 STATE-10 STATE-45")
def layout():
    sidecar, store = started("layout", tableName="states", metadataTableName="meta")
    equal(store.save("json", {"a": [1.0, "ü"]}).status, 204)
    equal(store.save("short", 1, metadata={"ttlInSeconds": "100"}).status, 204)
    equal(store.save("deep", None, raw="[" * 40 + "]" * 40).status, 204)
    rows = server().run("SELECT id, value, isbinary, expiredate - insertDate, eTag FROM states ORDER BY id", "layout")
    etag = store.get("json").header("Etag")
    equal(rows[1], ("shop||json", '{"a": [1.0, "\\u00fc"]}', "0", "NULL", etag))
    equal(rows[0][:3], ("shop||deep", '"W1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW11dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1d'
                       'XV0="', "1"), "deeper than the server's JSON")
    equal(store.get("deep").text, "[" * 40 + "]" * 40)
    need(rows[2][3] != "NULL", "an expiry")
    columns = server().run("SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'layout' AND"
                           " TABLE_NAME = 'states' ORDER BY ORDINAL_POSITION")
    equal([name for name, in columns], ["id", "value", "isbinary", "insertDate", "updateDate", "eTag", "expiredate"])
    equal(server().run("SELECT COUNT(*) FROM meta", "layout"), [("0",)])
    before = server().run("SELECT insertDate FROM states WHERE id = 'shop||json'", "layout")
    equal(store.save("json", 2).status, 204)
    equal(server().run("SELECT insertDate FROM states WHERE id = 'shop||json'", "layout"), before)
    found = [item for item in sidecar.metadata()["components"] if item["name"] == "mys"][0]
    equal((found["type"], found["version"], found["capabilities"]),
          ("state.mysql", "v1", ["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE", "ACTOR"]))


OLD = """CREATE DATABASE {0}; USE {0};
CREATE TABLE state (id VARCHAR(255) NOT NULL PRIMARY KEY, value JSON NOT NULL, isbinary BOOLEAN NOT NULL,
  insertDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updateDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, eTag VARCHAR(36) NOT NULL)
  CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
INSERT INTO state (id, value, isbinary, eTag) VALUES ('shop||text', '{{"a":1}}', 0, 'Etag-1'), ('shop||raw', '"WzEsIDJd"', 1, 'e2'),
  ('shop||bad', '"!"', 1, 'e3'), ('shop||worse', '7', 1, 'e4')"""


@test("a table of an older release of the reference is read, completed and written", "COMP-03 STATE-12 STATE-45")
def old_table():
    server().run(OLD.format("old"))
    sidecar, store = started("old")
    need("takes some keys for the same" in sidecar.log(), "the collation is told of")
    equal((store.get("text").text, store.get("text").header("Etag")), ('{"a":1}', "Etag-1"))
    equal(store.get("raw").text, "[1, 2]")
    for key in ("bad", "worse"):
        reply = store.get(key)
        need(reply.status == 500 and "failed to decode binary data" in message(reply), repr(reply))
    items = store.bulk(["text", "bad", "raw"]).json
    equal((items[0]["data"], items[2]["data"]), ({"a": 1}, [1, 2]))
    need("failed to decode" in items[1]["error"], repr(items))
    equal(store.save("text", 2, etag="etag-1").status, 409, "an ETag is no word")
    equal(store.save("text", 2, etag="Etag-1").status, 204)
    equal(store.save("new", 1, metadata={"ttlInSeconds": "100"}).status, 204)
    need(store.get("new").header("Metadata.ttlexpiretime"), "it has the column now")


@test("keys that a collation takes for one are not mixed up", "STATE-02 STATE-43")
def collation():
    server().run(OLD.format("collated"))
    _, store = started("collated")
    equal(store.save("Key", "upper").status, 204)
    for other in ("key", "KEY", "Key ", "Kéy"):
        equal(store.get(other).status, 204, other)
        equal(store.delete(other).status, 204)
        reply = store.save(other, "other")
        need(reply.status == 500 and "takes for the same" in message(reply), repr(reply))
        equal(store.transact(("upsert", "free", 1), ("upsert", other, 1)).status, 500)
        equal(store.save(other, 1, options={"concurrency": "first-write"}).status, 409)
        equal(store.get("Key").text, '"upper"')
    equal(store.get("free").status, 204)
    equal([item.get("data") for item in store.bulk(["key", "Key", "KEY"]).json], [None, "upper", None])
    equal(store.transact(("upsert", "Key", 2), ("upsert", "b", 3), ("delete", "key")).status, 204)
    equal([item.get("data") for item in store.bulk(["b", "Key"]).json], [3, 2])
    _, ours = started("exact")
    equal(ours.save_raw([{"key": key, "value": key} for key in ("Key", "key", "key ", "kéy")]).status, 204)
    equal([item["data"] for item in ours.bulk(["key ", "Key", "kéy", "key"]).json], ["key ", "Key", "kéy", "key"])


@test("what the columns cannot hold is refused, and told clearly", "STATE-43 STATE-45")
def bounds():
    _, store = started("bounds")
    equal(store.save("k" * 249, 1).status, 204)
    reply = store.save("k" * 250, 1)
    need(reply.status == 500 and "Data too long for column 'id'" in message(reply), repr(reply))
    equal(store.get("k" * 250).status, 204)
    reply = store.save("t", 1, metadata={"ttlInSeconds": "1000000000"})
    need(reply.status == 500 and "expiredate" in message(reply), repr(reply))
    equal(store.get("t").status, 204)
    items = [{"key": "fine", "value": 1}, {"key": "k" * 250, "value": 2}, {"key": "too", "value": 3}]
    equal(store.save_raw(items).status, 500, "one of three")
    equal([item.get("data") for item in store.bulk(["fine", "too"]).json], [1, 3])


@test("expired rows are removed, once for all sidecars", "STATE-45 STATE-49")
def cleanup():
    _, store = started("cleaned", cleanupInterval="1s")
    equal(store.save_raw([{"key": f"k{i}", "value": i, "metadata": {"ttlInSeconds": "1"}} for i in range(1200)]).status, 204)
    equal(store.save("kept", 1).status, 204)
    eventually(lambda: server().run("SELECT COUNT(*) FROM state", "cleaned") == [("1",)], "the expired ones are gone")
    need(server().run("SELECT value FROM dapr_metadata WHERE id = 'last-cleanup'", "cleaned")[0][0] > "2020", "noted")


# --- many at a time ---------------------------------------------------------------------------------------------------


@test("transactions that stand in each other's way are all done", "STATE-31 STATE-35")
def deadlocks():
    _, store = started("deadlocks")
    keys = [f"d{i}" for i in range(6)]

    def run(i):
        order = keys if i % 2 else keys[::-1]
        # With an ETag's condition each is a statement of its own, and locks are taken one by one.
        rows = [("upsert", key, i) if j % 2 else ("upsert", key, i, {"options": {"concurrency": "last-write"}})
                for j, key in enumerate(order)]
        rows.insert(3, ("delete", f"gone-{i % 3}"))
        return store.transact(*rows).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        equal(set(pool.map(run, range(160))), {204})
    equal(len({item["data"] for item in store.bulk(keys).json}), 1, "all from one transaction")


@test("components with the same server share few connections", "COMP-03")
def shared_connections():
    sidecar = Sidecar(*[server().component(f"c{i}", schemaName="shared", tableName=f"t{i % 3}") for i in range(30)])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = pool.map(lambda i: Store(sidecar, f"c{i % 30}").save("k", i).status, range(300))
        equal(set(replies), {204})
    connections = server().run("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = 'shared'")
    need(1 <= int(connections[0][0]) <= 8, f"{connections}")


# --- trouble ----------------------------------------------------------------------------------------------------------


@test("what was saved before a kill of the server is there after it, and the store comes back", "COMP-03 STATE-01")
def server_killed():
    mine = MariaDB()
    store = Store(Sidecar(mine.component()), "mys")
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


@test("a restart between two requests costs neither, nor does a connection that is killed", "COMP-03")
def restarted():
    mine = MariaDB()
    store = Store(Sidecar(mine.component()), "mys")
    equal(store.save("k", 1).status, 204)
    mine.stop()
    mine.start()
    equal(store.save("k", 2).status, 204)
    for (number,) in mine.run(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{SCHEMA}'"):
        mine.run(f"KILL {number}")
    eventually(lambda: not mine.run(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{SCHEMA}'"), "killed")
    equal(store.get("k").text, "2")


@test("a frozen server times out and nobody else waits for it", "COMP-03")
def frozen():
    mine = MariaDB()
    sidecar = Sidecar(mine.component(timeoutInSeconds="4"), component("mem", "state.in-memory"))
    store, other = Store(sidecar, "mys"), Store(sidecar, "mem")
    equal(store.save("k", 1).status, 204)
    mine.signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            # Few connections are for all, so that some wait until others have given up.
            waiting = [pool.submit(sidecar.call, "POST", store.path, [{"key": "k", "value": i}], timeout=60 * SLOW) for i in range(12)]
            equal(other.save("k", 1).status, 204)
            for reply in (future.result() for future in waiting):
                need(reply.status in (500, 503, 504), repr(reply))
    finally:
        mine.signal(signal.SIGCONT)
    eventually(lambda: store.save("k", 3).status == 204, "the store comes back")


@test("a killed plugin is replaced", "COMP-03")
def plugin_killed():
    sidecar, store = started("plugin")
    equal(store.save("k", 1).status, 204)
    pid = sidecar.plugin_pid("mysql")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: store.get("k").text == "1" and sidecar.plugin_pid("mysql") != pid, "reads work again")


@test("a value beyond the server's packets is refused and the store goes on", "STATE-10")
def packets():
    mine = MariaDB("--max-allowed-packet=1M")
    store = Store(Sidecar(mine.component()), "mys")
    reply = store.save("big", "x" * 1_500_000)
    need(reply.status == 500 and "larger than the server's max_allowed_packet" in message(reply), repr(reply))
    equal(store.save("small", "x" * 500_000).status, 204)
    equal(store.save_raw([{"key": f"k{i}", "value": "x" * 100_000} for i in range(30)]).status, 204)
    need(all(len(item["data"]) == 100_000 for item in store.bulk([f"k{i}" for i in range(30)]).json), "in pieces")


# --- who is let in ----------------------------------------------------------------------------------------------------


@test("a component that cannot work ends the start and says why, without its password", "SEC-01")
def cannot_start():
    address = server().address()
    port = free_port()
    for document, words in (
        (component("mys", "state.mysql"), "missing connection string"),
        (component("mys", "state.mysql", {"connectionString": f"a:{server().password}@nowhere(b)/"}), "neither tcp nor unix"),
        (component("mys", "state.mysql", {"connectionString": address, "tableName": "a;b"}), "table name 'a;b' is not valid"),
        (component("mys", "state.mysql", {"connectionString": address.replace(server().password, "wr0ng-word")}), "Error 1045 (28000)"),
        (component("mys", "state.mysql", {"connectionString": address.replace(str(server().port), str(port))}), "Can't connect"),
        (component("mys", "state.mysql", {"connectionString": address + "&tls=custom"}), "needs 'pemPath'"),
    ):
        log = refused(document)
        need(words in log and "INIT_COMPONENT_FAILURE" in log, f"{words}: {log[-1500:]}")
        need(server().password not in log and "wr0ng-word" not in log, "a password")
    sidecar = Sidecar(server().component(schemaName="loud"), flags=["--log-level", "debug"])
    equal(Store(sidecar, "mys").save("k", 1).status, 204)
    need(server().password not in sidecar.log(), "a password")


@test("TLS is verified as the connection string says", "COMP-03")
def tls():
    folder = Folder()
    certificates = Certificates(folder)
    shutil.copy(certificates.path("server.key"), folder / "key.pem")
    mine = MariaDB(f"--ssl-ca={folder / 'ca.pem'}", f"--ssl-cert={folder / 'server.pem'}", f"--ssl-key={folder / 'key.pem'}")
    mine.run(f"ALTER USER '{mine.user}'@'%' REQUIRE SSL")

    def document(tls_, **more):
        return component("mys", "state.mysql", {"connectionString": mine.address(tls=tls_), **more})

    for words in (document("custom", pemPath=folder / "ca.pem"), document("skip-verify"), document("preferred")):
        equal(Store(Sidecar(words), "mys").save("k", 1).status, 204)
    for words in (document("custom", pemPath=folder / "other.pem"), document("true")):
        log = refused(words)
        need(re.search(r"certificate|TLS|SSL", log) and mine.password not in log, log[-1500:])
    need("Access denied" in refused(document("false")), "without TLS")
    for word, more in (("skip-verify", {}), ("custom", {"pemPath": folder / "ca.pem"}), ("true", {})):
        plain = component("mys", "state.mysql", {"connectionString": server().address(tls=word), "schemaName": "enforced", **more})
        need(re.search(r"TLS|SSL", refused(plain)), "TLS is not given up for a server without it")
    fallback = component("mys", "state.mysql", {"connectionString": server().address(tls="preferred"), "schemaName": "preferred"})
    equal(Store(Sidecar(fallback), "mys").save("k", 1).status, 204)


@test("a socket is a way too", "COMP-03")
def unix_socket():
    address = f"{server().user}:{server().password}@unix({server().folder / 'sock'})/?x=1"
    sidecar = Sidecar(component("mys", "state.mysql", {"connectionString": address, "schemaName": "sock"}))
    equal(Store(sidecar, "mys").save("k", {"a": 1}).status, 204)
    equal(json.loads(server().run("SELECT value FROM state", "sock")[0][0]), {"a": 1})
    need("connection string's 'x' has no effect" in sidecar.log(), "a warning")


if __name__ == "__main__":
    main()
