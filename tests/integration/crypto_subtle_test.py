# SPDX-License-Identifier: Apache-2.0
"""The subtle cryptography API: the vectors of a reference build that has it switched on, over gRPC and HTTP, and where
we are stricter."""

import sdk  # noqa: F401  isort: skip

import base64
import json

import grpc
from dapr.proto.runtime.v1 import crypto_pb2, dapr_pb2_grpc
from remora import Sidecar, component, equal, main, need, shared, test

KEYS = shared("golden", "crypto", "keys")
with open(shared("golden", "crypto", "subtle.json")) as file:
    GOLDEN = json.load(file)
with open(shared("golden", "crypto", "keys", "jwks-set.txt")) as file:
    JWKS = file.read()

SIDECAR = Sidecar(
    component("local", "crypto.dapr.localstorage", {"path": KEYS}), component("jwks", "crypto.dapr.jwks", {"jwks": JWKS}),
    app_id="subtle",
)  # fmt: skip
STUB = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{SIDECAR.grpc_port}"))
AAD = b"associated"
# Where we are stricter than the reference: it checks neither curve nor length of the digest.
STRICTER = {("ES384", "ec-p256.pem"), ("ES256", "ec-p256.pem", 64)}


def hexed(entry, name):
    return bytes.fromhex(entry.get(name, ""))


def encrypt(entry, **more):
    fields = {"component_name": "local", "algorithm": entry["algorithm"], "key_name": entry["key"],
              "nonce": hexed(entry, "nonce_hex"), "associated_data": hexed(entry, "associated_data_hex"), **more}  # fmt: skip
    if entry["op"] == "encrypt":
        answer = STUB.SubtleEncryptAlpha1(
            crypto_pb2.SubtleEncryptRequest(plaintext=hexed(entry, "plaintext_hex"), **fields), timeout=30)
        return answer.ciphertext, answer.tag
    answer = STUB.SubtleWrapKeyAlpha1(
        crypto_pb2.SubtleWrapKeyRequest(plaintext_key=hexed(entry, "plaintext_key_hex"), **fields), timeout=30)
    return answer.wrapped_key, answer.tag


def decrypt(entry, data, tag, **more):
    fields = {"component_name": "local", "algorithm": entry["algorithm"], "key_name": entry["key"], "tag": tag,
              "nonce": hexed(entry, "nonce_hex"), "associated_data": hexed(entry, "associated_data_hex"), **more}  # fmt: skip
    if entry["op"] == "encrypt":
        return STUB.SubtleDecryptAlpha1(crypto_pb2.SubtleDecryptRequest(ciphertext=data, **fields), timeout=30).plaintext
    return STUB.SubtleUnwrapKeyAlpha1(crypto_pb2.SubtleUnwrapKeyRequest(wrapped_key=data, **fields), timeout=30).plaintext_key


def sign(algorithm, key, digest, provider="local"):
    return STUB.SubtleSignAlpha1(crypto_pb2.SubtleSignRequest(component_name=provider, digest=digest, algorithm=algorithm,
                                                              key_name=key), timeout=30).signature


def verify(algorithm, key, digest, signature):
    return STUB.SubtleVerifyAlpha1(
        crypto_pb2.SubtleVerifyRequest(component_name="local", digest=digest, algorithm=algorithm, key_name=key,
                                       signature=signature), timeout=30).valid


def get_key(entry):
    kind = crypto_pb2.SubtleGetKeyRequest.JSON if entry["format"] == "JSON" else crypto_pb2.SubtleGetKeyRequest.PEM
    return STUB.SubtleGetKeyAlpha1(
        crypto_pb2.SubtleGetKeyRequest(component_name=entry["component"], name=entry["key"], format=kind), timeout=30)


def refusal(function, *arguments, **more):
    try:
        function(*arguments, **more)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"it was not refused: {arguments}")


def words(text):
    return text.replace("open /keys/", f"open {KEYS}/")


