# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Exchanges of recordings/invoke.json, replayed against one sidecar that is asked for its own application."""

from invoke_recordings import check_response, compare, counts, entries, replay
from remora import equal, main, need, test


@test("recorded invocations of an application are answered as recorded", "INV-12 INV-13 INV-16 INV-17 INV-20 INV-22")
def invocations():
    replay("I")


@test("recorded invocations of itself are answered as recorded", "INV-12 INV-16")
def of_itself():
    setup = replay("IS")
    setup.app.stop()
    entry = next(entry for entry in entries() if entry["name"] == "self, app down")
    problems = []
    check_response(entry["response"], setup.exchange(entry), setup, problems)
    equal(problems, [])
    counts["of the mesh"] -= 1
    counts["same"] += 1


@test("recorded invocations with tokens: the application gets its own and no other", "INV-26 §7")
def with_tokens():
    setup = replay("IT")
    asked = next(entry for entry in entries() if entry["name"].startswith("start requests"))["received"]["app"][0]
    problems = []
    got = setup.app.asked[0]
    equal((got.method, got.target), (asked["method"], asked["target"]))
    wanted = [(n.lower(), v) for n, v in asked["headers"] if n not in ("Host", "User-Agent", "Accept-Encoding")]
    compare(wanted, [(n.lower(), v) for n, v in got.headers if n != "Host"], "application", problems)
    equal(problems, [])


@test("enough was compared, and every difference has a reason", "INV-12")
def all_compared():
    counts["not yet"] = sum(entry["setup"] in ("IE", "IM") for entry in entries())
    print("  " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    equal(counts["unexplained"], 0)
    need(counts["same"] >= 110, "most are the same")


if __name__ == "__main__":
    main()
