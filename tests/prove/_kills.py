# SPDX-License-Identifier: Apache-2.0
"""What experiments with kills share: a broker, a sidecar and an application that writes down what it is given, all of which
die and come back while messages are published, over pub/sub or through a binding."""
import collections
import glob
import http.client
import json
import re
import threading
import time

import _prove
import remora
import sdk_programs
from _prove import by_length

MESSAGES = by_length(1500, 50_000, 200_000)  # of each broker
PUBLISHERS = 4
KILLS = by_length(6, 40, 160)
SETTLE_S = by_length(300, 60, 60)
TROUBLE = re.compile(r"warn|err|fatal|drop|lost|crash", re.I)
rng = _prove.rng


class Bed:
    """One durable broker, a sidecar, its application; each can be killed and comes back as it was. The component is a
    broker `bus`, or with `binding` a binding `bell`, whose events go to the application."""

    def __init__(self, plugin, component, server=None, streams=False, binding=False, size=(MESSAGES, KILLS)):
        self.plugin, self.server, self.streams, self.binding = plugin, server, streams, binding
        self.messages, self.kill_count = size
        self.name = f"{plugin}, streams" if streams else plugin
        self.folder = remora.Folder()
        self.written = self.folder / "written"
        self.app_port, self.grpc_port = remora.free_port(), remora.free_port()
        self.app = self.start_app()
        route = json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": "s"},
                            "spec": {"pubsubname": "bus", "topic": "orders", "routes": {"default": "/orders"}}})
        routes = [] if streams or binding else [route]
        flags = ["--dapr-grpc-port", str(self.grpc_port)] + ([] if streams else ["--app-port", str(self.app_port)])
        self.sidecar = remora.Sidecar(component, *routes, folder=self.folder, flags=flags)
        self.kills = collections.Counter()
        self.started = time.monotonic()
        self.timeline = []  # what was killed, when, and when it was back

    def start_app(self):
        program, port, python = "_subscriber.py", self.app_port, remora.sys.executable
        if self.streams:
            program, port, python = "_stream_subscriber.py", self.grpc_port, sdk_programs.PYTHON
        env = dict(remora.os.environ, PYTHONPATH=remora.os.path.join(_prove.TOP, "tests", "lib"))
        return remora.Process([python, remora.os.path.join(_prove.TOP, "tests", "prove", program), str(port), self.written],
                              self.folder, env=env)

    def kill(self):
        """One of them, and what of it does not come back by itself is started again."""
        what = rng.choice(["kernel", "plugin", "subscriber"] + (["server"] if self.server else []))
        self.kills[what] += 1
        killed_s = self.seconds()
        self.kill_this(what)
        self.timeline.append(f"{what} {killed_s:.3f} to {self.seconds():.3f}")

    def kill_this(self, what):
        if what == "kernel":
            self.sidecar.kill()
            command = self.sidecar.popen.args
            remora.Process.__init__(self.sidecar, command, self.folder, env={"PATH": remora.os.environ["PATH"]})
            self.sidecar.wait_ready(60)
        elif what == "plugin":
            remora.eventually(self.kill_plugin, f"{self.plugin} is killed")
        elif what == "subscriber":
            self.app.kill()
            self.app = self.start_app()
        else:
            self.server.stop()
            self.server.start()

    def seconds(self):
        return time.monotonic() - self.started

    def kill_plugin(self):
        """Not one that has just gone, and whose end the kernel has not seen yet."""
        try:
            remora.os.kill(self.sidecar.plugin_pid(self.plugin), remora.signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def request(self, n):
        """Where a message is published, and with which body."""
        if self.binding:
            return "/v1.0/bindings/bell", json.dumps({"operation": "create", "data": n})
        return "/v1.0/publish/bus/orders", str(n)

    def publish(self, first, acknowledged):
        connection = None
        for n in range(first, self.messages, PUBLISHERS):
            while True:
                try:
                    connection = connection or http.client.HTTPConnection(*self.sidecar.address, timeout=5)
                    target, body = self.request(n)
                    connection.request("POST", target, body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 204:
                        break
                except (OSError, http.client.HTTPException):
                    connection = None
                time.sleep(0.02)
            acknowledged[n] = self.seconds()

    def counts(self):
        try:
            with open(self.written) as f:
                return collections.Counter(int(line.split()[1]) for line in f if line.endswith("\n"))
        except FileNotFoundError:
            return collections.Counter()

    def explain(self, lost, acknowledged):
        """What is needed to find out whose a loss is: which kill was near it, and what everybody said in their lives."""
        _prove.say(f"kills: {'; '.join(self.timeline)}")
        _prove.say("lost, and when acknowledged: " + ", ".join(f"{n} {acknowledged[n]:.3f}" for n in lost[:20]))
        for folder in [self.folder] + ([self.server.folder] if hasattr(self.server, "folder") else []):
            for log in sorted(glob.glob(folder / "log-*")):
                with open(log, errors="replace") as f:
                    lines = [line.rstrip() for line in f if TROUBLE.search(line)]
                _prove.say(f"{log}: {len(lines)} lines of trouble")
                for line in lines[:20] + lines[20:][-20:]:
                    _prove.say("  " + line[:300])

    def run(self, claims):
        acknowledged = {}  # when
        threads = [threading.Thread(target=self.publish, args=(i, acknowledged), daemon=True) for i in range(PUBLISHERS)]
        for thread in threads:
            thread.start()
        for kill in range(self.kill_count):  # spread over the messages, the last ones while what is left is delivered
            remora.eventually(lambda: len(acknowledged) >= self.messages * min(kill, self.kill_count - 2) // (self.kill_count - 1) or
                              not any(thread.is_alive() for thread in threads), "more messages are published", 300)
            self.kill()
        for thread in threads:
            thread.join(300)
        claims.holds(f"{self.name}: everything is published in the end", len(acknowledged) == self.messages)
        expected = set(acknowledged)
        try:
            remora.eventually(lambda: expected <= self.counts().keys(), "all that was acknowledged is delivered", SETTLE_S)
        except AssertionError:
            pass  # told below
        counts = self.counts()
        lost = sorted(expected - counts.keys())
        more = sum(counts.values()) - len(counts)
        kills = ", ".join(f"{what} {count}" for what, count in sorted(self.kills.items()))
        claims.at_most(f"{self.name}: lost of {len(expected)} messages, kills of {kills}", len(lost), 0, digits=0)
        if lost:
            self.explain(lost, acknowledged)
        _prove.say(f"{self.name}: {more} came more than once")
        remora.end_all()
        return len(lost), more
