# SPDX-License-Identifier: Apache-2.0
"""A Redis Cluster of a test's own: small servers on free ports, joined without redis-cli. Servers are told apart by
their place in `masters` and `replicas`, as they were at the start; `owner()` and `master_of()` ask the cluster."""

import socket

from remora import DEADLINE_S, Redis, eventually, free_port, need

SLOTS = 16384
NODE_TIMEOUT_MS = 1500


def slot_of(key):
    """As the specification of Redis Cluster has it: CRC16 of the key, or of what is in its first braces."""
    text = key if isinstance(key, bytes) else key.encode()
    start = text.find(b"{")
    end = text.find(b"}", start + 1) if start >= 0 else -1
    if end > start + 1:
        text = text[start + 1:end]
    crc = 0
    for byte in text:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % SLOTS


class Node(Redis):
    def __init__(self, *options):
        self.stream = None
        self.bus = free_port()
        super().__init__("--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--cluster-config-file", "nodes.conf",
                         "--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0", *options)
        self.id = self.command("CLUSTER", "MYID").decode()

    def command(self, *words, database=0):
        """As Redis.command(), over one connection: a cluster is asked a lot while one waits for it."""
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in words]
        message = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            if self.stream is None:
                self.stream = socket.create_connection(("127.0.0.1", self.port), DEADLINE_S).makefile("rwb")
            self.stream.write(message)
            self.stream.flush()
            return self.read(self.stream)
        except (OSError, ValueError):
            self.stream = None
            raise OSError(f"{self.port} does not answer") from None

    def info(self):
        return dict(line.split(":", 1) for line in self.command("CLUSTER", "INFO").decode().split("\r\n") if ":" in line)

    def knows(self, count):
        info = self.info()
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count

    def meet(self, other):
        self.command("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)

    def is_master(self):
        return self.command("ROLE")[0] == b"master"

    def is_linked(self):
        role = self.command("ROLE")
        return role[0] == b"slave" and role[3] == b"connected"


class Cluster:
    def __init__(self, masters=3, replicas=1, options=(), more=None):
        """`replicas` of each master; `more` has the options of each master alone."""
        self.options = options
        self.masters = [Node(*options, *(more[i] if more else ())) for i in range(masters)]
        self.replicas = [Node(*options) for _ in range(masters * replicas)]
        bounds = [SLOTS * i // masters for i in range(masters + 1)]
        for i, node in enumerate(self.masters):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            node.command("CLUSTER", "ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1)
        self.join(self.nodes[1:])
        for i, node in enumerate(self.replicas):
            self.follow(node, self.masters[i % masters])

    @property
    def nodes(self):
        return self.masters + self.replicas

    @property
    def hosts(self):
        return ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    def join(self, nodes):
        for node in nodes:
            node.meet(self.masters[0])
        eventually(lambda: all(node.knows(len(self.nodes)) for node in self.living()), "the cluster is whole")

    def follow(self, node, master):
        eventually(lambda: node.command("CLUSTER", "REPLICATE", master.id) == b"OK", "a replica follows")
        eventually(lambda: node.is_linked() and self.has_replica(master, node), "a replica is linked")

    def add_master(self):
        """One without slots."""
        node = Node(*self.options)
        self.masters.append(node)
        self.join([node])
        return node

    def remove(self, node):
        """One without slots."""
        self.masters.remove(node)
        node.kill()
        for one in self.living():
            one.command("CLUSTER", "FORGET", node.id)

    def revive(self, node):
        """After kill(): it follows whoever took over."""
        node.start()
        eventually(node.is_linked, "who was dead is a replica", 60)
        self.settle()

    def master_of(self, replica):
        return next(node for node in self.living() if node.port == replica.command("ROLE")[2])

    def has_replica(self, master, replica):
        """Its word goes round, while replication works."""
        return any(replica.id.encode() in line for line in master.command("CLUSTER", "REPLICAS", master.id))

    def promote(self, replica):
        """Changes places with its master, which lives."""
        master = self.master_of(replica)
        eventually(lambda: self.has_replica(master, replica), "the master knows its replica")
        need(replica.command("CLUSTER", "FAILOVER") == b"OK", "failover")
        eventually(lambda: replica.is_master() and master.is_linked(), "they have changed places", 60)

    def living(self):
        return [node for node in self.nodes if node.is_alive()]

    def owner(self, slot):
        """The server that says that the slot is its own."""
        for node in self.living():
            for first, last, master, *_ in node.command("CLUSTER", "SLOTS"):
                if first <= slot <= last and master[1] == node.port:
                    return node
        return None

    def owner_of(self, key):
        return self.owner(slot_of(key))

    def command(self, key, *words):
        """At the server that has the key."""
        return self.owner_of(key).command(*words)

    def replicas_of(self, node):
        return [one for one in self.living() if one.is_linked() and one.command("ROLE")[2] == node.port]

    def settle(self):
        """Whatever happened before: each living server sees a cluster that works."""
        eventually(lambda: all(node.info()["cluster_state"] == "ok" for node in self.living()), "the cluster works again", 60)

    def open_migration(self, slot, to):
        source = self.owner(slot)
        need(to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id) == b"OK", "importing")
        need(source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id) == b"OK", "migrating")
        return source

    def move_keys(self, slot, source, to):
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)

    def close_migration(self, slot, to):
        for node in [to] + [node for node in self.living() if node is not to and node.is_master()]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
        eventually(lambda: self.owner(slot) is to, "the slot has moved")

    def move(self, slot, to):
        source = self.open_migration(slot, to)
        self.move_keys(slot, source, to)
        self.close_migration(slot, to)

    def kill(self, node):
        """And waits until another one has its slots."""
        slots = [first for first, _, master, *_ in node.command("CLUSTER", "SLOTS") if master[1] == node.port]
        node.kill()
        for slot in slots:
            eventually(lambda: self.owner(slot) is not None, "a replica takes over", 60)
        self.settle()


_shared = []


def cluster():
    """The one that the tests of a program share; they leave it whole."""
    if not _shared:
        _shared.append(Cluster(masters=3, replicas=1))
    _shared[0].settle()
    return _shared[0]
