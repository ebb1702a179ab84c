#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.aws.sqs against moto, which judges signatures, and boto3 at the other end of the queue."""
import json

from http_app import App, answer
from remora import Sidecar, component, equal, eventually, main, need, test
from servers import Aws

aws = Aws()
SECRET = aws.secret_key


def queue(name, **attributes):
    return aws.call("sqs", "create_queue", QueueName=name, Attributes=attributes)["QueueUrl"]


def binding(name, queue, **metadata):
    values = {"queueName": queue, "region": "us-east-1", "endpoint": aws.url, "accessKey": aws.access_key, "secretKey": SECRET,
              **metadata}
    return component(name, "bindings.aws.sqs", list(values.items()))


def left(url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = aws.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def invoke(sidecar, binding, data, operation="create"):
    return sidecar.call("POST", f"/v1.0/bindings/{binding}", json.dumps({"operation": operation, "data": data}))


class Reader(App):
    def __init__(self):
        self.say = lambda body: answer(200)
        super().__init__(lambda request, exchange: self.say(request.body))

    def bodies(self):
        return [r.body.decode() for r in self.requests if r.method == "POST"]


def started(app, *resources):
    return Sidecar(*resources, flags=["--app-port", str(app.port)], app_id="reader")


@test("what is sent is in the queue", "BIND-02")
def _():
    url = queue("out")
    sidecar = Sidecar(binding("out", "out", direction="output"), binding("none", "none", direction="output"),
                      binding("wrong", "out", direction="output", secretKey="gu3ss"),
                      binding("nowhere", "out", direction="output", endpoint="http://127.0.0.1:9"))
    sent = ['{"a":1}', "caf\u00e9 \u2713 \"quoted\" <&>\n\ttab", "x" * 200000]
    for text in sent:
        equal(invoke(sidecar, "out", text).status, 204)
    got = []
    while len(got) < len(sent):
        more = aws.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        need(more, "a message")
        got += [m["Body"] for m in more]
    equal(sorted(json.loads(body) for body in got), sorted(sent))
    for name, words in (("none", "QueueDoesNotExist"), ("wrong", "StatusCode: 403"), ("nowhere", "operation error SQS: ")):
        reply = invoke(sidecar, name, "x")
        need(reply.status == 500 and words in reply.text, f"{name}: {reply.text}")
    reply = invoke(sidecar, "out", "x", "get")
    need(reply.status >= 400, "an operation that is none")
    need(SECRET not in sidecar.log() and "gu3ss" not in sidecar.log(), "a secret in the log")
    sidecar.end()


@test("a message whose answer is lost is not sent again by itself", "BIND-02")
def _():
    """A fake of a service: it takes a message and closes the connection, which has been used before."""
    url = answer(200, b'{"QueueUrl": "http://127.0.0.1/1/once"}')
    fake = App(lambda request, exchange: url if b"lost" not in request.body else None)
    sidecar = Sidecar(binding("once", "once", direction="output", endpoint=f"http://127.0.0.1:{fake.port}"))
    equal(invoke(sidecar, "once", "taken").status, 204)
    fake.take()
    equal(invoke(sidecar, "once", "lost").status, 500)
    equal(len(fake.take()), 1)
    sidecar.end()


@test("what is in the queue is read, and deleted once it has been handled", "BIND-01")
def _():
    url = queue("in", VisibilityTimeout="600")
    sent = [f"message {i} \u2713" for i in range(25)]
    for text in sent[:5]:
        aws.call("sqs", "send_message", QueueUrl=url, MessageBody=text)
    app = Reader()
    sidecar = started(app, binding("in", "in"))
    for text in sent[5:]:
        aws.call("sqs", "send_message", QueueUrl=url, MessageBody=text)
    eventually(lambda: len(app.bodies()) >= len(sent), "all messages")
    eventually(lambda: left(url) == 0, "nothing left")
    equal(sorted(app.bodies()), sorted(sent))
    equal(sidecar.stop(), 0)  # while it waits for the next


@test("what is not handled comes again", "BIND-01")
def _():
    url = queue("again", VisibilityTimeout="1")
    app = Reader()
    app.say = lambda body: answer(500 if len(app.bodies()) < 3 else 200)
    sidecar = started(app, binding("again", "again", direction="input"))
    aws.call("sqs", "send_message", QueueUrl=url, MessageBody="stubborn")
    # The server counts what is seen and what is not one after the other: what comes back in between is in neither.
    eventually(lambda: len(app.bodies()) >= 3, "it comes again and again", 60)
    eventually(lambda: left(url) == 0, "nothing left", 60)
    equal(set(app.bodies()), {"stubborn"})
    sidecar.end()


@test("a queue that is not there yet is waited for", "BIND-01")
def _():
    app = Reader()
    sidecar = started(app, binding("late", "late"))
    eventually(lambda: "unable to receive from queue late, it is tried again" in sidecar.log(), "a word of it")
    url = queue("late")
    aws.call("sqs", "send_message", QueueUrl=url, MessageBody="at last")
    eventually(lambda: app.bodies() == ["at last"], "the message", 60)
    eventually(lambda: left(url) == 0, "nothing left")
    equal(sidecar.log().count("unable to receive from queue"), 1)
    sidecar.end()


@test("components without what they need are refused", "BIND-02")
def _():
    for metadata, words in ((dict(queue=""), "queueName is missing"), (dict(queue="q", accessKey=""), "accessKey and secretKey")):
        broken = Sidecar(binding("broken", **metadata), wait=False)
        eventually(lambda: not broken.is_alive(), "the end")
        need(words in broken.log() and SECRET not in broken.log(), f"{words} is not in the log")


main()
