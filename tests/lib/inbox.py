# SPDX-License-Identifier: Apache-2.0
"""An application with topics that remembers what it was given, and documents that subscribe it."""

import itertools
import json
import threading

from http_app import App, answer
from remora import eventually


class Inbox(App):
    """`verdict(topic, data)` gives the status of its answer."""

    def __init__(self, verdict=None):
        self.verdict = verdict or (lambda topic, data: 200)
        self.got, self.lock = [], threading.Lock()
        super().__init__(self.take_event)

    def take_event(self, request, exchange):
        topic, data = request.target[1:], json.loads(request.body)["data"]
        status = self.verdict(topic, data)
        with self.lock:
            self.got.append((topic, data, status))
        return answer(status, b"")

    def taken(self, topic="orders"):
        """The data of what was accepted."""
        with self.lock:
            return [data for name, data, status in self.got if name == topic and status == 200]

    def tried(self, topic="orders"):
        with self.lock:
            return [data for name, data, _ in self.got if name == topic]


def until_all_work(had, send, at_once=1, seconds=None):
    """Instances of an application come to share its topic one after the other: sends 0, 1, … until each of them has had
    some. `had()` says what, a list for each. The next number."""
    numbers = itertools.count()

    def all_work():
        some = list(itertools.islice(numbers, at_once))
        for number in some:
            send(number)
        eventually(lambda: set(some) <= set().union(*had()), "they have what was sent", seconds)
        return all(had())

    eventually(all_work, "all of them work", seconds)
    return next(numbers)


def subscription(topic, dead=None, pubsub="bus", route=None, metadata=None):
    name = "".join(c for c in f"{pubsub}-{topic}".lower() if c.isalnum() or c == "-")
    lines = ["apiVersion: dapr.io/v2alpha1", "kind: Subscription", "metadata:", f"  name: {name}", "spec:"]
    lines += [f"  pubsubname: {pubsub}", f"  topic: {json.dumps(topic)}", "  routes:", f"    default: /{route or topic}"]
    lines += [f"  deadLetterTopic: {dead}"] if dead else []
    lines += ["  metadata:", *(f"    {name}: {json.dumps(value)}" for name, value in metadata.items())] if metadata else []
    return "\n".join(lines) + "\n"
