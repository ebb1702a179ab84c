# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Tokens at remora-sentry: those that open it (JWTs of a key set, join tokens), and the JWTs that it gives."""

import sdk  # noqa: F401  isort: skip

import base64
import http.server
import json
import os
import stat
import threading
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from remora import Folder, equal, eventually, main, need, test
from sentry_bed import CODES, OWN_ID, SHOP_ID, Sentry, chain_of, is_answered, uris


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number64(number):
    return url64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def public(key, kid, **more):
    """A JWK, written without our code."""
    one = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = one.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        made = {"kty": "OKP", "crv": "Ed25519", "x": url64(raw)}
    elif isinstance(key, rsa.RSAPrivateKey):
        numbers = one.public_numbers()
        made = {"kty": "RSA", "n": number64(numbers.n), "e": number64(numbers.e)}
    else:
        numbers = one.public_numbers()
        made = {"kty": "EC", "crv": "P-256", "x": url64(numbers.x.to_bytes(32, "big")), "y": url64(numbers.y.to_bytes(32, "big"))}
    return {**made, "kid": kid, **more}


def jwt(key, kid="k", algorithm=None, **changes):
    claims = {"aud": [OWN_ID], "sub": SHOP_ID, "exp": int(time.time()) + 600, "iat": int(time.time()), **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    is_ed, is_rsa = isinstance(key, ed25519.Ed25519PrivateKey), isinstance(key, rsa.RSAPrivateKey)
    header = {"alg": algorithm or ("EdDSA" if is_ed else "RS256" if is_rsa else "ES256"), "kid": kid}
    text = f"{url64(json.dumps(header).encode())}.{url64(json.dumps(claims).encode())}"
    if is_ed:
        signature = key.sign(text.encode())
    elif is_rsa:
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{text}.{url64(signature)}"


def jwks_mtls(source, **options):
    lines = [f"        {name}: {json.dumps(value)}\n" for name, value in {"source": source, **options}.items()]
    return "    tokenValidators:\n    - name: jwks\n      options:\n" + "".join(lines)


KEYS = {"ed": ed25519.Ed25519PrivateKey.generate(), "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048)}  # fmt: skip
SET = json.dumps({"keys": [public(key, kid) for kid, key in KEYS.items()]})


@test("a token signed by a key of the set is believed, for whom and for what it says", "INV-53")
def _():
    folder = Folder()
    sentry = Sentry(folder=folder, mtls=jwks_mtls(folder.write("keys.json", SET)))
    client = sentry.client()
    for kid, key in KEYS.items():
        equal(uris(chain_of(client.ask(token=jwt(key, kid), token_validator=3))[0]), [SHOP_ID])
    good, now = KEYS["ed"], int(time.time())
    client.ask(token=jwt(good, "ed", exp=now - 200, aud=OWN_ID), token_validator=3)
    client.ask(token=jwt(good, "ed", exp=None), token_validator=3)
    denied = [
        ("\"exp\" not satisfied", jwt(good, "ed", exp=now - 400)),
        ("\"nbf\" not satisfied", jwt(good, "ed", nbf=now + 400)),
        ("\"aud\" not satisfied", jwt(good, "ed", aud=["x"])),
        ("\"sub\" not satisfied", jwt(good, "ed", sub="spiffe://public/ns/default/bank")),
        ("no key of the set fits the token", jwt(good, "zz")),
        ("no key of the set fits the token", jwt(good, "rsa")),
        ("the token's algorithm is not supported", jwt(good, "ed", "none")),
        ("the token is malformed", "x"),
        ("could not verify message using any of the signatures or keys",
         jwt(ed25519.Ed25519PrivateKey.generate(), "ed")),
    ]  # fmt: skip
    for words, token in denied:
        client.refused(CODES.PERMISSION_DENIED, f"token validation failed: {words}", token=token, token_validator=3)
    client.refused(CODES.PERMISSION_DENIED, "the request does not contain a token", token_validator=3)
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=1)
    client.refused(CODES.INVALID_ARGUMENT, "a validator name must be specified in this environment")
    need("eyJ" not in sentry.log(), "no token is logged")


@test("keys that change in the file count, and broken ones do not", "INV-53")
def _():
    folder, new = Folder(), ed25519.Ed25519PrivateKey.generate()
    path = folder.write("keys.json", SET)
    sentry = Sentry(folder=folder, mtls=jwks_mtls(path))
    client = sentry.client()
    client.refused(CODES.PERMISSION_DENIED, token=jwt(new, "new"), token_validator=3)
    folder.write("keys.tmp", json.dumps({"keys": [public(new, "new")]}))
    os.rename(folder / "keys.tmp", path)
    eventually(lambda: "reloading" in sentry.log(), "the change is seen")
    eventually(lambda: is_answered(client, token=jwt(new, "new"), token_validator=3), "the new key counts")
    client.refused(CODES.PERMISSION_DENIED, token=jwt(KEYS["ed"], "ed"), token_validator=3)
    folder.write("keys.json", "{")
    eventually(lambda: "the old one stays" in sentry.log(), "the broken file is seen")
    client.ask(token=jwt(new, "new"), token_validator=3)


@test("keys come from the Configuration itself, and from a URL", "INV-53")
def _():
    for text in (SET, base64.b64encode(SET.encode()).decode()):
        Sentry(mtls=jwks_mtls(text)).client().ask(token=jwt(KEYS["ec"], "ec"), token_validator=3)
    served = [503]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(served[0])
            self.send_header("Content-Length", str(len(SET)))
            self.end_headers()
            self.wfile.write(SET.encode())

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sentry = Sentry(mtls=jwks_mtls(f"http://127.0.0.1:{server.server_port}/keys?x=1", minRefreshInterval="2s"))
    client = sentry.client()
    eventually(lambda: "Failed to fetch JWKS: it answers 503" in sentry.log(), "the failure is logged")
    client.refused(CODES.PERMISSION_DENIED, "token validation failed: no keys are known yet",
                   token=jwt(KEYS["ec"], "ec"), token_validator=3)  # fmt: skip
    served[0] = 200
    eventually(lambda: is_answered(client, token=jwt(KEYS["ec"], "ec"), token_validator=3), "the keys are there")
    server.shutdown()


@test("a join token opens the mesh to whoever shows it", "INV-53")
def _():
    folder = Folder()
    path = folder.write("tokens", "# for the shop\nsecret-of-the-shop-1\n\n  secret-of-the-bank-2\r\n")
    sentry = Sentry("--join-token-file", path, folder=folder)
    client = sentry.client()
    for token in ("secret-of-the-shop-1", "secret-of-the-bank-2", "secret-of-the-shop-1\n"):
        for validator in (0, 3):
            client.ask(token=token, token_validator=validator)
    unknown = "token validation failed: the join token is not known"
    for token in ("secret-of-the-shop-", "secret-of-the-shop-11", "# for the shop", "x", " " * 16):
        client.refused(CODES.PERMISSION_DENIED, unknown, token=token)
    client.refused(CODES.PERMISSION_DENIED, "the request does not contain a token")
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=1)
    folder.write("tokens", "another-secret-3\n")
    eventually(lambda: is_answered(client, token="another-secret-3"), "the new token counts")
    client.refused(CODES.PERMISSION_DENIED, unknown, token="secret-of-the-shop-1")
    folder.write("tokens", "short\n")
    eventually(lambda: "the old ones stay: line 1: a join token has at least 16" in sentry.log(), "it is refused")
    client.ask(token="another-secret-3")
    need("secret" not in sentry.log(), "no token is logged")


