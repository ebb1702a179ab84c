# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""secretstores.hashicorp.vault against a Vault server (a real one where it has been built, else the fake of tests/lib)."""
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from certificates import Certificates
from http_app import App, answer
from remora import Folder, Redis, Sidecar, component, equal, eventually, main, need, test
from vault import Vault


def store(server, name="vault", **metadata):
    settings = {"vaultAddr": server if isinstance(server, str) else server.url, **metadata}
    if not {"vaultToken", "vaultTokenMountPath"} & set(metadata):
        settings["vaultToken"] = server.token
    return component(name, "secretstores.hashicorp.vault", settings)


def get(sidecar, path):
    return sidecar.call("GET", f"/v1.0/secrets/{path}")


def found(sidecar, path):
    reply = get(sidecar, path)
    equal(reply.status, 200, reply.text)
    return reply.json


def missing(sidecar, path, name=None):
    place, key = path.split("/", 1)
    name = name or key
    reply = get(sidecar, path)
    equal((reply.status, reply.json), (500, {"errorCode": "ERR_SECRET_GET", "message": (
        f"failed getting secret with key {name} from secret store {place}: secret {name} not found")}))


def failed(sidecar, path):
    """The words of a secret that cannot be had."""
    reply = get(sidecar, path)
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_SECRET_GET"), reply.text)
    return reply.json["message"]


_made = []


def server():
    if not _made:
        _made.append(Vault())
    return _made[0]


@test("a secret is its map of names and values; versions are asked for", "SEC-01 SEC-03 SEC-05 X-SEC-01 X-SEC-02")
def maps():
    vault = server()
    vault.put("dapr/db", {"user": "ann", "pw": 'x y"z ü'})
    vault.put("dapr/db", {"user": "ann", "pw": "second", "n": 5, "list": [1, {"a": None}]})
    sidecar = Sidecar(store(vault))
    equal(found(sidecar, "vault/db"), {"user": "ann", "pw": "second", "n": "5", "list": '[1,{"a":null}]'})
    equal(found(sidecar, "vault/db?metadata.version_id=1"), {"user": "ann", "pw": 'x y"z ü'})
    equal(found(sidecar, "vault/db?metadata.version_id=2")["pw"], "second")
    missing(sidecar, "vault/db?metadata.version_id=9", "db")
    missing(sidecar, "vault/none")
    need("version_id is no number" in failed(sidecar, "vault/db?metadata.version_id=1%26x=y"), "it is checked")
    equal(sidecar.metadata()["components"][0]["capabilities"], ["MULTIPLE_KEY_VALUES_PER_SECRET"])


@test("all secrets are those under the prefix, folders included, without deleted ones", "SEC-02 SEC-04 SEC-24")
def bulk():
    vault = server()
    for path in ("a", "deep/er/b", "deep/c", "gone"):
        vault.put(f"tree/{path}", {"at": path})
    vault.delete("tree/gone")
    vault.put("outside", {"k": "v"})
    folder = Folder()
    config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n  secrets:\n"
                          "    scopes:\n    - {storeName: few, deniedSecrets: [deep/c]}\n")
    sidecar = Sidecar(store(vault, vaultKVPrefix="tree"), store(vault, "few", vaultKVPrefix="/tree/"),
                      store(vault, "empty", vaultKVPrefix="nothing/here"), flags=["--config", config])
    everything = {path: {"at": path} for path in ("a", "deep/c", "deep/er/b")}
    equal(found(sidecar, "vault/bulk"), everything)
    equal(set(found(sidecar, "few/bulk")), {"a", "deep/er/b"})
    equal(found(sidecar, "empty/bulk"), {})
    equal(found(sidecar, "vault/deep%2Fer%2Fb"), {"at": "deep/er/b"})


@test("prefix, engine and form are the component's choice", "SEC-03")
def forms():
    vault = server()
    vault.put("dapr/plain", {"k": "prefixed"})
    vault.put("plain", {"k": "bare"})
    vault.put("dapr/plain", {"k": "of the other"}, "other")
    sidecar = Sidecar(store(vault, "bare", vaultKVUsePrefix="false"), store(vault, "other", enginePath="other"),
                      store(vault, "text", vaultValueType="text"))
    equal(found(sidecar, "bare/plain"), {"k": "bare"})
    equal(found(sidecar, "other/plain"), {"k": "of the other"})
    equal(json.loads(found(sidecar, "text/plain")["plain"]), {"k": "prefixed"})
    by_name = {c["name"]: c for c in sidecar.metadata()["components"]}
    need("capabilities" not in by_name["text"], by_name["text"])