@test("every algorithm's vectors hold, in both directions", "CRY-01 X-CRY-02")
def vectors():
    count = 0
    for entry in GOLDEN["accepted"]:
        if entry["op"] not in ("encrypt", "wrapkey") or "case" in entry:
            continue
        is_wrap = entry["op"] == "wrapkey"
        plain = hexed(entry, "plaintext_key_hex" if is_wrap else "plaintext_hex")
        theirs = hexed(entry, "wrapped_key_hex" if is_wrap else "ciphertext_hex"), hexed(entry, "tag_hex")
        need(decrypt(entry, *theirs) == plain, entry)
        ours = encrypt(entry)
        if not entry["algorithm"].startswith("RSA"):
            equal(ours, theirs, entry["algorithm"])
        need(decrypt(entry, *ours) == plain, entry["algorithm"])
        count += 1
    need(count >= 40, count)


@test("signatures of the reference verify, ours do too, changed ones do not", "X-CRY-02")
def signatures():
    for entry in GOLDEN["accepted"]:
        if entry["op"] != "sign":
            continue
        algorithm, key, digest = entry["algorithm"], entry["key"], hexed(entry, "digest_hex")
        theirs = hexed(entry, "signature_hex")
        if (algorithm, key) in STRICTER or (algorithm, key, len(digest)) in STRICTER:
            equal(refusal(sign, algorithm, key, digest), ("INTERNAL", "failed to perform operation: failed to sign"))
            equal(refusal(verify, algorithm, key, digest, theirs)[0], "INTERNAL")
            continue
        ours = sign(algorithm, key, digest)
        for signature in (theirs, ours):
            need(verify(algorithm, key, digest, signature), entry)
            need(not verify(algorithm, key, digest, signature[:-1] + bytes([signature[-1] ^ 1])), algorithm)
            need(not verify(algorithm, key, digest, signature[:5]), algorithm)
            other = bytes([digest[0] ^ 1]) + digest[1:]
            need(not verify(algorithm, key, other, signature), algorithm)


@test("what the reference refuses is refused in its words", "X-CRY-02")
def refused():
    cases = 0
    base = {"op": "encrypt", "algorithm": "A256GCM", "key": "oct256.json", "nonce_hex": "00" * 12, "plaintext_hex": "aa" * 64}
    by_case = {
        "GCM nonce of 16": {"nonce_hex": "00" * 16}, "GCM no nonce": {"nonce_hex": ""},
        "CBC nonce of 12": {"algorithm": "A256CBC"}, "NOPAD with 10 bytes": {"algorithm": "A256CBC-NOPAD"},
        "A256GCM with a 128-bit key": {"key": "oct128.json"},
        "A128GCM with a 256-bit key": {"algorithm": "A128GCM"}, "RSA key for GCM": {"key": "rsa2048.pem"},
        "oct key for RSA-OAEP": {"algorithm": "RSA-OAEP"},
        "RSA-OAEP-256 with 300 bytes": {"algorithm": "RSA-OAEP-256", "key": "rsa2048.pem", "plaintext_hex": "aa" * 300},
        "missing key": {"key": "nokey"}, "component unknown": {},
        "A256KW with 10 bytes": {"algorithm": "A256KW", "plaintext_hex": "aa" * 10},
        "key with alg A256KW used for A256GCM": {"key": "oct256-alg.json"},
    }  # fmt: skip
    sealed = encrypt(base)
    changed = {"wrong tag": (sealed[0], b"\0" * 16), "tag of 8 bytes": (sealed[0], sealed[1][:8]), "no tag": (sealed[0], b""),
               "ciphertext changed": (b"\0" + sealed[0][1:], sealed[1])}  # fmt: skip
    for entry in GOLDEN["refused"]:
        wanted = entry["code"], words(entry["message"])
        if entry["op"] == "getkey":
            found = refusal(get_key, entry)
        elif entry["op"] == "sign":
            found = refusal(sign, entry["algorithm"], entry["key"], hexed(entry, "digest_hex"))
        elif entry["op"] == "decrypt":
            found = refusal(decrypt, base, *changed[entry["case"]])
        elif "case" in entry:
            more = {"component_name": "zzz"} if entry["case"] == "component unknown" else {}
            found = refusal(encrypt, {**base, **by_case[entry["case"]]}, **more)
        else:
            found = refusal(encrypt, entry)
        equal(found, wanted, {k: v for k, v in entry.items() if not k.endswith("hex")})
        cases += 1
    need(cases > 50, cases)


