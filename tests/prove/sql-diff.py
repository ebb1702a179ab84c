# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment sql-diff: the same random state operations on every store give the same answers.

10,000 of them (SEED=n chooses which; 1,000 in the short form) go over HTTP, those that save arbitrary bytes over gRPC, to
state.in-memory, state.sqlite, state.redis, state.postgresql v1 and v2 and state.mysql: reads, saves and deletions of one or many
keys, with right, old and missing ETags, first and last write, transactions that succeed and fail, keys and values of every kind.
Status, body and error of each are compared with those of the in-memory store; ETags by when they were seen first. What may differ
stands in DIFFERENCES, with its reason, and nowhere else. Times to live are left out: stores count them by clocks of their own."""
import _prove

import sdk  # noqa: F401  isort: skip

import collections
import concurrent.futures
import decimal
import json
import re
import time

import _grpc
import configuration_stores
import grpc
import mariadb
from remora import Folder, Redis, Sidecar, Store, component, quote

OPERATIONS = _prove.by_length(1000, 10_000, 50_000)
STORES = ("mem", "plain", "sqlt", "red", "pg1", "pg2", "mys")
JUDGES = {"red": "plain"}  # and "mem" of all others
SAVE = "/dapr.proto.runtime.v1.Dapr/SaveState"
claims = _prove.Claims()
rng = _prove.rng

# (store, what of it) → why. `words`: of errors. `text`: values mean the same but are not the same bytes. `first`, `etag-absent`: it is
# asked for something plainer instead, and compared with an in-memory store that is asked the same.
DIFFERENCES = {
    ("mem", "words"): "a refusal for an ETag goes on to say why, in the reference's words; the others cannot know, and their words end there",
    ("red", "words"): "in a transaction they are those of the reference's script, whose users know them",
    ("pg1", "text"): "the column is jsonb, which the reference has too: spaces, the order of members and exponents are its own",
    ("mem", "repeated"): "a transaction's conditions are all looked at before its first change, elsewhere one after the other: nobody is asked"
                         " for a condition on a key that the same transaction changes twice",
    ("red", "etag-absent"): "saving with an ETag a key that is not there succeeds, as with the reference's script",
    ("red", "first"): "first write is a mark on the key, as the reference keeps it: only a key that was saved so is guarded, and then always",
}

# --- what is asked ----------------------------------------------------------------------------------------------------

KEYS = ([f"k{i}" for i in range(24)] +
        ["Key", "KEY", "key", "key ", " key", "kéy", "ключ", "日本語", "😀", "a/b", "a%2Fb", "a%b_c", "%", "_", "a\\b", "\\", "'", '"',
         "'; DROP TABLE state; --", "a\tb", "a\nb", "*", "?x=1", "a|b", "|", "{tag}", "x" * 200, "é" * 90, "0", "null", "shop"])
TEXTS = ["null", "true", "0", "-0", "1", "1.0", "1.50", "12345678901234567890123", "9007199254740993", "0.1", '""', '"s"', '"ü 😀"', '"\'"',
         r'"\\ \" \/ \u00e9 \n"', "[]", "[ ]", "{}", '{"b":1,"a":2}', '{ "z" : [ 1 ,2.0 ] , "a":{"n":null} }', '"dHJ1ZQ=="', '"<>&"',
         "[" * 30 + "]" * 30, "[" * 60 + "]" * 60, '"' + "long " * 3000 + '"', '"%s"', "\"'; --\""]
BYTES = [b"", b"\0", b"plain", b"\xff\xfe\x00\x80", bytes(range(256)), b'{"a":1', b"\\", b"'", b"\r\n", b"x" * 20_000, b'"in quotes"', b"%d"]


def value():
    if rng.random() < 0.3:
        return json.dumps({f"m{rng.randrange(9)}": rng.choice([rng.randrange(10**12), rng.random(), None, "t" * rng.randrange(40)])
                           for _ in range(rng.randrange(5))}, ensure_ascii=rng.random() < 0.5)
    return rng.choice(TEXTS)


def change(may_fail):
    """One item of a transaction or of a save of many: (kind, key, value, condition)."""
    kind = rng.choice(("set", "set", "set", "delete"))
    condition = rng.choice(("", "", "", "last", "current") + (("first", "old") if may_fail else ()))
    if kind == "delete" and condition in ("first", "last"):
        condition = ""
    return kind, rng.choice(KEYS), value(), condition


def operation():
    """A tuple that means the same to every store: a name and what it needs."""
    key = rng.choice(KEYS)
    name = rng.choice(("get",) * 5 + ("set",) * 5 + ("delete",) * 2 + ("many",) * 2 + ("bulk",) * 2 + ("transact",) * 4 +
                      ("bytes", "bytes", "first", "first", "last", "current", "current", "old", "old", "etag-absent", "remove", "remove-old"))
    if name in ("many", "transact"):
        may_fail = rng.random() < 0.4
        changes = [change(may_fail) for _ in range(rng.choice((1, 2, 3, 5, 8, 20)))]
        times = collections.Counter(one[1] for one in changes)
        changes = [one[:3] + ("" if times[one[1]] > 1 else one[3],) for one in changes]
        if name == "many":
            changes = [("set", *rest) for _, *rest in changes]
        return name, changes
    if name == "bulk":
        return name, [rng.choice(KEYS) for _ in range(rng.choice((1, 2, 5, 10, 60)))], rng.choice((None, 1, 10))
    if name == "bytes":
        return name, key, rng.choice(BYTES)
    return name, key, value()


def plainer(one):
    """What "red" is asked."""
    name, key, *rest = one
    if name in ("many", "transact"):
        return name, [change[:3] + ("" if change[3] == "first" else change[3],) for change in key]
    return ("get" if name == "etag-absent" else "set" if name == "first" else name, key, *rest)


# --- one store --------------------------------------------------------------------------------------------------------


class Runner:
    """Asks one store everything, and keeps the ETags that it has given for each key since that was last gone."""

    def __init__(self, sidecar, name):
        self.name, self.store, self.seen = name, Store(sidecar, name), {}
        self.connection = None
        self.save_bytes = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}").unary_unary(SAVE)

    def run(self, operations):
        return [self.answer(one) for one in operations]

    # What is compared.

    def etag(self, key, etag):
        """Which one of the key's it is, in the order in which they were seen."""
        if etag is None:
            self.seen.pop(key, None)
            return None
        seen = self.seen.setdefault(key, [])
        if etag not in seen:
            seen.append(etag)
        return seen.index(etag)

    def error(self, reply):
        if reply.status in (200, 204):
            return reply.status, None
        said = reply.json
        return reply.status, said["errorCode"], self.words(said["message"])

    def words(self, text):
        text = text.replace(f"store {self.name}", "store S")
        end = "possible etag mismatch. error from state store"
        if (self.name, "words") in DIFFERENCES:
            text = re.sub(r"ERR user_script:.*", end, text, flags=re.S)
        return text.partition(end)[0] + end if end in text else text

    # What is asked.

    def read(self, key):
        reply = self.store.get(key)
        if reply.status != 200:
            self.seen.pop(key, None)
            return self.error(reply)
        return 200, reply.body, self.etag(key, reply.header("Etag")), reply.header("Content-Type")

    def known(self, key, which):
        """The ETag that the store has now, or one that it had before; None if there is none."""
        self.read(key)
        seen = self.seen.get(key, [])
        return None if len(seen) < (1 if which == "current" else 2) else seen[-1 if which == "current" else 0]

    def fields(self, changes):
        """What they become in a request, once all that has to be read is read."""
        for _, key, text, condition in changes:
            more = {}
            if condition in ("current", "old"):
                etag = self.known(key, condition)
                more = {} if etag is None else {"etag": etag}
            elif condition:
                more = {"options": {"concurrency": f"{condition}-write"}}
            yield key, text, more

    def many(self, changes):
        items = [head({"key": key, **more}, text) for key, text, more in self.fields(changes)]
        return self.error(self.store.save_raw("[" + ",".join(items) + "]"))

    def transact(self, changes):
        rows = []
        for (kind, *_), (key, text, more) in zip(changes, self.fields(changes)):
            request = {"key": key, **more}
            request = json.dumps(request) if kind == "delete" else head(request, text)
            rows.append('{"operation":"%s","request":%s}' % ("delete" if kind == "delete" else "upsert", request))
        reply = self.store.sidecar.call("POST", self.store.path + "/transaction", '{"operations":[' + ",".join(rows) + "]}")
        if reply.status == 204:
            self.forget(key for kind, key, *_ in changes if kind == "delete")
        return self.error(reply)

    def forget(self, keys):
        """An ETag of a life that has ended says nothing about the next one."""
        for key in keys:
            self.seen.pop(key, None)

    def bulk(self, keys, parallelism):
        reply = self.store.bulk(keys, **({} if parallelism is None else {"parallelism": parallelism}))
        if reply.status != 200:
            return self.error(reply)
        return [(item["key"], item.get("data"), item.get("error"), self.etag(item["key"], item.get("etag")))
                for item in parsed(reply.body)]

    def bytes(self, key, data):
        item = _grpc.field(1, key.encode()) + _grpc.field(2, data)
        try:
            self.save_bytes(_grpc.field(1, self.name.encode()) + _grpc.field(2, item), timeout=30)
            return "OK"
        except grpc.RpcError as e:
            return e.code().name, self.words(e.details())

    def answer(self, one):
        name, key, *rest = one
        if name in ("many", "transact", "bulk", "bytes"):
            return getattr(self, name)(key, *rest)
        if name == "get":
            return self.read(key)
        if name == "set":
            return self.error(self.store.save(key, None, raw=rest[0]))
        if name in ("first", "last"):
            return self.error(self.store.save(key, None, raw=rest[0], options={"concurrency": f"{name}-write"}))
        if name == "etag-absent":
            if self.store.get(key).status != 204:
                return None
            return self.error(self.store.save(key, None, raw=rest[0], etag="1"))
        if name in ("current", "old"):
            etag = self.known(key, name)
            return None if etag is None else self.error(self.store.save(key, None, raw=rest[0], etag=etag))
        etag = None if name == "delete" else self.known(key, "old" if name == "remove-old" else "current")
        if name != "delete" and etag is None:
            return None
        reply = self.store.delete(key, etag)
        if reply.status == 204:
            self.forget([key])
        return self.error(reply)


