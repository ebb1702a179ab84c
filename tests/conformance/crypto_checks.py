# SPDX-License-Identifier: Apache-2.0
"""The requirements every crypto provider must meet; see checks.py."""
import hashlib
import json
import os

from checks import HANDLE, check
from kernel import need
import plugin_pb2 as pb

# Keys that a provider must hold to be judged: each stands in ${DIR} as a file of its name, and all in ${DIR}/jwks.json.
KEYS = {
    "conform-256": {"kty": "oct", "kid": "conform-256", "k": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
    "conform-rsa": {
        "kty": "RSA",
        "kid": "conform-rsa",
        "n": "oXNhlaeGUMdniDnfakAkzgoqaQD_YFt1E-PME8pfGYXo-1fRKA1SxGT0oXP3KWTaVuhh-N_oFjasuEWnCl5Qw6g_5gWJMV6H"
         "ytWGIxkjQBLdcvT3aIV0qJJV1x5B7fZI5gOavDhkDjW3ZCtz3r2Jkpagr7wRgQ59ALmR356S895cs-qIVzQIz5EYVU7grIsb"
         "G-jjZOaYYj9uNE-oCIZ9TGIpY41kt1vl28blONfktlh0w2BePOAi1cmcOZJjB1sUZHA0mJ2dctvF_xH5R-laIUjfX0hDWBvj"
         "cSvvPyEE2sj43zVdNF4aU5rfK0mkF3ahrtz1V2gOJT1Q9VVDXIqTLQ",
        "e": "AQAB",
        "d": "Fe69t_3dEkY0e14ZSq7SESdyYXdgOe_StNQCWkHor2fwoYxpfn5o2wM39GLzlaz8uEezX4LTXYkp55KWwaLUZ_AIVjA0Vf-Y"
         "hOaC5Wu5zS-C4-YBYjKXCXtvq9yRaklF1_FvaNhkR0Xm1vXMNNscwEw0IgtzeUvFkX6kIXPCVNyN85wB4GviWUVs7vI32oi9"
         "_mi6reJBPIvX4tdZpitdx2-lRkExY-neCSw7ywnPcCUYSVx9yZI_j6isN5ZsMm6PLSYwD4JUcXtwAZEEazN31WL9ImQGzDPf"
         "-nOO1YN49DWzGDPzCFtuux-2PU3yWNuJ8Ru6PX5Gl4tEtPnB16SzZQ",
        "p": "2M19Bimtsy7k-zx4pESPIkABq42OzjoPVfnymPJT6z0TyqCP8hzFsYgHzD8IKbEq0XgZklrNL51a4cFwTpzejygIzULfLik5"
         "ZYXaF-Bjs7vO7Jsv9Yj5l1Ak7hhtYkyN_ewRkaxMuhTOHJUvxl5vyCOV8qe7zUpEO6ozc_GFYOc",
        "q": "vqP6Rp2ARh_jWEqikfUfS8g-QUijEKsaqQPlXoUhor405vH2EWk8otQ2kqgLpBNWvoLk03jydC-2ls5vb2YfbNT2y6rnLlZC"
         "yIkPrqzo2fxiYi2eaKi6Qkkfz7EPD3Ub6rTT7_u0WmRl1nvfKORrnF1sd6cPe27jrsb2tnKf5Ms",
        "dp": "A6ikHYCCj-2Qq7S_jHYjvD48SPrgmBZev-Kx92bPh77GILtI8psNswtKpmXB64Iz6MkQFWo24EDVkc3D6W-4Sc4xJ9WjEpJb"
         "h50UqyZ8SEI5IcEUtB4VqDoQBXygC_KiytA7E6xGtzU2rUDPR5e8ZzJCi4_NGY_RSvh6WdCPoa0",
        "dq": "CMR10CWSLqdsxzS3gUrqo4uUAWCbzzpvQXKia9RnlZp1yGE8VdSnKz3jPJ9p2aPiC2TtrSQU0m8XUJwx18e0jkbFCtzTQPhK"
         "nfpftELTeqL2y1kZvep0lnPSeLTF4ooaPJMQZCsJQlb3sAOGYdUPdeN-B4qxVZXl9rXDxuRCoj0",
        "qi": "W8siJT0WrOxb5uChDia3Z13Uv7MITUuRbDOJjKWAUy_UHcp4PpPwjon5q8P7qeUDlNXfJsA_vjGKMNEewwAHhgMV8ZHEPX7N"
         "zZHxFBdQm037jDi6a66kjB0ke2rj3epLK1f2eT8XZsQD_LZ1nq36eS6JT718edlcVB22SsGKlx0",
    },
}
WRAPS = (("conform-256", "A256KW"), ("conform-rsa", "RSA-OAEP-256"))


def write_keys(folder):
    for name, key in KEYS.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(key, f)
    with open(os.path.join(folder, "jwks.json"), "w", encoding="utf-8") as f:
        json.dump({"keys": list(KEYS.values())}, f)


def ask(link, method, data=b"", **fields):
    return link.call(method, HANDLE, pb.CryptoRequest(**fields), data)


def run(link, method, data, **fields):
    """The answer's bytes and tag."""
    answer = ask(link, method, data, **fields)
    need(answer.status.code == 0, f"{pb.Method.Name(method)} {fields.get('algorithm')}: {answer.status.message}")
    return bytes(answer.body), answer.message(pb.CryptoReply).tag


def refused(answer, what):
    need(answer.status.code != 0, f"{what} was not refused")
    for key in KEYS.values():
        for part in ("k", "d"):
            need(key.get(part, "?") not in answer.status.message, "the reason tells a key")


@check(needs="crypto")
def crypto_wrap(bench):
    """wraps the keys of documents and unwraps them, with octets and RSA"""
    link = bench.component()
    for key, algorithm in WRAPS:
        secret = os.urandom(32)
        wrapped, tag = run(link, pb.METHOD_CRYPTO_WRAP, secret, key=key, algorithm=algorithm)
        need(tag == b"" and secret not in wrapped, "it is not wrapped")
        need(run(link, pb.METHOD_CRYPTO_UNWRAP, wrapped, key=key, algorithm=algorithm)[0] == secret, "it is another key")
        refused(ask(link, pb.METHOD_CRYPTO_UNWRAP, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), key=key, algorithm=algorithm),
                "a changed wrapped key")
        refused(ask(link, pb.METHOD_CRYPTO_UNWRAP, wrapped[:-8], key=key, algorithm=algorithm), "a cut wrapped key")
        refused(ask(link, pb.METHOD_CRYPTO_UNWRAP, b"", key=key, algorithm=algorithm), "no wrapped key")


