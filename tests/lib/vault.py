# SPDX-License-Identifier: Apache-2.0
"""A Vault server for tests. `VAULT_SERVER` names a real one's executable (or it is build/vault/vaultd, which
`tests/prove/vault.py` builds of the Vault module: its core, its HTTP API and its key/value engine, in memory). Without it this
is a DECLARED WIRE FAKE of the few requests the store makes, whose statuses and bodies were taken from that server, version
1.21.4; the tests hold for both."""
import json
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from remora import BUILD, DEADLINE_S, Folder, _live, eventually, free_port

BUILT = os.path.join(BUILD, "vault", "vaultd")
REAL = os.environ.get("VAULT_SERVER") or (BUILT if os.path.exists(BUILT) else None)


class Server:
    """What tests do with either."""

    token = None

    def __init__(self, certificates=None):
        self.certificates, self.port = certificates, free_port()
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self.port}"
        _live.append(self)
        self.start()

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"{self.url}/v1/{path}", method=method,
                                         data=json.dumps(body).encode() if body is not None else None)
        if self.token:
            request.add_header("X-Vault-Token", self.token)
        context = ssl.create_default_context(cafile=self.certificates.path("ca.pem")) if self.certificates else None
        if context:
            context.check_hostname = False
        with urllib.request.urlopen(request, timeout=DEADLINE_S, context=context) as reply:
            text = reply.read()
            return json.loads(text) if text else None

    def put(self, path, data, engine="secret"):
        self.ask("POST", f"{engine}/data/{quote(path)}", {"data": data})

    def delete(self, path, engine="secret"):
        self.ask("DELETE", f"{engine}/data/{quote(path)}")


class RealServer(Server):
    is_real = True

    def start(self):
        self.folder = Folder()
        self.log = open(self.folder / "log", "w")
        tls = [self.certificates.path("server.pem"), self.certificates.path("server.key")] if self.certificates else []
        self.process = subprocess.Popen([REAL, f"127.0.0.1:{self.port}", *tls], stdout=self.log, stderr=self.log)
        eventually(self.is_up, "the server answers", 60)
        made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.ask("PUT", "sys/unseal", {"key": made["keys"][0]})
        self.token = made["root_token"]
        for engine in ("secret", "other"):
            self.ask("POST", f"sys/mounts/{engine}", {"type": "kv", "options": {"version": "2"}})
            eventually(lambda: self.can_write(engine), "the engine is there", 60)

    def is_up(self):
        try:
            return self.ask("GET", "sys/seal-status")
        except (OSError, urllib.error.URLError):
            return False

    def can_write(self, engine):
        try:
            self.put("probe", {"a": "b"}, engine)
            self.ask("DELETE", f"{engine}/metadata/probe")
            return True
        except urllib.error.HTTPError:
            return False

    def new_token(self):
        """Another one that is let in."""
        return self.ask("POST", "auth/token/create", {})["auth"]["client_token"]

    def revoke(self, token):
        self.ask("POST", "auth/token/revoke", {"token": token})

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class FakeServer(Server):
    is_real = False

    def start(self):
        self.token, self.versions, self.lock = "s.8Jq2vXw0rootTn4z", {}, threading.Lock()
        self.tokens = {self.token}
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # those who ask go when they like
        if self.certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates.path("server.pem"), self.certificates.path("server.key"))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def new_token(self):
        token = f"s.{len(self.tokens)}Vb7kQ1x"
        self.tokens.add(token)
        return token

    def revoke(self, token):
        self.tokens.discard(token)

    def answer(self, method, path, query, body):
        """Status and JSON; the lock is held."""
        engine, kind, name = path.removeprefix("/v1/").split("/", 2)
        if engine not in ("secret", "other"):
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        versions = self.versions.setdefault((engine, name), [])
        if method == "POST":
            versions.append(json.loads(body)["data"])
            return 200, {"data": {"version": len(versions)}}
        if method == "DELETE":
            versions[-1] = None
            return 204, None
        if kind == "metadata":
            start = name if not name or name.endswith("/") else name + "/"
            rests = [n[len(start):] for (e, n), v in self.versions.items() if e == engine and v and n.startswith(start)]
            keys = sorted({rest.split("/")[0] + ("/" if "/" in rest else "") for rest in rests})
            return (200, {"data": {"keys": keys}}) if keys else (404, {"errors": []})
        wanted = int(query.get("version", ["0"])[0])
        if not versions or wanted > len(versions):
            return 404, {"errors": []}
        data = versions[wanted - 1]  # 0 is the latest
        return (404 if data is None else 200), {"data": {"data": data, "metadata": {"version": wanted or len(versions)}}}

    def end(self):
        self.server.shutdown()
        self.server.server_close()


def _handler(vault):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = urlsplit(self.path)
            with vault.lock:
                if self.headers.get("X-Vault-Token") not in vault.tokens:
                    status, said = 403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}
                else:
                    status, said = vault.answer(self.command, unquote(target.path), parse_qs(target.query), body)
            data = json.dumps(said).encode() if said is not None else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_LIST = serve

        def log_message(self, *_):
            pass

    return Handler


Vault = RealServer if REAL else FakeServer
