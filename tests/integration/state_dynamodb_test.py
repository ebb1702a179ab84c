#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""state.aws.dynamodb against moto, which judges signatures and conditions; a fake that says it is one answers what moto never
does: that it is too much, that it left some out, nothing at all. DYNAMODB_URL names another server (`make prove T=dynamodb`).
timeout: 180"""
import sdk  # noqa: F401  isort: skip

import base64
import json
import os
import signal
import threading
import time

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import state_pb2
from http_app import App, answer
from remora import Sidecar, Store, component, equal, eventually, kill_both, main, need, test
from servers import Aws

aws = Aws()
OTHER = os.environ.get("DYNAMODB_URL")
LIMIT = 400 * 1024


def call(operation, **arguments):
    reply = aws.call("dynamodb", operation, **arguments)
    need("error" not in reply, reply.get("error"))
    return reply


def table(name, key="key"):
    call("create_table", TableName=name, KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
         AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
    return name


def document(name="dyn", **metadata):
    return component(name, "state.aws.dynamodb", {
        "table": name, "region": "us-east-1", "endpoint": OTHER or aws.url, "accessKey": aws.access_key, "secretKey": aws.secret_key,
        **metadata})


def store_on(name, flags=(), **metadata):
    table(name, metadata.get("partitionKey", "key"))
    return Store(Sidecar(document(name, **metadata), flags=flags), name)


def item(name, key, attribute="key"):
    return call("get_item", TableName=name, Key={attribute: {"S": f"shop||{key}"}}).get("Item")


def put(name, key, **attributes):
    call("put_item", TableName=name, Item={"key": {"S": f"shop||{key}"}, **attributes})


def message(reply):
    return reply.json["message"] if reply.body else ""


@test("items are laid out as the reference has them, and read back as they were", "STATE-01 STATE-02 STATE-03 STATE-10 STATE-37")
def layout():
    store = store_on("layout")
    texts = ["1", '{ "a" : [1.50, 9007199254740993, "ü\\u0000\\"\\n"] }', '""', "null", '"' + "x" * 390_000 + '"']
    for i, text in enumerate(texts):
        equal(store.save(f"k{i}", None, raw=text).status, 204)
        kept = item("layout", f"k{i}")
        equal((set(kept), kept["key"], kept["value"]), ({"key", "value", "etag"}, {"S": f"shop||k{i}"}, {"S": text}))
        reply = store.get(f"k{i}")
        equal((reply.status, reply.text, reply.header("Etag")), (200, text, kept["etag"]["S"]))
    with grpc.insecure_channel(f"127.0.0.1:{store.sidecar.grpc_port}") as channel:
        save = channel.unary_unary("/dapr.proto.runtime.v1.Dapr/SaveState", state_pb2.SaveStateRequest.SerializeToString,
                                   lambda data: data)
        save(state_pb2.SaveStateRequest(store_name="layout", states=[common_pb2.StateItem(key="b", value=b"\x00\xff")]), timeout=30)
    equal(item("layout", "b")["value"], {"B": str(b"\x00\xff")})
    equal(store.get("b").body, b"\x00\xff")
    put("layout", "foreign", value={"S": "text"})
    put("layout", "bytes", value={"B": "text"}, etag={"S": "e"}, more={"N": "5"})
    put("layout", "bare")
    equal([store.get(key).body for key in ("foreign", "bytes", "bare")], [b"text", b"text", b""])
    equal([store.get(key).header("Etag") for key in ("foreign", "bytes")], [None, "e"])
    put("layout", "number", value={"N": "5"})
    need("failed to unmarshal value for key shop||number" in message(store.get("number")), "a number is no value")
    equal(store.delete("k0").status, 204)
    equal((store.get("k0").status, store.delete("k0").status), (204, 204))
    equal(store.sidecar.metadata()["components"][0]["capabilities"], ["ETAG", "TRANSACTIONAL", "ACTOR"])
    store.sidecar.end()


@test("an ETag changes with each write, and only the right one is written over", "STATE-12 STATE-13 STATE-14 STATE-15")
def etags():
    store = store_on("etags")
    first = {"options": {"concurrency": "first-write"}}
    equal(store.save("k", 1, **first).status, 204)
    old = store.get("k").header("Etag")
    equal(store.save("k", 2, **first).status, 409)
    equal(store.save("k", 2, etag=old, **first).status, 204)
    now = store.get("k").header("Etag")
    need(now != old, "it did not change")
    for reply in (store.save("k", 3, etag=old), store.delete("k", etag=old), store.save("none", 1, etag=old),
                  store.delete("none", etag=old), store.save("k", 3, etag='" OR attribute_exists(key)')):
        equal(reply.status, 409)
        need("possible etag mismatch" in message(reply), message(reply))
    equal((store.get("k").text, store.get("none").status), ("2", 204))
    equal(store.delete("k", etag=now).status, 204)
    equal(store.get("k").status, 204)
    store.sidecar.end()


@test("a time to live is the item's, and what has expired is not there, also before it is removed", "STATE-44 STATE-45 STATE-49")
def ttl():
    store = store_on("ttl", ttlAttributeName="expiresAt")
    equal(store.save("long", 1, metadata={"ttlInSeconds": "1000"}).status, 204)
    left = int(item("ttl", "long")["expiresAt"]["N"]) - time.time()
    need(990 < left <= 1001, f"{left} s")
    need("ttlexpiretime" in str(store.get("long").headers).lower(), "it is not told")
    equal(store.save("long", 2, metadata={"ttlInSeconds": "-1"}).status, 204)
    need("expiresAt" not in item("ttl", "long"), "-1 is for ever")
    gone = {"value": {"S": "1"}, "etag": {"S": "e"}, "expiresAt": {"N": str(int(time.time()) - 5)}}
    for key in ("gone", "again"):
        put("ttl", key, **gone)
    equal(store.get("gone").status, 204)
    equal([item.get("data") for item in store.bulk(["gone", "long"]).json], [None, 2])
    equal([store.save("gone", 1, etag="e").status, store.delete("gone", etag="e").status], [409, 409])
    equal(store.transact(("upsert", "gone", 1, {"etag": "e"})).status, 409)
    first = {"options": {"concurrency": "first-write"}}
    equal(store.save("gone", 3, **first).status, 204)
    equal(store.transact(("upsert", "again", 3, first)).status, 204)
    equal([store.get("gone").text, store.get("again").text], ["3", "3"])
    equal(store.save("gone", 4, **first).status, 409)
    for text in ("soon", "9223372036854775807"):
        reply = store.save("bad", 1, metadata={"ttlInSeconds": text})
        need(reply.status == 500 and "failed to parse ttlInSeconds" in message(reply), repr(reply))
    put("ttl", "odd", value={"S": "1"}, expiresAt={"S": "soon"})
    need("expiresAt is of no kind" in message(store.get("odd")), "a text is no time")
    equal(store.sidecar.metadata()["components"][0]["capabilities"], ["ETAG", "TRANSACTIONAL", "TTL", "ACTOR"])
    store.sidecar.end()
    ignoring = store_on("ignoring")
    equal(ignoring.save("k", 1, metadata={"ttlInSeconds": "1"}).status, 204)
    equal(set(item("ignoring", "k")), {"key", "value", "etag"})
    ignoring.sidecar.end()


@test("many are read in batches, in order, those that are not there and those asked for twice too", "STATE-04 STATE-30")
def many():
    store = store_on("many")
    equal(store.save_raw([{"key": f"m{i}", "value": i} for i in range(250)]).status, 204)
    keys = [f"m{i}" for i in range(250)] + ["none", "m3", "x" * 3000, "m3"]
    items = store.bulk(keys).json
    equal([item["key"] for item in items], keys)
    equal([item.get("data") for item in items], list(range(250)) + [None, 3, None, 3])
    need("a key has 1 to 2048 bytes" in items[252]["error"], items[252])
    equal(items[251]["etag"], items[3]["etag"])
    store.sidecar.end()


@test("a transaction is done or not; several operations on one key are done in order", "STATE-05 STATE-31 STATE-32")
def transactions():
    store = store_on("transactions", ["--max-body-size", "16Mi"])
    first = {"options": {"concurrency": "first-write"}}
    equal(store.save("old", 0).status, 204)
    equal(store.transact(("upsert", "a", 1), ("delete", "old"), ("upsert", "b", 2), ("upsert", "a", 3), ("upsert", "c", 4),
                         ("delete", "c")).status, 204)
    equal([store.get(key).body for key in ("a", "b", "old", "c")], [b"3", b"2", b"", b""])
    etag = store.get("a").header("Etag")
    refused = [[("upsert", "x", 1), ("upsert", "a", 9, {"etag": "wrong"})],
               [("upsert", "x", 1), ("delete", "a", {"etag": "wrong"})],
               [("upsert", "x", 1), ("upsert", "a", 9, first)],
               [("upsert", "x", 1), ("upsert", "a", 9), ("upsert", "a", 9, {"etag": etag})],  # it has another one by then
               [("upsert", "x", 1), ("upsert", "x", 9, first)],
               [("upsert", "x", 1), ("upsert", "a", 9, {"etag": "wrong"}), ("delete", "a")]]
    for operations in refused:
        reply = store.transact(*operations)
        equal(reply.status, 409, f"{operations}: {reply.text}")
        equal((store.get("x").status, store.get("a").text, store.get("a").header("Etag")), (204, "3", etag), operations)
    equal(store.transact(("upsert", "a", 5, {"etag": etag}), ("delete", "a"), ("upsert", "a", 6, first)).status, 204)
    equal(store.get("a").text, "6")
    equal(store.transact(*[("upsert", f"t{i}", i) for i in range(100)]).status, 204)
    reply = store.transact(*[("upsert", f"u{i}", i) for i in range(101)])
    need(reply.status == 400 and "100" in message(reply), repr(reply))
    reply = store.transact(*[("upsert", f"u{i}", "x" * 399_000) for i in range(11)])
    need(reply.status == 500 and "the items of a transaction have" in message(reply), repr(reply))
    equal([store.get("u0").status, store.transact().status], [204, 204])
    store.sidecar.end()


@test("what DynamoDB cannot hold is refused, and told clearly", "STATE-43")
def bounds():
    store = store_on("bounds")
    equal(store.save("k" * (2048 - len("shop||")), 1).status, 204)
    equal(store.save("k", "x" * 404_000).status, 204)
    if not OTHER:  # moto's own limit is lower
        need("operation error DynamoDB: PutItem, ValidationException: Item size has" in message(store.save("k", "x" * 406_000)), "")
    else:
        equal(store.save("most", "x" * (LIMIT - len("key" "shop||most" "value" "etag" '""') - 16)).status, 204)
    for reply in (store.save("k", "x" * LIMIT), store.transact(("upsert", "k", "x" * LIMIT))):
        need(reply.status == 500 and "Item size has exceeded the maximum allowed size: it has 409" in message(reply), repr(reply))
    for reply in (store.save("k" * 2043, 1), store.get("k" * 2043), store.delete("k" * 2043)):
        need(reply.status == 500 and "a key has 1 to 2048 bytes, with the prefix, not 2049" in message(reply), repr(reply))
    equal(len(store.get("k").body), 404_002)
    store.sidecar.end()


@test("the key's attribute is the component's choice", "STATE-02")
def partition():
    store = store_on("contracts", partitionKey="ContractID", ttlAttributeName="until")
    equal(store.save("k", 1, metadata={"ttlInSeconds": "100"}).status, 204)
    equal(set(item("contracts", "k", "ContractID")), {"ContractID", "value", "etag", "until"})
    equal([store.get("k").text, store.bulk(["k"]).json[0]["data"]], ["1", 1])
    equal(store.transact(("upsert", "l", 2), ("delete", "k")).status, 204)
    equal([store.get("k").status, store.get("l").text, store.delete("l").status], [204, "2", 204])
    store.sidecar.end()


@test("a component that cannot work is told of at once, without a key", "STATE-01")
def refused():
    table("mine")
    cases = [({"table": ""}, "missing dynamodb table name"), ({"table": "other"}, "error validating DynamoDB table 'other' access"),
             ({"secretKey": "gu3ss"}, "error validating DynamoDB table 'mine' access: operation error DynamoDB: GetItem, "),
             ({"endpoint": "http://127.0.0.1:9"}, "error validating DynamoDB table 'mine' access: operation error DynamoDB"),
             ({"partitionKey": "value"}, "partitionKey is the name of another attribute"),
             ({"ttlAttributeName": "key"}, "ttlAttributeName is the name of another attribute"),
             ({"partitionKey": "elsewhere"}, "error validating DynamoDB table"), ({"region": ""}, "region is missing")]
    judged = [case for case in cases if not OTHER or "secretKey" not in case[0]]
    broken = [(Sidecar(document("mine", **metadata), wait=False), words) for metadata, words in judged]
    for sidecar, words in broken:
        equal(sidecar.wait(60), 1)
        need(words in sidecar.log() and "gu3ss" not in sidecar.log() and aws.secret_key not in sidecar.log(),
             f"{words} is not in {sidecar.log()}")


class Fake:
    """It says it is a service: its answers are those it is told to give for an operation, the last one again and again."""

    def __init__(self, **metadata):
        self.say = {"GetItem": [answer(200, b"{}")]}
        self.app = App(self.reply)
        resiliency = metadata.pop("resiliency", None)
        self.store = Store(Sidecar(document("fake", endpoint=f"http://127.0.0.1:{self.app.port}", **metadata),
                                   *([resiliency] if resiliency else [])), "fake")
        self.app.take()

    def reply(self, request, exchange):
        answers = self.say[request.header("x-amz-target").partition(".")[2]]
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        return said(request) if callable(said) else said

    def asked(self):
        return [json.loads(request.body) for request in self.app.take()]

    def end(self):
        self.store.sidecar.end()
        self.app.stop()


def refusal(code, status=400, **more):
    return answer(status, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "so it is", **more}).encode())


RESILIENCY = """
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: again}
spec:
  policies:
    retries:
      often: {policy: constant, duration: 10ms, maxRetries: 5}
  targets:
    components:
      fake: {outbound: {retry: often}}
