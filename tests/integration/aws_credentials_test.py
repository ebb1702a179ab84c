#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where plugins find keys of AWS: STS and S3 are moto's, which judges who signed; what a container, an instance and a broken
STS would answer comes from a declared fake, whose S3 says in each object which key has signed the request for it. timeout: 240"""
import datetime
import json
import os
import re
import threading
import time
from urllib.parse import parse_qs

import providers
from http_app import App, answer
from remora import Folder, Sidecar, component, equal, eventually, main, need, test
from servers import Aws

SECRET = "s3cr3tThatNobodyMayTell/0123456789+abcdef"
TOKEN = "t0kenThatNobodyMayTell//////////=="
WEB_TOKEN = "eyJhbGciOiJub25lIn0.webTokenThatNobodyMayTell."
folder = Folder()
sidecars = []


class Agent(App):
    """A FAKE: of a container's agent, of an instance's metadata, of STS, and of an S3 that tells who asks."""

    def __init__(self):
        self.lifetime_s, self.fault, self.issued, self.web_tokens, self.asked = 3600, None, 0, [], []
        self.valid_until = 0.0  # of the newest keys, as time.monotonic() tells it
        self.gate = threading.Event()
        self.gate.set()
        self.keys = None  # others than its own
        super().__init__(self.say)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def credentials(self, token="Token"):
        self.issued += 1
        self.valid_until = time.monotonic() + self.lifetime_s
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.lifetime_s)
        key, secret, session = self.keys or (f"ASIAFAKE{self.issued:08}", SECRET, TOKEN)
        return {"AccessKeyId": key, "SecretAccessKey": secret, token: session,
                "Expiration": until.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if self.issued % 2 else "%Y-%m-%dT%H:%M:%SZ")}

    def say(self, request, _exchange):
        target = request.target.partition("?")[0]
        if target.startswith("/shop/"):
            found = re.search(r"Credential=([^/]+)/", request.header("authorization") or "")
            token = request.header("x-amz-security-token")
            return answer(200, f"{found and found.group(1)} {token is not None}".encode())
        self.asked.append((request.method, target))
        self.gate.wait(20)
        if self.fault is not None:
            return answer(*self.fault)
        if target == "/container":
            good = request.header("authorization") == "Basic " + TOKEN
            return answer(200, json.dumps(self.credentials()).encode()) if good else answer(403)
        if (request.method, target) == ("PUT", "/latest/api/token"):
            need(request.header("x-aws-ec2-metadata-token-ttl-seconds"), "a token has a lifetime")
            return answer(200, b"metadata-token")
        if target.startswith("/latest/meta-data/iam/security-credentials/"):
            if request.header("x-aws-ec2-metadata-token") != "metadata-token":
                return answer(401)
            name = target.rpartition("/")[2]
            return answer(200, b"the-role" if not name else json.dumps({"Code": "Success", **self.credentials()}).encode())
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form.get("Action") == "AssumeRoleWithWebIdentity":
            if "json" in (request.header("accept") or ""):
                return answer(406, b"{}")  # AWS's own would answer in JSON then, which moto does not
            self.web_tokens.append(form["WebIdentityToken"])
            fields = "".join(f"<{n}>{v}</{n}>" for n, v in self.credentials("SessionToken").items())
            name = "AssumeRoleWithWebIdentity"
            return answer(200, f"<{name}Response><{name}Result><Credentials>{fields}</Credentials></{name}Result>"
                               f"</{name}Response>".encode())
        return answer(404)


agent = Agent()
OFF = {"AWS_EC2_METADATA_DISABLED": "true"}
CONTAINER = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url + "/container",
             "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic " + TOKEN, **OFF}


def bucket(name, region="eu-west-1", endpoint=None, **metadata):
    return component(name, "bindings.aws.s3", {"bucket": "shop", "region": region, "endpoint": endpoint or agent.url,
                                               "forcePathStyle": "true", **metadata})


def start(*resources, **env):
    made = Sidecar(*resources, env={"PATH": os.environ["PATH"], **env})
    sidecars.append(made)
    return made


def ask(sidecar, name, operation="get", data=None):
    body = {"operation": operation, "metadata": {"key": "k"}, **({"data": data} if data is not None else {})}
    return sidecar.call("POST", f"/v1.0/bindings/{name}", json.dumps(body))


def signer(sidecar, name="shop"):
    reply = ask(sidecar, name)
    equal(reply.status, 200, reply.text)
    return reply.text


def signed(sidecar, name="shop"):
    """Who has signed once keys are found: those of a short life may be over before they get there."""
    return eventually(lambda: (reply := ask(sidecar, name)).status == 200 and reply.text, "keys are found")


def refused(sidecar, *words, name="shop"):
    reply = ask(sidecar, name)
    need(reply.status == 500 and all(word in reply.text for word in words), f"{reply.status} {reply.text}, not {words}")
    for secret in (SECRET, TOKEN, WEB_TOKEN):
        need(secret not in reply.text, "it told a secret")


def write(name, text):
    path = folder / name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)
    return path


def fresh(**more):
    """The fake as it was."""
    agent.lifetime_s, agent.fault, agent.issued, agent.keys = 3600, None, 0, None
    agent.web_tokens.clear()
    agent.asked.clear()
    for name, value in more.items():
        setattr(agent, name, value)


@test("keys of the component come before those of the environment, and are not mixed with them", "BIND-02")
def _():
    env = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN, **CONTAINER}
    fresh()
    sidecar = start(bucket("own", accessKey="AKIDOWN", secretKey=SECRET), bucket("older", awsAccessKey="AKIDOLD",
                    awsSecretKey=SECRET, awsSessionToken=TOKEN), bucket("shop"), **env)
    equal(signer(sidecar, "own"), "AKIDOWN False")
    equal(signer(sidecar, "older"), "AKIDOLD True")
    equal(signer(sidecar), "AKIDENV True")
    equal(agent.asked, [])


@test("a pod's web identity becomes a role, whose signature counts", "BIND-02")
def _():
    aws = Aws()
    role = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                                                    "Principal": {"Federated": "*"}}]}
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    arn = aws.call("iam", "create_role", RoleName="worker", AssumeRolePolicyDocument=json.dumps(role))["Role"]["Arn"]
    aws.call("iam", "put_role_policy", RoleName="worker", PolicyName="all", PolicyDocument=json.dumps(allowed))
    aws.call("s3", "create_bucket", Bucket="shop")
    path = write("pod/token", WEB_TOKEN + "\n")
    sidecar = start(bucket("shop", "us-east-1", aws.url), AWS_WEB_IDENTITY_TOKEN_FILE=path, AWS_ROLE_ARN=arn,
                    AWS_ROLE_SESSION_NAME="pod", AWS_ENDPOINT_URL_STS=aws.url)
    reply = ask(sidecar, "shop", "create", "hello")
    equal(reply.status, 200, reply.text)
    equal(signer(sidecar), "hello")
    presigned = sidecar.call("POST", "/v1.0/bindings/shop", json.dumps(
        {"operation": "presign", "metadata": {"key": "k", "presignTTL": "1m"}})).json["presignURL"]
    need("X-Amz-Security-Token=" in presigned and "Credential=ASIA" in presigned, "it is signed with the role's keys")


@test("the token of the pod is read again when keys are renewed", "BIND-02")
def _():
    fresh(lifetime_s=4)
    path = write("rotated/token", "first")
    sidecar = start(bucket("shop"), AWS_WEB_IDENTITY_TOKEN_FILE=path, AWS_ROLE_ARN="arn:aws:iam::1:role/r",
                    AWS_ENDPOINT_URL_STS=agent.url, **OFF)
    need(signed(sidecar).startswith("ASIAFAKE"), "the role's keys are used")
    write("rotated/token", "second")
    eventually(lambda: "second" in agent.web_tokens, "the other token is used")
    equal(agent.web_tokens[0], "first")
    agent.fault = (400, f"<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>{WEB_TOKEN}"
                         "</Message></Error></ErrorResponse>".encode())
    eventually(lambda: ask(sidecar, "shop").status == 500, "they have expired")
    refused(sidecar, "no AWS credentials", "STS answered with status 400, InvalidIdentityToken")


@test("a profile of the shared file has keys; other ways of getting them are named", "BIND-02")
def _():
    text = f"""# mine
