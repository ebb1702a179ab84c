#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pubsub.kafka on a real node: what is published arrives in order, members of a group share partitions, what is refused
holds its partition, and nobody's death loses anything. Through kafka-python the records look as the reference's do.
timeout: 600"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import kafka_node  # noqa: E402
from http_app import App, answer  # noqa: E402
from inbox import until_all_work  # noqa: E402
from remora import (  # noqa: E402
    SLOW, Folder, Sidecar, component, end_sidecars, equal, eventually, free_port, init_within, kill_both, main, need, test)

LONG_S = 90  # a loaded machine
SOON = {"sessionTimeout": "3s"}  # until what somebody dead had is another's; who is paused for so long is dead as well


def certificates():
    """An authority, a server's certificate for localhost, a client's, and a stranger's authority."""
    folder = Folder()

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder.path, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2")
    for name, extra in [("server", "subjectAltName=DNS:localhost"), ("client", "extendedKeyUsage=clientAuth")]:
        extensions = folder.write(f"{name}.ext", extra + "\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", f"{name}.pem")
    texts = {}
    for name in os.listdir(folder.path):
        with open(folder / name) as f:
            texts[name] = f.read()
    return texts


PEM = certificates()
SERVER = kafka_node.Kafka(tls=(PEM["server.pem"] + PEM["server.key"], PEM["ca.pem"]))


class Inbox(App):
    """An application with topics; `verdict(topic, data)` gives the status of its answer."""

    def __init__(self, verdict=None):
        self.verdict = verdict or (lambda topic, data: 200)
        self.got, self.lock, self.headers = [], threading.Lock(), []
        super().__init__(self.take_event)

    def take_event(self, request, exchange):
        topic, data = request.target[1:], json.loads(request.body).get("data")
        status = self.verdict(topic, data)
        with self.lock:
            self.got.append((topic, data, status))
            self.headers.append({name.lower(): value for name, value in request.headers})
        return answer(status, b"")

    def taken(self, topic):
        """The data of what was accepted."""
        with self.lock:
            return [data for name, data, status in self.got if name == topic and status == 200]

    def tried(self, topic):
        with self.lock:
            return [data for name, data, _ in self.got if name == topic]


def subscription(topic, dead=None, bulk=None):
    spec = {"pubsubname": "bus", "topic": topic, "routes": {"default": f"/{topic}"}}
    if dead:
        spec["deadLetterTopic"] = dead
    if bulk:
        spec["bulkSubscribe"] = {"enabled": True, **bulk}
    return json.dumps({"apiVersion": "dapr.io/v2alpha1", "kind": "Subscription", "metadata": {"name": topic}, "spec": spec})


def broker(listener="PLAINTEXT", **metadata):
    return component("bus", "pubsub.kafka", {"brokers": SERVER.address(listener), "authType": "none",
                                             "initialOffset": "oldest", "sessionTimeout": "30s",
                                             "heartbeatInterval": "500ms", **metadata})


def sidecar(*subscriptions, app=None, app_id=None, wait=True, **metadata):
    """Each topic has a group of its own, so that nobody meets consumers of another test, alive or dead."""
    app_id = app_id or (json.loads(subscriptions[0])["spec"]["topic"] if subscriptions else "press")
    flags = ["--app-port", str(app.port)] if app else []
    return Sidecar(broker(**metadata), *subscriptions, app_id=app_id, flags=flags, wait=wait)


def send(publisher, data, topic, query=""):
    headers = [("Content-Type", "application/json")]
    return publisher.call("POST", f"/v1.0/publish/bus/{topic}{query}", json.dumps(data).encode(), headers)


def publish(publisher, data, topic, query=""):
    reply = send(publisher, data, topic, query)
    equal(reply.status, 204, f"publish: {reply}")


def committed(topic, group=None):
    return sum(offset for (name, _), offset in SERVER.committed(group or topic).items() if name == topic)


@test("what is published is delivered once, in order, and its offset committed", "PUB-90")
def delivered():
    app = Inbox()
    side = sidecar(subscription("orders"), app=app)
    for i in range(50):
        publish(side, i, "orders")
    eventually(lambda: len(app.tried("orders")) >= 50, "all are delivered")
    eventually(lambda: committed("orders") == 50, "the offset is committed")
    equal(app.tried("orders"), list(range(50)), "each once and in order")
    side.stop()
    again = Inbox()
    side = sidecar(subscription("orders"), app=again)
    publish(side, "next", "orders")
    eventually(lambda: again.taken("orders"), "the next one arrives")
    equal(again.tried("orders"), ["next"], "and none of the old ones")


