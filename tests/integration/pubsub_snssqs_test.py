#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""pubsub.aws.snssqs against moto, which judges signatures: what is published arrives, instances share a queue, what is
refused comes again or is buried, and what is taken is not lost."""
import json
import os
import signal
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from http_app import App, answer  # noqa: E402
from inbox import Inbox, subscription, until_all_work  # noqa: E402
from remora import (  # noqa: E402
    Folder, Sidecar, component, end_sidecars, equal, eventually, kill_both, main, need, test)
from servers import Aws  # noqa: E402

aws = Aws()
ACCOUNT = "123456789012"  # of everybody at moto
LONG_S = 60  # a loaded machine
JSON = [("Content-Type", "application/json")]


def broker(name="bus", **metadata):
    values = {"region": "us-east-1", "endpoint": aws.url, "accessKey": aws.access_key, "secretKey": aws.secret_key,
              "messageVisibilityTimeout": "600", "messageWaitTimeSeconds": "1", **metadata}
    return component(name, "pubsub.aws.snssqs", {name: value for name, value in values.items() if value is not None})


def sidecar(*subscriptions, app=None, app_id="shop", **metadata):
    flags = ["--app-port", str(app.port)] if app else []
    return Sidecar(broker(**metadata), *subscriptions, app_id=app_id, flags=flags)


def send(publisher, data, topic="orders", query="", pubsub="bus"):
    return publisher.call("POST", f"/v1.0/publish/{pubsub}/{topic}{query}", json.dumps(data).encode(), JSON)


def publish(publisher, data, topic="orders"):
    reply = send(publisher, data, topic)
    equal(reply.status, 204, f"publish: {reply}")


def url_of(name):
    return aws.call("sqs", "get_queue_url", QueueName=name)["QueueUrl"]


def attributes(name):
    return aws.call("sqs", "get_queue_attributes", QueueUrl=url_of(name), AttributeNames=["All"])["Attributes"]


def left(name):
    here = attributes(name)
    return int(here["ApproximateNumberOfMessages"]) + int(here["ApproximateNumberOfMessagesNotVisible"])


def arn(service, name):
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{name}"


@test("what is published is delivered once, and deleted", "PUB-U13")
def delivered():
    app = Inbox()
    side = sidecar(subscription("orders"), app=app, app_id="once")
    for i in range(30):
        publish(side, i)
    eventually(lambda: sorted(app.tried()) == list(range(30)), "all are delivered")
    eventually(lambda: left("once") == 0, "all are deleted")
    equal(sorted(app.tried()), list(range(30)), "each once")
    equal(side.stop(), 0)
    need(aws.secret_key not in side.log(), "a secret in the log")


@test("topics, queues, tags and the policy are those of the reference")
def entities():
    app = Inbox()
    long = "l" * 100
    sidecar(subscription("a/b:c!\u00e9"), subscription(long), app=app, app_id="entities", consumerID="my.queue")
    eventually(lambda: "Policy" in attributes("myqueue") and attributes("myqueue")["Policy"].count("SourceArn") == 1
               and attributes("myqueue")["Policy"].count("arn:aws:sns") == 2, "both topics may send")  # fmt: skip
    policy = json.loads(attributes("myqueue")["Policy"])
    one = policy["Statement"][0]
    equal(len(policy["Statement"]), 1)
    topics = sorted(one.pop("Condition")["ForAllValues:ArnEquals"]["aws:SourceArn"])
    equal(topics, [arn("sns", "abc"), arn("sns", "l" * 80)])
    equal(one, {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                "Resource": arn("sqs", "myqueue")})  # fmt: skip
    tags = aws.call("sqs", "list_queue_tags", QueueUrl=url_of("myqueue"))["Tags"]
    equal(tags, {"dapr-queue-name": "myqueue"})
    tags = aws.call("sns", "list_tags_for_resource", ResourceArn=arn("sns", "abc"))["Tags"]
    equal(tags, [{"Key": "dapr-topic-name", "Value": "abc"}])

    def subscribed():
        listed = aws.call("sns", "list_subscriptions_by_topic", TopicArn=arn("sns", "abc"))["Subscriptions"]
        return [(one["Protocol"], one["Endpoint"]) for one in listed]

    eventually(lambda: subscribed() == [("sqs", arn("sqs", "myqueue"))], "the queue is subscribed")


@test("topics that are the same at SNS are not subscribed as two")
def same_at_sns():
    app = Inbox()
    side = sidecar(subscription("ab"), subscription("ab\u00e9", route="other"), app=app, app_id="same")
    eventually(lambda: "is subscribed under another name: both are ab at SNS" in side.log(), "the second is refused")


@test("two instances of an application share its queue, another one gets all of it", "PUB-U13")
def competing():
    apps, other = [Inbox(), Inbox()], Inbox()
    sides = [sidecar(subscription("shared"), app=app, app_id="pair") for app in apps]
    sidecar(subscription("shared"), app=other, app_id="single")
    queues = ("pair", "single")
    eventually(lambda: len(aws.call("sns", "list_subscriptions_by_topic", TopicArn=arn("sns", "shared"))
                           .get("Subscriptions", [])) == 2, "both queues are subscribed")  # fmt: skip
    first = until_all_work(lambda: [app.tried("shared") for app in apps], lambda number: publish(sides[0], number, "shared"))
    wanted = list(range(first + 40))
    for i in wanted[first:]:
        publish(sides[i % 2], i, "shared")
    eventually(lambda: sorted(apps[0].tried("shared") + apps[1].tried("shared")) == wanted, "each by one of the two", LONG_S)
    eventually(lambda: sorted(other.tried("shared")) == wanted, "all of them by the other one", LONG_S)
    eventually(lambda: [left(name) for name in queues] == [0, 0], "all are deleted")


@test("what is refused comes again when its visibility timeout is over", "PUB-03")
def redelivered():
    seen = {}

    def verdict(topic, data):
        seen[data] = seen.get(data, 0) + 1
        return 500 if seen[data] < 3 else 200

    app = Inbox(verdict)
    side = sidecar(subscription("again"), app=app, app_id="again", messageVisibilityTimeout="1")
    for i in range(8):
        publish(side, i, "again")
    eventually(lambda: set(app.taken("again")) == set(range(8)), "all are taken at last", LONG_S)
    eventually(lambda: left("again") == 0, "all are deleted")
    need(all(app.tried("again").count(i) >= 3 for i in range(8)), "three tries each")


@test("fifo: what one application publishes stays in order, also behind one that is refused")
def fifo():
    refused = []

    def verdict(topic, data):
        if data == 2 and len(refused) < 2:
            refused.append(data)
            return 500
        return 200

    app = Inbox(verdict)
    side = sidecar(subscription("line"), app=app, app_id="line", fifo="true", messageVisibilityTimeout="1")
    for i in range(12):
        publish(side, i, "line")
    eventually(lambda: len(app.taken("line")) >= 12, "all are taken", LONG_S)
    eventually(lambda: left("line.fifo") == 0, "all are deleted", LONG_S)
    equal(list(dict.fromkeys(app.taken("line"))), list(range(12)), "in order")
    tried = app.tried("line")
    equal(list(dict.fromkeys(tried)), list(range(12)), "and nobody overtakes")
    need(tried[: tried.index(3)].count(2) >= 3, f"one that is refused: {tried}")
    of = attributes("line.fifo")
    equal((of["FifoQueue"], of["ContentBasedDeduplication"]), ("true", "true"))
    topic = aws.call("sns", "get_topic_attributes", TopicArn=arn("sns", "line.fifo"))["Attributes"]
    equal((topic["FifoTopic"], topic["ContentBasedDeduplication"]), ("true", "true"))


@test("fifo: messages are of the group that fifoMessageGroupID names, or of the application's")
def groups():
    for more, wanted in (({}, "speaker"), ({"fifoMessageGroupID": "choir"}, "choir")):
        side = sidecar(app_id="speaker", fifo="true", **more)
        queue = aws.call("sqs", "create_queue", QueueName=f"{wanted}.fifo", Attributes={
            "FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
        publish(side, "before", wanted)  # makes the topic
        aws.call("sns", "subscribe", TopicArn=arn("sns", f"{wanted}.fifo"), Protocol="sqs", Endpoint=arn("sqs", f"{wanted}.fifo"))
        publish(side, "text", wanted)
        bulk = [{"entryId": "1", "event": "x", "contentType": "text/plain"}]
        equal(side.call("POST", f"/v1.0/publish/bulk/bus/{wanted}", json.dumps(bulk).encode(), JSON).status, 204)
        got = []
        while len(got) < 2:
            more = aws.call("sqs", "receive_message", QueueUrl=queue, AttributeNames=["MessageGroupId"], WaitTimeSeconds=5,
                            MaxNumberOfMessages=10).get("Messages", [])
            need(more, "a message")
            got += [message["Attributes"]["MessageGroupId"] for message in more]
        equal(got, [wanted, wanted])
        side.end()


@test("what was refused as often as messageRetryLimit says is deleted, and said")
def limit():
    app = Inbox(lambda topic, data: 500 if data == "bad" else 200)
    side = sidecar(subscription("limit"), app=app, app_id="limit", messageVisibilityTimeout="1", messageRetryLimit="3")
    publish(side, "bad", "limit")
    eventually(lambda: "message received greater than 3 times, deleting this message" in side.log(), "it is said", LONG_S)
    eventually(lambda: left("limit") == 0, "it is deleted")
    need(app.tried("limit") in (["bad"], ["bad", "bad"]), "it is not handed over then")


@test("with disableDeleteOnRetryLimit it is there at once for whoever tries next")
def no_limit():
    side = sidecar(app_id="on")
    publish(side, "before", "on")  # makes the topic
    url = aws.call("sqs", "create_queue", QueueName="on")["QueueUrl"]
    aws.call("sns", "subscribe", TopicArn=arn("sns", "on"), Protocol="sqs", Endpoint=arn("sqs", "on"))
    publish(side, "stubborn", "on")
    need(aws.call("sqs", "receive_message", QueueUrl=url, VisibilityTimeout=0).get("Messages"), "one try that failed")
    app = Inbox(lambda topic, data: 500 if app.tried("on").count(data) < 2 else 200)
    sidecar(subscription("on"), app=app, app_id="on", messageRetryLimit="2", disableDeleteOnRetryLimit="true",
            disableEntityManagement="true")  # fmt: skip
    eventually(lambda: app.taken("on") == ["stubborn"], "it is taken at last")
    eventually(lambda: left("on") == 0, "it is deleted")


@test("what was received as often as messageReceiveLimit says is in the queue of dead letters")
def dead_letters():
    app = Inbox(lambda topic, data: 500 if data == "bad" else 200)
    side = sidecar(subscription("mortal"), app=app, app_id="mortal", messageVisibilityTimeout="1", messageReceiveLimit="2",
                   sqsDeadLettersQueueName="grave.yard")  # fmt: skip
    publish(side, "bad", "mortal")
    publish(side, "good", "mortal")
    eventually(lambda: left("graveyard") == 1 and left("mortal") == 0, "it is buried", LONG_S)
    need(1 <= app.tried("mortal").count("bad") <= 2 and "good" in app.taken("mortal"), app.tried("mortal"))
    redrive = json.loads(attributes("mortal")["RedrivePolicy"])
    equal((redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])), (arn("sqs", "graveyard"), 2))


@test("with disableEntityManagement nothing is made, and what is missing is named")
def unmanaged():
    app = Inbox()

    def started(words):
        side = sidecar(subscription("made"), app=app, app_id="unmanaged", disableEntityManagement="true", accountId=ACCOUNT)
        eventually(lambda: all(word in side.log() for word in words), f"{words} is said")
        return side

    side = started(["error getting topic ARN for made: error fetching info for (sanitized) topic: made", "NotFound: "])
    reply = send(side, 1, "made")
    need(reply.status == 500 and "NotFound: " in reply.text and arn("sns", "made") in reply.text, reply.text)
    side.end()
    aws.call("sns", "create_topic", Name="made")
    started(["error retrieving SQS queue: error: ", "QueueDoesNotExist", " while getting url of queue: unmanaged"]).end()
    aws.call("sqs", "create_queue", QueueName="unmanaged")
    started(["sns sqs subscription not found for topic arn"]).end()
    aws.call("sns", "subscribe", TopicArn=arn("sns", "made"), Protocol="sqs", Endpoint=arn("sqs", "unmanaged"))
    publish(started([]), 2, "made")
    eventually(lambda: app.taken("made") == [2], "then it arrives")
    need("Policy" not in attributes("unmanaged"), "the queue is as it was")


def bulk(side, topic, events):
    entries = [{"entryId": str(i), "event": event, "contentType": "text/plain"} for i, event in enumerate(events)]
    return side.call("POST", f"/v1.0/publish/bulk/bus/{topic}", json.dumps(entries).encode(), JSON)


@test("many are published in as few requests as SNS takes, and who fails is named", "PUB-107")
def many():
    app = Inbox()
    side = sidecar(subscription("many"), app=app, app_id="many")
    texts = [f"{i}" for i in range(25)] + ["x" * 100_000 + str(i) for i in range(5)]
    equal(bulk(side, "many", texts).status, 204)
    eventually(lambda: sorted(app.taken("many")) == sorted(texts), "all arrive")
    reply = bulk(side, "many", ["small", "y" * 300_000, "last"])
    equal(reply.status, 500, "one is too long for SNS")
    failed = reply.json["failedEntries"]
    equal([one["entryId"] for one in failed], ["1"])
    need("operation error SNS: PublishBatch" in failed[0]["error"], failed)
    eventually(lambda: {"small", "last"} <= set(app.taken("many")), "the others arrive")
    equal(send(side, "y" * 300_000, "many").status, 500)
    eventually(lambda: left("many") == 0, "all are deleted")


@test("a topic that somebody deletes is made again")
def topic_gone():
    side = sidecar(app_id="gone")
    publish(side, 1, "gone")
    aws.call("sns", "delete_topic", TopicArn=arn("sns", "gone"))
    reply = send(side, 2, "gone")
    need(reply.status == 500 and "NotFound" in reply.text, reply.text)
    publish(side, 3, "gone")


@test("killing the plugin or all of the sidecar loses nothing that was accepted")
def killed():
    app, accepted = Inbox(), []
    more = {"app": app, "app_id": "killed", "messageVisibilityTimeout": "2", "messageRetryLimit": "100"}
    side = sidecar(subscription("killed"), **more)
    for i in range(90):
        if i in (20, 70):
            os.kill(side.plugin_pid("aws"), signal.SIGKILL)
        if i == 45:
            kill_both(side, "aws")
            side = sidecar(subscription("killed"), **more)
        if send(side, i, "killed").status == 204:
            accepted.append(i)
    eventually(lambda: set(accepted) <= set(app.taken("killed")), "all that was accepted arrives", LONG_S)
    need(len(accepted) > 60, "most were accepted")
    eventually(lambda: left("killed") == 0, "nothing is left", LONG_S)


@test("exchanging the component under load fails and loses nothing")
def exchanged():
    app, sent, over = Inbox(), [], threading.Event()
    more = {"messageVisibilityTimeout": "2", "messageRetryLimit": "100"}
    side = sidecar(subscription("load"), app=app, app_id="load", **more)

    def load():
        while not over.is_set():
            sent.append(send(side, len(sent), "load").status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(2):
            before = len(app.tried("load"))
            side.exchange("bus", broker(messageMaxNumber=str(9 - i), **more))
            eventually(lambda: len(app.tried("load")) > before + 20, "deliveries go on", LONG_S)
    finally:
        over.set()
        thread.join()
    equal(set(sent), {204}, "every publish is accepted")
    eventually(lambda: set(app.taken("load")) == set(range(len(sent))), "all arrive", LONG_S)
    eventually(lambda: left("load") == 0, "nothing is left", LONG_S)


@test("a sidecar that stops waits for what is with the application, and leaves the rest")
def stopped():
    held = threading.Event()
    app, other = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500), Inbox()
    first = sidecar(subscription("rest"), app=app, app_id="rest", concurrencyMode="single")
    for i in range(5):
        publish(first, i, "rest")
    eventually(lambda: len(app.requests) == 1, "one is with the application")
    first.signal(signal.SIGTERM)
    eventually(lambda: first.healthz() == 0, "it is ending")
    held.set()
    equal(first.wait(LONG_S), 0)
    taken = app.taken("rest")
    equal(len(taken), 1)
    sidecar(subscription("rest"), app=other, app_id="rest")
    eventually(lambda: sorted(taken + other.taken("rest")) == list(range(5)), "the next one has the rest, each once")
    eventually(lambda: left("rest") == 0, "nothing is left")


@test("messages of a topic that is not subscribed any more are kept, others go on")
def unsubscribed():
    app = Inbox()
    more = {"messageVisibilityTimeout": "1", "messageRetryLimit": "2"}
    folder = Folder()
    os.mkdir(folder / "yaml")
    folder.write("yaml/bus.yaml", broker(**more))
    folder.write("yaml/stay.yaml", subscription("stay"))
    folder.write("yaml/leave.yaml", subscription("leave"))
    side = Sidecar(folder=folder, flags=["--resources-path", folder / "yaml", "--app-port", str(app.port)], app_id="kept")
    for topic in ("stay", "leave"):
        publish(side, 1, topic)
        eventually(lambda: app.taken(topic) == [1], f"{topic} arrives", LONG_S)
    os.unlink(folder / "yaml/leave.yaml")
    eventually(lambda: len(side.call("GET", "/v1.0/metadata").json["subscriptions"]) == 1, "it is unsubscribed")
    publish(side, 2, "leave")

    def is_hidden():  # received, and left alone
        return attributes("kept")["ApproximateNumberOfMessagesNotVisible"] == "1"

    for _ in range(2):
        eventually(is_hidden, "it is received")
        eventually(lambda: not is_hidden(), "and comes again")
    publish(side, 2, "stay")
    eventually(lambda: set(app.taken("stay")) == {1, 2}, "others go on")
    folder.write("yaml/leave.yaml", subscription("leave"))
    eventually(lambda: set(app.taken("leave")) == {1, 2}, "it is there when it is subscribed again", LONG_S)
    eventually(lambda: left("kept") == 0, "nothing is left")


@test("what others put into the queue is not handed over, and does not stop the rest")
def strange():
    app = Inbox()
    side = sidecar(subscription("strange"), app=app, app_id="strange", messageRetryLimit="2", messageVisibilityTimeout="1")
    publish(side, 1, "strange")
    eventually(lambda: app.taken("strange") == [1], "the first arrives")
    for body in ("no JSON", "[]", '{"Message": 7, "TopicArn": []}', "{" * 2000, '{"Message": "m", "TopicArn": "a:b:unheard"}'):
        aws.call("sqs", "send_message", QueueUrl=url_of("strange"), MessageBody=body)
    publish(side, 2, "strange")
    eventually(lambda: set(app.taken("strange")) == {1, 2}, "what comes after them arrives")
    eventually(lambda: "handler for (sanitized) topic: unheard was not found" in side.log(), "it is said")
    eventually(lambda: left("strange") == 0, "and they are deleted at the limit", LONG_S)
    equal(set(app.tried("strange")), {1, 2}, "nothing else")


@test("wrong keys and an endpoint that nobody serves are said, without the keys")
def refused_by_aws():
    for metadata, words in (({"secretKey": "gu3ss"}, "StatusCode: 403"), ({"endpoint": "http://127.0.0.1:9"}, "onnect")):
        side = Sidecar(broker(**metadata), wait=False)
        eventually(lambda: not side.is_alive(), "the end")
        need("error fetching sts caller ID: operation error STS: GetCallerIdentity" in side.log() and words in side.log(),
             side.log()[-800:])  # fmt: skip
        need("gu3ss" not in side.log() and aws.secret_key not in side.log(), "a secret in the log")
    side = sidecar(app_id="wrong", secretKey="gu3ss", accountId=ACCOUNT)
    reply = send(side, 1)
    need(reply.status == 500 and "StatusCode: 403" in reply.text and "gu3ss" not in reply.text, reply.text)


@test("metadata that make no sense are refused with words")
def refused():
    for metadata, words in [
        ({"messageVisibilityTimeout": "0"}, "messageVisibilityTimeout must be greater than 0"),
        ({"messageRetryLimit": "1"}, "messageRetryLimit must be greater than 1"),
        ({"messageWaitTimeSeconds": "soon"}, "cannot parse 'messageWaitTimeSeconds' as int"),
        ({"messageMaxNumber": "11"}, "messageMaxNumber must be less than or equal to 10"),
        ({"messageReceiveLimit": "2"}, "messageReceiveLimit and sqsDeadLettersQueueName must both be set to a value"),
        ({"messageReceiveLimit": "2", "sqsDeadLettersQueueName": "d", "disableDeleteOnRetryLimit": "true"},
         "configuration conflict: 'disableDeleteOnRetryLimit'"),
        ({"concurrencyMode": "triple"}, "invalid concurrencyMode triple"),
        ({"assetsManagementTimeoutSeconds": "-1"}, "assetsManagementTimeoutSeconds must be greater than 0"),
        ({"fifo": "perhaps"}, "cannot parse 'fifo' as bool"),
    ]:  # fmt: skip
        side = Sidecar(broker(**metadata), wait=False)
        eventually(lambda: not side.is_alive(), f"{metadata} is refused")
        need(words in side.log(), f"{words} is not said: {side.log()[-500:]}")


class Liar:
    """Looks like AWS; `say(action, fields)` gives status and body of its answers."""

    def __init__(self, say):
        self.say, self.asked = say, []
        self.app = App(self.answer)
        self.url = f"http://127.0.0.1:{self.app.port}"

    def answer(self, request, exchange):
        target = request.header("x-amz-target")
        fields = {} if target else dict(urllib.parse.parse_qsl(request.body.decode()))
        action = target.split(".")[1] if target else fields["Action"]
        self.asked.append(action)
        return answer(*self.say(action, fields))


@test("a server that answers nonsense is not believed, and asked again in peace")
def nonsense():
    sns = "<{0}Response><{0}Result>{1}</{0}Result></{0}Response>"
    sense = {
        "CreateTopic": [sns.format("CreateTopic", "<TopicArn>arn:aws:sns:us-east-1:123456789012:t</TopicArn>")],
        "CreateQueue": ['{"QueueUrl": "http://q/1"}'],
        "GetQueueAttributes": ['{"Attributes": {"QueueArn": "arn:q", "Policy": "{"}}'] * 2
        + ['{"Attributes": {"Policy": "{}"}}'],
        "SetQueueAttributes": ["{}"],
        "Subscribe": [sns.format("Subscribe", "<SubscriptionArn>s</SubscriptionArn>")],
        "PublishBatch": [sns.format("PublishBatch", "<Successful><member><Id>77</Id></member><member><Id>0</Id></member>"
                                                    "</Successful>")],
    }  # fmt: skip
    message = {"ReceiptHandle": "r", "Attributes": {"ApproximateReceiveCount": "1"},
               "Body": json.dumps({"TopicArn": "x:t", "Message": '{"data": 1}', "MessageId": "m" * 100_000})}  # fmt: skip
    odd = [{}, 7, {"ReceiptHandle": "r"}, {"ReceiptHandle": [], "Attributes": []}, *[message] * 50]
    polls = ["", "{}", "[" * 5000, '{"Messages": 5}', '{"Messages": [1, null, "x"]}', json.dumps({"Messages": odd}), "7", "{}"]
    turn, held = iter(polls), threading.Event()

    def say(action, fields):
        if action == "ReceiveMessage":
            body = next(turn, None)
            return (200, body.encode()) if body is not None else (200 if held.wait(LONG_S) else 500, b"\0")
        if action == "CreateTopic" and fields["Name"] != "t":
            return 200, wrong.encode()
        answers = sense.get(action, ["<html>" + "x" * 10])
        return 200, (answers.pop(0) if len(answers) > 1 else answers[0]).encode()

    liar, app = Liar(say), Inbox()
    side = sidecar(subscription("t"), app=app, app_id="liar", endpoint=liar.url, accountId=ACCOUNT)
    for wrong in ("", "{", "<a>", "<" * 100, "<a/>", sns.format("CreateTopic", "<TopicArn/>"), "<!DOCTYPE a []><a/>"):
        reply = send(side, 1, "other")
        need(reply.status == 500 and "the answer has no ARN" in reply.text, f"{wrong}: {reply.text}")
    eventually(lambda: liar.asked.count("ReceiveMessage") > len(polls), "it is subscribed, and reads", LONG_S)
    need("error unmarshalling sqs policy" in side.log(), "what is no policy is not written over")
    equal(liar.asked.count("SetQueueAttributes"), 1)
    reply = send(side, 1, "t")
    need(reply.status == 500 and "the answer has no id" in reply.text, reply.text)
    failed = bulk(side, "t", ["a", "b", "c"]).json["failedEntries"]
    equal([one["entryId"] for one in failed], ["1", "2"], "only who is named was taken")
    need(len(app.requests) <= 10, "no more than were asked for")
    equal(side.plugins()["aws"]["generation"], 1, "the plugin lives")
    held.set()


HASTY = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: hasty
spec:
  policies:
    timeouts:
      soon: 300ms
  targets:
    components:
      bus:
        outbound:
          timeout: soon
"""


