# SPDX-License-Identifier: Apache-2.0
"""The requirements every state store must meet, with whatever capabilities it has: operations, handing its state over to
another process, large values under credits; see checks.py."""
import decimal
import json
import os
import random
import time

from checks import HANDLE, MIB, check
from kernel import CALL_CREDIT, LINK_CREDIT, SECONDS, need
import plugin_pb2 as pb


class Store:
    """State operations in words, on keys of this run only."""

    def __init__(self, bench, link=None):
        self.link = link or bench.component()
        self.prefix = f"conform||{os.getpid()}-{random.getrandbits(40):x}-"

    def key(self, name):
        return self.prefix + name

    def set_item(self, name, value, **fields):
        if fields.get("ttl_seconds") is not None:
            fields["metadata"] = [pb.Pair(name="ttlInSeconds", value=str(fields["ttl_seconds"]))]
        return pb.StateSetItem(key=self.key(name), value_bytes=len(value), **fields)

    def try_set(self, name, value, **fields):
        request = pb.StateSet(items=[self.set_item(name, value, **fields)])
        return self.link.call(pb.METHOD_STATE_SET, HANDLE, request, value)

    def set(self, name, value, **fields):
        answer = self.try_set(name, value, **fields)
        need(answer.status.code == 0, f"set failed: {answer.status.message}")

    def get_call(self, name):
        answer = self.link.call(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key=self.key(name)))
        need(answer.status.code == 0, f"get failed: {answer.status.message}")
        return answer

    def get(self, name):
        """(value or None, StateValue)"""
        answer = self.get_call(name)
        value = answer.message(pb.StateValue)
        need(value.found or answer.body == b"", "a body without a value")
        return (answer.body if value.found else None), value

    def etag(self, name):
        _, value = self.get(name)
        need(value.HasField("etag") and value.etag != "", "no etag")
        return value.etag

    def try_delete(self, name, **fields):
        item = pb.StateDeleteItem(key=self.key(name), **fields)
        return self.link.call(pb.METHOD_STATE_DELETE, HANDLE, pb.StateDelete(items=[item]))

    def transact(self, operations, bodies):
        request = pb.StateTransact(operations=operations)
        return self.link.call(pb.METHOD_STATE_TRANSACT, HANDLE, request, b"".join(bodies))


def need_mismatch(status):
    need(status.code != 0, "OK")
    need(status.reason == "ETAG_MISMATCH", f"reason {status.reason!r}, text {status.message!r}")


@check(needs="state")
def get_missing(bench):
    """finds nothing under a key that was never set"""
    value, _ = Store(bench).get("none")
    need(value is None, "found")


# Their tables have a column for JSON, which the database writes in a form of its own.
KEEP_JSON = {("state.postgresql", "v1")}


def exact(text):
    """A JSON text with numbers as they are written, but for the exponent."""
    return json.loads(text, parse_int=decimal.Decimal, parse_float=decimal.Decimal)


@check(needs="state")
def set_get(bench):
    """returns JSON values byte for byte, or, from stores that keep JSON as such, what means the same"""
    store = Store(bench)
    for i, value in enumerate((b'"v"', b'{"b" : 2,\n"a":[1,2.50,null,true],"u":"\xc3\xbc<>&"}', b"12345678901234567890",
                               b"9007199254740993", b"1e400", b"null", b'""', b"0")):
        store.set(f"j{i}", value, json=True)
        got, _ = store.get(f"j{i}")
        same = got == value or ((bench.type, bench.version) in KEEP_JSON and exact(got) == exact(value))
        need(same, f"{got!r}, not {value!r}")


@check(needs="state")
def set_get_binary(bench):
    """returns arbitrary bytes, among them none and all 256 values"""
    store = Store(bench)
    for name, value in (("all", bytes(range(256))), ("empty", b""), ("zero", b"\0"), ("notjson", b"{")):
        store.set(name, value)
        got, _ = store.get(name)
        need(got == value, f"{name}: {got!r}")


# Stores whose keys have a width, and those whose keys are words.
SHORT_KEYS = {"state.mysql", "state.memcached"}
WORD_KEYS = {"state.memcached"}