@test("public keys are shown as the reference shows them, symmetric ones are not", "CRY-02 X-CRY-02")
def public_keys():
    for entry in GOLDEN["getkey"]:
        answer = get_key(entry)
        equal((answer.name, answer.public_key), (entry["name"], entry["public_key"]), entry["key"])


@test("over HTTP: bodies, answers and what is refused as the reference", "X-CRY-02")
def http():
    for entry in GOLDEN["http_api"]:
        method, target = entry["request"].split(" ")
        reply = SIDECAR.call(method, target, json.dumps(entry["body"]), [("Content-Type", "application/json")])
        equal((reply.status, reply.text), (entry["status"], words(entry["answer"])), target)
    body = {"plaintext": "", "algorithm": "A256GCM", "key_name": "oct256.json", "nonce": base64.urlsafe_b64encode(
        b"\xff" * 12).decode().rstrip("="), "unknown": {"a": [1]}}  # fmt: skip
    reply = SIDECAR.call("POST", "/v1.0-alpha1/subtlecrypto/local/encrypt", json.dumps(body))
    equal((reply.status, list(reply.json)), (200, ["tag"]), reply.text)
    equal(SIDECAR.call("POST", "/v1.0-alpha1/subtlecrypto/zzz/encrypt", json.dumps(body)).json["errorCode"],
          "ERR_CRYPTO_PROVIDER_NOT_FOUND")
    reply = SIDECAR.call("POST", "/v1.0-alpha1/subtlecrypto/local/getkey", json.dumps({"name": "nobody"}))
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_CRYPTO_KEY"))
    need(reply.json["message"].startswith("failed to retrieve key nobody: "), reply.text)


def ask(verb, target, **body):
    reply = SIDECAR.call(verb, target, json.dumps({k: b64(v) if isinstance(v, bytes) else v for k, v in body.items()}))
    equal(reply.status, 200, reply.text)
    return reply.json


def b64(data):
    return base64.b64encode(data).decode()


@test("over HTTP: what one operation makes another takes", "X-CRY-02")
def http_round_trips():
    octets, rsa = {"algorithm": "C20P", "keyName": "oct256.json", "nonce": b"n" * 12}, {"keyName": "rsa2048.pem"}
    sealed = ask("POST", "/v1.0-alpha1/subtlecrypto/local/encrypt", plaintext=b"text", **octets)
    opened = ask("POST", "/v1.0-alpha1/subtlecrypto/local/decrypt", **sealed, **octets)
    equal(opened, {"plaintext": b64(b"text")})
    wrapped = ask("POST", "/v1.0-alpha1/subtlecrypto/local/wrapkey", plaintextKey=b"k" * 24, algorithm="RSA-OAEP-512", **rsa)
    opened = ask("POST", "/v1.0-alpha1/subtlecrypto/local/unwrapkey", **wrapped, algorithm="RSA-OAEP-512", **rsa)
    equal(opened, {"plaintextKey": b64(b"k" * 24)})
    signed = ask("POST", "/v1.0-alpha1/subtlecrypto/local/sign", digest=b"d" * 48, algorithm="PS384", **rsa)
    equal(ask("POST", "/v1.0-alpha1/subtlecrypto/local/verify", digest=b"d" * 48, algorithm="PS384", **signed, **rsa), {"valid": True})
    key = ask("POST", "/v1.0-alpha1/subtlecrypto/jwks/getkey", name="rsa1", format=1)
    equal(json.loads(key["publicKey"])["kid"], "rsa1")


main()