[default]
aws_access_key_id = AKIDDEFAULT
aws_secret_access_key = {SECRET}
[ work ] ; with a token
AWS_ACCESS_KEY_ID=AKIDWORK
aws_secret_access_key={SECRET} # of May
aws_session_token={TOKEN}
[sso]
sso_session = x
[half]
aws_access_key_id = AKIDHALF
"""
    write("home/.aws/credentials", text)
    equal(signer(start(bucket("shop"), HOME=folder / "home", **CONTAINER)), "AKIDDEFAULT False")
    path = write("elsewhere/keys", text)
    equal(signer(start(bucket("shop"), AWS_SHARED_CREDENTIALS_FILE=path, AWS_PROFILE="work", **OFF)), "AKIDWORK True")
    for profile, words in (("sso", "profile sso has sso_session, and only keys are taken"), ("half", "the secret key is missing"),
                           ("other", "profile other is not in it")):
        refused(start(bucket("shop"), HOME=folder / "home", AWS_PROFILE=profile, **CONTAINER), words)


@test("many requests that need keys ask a container's agent once, and its keys are renewed in time", "BIND-02")
def _():
    fresh()
    path = write("agent/token", "Basic " + TOKEN)
    sidecar = start(bucket("shop"), bucket("other"), bucket("brief", "eu-2"), AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url + "/container",
                    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=path, **OFF)
    agent.gate.clear()
    replies = []
    threads = [threading.Thread(target=lambda i=i: replies.append(ask(sidecar, "other" if i % 2 else "shop").text))
               for i in range(12)]
    for thread in threads:
        thread.start()
    eventually(lambda: agent.asked, "somebody has asked")
    agent.gate.set()
    for thread in threads:
        thread.join()
    equal(set(replies), {"ASIAFAKE00000001 True"})
    equal(agent.issued, 1)
    agent.lifetime_s = 4
    first, issued = signed(sidecar, "brief"), agent.issued
    eventually(lambda: agent.issued > issued, "they are renewed, and nobody had to ask for it")
    eventually(lambda: signed(sidecar, "brief") != first, "the new ones are used")
    equal(signer(sidecar), "ASIAFAKE00000001 True", "the keys of another region")


@test("when renewal fails the old keys are used while they are valid, then it is said, then all is well again", "BIND-02")
def _():
    fresh(lifetime_s=5)
    sidecar = start(bucket("shop"), **CONTAINER)

    def is_told():
        need(signed(sidecar).startswith("ASIAFAKE"), "keys are used")
        asked = len(agent.asked)
        agent.fault = (500, b"not now")
        eventually(lambda: len(agent.asked) > asked, "it has been tried")
        reply = ask(sidecar, "shop")
        need(reply.status == 200 or time.monotonic() > agent.valid_until - 1, f"the old ones are still good: {reply.text}")
        eventually(lambda: ask(sidecar, "shop").status == 500, "they have expired")
        refused(sidecar, "no AWS credentials", "container: status 500", "environment: ", "web identity: ",
                "shared credentials file: ")
        agent.fault = None
        eventually(lambda: ask(sidecar, "shop").status == 200, "it goes on")
        return "the old ones are still valid" in sidecar.log()  # unless it was tried too late for that

    eventually(is_told, "the log tells", 60)


@test("an instance's metadata are asked with a token of theirs", "BIND-02")
def _():
    fresh()
    sidecar = start(bucket("shop"), AWS_EC2_METADATA_SERVICE_ENDPOINT=agent.url + "/")
    need(signed(sidecar).startswith("ASIAFAKE"), "the instance's keys are used")
    base = "/latest/meta-data/iam/security-credentials/"
    equal(agent.asked[-3:], [("PUT", "/latest/api/token"), ("GET", base), ("GET", base + "the-role")])


@test("answers that are no keys are refused, and nothing of them is told", "BIND-02")
def _():
    good = {"AccessKeyId": "ASIAX", "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": "2999-01-01T00:00:00Z"}
    answers = {
        "huge": (b'{"a":"' + b"x" * 70000 + b'"}', "the answer is too large"),
        "html": (b"<html>Log in</html>", "the answer holds no keys"),
        "empty": (b"", "the answer holds no keys"),
        "deep": (b"[" * 60000, "the answer holds no keys"),
        "control": (json.dumps({**good, "AccessKeyId": "A\r\nX-Evil: 1"}), "the access key is missing, too long or has odd"),
        "token": (json.dumps({**good, "Token": "a\x7f"}), "the session token is too long or has odd"),
        "long": (json.dumps({**good, "SecretAccessKey": "x" * 300}), "the secret key is missing, too long or has odd"),
        "kind": (json.dumps({**good, "SecretAccessKey": 7}), "the secret key is missing"),
        "past": (json.dumps({**good, "Expiration": "2001-01-01T00:00:00Z"}), "the keys have expired"),
        "date": (json.dumps({**good, "Expiration": "2999-02-30T00:00:00Z"}), "the expiration is missing or no point in time"),
        "zone": (json.dumps({**good, "Expiration": "2999-01-01T00:00:00+01:00"}), "the expiration is missing or no point in time"),
        "failed": (json.dumps({**good, "Code": "Failed"}), "the answer says that it failed"),
    }
    fresh()
    sidecar = start(*[bucket(name, f"eu-{i}") for i, name in enumerate(answers)], bucket("shop"), **CONTAINER)
    for name, (body, words) in answers.items():
        agent.fault = (200, body if isinstance(body, bytes) else body.encode())
        refused(sidecar, "container: ", words, name=name)
    agent.fault = (302, b"", [("Location", agent.url + "/container")])
    refused(sidecar, "container: status 302")


@test("keys are only asked of this machine, and nowhere is said where it was looked", "BIND-02")
def _():
    for uri in ("http://10.0.0.1/", "http://localhost.evil.test/", "http://169.254.170.2@evil.test/", "ftp://127.0.0.1/", "x"):
        refused(start(bucket("shop"), AWS_CONTAINER_CREDENTIALS_FULL_URI=uri, **OFF), "neither https nor one of this machine")
    nobody = start(bucket("shop"), **OFF)
    refused(nobody, "no AWS credentials: environment: ", "web identity: ", "shared credentials file: ", "container: ",
            "instance metadata: AWS_EC2_METADATA_DISABLED is true")
    half = Sidecar(bucket("half", accessKey="AKIDHALF"), env={"PATH": os.environ["PATH"], **CONTAINER}, wait=False)
    eventually(lambda: "accessKey and secretKey are needed, both or neither" in half.log(), "half an account is an error at once")


@test("a request that waits for keys keeps its deadline", "BIND-02")
def _():
    fresh()
    agent.gate.clear()
    policy = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: patience}
spec:
  policies: {timeouts: {short: 300ms}}
  targets: {components: {shop: {outbound: {timeout: short}}}}
"""
    sidecar = start(policy, bucket("shop"), bucket("patient"), **CONTAINER)
    reply = ask(sidecar, "shop")
    agent.gate.set()
    need(reply.status == 500 and "deadline" in reply.text, f"{reply.status} {reply.text}")
    equal(signer(sidecar, "patient"), "ASIAFAKE00000001 True")
    equal(len(agent.asked), 1)