@check(needs="state")
def keys(bench):
    """takes keys of any Unicode text, long ones, and tells similar ones apart"""
    store = Store(bench)
    names = ["ü", "日本語", "😀", "a b", "a%b", "a_b", "a*b", "a'b", 'a"b', "a\\b", "a/b", "a\nb", "A", "a",
             "x" * (200 if bench.type in SHORT_KEYS else 400)]
    if bench.type in WORD_KEYS:
        names = [name for name in names if not set(name) & set(" \n")]
    for i, name in enumerate(names):
        store.set(name, str(i).encode())
    for i, name in enumerate(names):
        got, _ = store.get(name)
        need(got == str(i).encode(), f"{name!r}: {got!r}, not {i}")


@check(needs="state")
def overwrite_delete(bench):
    """overwrites, deletes, and deletes again without an error"""
    store = Store(bench)
    store.set("k", b"1")
    store.set("k", b"22")
    need(store.get("k")[0] == b"22", "not overwritten")
    need(store.try_delete("k").status.code == 0, "delete failed")
    need(store.get("k")[0] is None, "still there")
    need(store.try_delete("k").status.code == 0, "the second delete failed")


@check(needs="state")
def malformed_operation(bench):
    """refuses malformed operations and values that are not there, and goes on"""
    store = Store(bench)
    wrong = pb.StateSet(items=[pb.StateSetItem(key=store.key("k"), value_bytes=100)])
    for answer in (store.link.call(pb.METHOD_STATE_GET, HANDLE, b"\x0a\x50cut"),
                   store.link.call(pb.METHOD_STATE_SET, HANDLE, wrong, b"short")):
        need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"code {answer.status.code}")
    need(store.get("k")[0] is None, "it stored something")


@check(needs="state")
def bulk_get(bench):
    """answers a bulk get in order, missing keys too"""
    store = Store(bench)
    for i in range(0, 60, 2):
        store.set(f"b{i}", b"v" * i)
    request = pb.StateBulkGet(items=[pb.StateGet(key=store.key(f"b{i}")) for i in range(60)], parallelism=4)
    answer = store.link.call(pb.METHOD_STATE_BULK_GET, HANDLE, request)
    need(answer.status.code == 0, answer.status.message)
    items = answer.message(pb.StateValues).items
    need(len(items) == 60, f"{len(items)} items")
    at = 0
    for i, item in enumerate(items):
        need(item.status.code == 0 and item.found == (i % 2 == 0), f"item {i}: {item}")
        value = answer.body[at : at + item.value_bytes]
        at += item.value_bytes
        need(not item.found or value == b"v" * i, f"item {i} has {len(value)} bytes")
    need(at == len(answer.body), "bytes are left over")


@check(needs="state")
def empty_lists(bench):
    """answers empty lists with success"""
    link = bench.component()
    for method, request in ((pb.METHOD_STATE_SET, pb.StateSet()), (pb.METHOD_STATE_DELETE, pb.StateDelete()),
                            (pb.METHOD_STATE_BULK_GET, pb.StateBulkGet())):
        answer = link.call(method, HANDLE, request)
        need(answer.status.code == 0, f"method {method}: {answer.status.message}")


@check(needs="state")
def set_delete_many(bench):
    """sets and deletes many keys in one call"""
    store = Store(bench)
    values = [os.urandom(i) for i in range(100)]
    request = pb.StateSet(items=[store.set_item(f"m{i}", v) for i, v in enumerate(values)])
    answer = store.link.call(pb.METHOD_STATE_SET, HANDLE, request, b"".join(values))
    need(answer.status.code == 0 and not answer.message(pb.StateWriteReply).failures, answer.status.message)
    for i in (0, 1, 50, 99):
        need(store.get(f"m{i}")[0] == values[i], f"key {i} differs")
    request = pb.StateDelete(items=[pb.StateDeleteItem(key=store.key(f"m{i}")) for i in range(99)])
    answer = store.link.call(pb.METHOD_STATE_DELETE, HANDLE, request)
    need(answer.status.code == 0 and not answer.message(pb.StateWriteReply).failures, answer.status.message)
    need(store.get("m98")[0] is None and store.get("m99")[0] is not None, "not what was asked is gone")


@check(needs="state")
def same_key_order(bench):
    """lets the last of two items for one key win"""
    store = Store(bench)
    request = pb.StateSet(items=[store.set_item("k", b"one"), store.set_item("k", b"two")])
    store.link.call(pb.METHOD_STATE_SET, HANDLE, request, b"onetwo")
    need(store.get("k")[0] == b"two", "the first won")


