# SPDX-License-Identifier: Apache-2.0
"""A private Apicurio Registry, which speaks as Confluent's does, with all it knows in memory; it takes some seconds to
start, so that a program of tests has one. A Door stands in front of it where a test wants to count questions, to ask for
a login, to speak TLS or to have trouble: the door is ours, what it lets through is answered by the registry."""
import base64
import json
import os
import shutil
import urllib.error
import urllib.request

from http_app import App, answer
from remora import Folder, Process, Skip, eventually, free_port

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACE = os.path.join(TOP, "build", "schema-registry")
START_S = 120  # on a loaded machine
KIND = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry:
    def __init__(self):
        jars = [name for name in os.listdir(PLACE) if name.endswith("-runner.jar")] if os.path.isdir(PLACE) else []
        if shutil.which("java") is None or not jars:
            raise Skip("the schema registry is not in build/schema-registry, `make deps-test` puts it there")
        self.folder = Folder()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        # Started often and used little: no time for the optimising compiler.
        command = ["java", "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                   f"-Djava.io.tmpdir={self.folder.path}", "-jar", os.path.join(PLACE, jars[0])]
        environment = {"PATH": os.environ["PATH"], "HOME": self.folder.path, "QUARKUS_HTTP_HOST": "127.0.0.1",
                       "QUARKUS_HTTP_PORT": str(self.port), "QUARKUS_LOG_LEVEL": "WARN"}
        self.process = Process(command, self.folder, env=environment)
        eventually(self.answers, "the schema registry answers", START_S)

    def answers(self):
        if not self.process.is_alive():
            raise AssertionError(f"the schema registry has ended:\n{self.process.log()[-3000:]}")
        try:
            return self.ask("GET", "/subjects")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None):
        """Status and body."""
        request = urllib.request.Request(self.url + path, body, {"Content-Type": KIND}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def register(self, topic, schema):
        """The id of a schema of the topic's values, which is the latest then."""
        status, body = self.ask("POST", f"/subjects/{topic}-value/versions", json.dumps({"schema": json.dumps(schema)}).encode())
        if status != 200:
            raise AssertionError(f"the registry does not take {schema}: {status} {body}")
        return json.loads(body)["id"]


class Door(App):
    """`login`: "name:password" that is asked for. `trouble(request)`: an answer instead of the registry's, or None."""

    def __init__(self, registry, login=None, tls=None):
        self.registry, self.login, self.trouble = registry, login, lambda request: None
        super().__init__(self.let_through, tls=tls)
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def let_through(self, request, exchange):
        troubled = self.trouble(request)
        if troubled is not None:
            return troubled
        wanted = self.login and "Basic " + base64.b64encode(self.login.encode()).decode()
        if wanted and request.header("Authorization") != wanted:
            return answer(401, b'{"error_code":40101,"message":"who are you?"}')
        status, body = self.registry.ask(request.method, request.target)
        return answer(status, body, [("Content-Type", KIND)])

    def paths(self):
        return [request.target for request in self.requests]
