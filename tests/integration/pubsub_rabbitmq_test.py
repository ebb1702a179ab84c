#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pubsub.rabbitmq against a real server: what is published arrives, what is refused goes where it was said, exchanges,
queues and messages are the reference's, and all comes back after the server, a queue or the plugin has gone.
timeout: 400"""

import json
import os
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import rabbitmq  # noqa: E402
from http_app import App, answer  # noqa: E402
from remora import Folder, Sidecar, component, end_sidecars, equal, eventually, init_within, main, need, test  # noqa: E402

SAFE = {"durable": "true", "deletedWhenUnused": "false", "deliveryMode": "2", "requeueInFailure": "true"}
LONG_S = 60  # a loaded machine


def certificates():
    """An authority, a server's certificate for localhost, a client's in the name of guest."""
    folder = Folder()

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder.path, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    for name, subject, extra in [("server", "/CN=localhost", "subjectAltName=DNS:localhost"),
                                 ("client", "/CN=guest", "extendedKeyUsage=clientAuth")]:
        extensions = folder.write(f"{name}.ext", extra + "\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", f"{name}.pem")
    return folder


PEM = certificates()
SERVER = rabbitmq.RabbitMQ(tls=(PEM / "server.pem", PEM / "server.key", PEM / "ca.pem"))


class Inbox(App):
    """An application with topics; `verdict(topic, data)` gives the status of its answer."""

    def __init__(self, verdict=None):
        self.verdict = verdict or (lambda topic, data: 200)
        self.got, self.lock = [], threading.Lock()
        super().__init__(self.take_event)

    def take_event(self, request, exchange):
        topic, data = request.target[1:], json.loads(request.body).get("data")
        status = self.verdict(topic, data)
        with self.lock:
            self.got.append((topic, data, status))
        return answer(status, b"")

    def taken(self, topic):
        """The data of what was accepted."""
        with self.lock:
            return [data for name, data, status in self.got if name == topic and status == 200]

    def tried(self, topic):
        with self.lock:
            return [data for name, data, _ in self.got if name == topic]


def subscription(topic, route=None, pubsub="bus", **metadata):
    spec = {"pubsubname": pubsub, "topic": topic, "routes": {"default": f"/{route or topic}"}}
    if metadata:
        spec["metadata"] = metadata
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription",
                       "metadata": {"name": f"{pubsub}-{route or topic}"}, "spec": spec})


def broker(name="bus", **metadata):
    where = {} if "connectionString" in metadata or "hostname" in metadata else {"connectionString": SERVER.url}
    return component(name, "pubsub.rabbitmq", {**where, **metadata})


def queue_of(document, app_id):
    spec = json.loads(document)["spec"]
    return spec.get("metadata", {}).get("queueName", f"{app_id}-{spec['topic']}")


def sidecar(*subscriptions, app=None, app_id="shop", more=(), **metadata):
    """What is published before the queue is there is nobody's: returns when all are consumed."""
    before = {one: max(SERVER.consumers(one), 0) for one in {queue_of(document, app_id) for document in subscriptions}}
    flags = ["--app-port", str(app.port)] if app else []
    side = Sidecar(broker(**metadata), *subscriptions, *more, app_id=app_id, flags=flags)
    for queue, count in before.items():
        eventually(lambda: SERVER.consumers(queue) > count, f"{queue} is consumed", LONG_S)
    return side


def send(publisher, data, topic, query="", pubsub="bus"):
    headers = [("Content-Type", "application/json")]
    return publisher.call("POST", f"/v1.0/publish/{pubsub}/{topic}{query}", json.dumps(data).encode(), headers)


def publish(publisher, data, topic, query=""):
    reply = send(publisher, data, topic, query)
    equal(reply.status, 204, f"publish: {reply}")


@test("what is published is delivered once, through exchanges and queues that are declared as the reference does it", "PUB-U13")
def delivered():
    app = Inbox()
    side = sidecar(subscription("orders"), app=app)
    for i in range(50):
        publish(side, i, "orders")
    eventually(lambda: sorted(app.tried("orders")) == list(range(50)), "all are delivered")

    def declare_again(channel):  # anything else than what is there is refused
        channel.exchange_declare("orders", "fanout", durable=True, auto_delete=True)
        channel.queue_declare("shop-orders", durable=True, auto_delete=True, arguments={"x-queue-type": "classic"})
        return channel.queue_declare("shop-orders", passive=True).method

    found = SERVER.use(declare_again)
    equal((found.message_count, found.consumer_count), (0, 1), "nothing is left, and one consumer")
    equal(len(app.tried("orders")), 50, "each once")
    side.end()
    eventually(lambda: SERVER.consumers("shop-orders") < 0, "the queue goes with its last consumer")


