# SPDX-License-Identifier: Apache-2.0
"""The query API: the documentation's data set in the stores that can be queried, every operator, sorting and paging,
compared with the same query done by hand; and the stores that refuse."""

import itertools
import json

from remora import Folder, Sidecar, Store, component, equal, main, need, test
from state_stores import postgres, sidecar

KINDS = ("state.sqlite", "state.postgresql")

PEOPLE = [
    ("Dev Ops", 1036, "Seattle", "WA"),
    ("Hardware", 1028, "Portland", "OR"),
    ("Finance", 1071, "Sacramento", "CA"),
    ("Dev Ops", 1042, "Spokane", "WA"),
    ("Hardware", 1007, "Los Angeles", "CA"),
    ("Finance", 1094, "Eugene", "OR"),
    ("Dev Ops", 1015, "San Francisco", "CA"),
    ("Hardware", 1077, "Redmond", "WA"),
    ("Finance", 1002, "San Diego", "CA"),
    ("Dev Ops", 1054, "New York", "NY"),
]
DATA = {
    str(i + 1): {"person": {"org": org, "id": id_}, "city": city, "state": state}
    for i, (org, id_, city, state) in enumerate(PEOPLE)
}
_stores = {}
_kind = [None]  # of the running test


def document(kind, name):
    """A component with tables of its own."""
    if kind == "state.sqlite":
        return component("people", kind, {"connectionString": Folder() / "q.db"})
    return component("people", kind, {**postgres().metadata(), "tableName": name})


def store():
    kind = _kind[0]
    if kind not in _stores:
        people = document(kind, "people")
        _stores[kind] = Store(Sidecar(people), "people")
        equal(_stores[kind].save_raw([{"key": key, "value": value} for key, value in DATA.items()]).status, 204)
        equal(Store(Sidecar(people, app_id="other"), "people").save("foreign", DATA["1"]).status, 204)
    return _stores[kind]


def on_kinds(name, requirements):
    def register(function):
        for kind in KINDS:
            def run(kind=kind):
                _kind[0] = kind
                function()
            test(f"{name}: {kind}", requirements)(run)
        return function

    return register


def ask(query, **more):
    reply = store().query(query, **more)
    equal((reply.status, reply.header("Content-Type")), (200, "application/json"), repr(reply))
    for item in reply.json["results"]:
        equal(item["data"], DATA[item["key"]])
        equal(item["etag"], store().get(item["key"]).header("Etag"))
        equal(set(item), {"key", "data", "etag"})
    return reply.json


def keys(query):
    return [item["key"] for item in ask(query)["results"]]


def where(holds):
    return sorted(key for key, value in DATA.items() if holds(value))


@on_kinds("without a filter every entry of the app is found, and no other app's", "STATE-06 STATE-73 STATE-79")
def everything():
    for query in ({}, {"filter": {}}, {"filter": {}, "sort": [], "page": {}}):
        equal(sorted(keys(query)), sorted(DATA))
        need("token" not in ask(query), "no token when nothing is left")


@on_kinds("comparisons select by nested values", "STATE-74 STATE-76 X-STATE-14")
def comparisons():
    equal(sorted(keys({"filter": {"EQ": {"state": "CA"}}})), where(lambda v: v["state"] == "CA"))
    equal(sorted(keys({"filter": {"NEQ": {"state": "CA"}}})), where(lambda v: v["state"] != "CA"))
    equal(sorted(keys({"filter": {"EQ": {"person.id": 1015}}})), ["7"])
    for name, holds in (
        ("GT", lambda x: x > 1042),
        ("GTE", lambda x: x >= 1042),
        ("LT", lambda x: x < 1042),
        ("LTE", lambda x: x <= 1042),
    ):
        equal(sorted(keys({"filter": {name: {"person.id": 1042}}})), where(lambda v: holds(v["person"]["id"])), name)
    equal(
        sorted(keys({"filter": {"IN": {"person.org": ["Dev Ops", "Hardware"]}}})),
        where(lambda v: v["person"]["org"] in ("Dev Ops", "Hardware")),
    )
    equal(keys({"filter": {"EQ": {"person.id": "1015"}}}), [], "a number is no string")
    equal(keys({"filter": {"EQ": {"nothing.here": 1}}}), [])
    equal(keys({"filter": {"EQ": {"person.org": "' OR 1=1 --"}}}), [])


@on_kinds("conditions nest", "STATE-75")
def junctions():
    query = {
        "OR": [
            {"EQ": {"person.org": "Dev Ops"}},
            {"AND": [{"EQ": {"person.org": "Finance"}}, {"IN": {"state": ["CA", "WA"]}}]},
        ]
    }
    equal(
        sorted(keys({"filter": query})),
        where(
            lambda v: v["person"]["org"] == "Dev Ops" or v["person"]["org"] == "Finance" and v["state"] in ("CA", "WA")
        ),
    )