@check(needs="ETAG")
def etags(bench):
    """changes the ETag with each write, accepts the right one and refuses others with ETAG_MISMATCH"""
    store = Store(bench)
    store.set("k", b"1")
    first = store.etag("k")
    need(store.etag("k") == first, "the etag changes by reading")
    store.set("k", b"2", etag=first)
    need(store.etag("k") != first, "the etag did not change")
    need_mismatch(store.try_set("k", b"3", etag=first).status)
    need(store.get("k")[0] == b"2", "it wrote in spite of the mismatch")
    need_mismatch(store.try_delete("k", etag=first).status)
    need(store.try_delete("k", etag=store.etag("k")).status.code == 0, "the right etag was refused")
    need(store.get("k")[0] is None, "still there")


@check(needs="ETAG")
def first_write(bench):
    """refuses first-write without an ETag on an existing key, and accepts it on a new one"""
    store = Store(bench)
    store.set("k", b"1", concurrency=pb.CONCURRENCY_FIRST_WRITE)
    need_mismatch(store.try_set("k", b"2", concurrency=pb.CONCURRENCY_FIRST_WRITE).status)
    need(store.get("k")[0] == b"1", "it wrote")
    store.set("k", b"3", concurrency=pb.CONCURRENCY_FIRST_WRITE, etag=store.etag("k"))


@check(needs="ETAG")
def failures_by_index(bench):
    """reports each failed item of many by its index, and does the others"""
    store = Store(bench)
    store.set("a", b"0")
    old = store.etag("a")
    store.set("a", b"1")
    items = [store.set_item("x", b"x"), store.set_item("a", b"y", etag=old), store.set_item("z", b"z")]
    answer = store.link.call(pb.METHOD_STATE_SET, HANDLE, pb.StateSet(items=items), b"xyz")
    need(answer.status.code == 0, "the whole call failed")
    failures = answer.message(pb.StateWriteReply).failures
    need([f.index for f in failures] == [1], f"failures {[f.index for f in failures]}")
    need_mismatch(failures[0].status)
    need(store.get("x")[0] == b"x" and store.get("z")[0] == b"z" and store.get("a")[0] == b"1", "wrong values")


@check(needs="TTL")
def ttl(bench):
    """tells when a value expires, hides it then, and clears the time with -1"""
    store = Store(bench)
    now = time.time() * 1000
    store.set("long", b"1", ttl_seconds=1000)
    expires = store.get("long")[1].expires_unix_ms
    need(expires == 0 or abs(expires - now - 1000000) < 20000, f"expires in {expires - now} ms")
    store.set("kept", b"1", ttl_seconds=1)
    store.set("kept", b"2", ttl_seconds=-1)
    for _ in range(20):  # a second may pass before the answer, and stores that count whole seconds may end it early
        store.set("short", b"1", ttl_seconds=1)
        if found := store.get("short")[0] == b"1":
            break
    need(found, "gone at once")
    until = time.monotonic() + SECONDS
    while store.get("short")[0] is not None:
        need(time.monotonic() < until, f"still there {SECONDS} s later")
        time.sleep(0.05)
    need(store.get("kept")[0] == b"2", "-1 did not clear the time")
    need(store.try_delete("short").status.code == 0, "delete of an expired key failed")


@check(needs="TRANSACTIONAL")
def transaction(bench):
    """does all operations of a transaction, in order"""
    store = Store(bench)
    store.set("old", b"1")
    operations = [pb.StateOperation(set=store.set_item("a", b"aa")),
                  pb.StateOperation(delete=pb.StateDeleteItem(key=store.key("old"))),
                  pb.StateOperation(set=store.set_item("b", b"")),
                  pb.StateOperation(set=store.set_item("a", b"aaa"))]
    answer = store.transact(operations, [b"aa", b"", b"aaa"])
    need(answer.status.code == 0, answer.status.message)
    need(store.get("a")[0] == b"aaa" and store.get("b")[0] == b"" and store.get("old")[0] is None, "wrong values")


@check(needs="TRANSACTIONAL")
def rollback(bench):
    """does nothing of a transaction when one operation fails"""
    store = Store(bench)
    store.set("e", b"0")
    old = store.etag("e")
    store.set("e", b"1")
    operations = [pb.StateOperation(set=store.set_item("a", b"a")),
                  pb.StateOperation(set=store.set_item("e", b"2", etag=old)),
                  pb.StateOperation(delete=pb.StateDeleteItem(key=store.key("e")))]
    answer = store.transact(operations, [b"a", b"2"])
    need_mismatch(answer.status)
    need(store.get("a")[0] is None and store.get("e")[0] == b"1", "part of it was done")