@test("messages carry the reference's properties, and bring properties back as metadata if asked for")
def properties():
    app = Inbox()
    side = sidecar(subscription("props"), app=app, deliveryMode="2", ttlInSeconds="60",
                   publishMessagePropertiesToMetadata="true")

    def look(channel):
        channel.queue_declare("look", auto_delete=True)
        channel.queue_bind("look", "props", "")
        publish(side, 1, "props")
        publish(side, 2, "props", "?metadata.priority=300&metadata.messageID=m-1&metadata.correlationID=c-1"
                "&metadata.type=kind&metadata.contentType=a%2Fb&metadata.ttlInSeconds=7&metadata.routingKey=key")
        found = []
        eventually(lambda: (found.append(channel.basic_get("look", auto_ack=True)) or True) and
                   len([one for one in found if one[0]]) == 2, "both are there")
        found = [one for one in found if one[0]]
        channel.basic_publish("props", "", b'{"data":"outside","specversion":"1.0","id":"1","source":"s","type":"t"}',
                              rabbitmq.pika().BasicProperties(message_id="m-2", headers={"one": "1", "two": 2, "not": [1]}))
        return found

    (_, plain, body), (how, full, _) = SERVER.use(look)
    equal((plain.content_type, plain.delivery_mode, plain.expiration, plain.priority, plain.message_id),
          ("text/plain", 2, "60000", None, None), "the plain one")
    equal(json.loads(body)["data"], 1, "an envelope")
    equal((full.content_type, full.priority, full.message_id, full.correlation_id, full.type, full.expiration,
           how.routing_key), ("a/b", 255, "m-1", "c-1", "kind", "7000", "key"), "the full one")
    eventually(lambda: len(app.got) == 3, "all are delivered")
    heads = {json.loads(request.body)["data"]: request for request in app.requests if request.target == "/props"}
    equal([heads["outside"].header(f"metadata.{name}") for name in ("messageid", "one", "two", "not")],
          ["m-2", "1", "2", None], "the headers of the delivery")
    equal(heads[2].header("metadata.correlationid"), "c-1", "and properties")


@test("what is refused is dropped, or kept in the dead letter queue, or comes again", "PUB-U13")
def refused():
    seen = {}

    def verdict(topic, data):
        seen[topic, data] = seen.get((topic, data), 0) + 1
        return 200 if topic == "again" and seen[topic, data] > 3 else 500 if data == "bad" else 200

    app = Inbox(verdict)
    side = sidecar(subscription("drop"), subscription("bury", pubsub="graves"), subscription("again", pubsub="safe"), app=app,
                   more=[broker("graves", enableDeadLetter="true", maxLen="7"), broker("safe", **SAFE)])
    for pubsub, topic in [("bus", "drop"), ("graves", "bury"), ("safe", "again")]:
        for data in ("good", "bad"):
            equal(send(side, data, topic, pubsub=pubsub).status, 204, topic)
    eventually(lambda: sorted(app.taken("again")) == ["bad", "good"], "it comes again until it is taken")
    eventually(lambda: len(app.tried("bury")) == 2 and len(app.tried("drop")) == 2, "the others")
    eventually(lambda: SERVER.ready("dlq-shop-bury") == 1, "it is in the dead letter queue")

    def declared(channel):
        channel.exchange_declare("dlx-shop-bury", "fanout", durable=True, auto_delete=True)
        channel.queue_declare("dlq-shop-bury", durable=True, auto_delete=True,
                              arguments={"x-max-length": 7, "x-queue-mode": "lazy"})
        channel.queue_declare("shop-bury", durable=True, auto_delete=True, arguments={
            "x-max-length": 7, "x-dead-letter-exchange": "dlx-shop-bury", "x-queue-type": "classic"})

    SERVER.use(declared)
    equal((app.tried("drop").count("bad"), app.tried("bury").count("bad"), app.tried("again").count("bad")), (1, 1, 4))


