# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""crypto.dapr.kubernetes.secrets against a declared wire fake of a cluster's API server, over TLS and with a token: keys are
values of secrets, read whenever one is used."""
import sdk  # noqa: F401  isort: skip

import base64
import json

from cryptography.hazmat.primitives.keywrap import aes_key_unwrap as unwrap
from kubernetes import ApiServer
from remora import Folder, Sidecar, component, equal, main, need, test

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
api = ApiServer()
api.put("prod", "keys", {"raw": KEY, "b64": base64.b64encode(KEY), "empty": b"", "bad.pem": b"-----BEGIN PRIVATE KEY-----\nAA\n",
                         "big": b"x" * 100_000})
api.put("prod", "jwk", {"k": json.dumps({"kty": "oct", "k": base64.urlsafe_b64encode(KEY).decode().rstrip("=")}).encode()})
api.put("other", "keys", {"raw": OTHER})
path = api.kubeconfig(Folder(), {"token": api.token})
sidecar = Sidecar(component("with", "crypto.dapr.kubernetes.secrets", {"kubeconfigPath": path, "defaultNamespace": "prod"}),
                  component("without", "crypto.dapr.kubernetes.secrets", {"kubeconfigPath": path}))
PLAIN = b"k" * 16


def wrap(key, provider="with"):
    body = {"plaintextKey": base64.b64encode(PLAIN).decode(), "algorithm": "A256KW", "keyName": key}
    reply = sidecar.call("POST", f"/v1.0-alpha1/subtlecrypto/{provider}/wrapkey", json.dumps(body))
    return reply.status, base64.b64decode(reply.json.get("wrappedKey", "")), reply.text


def refused(key, words, provider="with"):
    headers = [("dapr-key-name", key), ("dapr-key-wrap-algorithm", "AES")]
    reply = sidecar.call("PUT", f"/v1.0-alpha1/crypto/{provider}/encrypt", b"x", headers)
    need(reply.status == 500 and words in reply.json["message"], (key, reply.status, reply.text))
    need(KEY.hex() not in reply.text and base64.b64encode(KEY).decode() not in reply.text, "no key in words")


@test("keys of the default namespace and of another, in each form", "CRY-02 CRY-03")
def names():
    for name in ("keys/raw", "keys/b64", "jwk/k", "prod/keys/raw"):
        status, wrapped, text = wrap(name)
        equal((status, unwrap(KEY, wrapped)), (200, PLAIN), text)
    equal(unwrap(OTHER, wrap("other/keys/raw")[1]), PLAIN)
    equal(unwrap(KEY, wrap("prod/keys/raw", "without")[1]), PLAIN)


@test("a key that is exchanged counts at once", "CRY-02")
def exchanged():
    api.put("prod", "turning", {"k": KEY})
    equal(unwrap(KEY, wrap("turning/k")[1]), PLAIN)
    api.put("prod", "turning", {"k": OTHER})
    equal(unwrap(OTHER, wrap("turning/k")[1]), PLAIN)


@test("names that are none, keys that are not there or no keys, a cluster that refuses", "CRY-02")
def refusals():
    for name in ("raw", "a/b/c/d", "keys"):
        refused(name, "key is not in a valid format: required namespace/secretName/key or secretName/key")
    refused("keys/raw", "key doesn't have a namespace and the default namespace isn't set", "without")
    refused("none/raw", 'secrets "none" not found')
    for name in ("keys/none", "keys/empty", "keys/", "../keys/raw", "prod/../raw", "prod/keys%2f../raw", "PROD/keys/raw"):
        refused(name, "key not found")
    refused("keys/bad.pem", "failed to parse key from secret")
    refused("keys/big", "failed to parse key from secret: it is too large")
    refused("closed/keys/raw", "forbidden")
    need(not any(".." in asked for asked in api.requests), "nothing that leads elsewhere was asked")


@test("a document is encrypted and decrypted with it; bytes that are no answer are an error", "CRY-10")
def documents():
    headers = [("dapr-key-name", "keys/raw"), ("dapr-key-wrap-algorithm", "AES")]
    sealed = sidecar.call("PUT", "/v1.0-alpha1/crypto/with/encrypt", b"text", headers)
    equal(sealed.status, 200)
    equal(sidecar.call("PUT", "/v1.0-alpha1/crypto/with/decrypt", sealed.body).body, b"text")
    for fault in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"data\":1", b"nonsense"):
        api.fault = fault
        equal(wrap("keys/raw")[0], 500, fault)
    api.fault = None
    equal(wrap("keys/raw")[0], 200)


if __name__ == "__main__":
    main()
