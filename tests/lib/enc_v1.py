# SPDX-License-Identifier: Apache-2.0
"""The document scheme dapr.io/enc/v1, read and written by its description alone with the library `cryptography`: what
the sidecar encrypts opens here, and what is written here opens there. Knows nothing of the product."""

import base64
import hashlib
import hmac
import json
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SCHEME = b"dapr.io/enc/v1"
SEGMENT = 65536
TAG = 16
A256KW, RSA_OAEP_256 = 1, 5
CIPHERS = {1: AESGCM, 2: ChaCha20Poly1305}


class Refused(Exception):
    """It is no document, or not the one that was written."""


def plaintext(size):
    """What the golden documents hold."""
    return bytes((i * i + 7 * i + 3) % 256 for i in range(256)) * (size // 256) + bytes(
        (i * i + 7 * i + 3) % 256 for i in range(size % 256)
    )


def load_key(path):
    """Octets, or a private or public key: PEM, a JWK with octets, base64 or raw bytes."""
    with open(path, "rb") as f:
        text = f.read()
    if text.startswith(b"-----"):
        load = serialization.load_pem_public_key if b"PUBLIC" in text[:40] else load_private
        return load(text)
    if text.startswith(b"{"):
        return octets(json.loads(text)["k"])
    return text if len(text) in (16, 24, 32) else base64.b64decode(text)


def load_private(text):
    return serialization.load_pem_private_key(text, None)


def octets(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _oaep():
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def _derive(file_key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(file_key)


def _nonce(prefix, number, is_last):
    return prefix + struct.pack(">I", number) + (b"\1" if is_last else b"\0")


def split(document):
    """The manifest, the signed lines, the MAC, the segments' bytes."""
    parts = document.split(b"\n", 3)
    if len(parts) != 4 or parts[0] != SCHEME:
        raise Refused("no header")
    return json.loads(parts[1]), b"\n".join(parts[:2]) + b"\n", base64.b64decode(parts[2]), parts[3]


def file_key(document, key):
    manifest = split(document)[0]
    wrapped = base64.b64decode(manifest["wfk"])
    if manifest["kw"] == A256KW:
        return keywrap.aes_key_unwrap(key, wrapped)
    if manifest["kw"] == RSA_OAEP_256:
        return key.decrypt(wrapped, _oaep())
    raise Refused("another way to wrap")


def decrypt(document, key):
    manifest, signed, mac, rest = split(document)
    unwrapped, prefix = file_key(document, key), base64.b64decode(manifest["np"])
    if len(unwrapped) != 32 or len(prefix) != 7:
        raise Refused("lengths")
    if hmac.new(_derive(unwrapped, None, b"header"), signed, hashlib.sha256).digest() != mac:
        raise Refused("MAC")
    cipher = CIPHERS[manifest["cph"]](_derive(unwrapped, prefix, b"payload"))
    out = []
    for number, at in enumerate(range(0, len(rest), SEGMENT + TAG)):
        is_last = at + SEGMENT + TAG >= len(rest)
        try:
            out.append(cipher.decrypt(_nonce(prefix, number, is_last), rest[at : at + SEGMENT + TAG], None))
        except InvalidTag:
            raise Refused(f"segment {number}") from None
    return b"".join(out)


def encrypt(data, key, key_name, kw, cph):
    fresh, prefix = os.urandom(32), os.urandom(7)
    wrapped = keywrap.aes_key_wrap(key, fresh) if kw == A256KW else key.encrypt(fresh, _oaep())
    manifest = {"k": key_name, "kw": kw, "wfk": base64.b64encode(wrapped).decode(), "cph": cph,
                "np": base64.b64encode(prefix).decode()}  # fmt: skip
    signed = SCHEME + b"\n" + json.dumps(manifest, separators=(",", ":")).encode() + b"\n"
    mac = hmac.new(_derive(fresh, None, b"header"), signed, hashlib.sha256).digest()
    cipher = CIPHERS[cph](_derive(fresh, prefix, b"payload"))
    segments = []
    for number, at in enumerate(range(0, len(data), SEGMENT)):
        segments.append(cipher.encrypt(_nonce(prefix, number, at + SEGMENT >= len(data)), data[at : at + SEGMENT], None))
    return signed + base64.b64encode(mac) + b"\n" + b"".join(segments)