@test("records have headers and a key from metadata, and deliveries have them back")
def metadata():
    SERVER.create("marked", 4)
    app = Inbox()
    side = sidecar(subscription("marked"), app=app, excludeHeaderMetaRegex="^secret\\d+$", escapeHeaders="true")
    publish(side, 1, "marked", "?metadata.partitionKey=k%20%C3%A9&metadata.colour=deep%20blue&metadata.secret1=s")
    publish(side, 2, "marked", "?metadata.partitionNumber=3&metadata.__key=own")
    records = sorted(SERVER.records("marked", 2), key=lambda record: record.value and json.loads(record.value)["data"])
    equal(records[0].key, "k é".encode(), "the key")
    equal(dict(records[0].headers), {"partitionKey": "k é".encode(), "colour": b"deep blue"}, "the headers")
    equal((records[1].partition, records[1].key), (3, b"own"), "the partition that was asked for")
    eventually(lambda: len(app.taken("marked")) == 2, "both are delivered")
    got = dict(zip(app.taken("marked"), app.headers))
    for name, value in [("__key", "k+%C3%A9"), ("colour", "deep+blue"), ("__topic", "marked"),
                        ("__partition", str(records[0].partition)), ("__offset", str(records[0].offset)),
                        ("__timestamp", str(records[0].timestamp))]:
        equal(got[1].get(name), value, f"metadata {name}")
    need("secret1" not in got[1], "what is excluded is not there")


@test("a key goes where the reference's hash has it")
def hashed():
    SERVER.create("hashed", 7)
    side = sidecar()
    for key in ("a", "order-17", "é", "a longer key, with words"):
        publish(side, key, "hashed", f"?metadata.partitionKey={kafka_quote(key)}")
    for record in SERVER.records("hashed", 4):
        equal(record.partition, fnv1a_partition(record.key, 7), f"the partition of {record.key}")


def kafka_quote(text):
    return "".join(f"%{byte:02x}" for byte in text.encode())


def fnv1a_partition(key, count):
    value = 2166136261
    for byte in key:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return abs(signed) % count


@test("what another client writes is delivered: without value, with strange headers, large")
def foreign():
    app = Inbox()
    sidecar(subscription("foreign"), app=app)
    event = json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": "sense"}).encode()
    SERVER.produce("foreign", None, b"key")
    SERVER.produce("foreign", event, headers=[("a", b""), ("b", b"\xff\0"), ("", b"empty"), ("b", b"last")])
    SERVER.produce("foreign", event, headers=[(f"h{i}", b"x" * 300) for i in range(300)])
    SERVER.produce("foreign", json.dumps({"data": "x" * 900_000}).encode())
    SERVER.produce("foreign", json.dumps({"data": "end"}).encode())
    eventually(lambda: "end" in app.taken("foreign"), "what comes last arrives")
    need(app.taken("foreign").count("sense") == 2, "and what was before it")


@test("the text null is published as a record without a value")
def tombstone():
    side = sidecar()
    reply = side.call("POST", "/v1.0/publish/bus/compacted?metadata.rawPayload=true&metadata.partitionKey=k", b"null")
    equal(reply.status, 204, str(reply))
    equal(SERVER.records("compacted", 1)[0].value, None, "the value")


@test("what is refused holds its partition, and no other, until it is taken")
def refused():
    SERVER.create("held", 2)
    good = threading.Event()
    app = Inbox(lambda topic, data: 500 if data == "bad" and not good.is_set() else 200)
    side = sidecar(subscription("held"), app=app, consumeRetryInterval="300")
    for data in ("first", "bad", "behind"):
        publish(side, data, "held", "?metadata.partitionNumber=0")
    eventually(lambda: "bad" in app.tried("held"), "it is refused")
    publish(side, "beside", "held", "?metadata.partitionNumber=1")
    eventually(lambda: "beside" in app.taken("held"), "another partition goes on")
    eventually(lambda: app.tried("held").count("bad") >= 4, "it comes again and again")
    need("behind" not in app.tried("held"), "the own one does not")
    good.set()
    eventually(lambda: "behind" in app.taken("held"), "until it is taken")
    tries = [data for data in app.tried("held") if data != "beside"]
    equal(tries, ["first"] + ["bad"] * (len(tries) - 2) + ["behind"], "the order")
    eventually(lambda: committed("held") == 4, "all are committed")