@test("a name leads nowhere but to secrets under the prefix", "SEC-01")
def climbing():
    vault = server()
    vault.put("outside", {"k": "v"})
    vault.put("dapr/a b?c#d%e", {"k": "odd"})
    sidecar = Sidecar(store(vault))
    for name in ("..%2Foutside", "..%2F..%2F..%2Fsys%2Fmounts", ".%2Fdb", "a%2F%2Fb", "a%2F..%2F..%2Foutside"):
        reply = get(sidecar, f"vault/{name}")
        need(reply.status in (404, 500) and '"v"' not in reply.text and "mounts" not in reply.text.replace("sys/mounts", ""),
             reply.text)
    equal(found(sidecar, "vault/a%20b%3Fc%23d%25e"), {"k": "odd"})


@test("a token comes from a file, which may change; one that is refused is not shown", "SEC-05")
def tokens():
    vault, folder = server(), Folder()
    vault.put("dapr/t", {"k": "v"})
    first = vault.new_token()
    path = folder.write("token", first + "\n")
    sidecar = Sidecar(store(vault, vaultTokenMountPath=path), store(vault, "wrong", vaultToken="hvs.nobodys-token"))
    equal(found(sidecar, "vault/t"), {"k": "v"})
    with open(path + ".new", "w") as f:
        f.write(vault.new_token())
    os.rename(path + ".new", path)
    vault.revoke(first)
    equal(found(sidecar, "vault/t"), {"k": "v"})
    words = failed(sidecar, "wrong/t")
    need("couldn't get successful response, status code 403" in words and "nobodys" not in words, words)
    os.unlink(path)
    need("couldn't read vault token from mount path" in failed(sidecar, "vault/t"), "it says so")
    need("nobodys-token" not in sidecar.log(), "nor in the log")


@test("TLS: authorities as file, folder or text; another name; another authority is refused", "SEC-05")
def tls():
    folder = Folder()
    certificates = Certificates(folder, "vault.internal")
    vault = Vault(certificates)
    vault.put("dapr/t", {"k": "v"})
    os.mkdir(folder / "authorities")
    hashed = os.popen(f"openssl x509 -hash -noout -in {folder / 'ca.pem'}").read().strip()
    with open(folder / f"authorities/{hashed}.0", "w") as f:
        f.write(certificates.text("ca.pem"))
    name = {"tlsServerName": "vault.internal"}
    sidecar = Sidecar(
        store(vault, "file", caCert=folder / "ca.pem", **name), store(vault, "folder", caPath=folder / "authorities", **name),
        store(vault, "text", caPem=certificates.text("ca.pem"), **name), store(vault, "any", skipVerify="true"),
        store(vault, "name", caPem=certificates.text("ca.pem")), store(vault, "system", **name),
        store(vault, "other", caPem=certificates.text("other.pem"), **name))
    for good in ("file", "folder", "text", "any"):
        equal(found(sidecar, f"{good}/t"), {"k": "v"})
    for bad in ("name", "system", "other"):
        need("couldn't get secret: " in failed(sidecar, f"{bad}/t"), "it is refused")


@test("metadata that makes no sense is a failed init with words", "SEC-05")
def settings():
    rows = [({"vaultToken": ""}, "token mount path and token not set"),
            ({"vaultToken": "a", "vaultTokenMountPath": "/tmp/b"}, "token mount path and token both set"),
            ({"vaultToken": "a", "vaultValueType": "list"}, "accepted values are map or text"),
            ({"vaultToken": "a", "vaultAddr": "ftp://x"}, "vaultAddr is no http or https address"),
            ({"vaultToken": "a", "vaultKVPrefix": "a/../b"}, "a path is empty or leaves its place"),
            ({"vaultToken": "a", "skipVerify": "maybe"}, "skipVerify must be true or false")]
    for metadata, words in rows:
        sidecar = Sidecar(store("http://127.0.0.1:1", **metadata), wait=False)
        eventually(lambda: words in sidecar.log(), f"{metadata}: {words}", 30)
        sidecar.kill()


@test("a component takes its password from it, and a store its token from another store", "SEC-10")
def references():
    vault, folder = server(), Folder()
    redis = Redis()
    redis.command("CONFIG", "SET", "requirepass", "of the vault")
    vault.put("dapr/redis", {"password": "of the vault"})
    folder.write("secrets.json", json.dumps({"token": vault.token}))
    red = component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis.port}"})
    red += "  - name: redisPassword\n    secretKeyRef: {name: redis, key: password}\nauth: {secretStore: vault}\n"
    of_file = component("vault", "secretstores.hashicorp.vault", {"vaultAddr": vault.url})
    of_file += "  - name: vaultToken\n    secretKeyRef: {name: token}\nauth: {secretStore: file}\n"
    sidecar = Sidecar(red, of_file, component("file", "secretstores.local.file", {"secretsFile": folder / "secrets.json"}))
    equal(sidecar.call("POST", "/v1.0/state/red", b'[{"key":"a","value":1}]').status, 204)
    need(vault.token not in sidecar.log() and "of the vault" not in sidecar.log(), "neither is in the log")


def change_password(redis, old, new):
    """Connections that are there stay."""
    with socket.create_connection(("127.0.0.1", redis.port), 10) as s:
        s.sendall(f"AUTH {old}\r\nCONFIG SET requirepass {new}\r\n".encode())
        equal(s.makefile("rb").read(10), b"+OK\r\n+OK\r\n")


