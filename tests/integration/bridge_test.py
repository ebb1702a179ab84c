#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pluggable components of Dapr's protocol behind sockets, used unmodified through the bridge: an independent component
on grpcio (tests/lib/pluggable.py) of every kind, late, killed and back, two of one type, and answering nonsense."""

import sdk  # noqa: F401  isort: skip

import json
import os
import threading

from http_app import App, answer
from inbox import Inbox, subscription
from pluggable import Pluggable
from remora import Folder, Sidecar, Store, component, equal, eventually, main, need, test


class Bed:
    """A folder for sockets, and sidecars that look there."""

    def __init__(self):
        self.folder = Folder()

    def pluggable(self, name, kinds, **more):
        return Pluggable(self.folder, name, kinds, **more)

    def sidecar(self, *resources, **more):
        env = {"PATH": os.environ["PATH"], "DAPR_COMPONENTS_SOCKETS_FOLDER": self.folder.path}
        return Sidecar(*resources, env=env, **more)


@test("a state store behind a socket keeps values, etags and options", "BRIDGE-STATE")
def _():
    bed = Bed()
    store = bed.pluggable("memory", "state")
    sidecar = bed.sidecar(component("s", "state.memory", {"host": "h1", "a": "b"}))
    s = Store(sidecar, "s")
    equal(store.log("StateStore.Init"), [["s", {"host": "h1", "a": "b"}]] if False else [("s", {"host": "h1", "a": "b"})])
    equal(s.get("nothing").status, 204)
    equal(s.save("k", None, raw='{"b": 12345678901234567890,"a":"<"}').status, 204)
    got = s.get("k")
    equal((got.status, got.text, got.header("etag")), (200, '{"b": 12345678901234567890,"a":"<"}', "1"))
    print(s.save("k", 2, etag="7"))


main()