def head(fields, text):
    return json.dumps(fields)[:-1] + ',"value":' + text + "}"


class Number(str):
    """As it is written."""


def parsed(data):
    return json.loads(data.decode("utf-8", "surrogateescape"), parse_float=Number, parse_int=Number)


def meaning(data):
    """Of a parsed JSON text: numbers by their value, and nothing else is lost with them."""
    if isinstance(data, Number):
        return decimal.Decimal(data) + 0  # -0 is 0
    if isinstance(data, list):
        return [meaning(part) for part in data]
    return {name: meaning(part) for name, part in data.items()} if isinstance(data, dict) else data


def meant(answer):
    """An answer whose values are compared by what they mean."""
    if isinstance(answer, list):
        return [(key, meaning(data), *rest) for key, data, *rest in answer]
    if not isinstance(answer, tuple) or len(answer) != 4:
        return answer
    try:
        return answer[0], meaning(parsed(answer[1])), *answer[2:]
    except ValueError:  # bytes
        return answer


# --- the comparison ---------------------------------------------------------------------------------------------------


def servers(folder):
    """A sidecar with all stores; servers that are not installed skip the experiment."""
    postgres, redis, mysql = configuration_stores.Server(), Redis(), mariadb.MariaDB()
    return Sidecar(
        component("mem", "state.in-memory"), component("plain", "state.in-memory"),
        component("sqlt", "state.sqlite", {"connectionString": folder / "state.db"}),
        component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis.port}"}),
        component("pg1", "state.postgresql", {**postgres.metadata(), "tableName": "one", "metadataTableName": "one_meta"}),
        component("pg2", "state.postgresql", {**postgres.metadata(), "tablePrefix": "two_"}, version="v2"),
        mysql.component("mys"), folder=folder, flags=["--workers", "2"])