"""


@test("what is too much at a time is tried again by a policy, and told of without one", "STATE-01")
def throttled():
    fake = Fake(resiliency=RESILIENCY)
    for code in ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"):
        fake.say.update(PutItem=[refusal(code)] * 3 + [answer(200, b"{}")], TransactWriteItems=[refusal(code), answer(200, b"{}")])
        equal(fake.store.save("k", 1).status, 204)
        equal(len(fake.asked()), 4)
        equal(fake.store.transact(("upsert", "k", 1)).status, 204)
        equal(len(fake.asked()), 2)
    fake.end()
    fake = Fake()
    for said, status, words in (
            (refusal("ThrottlingException"), 503, "ThrottlingException: so it is"),
            (refusal("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "ThrottlingError"}]), 503, ""),
            (refusal("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}]), 409, "mismatch"),
            (refusal("TransactionCanceledException"), 500, "TransactionCanceledException"),
            (refusal("InternalServerError", 500), 500, "InternalServerError"), (answer(503, b"<html>"), 500, "StatusCode: 503")):
        fake.say["TransactWriteItems"] = [said]
        reply = fake.store.transact(("upsert", "k", 1))
        need(reply.status == status and words in message(reply), f"{said}: {reply.status} {reply.text}")
    fake.end()


@test("what is left out of a batch is asked for again, and not for ever", "STATE-04")
def unprocessed():
    def some(request):
        keys = json.loads(request.body)["RequestItems"]["fake"]["Keys"]
        items = [{**key, "value": {"S": "1"}} for key in keys[:2]]
        left = {"UnprocessedKeys": {"fake": {"Keys": keys[2:]}}} if keys[2:] else {}
        return answer(200, json.dumps({"Responses": {"fake": items}, **left}).encode())

    def nothing(request):
        return answer(200, json.dumps({"Responses": {}, "UnprocessedKeys": json.loads(request.body)["RequestItems"]}).encode())

    fake = Fake()
    keys = [f"k{i}" for i in range(7)]
    fake.say["BatchGetItem"] = [nothing, some]
    equal([item.get("data") for item in fake.store.bulk(keys + ["k1"]).json], [1] * 8)
    equal([len(body["RequestItems"]["fake"]["Keys"]) for body in fake.asked()], [7, 7, 5, 3, 1])
    fake.say["BatchGetItem"] = [some, nothing]
    items = fake.store.bulk(keys).json
    equal([item.get("data") for item in items], [1, 1] + [None] * 5)
    need(all("UnprocessedKeys" in item["error"] for item in items[2:]), items)
    equal(len(fake.asked()), 7)
    fake.say["BatchGetItem"] = [refusal("ThrottlingException")]
    need(all("ThrottlingException" in item["error"] for item in fake.store.bulk(keys).json), "each is told")
    fake.end()


@test("strong reads are consistent ones", "STATE-19 STATE-22")
def consistency():
    fake = Fake()
    fake.say["BatchGetItem"] = [answer(200, b'{"Responses":{}}')]
    for query in ("?consistency=strong", "?consistency=eventual", ""):
        equal(fake.store.get("k", query).status, 204)
    equal([body.get("ConsistentRead", False) for body in fake.asked()], [True, False, False])
    fake.end()


@test("a write whose answer is lost may have been done: it is told so and not sent again", "STATE-01")
def lost():
    fake = Fake(resiliency=RESILIENCY.replace("maxRetries: 5", "maxRetries: 0"))
    for operation, act in (("PutItem", lambda: fake.store.save("k", 1, etag="e")),
                           ("DeleteItem", lambda: fake.store.delete("k", etag="e")),
                           ("TransactWriteItems", lambda: fake.store.transact(("upsert", "k", 1)))):
        fake.store.get("k")  # over a connection that has been used before, libcurl would try again
        fake.say[operation] = [None]
        fake.asked()
        reply = act()
        equal((reply.status, len(fake.asked())), (500, 1), f"{operation}: {reply.text}")
    fake.end()


@test("what hangs is given up when its time is over", "STATE-01")
def hanging():
    over = threading.Event()
    fake = Fake(resiliency=RESILIENCY.replace("retries:", "timeouts: {short: 300ms}\n    retries:").replace(
        "retry: often", "timeout: short"))
    for operation, act in (("PutItem", lambda: fake.store.save("k", 1)), ("DeleteItem", lambda: fake.store.delete("k")),
                           ("GetItem", lambda: fake.store.get("k")),
                           ("TransactWriteItems", lambda: fake.store.transact(("upsert", "k", 1)))):
        fake.say[operation] = [lambda request: over.wait(60) and None]
        reply = act()
        need(reply.status >= 500, f"{operation}: {reply}")
    fake.say["BatchGetItem"] = [lambda request: answer(200, json.dumps(
        {"UnprocessedKeys": json.loads(request.body)["RequestItems"]}).encode())]  # it hangs by its pauses
    reply = fake.store.bulk(["k"])
    need(reply.status >= 500 or "error" in reply.json[0], repr(reply))
    fake.say.update(GetItem=[answer(200, b"{}")])
    equal(fake.store.get("k").status, 204)
    over.set()
    fake.end()


@test("a service that says what makes no sense is not believed", "STATE-01")
def hostile():
    fake = Fake(ttlAttributeName="expiresAt")
    for body in (b"", b"[]", b"{", b"5", b'{"Item":{"value":{"S":"cut\\u0000here"}}}', b'{"Item":{"value":{"B":"*"}}}',
                 b'{"Item":{"value":{}}}', b'{"Item":{"value":7}}', b'{"Item":{"value":{"S":"1"},"etag":{"N":"1"}}}',
                 b'{"Item":{"value":{"S":"1"},"expiresAt":{"N":"99999999999999999999"}}}', b"[" * 100_000):
        fake.say["GetItem"] = [answer(200, body)]
        reply = fake.store.get("k")
        need(reply.status == 500 and ("no kind" in message(reply) or "no sense" in message(reply) or "NUL" in message(reply)),
             f"{body[:60]}: {reply.text}")
    fake.say["GetItem"] = [answer(200, b'{"Item":{"value":{"S":"' + b"x" * 5_000_000 + b'"}}}')]
    need("longer than 4194304 bytes" in message(fake.store.get("k")), "it is bounded")
    for body in (b'{"Responses":[]}', b'{"Responses":{"fake":[5,{"key":{"S":"other"}},{"key":7}]},"UnprocessedKeys":{"fake":{"Keys":[7]}}}',
                 b'{"Responses":{"other":[{"key":{"S":"shop||k"},"value":{"S":"1"}}]}}'):
        fake.say["BatchGetItem"] = [answer(200, body)]
        equal([item.get("data") for item in fake.store.bulk(["k", "l"]).json], [None, None])
    fake.say["PutItem"] = [answer(200, b"no JSON")]
    need("makes no sense" in message(fake.store.save("k", 1)), "nor is that a yes")
    fake.say["GetItem"] = [answer(200, b'{"Item":{"value":{"B":"' + base64.b64encode(b"fine") + b'"}}}')]
    equal(fake.store.get("k").text, "fine")
    fake.end()


@test("what has been said to be stored is, whoever is killed in between", "STATE-01 STATE-10")
def killed():
    table("kills")
    sidecar = Sidecar(document("kills"))
    store, done, over = Store(sidecar, "kills"), {}, threading.Event()

    def write(worker):
        for i in range(1, 100_000):
            if over.is_set():
                return
            try:
                if store.save(f"w{worker}", i).status == 204:
                    done[worker] = (i, i)
                    continue
            except Exception:  # the sidecar was killed
                pass
            done[worker] = (done.get(worker, (0, 0))[0], i)

    workers = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(2):
        eventually(lambda: len(done) == 3 and min(i for i, _ in done.values()) > 3, "writes")
        pid, seen = sidecar.plugin_pid("aws"), dict(done)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: sidecar.plugin_pid("aws") not in (pid, None)
                   and all(done[w][0] > seen[w][0] for w in done), "writes go on", 60)
    kill_both(sidecar, "aws")
    over.set()
    for worker in workers:
        worker.join()
    store = Store(Sidecar(document("kills")), "kills")
    for worker, (acknowledged, tried) in done.items():
        need(acknowledged <= store.get(f"w{worker}").json <= tried, f"{worker}: {acknowledged}, {tried}")
    store.sidecar.end()


main()
