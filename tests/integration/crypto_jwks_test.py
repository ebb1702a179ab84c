# SPDX-License-Identifier: Apache-2.0
"""crypto.dapr.jwks: a set as text, in base64, in a file that changes, at a URL that changes, fails and is asked again; and
what crypto.dapr.localstorage reads."""
import base64
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from remora import Folder, Sidecar, component, equal, eventually, main, need, test


def octets(name, byte):
    return {"kty": "oct", "kid": name, "k": base64.urlsafe_b64encode(bytes([byte]) * 32).decode().rstrip("=")}


def jwks(*keys):
    return json.dumps({"keys": keys})


def wrap(sidecar, key, provider="set"):
    """The status, and the key b"k" * 16 wrapped."""
    body = {"plaintextKey": base64.b64encode(b"k" * 16).decode(), "algorithm": "A256KW", "keyName": key}
    reply = sidecar.call("POST", f"/v1.0-alpha1/subtlecrypto/{provider}/wrapkey", json.dumps(body))
    return reply.status, reply.json.get("wrappedKey")


def reason(sidecar, key, provider="set"):
    headers = [("dapr-key-name", key), ("dapr-key-wrap-algorithm", "AES")]
    reply = sidecar.call("PUT", f"/v1.0-alpha1/crypto/{provider}/encrypt", b"x", headers)
    equal(reply.status, 500)
    return reply.json["message"].removeprefix("failed to perform operation: failed to wrap the file key: ")


@test("as text, as base64 of it", "CRY-02")
def texts():
    text = jwks(octets("a", 1), octets("b", 2))
    one = Sidecar(component("set", "crypto.dapr.jwks", {"jwks": text}),
                  component("encoded", "crypto.dapr.jwks", {"jwks": base64.b64encode(text.encode()).decode()}))
    need(wrap(one, "a")[0] == 200 and wrap(one, "a") == wrap(one, "a", "encoded") and wrap(one, "a") != wrap(one, "b"), "keys")
    equal(reason(one, "c"), "failed to retrieve the key encryption key: key not found")


@test("in a file: another in its place counts at once, a malformed one changes nothing", "CRY-02")
def files():
    folder = Folder()
    path = folder.write("set.json", jwks(octets("a", 1)))
    one = Sidecar(component("set", "crypto.dapr.jwks", {"jwks": path}), folder=folder)
    first = wrap(one, "a")
    os.replace(folder.write("next.json", jwks(octets("a", 3), octets("n", 4))), path)
    need(wrap(one, "n")[0] == 200 and wrap(one, "a") != first, "the new ones")
    second = wrap(one, "a")
    os.replace(folder.write("next.json", "{nonsense"), path)
    equal(wrap(one, "a"), second)
    eventually(lambda: "failed to parse JWKS" in one.log() and "stay in use" in one.log(), "it is said")
    os.unlink(path)
    equal(wrap(one, "a"), second)


class Keys(BaseHTTPRequestHandler):
    status, body = 200, jwks(octets("a", 1))

    def do_GET(self):
        self.send_response(Keys.status)
        self.end_headers()
        self.wfile.write(Keys.body.encode())

    def log_message(self, *words):
        pass


@test("at a URL: asked again after the interval, the last good set stays", "CRY-02")
def urls():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    metadata = {"jwks": f"http://127.0.0.1:{server.server_port}/keys", "minRefreshInterval": "1s", "requestTimeout": "5s"}
    one = Sidecar(component("set", "crypto.dapr.jwks", metadata))
    first = wrap(one, "a")
    equal(first[0], 200)
    Keys.status = 500
    eventually(lambda: "not 200: 500" in one.log(), "the failure is told")
    equal(wrap(one, "a"), first)
    Keys.status, Keys.body = 200, jwks(octets("a", 1), octets("late", 9))
    eventually(lambda: wrap(one, "late")[0] == 200, "the new key")
    equal(wrap(one, "a"), first)
    server.shutdown()


def fails(metadata, words, type_="crypto.dapr.jwks"):
    one = Sidecar(component("set", type_, metadata), wait=False)
    need(one.wait() != 0, "it started")
    need(words in one.log(), one.log()[-1500:])


@test("what is no set, no folder or not there ends the start", "CRY-02")
def refused():
    fails({"jwks": "{\"keys\":[{\"kty\":\"oct\"}]}"}, "failed to parse JWKS: key 0")
    fails({"jwks": "https://127.0.0.1:1/keys"}, "failed to fetch JWKS")
    fails({}, "metadata property 'jwks' is required")
    fails({"path": "/nowhere"}, "could not stat path '/nowhere': stat /nowhere: no such file or directory",
          "crypto.dapr.localstorage")
    fails({"path": "/etc/passwd"}, "path '/etc/passwd' is not a directory", "crypto.dapr.localstorage")


@test("a folder of keys: nothing outside of it is read, whatever the name or link", "CRY-02")
def folders():
    folder = Folder()
    os.makedirs(folder / "keys/deep")
    folder.write("outside", "*" * 32)
    folder.write("keys/deep/one", "!" * 32)
    os.symlink("../outside", folder / "keys/link")
    os.symlink("deep/one", folder / "keys/inside")
    os.mkfifo(folder / "keys/pipe")
    one = Sidecar(component("set", "crypto.dapr.localstorage", {"path": folder / "keys"}), folder=folder)
    equal(wrap(one, "deep/one")[0], 200)
    equal(wrap(one, "inside"), wrap(one, "/deep/one"))
    prefix = "failed to retrieve the key encryption key: "
    for name in ("../outside", "deep/../deep/one", ".."):
        equal(reason(one, name), prefix + "invalid key path: cannot contain '..'")
    for name in ("link", "pipe", "deep", "none", "x" * 300):
        need(reason(one, name).startswith(prefix + f"failed to load key '{name}': "), reason(one, name))
    folder.write("keys/deep/one", "?" * 32)
    need(wrap(one, "inside")[0] == 200, "a key that was exchanged counts at once")
    folder.write("keys/large", "z" * 100000)
    need("File too large" in reason(one, "large"), reason(one, "large"))


main()