@check(needs="DELETE_WITH_PREFIX")
def delete_prefix(bench):
    """deletes all keys with a prefix and counts them"""
    store = Store(bench)
    for name in ("p-1", "p-2", "p_3", "q-1"):
        store.set(name, b"x")
    answer = store.link.call(pb.METHOD_STATE_DELETE_PREFIX, HANDLE, pb.StateDeletePrefix(prefix=store.key("p-")))
    need(answer.status.code == 0, answer.status.message)
    need(answer.message(pb.StateDeletePrefixReply).count == 2, "wrong count")
    need(store.get("p-1")[0] is None and store.get("p_3")[0] == b"x" and store.get("q-1")[0] == b"x", "wrong keys")


@check(needs="KEYS_LIKE")
def keys_like(bench):
    """lists keys by a LIKE pattern, in pages"""
    store = Store(bench)
    names = [f"l{i:02}" for i in range(25)] + ["lx", "m%", "m1"]
    for name in names:
        store.set(name, b"x")

    def like(pattern, size=0):
        found, token = [], ""
        for _ in range(100):
            request = pb.StateKeysLike(pattern=store.key(pattern), page_size=size, token=token)
            answer = store.link.call(pb.METHOD_STATE_KEYS_LIKE, HANDLE, request)
            need(answer.status.code == 0, answer.status.message)
            reply = answer.message(pb.StateKeysLikeReply)
            need(size == 0 or len(reply.keys) <= size, "a page is too long")
            found += reply.keys
            token = reply.token
            if token == "":
                break
        need(len(found) == len(set(found)), "a key came twice")
        return sorted(key[len(store.prefix):] for key in found)

    need(like("l%") == sorted(names[:26]), "l%")
    need(like("l__", 7) == names[:25], "l__ in pages of 7")
    need(like("m\\%") == ["m%"], "an escaped %")
    need(like("nothing%") == [], "no match")


@check(needs="state")
def unsupported(bench):
    """answers the operations of its capabilities and refuses the others"""
    link = bench.component()
    for name, method, request in (("QUERY_API", pb.METHOD_STATE_QUERY, pb.StateQuery(query='{"filter":{}}')),
                                  ("DELETE_WITH_PREFIX", pb.METHOD_STATE_DELETE_PREFIX,
                                   pb.StateDeletePrefix(prefix="nothing||")),
                                  ("KEYS_LIKE", pb.METHOD_STATE_KEYS_LIKE, pb.StateKeysLike(pattern="nothing||%"))):
        answer = link.call(method, HANDLE, request)
        is_ok = answer.status.code == 0
        need(is_ok == (name in bench.capabilities), f"{name}: code {answer.status.code} {answer.status.message}")


# --- handover --------------------------------------------------------------------------------------------------------


def carry(link, cursor):
    """Every piece after the cursor, from component HANDLE to HANDLE + 1; returns the last cursor."""
    more = True
    while more:
        piece = link.call(pb.METHOD_EXPORT, HANDLE, pb.ExportRequest(cursor=cursor))
        need(piece.status.code == 0, f"export failed: {piece.status.message}")
        need(len(piece.body) < 3 * MIB, f"a piece of {len(piece.body)} bytes")
        taken = link.call(pb.METHOD_IMPORT, HANDLE + 1, b"", piece.body)
        need(taken.status.code == 0, f"import failed: {taken.status.message}")
        reply = piece.message(pb.ExportReply)
        cursor, more = reply.cursor, reply.more
    return cursor


@check(needs="handover")
def handover(bench):
    """hands its state over in pieces: first all, then what has changed, deletions included"""
    store = Store(bench)
    big = os.urandom(MIB)
    for i in range(200):
        store.set(f"k{i}", b"v%d" % i, ttl_seconds=1000 if i % 2 else None)
    for i in range(5):
        store.set(f"big{i}", big)
    bench.init(store.link, HANDLE + 1)
    cursor = carry(store.link, 0)
    store.set("k0", b"changed")
    store.set("new", b"new")
    need(store.try_delete("k1").status.code == 0, "delete failed")
    carry(store.link, cursor)
    need(store.link.call(pb.METHOD_START, HANDLE + 1).status.code == 0, "start failed")
    names = [f"k{i}" for i in range(200)] + [f"big{i}" for i in range(5)] + ["new"]
    for name in names:
        get = pb.StateGet(key=store.key(name))
        old, new = (store.link.call(pb.METHOD_STATE_GET, handle, get) for handle in (HANDLE, HANDLE + 1))
        need(new.status.code == 0 and old.received == new.received, f"{name} is not the same")
    need(store.get("k1")[0] is None and store.get("k0")[0] == b"changed", "the old one has changed")