@test("without retries, or after as many as were asked for, it is skipped")
def skipped():
    for topic, tries, settings in [("skip-at-once", 1, {"consumeRetryEnabled": "false"}),
                                   ("skip-later", 3, {"backOffMaxRetries": "2", "backOffDuration": "50ms"})]:
        app = Inbox(lambda topic, data: 500 if data == "bad" else 200)
        side = sidecar(subscription(topic), app=app, **settings)
        for data in ("bad", "good"):
            publish(side, data, topic)
        eventually(lambda: app.taken(topic) == ["good"], "the next one is taken")
        equal(app.tried(topic), ["bad"] * tries + ["good"], "tries")
        side.end()


@test("what is refused goes to the dead letter topic and on with it")
def dead_letter():
    app = Inbox(lambda topic, data: 500 if topic == "mortal" else 200)
    side = sidecar(subscription("mortal", dead="grave"), subscription("grave"), app=app)
    publish(side, {"f": 1}, "mortal")
    eventually(lambda: app.taken("grave") == [{"f": 1}], "it is in the grave")
    eventually(lambda: committed("mortal") == 1, "and done with")
    equal(len(app.tried("mortal")), 1, "after one try")


@test("batches come from the broker, and what was refused of one comes again", "PUB-120")
def bulk():
    batches, lock, refused_once = [], threading.Lock(), set()

    def take(request, exchange):
        entries = json.loads(request.body)["entries"]
        with lock:
            batches.append(entries)
        statuses = []
        for entry in entries:
            data = entry["event"]["data"]
            bad = data % 10 == 3 and data not in refused_once
            refused_once.update([data] if bad else [])
            statuses.append({"entryId": entry["entryId"], "status": "RETRY" if bad else "SUCCESS"})
        return answer(200, json.dumps({"statuses": statuses}).encode())

    app = App(take)
    side = sidecar(subscription("many", bulk={"maxMessagesCount": 20, "maxAwaitDurationMs": 300}), app=app)
    entries = [{"entryId": str(i), "event": i, "contentType": "application/json", "metadata": {"n": str(i)}}
               for i in range(50)]
    reply = side.call("POST", "/v1.0/publish/bulk/bus/many?metadata.all=yes", json.dumps(entries).encode(),
                      [("Content-Type", "application/json")])
    equal(reply.status, 204, str(reply))

    def all_data():
        with lock:
            return [entry["event"]["data"] for batch in batches for entry in batch]

    eventually(lambda: len(all_data()) == 55, "all arrive, five of them twice")
    equal(set(all_data()), set(range(50)), "each")
    with lock:
        need(max(len(batch) for batch in batches) == 20, f"in full batches: {[len(batch) for batch in batches]}")
        entry = batches[0][0]
    equal((entry["metadata"]["n"], entry["metadata"]["all"], entry["metadata"]["__offset"]), ("0", "yes", "0"), "metadata")
    eventually(lambda: committed("many") == 50, "all are committed")


@test("entries that cannot be sent are told one by one")
def bulk_failures():
    side = sidecar(maxMessageBytes="20000")
    entries = [{"entryId": str(i), "event": "x" * (30_000 if i == 1 else 10), "contentType": "text/plain"} for i in range(3)]
    reply = side.call("POST", "/v1.0/publish/bulk/bus/small", json.dumps(entries).encode(),
                      [("Content-Type", "application/json")])
    equal(reply.status, 500, str(reply))
    failed = json.loads(reply.body)["failedEntries"]
    equal([entry["entryId"] for entry in failed], ["1"], "the one that is too large")
    need("larger than configured" in failed[0]["error"], failed[0]["error"])
    reply = send(side, 1, "no%20topic")
    equal(reply.status, 500, str(reply))
    need("invalid topic" in str(reply.body), str(reply.body))


