# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""The state API over HTTP, requirement by requirement, on all stores with one worker and with three: saving,
reading, deleting, ETags, options, TTL, exact bytes, bulk reads, transactions."""

import concurrent.futures
import datetime
import json
import re
import time

from remora import Store, equal, eventually, main, need, request_bytes, test
from state_stores import NAMES, on_stores, redis, sidecar

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_value(store, key, text, query=""):
    reply = store.get(key, query)
    equal((reply.status, reply.text), (200, text), f"{store.name}/{key}")
    equal(reply.header("Content-Type"), "application/json")
    return reply.header("Etag")


def check_gone(store, key):
    reply = store.get(key)
    equal((reply.status, reply.body, reply.header("Etag")), (204, b"", None), f"{store.name}/{key}")


def check_error(reply, status, code, part):
    equal((reply.status, reply.body and reply.json["errorCode"]), (status, code), repr(reply))
    need(part in reply.json["message"], repr(reply))


# --- save, get, delete ------------------------------------------------------------------------------------------------


@on_stores("a saved value is read back and a deleted one is gone", "STATE-01 STATE-02 STATE-03 STATE-09 X-STATE-01")
def save_get_delete(store):
    equal(store.save("k", {"a": [1, "x", None]}).status, 204)
    check_value(store, "k", '{"a": [1, "x", null]}')
    equal(store.delete("k").status, 204)
    check_gone(store, "k")
    equal(store.delete("k").status, 204)


@on_stores("one request saves many items and PUT is as good as POST", "STATE-01 STATE-30 X-STATE-03")
def save_many(store):
    for method in ("POST", "PUT"):
        items = [{"key": f"many-{i}", "value": [method, i]} for i in range(50)]
        equal(store.save_raw(items, method=method).status, 204)
        for i in (0, 17, 49):
            check_value(store, f"many-{i}", json.dumps([method, i]))


@on_stores("the last of two items with the same key in one save is what remains", "STATE-01")
def save_twice(store):
    equal(store.save_raw([{"key": "twice", "value": 1}, {"key": "twice", "value": 2}]).status, 204)
    check_value(store, "twice", "2")


ODD = [
    "12345678901234567890123",
    "9007199254740993",
    "1.0",
    "1e3",
    "-0",
    "0.10000000000000000555",
    "1e400",
    "1E-7",
    "true",
    "null",
    '""',
    "[ ]",
    '{"z":1,"z":2}',
    '{ "a" : [ 1 ,2 ] ,\n\t"b":{} }',
    r'"\u00e9\ud83d\ude00\ud800\u0000\/"',
    '"ü<>&\u2028"',
    '"dHJ1ZQ=="',
    "[" * 100 + "]" * 100,
    '"' + "x" * 1_000_000 + '"',
    '"' + "\\n" * 500_000 + '"',
]


@on_stores("values come back in their exact bytes", "STATE-10 STATE-09")
def exact_bytes(store):
    for i, text in enumerate(ODD):
        equal(store.save(f"odd-{i}", None, raw=text).status, 204, text[:60])
        reply = store.get(f"odd-{i}")
        need((reply.status, reply.text) == (200, text), f"{text[:60]} became {reply.text[:60]}")
    reply = store.bulk([f"odd-{i}" for i in range(18)])
    rows = [f'"key":"odd-{i}","data":{text},"etag":' for i, text in enumerate(ODD[:18])]
    need(all(row in reply.text for row in rows), "a bulk read keeps the bytes too")


@on_stores("a value just below the body limit is kept and one above it refused", "X-GEN-01 STATE-10")
def body_limit(store):
    text = '"' + "v" * 3_900_000 + '"'
    equal(store.save("big", None, raw=text).status, 204)
    reply = store.get("big")
    need(reply.status == 200 and reply.text == text, f"{reply.status}, {len(reply.body)} bytes")
    equal(reply.header("Content-Length"), str(len(text)))
    check_error(
        store.save("big", None, raw='"' + "v" * 4_200_000 + '"'), 400, "ERR_MALFORMED_REQUEST", "stream too large"
    )
    need(store.get("big").text == text, "the refused save changed nothing")
    equal(store.delete("big").status, 204)


@on_stores("keys may be any text", "STATE-43 STATE-02")
def odd_keys(store):
    keys = [
        "a b",
        "a/b",
        "a%2Fb",
        "a+b",
        "ü",
        "日本語",
        "😀",
        "'; DROP TABLE state; --",
        '"',
        "\\",
        "a\tb",
        "*",
        "?x=1#y",
        "a|b",
        "..",
        ".",
        "k" * (240 if store.name == "mys" else 2000),  # the column's width there
    ]
    equal(store.save_raw([{"key": key, "value": i} for i, key in enumerate(keys)]).status, 204)
    for i, key in enumerate(keys):
        if key not in (".", ".."):  # as a path segment these climb, whatever they are encoded as
            check_value(store, key, str(i))
    reply = store.bulk(keys)
    equal([(item["key"], item.get("data")) for item in reply.json], [(key, i) for i, key in enumerate(keys)])
    equal(store.transact(*[("delete", key) for key in keys]).status, 204)
    need(all("data" not in item for item in store.bulk(keys).json), "all deleted")


@on_stores("a key with || is refused and nothing of the request is written", "X-STATE-03 X-STATE-11")
def reserved_key(store):
    reply = store.save_raw([{"key": "before-bad", "value": 1}, {"key": "a||b", "value": 1}])
    check_error(reply, 400, "ERR_MALFORMED_REQUEST", "input key/keyPrefix 'a||b' can't contain '||'")
    equal(reply.json["details"][-1]["reason"], "DAPR_STATE_ILLEGAL_KEY")
    check_gone(store, "before-bad")
    for reply in (
        store.get("a||b"),
        store.delete("a||b"),
        store.bulk(["x", "a||b"]),
        store.transact(("upsert", "a||b", 1)),
    ):
        check_error(reply, 400, "ERR_MALFORMED_REQUEST", "can't contain '||'")


@on_stores("a missing value saves null", "STATE-01")
def missing_value(store):
    equal(store.save_raw('[{"key":"no-value"}]').status, 204)
    check_value(store, "no-value", "null")


@on_stores("empty lists succeed and malformed bodies are refused", "STATE-01 STATE-04 STATE-05")
def empty_and_malformed(store):
    equal(store.save_raw("[]").status, 204)
    equal(store.transact().status, 204)
    equal(store.bulk([]).text, "[]\n")
    for body in (
        "",
        "{",
        "[1,]",
        '{"key":"a"}',
        '[{"key":1}]',
        '[{"value":1}]',
        "[" * 5000,
        '[{"key":"a","value":tru}]',
        '[{"key":"a","etag":7}]',
        '[{"key":"a","metadata":{"ttlInSeconds":5}}]',
        '[{"key":"a","value":"\n"}]',
        '[{"key":"a","value":01}]',
    ):
        reply = store.save_raw(body)
        need(reply.status == 400 and reply.json["errorCode"] == "ERR_MALFORMED_REQUEST", f"{body[:50]}: {reply}")


@on_stores("many clients at once each get their own answers", "STATE-02")
def own_answers(store):
    def client(i):
        connection = store.sidecar.connect()
        try:
            for j in range(20):
                body = json.dumps([{"key": f"own-{i}", "value": [i, j]}]).encode()
                get = request_bytes("GET", f"{store.path}/own-{i}")
                # Pipelined: the second is read while the first is at work, and the answers keep their order.
                connection.send(request_bytes("POST", store.path, body=body) + get + get)
                replies = [connection.reply() for _ in range(3)]
                equal([reply.status for reply in replies], [204, 200, 200])
                equal([reply.json for reply in replies[1:]], [[i, j], [i, j]])
        finally:
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(client, range(32)))


# --- ETags and options ------------------------------------------------------------------------------------------------


@on_stores("every write changes the ETag and every read shows it", "STATE-12 STATE-16 STATE-89")
def etag_changes(store):
    seen = set()
    for i in range(5):
        equal(store.save("e", i).status, 204)
        etag = check_value(store, "e", str(i))
        need(re.fullmatch(r"\d+" if store.name == "red" else UUID, etag), f"the ETag {etag}")
        equal(store.bulk(["e"]).json[0]["etag"], etag)
        seen.add(etag)
    equal(len(seen), 5)


@on_stores("a save with the right ETag succeeds once", "STATE-13 STATE-15 X-STATE-13")
def etag_save(store):
    for options in ({"options": {"concurrency": "first-write"}}, {}):
        store.delete("es")
        store.save("es", "one")
        etag = check_value(store, "es", '"one"')
        equal(store.save("es", "two", etag=etag, **options).status, 204)
        reply = store.save("es", "three", etag=etag, **options)
        check_error(
            reply, 409, "ERR_STATE_SAVE", f"failed saving state in state store {store.name}: possible etag mismatch"
        )
        check_value(store, "es", '"two"')


@on_stores("without an ETag the last write wins", "STATE-11")
def last_write(store):
    store.save("lw", 1)
    equal(store.save("lw", 2).status, 204)
    equal(store.save("lw", 3, options={"concurrency": "last-write"}).status, 204)
    equal(store.save("lw", 4, etag="").status, 204)
    equal(store.save("lw", 5, etag=None).status, 204)
    check_value(store, "lw", "5")


@on_stores("of many first writes without an ETag one succeeds", "STATE-13")
def first_write(store):
    store.delete("fw")
    fields = {"options": {"concurrency": "first-write"}}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda i: store.save("fw", i, **fields).status, range(16)))
    equal(sorted(replies), [204] + [409] * 15)
    equal(store.save("fw", "x", **fields).status, 409)


@on_stores("an ETag that the store cannot have given is refused", "X-STATE-13 STATE-89")
def bad_etag(store):
    store.save("be", 1)
    reply = store.save("be", 2, etag="banana")
    check_error(reply, 400 if store.name == "red" else 409, "ERR_STATE_SAVE", "etag")
    check_value(store, "be", "1")


@on_stores("a delete with If-Match happens only if the ETag is right", "STATE-14 STATE-15")
def etag_delete(store):
    store.save("ed", 1)
    etag = check_value(store, "ed", "1")
    store.save("ed", 2)
    check_error(
        store.delete("ed", etag), 409, "ERR_STATE_DELETE", "failed deleting state with key ed: possible etag mismatch"
    )
    check_value(store, "ed", "2")
    equal(store.delete("ed", store.get("ed").header("Etag")).status, 204)
    check_gone(store, "ed")


@on_stores("among racing saves with one ETag exactly one wins", "STATE-13 STATE-15")
def etag_race(store):
    store.save("race", "start")
    for _ in range(5):
        etag = store.get("race").header("Etag")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda i: (store.save("race", i, etag=etag).status, i), range(8)))
        winners = [i for status, i in statuses if status == 204]
        equal((len(winners), {status for status, _ in statuses}), (1, {204, 409}))
        check_value(store, "race", str(winners[0]))


@on_stores(
    "consistency and concurrency are taken from body, query and headers",
    "STATE-17 STATE-19 STATE-20 STATE-21 X-STATE-02",
)
def option_words(store):
    for word in ("strong", "eventual"):
        equal(store.save("ow", word, options={"consistency": word}).status, 204)
        check_value(store, "ow", f'"{word}"', f"?consistency={word}")
        equal(store.get("ow", headers=[("consistency", word), ("concurrency", "first-write")]).status, 200)
        equal(store.delete("ow", query=f"?consistency={word}").status, 204)
        equal(store.delete("ow", headers=[("consistency", word), ("concurrency", "last-write")]).status, 204)
    for reply in (
        store.save("ow", 1, options={"consistency": "perhaps"}),
        store.save("ow", 1, options={"concurrency": "never"}),
    ):
        check_error(reply, 500, "ERR_STATE_SAVE", "unrecognized con")
    for reply in (
        store.delete("ow", query="?concurrency=never"),
        store.delete("ow", headers=[("concurrency", "never")]),
    ):
        check_error(reply, 500, "ERR_STATE_DELETE", "unrecognized concurrency model 'never'")
    equal(store.get("ow", "?consistency=perhaps").status, 204, "a read ignores unknown words")


# --- TTL and metadata -------------------------------------------------------------------------------------------------


def expiry(store, key):
    text = store.get(key).header("Metadata.ttlexpiretime")
    return text and datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)


@on_stores("a read shows when an entry expires", "STATE-44 STATE-45", stores=("mem", "sqlt", "mys", "pg"))
def ttl_shown(store):
    before = datetime.datetime.now(datetime.timezone.utc)
    equal(store.save("tt", 1, metadata={"ttlInSeconds": "100"}).status, 204)
    after = datetime.datetime.now(datetime.timezone.utc)
    ends = expiry(store, "tt")
    hundred, rounding = datetime.timedelta(seconds=100), datetime.timedelta(seconds=2)
    need(before + hundred - rounding <= ends <= after + hundred + rounding, f"saved from {before} to {after}, ends {ends}")
    need("ttlExpireTime" in store.bulk(["tt"]).json[0]["metadata"], "in bulk reads too")
    equal(store.save("tt", 2, metadata={"ttlInSeconds": "-1"}).status, 204)
    equal(expiry(store, "tt"), None)
    store.save("tt", 3, metadata={"ttlInSeconds": "100"})
    equal(store.save("tt", 4).status, 204)
    equal(expiry(store, "tt"), None, "a save without TTL clears it")


def check_mortal(store, key, saved):
    """It is there, or its second (stores may count whole ones) was over before we came to look."""
    reply = store.get(key)
    need((reply.status, reply.text) == (200, "1") or reply.status == 204 and int(time.time()) > int(saved), repr(reply))


@test("entries with a TTL of one second are gone soon after, others stay", "STATE-44 STATE-45 STATE-49")
def ttl_expires():
    stores = [Store(sidecar(workers), name) for workers in (1, 3) for name in NAMES]
    for store in stores:
        # SQLite counts whole seconds, as the reference does: one that is nearly over is soon gone.
        eventually(lambda: time.time() % 1 < 0.6, "a second is young")
        saved = time.time()
        for key, metadata in (("x1", {"ttlInSeconds": "1"}), ("x2", {"ttlInSeconds": "1"}), ("x3", {})):
            equal(store.save(key, 1, metadata=metadata).status, 204)
        equal(store.save("x2", 2, metadata={"ttlInSeconds": "-1"}).status, 204, "-1 overrides the expiry")
        equal(store.transact(("upsert", "x4", 1, {"metadata": {"ttlInSeconds": "1"}})).status, 204)
        check_mortal(store, "x1", saved)
    for store in stores:
        eventually(lambda: store.get("x1").status == 204 and store.get("x4").status == 204, "both expired")
        check_value(store, "x2", "2")
        check_value(store, "x3", "1")
        equal([item.get("data") for item in store.bulk(["x1", "x2", "x4"]).json], [None, 2, None])
        equal(store.save("x1", "new", options={"concurrency": "first-write"}).status, 204, "an expired key is free")


@on_stores("a TTL that is no number is an error and negative ones are taken", "STATE-45")
def ttl_bad(store):
    check_error(store.save("tb", 1, metadata={"ttlInSeconds": "soon"}), 500, "ERR_STATE_SAVE", "soon")
    equal(store.get("tb").status, 204)
    for text in ("0", "-1"):
        equal(store.save("tb", 1, metadata={"ttlInSeconds": text}).status, 204)


@on_stores(
    "metadata.* in the query counts for every item and beats the item's own", "STATE-07 STATE-25 STATE-26 STATE-47"
)
def query_metadata(store):
    items = [
        {"key": "qm1", "value": 1},
        {"key": "qm2", "value": 2, "metadata": {"ttlInSeconds": "-1", "partitionKey": "p"}},
    ]
    equal(store.save_raw(items, "?metadata.ttlInSeconds=1000&metadata.contentType=application%2Fjson").status, 204)
    if store.name == "red":
        left = [redis().command("TTL", f"shop||{key}", database=store.sidecar.workers) for key in ("qm1", "qm2")]
        need(all(990 <= seconds <= 1000 for seconds in left), f"{left}")
    else:
        need(expiry(store, "qm1") and expiry(store, "qm2"), "both expire")
    equal(store.get("qm1", "?metadata.contentType=application/json&metadata.other=%20x").status, 200)
    equal(store.bulk(["qm1"], "?metadata.partitionKey=p", metadata={"a": "b"}).json[0]["data"], 1)
    equal(store.delete("qm1", query="?metadata.partitionKey=p").status, 204)


@on_stores("a content type is passed along and changes nothing", "STATE-23 STATE-24")
def content_type(store):
    equal(store.save("ct", {"x": 1}, metadata={"contentType": "application/json"}).status, 204)
    check_value(store, "ct", '{"x": 1}')
    equal(
        store.transact(
            ("upsert", "ct2", {"y": 2}, {"contentType": "application/json"}),
            ("upsert", "ct3", {"z": 3}, {"metadata": {"contentType": "application/json"}}),
        ).status,
        204,
    )
    check_value(store, "ct2", '{"y": 2}')
    check_value(store, "ct3", '{"z": 3}')


# --- bulk reads -------------------------------------------------------------------------------------------------------


@on_stores("a bulk read keeps the order, repeats and shows missing keys", "STATE-04 STATE-27 STATE-29 X-STATE-06")
def bulk_order(store):
    store.save_raw([{"key": f"b{i}", "value": i} for i in range(4)])
    for fields in ({}, {"parallelism": 1}, {"parallelism": 100}, {"parallelism": -1}, {"parallelism": 70000}):
        items = store.bulk(["b3", "never", "b0", "b3", "b1"], **fields).json
        equal([item["key"] for item in items], ["b3", "never", "b0", "b3", "b1"])
        equal([item.get("data") for item in items], [3, None, 0, 3, 1])
        equal(set(items[1]), {"key"})
        need(all(item["etag"] for item in items if item["key"] != "never"), "ETags")
    equal(store.bulk(["never"] * 500).json, [{"key": "never"}] * 500)


@on_stores("ten thousand keys are written in one transaction and read in one bulk", "STATE-28 STATE-31 STATE-35")
def ten_thousand(store):
    keys = [f"t{i:05}" for i in range(10_000)]
    equal(store.transact(*[("upsert", key, i) for i, key in enumerate(keys)]).status, 204)
    for parallelism in (1, 100):
        equal([item["data"] for item in store.bulk(keys, parallelism=parallelism).json], list(range(10_000)))
    equal(store.save_raw([{"key": key, "value": "s"} for key in keys]).status, 204)
    equal(store.transact(*[("delete", key) for key in keys]).status, 204)
    need(all("data" not in item for item in store.bulk(keys).json), "all deleted")


@on_stores("a bulk read of large values flows through", "STATE-04 STATE-27")
def bulk_large(store):
    for i in range(6):
        equal(store.save(f"l{i}", chr(97 + i) * 1_500_000).status, 204)
    items = store.bulk([f"l{i}" for i in range(6)]).json
    need([item["data"] for item in items] == [chr(97 + i) * 1_500_000 for i in range(6)], "9 MB come back")
    equal(store.transact(*[("delete", f"l{i}") for i in range(6)]).status, 204)


# --- transactions -----------------------------------------------------------------------------------------------------


@on_stores(
    "operations of a transaction are applied in their order, a key may repeat",
    "STATE-05 STATE-32 STATE-33 STATE-35 INC-24",
)
def tx_order(store):
    store.save_raw([{"key": "o1", "value": "old"}, {"key": "o2", "value": "old"}])
    equal(
        store.transact(
            ("upsert", "o1", 1),
            ("upsert", "o1", 2),
            ("delete", "o2", {"value": "ignored"}),
            ("upsert", "o2", 3),
            ("upsert", "o3", 4),
            ("delete", "o3"),
            metadata={"partitionKey": "x"},
        ).status,
        204,
    )
    equal([item.get("data") for item in store.bulk(["o1", "o2", "o3"]).json], [2, 3, None])
    equal(store.transact(("delete", "o1"), ("upsert", "o4", 1), method="PUT", metadata={}).status, 204)
    equal([item.get("data") for item in store.bulk(["o1", "o4"]).json], [None, 1])


@on_stores("a transaction happens as a whole or not at all", "STATE-31 STATE-15")
def tx_atomic(store):
    store.save_raw([{"key": "a1", "value": "old"}, {"key": "a3", "value": "old"}])
    store.delete("a2")
    stale = store.get("a3").header("Etag")
    store.save("a3", "newer")
    reply = store.transact(
        ("upsert", "a1", "new"), ("upsert", "a2", "new"), ("delete", "a4"), ("upsert", "a3", "x", {"etag": stale})
    )
    check_error(reply, 409, "ERR_STATE_TRANSACTION", "error while executing state transaction: ")
    reply = store.transact(("delete", "a1"), ("delete", "a3", {"etag": stale}))
    check_error(reply, 409, "ERR_STATE_TRANSACTION", "error while executing state transaction: ")
    equal([item.get("data") for item in store.bulk(["a1", "a2", "a3"]).json], ["old", None, "newer"])
    fresh = store.get("a3").header("Etag")
    equal(store.transact(("upsert", "a1", "new"), ("delete", "a3", {"etag": fresh})).status, 204)
    equal([item.get("data") for item in store.bulk(["a1", "a3"]).json], ["new", None])


@on_stores("parallel transactions never show half of one", "STATE-31 STATE-35")
def tx_isolated(store):
    store.transact(("upsert", "i1", 0), ("upsert", "i2", 0))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        writes = [
            pool.submit(lambda i=i: store.transact(("upsert", "i1", i), ("upsert", "i2", i)).status) for i in range(60)
        ]
        equal({write.result() for write in writes}, {204})
    one, two = (item["data"] for item in store.bulk(["i1", "i2"]).json)
    equal(one, two)


@on_stores("unknown operations and empty items are refused", "STATE-05")
def tx_bad(store):
    body = {"operations": [{"operation": "merge", "request": {"key": "u"}}]}
    reply = store.sidecar.call("POST", store.path + "/transaction", body)
    check_error(reply, 400, "ERR_NOT_SUPPORTED_STATE_OPERATION", "operation type merge not supported")
    for request in ({}, {"value": 1}, {"key": ""}):
        body = {
            "operations": [
                {"operation": "upsert", "request": {"key": "u1", "value": 1}},
                {"operation": "upsert", "request": request},
            ]
        }
        reply = store.sidecar.call("POST", store.path + "/transaction", body)
        check_error(reply, 400, "ERR_MALFORMED_REQUEST", '"key" is a required field')
    check_gone(store, "u1")


@on_stores("first-write in a transaction refuses a key that is there", "STATE-13 STATE-31")
def tx_first_write(store):
    store.transact(("delete", "tf1"), ("delete", "tf2"))
    first = {"options": {"concurrency": "first-write"}}
    equal(store.transact(("upsert", "tf1", 1, first)).status, 204)
    check_error(store.transact(("upsert", "tf2", 1), ("upsert", "tf1", 2, first)), 409, "ERR_STATE_TRANSACTION", "")
    equal([item.get("data") for item in store.bulk(["tf1", "tf2"]).json], [1, None])


if __name__ == "__main__":
    main()
