# SPDX-License-Identifier: Apache-2.0
"""An application that takes events of input bindings over HTTP, and what tests of bindings of brokers ask it and a sidecar."""
import json
import os
import signal
import threading

from http_app import App, answer
from remora import eventually

LONG_S = 60  # a loaded machine


class Events(App):
    """`verdict(name, body)` gives the status of the answer; OPTIONS is answered 200."""

    def __init__(self, verdict=None):
        self.verdict = verdict or (lambda name, body: 200)
        self.got, self.lock = [], threading.Lock()
        super().__init__(self.take)

    def take(self, request, exchange):
        if request.method == "OPTIONS":
            return answer(200)
        status = self.verdict(request.target[1:], request.body)
        with self.lock:
            self.got.append((request.target[1:], request.body, status, request))
        return answer(status)

    def taken(self, name):
        """What was handled, in its order."""
        with self.lock:
            return [body for target, body, status, _ in self.got if target == name and status == 200]

    def tried(self, name):
        with self.lock:
            return [body for target, body, _, _ in self.got if target == name]

    def request(self, body):
        """The first that came with it."""
        with self.lock:
            return next(request for _, got, _, request in self.got if got == body)


def invoke(sidecar, name, data=None, operation="create", **metadata):
    body = {"operation": operation, "metadata": metadata}
    if data is not None:
        body["data"] = data
    return sidecar.call("POST", f"/v1.0/bindings/{name}", json.dumps(body), timeout=LONG_S)


def kill_plugin(sidecar, plugin):
    """And waits for the next one."""
    before = sidecar.plugin_pid(plugin)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: sidecar.plugins()[plugin]["pid"] not in (None, 0, before), "another process serves", LONG_S)