def shortened(thing):
    text = repr(thing)
    return text if len(text) < 500 else text[:497] + "…"


folder = Folder()
sidecar = servers(folder)
operations = [operation() for _ in range(OPERATIONS)]
operations += [("bulk", KEYS, None)] + [("get", key, "") for key in KEYS]
plain = [plainer(one) for one in operations]


def asked_of(name):
    return plain if name == "plain" or JUDGES.get(name) == "plain" else operations


started = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(len(STORES)) as pool:
    answers = dict(zip(STORES, pool.map(lambda name: Runner(sidecar, name).run(asked_of(name)), STORES)))
took = time.monotonic() - started

differing = 0
for name in STORES[2:]:
    wrong = []
    for i, (asked, wanted, got) in enumerate(zip(asked_of(name), answers[JUDGES.get(name, "mem")], answers[name])):
        if (name, "text") in DIFFERENCES:
            wanted, got = meant(wanted), meant(got)
        if wanted != got:
            wrong.append((i, asked, wanted, got))
    for i, asked, wanted, got in wrong[:2]:
        _prove.say(f"{name}, operation {i}: {shortened(asked)}\n        mem: {shortened(wanted)}\n        {name}: {shortened(got)}")
    differing += len(wrong)
    claims.at_most(f"answers of {name} that are not those of in-memory", len(wrong), 0, digits=0)
for (store, what), why in DIFFERENCES.items():
    _prove.say(f"allowed for {store}, {what}: {why}")

outcomes = [answer for answer in answers["mem"] if answer is not None]
refused = sum(1 for answer in outcomes if isinstance(answer, tuple) and len(answer) == 3)
claims.at_least("operations that did something", len(outcomes), OPERATIONS * 0.8, digits=0)
claims.at_least("of them refused, as they should be", refused, OPERATIONS * 0.03, digits=0)
kinds = {answer[1] for answer in outcomes if isinstance(answer, tuple) and len(answer) == 3}
claims.holds("refused for their ETags only", kinds <= {"ERR_STATE_SAVE", "ERR_STATE_DELETE", "ERR_STATE_TRANSACTION"}, f"{kinds}")
_prove.stop(sidecar)
claims.end(f"{len(operations)} operations on {len(STORES) - 1} stores in {took:.0f} s: {differing} answers differ")
