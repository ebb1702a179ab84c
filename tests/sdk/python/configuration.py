# SPDX-License-Identifier: Apache-2.0
"""Configuration with the official Python SDK: python configuration.py STORE. Says what it waits for, so that whoever
writes the store knows when to; ends with 0 when every answer was the right one."""

import sys
import threading

from dapr.clients import DaprClient

store = sys.argv[1]
arrived, seen = threading.Condition(), []


def handler(id, response):
    with arrived:
        seen.extend((id, key, item.value, item.version) for key, item in response.items.items())
        arrived.notify_all()


def wait_for(key, value):
    print(f"waiting for {key}={value}")
    with arrived:
        assert arrived.wait_for(lambda: any(s[1:3] == (key, value) for s in seen), 40), seen


with DaprClient() as d:
    got = d.get_configuration(store_name=store, keys=["orderId1", "orderId2", "none"])
    assert {k: (i.value, i.version) for k, i in got.items.items()} == {"orderId1": ("101", "1"), "orderId2": ("102", "1")}
    assert "orderId1" in d.get_configuration(store_name=store, keys=[], config_metadata={}).items
    id = d.subscribe_configuration(store_name=store, keys=["orderId1", "orderId2"], handler=handler, config_metadata={})
    assert id
    wait_for("orderId1", "103")
    wait_for("orderId2", "104")
    assert {s[0] for s in seen} == {id} and {s[1] for s in seen} <= {"orderId1", "orderId2"}, seen
    assert d.unsubscribe_configuration(store_name=store, id=id)
    assert not d.unsubscribe_configuration(store_name=store, id=id)
print("all is well")