@test("JWTs come with the certificate where that is asked for", "INV-53")
def _():
    sentry = Sentry("--jwt-enabled", "--jwt-issuer", "https://issuer.test", "--jwt-ttl", "1h")
    equal(stat.S_IMODE(os.stat(sentry.folder / "creds/jwt.key").st_mode), 0o600)
    answer = sentry.client().ask(jwt_audiences=["https://bank.test", "x\"y"])
    (one,) = json.loads(sentry.read("jwks.json"))["keys"]
    equal((one["kty"], one["alg"], one["use"]), ("RSA", "RS256", "sig"))
    number = lambda name: int.from_bytes(base64.urlsafe_b64decode(one[name] + "=="), "big")  # noqa: E731
    key = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    equal(sorted(answer.per_audience_jwts), ["https://bank.test", "x\"y"])
    for audience, token in [("public", answer.jwt), *answer.per_audience_jwts.items()]:
        head, claims, signature = token.split(".")
        key.verify(base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        equal(json.loads(base64.urlsafe_b64decode(head + "==")), {"alg": "RS256", "kid": one["kid"], "typ": "JWT"})
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        equal((said["aud"], said["sub"], said["iss"]), ([audience], SHOP_ID, "https://issuer.test"))
        equal((said["exp"] - said["iat"], said["iat"] - said["nbf"]), (3600, 900))
    sentry.stop()
    again = Sentry("--jwt-enabled", folder=sentry.folder)
    equal(json.loads(again.read("jwks.json"))["keys"], [one])
    again.client().refused(CODES.INVALID_ARGUMENT, "too many JWT audiences", jwt_audiences=["a"] * 17)


main()
