# SPDX-License-Identifier: Apache-2.0
"""Clients that work on a state store, each a process of its own with keys of its own, and keep account of what every
answer allows to be in the store from then on. An unanswered or failed write may have happened or not; nothing else may
differ. A transaction always writes both keys of its pair, so they must never be seen apart."""
import array
import json
import mmap
import os
import pickle
import random
import sys
import time

import remora

KEYS = 40
ANSWER_S = 20


class Account:
    """What one client did and what the store may hold now; None stands for no value."""

    def __init__(self, name):
        self.name = name
        self.may_be = {}
        self.statuses = {}
        self.wrong = []
        self.unanswered = []
        self.started = array.array("d")  # of requests with a good answer
        self.ended = array.array("d")
        self.slowest_s = 0.0

    def failures(self):
        return sum(count for status, count in self.statuses.items() if status >= 400)

    def total(self):
        return sum(self.statuses.values())


class Client:
    def __init__(self, address, store, name, seed):
        self.address, self.path = address, f"/v1.0/state/{store}"
        self.account = Account(name)
        self.rng = random.Random(f"{seed}-{name}")
        self.connection = None
        self.count = 0
        self.progress = self.number = None  # of its group, and its place there

    def ask(self, method, target, body=None):
        """The reply, or None if there was none; a request without an answer is what must not happen."""
        account = self.account
        started = time.monotonic()
        try:
            if self.connection is None:
                self.connection = remora.Connection(self.address, ANSWER_S)
            data = None if body is None else json.dumps(body).encode()
            self.connection.send(remora.request_bytes(method, target, (), data))
            reply = self.connection.reply(method)
        except (OSError, remora.Cut, ValueError) as error:
            account.unanswered.append(f"{method} {target} after {time.monotonic() - started:.2f} s: {error!r}")
            self.connection = None
            return None
        ended = time.monotonic()
        account.statuses[reply.status] = account.statuses.get(reply.status, 0) + 1
        account.slowest_s = max(account.slowest_s, ended - started)
        if self.progress is not None:
            self.progress[2 * self.number + (reply.status >= 400)] += 1
        if reply.status < 400:
            account.started.append(started)
            account.ended.append(ended)
        elif not reply.body.startswith(b'{"errorCode"'):
            account.wrong.append(f"an error without a code: {reply}")
        return reply

    def settle(self, writes, reply):
        """Notes what a write allows; one that was answered well happened, any other may have."""
        for key, value in writes.items():
            if reply is not None and reply.status < 400:
                self.account.may_be[key] = {value}
            else:
                self.account.may_be.setdefault(key, {None}).add(value)

    def value(self):
        self.count += 1
        return f"{self.account.name}-{self.count}"

    def key(self, kind="k"):
        return f"{kind}-{self.account.name}-{self.rng.randrange(KEYS)}"

    def save(self):
        key, value = self.key(), self.value()
        self.settle({key: value}, self.ask("POST", self.path, [{"key": key, "value": value}]))

    def delete(self):
        key = self.key()
        self.settle({key: None}, self.ask("DELETE", f"{self.path}/{key}"))

    def transact(self):
        pair, value = self.key("pair"), self.value()
        writes = {f"{pair}-{side}": value for side in ("a", "b")}
        operations = [{"operation": "upsert", "request": {"key": k, "value": v}} for k, v in writes.items()]
        self.settle(writes, self.ask("POST", f"{self.path}/transaction", {"operations": operations}))

    def get(self):
        key = self.key()
        reply = self.ask("GET", f"{self.path}/{key}")
        if reply is not None and reply.status < 400:
            self.check(key, reply)

    def check(self, key, reply):
        value = reply.json if reply.status == 200 else None
        allowed = self.account.may_be.get(key, {None})
        if value not in allowed:
            self.account.wrong.append(f"{key} is {value}, not one of {sorted(map(str, allowed))}")
        self.account.may_be[key] = {value}

    def run(self, until):
        steps = (self.save, self.get, self.save, self.get, self.get, self.delete, self.transact)
        while not self.must_end(until):
            self.rng.choice(steps)()

    def must_end(self, until):
        return time.monotonic() >= until or (self.progress is not None and self.progress[-1] != 0)


class Clients:
    """Starts the clients, which work for so long at most; join() returns their accounts."""

    def __init__(self, count, address, store, seconds, seed, name="c", kind=Client):
        self.children = []
        # Shared with all of them: good and failed answers of each so far; in the end whether they are to stop.
        self.progress = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        until = time.monotonic() + seconds
        for i in range(count):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                client = kind(address, store, f"{name}{i}", seed)
                client.progress, client.number = self.progress, i
                self.child(client, until, writing)
            os.close(writing)
            self.children.append((pid, reading))

    @staticmethod
    def child(client, until, writing):
        """Never returns: nothing of the parent's end-of-program work is this process's."""
        try:
            client.run(until)
            with os.fdopen(writing, "wb") as out:
                pickle.dump(client.account, out)
            os._exit(0)
        except BaseException as error:  # whatever it is, the parent misses the account
            print(f"client {client.account.name}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)

    def good(self):
        return sum(self.progress[2 * i] for i in range(len(self.children)))

    def failed(self):
        return sum(self.progress[2 * i + 1] for i in range(len(self.children)))

    def wait_served(self, what):
        """More good answers than questions that may be on their way: some of them began after this."""
        before = self.good() + len(self.children)
        remora.eventually(lambda: self.good() > before, what)

    def stop(self):
        self.progress[-1] = 1

    def join(self):
        accounts = []
        for pid, reading in self.children:
            with os.fdopen(reading, "rb") as f:
                data = f.read()
            os.waitpid(pid, 0)
            accounts.append(pickle.loads(data))
        return accounts


def lost_writes(address, store, accounts):
    """Differences between the store and what the accounts allow, and pairs that a transaction left apart."""
    lost = []
    for account in accounts:
        client = Client(address, store, account.name, 0)
        client.account.may_be = account.may_be
        pairs = {}
        for key in sorted(account.may_be):
            reply = client.ask("GET", f"{client.path}/{key}")
            if reply is None or reply.status >= 400:
                lost.append(f"{key}: {reply}")
                continue
            client.check(key, reply)
            if key.startswith("pair-"):
                pairs.setdefault(key[:-2], set()).add(reply.body)
        lost += client.account.wrong + [f"{pair} is torn" for pair, values in pairs.items() if len(values) > 1]
    return lost


def recoveries_ms(accounts, blows):
    """For each blow, the time until a request that began after it was answered well."""
    good = sorted((started, ended) for account in accounts for started, ended in zip(account.started, account.ended))
    times, at = [], 0
    for blow in blows:
        while at < len(good) and good[at][0] < blow:
            at += 1
        if at == len(good):
            break
        # The earliest start need not be the earliest end: look at what began soon after.
        times.append((min(ended for _, ended in good[at:at + 50]) - blow) * 1000)
    return times


def summary(accounts):
    statuses = {}
    for account in accounts:
        for status, count in account.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