@test("two instances of an application share a topic, another one gets all of it", "PUB-U13")
def competing():
    apps, other = [Inbox(), Inbox()], Inbox()
    sides = [sidecar(subscription("shared"), app=app, prefetchCount="2") for app in apps]
    sidecar(subscription("shared"), app=other, app_id="billing")
    wanted = list(range(200))
    for i in wanted:
        publish(sides[i % 2], i, "shared")
    eventually(lambda: sorted(apps[0].tried("shared") + apps[1].tried("shared")) == wanted, "each by one of the two")
    eventually(lambda: sorted(other.tried("shared")) == wanted, "all of them by the other one")
    need(all(len(app.tried("shared")) > 0 for app in apps), "both work")


@test("queues are what a subscription says: quorum, with priorities, bound to keys, under a name of its own")
def kinds_of_queues():
    held = threading.Event()
    app = Inbox(lambda topic, data: 200 if topic != "urgent" or data != 0 or held.wait(LONG_S) else 500)
    side = sidecar(subscription("solid", queueType="quorum"), subscription("urgent", pubsub="one", maxPriority="9"),
                   subscription("routed", pubsub="keys", queueName="mine", routingKey="a.*,b"),
                   app=app, more=[broker("one", concurrency="single", prefetchCount="1"),
                                  broker("keys", exchangeKind="topic")], **SAFE)
    publish(side, "q", "solid")
    eventually(lambda: app.taken("solid") == ["q"], "a quorum queue delivers")
    for i, query in enumerate(["", "?metadata.priority=1", "?metadata.priority=9"]):
        equal(send(side, i, "urgent", query, "one").status, 204)
        eventually(lambda: any(one.target == "/urgent" for one in app.requests), "the first one is in its hands")
    held.set()
    eventually(lambda: app.taken("urgent") == [0, 2, 1], "the urgent one comes before")
    for key in ("a.x", "c", "b", ""):
        equal(send(side, key, "routed", f"?metadata.routingKey={key}", "keys").status, 204)
    eventually(lambda: sorted(app.taken("routed")) == ["a.x", "b"], "those with its keys")

    def declared(channel):
        channel.queue_declare("shop-solid", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_declare("shop-urgent", durable=True, auto_delete=True,
                              arguments={"x-queue-type": "classic", "x-max-priority": 9})
        channel.queue_declare("mine", durable=True, auto_delete=True, arguments={"x-queue-type": "classic"})

    SERVER.use(declared)
    wrong = Sidecar(broker(), subscription("x", queueType="stream"), flags=["--app-port", str(app.port)], app_id="wrong")
    eventually(lambda: "invalid queue type stream. Valid types are classic and quorum" in wrong.log(), "another type is refused")


@test("single means one at a time, in order; a window of three is not exceeded")
def windows():
    held, app = threading.Event(), None
    app = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500)
    side = sidecar(subscription("line"), subscription("three", pubsub="few"), app=app, concurrency="single",
                   more=[broker("few", prefetchCount="3")])
    for i in range(10):
        publish(side, i, "line")
        equal(send(side, i, "three", pubsub="few").status, 204)
    eventually(lambda: len(app.requests) >= 4 and SERVER.ready("shop-three") == 7, "three and one are in its hands")
    equal(sorted(request.target for request in app.requests), ["/line"] + ["/three"] * 3, "and no more")
    held.set()
    eventually(lambda: app.taken("line") == list(range(10)), "in order")
    eventually(lambda: sorted(app.taken("three")) == list(range(10)), "the others too")


@test("what expires before anybody takes it is not delivered")
def expires():
    app = Inbox()
    sidecar(subscription("brief"), app=Inbox(), **SAFE).stop()
    eventually(lambda: SERVER.consumers("shop-brief") == 0, "the queue is there, and nobody takes from it")
    side = sidecar(**SAFE)
    publish(side, "old", "brief", "?metadata.ttlInSeconds=1")
    publish(side, "new", "brief", "?metadata.ttlInSeconds=600")
    eventually(lambda: SERVER.ready("shop-brief") == 1, "the server has dropped the old one")
    sidecar(subscription("brief"), app=app, **SAFE)
    eventually(lambda: app.tried("brief") == ["new"], "the new one arrives, and nothing else")


@test("a consumer that the server cancels comes back with its queue")
def cancelled():
    app = Inbox()
    side = sidecar(subscription("lost"), app=app, reconnectWait="1", **SAFE)
    publish(side, 1, "lost")
    eventually(lambda: app.taken("lost") == [1], "it works")
    SERVER.use(lambda channel: channel.queue_delete("shop-lost"))
    eventually(lambda: SERVER.consumers("shop-lost") > 0, "the queue is there again")
    publish(side, 2, "lost")
    eventually(lambda: app.taken("lost") == [1, 2], "and what is published afterwards arrives")
    need("the server cancelled the consumer of queue shop-lost" in side.log(), "the log says so")