@on_kinds("results are sorted by several keys in the order given", "STATE-77")
def sorting():
    by_id = sorted(DATA, key=lambda k: DATA[k]["person"]["id"])
    equal(keys({"sort": [{"key": "person.id"}]}), by_id)
    equal(keys({"sort": [{"key": "person.id", "order": "ASC"}]}), by_id)
    equal(
        keys({"filter": {"EQ": {"state": "CA"}}, "sort": [{"key": "person.id", "order": "DESC"}]}), ["3", "7", "5", "9"]
    )
    by_state = sorted(sorted(DATA, key=lambda k: DATA[k]["person"]["id"]), key=lambda k: DATA[k]["state"], reverse=True)
    equal(keys({"sort": [{"key": "state", "order": "DESC"}, {"key": "person.id"}]}), by_state)


@on_kinds("pages follow each other until nothing is left", "STATE-78 STATE-80 STATE-82 STATE-90")
def paging():
    query = {
        "filter": {
            "OR": [
                {"EQ": {"person.org": "Dev Ops"}},
                {"AND": [{"EQ": {"person.org": "Finance"}}, {"IN": {"state": ["CA", "WA"]}}]},
            ]
        },
        "sort": [{"key": "state", "order": "DESC"}, {"key": "person.id"}],
    }
    whole = keys(query)
    pages, tokens, token = [], [], None
    for _ in range(9):
        answer = ask({**query, "page": {"limit": 3, **({"token": token} if token else {})}})
        pages.append([item["key"] for item in answer["results"]])
        token = answer.get("token")
        tokens.append(token)
        if not token or not answer["results"]:
            break
    equal(list(itertools.chain(*pages)), whole)
    equal((len(pages[0]), tokens[:1]), (3, ["3"]))
    need(all(len(page) <= 3 for page in pages), f"{pages}")
    if len(tokens) > 1 and tokens[1]:
        equal(tokens[1], "6")


@on_kinds("PUT is as good as POST and request metadata is taken", "STATE-06 STATE-07 X-STATE-03")
def put():
    path = "/v1.0-alpha1/state/people/query?metadata.contentType=application/json"
    reply = store().sidecar.call("PUT", path, {"filter": {"EQ": {"state": "NY"}}})
    equal([item["key"] for item in reply.json["results"]], ["10"])


@on_kinds("expired and deleted entries are not found", "STATE-44 STATE-81")
def gone():
    path = {"EQ": {"city": "Gone"}}
    equal(store().save("x", {"city": "Gone"}).status, 204)
    DATA["x"] = {"city": "Gone"}
    equal(keys({"filter": path}), ["x"])
    del DATA["x"]
    equal(store().delete("x").status, 204)
    equal(keys({"filter": path}), [])


@on_kinds("malformed queries are answered in words", "STATE-83 X-STATE-05")
def malformed():
    deep = {"EQ": {"a": 1}}
    for _ in range(300):
        deep = {"AND": [deep, deep]} if _ == 0 else {"AND": [deep, {"EQ": {"a": 1}}]}
    for query in (
        "",
        "{",
        "[]",
        '"x"',
        {"filter": {"LIKE": {"a": 1}}},
        {"filter": {"EQ": 1}},
        {"filter": {"AND": {}}},
        {"sort": [{"order": "ASC"}]},
        {"sort": [{"key": "a", "order": "UP"}]},
        {"page": {"limit": "x"}},
        {"page": {"token": "banana", "limit": 1}},
        {"filter": {"IN": {"a": 1}}},
        {"filter": deep},
    ):
        reply = store().query(query)
        need(
            400 <= reply.status <= 500 and reply.json["errorCode"] in ("ERR_MALFORMED_REQUEST", "ERR_STATE_QUERY"),
            f"{json.dumps(query)[:80]}: {reply}",
        )
    equal(len(keys({})), len(DATA), "and the store still answers")


@test("stores without queries say so", "STATE-81 X-STATE-05")
def refused():
    reply = Store(sidecar(1), "mem").query({"filter": {}})
    equal(
        (reply.status, reply.json["errorCode"], reply.json["message"]),
        (500, "ERR_STATE_STORE_NOT_SUPPORTED", "state store does not support querying"),
    )
    reply = Store(sidecar(1), "red").query({"filter": {}})
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_STATE_QUERY"))
    reply = Store(sidecar(1), "none").query({"filter": {}})
    equal((reply.status, reply.json["errorCode"]), (400, "ERR_STATE_STORE_NOT_FOUND"))


@on_kinds("ten thousand results come in one answer", "STATE-73 STATE-80")
def many():
    one = Store(Sidecar(document(_kind[0], "many")), "people")
    equal(one.save_raw([{"key": f"k{i:05}", "value": {"i": i}} for i in range(10_000)]).status, 204)
    reply = one.query({"filter": {"LT": {"i": 9_999}}, "sort": [{"key": "i", "order": "DESC"}]})
    equal([item["data"]["i"] for item in reply.json["results"]], list(range(9_998, -1, -1)))


if __name__ == "__main__":
    main()