@test("a group that begins with what is new misses nothing from its subscription on, whoever dies")
def newest():
    SERVER.create("fresh")
    app = Inbox()
    early = sidecar()
    publish(early, "early", "fresh")
    early.end()
    held = threading.Event()
    slow = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500)
    first = sidecar(subscription("fresh"), app=slow, app_id="late", initialOffset="newest", **SOON)
    eventually(lambda: committed("fresh", "late") == 1, "where the group begins is committed", LONG_S)
    publish(first, "new", "fresh")
    kill_both(first, "kafka")
    sidecar(subscription("fresh"), app=app, app_id="late", initialOffset="newest", **SOON)
    eventually(lambda: set(app.taken("fresh")) == {"new"}, "the next one gets what nobody had done", LONG_S)
    held.set()


@test("two instances of an application share a topic's partitions, another one gets all of it", "PUB-U13")
def competing():
    SERVER.create("shared", 4)
    apps, other = [Inbox(), Inbox()], Inbox()
    avro = {"schemaRegistryURL": "http://127.0.0.1:1", "useAvroJSON": "true"}  # is asked for Avro only
    robin = {"app_id": "pair", "consumerGroupRebalanceStrategy": "RoundRobin", **SOON}  # a group has one strategy
    sides = [sidecar(subscription("shared"), app=app, **robin) for app in apps]
    third = sidecar(subscription("shared"), app=other, app_id="billing", **avro)

    def spread(side, i):
        publish(side, i, "shared", f"?metadata.partitionNumber={i % 4}")

    def pair():
        return [app.tried("shared") for app in apps]

    first = until_all_work(pair, lambda i: spread(third, i), at_once=4, seconds=LONG_S)
    wanted = list(range(first + 200))
    for i in wanted[first:]:
        spread(sides[i % 2], i)
    eventually(lambda: set().union(*pair()) == set(wanted), "each by one of the two", LONG_S)
    eventually(lambda: sorted(other.tried("shared")) == wanted, "all of them by the other one")
    for partition in range(4):
        own = [i for i in other.taken("shared") if i % 4 == partition]
        equal(own, sorted(own), f"partition {partition} is in order")
    sides[0].end()
    more = range(len(wanted), len(wanted) + 20)
    for i in more:
        spread(third, i)
    eventually(lambda: set(more) <= set(apps[1].taken("shared")), "who is left gets all partitions", LONG_S)


@test("sticky members give up only the partitions that move, and lose nothing as they come and go")
def sticky():
    SERVER.create("sticky", 3)
    held, stuck = threading.Event(), []

    def slow(topic, data):
        if data == "held":
            stuck.append(data)
            need(held.wait(LONG_S), "it is let go")
        return 200

    apps = [Inbox(slow) for _ in range(3)]
    glue = {"app_id": "glue", "consumerGroupRebalanceStrategy": "Sticky", **SOON}

    def shares():
        return sorted((member for member in SERVER.members("glue")), key=len)

    def everything():
        return [data for app in apps for data in app.tried("sticky")]

    press = sidecar()
    sides = [sidecar(subscription("sticky"), app=app, **glue) for app in apps[:2]]
    eventually(lambda: [len(one) for one in shares()] == [1, 2], "two share three partitions", LONG_S)
    # One is with the application, of a partition that will not move: whoever comes need not wait for it.
    alone, pair = shares()
    publish(press, "held", "sticky", f"?metadata.partitionNumber={alone[0][1]}")
    eventually(lambda: stuck == ["held"], "one is with the application", LONG_S)
    sides.append(sidecar(subscription("sticky"), app=apps[2], **glue))
    eventually(lambda: [len(one) for one in shares()] == [1, 1, 1], "a third one has one of the pair", 20)
    need(alone in shares() and not held.is_set(), "who had one has it still")
    held.set()
    for i in range(30):
        publish(press, i, "sticky", f"?metadata.partitionNumber={i % 3}")
    eventually(lambda: set(range(30)) <= set(everything()), "all arrive", LONG_S)
    need(all(app.taken("sticky") for app in apps), "at all of them")
    equal(sorted(everything(), key=str), sorted([*range(30), "held"], key=str), "each once")
    sides[0].stop()
    for i in range(30, 60):
        publish(press, i, "sticky", f"?metadata.partitionNumber={i % 3}")
    kill_both(sides[1], "kafka")
    for i in range(60, 90):
        publish(press, i, "sticky", f"?metadata.partitionNumber={i % 3}")
    eventually(lambda: set(range(90)) <= set(everything()), "who is left gets the rest", LONG_S)
    for i in range(3):
        own = [data for data in apps[2].taken("sticky") if data in range(60, 90) and data % 3 == i]
        equal(own, sorted(own), f"partition {i} is in order")


