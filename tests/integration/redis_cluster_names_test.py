#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""state.redis with `redisType: cluster`: servers that announce other names, or none, TLS, replicas that are waited for, and
servers that are not what they say: those are threads of this program, everything else is a real cluster."""

import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from certificates import Certificates  # noqa: E402
from redis_cluster import Cluster, slot_of  # noqa: E402
from remora import Folder, Sidecar, Store, component, end_sidecars, equal, eventually, free_port, main, need, test  # noqa: E402

_cluster = []


def cluster():
    if not _cluster:
        _cluster.append(Cluster(masters=3, replicas=0))
    _cluster[0].settle()
    return _cluster[0]


def document(hosts, **metadata):
    return component("red", "state.redis", {"redisHost": hosts, "redisType": "cluster", **metadata})


def store(hosts, **metadata):
    return Store(Sidecar(document(hosts, **metadata)), "red")


def works(red, whole):
    keys = [f"k{i}" for i in range(40)]
    for key in keys:
        equal(red.save(key, key).status, 204, key)
        equal(red.get(key).json, key, key)
    key = f"shop||{keys[0]}"
    home = whole.owner_of(key)
    away = next(node for node in whole.masters if node is not home)
    whole.move(slot_of(key), away)
    equal(red.get(keys[0]).json, keys[0], "after a redirection")
    whole.move(slot_of(key), home)


@test("servers that announce a host name, or that their name is not known", "STATE-01")
def announced():
    whole = cluster()
    for node in whole.masters:
        node.command("CONFIG", "SET", "cluster-announce-hostname", "localhost")
    for kind, name in (("hostname", b"localhost"), ("unknown-endpoint", None)):
        for node in whole.masters:
            equal(node.command("CONFIG", "SET", "cluster-preferred-endpoint-type", kind), b"OK", kind)
        eventually(lambda: all(entry[2][0] == name for node in whole.masters for entry in node.command("CLUSTER", "SLOTS")), kind)
        works(store(f"127.0.0.1:{whole.masters[0].port}"), whole)
    for node in whole.masters:
        node.command("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


@test("TLS to every server, each checked", "STATE-01")
def secured():
    certificates = Certificates(Folder())
    ports = [free_port() for _ in range(3)]
    options = ["--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "no", "--tls-cert-file",
               certificates.path("server.pem"), "--tls-key-file", certificates.path("server.key"), "--tls-ca-cert-file",
               certificates.path("ca.pem")]
    whole = Cluster(masters=3, replicas=0, options=options, more=[("--tls-port", str(port)) for port in ports])
    hosts = f"127.0.0.1:{ports[0]}"
    red = store(hosts, enableTLS="true", caCert=certificates.text("ca.pem"))
    for i in range(40):
        equal(red.save(f"k{i}", i).status, 204, f"k{i}")
    plain = sum(int(node.command("DBSIZE")) for node in whole.masters)
    equal(plain, 40, "at all of them")
    side = Sidecar(document(hosts, enableTLS="true", caCert=certificates.text("other.pem")), wait=False)
    side.wait()
    need("certificate" in side.log(), side.log())


@test("strong saves wait for the replica of the key's server, and for no other", "STATE-01")
def strong():
    whole = Cluster(masters=3, replicas=1)
    red = store(whole.hosts)
    victim = whole.masters[0]
    replica = whole.replicas_of(victim)[0]
    keys = [f"k{i}" for i in range(40)]
    slow = next(key for key in keys if whole.owner_of(f"shop||{key}") is victim)
    quick = next(key for key in keys if whole.owner_of(f"shop||{key}") is not victim)
    strongly = {"options": {"consistency": "strong"}}
    for key in keys:
        equal(red.save(key, 0, **strongly).status, 204, key)
    replica.signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        equal(red.save(slow, 1, **strongly).status, 204, "its replica does not answer")
        need(time.monotonic() - started > 0.9, "it is waited for")
        waiting = threading.Thread(target=lambda: red.save(slow, 2, **strongly))
        waiting.start()
        eventually(lambda: red.get(slow).json == 2, "it is written")
        equal(red.save(quick, 2, **strongly).status, 204, "another server's answers")
        need(waiting.is_alive(), "meanwhile the other one is waited for")
        waiting.join()
        waiting = threading.Thread(target=lambda: red.transact(("upsert", slow, 3, strongly), ("upsert", quick, 3, strongly)))
        started = time.monotonic()
        waiting.start()
        waiting.join()
        need(time.monotonic() - started > 0.9, "in transactions too")
    finally:
        replica.signal(signal.SIGCONT)


# --- servers that are none --------------------------------------------------------------------------------------------


class Fake:
    """Says what a server of a cluster might: `slots` to CLUSTER SLOTS, `others` to what is about keys."""

    def __init__(self, slots, others=b"$-1\r\n"):
        self.slots, self.others, self.asked = slots, others, []
        self.listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection.makefile("rwb"),), daemon=True).start()

    def serve(self, stream):
        while line := self.line(stream):
            words = []
            for _ in range(int(line[1:])):
                words.append(stream.read(int(stream.readline()[1:]) + 2)[:-2])
            self.asked.append(words[0])
            stream.write(self.answer(words))
            stream.flush()

    @staticmethod
    def line(stream):
        try:
            return stream.readline()
        except OSError:
            return b""

    def answer(self, words):
        if words[0] in (b"PING", b"SCRIPT", b"ASKING"):
            return b"+OK\r\n"
        if words[0] == b"INFO":
            return b"$0\r\n\r\n"
        if words[0] == b"JSON.GET":
            return b"-ERR unknown command\r\n"
        return (self.slots if words[0] == b"CLUSTER" else self.others).replace(b"PORT", b"%d" % self.port)


def entry(first, last, host=b"127.0.0.1", port=b"PORT"):
    return b"*3\r\n:%d\r\n:%d\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n" % (first, last, len(host), host, port)


ALL = b"*1\r\n" + entry(0, 16383)


@test("maps of slots that make no sense end the start, and say why", "STATE-01")
def hostile_maps():
    maps = {
        b"*0\r\n": "cluster has no slots",
        b"*2\r\n" + entry(0, 100) + entry(100, 200): "two nodes for one slot",
        b"*1\r\n" + entry(0, 16384): "slots that there are not",
        b"*1\r\n" + entry(0, 1, host=b"a b/c"): "without a usable address",
        b"*1\r\n" + entry(0, 1, host=b"x" * 254): "without a usable address",
        b"*1\r\n" + entry(0, 1, port=b"70000"): "without a usable address",
        b"*1025\r\n" + b"".join(entry(i, i, port=b"%d" % (i + 1)) for i in range(1025)): "more than 1024 nodes",
        b"*1\r\n:1\r\n": "something else",
    }
    for slots, why in maps.items():
        side = Sidecar(document(Fake(slots).host, redisMaxRetries="-1"), wait=False)
        side.wait()
        need(why in side.log(), f"{why}: {side.log()}")


@test("a hostile seed is passed over for one that makes sense", "STATE-01")
def hostile_seed():
    whole = cluster()
    works(store(f"{Fake(b'*0' + bytes((13, 10))).host},{whole.hosts}"), whole)


@test("a server that sends commands in circles, and one that is never ready: each ends in time", "STATE-01")
def circles():
    redirected, passing = "redirected too often", "TRYAGAIN"
    for others, why in ((b"-MOVED 0 127.0.0.1:PORT\r\n", redirected), (b"-ASK 0 127.0.0.1:PORT\r\n", redirected),
                        (b"-MOVED 0 :PORT\r\n", redirected), (b"-TRYAGAIN later\r\n", passing),
                        (b"-CLUSTERDOWN The cluster is down\r\n", "CLUSTERDOWN"), (b"-MOVED 0 a b:1\r\n", "MOVED 0 a b:1")):
        fake = Fake(ALL, others)
        red = store(fake.host, dialTimeout="300ms")
        started, before = time.monotonic(), fake.asked.count(b"HGETALL")
        reply = red.get("k")
        need(reply.status >= 500 and why in reply.text, f"{others}: {reply}")
        need(time.monotonic() - started < 10, "in time")
        # The plugin stops after 17, and the sidecar tries what was not done a few times.
        need(fake.asked.count(b"HGETALL") - before <= 100, f"a few times: {fake.asked}")


@test("a map that leads to nobody: calls end in time, and go on when it leads somewhere", "STATE-01")
def nowhere():
    fake = Fake(b"*2\r\n" + entry(0, 8191) + entry(8192, 16383, port=b"%d" % free_port()))
    fake.others = b"*0\r\n"
    red = store(fake.host, dialTimeout="300ms")
    far = next(f"k{i}" for i in range(100) if slot_of(f"shop||k{i}") >= 8192)
    near = next(f"k{i}" for i in range(100) if slot_of(f"shop||k{i}") < 8192)
    reply = red.get(far)
    need(reply.status >= 500 and "connection refused" in reply.text, f"{reply}")
    equal(red.get(near).status, 204, "the other server's keys")
    fake.slots = ALL
    eventually(lambda: red.get(far).status == 204, "the new map is found")
    equal(red.get(far).status, 204, "and kept")


if __name__ == "__main__":
    main(end_sidecars)
