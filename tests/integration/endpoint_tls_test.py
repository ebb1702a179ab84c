# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""HTTPEndpoint resources over TLS: whom the sidecar believes, what it proves itself with, and values that come from secret
stores: looked up when first needed, looked up anew when they change, shown to nobody."""

import json
import os
import ssl
import subprocess

from http_app import App, answer
from remora import DEADLINE_S, Folder, Sidecar, component, equal, eventually, main, need, test

SECRET = "t0p-s3cret-value"


class Authority:
    """A certificate authority in a folder, by the openssl program."""

    def __init__(self, name):
        self.folder, self.name = Folder(), name
        self.cert = self.folder / "ca.pem"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.folder / "ca.key"]
        self.run("req", "-x509", *key, "-out", self.cert, "-days", "2", "-subj", f"/CN={name}")

    @staticmethod
    def run(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=DEADLINE_S)

    def issue(self, name, alternative, days="2"):
        """Paths of a certificate and its key."""
        key, request, cert = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.folder.write(f"{name}.ext", f"subjectAltName={alternative}\n")
        made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key]
        self.run("req", "-new", *made, "-out", request, "-subj", f"/CN={name}")
        self.run("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                 "-out", cert, "-days", days, "-extfile", extensions)  # fmt: skip
        return cert, key


def text(path):
    with open(path) as f:
        return f.read()


CA, OTHER = Authority("ca.test"), Authority("other.test")
SERVER = CA.issue("server", "IP:127.0.0.1,DNS:localhost")
CLIENT = CA.issue("client", "DNS:client.test")


def server(cert=SERVER, client_ca=None, handler=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*cert)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def tell(request, exchange):
        shown = exchange.socket.getpeercert() if client_ca else None
        subject = dict(pair[0] for pair in shown["subject"]) if shown else {}
        return answer(200, f"{request.method} {request.target} {subject.get('commonName', '')}".encode())

    return App(handler or tell, tls=context)


def endpoint(name, app, tls=None, headers=(), store=None, scheme="https", host="127.0.0.1"):
    """`tls` and `headers` as they stand in a resource."""
    spec = {"baseUrl": f"{scheme}://{host}:{app.port}/base", "headers": list(headers)}
    if tls:
        spec["clientTLS"] = tls
    whole = {"apiVersion": "dapr.io/v1alpha1", "kind": "HTTPEndpoint", "metadata": {"name": name}, "spec": spec}
    if store:
        whole["auth"] = {"secretStore": store}
    return json.dumps(whole) + "\n"


def value(path, escaped=False):
    return {"value": text(path).replace("\n", "\\n") if escaped else text(path)}


def secret(name, key=None):
    return {"secretKeyRef": {"name": name, **({"key": key} if key else {})}}


def vault(secrets, name="vault"):
    """A store, and the file of its secrets."""
    path = Folder().write("secrets.json", json.dumps(secrets))
    return component(name, "secretstores.local.file", {"secretsFile": path, "multiValued": "true"}), path


def invoke(sidecar, id, path="m", method="GET", body=None, **more):
    return sidecar.call(method, f"/v1.0/invoke/{id}/method/{path}", body, **more)


def failure(reply, words):
    equal(reply.status, 500, reply.text)
    need(words in reply.json["message"], f"{words!r} in {reply.json['message']!r}")


# --- whom the sidecar believes ----------------------------------------------------------------------------------------

UNKNOWN = "tls: failed to verify certificate: x509: certificate signed by unknown authority"


@test("a server is believed if the endpoint's authority or the system answers for it", "INV-51 §8")
def believed():
    app = server()
    resources = [
        endpoint("ours", app, {"rootCA": value(CA.cert)}),
        endpoint("escaped", app, {"rootCA": value(CA.cert, escaped=True)}),
        endpoint("by-name", app, {"rootCA": value(CA.cert)}, host="localhost"),
        endpoint("foreign", app, {"rootCA": value(OTHER.cert)}),
        endpoint("system", app),
        endpoint("garbage", app, {"rootCA": {"value": "no certificate"}}),
    ]
    sidecar = Sidecar(*resources, app_id="a")
    for id in ("ours", "escaped", "by-name"):
        equal(invoke(sidecar, id, "x?y=1", "POST", b"body").text, "POST /base/x?y=1 ", id)
    for id in ("foreign", "system", f"https://127.0.0.1:{app.port}"):
        failure(invoke(sidecar, id), UNKNOWN)
    failure(invoke(sidecar, "system"), f'Get "https://127.0.0.1:{app.port}/base/m": tls: failed to verify certificate')
    failure(invoke(sidecar, "garbage"), "tls: no certificate is to be read in the trusted authorities")
    trusting = Sidecar(*resources, app_id="a", env={"SSL_CERT_FILE": CA.cert})
    equal(invoke(trusting, "system").status, 200)
    equal(invoke(trusting, f"https://localhost:{app.port}").text, "GET /m ")
    failure(invoke(trusting, "foreign"), UNKNOWN)


@test("a server with another name, or out of its time, is not believed", "INV-51 §8")
def mistaken():
    named, expired = server(CA.issue("named", "DNS:else.test")), server(CA.issue("late", "IP:127.0.0.1", days="-1"))
    plain = App()
    trust = {"rootCA": value(CA.cert)}
    sidecar = Sidecar(endpoint("named", named, trust), endpoint("expired", expired, trust), endpoint("plain", plain, trust))
    failure(invoke(sidecar, "named"), "tls: failed to verify certificate: x509: ")
    failure(invoke(sidecar, "expired"), "tls: failed to verify certificate: x509: certificate has expired")
    failure(invoke(sidecar, "plain"), "tls: first record does not look like a TLS handshake")
    equal(len(named.requests) + len(expired.requests) + len(plain.requests), 0, "requests that were sent")


@test("a redirection to another server is verified for that server, with the endpoint's authority", "INV-51 §8")
def verified_again():
    last = server()
    lost = server(CA.issue("lost", "DNS:else.test"))
    first = server(handler=lambda request, exchange: answer(302, b"", [("Location", there[0])]))
    sidecar = Sidecar(endpoint("out", first, {"rootCA": value(CA.cert)}), app_id="a")
    there = [f"https://localhost:{last.port}/end"]
    equal(invoke(sidecar, "out").text, "GET /end ")
    there[0] = f"https://127.0.0.1:{lost.port}/end"
    failure(invoke(sidecar, "out"), f'Get "https://127.0.0.1:{lost.port}/end": tls: failed to verify certificate')


# --- what it proves itself with ---------------------------------------------------------------------------------------


@test("a server that asks for it gets the client certificate, from values or secrets", "INV-51 §8")
def proven():
    app = server(client_ca=CA.cert)
    store, _ = vault({"tls": {"ca.crt": text(CA.cert), "tls.crt": text(CLIENT[0]), "tls.key": text(CLIENT[1])}})
    root = {"rootCA": value(CA.cert)}
    secrets = {"rootCA": secret("tls", "ca.crt"), "certificate": secret("tls", "tls.crt"), "privateKey": secret("tls", "tls.key")}
    sidecar = Sidecar(
        endpoint("values", app, {**root, "certificate": value(CLIENT[0]), "privateKey": value(CLIENT[1])}),
        store,
        endpoint("secrets", app, secrets, store="vault"),
        endpoint("mixed", app, {**root, "certificate": value(CLIENT[0]), "privateKey": secrets["privateKey"]}, store="vault"),
        endpoint("without", app, root),
        endpoint("no-key", app, {**root, "certificate": value(CLIENT[0])}),
        endpoint("no-cert", app, {**root, "privateKey": value(CLIENT[1])}),
        endpoint("wrong-key", app, {**root, "certificate": value(CLIENT[0]), "privateKey": value(SERVER[1])}),
        app_id="a",
    )
    for id in ("values", "secrets", "mixed"):
        for _ in range(2):
            equal(invoke(sidecar, id, "m", "PUT", b"x").text, "PUT /base/m client", id)
    for id in ("without", "no-key"):
        failure(invoke(sidecar, id), "tls: certificate required")
    failure(invoke(sidecar, "no-cert"), "failed to load client certificate for http endpoint no-cert: tls: failed to find any "
            "PEM data in certificate input")  # fmt: skip
    failure(invoke(sidecar, "wrong-key"), "tls: failed to read the private key")
    need(text(CLIENT[1]).splitlines()[1] not in sidecar.log(), "no key in the log")


# --- secrets ----------------------------------------------------------------------------------------------------------


@test("headers come from the secret store, and what goes wrong is said without them", "INV-50 SEC-10")
def secret_headers():
    app = App(lambda request, exchange: answer(200, (request.header("x-key") or "-").encode()))
    store, _ = vault({"out": {"key": SECRET, "bad": SECRET + "\r\nX-More: 1"}, "single": SECRET})

    def make(name, ref, store="vault"):
        return endpoint(name, app, headers=[{"name": "X-Key", **ref}], store=store, scheme="http")

    sidecar = Sidecar(
        make("out", secret("out", "key")),
        make("missing", secret("nothing")),
        make("keyless", secret("out", "other")),
        make("storeless", secret("out", "key"), "nowhere"),
        make("unnamed", secret("out", "key"), None),
        make("bad", secret("out", "bad")),
        make("env", {"envRef": "OUTSIDE_KEY"}),
        store,
        app_id="a",
        env={"OUTSIDE_KEY": "of-env"},
    )
    equal(invoke(sidecar, "out").text, SECRET)
    equal(invoke(sidecar, "env").text, "of-env")
    failure(invoke(sidecar, "missing"), "failed getting secret nothing: ")
    failure(invoke(sidecar, "keyless"), "failed getting secret out: secret out has no key other")
    failure(invoke(sidecar, "storeless"), "failed to invoke, id: storeless, err: secret store nowhere isn't loaded")
    failure(invoke(sidecar, "unnamed"), "secret store  isn't loaded")
    failure(invoke(sidecar, "bad"), "the request cannot be sent")
    need(SECRET not in sidecar.log() and SECRET not in sidecar.call("GET", "/v1.0/metadata").text, "shown nowhere")
    invoke(sidecar, "out")
    equal(app.connections, 2, "one for each of the two endpoints that work")


@test("a secret does not go on to another host", "INV-50 §8")
def kept():
    other = App()
    app = App(lambda request, exchange: answer(302, b"", [("Location", f"http://127.0.0.1:{other.port}/")]))
    store, _ = vault({"out": {"key": SECRET}})
    headers = [{"name": "X-Key", **secret("out", "key")}, {"name": "X-Plain", "value": "1"}]
    sidecar = Sidecar(store, endpoint("out", app, headers=headers, store="vault", scheme="http", host="localhost"))
    equal(invoke(sidecar, "out").status, 200)
    equal((app.requests[0].header("x-key"), other.requests[0].header("x-key")), (SECRET, None))
    equal(other.requests[0].header("x-plain"), "1")


@test("a secret that changes is looked up anew, and a store may come later", "INV-50 SEC-10 §9")
def rotated():
    app = App(lambda request, exchange: answer(200, (request.header("x-key") or "-").encode()))
    tls = server(client_ca=CA.cert)
    second = CA.issue("second", "DNS:second.test")
    files = {"tls.crt": text(CLIENT[0]), "tls.key": text(CLIENT[1])}
    store, path = vault({"out": {"key": "one", **files}})
    parts = {"rootCA": value(CA.cert), "certificate": secret("out", "tls.crt"), "privateKey": secret("out", "tls.key")}
    for workers in ("1", "3"):
        with open(path, "w") as f:
            json.dump({"out": {"key": "one", **files}}, f)
        sidecar = Sidecar(
            endpoint("out", app, headers=[{"name": "X-Key", **secret("out", "key")}], store="vault", scheme="http"),
            endpoint("tls", tls, parts, store="vault"),
            flags=["--workers", workers],
            app_id="a",
        )
        failure(invoke(sidecar, "out"), "secret store vault isn't loaded")
        sidecar.folder.write("resources/vault.yaml", store)
        for _ in range(12):  # to all workers
            eventually(lambda: invoke(sidecar, "out").text == "one", "the store has come")  # noqa: B023
            eventually(lambda: invoke(sidecar, "tls").text == "GET /base/m client", "… for the other too")  # noqa: B023
        with open(path + ".new", "w") as f:
            json.dump({"out": {"key": "two", "tls.crt": text(second[0]), "tls.key": text(second[1])}}, f)
        os.rename(path + ".new", path)
        eventually(lambda: "HTTP endpoints that use them ask again" in sidecar.log(), "the change is seen")  # noqa: B023
        for _ in range(12):  # by all workers
            eventually(lambda: invoke(sidecar, "out").text == "two", "the new secret")  # noqa: B023
            eventually(lambda: invoke(sidecar, "tls").text == "GET /base/m second", "the new certificate")  # noqa: B023
        other = Folder().write("other.json", json.dumps({"out": {"key": "three", **files}}))
        sidecar.folder.write("resources/vault.yaml", store.replace(path, other))
        for _ in range(12):
            eventually(lambda: invoke(sidecar, "out").text == "three", "of another store")  # noqa: B023
        equal(sidecar.stop(), 0)


if __name__ == "__main__":
    main()