@check(needs="handover")
def no_piece(bench):
    """refuses a piece that it did not make"""
    link = bench.component()
    need(link.call(pb.METHOD_IMPORT, HANDLE, b"", os.urandom(1000)).status.code != 0, "it took noise")
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")


# --- large values and flow control -----------------------------------------------------------------------------------


# Stores whose items are shorter than what these checks are about.
SHORT_VALUES = {"state.aws.dynamodb"}


@check(needs="long values")
def big_value(bench):
    """takes and gives a value of 20 MiB under credits"""
    store = Store(bench)
    value = os.urandom(MIB) * 20
    store.set("big", value)
    need(store.get("big")[0] == value, "the value differs")


def open_get_big(store):
    store.set("big", os.urandom(MIB) * 2)
    call = store.link.open(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key=store.key("big")), send=False)
    call.hold = True
    store.link.feed(call)
    store.link.wait(lambda: call.received_bytes == CALL_CREDIT, "a full window of the answer")
    return call


@check(needs="long values")
def call_credit_zero(bench):
    """stops at a call's credit, serves others meanwhile, and goes on with new credit"""
    store = Store(bench)
    call = open_get_big(store)
    for i in range(50):
        store.set(f"other{i}", b"x" * 1000)
    need(call.received_bytes == CALL_CREDIT, "it went on without credit")
    store.link.send(pb.Frame(kind=pb.KIND_CREDIT, call=call.id, credit_bytes=10))
    call.recv_used -= 10
    store.link.wait(lambda: call.received_bytes == CALL_CREDIT + 10, "ten more bytes")
    call.hold = False
    store.link.give_call(call, 1)
    store.link.finish(call)
    need(call.received_bytes == call.response.payload_bytes, "the answer is cut")


@check(needs="long values")
def link_credit_zero(bench):
    """stops at the connection's credit and goes on with new credit"""
    store = Store(bench)
    link = store.link
    store.set("big", os.urandom(MIB) * 2)
    link.give_link()
    link.hold = True
    calls = [link.open(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key=store.key("big"))) for _ in range(8)]
    link.wait(lambda: link.recv_used == LINK_CREDIT, "the whole window of the connection")
    need(not all(call.is_complete for call in calls), "it sent more than it may")
    late = link.open(pb.METHOD_STATE_GET, HANDLE, pb.StateGet(key=store.key("none")))
    while link.pump(0.2):
        pass
    need(link.recv_used == LINK_CREDIT, "it went on without credit")
    link.hold = False
    link.give_link()
    for call in calls + [late]:
        link.finish(call)


@check(needs="long values")
def cancel_answer(bench):
    """breaks a large answer off when it is cancelled"""
    store = Store(bench)
    call = open_get_big(store)
    store.link.cancel(call)
    need(store.get("none")[0] is None, "no answer to another call")
    call.hold = False
    store.link.give_call(call, 1)
    need(store.get("none")[0] is None, "no answer to another call")
    need(call.received_bytes <= CALL_CREDIT * 2, "it sent everything")


@check(needs="long values")
def many_big(bench):
    """serves eight calls of 3 MiB at a time, sent and answered in pieces of any size"""
    store = Store(bench)
    link = store.link
    values = [os.urandom(3 * MIB) for _ in range(8)]
    calls = []
    for i, value in enumerate(values):
        request = pb.StateSet(items=[store.set_item(f"p{i}", value)])
        calls.append(link.open(pb.METHOD_STATE_SET, HANDLE, request, value, send=False))
    until = time.monotonic() + SECONDS
    while not all(call.is_complete for call in calls):
        need(time.monotonic() < until, f"not all were answered within {SECONDS} s")
        for call in calls:
            link.feed(call, most=random.randrange(1, 200000))
        link.pump(0.01)
    need(all(call.status.code == 0 for call in calls), "a set failed")
    for i, value in enumerate(values):
        need(store.get(f"p{i}")[0] == value, f"value {i} differs")


@check(needs="long values")
def dies_in_transfer(bench):
    """ends when the kernel dies in the middle of transfers"""
    store = Store(bench)
    open_get_big(store)
    half = store.link.open(pb.METHOD_STATE_SET, HANDLE, b"", b"x" * 500000, send=False)
    store.link.feed(half, most=100000)
    store.link.close()
    need(bench.process.wait_exit() == 0, f"exit status {bench.process.popen.returncode}")
