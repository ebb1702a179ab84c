#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Redis store through the whole product when its server or its process goes away."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from redis_fixture import DEADLINE_S, Redis, Sidecar, component, free_port



def save(sidecar, key, value):
    return sidecar.ask("POST", "/v1.0/state/red", json.dumps([{"key": key, "value": value}]))


def until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def an_outage_is_told_and_ends(redis):
    # Of those that find no server each waits so long for it; those that have one have all the time they need.
    quick = "  - name: dialTimeout\n    value: 1s\n  - name: readTimeout\n    value: 30s\n"
    sidecar = Sidecar(component("red", redis.port, quick))
    try:
        assert save(sidecar, "k", 1) == (204, "")
        redis.kill()
        status, body = save(sidecar, "k", 2)
        assert status in (500, 503) and "ERR_STATE_SAVE" in body, (status, body)
        status, body = sidecar.ask("GET", "/v1.0/state/red/k")
        assert status in (500, 503) and "ERR_STATE_GET" in body and "connection refused" in body, (status, body)
        redis.start()
        until(lambda: save(sidecar, "k", 3)[0] == 204, "the store comes back")
        assert sidecar.ask("GET", "/v1.0/state/red/k") == (200, "3")
    finally:
        sidecar.close()


def a_frozen_server_times_out(redis):
    sidecar = Sidecar(component("red", redis.port, "  - name: readTimeout\n    value: 5s\n"))
    try:
        assert save(sidecar, "k", 1)[0] == 204
        redis.process.send_signal(signal.SIGSTOP)
        status, body = save(sidecar, "k", 2)
        redis.process.send_signal(signal.SIGCONT)
        assert status in (500, 503) and "i/o timeout" in body, (status, body)
        until(lambda: save(sidecar, "k", 3)[0] == 204, "the store comes back")
    finally:
        redis.process.send_signal(signal.SIGCONT)
        sidecar.close()


def a_killed_plugin_is_replaced(redis):
    sidecar = Sidecar(component("red", redis.port))
    try:
        assert save(sidecar, "k", 1)[0] == 204
        before = sidecar.metadata()["remora"]["plugins"][0]["pid"]
        os.kill(before, signal.SIGKILL)
        until(lambda: sidecar.ask("GET", "/v1.0/state/red/k") == (200, "1"), "reads work again")
        assert sidecar.metadata()["remora"]["plugins"][0]["pid"] != before
    finally:
        sidecar.close()


def a_store_without_a_server_ends_the_start(redis):
    port = free_port()
    sidecar = Sidecar(component("red", port), wait=False)
    try:
        assert sidecar.process.wait(2 * DEADLINE_S) == 1
        cause = (f"redis store: error connecting to redis at 127.0.0.1:{port}: dial tcp 127.0.0.1:{port}: connect: "
                 "connection refused")
        assert cause in sidecar.log(), sidecar.log()
    finally:
        sidecar.close()


def a_password_is_never_logged(redis):
    redis.cli("config", "set", "requirepass", "s3cret-word")
    sidecar = Sidecar(component("red", redis.port, "  - name: redisPassword\n    value: wr0ng-word\n"), wait=False)
    try:
        assert sidecar.process.wait(2 * DEADLINE_S) == 1
        assert "WRONGPASS" in sidecar.log() and "wr0ng-word" not in sidecar.log(), sidecar.log()
    finally:
        sidecar.close()
    sidecar = Sidecar(component("red", redis.port, "  - name: redisPassword\n    value: s3cret-word\n"),
                      "--log-level", "debug")
    try:
        assert save(sidecar, "k", 1)[0] == 204
        assert "s3cret-word" not in sidecar.log()
    finally:
        sidecar.close()
        redis.cli("-a", "s3cret-word", "config", "set", "requirepass", "")


def many_at_once_and_large_ones(redis):
    sidecar = Sidecar(component("red", redis.port))
    try:
        items = [{"key": f"k{i}", "value": i} for i in range(2000)]
        assert sidecar.ask("POST", "/v1.0/state/red", json.dumps(items))[0] == 204
        status, body = sidecar.ask("POST", "/v1.0/state/red/bulk", json.dumps({"keys": [i["key"] for i in items]}))
        assert status == 200
        assert sorted(i["data"] for i in json.loads(body)) == list(range(2000))
        large = "x" * 3_000_000
        assert save(sidecar, "large", large)[0] == 204
        assert sidecar.ask("GET", "/v1.0/state/red/large") == (200, json.dumps(large))
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(lambda i: save(sidecar, f"p{i}", i)[0] == 204, range(400)))
        operations = [{"operation": "upsert", "request": {"key": f"t{i}", "value": i}} for i in range(1000)]
        assert sidecar.ask("POST", "/v1.0/state/red/transaction", json.dumps({"operations": operations}))[0] == 204
        assert redis.cli("hget", "shop||t999", "data") == "999"
    finally:
        sidecar.close()


def main():
    if not shutil.which("redis-server"):
        print("skipped: redis-server is not installed", file=sys.stderr)
        print("0 passed, 0 failed, 1 skipped")
        return 0
    tests = [an_outage_is_told_and_ends, a_frozen_server_times_out, a_killed_plugin_is_replaced,
             a_store_without_a_server_ends_the_start, a_password_is_never_logged, many_at_once_and_large_ones]
    passed = failed = 0
    redis = Redis()
    try:
        for test in tests:
            print(f"- {test.__name__}", file=sys.stderr)
            try:
                if redis.process.poll() is not None:
                    redis.start()
                test(redis)
                passed += 1
            except (AssertionError, SystemExit, OSError, subprocess.TimeoutExpired) as e:
                failed += 1
                print(f"  {type(e).__name__}: {e}", file=sys.stderr)
    finally:
        redis.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