@test("sticky members of ours and the reference's do not meet in one group, and say so")
def sticky_strangers():
    SERVER.create("strange")
    kafka = kafka_node.client()
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    consumer = kafka.KafkaConsumer("strange", bootstrap_servers=SERVER.address(), group_id="strange",
                                   partition_assignment_strategy=[StickyPartitionAssignor])

    def look(condition):
        consumer.poll(100)
        return condition()

    try:
        eventually(lambda: look(consumer.assignment), "the stranger is a member", LONG_S)
        side = sidecar(subscription("strange"), app=Inbox(), consumerGroupRebalanceStrategy="sticky", wait=False, **SOON)
        eventually(lambda: look(lambda: "nconsistent group protocol" in side.log()), "it is told of", LONG_S)
        need(consumer.assignment(), "the stranger goes on")
    finally:
        consumer.close()


@test("killing the plugin loses nothing")
def plugin_killed():
    app, accepted = Inbox(), []
    side = sidecar(subscription("killed"), app=app, **SOON)
    for i in range(300):
        if i in (100, 200):
            os.kill(side.plugin_pid("kafka"), signal.SIGKILL)
        if send(side, i, "killed").status == 204:
            accepted.append(i)
    eventually(lambda: set(accepted) <= set(app.taken("killed")), "all that was accepted arrives", LONG_S)
    need(len(accepted) > 200, f"most were accepted: {len(accepted)}")


@test("exchanging the component under load fails and loses nothing")
def exchanged():
    app, sent, over = Inbox(), [], threading.Event()
    side = sidecar(subscription("swapped"), app=app)

    def load():
        while not over.is_set():
            sent.append(send(side, len(sent), "swapped").status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(3):
            before = len(app.tried("swapped"))
            side.exchange("bus", broker(consumeRetryInterval=str(200 + i)))
            eventually(lambda: len(app.tried("swapped")) > before + 50, "deliveries go on", LONG_S)
    finally:
        over.set()
        thread.join()
    equal(set(sent), {204}, "every publish is accepted")
    eventually(lambda: set(app.taken("swapped")) == set(range(len(sent))), "all arrive", LONG_S)


@test("a slow application keeps neither many messages nor much memory in the plugin")
def slow():
    held = threading.Event()
    app = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500)
    side = sidecar(subscription("slow"), app=app)
    body = "x" * 60_000
    for i in range(60):
        publish(side, [i, body], "slow")
    eventually(lambda: len(app.requests) == 1, "one is with the application")
    before = private_kib(side.plugin_pid("kafka"))
    for i in range(60, 500):
        publish(side, [i, body], "slow")
    equal(len(app.requests), 1, "and no more")
    if SLOW == 1:  # sanitizers keep what is freed for a while
        grown = private_kib(side.plugin_pid("kafka")) - before
        need(grown < 4096, f"30 MB that wait with the server take {grown} KiB in the plugin")
    held.set()
    eventually(lambda: len(app.taken("slow")) == 500, "the rest follows", LONG_S)
    equal([data[0] for data in app.taken("slow")], list(range(500)), "in order")


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_"))


@test("passwords of every mechanism, TLS and certificates are let in")
def let_in():
    login = {"authType": "password", "saslUsername": kafka_node.USER, "saslPassword": kafka_node.PASSWORD}
    rows = [("SASL_PLAINTEXT", {**login, "disableTls": "true"}),
            ("SASL_PLAINTEXT", {**login, "disableTls": "true", "saslMechanism": "SHA-256"}),
            ("SASL_SSL", {**login, "saslMechanism": "SHA-512", "caCert": PEM["ca.pem"]}),
            ("SASL_SSL", {**login, "caCert": PEM["ca.pem"]}),
            ("SASL_SSL", {**login, "authType": "", "authRequired": "true", "skipVerify": "true"}),
            ("SSL", {"authType": "mtls", "caCert": PEM["ca.pem"], "clientCert": PEM["client.pem"],
                     "clientKey": PEM["client.key"]})]
    for number, (listener, settings) in enumerate(rows):
        app = Inbox()
        side = sidecar(subscription(f"safe-{number}"), app=app, listener=listener, **settings)
        publish(side, number, f"safe-{number}")
        eventually(lambda: app.taken(f"safe-{number}") == [number], f"{listener} {settings.get('saslMechanism')}")
        need(kafka_node.PASSWORD not in side.log(), "the password is not in the log")
        side.end()


