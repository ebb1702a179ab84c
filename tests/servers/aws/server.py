# SPDX-License-Identifier: Apache-2.0
"""moto's services at one port, `server.py PORT`, and boto3, which is told on standard input what to do, a JSON line each:
[service, method, arguments]; the answer is a line too. The first makes a user, whose keys are asked for from then on, and
whose signatures are judged. ["url", "presigned", {"url": …}] is that URL as botocore signs it. Ends with its input."""
import datetime
import json
import os
import sys
import urllib.parse
from unittest import mock

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"  # what makes the user
import boto3  # noqa: E402
import botocore.auth  # noqa: E402
import botocore.awsrequest  # noqa: E402
import botocore.credentials  # noqa: E402
from moto import settings  # noqa: E402
from moto.core.authorization import ActionAuthenticatorMixin  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
url = f"http://127.0.0.1:{sys.argv[1]}"


def client(service, access_key="nobody", secret_key="nothing"):
    place = os.environ.get("DYNAMODB_URL", url) if service == "dynamodb" else url  # of another server
    return boto3.client(service, endpoint_url=place, region_name="us-east-1", aws_access_key_id=access_key,
                        aws_secret_access_key=secret_key)


def make_user():
    iam = client("iam")
    iam.create_user(UserName="tester")
    iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
    made = iam.create_access_key(UserName="tester")["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


class Anonymous(ActionAuthenticatorMixin):
    """A web identity is all that is asked for at AWS; moto asks for a signature too."""

    judge = ActionAuthenticatorMixin._authenticate_and_authorize_normal_action

    def judge_signed(self, *arguments):
        if self._get_action() != "AssumeRoleWithWebIdentity":
            Anonymous.judge(self, *arguments)


ActionAuthenticatorMixin._authenticate_and_authorize_normal_action = Anonymous.judge_signed


class Urls:
    """What only the owner of the keys can tell of one; moto then lets the next request in, since it asks for a header."""

    def presigned(self, url):
        ActionAuthenticatorMixin.request_count = settings.INITIAL_NO_AUTH_ACTION_COUNT - 1
        bare, _, query = url.partition("?")
        said = dict(urllib.parse.parse_qsl(query))
        when = datetime.datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        request = botocore.awsrequest.AWSRequest("GET", bare)
        signer = botocore.auth.S3SigV4QueryAuth(botocore.credentials.Credentials(*keys, said.get("X-Amz-Security-Token")), "s3",
                                                "us-east-1", expires=int(said["X-Amz-Expires"]))
        with mock.patch("botocore.auth.get_current_datetime", lambda **more: when):
            signer.add_auth(request)
        return {"url": request.url}


def plain(value):
    return value.read().decode("latin-1") if hasattr(value, "read") else str(value)


server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
server.start()
keys = make_user()
print(json.dumps(keys), flush=True)
clients = {"url": Urls()}
for line in sys.stdin:
    service, method, arguments = json.loads(line)
    if service not in clients:
        clients[service] = client(service, *keys)
    try:
        answer = getattr(clients[service], method)(**arguments)
        answer.pop("ResponseMetadata", None)
    except Exception as e:  # whatever boto3 says of it
        answer = {"error": str(e)}
    print(json.dumps(answer, default=plain), flush=True)
server.stop()
