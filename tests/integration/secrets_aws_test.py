#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""secretstores.aws.secretsmanager and secretstores.aws.parameterstore against moto, which judges signatures; a fake that
says it is one answers what no service would. timeout: 120"""
import json
import os
import signal

from http_app import App, answer
from remora import Sidecar, Store, component, equal, eventually, main, need, test
from servers import Aws

aws = Aws()
SECRET = "sw0rdf1sh-of-a-secret"
TAKER = """
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: taker}
spec:
  type: state.sqlite
  version: v1
  metadata:
    - {name: connectionString, secretKeyRef: {name: connection, key: connection}}
auth: {secretStore: aws}
"""
MANAGER, PARAMETERS = "secretstores.aws.secretsmanager", "secretstores.aws.parameterstore"


def store(name, kind=MANAGER, **metadata):
    return component(name, kind, {"region": "us-east-1", "endpoint": aws.url, "accessKey": aws.access_key,
                                  "secretKey": aws.secret_key, **metadata})


def get(sidecar, path):
    return sidecar.call("GET", f"/v1.0/secrets/{path}")


def found(sidecar, path):
    reply = get(sidecar, path)
    equal(reply.status, 200, reply.text)
    return reply.json


def failed(sidecar, path):
    reply = get(sidecar, path)
    equal(reply.status, 500, reply.text)
    return reply.json["message"]


def missing(sidecar, path, name):
    need(f"secret {name} not found" in failed(sidecar, path), failed(sidecar, path))


def put(name, text, **more):
    return aws.call("secretsmanager", "create_secret", Name=name, SecretString=text, **more)["VersionId"]


def put_parameter(name, text, **more):
    made = aws.call("ssm", "put_parameter", Name=name, Value=text, Type="SecureString", **more)
    need("Version" in made, made)


@test("a secret of Secrets Manager is its text; versions and stages are asked for", "SEC-01 SEC-03")
def manager():
    first = put("db", f'{SECRET} "q" <ü>\n')
    second = aws.call("secretsmanager", "put_secret_value", SecretId="db", SecretString="second")["VersionId"]
    aws.call("secretsmanager", "create_secret", Name="bytes", SecretBinary="AAEC")
    sidecar = Sidecar(store("aws"))
    equal(found(sidecar, "aws/db"), {"db": "second"})
    equal(found(sidecar, f"aws/db?metadata.version_id={first}"), {"db": f'{SECRET} "q" <ü>\n'})
    equal(found(sidecar, f"aws/db?metadata.version_id={second}"), {"db": "second"})
    equal(found(sidecar, "aws/db?metadata.version_stage=AWSPREVIOUS"), {"db": f'{SECRET} "q" <ü>\n'})
    equal(found(sidecar, "aws/bytes"), {})
    missing(sidecar, "aws/none", "none")
    missing(sidecar, "aws/db?metadata.version_id=00000000-0000-0000-0000-000000000000", "db")
    missing(sidecar, "aws/" + "x" * 3000, "x" * 3000)
    need("capabilities" not in sidecar.metadata()["components"][0], "it has none")
    need(SECRET not in sidecar.log(), "a secret in the log")
    sidecar.end()


@test("a secret with several values is their map, if the component wants that", "SEC-03 X-SEC-02")
def several():
    put("map", json.dumps({"user": "ann", "n": 5, "nested": {"a": [1, None]}, "nul": None}))
    put("list", "[1]")
    put("odd", '{"a":"cut\\u0000here"}')
    sidecar = Sidecar(store("aws", multipleKeyValuesPerSecret="true"), store("plain"))
    equal(found(sidecar, "aws/map"), {"user": "ann", "n": "5", "nested": '{"a":[1,null]}', "nul": "null"})
    equal(found(sidecar, "aws/list"), {"list": "[1]"})
    equal(found(sidecar, "aws/odd"), {"odd": '{"a":"cut\\u0000here"}'})
    equal(list(found(sidecar, "plain/map")), ["map"])
    equal(sidecar.metadata()["components"][0]["capabilities"], ["MULTIPLE_KEY_VALUES_PER_SECRET"])
    equal(found(sidecar, "aws/bulk")["map"]["user"], "ann")
    sidecar.end()


@test("a parameter is its text, decrypted, below the component's prefix; versions are asked for", "SEC-01 SEC-03")
def parameter():
    put_parameter("/app/db", "first")
    put_parameter("/app/db", "second", Overwrite=True)
    put_parameter("plain", "outside")
    sidecar = Sidecar(store("aws", PARAMETERS), store("app", PARAMETERS, prefix="/app/"))
    equal(found(sidecar, "aws/plain"), {"plain": "outside"})
    equal(found(sidecar, "aws/%2Fapp%2Fdb"), {"/app/db": "second"})
    equal(found(sidecar, "app/db"), {"db": "second"})
    equal(found(sidecar, "app/db?metadata.version_id=1"), {"db": "first"})
    missing(sidecar, "app/db?metadata.version_id=7", "db")
    missing(sidecar, "app/plain", "plain")
    sidecar.end()


@test("all secrets are all pages of the list", "SEC-02 SEC-04")
def everything():
    for i in range(103):
        put(f"many/{i}", f"value {i}")
        put_parameter(f"/many/{i}", f"value {i}")
    put("gone", "x")
    aws.call("secretsmanager", "delete_secret", SecretId="gone")
    sidecar = Sidecar(store("aws"), store("ssm", PARAMETERS, prefix="/many/"), store("empty", PARAMETERS, prefix="/nothing"))
    secrets = found(sidecar, "aws/bulk")
    equal({name: pairs for name, pairs in secrets.items() if name.startswith("many/")},
          {f"many/{i}": {f"many/{i}": f"value {i}"} for i in range(103)})
    need("gone" not in secrets, "a deleted one")
    equal(found(sidecar, "ssm/bulk"), {str(i): {str(i): f"value {i}"} for i in range(103)})
    equal(found(sidecar, "empty/bulk"), {})
    sidecar.end()


@test("other components take their secrets from it, and a killed plugin is replaced", "SEC-05")
def referred():
    put("connection", ":memory:")
    sidecar = Sidecar(store("aws"), TAKER)
    equal(Store(sidecar, "taker").save("k", 1).status, 204)
    pid = sidecar.plugin_pid("aws")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: get(sidecar, "aws/connection").status == 200 and sidecar.plugin_pid("aws") != pid, "it is back")
    sidecar.end()


@test("who is refused, and what is not there, is told of without a key", "SEC-05")
def refused():
    put("mine", SECRET)
    sidecar = Sidecar(store("wrong", secretKey="gu3ss"), store("stranger", PARAMETERS, accessKey="AKIAN0B0DY"),
                      store("nowhere", endpoint="http://127.0.0.1:9"))
    for path, words in (("wrong/mine", "operation error Secrets Manager: GetSecretValue, "), ("stranger/mine", "SSM: GetParameter"),
                        ("nowhere/mine", "couldn't get secret: operation error Secrets Manager: GetSecretValue, "),
                        ("wrong/bulk", "couldn't list secrets: "), ("stranger/bulk", "DescribeParameters")):
        said = failed(sidecar, path)
        need(words in said and "gu3ss" not in said and SECRET not in said, said)
    need("gu3ss" not in sidecar.log() and SECRET not in sidecar.log(), "a secret in the log")
    sidecar.end()
    for metadata, words in (({"region": ""}, "region is missing"), ({"accessKey": ""}, "accessKey and secretKey")):
        broken = Sidecar(store("broken", **metadata), wait=False)
        eventually(lambda: not broken.is_alive(), "the end")
        need(words in broken.log() and aws.secret_key not in broken.log(), f"{words} is not in the log")


@test("a service that says what makes no sense is not believed", "SEC-05")
def hostile():
    """A fake of a service: it answers what it is told to."""
    say = {}
    fake = App(lambda request, exchange: say[request.header("x-amz-target").partition(".")[2]])
    sidecar = Sidecar(store("aws", endpoint=f"http://127.0.0.1:{fake.port}"),
                      store("ssm", PARAMETERS, endpoint=f"http://127.0.0.1:{fake.port}", prefix="/p/"))
    for body in (b"", b"{", b"[]", b'"x"', b"{}", b'{"Name": 5, "SecretString": "x"}', b"[" * 5000,
                 b'{"Name": "db", "SecretString": "cut\\u0000here"}', b"\xff" * 100):
        say["GetSecretValue"] = answer(200, body)
        said = failed(sidecar, "aws/db")
        need("makes no sense" in said or "NUL" in said, f"{body[:40]}: {said}")
    say["GetSecretValue"] = answer(200, b'{"Name":"db","SecretString":"' + b"x" * 5_000_000 + b'"}')
    need("longer than 4194304 bytes" in failed(sidecar, "aws/db"), "it is bounded")
    say["GetParameter"] = answer(200, b'{"Parameter":{"Name":"/","Value":"x"}}')  # shorter than the prefix
    need("makes no sense" in failed(sidecar, "ssm/db"), "another name")
    token = b"The request signature does not match.\n\nx-amz-security-token:" + SECRET.encode()
    say["GetSecretValue"] = answer(403, json.dumps({"__type": "a#InvalidSignatureException", "message": token.decode()}).encode())
    said = failed(sidecar, "aws/db")
    need("InvalidSignatureException: The request signature does not match." in said and SECRET not in said, said)
    say["ListSecrets"] = answer(200, b'{"SecretList":[],"NextToken":"again"}')
    need("more than can be read at once" in failed(sidecar, "aws/bulk"), "a list without an end")
    names = [{"Name": f"/p/{i}"} for i in range(10001)] + [{"Name": "/q/other"}, {"Name": 5}, 7]
    say["DescribeParameters"] = answer(200, json.dumps({"Parameters": names}).encode())
    need("more than can be read at once" in failed(sidecar, "ssm/bulk"), "too many names")
    say["DescribeParameters"] = answer(200, json.dumps({"Parameters": names[-3:]}).encode())
    equal(found(sidecar, "ssm/bulk"), {})
    say["GetSecretValue"] = answer(400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}')
    need("ThrottlingException: Rate exceeded" in failed(sidecar, "aws/db"), "throttled")
    say["GetSecretValue"] = answer(200, b'{"Name":"db","SecretString":"fine"}')
    equal(found(sidecar, "aws/db"), {"db": "fine"})
    need(SECRET not in sidecar.log(), "a secret in the log")
    sidecar.end()


main()