def refuses(words, listener="PLAINTEXT", **settings):
    patient = init_within(broker(listener, **settings), "60s")  # its own words come first
    side = Sidecar(patient, wait=False)
    eventually(lambda: not side.is_alive(), f"it does not start: {words}", LONG_S)
    need(words in side.log(), f"it says {words}: {side.log()[-700:]}")
    need("hush" not in side.log(), "no secret is in the log")


@test("who is not let in is told, without secrets")
def not_let_in():
    login = {"authType": "password", "saslUsername": kafka_node.USER, "saslPassword": "hush-hush"}
    refuses("uthentication failed", "SASL_PLAINTEXT", **login, disableTls="true")
    refuses("uthentication failed", "SASL_PLAINTEXT", **login, disableTls="true", saslMechanism="SHA-256")
    refuses("certificate verify failed", "SASL_SSL", **login, caCert=PEM["stranger.pem"])
    refuses("failed to verify certificate", "SASL_SSL", **login, caCert=PEM["stranger.pem"], saslMechanism="SHA-512")
    refuses("client has run out of available brokers", brokers=f"127.0.0.1:{free_port()}")


@test("metadata that make no sense are refused in the reference's words")
def nonsense():
    hush = {"saslPassword": "hush"}
    for words, settings in [
        ("kafka error: missing 'brokers' attribute", {"brokers": ""}),
        ("kafka error: 'authType' attribute was missing or empty", {"authType": ""}),
        ("kafka error: missing SASL Username for authType 'password'", {"authType": "password", **hush}),
        ("kafka error: authType 'awsiam' is not supported yet", {"authType": "awsiam", "awsRegion": "x"}),
    ]:
        refuses(words, **settings)


class Babbler:
    """Says the same to everybody, whatever they want."""

    def __init__(self, words):
        self.words, self.listening = words, socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listening.accept()
            threading.Thread(target=self.babble, args=(sock,), daemon=True).start()

    def babble(self, sock):
        try:
            while sock.recv(4096):
                sock.sendall(self.words)
        except OSError:
            pass


@test("a server that talks nonsense is refused, and harms nobody")
def babbler():
    login = {"authType": "password", "saslUsername": "u", "saslPassword": "hush", "disableTls": "true"}
    cut = b"\0\0\0\x08\0\0\0\x01\0\0\0\0"
    for words, mechanism, says in [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "PLAIN", "run out of available"),
                                   (b"HTTP/1.1 400 Bad Request\r\n\r\n", "SHA-256", "does not speak Kafka"),
                                   (b"\xff" * 4096, "SHA-256", "does not speak Kafka"),
                                   (cut, "SHA-512", "answers what was not asked"),
                                   (b"\0\0\0\x08\0\0\0\x01\0\x21\0\0", "SHA-512", "does not know SCRAM-SHA-512")]:
        refuses(says, brokers=Babbler(words).address, **login, saslMechanism=mechanism)


# It takes the node away: the last one. With a login of ours, which has to come back as well.
@test("killing the server loses nothing, and everybody comes back")
def server_killed():
    app, accepted = Inbox(), []
    side = sidecar(subscription("durable"), app=app, listener="SASL_SSL", authType="password",
                   saslUsername=kafka_node.USER, saslPassword=kafka_node.PASSWORD, saslMechanism="SHA-256",
                   caCert=PEM["ca.pem"])
    for i in range(150):
        if i == 50:
            SERVER.stop()
            SERVER.start()
        if send(side, i, "durable").status == 204:
            accepted.append(i)
    eventually(lambda: set(accepted) <= set(app.taken("durable")), "all that was accepted arrives", LONG_S)
    need(len(accepted) > 100, f"most were accepted: {len(accepted)}")


main(end_sidecars)