@test("exchanges that are deleted, or are others' and different, are declared anew, or named")
def exchanges():
    side = sidecar(**SAFE)
    publish(side, 1, "gone")
    SERVER.use(lambda channel: channel.exchange_delete("gone"))
    publish(side, 2, "gone")
    publish(side, 3, "gone")
    SERVER.use(lambda channel: channel.exchange_declare("gone", "fanout", passive=True))
    SERVER.use(lambda channel: channel.exchange_declare("others", "direct"))
    reply = send(side, 4, "others")
    equal(reply.status, 500, str(reply))
    need("exchange 'others' already exists with properties that differ" in reply.text and "406" in reply.text, reply.text)
    publish(side, 5, "gone")
    passive = sidecar(app_id="passive", exchangeDeclareMode="passive")
    publish(passive, 6, "others")
    need("exchange 'nowhere' does not exist" in send(passive, 7, "nowhere").text, "one that is not there")


@test("over TLS, with a password and with a certificate; a stranger's authority and a wrong password are refused in words")
def tls():
    def pem(name):
        with open(PEM / name) as f:
            return f.read()

    ours = {"protocol": "amqps", "hostname": f"localhost:{SERVER.tls_port}"}
    app = Inbox()
    side = sidecar(subscription("secure"), app=app, caCert=pem("ca.pem"), username="guest", password="guest", **ours)
    publish(side, 1, "secure")
    eventually(lambda: app.taken("secure") == [1], "over TLS")
    external = {"caCert": pem("ca.pem"), "clientCert": pem("client.pem"), "clientKey": pem("client.key"), "saslExternal": "true"}
    side = sidecar(app_id="external", username="nobody", password="wrong", **external, **ours)
    publish(side, 2, "secure")
    eventually(lambda: app.taken("secure") == [1, 2], "by certificate")
    secret = "quite-a-secret"
    for name, metadata, words in [
        ("stranger", {**ours, "caCert": pem("client.pem")}, "certificate verify failed"),
        ("address", {**ours, "hostname": f"127.0.0.1:{SERVER.tls_port}", "caCert": pem("ca.pem")}, "certificate verify failed"),
        ("password", {"connectionString": f"amqp://guest:{secret}@127.0.0.1:{SERVER.port}"}, "username or password not allowed"),
        ("mismatch", {"connectionString": f"amqp://guest:{secret}@127.0.0.1:1", "protocol": "amqps"},
         "protocol does not match connection string, protocol: amqps, connection string: amqp://127.0.0.1:1"),
        ("garbage", {"connectionString": f"amqp://guest:{secret}@127.0.0.1:port"}, "invalid connection string, err: invalid port"),
        ("nobody", {"connectionString": f"amqp://guest:{secret}@127.0.0.1:1"}, "dial amqp://127.0.0.1:1: no connection can be made"),
    ]:
        patient = init_within(broker(**metadata), "60s")  # its own words come first
        side = Sidecar(patient, wait=False, app_id=name)
        eventually(lambda: words in side.log() or not side.is_alive(), f"{name} is refused", LONG_S)
        need(words in side.log() and secret not in side.log(), f"{name} in words: {side.log()[-1500:]}")
        side.end()


@test("while the server blocks publishers a publish waits, and fails at its deadline in those words")
def blocked():
    limit = json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Resiliency", "metadata": {"name": "limit"}, "spec": {
        "policies": {"timeouts": {"short": "1s"}},
        "targets": {"components": {"bus": {"outbound": {"timeout": "short"}}}}}})
    app = Inbox()
    side = sidecar(subscription("full"), app=app, more=[limit], **SAFE)
    eventually(lambda: send(side, 1, "full").status == 204, "a second is enough once", LONG_S)
    SERVER.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        # The server tells those who publish while it is short.
        eventually(lambda: "the server has blocked publishing: low on memory" in send(side, 2, "full").text,
                   "a publish fails in words", LONG_S)
        need("the server has blocked publishing: low on memory; messages wait" in side.log(), "the log says so")
        waiting = threading.Thread(target=eventually, args=(lambda: send(side, 4, "full").status == 204, "it is taken", LONG_S))
        waiting.start()
    finally:
        SERVER.control("set_vm_memory_high_watermark", "absolute", "1GB")
    waiting.join()
    eventually(lambda: {1, 4} <= set(app.taken("full")), "and arrives", LONG_S)