@check(needs="crypto")
def crypto_kinds(bench):
    """refuses a key of another kind, an unknown one and an unknown algorithm, without a word of any key"""
    link = bench.component()
    for key, algorithm in (("conform-256", "RSA-OAEP-256"), ("conform-rsa", "A256KW"), ("no-such-key", "A256KW"),
                           ("conform-256", "ROT13"), ("conform-256", ""), ("../conform-256", "A256KW")):
        refused(ask(link, pb.METHOD_CRYPTO_WRAP, b"x" * 32, key=key, algorithm=algorithm), f"{algorithm} with {key}")
    refused(ask(link, pb.METHOD_CRYPTO_WRAP, b"x" * 32, algorithm="A256KW"), "a request without a key")
    run(link, pb.METHOD_CRYPTO_WRAP, b"x" * 32, key="conform-256", algorithm="A256KW")


@check(needs="crypto")
def crypto_encrypt(bench):
    """encrypts and decrypts with a tag; what was changed is refused"""
    link = bench.component()
    fields = {"key": "conform-256", "algorithm": "A256GCM", "nonce": b"n" * 12, "associated_data": b"more"}
    for data in (b"", b"x", os.urandom(1000000)):
        sealed, tag = run(link, pb.METHOD_CRYPTO_ENCRYPT, data, **fields)
        need(len(sealed) == len(data) and len(tag) == 16, f"{len(sealed)} bytes and a tag of {len(tag)}")
        need(run(link, pb.METHOD_CRYPTO_DECRYPT, sealed, tag=tag, **fields)[0] == data, "it is another text")
        for changed in ({"tag": bytes(16)}, {"tag": tag[:8]}, {"tag": tag, "nonce": b"m" * 12}, {"tag": tag, "associated_data": b"less"}):
            refused(ask(link, pb.METHOD_CRYPTO_DECRYPT, sealed, **{**fields, **changed}), f"{list(changed)} changed")


@check(needs="crypto")
def crypto_sign(bench):
    """signs digests, and tells a signature that fits from one that does not"""
    link = bench.component()
    digest = hashlib.sha256(b"message").digest()
    for algorithm in ("RS256", "PS256"):
        signature, _ = run(link, pb.METHOD_CRYPTO_SIGN, digest, key="conform-rsa", algorithm=algorithm)
        for given, other, wanted in ((signature, digest, True), (signature, bytes(32), False), (bytes(256), digest, False),
                                     (signature[:-1], digest, False)):
            answer = ask(link, pb.METHOD_CRYPTO_VERIFY, other, key="conform-rsa", algorithm=algorithm, signature=given)
            need(answer.status.code == 0, f"verify failed: {answer.status.message}")
            need(answer.message(pb.CryptoVerifyReply).valid == wanted, f"{algorithm}: valid is not {wanted}")
        refused(ask(link, pb.METHOD_CRYPTO_SIGN, digest + b"x", key="conform-rsa", algorithm=algorithm), "a long digest")


@check(needs="crypto")
def crypto_public(bench):
    """shows the public half of a key and no more"""
    link = bench.component()
    for form in (pb.CRYPTO_KEY_FORMAT_PEM, pb.CRYPTO_KEY_FORMAT_JSON):
        answer = link.call(pb.METHOD_CRYPTO_GET_KEY, HANDLE, pb.CryptoGetKey(key="conform-rsa", format=form))
        need(answer.status.code == 0, f"get key failed: {answer.status.message}")
        text = bytes(answer.body).decode()
        if form == pb.CRYPTO_KEY_FORMAT_PEM:
            need(text.startswith("-----BEGIN PUBLIC KEY-----\n"), text[:40])
        else:
            jwk = json.loads(text)
            need(jwk["n"] == KEYS["conform-rsa"]["n"] and not {"d", "p", "q", "dp", "dq", "qi"} & set(jwk), "not the public half")
        answer = link.call(pb.METHOD_CRYPTO_GET_KEY, HANDLE, pb.CryptoGetKey(key="conform-256", format=form))
        refused(answer, "showing a symmetric key")
