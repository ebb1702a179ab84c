# SPDX-License-Identifier: Apache-2.0
"""A DECLARED WIRE FAKE of a cluster's API server: secrets of namespaces over TLS to whom shows a token, in the documented forms
(v1 Secret, SecretList with `limit` and `continue`, Status), as far as a secret store asks. No real one runs in tests."""
import base64
import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from certificates import Certificates
from remora import Folder, _live, free_port


class ApiServer:
    def __init__(self, port=None, client_certificates=False):
        self.folder, self.port = Folder(), port or free_port()
        self.certificates = Certificates(self.folder)
        self.url = f"https://127.0.0.1:{self.port}"
        self.tokens, self.secrets, self.lock = {"eyJhbGciOi.kubetoken-1.sig"}, {}, threading.Lock()
        self.requests, self.fault = [], None  # paths; bytes that everything is answered with
        self.is_endless = False  # there is always a next page
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # those who ask go when they like
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.path("server.pem"), self.certificates.path("server.key"))
        if client_certificates:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificates.path("ca.pem"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        _live.append(self)

    @property
    def token(self):
        return next(iter(self.tokens))

    def put(self, namespace, name, data):
        with self.lock:
            self.secrets[namespace, name] = {key: value if isinstance(value, bytes) else value.encode()
                                             for key, value in data.items()}

    def kubeconfig(self, folder, user, cluster=None, namespace=None):
        """The path of a file; `user` and `cluster` are its entries."""
        if cluster is None:
            authority = base64.b64encode(self.certificates.text("ca.pem").encode()).decode()
            cluster = {"server": self.url, "certificate-authority-data": authority}
        context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
        return folder.write("kubeconfig", json.dumps({  # which is YAML
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "preferences": {},
            "contexts": [{"name": "there", "context": {}}, {"name": "here", "context": context}],
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "x", "user": {}}, {"name": "u", "user": user}]}))

    def account(self, folder):
        """The files of a service account, as a pod has them."""
        for name, text in (("token", self.token), ("ca.crt", self.certificates.text("ca.pem")), ("namespace", "prod")):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)

    def answer(self, path, query, authorization):
        """Status and JSON; the lock is held."""
        def status(code, reason, message):
            return code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                          "reason": reason, "code": code}
        if authorization not in {f"Bearer {token}" for token in self.tokens}:
            return status(401, "Unauthorized", "Unauthorized")
        parts = path.strip("/").split("/")
        if parts[:3] != ["api", "v1", "namespaces"] or len(parts) not in (5, 6) or parts[4] != "secrets":
            return status(404, "NotFound", "the server could not find the requested resource")
        namespace = parts[3]
        if namespace == "closed":
            return status(403, "Forbidden", 'secrets is forbidden: User "system:serviceaccount:prod:default" cannot list '
                          'resource "secrets" in API group "" in the namespace "closed"')
        if len(parts) == 6:
            data = self.secrets.get((namespace, parts[5]))
            if data is None:
                return status(404, "NotFound", f'secrets "{parts[5]}" not found')
            return 200, {"kind": "Secret", "apiVersion": "v1", **self.described(namespace, parts[5])}
        names = sorted(name for place, name in self.secrets if place == namespace)
        start, limit = int(query.get("continue", ["0"])[0]), min(int(query.get("limit", ["500"])[0]), 3)
        metadata = {"resourceVersion": "7", **({"continue": str(start + limit)} if self.is_endless or start + limit < len(names) else {})}
        return 200, {"kind": "SecretList", "apiVersion": "v1", "metadata": metadata,
                     "items": [self.described(namespace, name) for name in names[start : start + limit]]}

    def described(self, namespace, name):
        data = {key: base64.b64encode(value).decode() for key, value in self.secrets[namespace, name].items()}
        return {"metadata": {"name": name, "namespace": namespace, "uid": "1", "resourceVersion": "5"}, "type": "Opaque",
                **({"data": data} if data else {})}

    def end(self):
        self.server.shutdown()
        self.server.server_close()


def _handler(api):
    class Handler(BaseHTTPRequestHandler):
        protocol_version, wbufsize = "HTTP/1.1", -1  # an answer is one write

        def do_GET(self):
            target = urlsplit(self.path)
            with api.lock:
                api.requests.append(self.path)
                status, said = api.answer(unquote(target.path), parse_qs(target.query), self.headers.get("Authorization"))
            data = json.dumps(said).encode()
            if api.fault is not None:
                self.close_connection = True
                self.wfile.write(api.fault)
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler
