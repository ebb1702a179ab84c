#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pubsub.mqtt3 against real servers, plain, with passwords and over TLS, and against one of the test's own that shows
every packet: what is published arrives, is acknowledged when it has been handled and not before, and is not lost when
somebody dies. timeout: 300"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from inbox import Inbox, subscription  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402
from remora import (  # noqa: E402
    Folder, Sidecar, component, end_sidecars, equal, eventually, free_port, init_within, kill_both, main, need, test)

UPDATED = "Component updated: bus"
SUBSCRIBED = "MQTT is subscribed to topic"
LONG_S = 60  # a loaded machine
DEAD_URL = "tcp://127.0.0.1:1"


def broker(url, name="bus", extra="", type_="pubsub.mqtt3", **metadata):
    return component(name, type_, {"url": url, **metadata}, extra=extra)


def sidecar(url, *subscriptions, app=None, app_id="shop", folder=None, subscribed=None, **metadata):
    """Waits for its subscriptions: what is published before the first of them is nobody's."""
    flags = ["--app-port", str(app.port)] if app else []
    side = Sidecar(broker(url, **metadata), *subscriptions, app_id=app_id, flags=flags, folder=folder)
    wanted = len(subscriptions) if subscribed is None else subscribed
    eventually(lambda: side.log().count(SUBSCRIBED) >= wanted, "it is subscribed", LONG_S)
    return side


def send(publisher, data, topic="orders", query="", pubsub="bus"):
    headers = [("Content-Type", "application/json")]
    return publisher.call("POST", f"/v1.0/publish/{pubsub}/{topic}{query}", json.dumps(data).encode(), headers)


def publish(publisher, data, topic="orders", query=""):
    reply = send(publisher, data, topic, query)
    equal(reply.status, 204, f"publish: {reply}")


def kill_plugin(side):
    """And waits for the next one."""
    before = side.plugin_pid("mqtt")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: side.plugins()["mqtt"]["pid"] not in (None, 0, before), "another process serves", LONG_S)


def nothing_more(server, side, app, topic="orders"):
    """What has been acknowledged does not come to a new connection of the session."""
    eventually(lambda: not server.unacknowledged("shop"), "all is acknowledged")
    before, subscribed = len(app.tried(topic)), side.log().count(SUBSCRIBED)
    kill_plugin(side)
    # What is published before at QoS 0 is nobody's: publishing has a connection of its own.
    eventually(lambda: side.log().count(SUBSCRIBED) > subscribed, "it is subscribed again", LONG_S)
    publish(side, "sentinel", topic)
    eventually(lambda: "sentinel" in app.taken(topic), "the sentinel arrives", LONG_S)
    equal(app.tried(topic)[before:], ["sentinel"], "and nothing with it")


@test("what is published is delivered once and acknowledged, at each QoS", "PUB-U13")
def delivered():
    for qos in ("0", "1", "2"):
        server, app = Mosquitto(), Inbox()
        side = sidecar(server.url, subscription("orders"), app=app, qos=qos)
        for i in range(50):
            publish(side, i)
        eventually(lambda: sorted(app.tried()) == list(range(50)), "all are delivered")
        nothing_more(server, side, app)
        need(f"MQTT is subscribed to topic orders (qos: {qos})" in side.log(), "as the reference says it")


@test("wildcards deliver what matches, and the application learns the topic")
def wildcards():
    server, app = Mosquitto(), Inbox()
    side = sidecar(server.url, subscription("a/+/c", route="plus"), subscription("b/#", route="hash"),
                   subscription("b/exact", route="exact"), app=app)
    for topic in ("a/1/c", "a/1/d", "b", "b/x/y", "c"):
        publish(side, topic, topic)
    eventually(lambda: (app.taken("plus"), sorted(app.taken("hash"))) == (["a/1/c"], ["b", "b/x/y"]), "each its own")
    publish(side, "it", "b/exact")
    eventually(lambda: "it" in app.taken("exact"), "the one that names the topic")
    envelopes = {event["data"]: event["topic"] for event in (json.loads(r.body) for r in app.requests)}
    equal(envelopes["a/1/c"], "a/1/c", "the topic of the event")


@test("instances compete for a shared topic, another application gets all of it", "PUB-91")
def competing():
    server, apps, other = Mosquitto(), [Inbox(), Inbox()], Inbox()
    shared = subscription("$share/shop/orders", route="orders")
    sides = [sidecar(server.url, shared, app=app, consumerID=f"shop-{i}") for i, app in enumerate(apps)]
    sidecar(server.url, subscription("orders"), app=other, app_id="billing")
    wanted = list(range(200))
    for i in wanted:
        publish(sides[i % 2], i)
    eventually(lambda: sorted(apps[0].tried() + apps[1].tried()) == wanted, "each by one of the two")
    eventually(lambda: sorted(other.tried()) == wanted, "all of them by the other one")
    need(all(len(app.tried()) > 0 for app in apps), "both work")


@test("what the application refuses comes again until it is taken, and then no more")
def redelivered():
    server, seen = Mosquitto(), {}

    def verdict(topic, data):
        seen[data] = seen.get(data, 0) + 1
        return 500 if isinstance(data, int) and seen[data] < 2 else 200

    app = Inbox(verdict)
    side = sidecar(server.url, subscription("orders"), app=app)
    for i in range(15):
        publish(side, i)
    publish(side, "other")
    eventually(lambda: "other" in app.taken(), "the others go on")
    eventually(lambda: set(app.taken()) == {*range(15), "other"}, "all are taken at last")
    equal([app.tried().count(i) for i in range(15)], [2] * 15, "two tries each")
    nothing_more(server, side, app)


@test("what is refused goes to the dead letter topic, and is acknowledged")
def dead_letter():
    server, app = Mosquitto(), Inbox(lambda topic, data: 500 if topic == "orders" and data != "sentinel" else 200)
    side = sidecar(server.url, subscription("orders", dead="grave"), subscription("grave"), app=app)
    publish(side, {"f": 1})
    eventually(lambda: app.taken("grave") == [{"f": 1}], "it is in the grave")
    nothing_more(server, side, app)


@test("what an application had in its hands when sidecar or plugin died comes again")
def died_in_hand():
    server, held, folder = Mosquitto(), threading.Event(), Folder()
    slow, quick = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500), Inbox()
    first = sidecar(server.url, subscription("orders"), app=slow, folder=folder)
    for i in range(30):
        publish(first, i)
    eventually(lambda: len(slow.requests) >= 5, "some are in its hands")
    kill_plugin(first)
    kill_both(first, "mqtt")
    side = sidecar(server.url, subscription("orders"), app=quick)
    eventually(lambda: sorted(quick.taken()) == list(range(30)), "the next one gets them all")
    held.set()
    nothing_more(server, side, quick)


@test("killing the plugin again and again loses nothing")
def plugin_killed():
    server, app = Mosquitto(), Inbox()
    side = sidecar(server.url, subscription("orders"), app=app)
    accepted = []
    for i in range(300):
        if i % 100 == 50:
            os.kill(side.plugin_pid("mqtt"), signal.SIGKILL)
        if send(side, i).status == 204:
            accepted.append(i)
    eventually(lambda: set(accepted) <= set(app.taken()), "all that was accepted arrives", LONG_S)
    need(len(accepted) > 200, "most were accepted")


@test("a server that goes and comes, in an orderly way and killed, loses nothing; publishing waits for it")
def server_restarted():
    server, app = Mosquitto(), Inbox()
    side = sidecar(server.url, subscription("orders"), app=app)
    accepted, threads = [], []

    def one(i):
        if send(side, i).status == 204:
            accepted.append(i)

    def many(start, count):
        new = [threading.Thread(target=one, args=(i,)) for i in range(start, start + count)]
        threads.extend(new)
        for thread in new:
            thread.start()

    for i in range(50):
        one(i)
    server.stop()
    many(50, 20)
    eventually(lambda: "mqtt: no connection" in side.log(), "the log says so")
    server.start()
    for i in range(70, 120):
        one(i)
    for thread in threads:
        thread.join()
    # What it has acknowledged it writes down a moment later: killed when nothing is under way.
    eventually(lambda: set(range(120)) <= set(app.taken()), "deliveries go on", LONG_S)
    server.kill()
    many(120, 20)
    server.start()
    for i in range(140, 190):
        one(i)
    for thread in threads:
        thread.join()
    equal(sorted(accepted), list(range(190)), "every publish is accepted")
    eventually(lambda: set(app.taken()) == set(range(190)), "all arrive", LONG_S)
    need("mqtt: connected again" in side.log(), "and that it is well again")


@test("what is published while nobody subscribes waits in the session; a clean one has nothing")
def sessions():
    for clean in (False, True):
        server, app = Mosquitto(), Inbox()
        folder = Folder()
        side = sidecar(server.url, subscription("orders"), app=app, folder=folder, cleanSession=str(clean).lower())
        publish(side, "first")
        eventually(lambda: app.taken() == ["first"], "it is subscribed")
        eventually(lambda: not server.unacknowledged("shop"), "and has acknowledged")
        side.stop()
        other = sidecar(server.url, app_id="press")
        publish(other, "meanwhile")
        side = sidecar(server.url, subscription("orders"), app=app, cleanSession=str(clean).lower())
        publish(other, "last")
        eventually(lambda: "last" in app.taken(), "the last one arrives")
        if clean:
            equal(app.taken(), ["first", "last"], "the one in between is lost")
        else:
            eventually(lambda: sorted(app.taken()) == ["first", "last", "meanwhile"], "nothing is lost")


@test("what is published while a subscription is away waits for it, unless it says unsubscribeOnClose")
def away():
    for metadata in (None, {"unsubscribeOnClose": "true"}):
        server, app = Mosquitto(), Inbox()
        text = subscription("orders", metadata=metadata)
        side = sidecar(server.url, text, subscription("others"), app=app)
        os.unlink(side.folder / "resources/1.yaml")
        side.signal(signal.SIGHUP)
        eventually(lambda: len(side.metadata()["subscriptions"]) == 1, "the subscription is gone")
        if metadata:
            eventually(lambda: "Received UNSUBSCRIBE from shop" in server.log(), "the server knows")
        publish(side, "between")
        publish(side, "others go on", "others")
        eventually(lambda: app.taken("others") == ["others go on"], "the other topic is served")
        equal("Received UNSUBSCRIBE from shop" in server.log(), metadata is not None, "told to the server")
        side.change(text, 1)
        eventually(lambda: side.log().count("MQTT is subscribed to topic orders") == 2, "it is back")
        publish(side, "after")
        wanted = ["after"] if metadata else ["after", "between"]
        eventually(lambda: set(wanted) <= set(app.taken()), "it is served again")
        equal(sorted(app.tried()), wanted, "what it gets")


@test("a server that is lost while messages are with the application delivers none of them twice")
def none_twice():
    server, held = Mosquitto(), threading.Event()
    app = Inbox(lambda topic, data: 200 if held.wait(LONG_S) else 500)
    side = sidecar(server.url, subscription("orders"), app=app)
    for i in range(10):
        publish(side, i)
    eventually(lambda: len(app.requests) == 10, "all are with it")
    server.stop()
    server.start()
    eventually(lambda: "mqtt: connected again" in side.log(), "another connection")
    held.set()
    eventually(lambda: len(app.taken()) == 10, "all are taken")
    nothing_more(server, side, app)
    equal(sorted(app.tried()[:10]), list(range(10)), "each once")


@test("retained messages: by the component, by a message, told to the application")
def retained():
    server, app = Mosquitto(), Inbox()
    side = sidecar(server.url, retain="true")
    publish(side, "kept", "one")
    publish(side, "not kept", "two", "?metadata.retain=false")
    publish(side, "of qos 2", "three", "?metadata.qos=2")
    reply = send(side, "x", "one", "?metadata.retain=perhaps")
    need(reply.status >= 400 and b"mqtt invalid retain perhaps" in reply.body, f"{reply}")
    need(send(side, "x", "one", "?metadata.qos=3").status >= 400, "a QoS that is none")
    late = sidecar(server.url, *(subscription(t) for t in ("one", "two", "three")), app=app, app_id="late")
    publish(late, "now", "two")
    eventually(lambda: app.taken("one") + app.taken("two") + app.taken("three") == ["kept", "now", "of qos 2"], "those kept")
    marks = {json.loads(r.body)["data"]: r.header("retained") for r in app.requests}
    equal(marks, {"kept": "true", "now": "false", "of qos 2": "true"}, "and the application is told")


@test("exchanging component and plugin under load fails and loses nothing")
def exchanged():
    server, app, sent = Mosquitto(), Inbox(), []
    side = sidecar(server.url, subscription("orders"), app=app)
    over = threading.Event()

    def load():
        while not over.is_set():
            sent.append(send(side, len(sent)).status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(4):
            before = len(app.tried())
            side.exchange("bus", broker(server.url, retain=str(i % 2 == 0).lower()))
            eventually(lambda: len(app.tried()) > before + 30, "deliveries go on", LONG_S)
    finally:
        over.set()
        thread.join()
    equal(set(sent), {204}, "every publish is accepted")
    eventually(lambda: set(app.taken()) >= set(range(len(sent))), "all arrive")
    equal(server.log().count(" as shop ("), 5, "one connection after another, none thrown out")


@test("a change that cannot work leaves the old component serving; a slow application does not keep a good one off")
def not_exchanged():
    server, held = Mosquitto(), threading.Event()
    app = Inbox(lambda topic, data: 200 if data != "slow" or held.wait(LONG_S) else 500)
    side = sidecar(server.url, subscription("orders"), app=app)

    side.change(broker(DEAD_URL))
    eventually(lambda: "connect: connection refused" in side.log(), "the change fails")
    publish(side, 1)
    eventually(lambda: app.taken() == [1], "the old one serves")
    need(UPDATED not in side.log(), "nothing was exchanged")
    publish(side, "slow")
    eventually(lambda: len(app.requests) == 2, "one is with the application")
    side.exchange("bus", broker(server.url, qos="2"))  # nevertheless
    publish(side, 2)
    eventually(lambda: 2 in app.taken(), "the new one serves")
    held.set()
    eventually(lambda: not server.unacknowledged("shop"), "all is acknowledged")
    need("slow" in app.taken(), "what was slow too")


@test("a server with passwords lets in who knows one, and a wrong one is told without it")
def passwords():
    folder = Folder()
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "ann", "p@ss/word:1"], check=True)
    os.chmod(folder / "passwords", 0o644)
    server, app = Mosquitto("allow_anonymous false", f"password_file {folder / 'passwords'}"), Inbox()
    at = server.url.removeprefix("tcp://")
    side = sidecar(f"mqtt://ann:p%40ss%2Fword:1@{at}", subscription("orders"), app=app)
    publish(side, 1)
    eventually(lambda: app.taken() == [1], "it arrives")
    need("word:1" not in side.log() and "p%40ss" not in side.log(), "no password in the log")
    bad = Sidecar(broker(f"tcp://ann:wrongsecret@{at}"), wait=False)
    eventually(lambda: not bad.is_alive(), "the start fails")
    need("failed to establish connection to broker: not Authorized" in bad.log(), bad.log()[-600:])
    need("wrongsecret" not in bad.log(), "no password in the log")


def certificates():
    folder = Folder()
    new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    script = (f"for n in ca other; do openssl req -x509 -days 2 {new} -subj /CN=$n -keyout $n.key -out $n.pem; done; "
              "printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > ext; for n in server client; do "
              f"openssl req -new {new} -subj /CN=$n -keyout $n.key -out $n.csr; openssl x509 -req -in $n.csr -CA ca.pem "
              "-CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $n.pem; done; chmod 644 *.key")
    subprocess.run(script, shell=True, check=True, cwd=folder.path, capture_output=True)
    texts = {}
    for name in ("ca.pem", "other.pem", "client.pem", "client.key"):
        with open(folder / name) as f:
            texts[name] = f.read()
    return folder, texts


@test("TLS: the server is verified, and a client shows its certificate")
def tls():
    folder, pem = certificates()
    server, app = Mosquitto("allow_anonymous true", f"cafile {folder / 'ca.pem'}", f"certfile {folder / 'server.pem'}",
                            f"keyfile {folder / 'server.key'}", "require_certificate true"), Inbox()
    url, mine = f"ssl://localhost:{server.port}", {"clientCert": pem["client.pem"], "clientKey": pem["client.key"]}
    side = sidecar(url, subscription("orders"), app=app, caCert=pem["ca.pem"], **mine)
    big = "x" * 300_000
    for i in range(5):
        publish(side, [i, big])
    eventually(lambda: sorted(data[0] for data in app.taken()) == list(range(5)), "they arrive")
    server.stop()
    server.start()
    publish(side, [5, ""])
    eventually(lambda: [5, ""] in app.taken(), "over another connection too")
    fail(*((broker(url, **metadata), word) for metadata, word in (
        ({"caCert": pem["other.pem"], **mine}, "failed to verify certificate"), (mine, "certificate"),
        ({"caCert": pem["ca.pem"]}, "failed to establish connection to broker"),
        ({"caCert": "x"}, "invalid TLS configuration: invalid caCert"))))


def fail(*cases):
    """Documents with which no sidecar starts, and why. All at a time, since most are tried until their time is over, which
    is enough for a try on a loaded machine."""
    sides = [(Sidecar(init_within(text, "4s"), wait=False), words) for text, words in cases]
    for side, words in sides:
        eventually(lambda: not side.is_alive(), f"no start: {words}", LONG_S)
        need(words in side.log(), f"{words}: {side.log()[-700:]}")
        need("secretword" not in side.log(), "a password is in no log")


@test("metadata that make no sense are refused with words")
def refused():
    fail(*((broker(**{"url": DEAD_URL, **metadata}), words) for metadata, words in (
        ({"url": ""}, "missing url"), ({"url": "localhost"}, "invalid url"),
        ({"url": "ws://x:1"}, "WebSockets are not supported"), ({"qos": "8"}, "invalid qos 8"),
        ({"qos": "x"}, "cannot parse 'qos'"), ({"url": "tcp://u:secretword@x:99999"}, "invalid url"),
        ({}, "connect: connection refused"))))


@test("the first name of the type is served too, and topics that a server would hang up over are refused")
def names():
    server, app = Mosquitto(), Inbox()
    side = sidecar(server.url, subscription("orders"), subscription("a#b", route="bad"), app=app, subscribed=1, type_="pubsub.mqtt")
    publish(side, 1)
    eventually(lambda: app.taken() == [1], "it arrives")
    reply = send(side, 1, "a/+/b")
    need(reply.status >= 400 and b"wildcard" in reply.body, f"{reply}")
    eventually(lambda: "a wildcard is a level of its own" in side.log(), "the filter is refused")
    need("no connection" not in side.log(), "and the connection stands")


# --- a server of the test's own ---------------------------------------------------------------------------------------


class Script:
    """Accepts connections one after another and gives each to the next of `acts`, the last for ever."""

    def __init__(self, *acts):
        self.acts, self.count, self.got = acts, 0, []
        self.port = free_port()
        self.url = f"tcp://127.0.0.1:{self.port}"
        self.listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            self.sock, _ = self.listening.accept()
            self.stream = self.sock.makefile("rb")
            act = self.acts[min(self.count, len(self.acts) - 1)]
            self.count += 1
            try:
                act(self)
            except (OSError, IndexError, TypeError, AssertionError):
                pass  # what did not happen is missed by the test itself
            self.sock.close()
            self.stream.close()

    def read(self):
        """One packet: its first byte and its body."""
        first, length, shift = self.stream.read(1)[0], 0, 0
        while True:
            digit = self.stream.read(1)[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                break
        self.got.append((first, self.stream.read(length)))
        return self.got[-1]

    def listen(self):
        while self.stream.read(1):
            pass

    def welcome(self, present=0):
        packet = self.read()
        equal(packet[0], 0x10, "CONNECT comes first")
        self.sock.sendall(bytes([0x20, 2, present, 0]))
        return packet[1]

    def agree(self, code=1):
        """To SUBSCRIBE."""
        first, body = self.read()
        equal(first, 0x82, "SUBSCRIBE")
        self.sock.sendall(b"\x90\3" + body[:2] + bytes([code]))

    def message(self, id_, data, flags=0x32):
        event = json.dumps({"data": data, "specversion": "1.0", "id": "1", "source": "s", "type": "t"}).encode()
        body = b"\0\6orders" + id_.to_bytes(2, "big") + event
        need(len(body) < 16384, "two digits")
        self.sock.sendall(bytes([flags, len(body) & 127 | 128, len(body) >> 7]) + body)


@test("acknowledgements follow the application, each by itself, and survive the connection")
def acknowledged():
    release = {name: threading.Event() for name in "abc"}
    app = Inbox(lambda topic, data: 200 if release[data].wait(LONG_S) else 500)
    acks, step, connect = [], threading.Event(), []

    def first(server):
        connect.append(server.welcome())
        server.agree()
        for i, name in enumerate("abc"):
            server.message(i + 1, name)
        eventually(lambda: len(app.requests) == 3, "all are with the application")
        release["b"].set()
        acks.append(server.read())
        step.set()
        eventually(lambda: app.taken() == ["b", "a"], "the connection ends while two are with it, and one is taken")

    def second(server):
        server.welcome(present=1)
        server.agree()
        server.message(1, "a", flags=0x3a)
        server.message(3, "c", flags=0x3a)
        acks.append(server.read())
        release["c"].set()
        acks.append(server.read())
        server.listen()

    server = Script(first, second)
    side = sidecar(server.url, subscription("orders"), app=app)
    need(step.wait(LONG_S), "one acknowledgement")
    equal(acks, [(0x40, b"\0\2")], "of the one that was taken")
    server.sock.shutdown(socket.SHUT_RDWR)
    eventually(lambda: "mqtt: no connection" in side.log(), "the connection is lost")
    release["a"].set()
    eventually(lambda: len(acks) == 3, "the others follow over the next connection", LONG_S)
    equal(acks[1:], [(0x40, b"\0\1"), (0x40, b"\0\3")], "the one that was taken meanwhile at once")
    equal(sorted(app.tried()), ["a", "b", "c"], "none is delivered twice")
    equal(connect[0], b"\0\4MQTT\4\0\0\x1e\0\4shop", "3.1.1, a session that stays, the app id as client")


@test("a message without an answer is sent again over the next connection, marked so, and given up after three")
def sent_again():
    seen = []

    def silent(server):
        server.welcome()
        seen.append(server.read())

    def good(server):
        server.welcome(present=1)
        seen.append(server.read())
        server.sock.sendall(b"\x40\2" + seen[-1][1][8:10])
        server.listen()

    server = Script(silent, silent, good)
    side = sidecar(server.url)
    publish(side, 1)
    equal([first for first, _ in seen], [0x32, 0x3a, 0x3a], "repetitions say that they are")
    equal(len({body for _, body in seen}), 1, "and are the same")
    hostile = Script(silent)
    side = sidecar(hostile.url)
    reply = send(side, 1)
    need(reply.status >= 400 and b"the connection was lost each time" in reply.body, f"{reply}")
    equal(hostile.count >= 3, True, "three connections")


@test("more than there is room for is left with the server, and asked for again when there is")
def more_than_enough():
    count, release, sides = 4300, threading.Event(), []
    said = "too many messages wait for the application, leaving the next ones with the broker"
    app = Inbox(lambda topic, data: 200 if release.wait(LONG_S) else 500)
    acks = set()

    def collect(server):
        while len(acks) < count:
            first, body = server.read()
            if first == 0x40:
                acks.add(int.from_bytes(body, "big"))
        server.listen()

    def first(server):
        server.welcome()
        server.agree()
        for i in range(1, count + 1):
            server.message(i, i)
        eventually(lambda: sides and said in sides[0].log(), "there is no more room")
        release.set()
        collect(server)

    def second(server):
        server.welcome(present=1)
        server.agree()
        for i in range(1, count + 1):
            if i not in acks:
                server.message(i, i, flags=0x3a)
        collect(server)

    server = Script(first, second)
    sides.append(sidecar(server.url, subscription("orders"), app=app))
    eventually(lambda: len(acks) == count, "all are acknowledged in the end", LONG_S)
    equal(set(app.taken()), set(range(1, count + 1)), "and delivered")
    equal(server.count, 2, "over two connections")


@test("QoS 2: the receipt waits for the application, and nothing is delivered twice")
def exactly_once():
    release, app_said, packets = threading.Event(), [], []
    app = Inbox(lambda topic, data: 200 if release.wait(LONG_S) else 500)

    def act(server):
        server.welcome()
        server.agree(2)
        server.message(7, "x", flags=0x34)
        eventually(lambda: len(app.requests) == 1, "it is with the application")
        release.set()
        packets.append(server.read())
        server.message(7, "x", flags=0x3c)
        packets.append(server.read())
        server.sock.sendall(b"\x62\2\0\7")
        packets.append(server.read())
        app_said.append(app.tried())
        server.listen()

    sidecar(Script(act).url, subscription("orders"), app=app, qos="2")
    eventually(lambda: app_said, "the handshake is done", LONG_S)
    equal(packets, [(0x50, b"\0\7"), (0x50, b"\0\7"), (0x70, b"\0\7")], "PUBREC, again, PUBCOMP")
    equal(app_said, [["x"]], "delivered once")


@test("a server that sends nonsense is left, tried again in peace, and believed when it makes sense")
def nonsense():
    app = Inbox()
    bad = [b"\x30\xff\xff\xff\xff\x01", b"\x36\2\0\0", b"\x30\1\0", b"\x30\5\0\x09abc", b"\x32\5\0\1a\0\0", b"\xf0\0",
           b"\x40\1\0", b"\x20\2\0\0", b"\x90\3\0\0\1", b"\x90\3\0\5\3", b"\x30\xff\xff\xff\x7f", b"\0\0"]

    def act_of(data):
        def act(server):
            server.welcome()
            server.sock.sendall(data)
            server.listen()
        return act

    def good(server):
        server.welcome()
        server.agree()
        server.sock.sendall(b"\x40\2\0\x09\x50\2\0\x09\x70\2\0\x09\xb0\2\0\x09\x62\2\0\x09\xd0\0")  # of what was never sent
        server.message(5, "sense")
        server.listen()

    def rude(server):
        server.welcome()

    # The first lets the component start. Pauses grow from one failure to the next: few at a time.
    for i in range(0, len(bad), 2):
        server = Script(rude, *(act_of(data) for data in bad[i:i + 2]), good)
        side = sidecar(server.url, subscription("orders"), app=app)
        eventually(lambda: len(app.taken()) == i // 2 + 1, "the one that makes sense arrives", LONG_S)
        equal(server.count, 4, "after each of them another connection")
        equal(side.plugins()["mqtt"]["generation"], 1, "the plugin lives")


@test("a topic that the server refuses is an error, not a subscription without messages")
def denied():
    def act(server):
        server.welcome()
        while True:
            server.agree(0x80)

    side = sidecar(Script(act).url, subscription("orders"), app=Inbox(), subscribed=0)
    eventually(lambda: "mqtt error from subscribe: the broker refuses it" in side.log(), "the log says so", LONG_S)


if __name__ == "__main__":
    main(end_sidecars)