@test("a secret that changes exchanges the components that use it, and no other", "SEC-10")
def rotation():
    vault, redis = server(), Redis()
    vault.put("dapr/rotated", {"password": "first", "other": "x"})
    redis.command("CONFIG", "SET", "requirepass", "first")

    def red(name, secret):
        text = component(name, "state.redis", {"redisHost": f"127.0.0.1:{redis.port}"})
        return text + f"  - name: redisPassword\n    secretKeyRef: {{name: {secret}, key: password}}\nauth: {{secretStore: vault}}\n"

    vault.put("dapr/steady", {"password": "first"})
    sidecar = Sidecar(store(vault, secretRefreshInterval="1s"), red("red", "rotated"), red("still", "steady"))

    def generation(name):
        return next(c["generation"] for c in sidecar.metadata()["remora"]["components"] if c["name"] == name)

    before, old = (generation("red"), generation("still")), "first"
    for password in ("second", "third"):
        ours = generation("red")
        vault.put("dapr/rotated", {"password": password, "other": "x"})
        change_password(redis, old, password)
        old = password
        eventually(lambda: generation("red") > ours, "it was exchanged", 60)
        equal(sidecar.call("POST", "/v1.0/state/red", b'[{"key":"a","value":1}]').status, 204)
    equal(generation("still"), before[1])
    need("the secrets of store vault have changed" in sidecar.log() and "third" not in sidecar.log(), "it says so, not what")


@test("an endpoint's header is what the store has now", "SEC-10")
def endpoints():
    vault = server()
    vault.put("dapr/key", {"k": "one"})
    app = App(lambda request, exchange: answer(200, request.header("X-Key").encode()))
    endpoint = ("apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: out}\nspec:\n"
                f"  baseUrl: http://127.0.0.1:{app.port}\n  headers:\n  - name: X-Key\n"
                "    secretKeyRef: {name: key, key: k}\nauth: {secretStore: vault}\n")
    sidecar = Sidecar(endpoint, store(vault, secretRefreshInterval="1s"))
    equal(sidecar.call("GET", "/v1.0/invoke/out/method/x").text, "one")
    vault.put("dapr/key", {"k": "two"})
    eventually(lambda: sidecar.call("GET", "/v1.0/invoke/out/method/x").text == "two", "the new one is in use", 60)


def hostile(said):
    """A server that answers everything in one way."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(said)

        do_LIST = do_GET

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.handle_error = lambda *_: None
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{httpd.server_port}"


def reply(body, status=200):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@test("answers that are none are errors, and the plugin lives", "SEC-01")
def hostile_answers():
    answers = {"garbage": b"\0\xff" * 100, "cut": b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{", "none": b"",
               "text": reply(b"hello"), "empty": reply(b""), "array": reply(b"[]"), "nodata": reply(b'{"data":{}}'),
               "deep": reply(b'{"data":{"data":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}}"), "down": reply(b"", 503),
               "long": reply(b'{"data":{"data":{"a":"' + b"x" * (5 << 20) + b'"}}}'),
               "moved": b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
               "keys": reply(b'{"data":{"keys":["../../x","a//",5,null,"/",""]}}')}
    sidecar = Sidecar(*[store(hostile(said), name, vaultToken="t") for name, said in answers.items()])
    pid = sidecar.plugin_pid("vault")
    for name in answers:
        need("secret x not found" not in failed(sidecar, f"{name}/x"), name)
        equal(get(sidecar, f"{name}/bulk").status, 500, name)
    equal(sidecar.plugin_pid("vault"), pid)


@test("a namespace is named in every question, and one that could be more is refused", "SEC-05")
def namespace():
    """Only the paid server has namespaces: a fake that answers whoever names one."""
    asked = []

    def ask(request, exchange):
        asked.append((request.target, dict(request.headers).get("X-Vault-Namespace")))
        data = {"keys": ["a"]} if "/metadata/" in request.target else {"data": {"k": "v"}}
        return answer(200, json.dumps({"data": data}).encode())

    fake = f"http://127.0.0.1:{App(ask).port}"
    sidecar = Sidecar(store(fake, "mine", vaultToken="t", vaultNamespace="team/orders"), store(fake, "none", vaultToken="t"))
    for name, wanted in (("mine", "team/orders"), ("none", None)):
        asked.clear()
        equal(found(sidecar, f"{name}/a"), {"k": "v"})
        equal(found(sidecar, f"{name}/bulk"), {"a": {"k": "v"}})
        equal({space for _, space in asked}, {wanted}, asked)
    bad = Sidecar(store(fake, vaultToken="t", vaultNamespace="a\r\nX-Other: b"), wait=False)
    equal(bad.wait(40), 1)
    need("vaultNamespace has a blank" in bad.log(), bad.log()[-1000:])


main()