@test("conversations with Bedrock are signed with them", "CONV-01")
def _():
    provider = providers.Bedrock()
    fresh(keys=(provider.access_key, provider.key, provider.token))
    pairs = {name: value for name, value in providers.metadata("aws.bedrock", provider).items()
             if name in ("endpoint", "model", "region")}
    sidecar = start(component("model", "conversation.aws.bedrock", pairs), **CONTAINER)
    for _ in range(2):
        reply = sidecar.call("POST", "/v1.0-alpha1/conversation/model/converse", json.dumps({"inputs": [{"content": "hello"}]}))
        equal(reply.status, 200, reply.text)
    equal(agent.asked, [("GET", "/container")])
    agent.fault = (404, b"")
    other = start(component("model", "conversation.aws.bedrock", pairs), **CONTAINER)
    reply = other.call("POST", "/v1.0-alpha1/conversation/model/converse", json.dumps({"inputs": [{"content": "hello"}]}))
    need(reply.status != 200 and "container: status 404" in reply.text, f"{reply.status} {reply.text}")


@test("no key is in a log", "BIND-02")
def _():
    for sidecar in sidecars:
        for secret in (SECRET, TOKEN, WEB_TOKEN, providers.KEY):
            need(secret not in sidecar.log(), "a secret is in the log")


main()
