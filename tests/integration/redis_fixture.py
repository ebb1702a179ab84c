# SPDX-License-Identifier: Apache-2.0
"""A redis-server and a sidecar of a test's own, for the tests of the Redis plugin through the whole product."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from remora import DEADLINE_S, free_port

BUILD = os.environ.get("REMORA_BUILD", "build")


def wait_for(port):
    end = time.monotonic() + 2 * DEADLINE_S
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
            return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"nothing listens on {port}")


def component(name, redis_port, extra=""):
    return f"""apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: {name}
spec:
  type: state.redis
  version: v1
  metadata:
  - name: redisHost
    value: "127.0.0.1:{redis_port}"
{extra}---
"""


class Redis:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="redis")
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--save", "", "--dir", self.dir],
                                        stdout=subprocess.DEVNULL)
        wait_for(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True).stdout.strip()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir)


class Sidecar:
    """remorad with the given component documents."""

    def __init__(self, documents, *flags, wait=True):
        self.dir = tempfile.mkdtemp(prefix="sidecar")
        self.port = free_port()
        resources = os.path.join(self.dir, "resources")
        os.mkdir(resources)
        with open(os.path.join(resources, "components.yaml"), "w") as f:
            f.write(documents)
        self.log_path = os.path.join(self.dir, "log")
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [f"{BUILD}/bin/remorad", "--app-id", "shop", "--dapr-http-port", str(self.port), "--metrics-port", "0", "--dapr-grpc-port", "0",
                 "--resources-path", resources, *flags], stdout=log, stderr=log)
        if wait:
            wait_for(self.port)
            self.wait_until_healthy()

    def wait_until_healthy(self):
        end = time.monotonic() + 2 * DEADLINE_S
        while self.ask("GET", "/v1.0/healthz")[0] != 204:
            if time.monotonic() > end:
                raise SystemExit("the sidecar does not become healthy\n" + self.log())
            time.sleep(0.01)

    def ask(self, method, target, body=None, timeout=2 * DEADLINE_S):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="surrogateescape")
        finally:
            connection.close()

    def metadata(self):
        return json.loads(self.ask("GET", "/v1.0/metadata")[1])

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(2 * DEADLINE_S)
        shutil.rmtree(self.dir)
