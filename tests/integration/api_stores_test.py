# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""What lies in the stores: key prefixes, raw rows and hashes as the reference writes them, stores that outlive the
sidecar or are shared by two, and the golden stores, written by the reference, read through the HTTP API."""

import os
import re
import shutil
import sqlite3
import threading
import time

import golden_state
from remora import DEADLINE_S, Folder, Redis, Sidecar, Store, component, equal, init_within, main, need, shared, test
from state_stores import redis

STRATEGIES = {
    "by-default": None,
    "by-appid": "appid",
    "by-upper": "AppID",
    "by-name": "name",
    "by-none": "none",
    "by-ns": "namespace",
    "by-text": "literal",
}


def rows(path):
    with sqlite3.connect(path, timeout=DEADLINE_S) as db:
        return {row[0]: row[1:] for row in db.execute("SELECT key, value, is_binary, etag, expiration_time FROM state")}


def prefixed(metadata, kind, app_id="myApp", namespace="production", folder=None, **more):
    """A sidecar with a component for every strategy, all on one database."""
    env = {"PATH": os.environ["PATH"], **({"NAMESPACE": namespace} if namespace else {})}
    documents = [
        component(name, kind, {**metadata, **({"keyPrefix": strategy} if strategy else {})})
        for name, strategy in STRATEGIES.items()
    ]
    return Sidecar("---\n".join(documents), app_id=app_id, env=env, folder=folder, **more)


def check_prefixes(sidecar, keys_of_store, namespaced):
    for name in STRATEGIES:
        equal(Store(sidecar, name).save("darth", name).status, 204)
    equal(sorted(keys_of_store()), sorted({"myApp||darth", "by-name||darth", "darth", "literal||darth", namespaced}))
    for name, owner in (
        ("by-default", "by-upper"),
        ("by-name", "by-name"),
        ("by-none", "by-none"),
        ("by-text", "by-text"),
    ):
        if not (namespaced == "myApp||darth" and owner == "by-upper"):
            equal(Store(sidecar, name).get("darth").json, owner)
    equal(Store(sidecar, "by-none").transact(("upsert", "vader", 1)).status, 204)
    equal(Store(sidecar, "by-none").bulk(["vader", "darth"]).json[0]["data"], 1)
    equal(Store(sidecar, "by-appid").get("vader").status, 204)


@test(
    "SQLite keys carry the prefix that the component asks for",
    "STATE-36 STATE-37 STATE-38 STATE-39 STATE-40 X-STATE-11",
)
def prefix_sqlite():
    folder = Folder()
    sidecar = prefixed({"connectionString": folder / "p.db"}, "state.sqlite", folder=folder)
    check_prefixes(sidecar, lambda: rows(folder / "p.db"), "production.myApp||darth")
    equal(sidecar.stop(), 0)


@test(
    "Redis keys carry the prefix that the component asks for", "STATE-36 STATE-37 STATE-38 STATE-39 STATE-40 STATE-85"
)
def prefix_redis():
    sidecar = prefixed({"redisHost": f"127.0.0.1:{redis().port}", "redisDB": "5"}, "state.redis")
    check_prefixes(
        sidecar, lambda: {key.decode() for key in redis().command("KEYS", "*", database=5)}, "production.myApp||darth"
    )
    equal(sidecar.stop(), 0)


@test("without a namespace the strategy `namespace` is that of the app id", "STATE-38")
def prefix_no_namespace():
    folder = Folder()
    sidecar = prefixed({"connectionString": folder / "p.db"}, "state.sqlite", folder=folder, namespace=None)
    check_prefixes(sidecar, lambda: rows(folder / "p.db"), "myApp||darth")


@test("the prefix `name` is shared by apps and `none` even across stores", "STATE-39 STATE-40 STATE-41")
def prefix_shared():
    metadata = {"redisHost": f"127.0.0.1:{redis().port}", "redisDB": "6"}
    documents = [
        component("store-a", "state.redis", {**metadata, "keyPrefix": "name"}, namespace="production"),
        component("store-b", "state.redis", {**metadata, "keyPrefix": "none"}),
        component("store-c", "state.redis", {**metadata, "keyPrefix": "none"}),
        component("store-d", "state.redis", metadata),
    ]
    env = {"PATH": os.environ["PATH"], "NAMESPACE": "production"}
    one, two = (Sidecar("---\n".join(documents), app_id=app, env=env) for app in ("one", "two"))
    Store(one, "store-a").save("k", "a")
    Store(one, "store-b").save("k", "b")
    Store(one, "store-d").save("k", "d")
    equal(Store(two, "store-a").get("k").json, "a")
    equal(Store(two, "store-b").get("k").json, "b")
    equal(Store(two, "store-c").get("k").json, "b")
    equal(Store(two, "store-d").get("k").status, 204, "the app id keeps apps apart")


@test("what lies in Redis has the form of the reference", "STATE-85 X-STATE-04 STATE-43")
def raw_redis():
    sidecar = Sidecar(component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis().port}", "redisDB": "7"}))
    store = Store(sidecar, "red")
    for _ in range(3):
        store.save("k", {"a": 1})
    equal(redis().command("HGETALL", "shop||k", database=7), [b"data", b'{"a": 1}', b"version", b"3"])
    began = time.monotonic()

    def is_of_500():
        left = redis().command("TTL", "shop||k", database=7)
        return 499 - (time.monotonic() - began) <= left <= 500

    store.save("k", 1, metadata={"ttlInSeconds": "500"})
    need(is_of_500(), "the key's own expiry")
    store.save("k", 2)
    need(is_of_500(), "a save without TTL keeps it, as the reference does")
    store.save("k", 3, metadata={"ttlInSeconds": "-1"})
    equal(redis().command("TTL", "shop||k", database=7), -1)
    store.save("fw", 1, options={"concurrency": "first-write"})
    equal(redis().command("HGET", "shop||fw", "first-write", database=7), b"0")


@test("what lies in SQLite has the form of the reference", "STATE-43 STATE-88")
def raw_sqlite():
    folder = Folder()
    sidecar = Sidecar(component("sqlt", "state.sqlite", {"connectionString": folder / "r.db"}), folder=folder)
    store = Store(sidecar, "sqlt")
    store.save("k", None, raw='{"a" : 1}')
    store.save("t", 1, metadata={"ttlInSeconds": "500"})
    value, is_binary, etag, expiration = rows(folder / "r.db")["shop||k"]
    equal((value, is_binary, expiration), ('{"a" : 1}', 0, None))
    equal(etag, store.get("k").header("Etag"))
    need(
        re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", rows(folder / "r.db")["shop||t"][3]), "UTC as SQLite writes it"
    )
    with sqlite3.connect(folder / "r.db", timeout=DEADLINE_S) as db:
        equal(db.execute("SELECT value FROM metadata WHERE key = 'migrations'").fetchall(), [("1",)])
        equal(db.execute("SELECT json_extract(value, '$.a') FROM state WHERE key = 'shop||k'").fetchall(), [(1,)])


# --- lives longer, is shared ------------------------------------------------------------------------------------------


@test("a restart keeps values and ETags, of durable stores only", "STATE-01 STATE-12 §6")
def restart():
    folder = Folder()
    documents = [
        component("mem", "state.in-memory"),
        component("sqlt", "state.sqlite", {"connectionString": "here.db"}),
        component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis().port}", "redisDB": "8"}),
    ]
    etags = {}
    for round_ in range(3):
        sidecar = Sidecar(*documents, folder=folder, flags=["--workers", str(1 + round_)])
        for name in ("mem", "sqlt", "red"):
            reply = Store(sidecar, name).get("order")
            if round_ == 0:
                equal(Store(sidecar, name).save("order", [1, 2]).status, 204)
                etags[name] = Store(sidecar, name).get("order").header("Etag")
            elif name == "mem":
                equal(reply.status, 204)
            else:
                equal((reply.status, reply.text, reply.header("Etag")), (200, "[1, 2]", etags[name]))
        if round_ == 1:
            sidecar.kill()
        else:
            equal(sidecar.stop(), 0)
    need(os.path.exists(folder / "here.db"), "a relative path begins where the sidecar was started")


@test("two sidecars on one store see each other's writes and ETags", "STATE-13 STATE-15 STATE-22")
def two_sidecars():
    folder = Folder()
    documents = [
        component("sqlt", "state.sqlite", {"connectionString": folder / "both.db"}),
        component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis().port}", "redisDB": "9"}),
    ]
    one, two = Sidecar(*documents), Sidecar(*documents)
    for name in ("sqlt", "red"):
        a, b = Store(one, name), Store(two, name)
        equal(a.save("k", "a").status, 204)
        equal(b.get("k").json, "a")
        etag = b.get("k").header("Etag")
        equal(b.save("k", "b", etag=etag).status, 204)
        equal(a.save("k", "late", etag=etag).status, 409)
        equal(a.get("k").json, "b")
        for i in range(30):
            equal((a.save("turn", i).status, b.save("turn", -i).status), (204, 204))
            equal(a.get("turn").json, -i)


@test("sidecars with many components on one new SQLite file may all start at once", "§5")
def start_at_once():
    for _ in range(5):
        folder = Folder()
        metadata = {"connectionString": folder / "new.db", "busyTimeout": "60s"}
        documents = [init_within(component(f"c{i}", "state.sqlite", metadata), "60s") for i in range(8)]
        sidecars = [Sidecar("---\n".join(documents), wait=False) for _ in range(3)]
        for sidecar in sidecars:
            sidecar.wait_ready(60)
            equal(Store(sidecar, "c7").save("k", 1).status, 204)
        equal([sidecar.stop() for sidecar in sidecars], [0, 0, 0])


@test("two sidecars that count with ETags lose nothing", "STATE-13 STATE-15")
def two_counters():
    folder = Folder()
    documents = [
        component("sqlt", "state.sqlite", {"connectionString": folder / "count.db"}),
        component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis().port}", "redisDB": "10"}),
    ]
    sidecars = [Sidecar(*documents), Sidecar(*documents)]

    def count(store):
        done = 0
        while done < 25:
            reply = store.get("n")
            done += store.save("n", reply.json + 1, etag=reply.header("Etag")).status == 204

    for name in ("sqlt", "red"):
        Store(sidecars[0], name).save("n", 0)
        threads = [
            threading.Thread(target=count, args=(Store(sidecar, name),)) for sidecar in sidecars for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(Store(sidecars[1], name).get("n").json, 100)


# --- written by the reference -----------------------------------------------------------------------------------------


def check_golden(kind, place, folder=None):
    expected = golden_state.expected_of(kind)
    sidecar = golden_state.sidecar_of(expected, place, folder)
    golden_state.check(sidecar, expected)
    return sidecar, expected


@test(
    "every value, ETag and expiry of the golden SQLite store is read over HTTP",
    "§7 STATE-37 STATE-38 STATE-39 STATE-40",
)
def golden_sqlite():
    folder = Folder()
    shutil.copyfile(shared("golden", "state", "sqlite.db"), folder / "sqlite.db")
    sidecar, expected = check_golden("sqlite", "", folder)
    store = Store(sidecar, expected["store"])
    etag = store.get("j-str").header("Etag")
    equal(store.save("j-str", "ours", etag=etag).status, 204, "its ETags are good for writing")
    equal(sidecar.stop(), 0)
    equal(rows(sidecar.folder / "sqlite.db")["goldapp||j-str"][:2], ('"ours"', 0))


@test("every value and ETag of the golden Redis store is read over HTTP", "§7 STATE-85")
def golden_redis():
    server = Redis("--appendonly", "no", dump=shared("golden", "state", "redis.rdb"))
    sidecar, expected = check_golden("redis", f"127.0.0.1:{server.port}")
    store = Store(sidecar, expected["store"])
    equal(store.save("j-str", "ours", etag=store.get("j-str").header("Etag")).status, 204)
    equal(server.command("HGET", "goldapp||j-str", "data", database=1), b'"ours"')


if __name__ == "__main__":
    main()
