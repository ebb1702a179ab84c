# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Every exchange of recordings/publish.json, replayed against a sidecar with a real Redis server: answers of the publish
API, and the requests that the subscribed application got. What differs on purpose is a row of DIFFERENCES with its
reason."""

from publish_recordings import Setup, as_recorded, check, counts, entries, received_problems, replay
from remora import component, equal, eventually, main, test

# --- what the application says to /dapr/subscribe ---------------------------------------------------------------------

SUBSCRIPTION = {"pubsubname": "bus", "topic": "t"}
ROUTED = {**SUBSCRIPTION, "route": "/x"}
BAD_RULE = {"rules": [{"match": "event.type ==", "path": "/x"}]}
MARKED = """apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata:
  name: marked
spec:
  pubsubname: bus
  topic: marked
  route: /marked
"""
# The end of an entry's name: the answer, and what of the recorded list in the metadata is not ours.
SUBSCRIBE = {
    "404": (b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", None),
    "garbage": (b"HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\n{{", None),
    "null": (b"HTTP/1.1 200 x\r\nContent-Length: 4\r\n\r\nnull", None),
    "unknown pubsub": ([{**ROUTED, "pubsubname": "ghost"}], None),
    "no route": ([SUBSCRIPTION], None),
    "empty topic": ([{**ROUTED, "topic": ""}], "a subscription to no topic is none"),
    "bad rule": ([{**SUBSCRIPTION, "routes": BAD_RULE}], None),
    "duplicate": ([ROUTED, {**ROUTED, "route": "/y"}], None),
    "relative route and empty rules": ([{**SUBSCRIPTION, "routes": {"rules": []}}], None),
}


@test("publishing and delivering is as recorded", "REPLAY PUB")
def plain():
    replay("P")


@test("an inbound policy retries as recorded", "REPLAY PUB RES")
def policy():
    replay("PR")


@test("the application is asked as recorded, with its token", "REPLAY PUB")
def asked():
    bad = []
    for entry in entries():
        name = entry["setup"]
        if "received" not in entry or "request" in entry:
            continue
        failing = b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"
        setup = Setup(name, subscriptions=failing if name == "PT" else [], resources=[])
        wanted = entry["received"]["app"]
        equal([request.target for request in setup.app.asked], [request["target"] for request in wanted])
        for one, got in zip(wanted, setup.app.asked):
            bad += received_problems(one, as_recorded(got))
        for line in entry.get("log", []):
            eventually(lambda: not setup.logged([line]), f"logged: {line}")
        counts["same"] += 1
        setup.sidecar.end()
    equal(bad, [])


def subscribed(entry):
    answer, reason = SUBSCRIBE[entry["name"].partition("answered ")[2]]
    setup = Setup("P", subscriptions=answer, resources=[component("bus", "pubsub.in-memory"), MARKED])
    setup.marked = "marked"
    setup.marker()
    wanted = entry["note"]["subscriptions in metadata"] or []
    got = [topic for topic in setup.sidecar.metadata()["subscriptions"] if topic["topic"] != "marked"]
    differs = [] if got == ([] if reason else wanted) else [f"{entry['name']}: subscriptions {got}, not {wanted}"]
    return differs + check(setup, entry)


@test("answers to /dapr/subscribe lead to the recorded subscriptions", "REPLAY PUB")
def subscriptions():
    bad = []
    for entry in entries():
        if "note" in entry:
            bad += subscribed(entry)
    for line in bad:
        print("  " + line)
    equal(len(bad), 0, "differences")


@test("every exchange was compared", "REPLAY")
def all_compared():
    print("  " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    equal((sum(counts.values()), counts["unexplained"]), (len(entries()), 0))


if __name__ == "__main__":
    main()
