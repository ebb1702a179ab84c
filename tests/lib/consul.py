# SPDX-License-Identifier: Apache-2.0
"""A Consul agent for tests. `CONSUL` names a real one's executable (or it is `consul` on the PATH): then that is started,
in development mode. Without it this is a DECLARED WIRE FAKE of the five requests the resolver makes: its statuses,
headers and bodies were taken from a real agent, version 1.21.0, that answered the same tests; the tests that hold for
both run against both. `tests/prove/consul.py` builds the real one and runs them there."""
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from remora import DEADLINE_S, Folder, _live, eventually, free_port

REAL = os.environ.get("CONSUL") or shutil.which("consul")


class RealAgent:
    is_real = True

    def __init__(self, token=None, port=None):
        self.port = port or free_port()
        self.token = token
        self.folder = Folder()
        settings = {"ports": {"http": self.port, "dns": -1, "grpc": -1, "grpc_tls": -1, "serf_lan": free_port(),
                              "serf_wan": -1, "server": free_port()}}
        if token:
            settings["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"initial_management": token}}
        path = self.folder.write("agent.json", json.dumps(settings))
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen([REAL, "agent", "-dev", "-bind", "127.0.0.1", "-node", "test", "-config-file", path],
                                        stdout=self.log, stderr=self.log)
        _live.append(self)
        eventually(self.is_up, "the agent has a leader", 60)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def is_up(self):
        try:
            return self.ask("GET", "/v1/agent/services") is not None and len(self.ask("GET", "/v1/catalog/nodes")) == 1
        except (OSError, urllib.error.URLError):
            return False

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"http://{self.address}{path}", method=method,
                                         data=json.dumps(body).encode() if body is not None else None)
        if self.token:
            request.add_header("X-Consul-Token", self.token)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
            text = reply.read()
            return json.loads(text) if text else None

    def services(self):
        """As the agent lists them: by id."""
        return self.ask("GET", "/v1/agent/services")

    def checks(self):
        return self.ask("GET", "/v1/agent/checks")

    def register(self, service):
        self.ask("PUT", "/v1/agent/service/register", service)

    def deregister(self, id_):
        self.ask("PUT", f"/v1/agent/service/deregister/{id_}")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class FakeAgent(RealAgent):
    is_real = False

    def __init__(self, token=None, port=None, tls=None):
        """`tls` is an ssl.SSLContext."""
        self.port = port or free_port()
        self.token = token
        self.requests = []  # method, path and headers of each
        self.fault = None  # a status that everything is answered with
        self.by_id = {}
        self.index = 10
        self.news = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # those who ask go when they like
        self.connections = []
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        _live.append(self)

    # What a request does; called with `news` held.

    def put(self, path, body):
        if path == "/v1/agent/service/register":
            try:
                service = {name.lower(): value for name, value in json.loads(body).items()}
            except (ValueError, AttributeError):
                return 400, "Request decode failed: EOF"
            if not service.get("name"):
                return 400, "Missing service name"
            if not isinstance(service.get("tags", []), list):
                return 400, ("Request decode failed: json: cannot unmarshal string into Go struct field .Alias.Tags of type "
                             "[]string")
            self.by_id[service.get("id") or service["name"]] = service
        elif path.startswith("/v1/agent/service/deregister/"):
            id_ = unquote(path.rsplit("/", 1)[1])
            if self.by_id.pop(id_, None) is None:
                return 404, f'Unknown service ID "{id_}". Ensure that the service ID is passed, not the service name.'
        else:
            return 404, ""
        self.index += 1
        self.news.notify_all()
        return 200, ""

    def get(self, path, query):
        if path == "/v1/agent/self":
            return 200, {"Config": {"Datacenter": "dc1", "NodeName": "test", "Version": "1.21.0"}}
        if path == "/v1/agent/services":
            return 200, {id_: self.described(id_) for id_ in self.by_id}
        if path == "/v1/agent/checks":
            return 200, {check["checkid"]: {"CheckID": check["checkid"], "Name": check["name"]}
                         for service in self.by_id.values() for check in checks_of(service)}
        if path.startswith("/v1/agent/service/"):
            id_ = unquote(path.rsplit("/", 1)[1])
            return (200, self.described(id_)) if id_ in self.by_id else (404, f"unknown service ID: {id_}")
        if path.startswith("/v1/health/service/"):
            until = time.monotonic() + int(query.get("wait", ["60s"])[0].rstrip("s"))
            asked = int(query.get("index", ["0"])[0])
            while asked == self.index and time.monotonic() < until:
                self.news.wait(until - time.monotonic())
            name = unquote(path.rsplit("/", 1)[1])
            return 200, [{"Node": {"Node": "test", "Address": "127.0.0.1", "Datacenter": "dc1"}, "Service": self.described(id_)}
                         for id_, service in self.by_id.items() if service["name"] == name and is_passing(service)]
        return 404, ""

    def described(self, id_):
        service = self.by_id[id_]
        return {"ID": id_, "Service": service["name"], "Tags": service.get("tags") or [], "Meta": service.get("meta") or {},
                "Port": service.get("port", 0), "Address": service.get("address", ""), "EnableTagOverride": False,
                "Weights": {"Passing": 1, "Warning": 1}, "Datacenter": "dc1"}

    def end(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def checks_of(service):
    checks = list(service.get("checks") or []) + ([service["check"]] if service.get("check") else [])
    return [{name.lower(): value for name, value in check.items()} for check in checks]


def is_passing(service):
    """A check that has not run yet is critical unless its registration says otherwise."""
    return all(check.get("status") == "passing" for check in checks_of(service))


def _handler(agent):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            agent.connections.append(self.request)
            super().setup()

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            with agent.news:
                agent.requests.append((self.command, self.path, dict(self.headers.items())))
                if agent.fault is not None:
                    status, reply = agent.fault, "rpc error making call: No cluster leader"
                elif agent.token and self.headers.get("X-Consul-Token") != agent.token:
                    status, reply = 403, ("Permission denied: anonymous token lacks permission 'agent:read' on \"test\". The "
                                          "anonymous token is used implicitly when a request does not specify a token.")
                elif self.command == "PUT":
                    status, reply = agent.put(url.path, body)
                else:
                    status, reply = agent.get(url.path, parse_qs(url.query, keep_blank_values=True))
                index = agent.index
            text = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8" if isinstance(reply, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            if url.path.startswith("/v1/health/"):
                self.send_header("X-Consul-Index", str(index))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = answer

        def log_message(self, *words):
            pass

    return Handler


def Agent(**more):
    return RealAgent(**more) if REAL else FakeAgent(**more)


def server_tls(certificate, key, authority=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if authority is not None:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