@test("exchanging the component under load fails and loses nothing")
def exchanged():
    app, sent = Inbox(), []
    side = sidecar(subscription("swapped"), app=app, **SAFE)
    over = threading.Event()

    def load():
        while not over.is_set():
            sent.append(send(side, len(sent), "swapped").status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(4):
            before = len(app.tried("swapped"))
            side.exchange("bus", broker(prefetchCount=str(20 + i), **SAFE))
            eventually(lambda: len(app.tried("swapped")) > before + 20, "deliveries go on", LONG_S)
    finally:
        over.set()
        thread.join()
    equal(set(sent), {204}, "every publish is accepted")
    eventually(lambda: set(app.taken("swapped")) == set(range(len(sent))), "all arrive", LONG_S)


@test("a megabyte passes, and so does what others publish")
def large_and_strange():
    app = Inbox()
    side = sidecar(subscription("large"), app=app)
    big = "x" * 1_000_000
    for i in range(6):
        publish(side, [i, big], "large")
    reply = side.call("POST", "/v1.0-alpha1/publish/bulk/bus/large", json.dumps([
        {"entryId": str(i), "event": [i, "bulk"], "contentType": "application/json"} for i in range(6, 120)]).encode(),
        [("Content-Type", "application/json")])
    need(reply.status in (200, 204), str(reply))

    def strange(channel):
        properties = rabbitmq.pika().BasicProperties
        channel.basic_publish("large", "", b"")
        channel.basic_publish("large", "", b"\0\xff", properties(content_type="x" * 255, headers={"k" * 255: "v" * 40000}))
        channel.basic_publish("large", "", b'["no envelope"]', properties(priority=7))

    SERVER.use(strange)
    publish(side, ["last"], "large")
    eventually(lambda: any(data == ["last"] for data in app.taken("large")), "what comes after them arrives")

    def numbers():
        return sorted(data[0] for data in app.taken("large") if isinstance(data, list) and len(data) == 2)

    eventually(lambda: len(numbers()) >= 120, "all of them arrive")
    equal(numbers(), list(range(120)), "each once")
    need(send(side, 1, "t" * 256).status == 400 or "longer than 255 bytes" in send(side, 1, "t" * 256).text, "a name too long")
    equal(side.plugins()["rabbitmq"]["generation"], 1, "the plugin lives")


@test("kills of the plugin and the server lose nothing that was confirmed", "PUB-U13")
def killed():
    app = Inbox()
    side = sidecar(subscription("kept"), app=app, reconnectWait="1", **SAFE)
    accepted, over = [], threading.Event()

    def load():
        i = 0
        while not over.is_set():
            try:
                if send(side, i, "kept").status == 204:
                    accepted.append(i)
            except OSError:  # no answer, which is no promise
                pass
            i += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        eventually(lambda: len(accepted) > 20, "it works")
        os.kill(side.plugin_pid("rabbitmq"), signal.SIGKILL)
        before = len(accepted)
        eventually(lambda: len(accepted) > before + 20, "it works after the plugin's death", LONG_S)
        SERVER.stop()
        SERVER.start()
        before = len(accepted)
        eventually(lambda: len(accepted) > before + 20, "it works after the server's death", LONG_S)
    finally:
        over.set()
        thread.join()
    eventually(lambda: set(accepted) <= set(app.taken("kept")), "all that was accepted arrives", LONG_S)
    eventually(lambda: SERVER.ready("shop-kept") == 0, "nothing is left")


@test("a server that hangs is left when its heartbeat is missed, and found again")
def hung():
    app = Inbox()
    side = sidecar(subscription("still"), app=app, heartBeat="1s", reconnectWait="1", **SAFE)
    publish(side, 1, "still")
    eventually(lambda: set(app.taken("still")) == {1}, "it works")
    SERVER.pause()
    try:
        eventually(lambda: "no connection for publishing, trying on" in side.log() and
                   "no connection for subscriptions, trying on" in side.log(), "both connections are given up", LONG_S)
    finally:
        SERVER.resume()
    eventually(lambda: send(side, 2, "still").status == 204, "it publishes again", LONG_S)
    eventually(lambda: set(app.taken("still")) == {1, 2}, "and gets it", LONG_S)


main(end_sidecars)
