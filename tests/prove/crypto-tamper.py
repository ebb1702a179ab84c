# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 120
"""Experiment crypto-tamper: a small document with one bit flipped, for every bit of it, with both ciphers and both ways to
wrap its key; and cut at every length, prolonged, with its segments exchanged. Every one is refused, with a code, and nothing
of it is released; the sidecar and the original are well afterwards."""
import _prove

import sdk  # noqa: F401  isort: skip

import os

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import crypto_pb2, dapr_pb2_grpc

import remora
from _prove import by_length, rng
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

claims = _prove.Claims()
STEP = by_length(11, 1, 1)  # flips of the short form
folder = remora.Folder()
os.mkdir(folder / "keys")
with open(folder / "keys/octets", "wb") as f:
    f.write(rng.randbytes(32))
with open(folder / "keys/pair.pem", "wb") as f:
    f.write(rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
sidecar = remora.Sidecar(remora.component("local", "crypto.dapr.localstorage", {"path": folder / "keys"}), folder=folder)
stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def messages(kind, options, data):
    yield kind(options=options, payload=common_pb2.StreamPayload(data=data, seq=0))


def encrypt(data, **options):
    options = crypto_pb2.EncryptRequestOptions(component_name="local", **options)
    return b"".join(a.payload.data for a in stub.EncryptAlpha1(messages(crypto_pb2.EncryptRequest, options, data), timeout=30))


def decrypt(document):
    """What is released, and the code it ends with."""
    options, got = crypto_pb2.DecryptRequestOptions(component_name="local"), b""
    try:
        for answer in stub.DecryptAlpha1(messages(crypto_pb2.DecryptRequest, options, document), timeout=30):
            got += answer.payload.data
        return got, "OK"
    except grpc.RpcError as error:
        return got, error.code().name


def judge(name, changed):
    tried = refused = 0
    released, codes = [], set()
    for document in changed:
        got, code = decrypt(document)
        tried += 1
        refused += code != "OK"
        codes.add(code)
        released += [got] if got else []
    claims.holds(f"{name}: {refused} of {tried} refused", refused == tried and tried > 0, str(sorted(codes)))
    claims.holds(f"{name}: nothing is released", not released, str(len(released)))
    return tried


def flips(document, step):
    for bit in range(0, len(document) * 8, step):
        changed = bytearray(document)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


total = 0
secret = rng.randbytes(1024)
for key_name, algorithm in (("octets", "A256KW"), ("pair.pem", "RSA-OAEP-256")):
    for cipher in ("aes-gcm", "chacha20-poly1305"):
        document = encrypt(secret, key_name=key_name, key_wrap_algorithm=algorithm, data_encryption_cipher=cipher)
        name = f"{algorithm}, {cipher}"
        total += judge(f"{name}, one bit", flips(document, STEP if algorithm == "A256KW" else 4 * STEP))
        total += judge(f"{name}, cut", (document[:end] for end in range(0, len(document), STEP)))
        total += judge(f"{name}, prolonged", (document + rng.randbytes(n) for n in (1, 16, 17, 65536)))
        remora.equal(decrypt(document), (secret, "OK"))
big = encrypt(rng.randbytes(3 * 65536), key_name="octets", key_wrap_algorithm="AES")
head, body = big[: -3 * 65552], big[-3 * 65552 :]
first, second, third = body[:65552], body[65552 : 2 * 65552], body[2 * 65552 :]
total += judge("segments exchanged", (head + b"".join(parts) for parts in (
    (second, first, third), (third,), (third, first, second), (second, third), (second,))))
claims.holds("the sidecar is well", sidecar.healthz() == 204)
claims.end(f"crypto-tamper: {total} of {total} refused, seed {_prove.SEED}")
