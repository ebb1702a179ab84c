# SPDX-License-Identifier: Apache-2.0
"""An issuer of tokens as OpenID Connect has them: a configuration document, a set of keys, tokens signed by them, all
made with `cryptography` and without our code. Tests import sdk first."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from http_app import App, answer


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number64(number, length=None):
    return url64(number.to_bytes(length or (number.bit_length() + 7) // 8, "big"))


class Key:
    """RS256 or ES256, under a name."""

    def __init__(self, name, algorithm="RS256"):
        self.name, self.algorithm = name, algorithm
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(65537, 2048)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())

    def public(self, **more):
        numbers = self.private.public_key().public_numbers()
        if self.algorithm == "RS256":
            made = {"kty": "RSA", "n": number64(numbers.n), "e": number64(numbers.e)}
        else:
            made = {"kty": "EC", "crv": "P-256", "x": number64(numbers.x, 32), "y": number64(numbers.y, 32)}
        return {**made, "kid": self.name, **more}

    def sign(self, data):
        if self.algorithm == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Issuer(App):
    def __init__(self, *keys):
        self.keys = list(keys)
        self.answers = {}  # path: a whole answer instead of the proper one
        super().__init__(self.tell)
        self.url = f"http://127.0.0.1:{self.port}"

    def tell(self, request, exchange):
        if request.target in self.answers:
            return self.answers[request.target]
        if request.target == "/.well-known/openid-configuration":
            return answer(200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode())
        if request.target == "/keys":
            return answer(200, json.dumps({"keys": [key.public() for key in self.keys]}).encode())
        return answer(404)

    def token(self, key, header=None, signature=None, **claims):
        """Signed by the key; a claim of None is left out."""
        now = time.time()
        claims = {"iss": self.url, "aud": "my-app", "sub": "me", "iat": now, "exp": now + 600, **claims}
        head = {"alg": key.algorithm, "kid": key.name, "typ": "JWT", **(header or {})}
        parts = [{k: v for k, v in part.items() if v is not None} for part in (head, claims)]
        text = ".".join(url64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{url64(key.sign(text.encode()) if signature is None else signature(text.encode()))}"


def hmac_of(secret):
    """A signature with what everybody may read."""
    return lambda text: hmac.new(secret, text, hashlib.sha256).digest()
