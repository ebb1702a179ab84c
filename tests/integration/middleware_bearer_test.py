#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""middleware.http.bearer: which tokens go on, with an issuer of the test's own; keys that change, that cannot be had, and
answers of the issuer that make no sense."""

import sdk  # noqa: F401  isort: skip

import json
import time

from http_app import App, answer
from oidc import Issuer, Key, hmac_of, url64
from remora import Folder, Sidecar, component, equal, eventually, main, need, test

KIND = "middleware.http.bearer"
INVOKE = "/v1.0/invoke/back/method"
RSA, EC = Key("rsa"), Key("ec", "ES256")


class Bed:
    def __init__(self, server, wait=True, **metadata):
        self.app = App()
        folder = Folder()
        config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
                              f"spec: {{httpPipeline: {{handlers: [{{name: token, type: {KIND}}}]}}}}\n")
        metadata = {"issuer": server.url, "audience": "my-app", **metadata}
        self.sidecar = Sidecar(component("token", KIND, {k: v for k, v in metadata.items() if v}), app_id="back",
                               folder=folder, flags=["--app-port", str(self.app.port), "--config", config], wait=False)
        if wait:
            eventually(lambda: "dapr initialized" in self.sidecar.log(), "the sidecar is ready")

    def status(self, token, name="Authorization", prefix="Bearer "):
        headers = [] if token is None else [(name, prefix + token)]
        reply = self.sidecar.call("GET", INVOKE + "/a", headers=headers)
        if reply.status == 401:
            equal((reply.body, reply.header("Content-Type")), (b"Unauthorized", "text/plain; charset=utf-8"))
        return reply.status


@test("tokens of the issuer's keys go on, others are refused with 401", "INV-U09")
def tokens():
    issuer = Issuer(RSA, EC)
    bed, now = Bed(issuer), time.time()
    good = issuer.token(RSA)
    for token in (good, issuer.token(EC), issuer.token(RSA, aud=["x", "my-app"]), issuer.token(RSA, exp=None, iat=None),
                  issuer.token(RSA, exp=now - 200, nbf=now + 200)):
        equal(bed.status(token), 200, token)
    equal(bed.status(good, name="authorization", prefix="bEARER "), 200)
    head, claims, signature = good.split(".")
    other = Key("rsa")
    stolen = json.dumps(RSA.public()).encode()
    bad = {
        "nothing": None, "no token": "x", "two parts": f"{head}.{claims}", "four parts": good + ".x",
        "another's signature": f"{head}.{claims}.{issuer.token(RSA, sub='x').split('.')[2]}",
        "another's key": issuer.token(other), "an unknown key": issuer.token(Key("ghost")),
        "no key": issuer.token(RSA, header={"kid": None}),
        "a key of another kind": issuer.token(EC, header={"kid": "rsa"}),
        "no algorithm": issuer.token(RSA, header={"alg": "none"}, signature=lambda text: b""),
        "HMAC with what is public": issuer.token(RSA, header={"alg": "HS256"}, signature=hmac_of(stolen)),
        "critical": issuer.token(RSA, header={"crit": ["x"], "x": 1}),
        "another issuer": issuer.token(RSA, iss="http://127.0.0.1"), "no issuer": issuer.token(RSA, iss=None),
        "another audience": issuer.token(RSA, aud="other"), "audiences": issuer.token(RSA, aud=["a", 1]),
        "expired": issuer.token(RSA, exp=now - 400), "text for a time": issuer.token(RSA, exp="never"),
        "not yet": issuer.token(RSA, nbf=now + 400), "from the future": issuer.token(RSA, iat=now + 400),
        "claims that are a list": f"{head}.{url64(b'[]')}.{signature}", "huge": "a" * 7000,
    }
    for what, token in bad.items():
        equal(bed.status(token), 401, what)
    equal(bed.status(good, prefix="Basic "), 401)
    equal(bed.status(good, prefix="Bearer"), 401)
    equal({request.method for request in bed.app.requests}, {"GET"})
    need(good not in bed.sidecar.log() and signature not in bed.sidecar.log(), "tokens stand in the log")


@test("a new key is fetched when a token names it; keys that cannot be had leave the last ones", "INV-U09")
def rotation():
    issuer = Issuer(RSA)
    bed, new = Bed(issuer, jwksURL=issuer.url + "/keys"), Key("new")
    equal((bed.status(issuer.token(RSA)), bed.status(issuer.token(new))), (200, 401))
    issuer.keys = [RSA, new]
    # No more often than every ten seconds, whatever tokens say.
    eventually(lambda: bed.status(issuer.token(new)) == 200, "the new key is known", 30)
    issuer.stop()
    for _ in range(3):
        equal((bed.status(issuer.token(RSA)), bed.status(issuer.token(Key("ghost")))), (200, 401))


@test("an issuer that makes no sense fails the component, and with it the sidecar", "INV-U09")
def broken():
    document = "/.well-known/openid-configuration"
    for path, text, words in (
        (document, answer(404), "failed to retrieve OpenID Configuration: invalid response status code: 404"),
        (document, answer(200, b"{"), "failed to decode JSON response"),
        (document, answer(200, b"[" * 100000), "failed to decode JSON response"),
        (document, answer(200, b"{}"), "does not contain a 'jwks_uri'"),
        (document, answer(200, b'{"issuer":"x","jwks_uri":"http://127.0.0.1:9"}'), "doesn't match the one"),
        ("/keys", answer(500), "failed to fetch JWKS: invalid response status code: 500"),
        ("/keys", answer(200, b'{"keys":{}}'), "it is no set of keys"),
        ("/keys", answer(200, b'{"keys":[1]}'), "it is no set of keys"),
        ("/keys", answer(200, b"x" * 2_000_000), "failed to fetch JWKS"),
    ):
        issuer = Issuer(RSA)
        issuer.answers[path] = text
        bed = Bed(issuer, wait=False)
        equal(bed.sidecar.wait(30), 1, words)
        need(words in bed.sidecar.log(), bed.sidecar.log()[-1500:])
    for missing in ("issuer", "audience"):
        bed = Bed(issuer, wait=False, **{missing: ""})
        equal(bed.sidecar.wait(30), 1)
        need(f"metadata property '{missing}' is required" in bed.sidecar.log(), missing)


if __name__ == "__main__":
    main()