@test("a service that does not answer is given up in time, by each step")
def silent():
    topic = ("<CreateTopicResponse><CreateTopicResult><TopicArn>arn:aws:sns:us-east-1:123456789012:t</TopicArn>"
             "</CreateTopicResult></CreateTopicResponse>")  # fmt: skip
    over = threading.Event()

    def say(action, fields):
        if action == "CreateTopic" and fields["Name"] == "t":
            return 200, topic.encode()
        over.wait(LONG_S)
        return 200, b""

    liar = Liar(say)
    side = Sidecar(broker(endpoint=liar.url), wait=False)
    eventually(lambda: liar.asked, "it asks who it is")
    side.stop(LONG_S)
    side = Sidecar(broker(endpoint=liar.url, assetsManagementTimeoutSeconds="0.3"), wait=False)
    eventually(lambda: not side.is_alive(), "it gives up")
    need("error fetching sts caller ID: operation error STS: GetCallerIdentity, context deadline exceeded" in side.log(),
         side.log()[-500:])  # fmt: skip
    more = {"endpoint": liar.url, "accountId": ACCOUNT, "assetsManagementTimeoutSeconds": "0.3"}
    side = sidecar(subscription("t"), app=Inbox(), **more)
    eventually(lambda: "error creating an SQS queue: operation error SQS: CreateQueue, context deadline" in side.log(), "a queue")
    side.end()
    del more["assetsManagementTimeoutSeconds"]
    side = sidecar(HASTY, subscription("u"), app=Inbox(), **more)
    for name in ("t", "other"):
        need(send(side, 1, name).status == 500, "one")
        equal([one["entryId"] for one in bulk(side, name, ["a", "b"]).json["failedEntries"]], ["0", "1"])
    equal(side.plugins()["aws"]["generation"], 1, "the plugin lives")
    equal(side.stop(LONG_S), 0)  # while topics are waited for
    over.set()


main(end_sidecars)
